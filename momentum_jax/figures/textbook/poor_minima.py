"""T4: which starts on the surface of figure 11-5 end in the shallower minimum, by method."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from momentum_jax.figures import style
from momentum_jax.figures.textbook._drawing import draw_contours, drawn, legend_below
from momentum_jax.textbook.poor_minima import Data


def draw(data: Data) -> Mapping[str, Figure]:
    def draw_starts(*panels) -> None:
        for axes, (method, shallow) in zip(panels, data.shallow.items(), strict=True):
            draw_contours(axes, data.surface)
            for ends, marker, colour, name in (
                (~shallow, ".", style.COLOURS[4], "ends in the deeper"),
                (shallow, "s", style.COLOURS[3], "ends in the shallower"),
            ):
                axes.plot(*data.starts[ends].T, marker, color=colour, markersize=1.6, label=name)
            axes.set_title(f"{method}: {shallow.mean():.1%}", fontsize=8.5)
            axes.set_aspect("equal")
            axes.label_outer()

    rows = -(-len(data.shallow) // 2)
    figure = drawn(
        draw_starts,
        "T4: the share of 1,681 starts that ends in the shallower minimum",
        rows=rows,
        columns=2,
        height=0.6 + 3.0 * rows,
    )
    legend_below(figure, figure.axes[0], columns=3)
    return {"poor_minima": figure}
