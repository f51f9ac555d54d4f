"""T4, figures 11-1, 11-2 and 11-6: points on a parabola."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from momentum_jax.figures import style
from momentum_jax.figures.textbook._drawing import drawn
from momentum_jax.textbook.one_dimension import Data, Drawn

_NUMBERED = 4


def draw(data: Data) -> Mapping[str, Figure]:
    return {
        "figure_11-1": _figure(data.figure_11_1, "Figure 11-1 (T4): a small learning rate creeps to the minimum"),
        "figure_11-2": _figure(data.figure_11_2, "Figure 11-2 (T4): a large one swings about it"),
        "figure_11-6": _figure(data.figure_11_6, "Figure 11-6 (T4): momentum overshoots, rings and settles"),
    }


def _figure(shown: Drawn, title: str) -> Figure:
    """The first updates on the parabola, and all of them over time: the last ones are too near to tell apart."""

    def draw_both(above, below) -> None:
        x, values = shown.trace.points[: shown.drawn + 1, 0], shown.trace.values[: shown.drawn + 1]
        minimum = shown.surface.minima[0, 0]
        above.plot(shown.surface.x, shown.surface.values, color="#777777", linewidth=1.2, label="f(x) = 6x² - 12x + 3")
        above.plot(x, values, color=style.COLOURS[2], linewidth=0.8, linestyle=style.DASHES[1], zorder=3)
        above.scatter(x, values, c=np.arange(len(x)), cmap="viridis_r", s=42, edgecolors="black", linewidths=0.7, zorder=4)
        for step in range(_NUMBERED):
            right = x[step] >= minimum
            offset = {"xytext": (8 if right else -8, -9), "textcoords": "offset points", "ha": "left" if right else "right"}
            above.annotate(f"{step}", (x[step], values[step]), **offset, **style.NOTE)
        above.plot(minimum, shown.surface.values.min(), "k+", markersize=10, linestyle="none", label="minimum", zorder=5)
        above.set_xlabel("x")
        above.set_ylabel("f(x)")
        above.legend(frameon=False, loc="upper center")
        below.axhline(minimum, color="#777777", linewidth=0.9, label="minimum")
        points = shown.trace.points[:, 0]
        below.plot(np.arange(len(points)), points, color=style.COLOURS[2], marker="o", markersize=3.5, linewidth=1.0)
        below.set_xlabel("updates")
        below.set_ylabel("x")
        below.legend(frameon=False)

    return drawn(draw_both, title, rows=2, height=1.4 * style.HEIGHT)
