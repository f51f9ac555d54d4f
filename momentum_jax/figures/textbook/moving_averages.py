"""T3: a noisy series, its moving averages, and the start-up bias of the exponential ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from momentum_jax.figures import style
from momentum_jax.figures.textbook._drawing import drawn
from momentum_jax.textbook.moving_averages import Data

_EARLY = 40


def draw(data: Data) -> Mapping[str, Figure]:
    time = np.arange(1, len(data.series) + 1)

    def draw_averages(*panels) -> None:
        for axes, averages, name in zip(panels, (data.simple, data.exponential), ("n", "b"), strict=True):
            axes.plot(time, data.series, ".", color="#999999", markersize=3, label="series")
            for index, (parameter, average) in enumerate(averages.items()):
                look = style.line_style(2 + index, of=5)
                axes.plot(time, average, **look, label=f"{name} = {parameter:g}")
            axes.set_ylabel("simple" if name == "n" else "exponential")
            axes.set_xlabel("time t")
            axes.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))

    def draw_bias(axes) -> None:
        axes.plot(time[:_EARLY], data.series[:_EARLY], ".", color="#999999", markersize=5, label="series")
        for index, decay in enumerate(list(data.exponential)[1:]):
            colour = style.COLOURS[2 + index]
            axes.plot(time[:_EARLY], data.exponential[decay][:_EARLY], color=colour, label=f"b = {decay:g}, divided by 1 - bᵗ")
            axes.plot(
                time[:_EARLY], data.uncorrected[decay][:_EARLY], color=colour, linestyle=style.DASHES[1], label=f"b = {decay:g}"
            )
        axes.set_xlabel("time t")
        axes.set_ylabel("exponential moving average")
        axes.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))

    return {
        "moving_averages": drawn(draw_averages, "T3: simple and exponential moving averages", rows=2, height=6.4),
        "start-up_bias": drawn(draw_bias, "T3: from V₀ = 0 the first averages are too near 0"),
    }
