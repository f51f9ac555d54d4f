"""T3 and T5: paths down a ravine, gradients and velocities along its axes, momentum annealed, Newton's method."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from momentum_jax.figures import style
from momentum_jax.figures.textbook._drawing import draw_contours, draw_path, drawn, legend_below
from momentum_jax.textbook.ravine import METHODS, Data

_FIRST = 40
_UPDATES = 250


def draw(data: Data) -> Mapping[str, Figure]:
    return {"ravine_paths": _paths(data), "ravine_gradients": _gradients(data), "ravine_values": _values(data)}


def _paths(data: Data) -> Figure:
    """One panel a method: laid over one another they hide each other."""

    def draw_paths(*panels) -> None:
        for index, (axes, method) in enumerate(zip(panels, METHODS, strict=True)):
            draw_contours(axes, data.surface)
            draw_path(axes, data.descents[method].points[: _FIRST + 1], 2 + index, method)
            axes.set_title(f"{method}, after 1 update" if method == "Newton" else f"{method}, {_FIRST} updates", fontsize=9.5)
            axes.set_xlabel("along the floor")
            axes.set_ylabel("across")
            axes.label_outer()

    return drawn(draw_paths, "T3 and T5: a ravine, 100 times as steep across as along", rows=4, height=8.0)


def _gradients(data: Data) -> Figure:
    """What each gradient would add, and the step that momentum makes of them, taken apart along the axes of the ravine."""

    def draw_components(*panels) -> None:
        rows = (("across", 1), ("along the floor", 0))
        for (name, axis), (left, right) in zip(rows, (panels[:2], panels[2:]), strict=True):
            right.sharey(left)
            for axes, heading, attribute in ((left, "-η × gradient", "pushes"), (right, "step", "velocities")):
                axes.axhline(0, color="#777777", linewidth=0.8)
                for index, method in enumerate(METHODS[:3]):
                    component = getattr(data.descents[method], attribute)[:_FIRST, axis]
                    look = style.line_style(2 + index, of=5)
                    axes.plot(np.arange(1, _FIRST + 1), component, **look, marker="os^"[index], markersize=2.5, label=method)
                axes.set_title(f"{heading}, {name}", fontsize=9.5)
                axes.set_xlabel("update")
            left.set_ylabel(name)

    title = "T3 and T5: gradients and steps along the axes of the ravine"
    figure = drawn(draw_components, title, rows=2, columns=2, height=6.4)
    legend_below(figure, figure.axes[0], columns=3)
    return figure


def _values(data: Data) -> Figure:
    def draw_values(above, below) -> None:
        for index, method in enumerate(METHODS):
            values = data.descents[method].values[: _UPDATES + 1]
            look = style.line_style(2 + index, of=6)
            marker = {"marker": "v", "markersize": 6} if len(values) < 3 else {}
            above.plot(np.arange(len(values)), values, **look, **marker, label=method)
        first = data.descents["momentum"].values[0]
        above.axhline(data.goal * first, color="#777777", linewidth=0.9, label="1e-4 of the first value")
        above.set_yscale("log")
        above.set_ylim(1e-9 * first, 3 * first)
        above.set_ylabel("f (Newton's next value is 0)")
        below.plot(data.momenta[: _UPDATES + 1], color=style.COLOURS[4], label="annealed momentum")
        below.set_ylabel("momentum μ")
        below.set_xlabel("update")
        above.label_outer()

    figure = drawn(draw_values, "T3 and T5: constant and annealed momentum, and Newton's method", rows=2, height=6.4)
    legend_below(figure, figure.axes[0])
    return figure
