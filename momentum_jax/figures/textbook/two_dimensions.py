"""T4, figures 11-3, 11-4 and 11-5: paths of gradient descent on contours."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from momentum_jax.figures.textbook._drawing import draw_contours, draw_path, drawn, legend_below
from momentum_jax.textbook.two_dimensions import Data, Drawn


def draw(data: Data) -> Mapping[str, Figure]:
    return {
        "figure_11-3": _paths(data.figure_11_3, "Figure 11-3 (T4): gradient descent in a bowl"),
        "figure_11-4": _paths(data.figure_11_4, "Figure 11-4 (T4): in a ravine a large learning rate bounces"),
        "figure_11-5": _paths(data.figure_11_5, "Figure 11-5 (T4): which minimum is reached depends on the start"),
    }


def _paths(shown: Drawn, title: str) -> Figure:
    def draw_paths(axes) -> None:
        draw_contours(axes, shown.surface)
        for index, trace in enumerate(shown.traces):
            descent = trace.descent
            start = ", ".join(f"{coordinate:g}" for coordinate in descent.start)
            label = f"from ({start}), η = {descent.learning_rate:g}, {descent.steps} updates"
            draw_path(axes, trace.points, index, label, descent.symbol)
        axes.set_aspect("equal")

    figure = drawn(draw_paths, title, height=6.2 + 0.2 * len(shown.traces))
    legend_below(figure, figure.axes[0], columns=1)
    return figure
