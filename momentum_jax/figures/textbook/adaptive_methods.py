"""T4 and T5: RMSprop and Adam down an aligned and a turned ravine, beside gradient descent."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from momentum_jax.figures import style
from momentum_jax.figures.textbook._drawing import draw_contours, draw_path, drawn, legend_below
from momentum_jax.textbook.adaptive_methods import METHODS, UNCORRECTED, Data


def draw(data: Data) -> Mapping[str, Figure]:
    return {"adaptive_paths": _paths(data), "adaptive_values": _values(data)}


def _paths(data: Data) -> Figure:
    """One panel a method, both ravines in their own axes."""

    def draw_paths(*panels) -> None:
        for axes, method in zip(panels, METHODS, strict=True):
            draw_contours(axes, data.surface)
            for index, (ravine, by_method) in enumerate(data.descents.items()):
                draw_path(axes, by_method[method].points[: data.compared + 1], 2 + index, f"axes {ravine}")
            axes.set_title(f"{method}, {data.compared} updates", fontsize=9.5)
            axes.set_xlabel("along the floor")
            axes.set_ylabel("across")
            axes.label_outer()

    figure = drawn(draw_paths, "T5: a ravine along the coordinates, and one turned by 0.4", rows=len(METHODS), height=7.4)
    legend_below(figure, figure.axes[0], columns=3)
    return figure


def _values(data: Data) -> Figure:
    def draw_values(*panels) -> None:
        for axes, (ravine, by_method) in zip(panels, data.descents.items(), strict=True):
            shown = (*METHODS, UNCORRECTED)
            for index, method in enumerate(shown):
                axes.plot(by_method[method].values, **style.line_style(2 + index, of=6), label=method)
            first = by_method["Adam"].values[0]
            axes.axhline(data.goal * first, color="#777777", linewidth=0.9, label=f"{data.goal:g} of the first value")
            axes.set_yscale("log")
            axes.set_ylim(1e-7 * first, 3 * first)
            axes.set_title(f"axes {ravine}", fontsize=9.5)
            axes.set_ylabel("f")
            axes.set_xlabel("update")
            axes.label_outer()

    figure = drawn(draw_values, "T5: at a constant rate RMSprop does not anneal itself", rows=2, height=6.6)
    legend_below(figure, figure.axes[0])
    return figure
