"""What the textbook's figures share: a figure in the house's style, contours, a path upon them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from momentum_jax.figures import style
from momentum_jax.textbook.descents import Symbol
from momentum_jax.textbook.surfaces import Surface

LEVELS = 24
MARKERS = "os^Dv"
SYMBOLS = {"circle": "o", "square": "s", "plus": "P", "triangle": "^", "star": "*", "right-pointing triangle": ">"}


def drawn(draw: Callable[..., None], title: str, *, rows: int = 1, columns: int = 1, height: float = style.HEIGHT) -> Figure:
    """A figure of `rows` times `columns` axes, which `draw` is given one by one, in the house's style."""
    with mpl.rc_context(style.SETTINGS):
        figure = Figure(figsize=(style.WIDTH, height), layout="constrained")
        draw(*np.ravel(figure.subplots(rows, columns, squeeze=False)))
        figure.suptitle(title, fontsize=10.5)
    return figure


def draw_contours(axes: Any, surface: Surface) -> None:
    """Contours in grey, closer near the minimum, and crosses on the minima."""
    low, high = surface.values.min(), surface.values.max()
    levels = low + (high - low) * np.linspace(0, 1, LEVELS) ** 2
    axes.contourf(surface.x, surface.y, surface.values, levels=levels, cmap="Greys_r", alpha=0.35)
    axes.contour(surface.x, surface.y, surface.values, levels=levels, colors="#8A8A8A", linewidths=0.5)
    axes.plot(*surface.minima.T, "k+", markersize=11, markeredgewidth=1.8, linestyle="none", label="minimum", zorder=6)
    axes.set_xlabel("x")
    axes.set_ylabel("y")
    axes.grid(False)


def draw_path(axes: Any, points: np.ndarray, index: int, label: str, symbol: Symbol | None = None) -> None:
    """Points joined in their order, the start larger and open; with the source's symbol, where it gives one."""
    colour = style.COLOURS[index % len(style.COLOURS)]
    marker = MARKERS[index % len(MARKERS)] if symbol is None else SYMBOLS[symbol]
    size = 3.2 if symbol is None else 5.0
    axes.plot(*points.T, color=colour, linewidth=1.1, marker=marker, markersize=size, label=label, zorder=4 + 0.1 * index)
    axes.plot(
        *points[0], marker=marker, markersize=8, markerfacecolor="white", markeredgecolor=colour, markeredgewidth=1.5, zorder=5
    )


def legend_below(figure: Figure, axes: Any, columns: int = 2) -> None:
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns, frameon=False)
