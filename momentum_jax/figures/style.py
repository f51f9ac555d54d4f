"""How every figure looks: 6 inches wide for 600 pixels, lines told apart by dashes and lightness as well as hue."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from momentum_jax._files import atomic

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
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
}


def line_style(index: int, *, of: int) -> dict[str, Any]:
    """Colour, dashes and width of the arm in this place among so many; the cycles differ in length, so 56 arms differ.

    Earlier lines are wider, so that they show on both sides of a later one that covers them.
    """
    width = THICK - (THICK - THIN) * index / max(1, of - 1)
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index % len(DASHES)], "linewidth": width}


def _inches(text: str, size: float) -> float:
    """The width of a text; letters on a grid of 100 pixels an inch are up to a fifth wider than they were designed."""
    return 1.2 * TextToPath().get_text_width_height_descent(text, FontProperties(size=size), ismath=False)[0] / 72


def wrapped(text: str, inches: float, size: float) -> str:
    """The text in lines that are about so wide at a font size in points, broken at spaces where it has any."""
    wide = _inches(text, size)
    most = int(len(text) * inches / wide) if wide > inches else len(text)
    return "\n".join(textwrap.wrap(text, max(1, most))) or text


def heading(figure: Figure, title: str, note: str = "") -> None:
    """A title, and below it what the marks mean, over the whole width."""
    text = "\n".join(wrapped(line, 6.6, 9.5) for line in (title, note) if line)
    figure.suptitle(text, x=0.012, ha="left", fontsize=9.5, parse_math=False)


# Matplotlib leaves labels with a leading underscore out of legends; an arm may have one.
_AS_WRITTEN = "\N{ZERO WIDTH SPACE}"


def legend_label(text: str) -> str:
    """A label that `legend` shows as it is written, whatever it begins with."""
    return f"{_AS_WRITTEN}{text}"


# Lines of a legend that a figure has room for, and the height of a further one in inches.
_LINES, _LINE = 4, 0.19


def legend(figure: Figure, axes: Any) -> None:
    """The legend below the axes, in two columns where no label is too long for them; the figure grows by its further lines."""
    handles, labels = axes.get_legend_handles_labels()
    short = all(_inches(label, 9.0) <= 2.9 for label in labels)
    made = figure.legend(handles, labels, loc="outside lower center", ncols=2 if short else 1, frameon=False, handlelength=3.2)
    for text in made.get_texts():
        text.set_parse_math(False)
        text.set_text(wrapped(text.get_text().removeprefix(_AS_WRITTEN), 5.0, 9.0))
    lines = -(-len(labels) // 2) if short else sum(text.get_text().count("\n") + 1 for text in made.get_texts())
    figure.set_figheight(figure.get_figheight() + _LINE * max(0, lines - _LINES))


def lay_out(figure: Figure) -> None:
    """Lays the figure out once and for all: every drawing would move things a little further, and take twice the time."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    with mpl.rc_context({"figure.autolayout": False, "figure.constrained_layout.use": False}):
        figure.set_layout_engine(None)


# Without Matplotlib's version and the date of writing: the same figure is the same file.
_METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}


def save(figure: Figure, path: str | Path) -> None:
    """Writes the figure as PNG at 200 dots an inch, or as PDF with fonts that stay text, by the name's ending."""
    FigureCanvasAgg(figure)
    suffix = Path(path).suffix
    with mpl.rc_context({"pdf.fonttype": 42}), atomic(Path(path)) as file:
        figure.savefig(file, format=suffix.removeprefix(".") or None, dpi=200, metadata=_METADATA.get(suffix))
