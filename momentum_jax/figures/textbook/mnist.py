"""T1, figure 4-9: the training cost on MNIST, with and without momentum and at the matched learning rate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from momentum_jax.figures import style
from momentum_jax.figures.textbook._drawing import drawn, legend_below
from momentum_jax.textbook.mnist import HELD_OUT, MEAN, SMOOTHER, TENSORBOARD, Data

_DOWN = 7


def draw(data: Data) -> Mapping[str, Figure]:
    return {"figure_4-9": _costs(data), "figure_4-9_tensorboard": _as_tensorboard_shows_it(data)}


def _costs(data: Data) -> Figure:
    def draw_costs(axes) -> None:
        for index, (label, curves) in enumerate(data.curves.items()):
            look = style.line_style(index, of=len(data.curves))
            axes.plot(data.points, data.raw[label], color=look["color"], alpha=0.25, linewidth=0.5)
            axes.plot(data.points, curves[MEAN], label=label, **look)
            for curve, filled in ((MEAN, True), (HELD_OUT, False)):
                face = look["color"] if filled else "white"
                reached = data.reached[label][curve]
                axes.plot(reached, data.cost, marker=_DOWN, markersize=9, color=look["color"], markerfacecolor=face, zorder=5)
        axes.axhline(data.cost, color="#777777", linewidth=0.9, zorder=1, label=f"cost {data.cost:g}")
        _label(axes, data)

    title = "Figure 4-9 (T1): MNIST with momentum, without, and without at ten times the rate"
    what = f"mean of the last 100 mini-batches over {data.seeds} seeds; faint: one seed, raw"
    marks = f"triangles: {data.cost:g} reached by that mean (full) and on held-out examples (open)"
    figure = drawn(draw_costs, f"{title}\n{what}\n{marks}", height=5.2)
    legend_below(figure, figure.axes[0])
    return figure


def _as_tensorboard_shows_it(data: Data) -> Figure:
    """The points that TensorBoard shows of one seed and their mean over seeds under its own smoothing, one panel a setting."""

    def draw_panels(*panels) -> None:
        for axes, curve in zip(panels, (TENSORBOARD, SMOOTHER), strict=True):
            for index, (label, curves) in enumerate(data.curves.items()):
                look = style.line_style(index, of=len(data.curves))
                axes.plot(data.points, data.raw[label], color=look["color"], alpha=0.2, linewidth=0.5)
                axes.plot(data.points, curves[curve], label=label, **look)
            axes.axhline(data.cost, color="#777777", linewidth=0.9, zorder=1, label=f"cost {data.cost:g}")
            axes.set_title(curve, fontsize=9.5)
            _label(axes, data)
            axes.label_outer()

    title = f"Figure 4-9 (T1) as TensorBoard shows it: mean of {data.seeds} seeds; faint: one seed, raw"
    figure = drawn(draw_panels, title, rows=2, height=6.4)
    legend_below(figure, figure.axes[0])
    return figure


def _label(axes, data: Data) -> None:
    lowest = min(float(np.nanmin(curves[MEAN])) for curves in data.curves.values())
    axes.set_yscale("log")
    axes.set_ylim(max(lowest / 3, 1e-4), 3)
    axes.set_xlabel("mini-batches")
    axes.set_ylabel("cost (cross-entropy, nats)")
    axes.xaxis.set_major_formatter("{x:,.0f}")
