"""How every figure looks: 6 inches wide for 600 pixels, lines told apart by dashes and lightness as well as hue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WIDTH, HEIGHT = 6.0, 4.8

# Okabe and Ito's colours, which the colour-blind tell apart, in an order that alternates dark and light.
COLOURS = ("#000000", "#E69F00", "#0072B2", "#D55E00", "#56B4E9", "#CC79A7", "#009E73", "#999999")
DASHES = ("solid", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (7, 1.5, 1.2, 1.5)), (0, (3, 1)), (0, (9, 2)), (0, (1, 2.5)))

THICK, THIN = 2.6, 1.3

NOTE: dict[str, Any] = {"fontsize": 8.5, "color": "#333333"}

SETTINGS: dict[Any, Any] = {
    "font.size": 10.0,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10.5,
    "legend.fontsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
}


def line_style(index: int, *, of: int) -> dict[str, Any]:
    """Colour, dashes and width of the arm in this place among so many; the cycles differ in length, so 56 arms differ.

    Earlier lines are wider, so that they show on both sides of a later one that covers them.
    """
    width = THICK - (THICK - THIN) * index / max(1, of - 1)
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index % len(DASHES)], "linewidth": width}


def save(figure: Figure, path: str | Path) -> None:
    """Writes the figure as PNG at 200 dots an inch."""
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=200)
