"""T1, figure 4-8: the steps of a random walk, smoothed by momentum."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from momentum_jax.figures import style
from momentum_jax.figures.textbook._drawing import drawn
from momentum_jax.textbook.random_walk import LARGEST, Data

_COLUMNS = 2


def draw(data: Data) -> Mapping[str, Figure]:
    return {"figure_4-8": _smoothed(data), "stationary_variance": _variances(data)}


def _smoothed(data: Data) -> Figure:
    def draw_steps(*panels) -> None:
        for index, (axes, (m, smoothed)) in enumerate(zip(panels, data.smoothed.items(), strict=False)):
            axes.plot(np.arange(1, len(smoothed) + 1), smoothed, color=style.COLOURS[2], linewidth=1.0)
            axes.set_title(f"m = {m:g}", fontsize=9.5)
            axes.set_ylim(-1.1 * LARGEST, 1.1 * LARGEST)
            if index % _COLUMNS == 0:
                axes.set_ylabel("size of the step")
            if index >= len(data.smoothed) - _COLUMNS:
                axes.set_xlabel("step")
            axes.label_outer()

    rows = -(-len(data.smoothed) // _COLUMNS)
    return drawn(draw_steps, "Figure 4-8 (T1): random steps, smoothed by momentum m", rows=rows, columns=_COLUMNS, height=6.4)


def _variances(data: Data) -> Figure:
    def draw_variances(axes) -> None:
        axes.plot(data.theory.keys(), data.theory.values(), color="#777777", label="110/3 · (1 - m) / (1 + m)")
        axes.plot(
            data.variances.keys(), data.variances.values(), "o", color=style.COLOURS[2], label="measured over a long walk"
        )
        axes.set_yscale("log")
        axes.set_xlabel("momentum m")
        axes.set_ylabel("variance of the smoothed steps")
        axes.legend(frameon=False)

    return drawn(draw_variances, "T1, to figure 4-8: the volatility that momentum leaves")
