"""T4, figures 11-1, 11-2 and 11-6: points on a parabola."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from momentum_jax.figures import style
from momentum_jax.textbook.one_dimension import Data

_NEAR = 4


def draw(data: Data) -> Mapping[str, Figure]:
    return {
        "figure_11-1": _one(data, data.figure_11_1, "Figure 11-1 (T4): a small learning rate creeps to the minimum"),
        "figure_11-2": _one(data, data.figure_11_2, "Figure 11-2 (T4): a large one swings about it"),
        "figure_11-6": _two(data, data.figure_11_6, "Figure 11-6 (T4): momentum overshoots, rings and settles"),
    }


def _one(data: Data, path, title: str) -> Figure:
    with mpl.rc_context(style.SETTINGS):
        figure = Figure(figsize=(style.WIDTH, style.HEIGHT), layout="constrained")
        _draw_path(figure.add_subplot(), data, path.points[:, 0], path.values)
        figure.suptitle(title)
    return figure


def _two(data: Data, path, title: str) -> Figure:
    """The first updates on the parabola, and all of them over time: the last ones are too near to tell apart."""
    with mpl.rc_context(style.SETTINGS):
        figure = Figure(figsize=(style.WIDTH, 1.5 * style.HEIGHT), layout="constrained")
        above, below = figure.subplots(2)
        drawn = data.drawn + 1
        _draw_path(above, data, path.points[:drawn, 0], path.values[:drawn])
        below.axhline(data.parabola.minima[0, 0], color="#777777", linewidth=0.9, label="minimum")
        below.plot(np.arange(len(path.points)), path.points[:, 0], color=style.COLOURS[2], marker="o", markersize=3.5)
        below.set_xlabel("updates")
        below.set_ylabel("x")
        below.legend(frameon=False)
        figure.suptitle(title)
    return figure


def _draw_path(axes, data: Data, x, values) -> None:
    """Points joined in their order, numbered while they are far enough apart to read."""
    axes.plot(data.parabola.x, data.parabola.values, color="#777777", linewidth=1.2, label="f(x) = 6x² - 12x + 3")
    axes.plot(x, values, color=style.COLOURS[2], linewidth=0.7, linestyle=style.DASHES[2], zorder=3)
    axes.scatter(x, values, c=np.arange(len(x)), cmap="viridis_r", s=42, edgecolors="black", linewidths=0.7, zorder=4)
    for step in range(_NEAR):
        axes.annotate(f"{step}", (x[step], values[step]), xytext=(9, 4), textcoords="offset points", **style.NOTE)
    axes.plot(*data.parabola.minima[0], data.parabola.values.min(), "k+", markersize=10, label="minimum", zorder=5)
    axes.set_xlabel("x")
    axes.set_ylabel("f(x)")
    axes.legend(frameon=False, loc="upper center")
