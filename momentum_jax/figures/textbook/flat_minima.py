"""T5: curvature where momentum ends and where Adam does, seed by seed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from momentum_jax.figures import style
from momentum_jax.figures.textbook._drawing import MARKERS, drawn, legend_below
from momentum_jax.textbook.flat_minima import MEASURES, Data


def draw(data: Data) -> Mapping[str, Figure]:
    return {"flat_minima": _by_loss(data)}


def _by_loss(data: Data) -> Figure:
    """Against the loss, with which curvature falls."""
    *curvatures, loss = MEASURES

    def draw_both(*panels) -> None:
        for axes, measure in zip(panels, curvatures, strict=True):
            for index, (label, values) in enumerate(data.values.items()):
                look = {"color": style.COLOURS[2 + index], "marker": MARKERS[index], "linestyle": "none"}
                axes.plot(values[loss], values[measure], markersize=5, label=f"{label}: {data.chosen[label]}", **look)
                axes.errorbar(
                    values[loss].mean(),
                    values[measure].mean(),
                    xerr=_error(values[loss]),
                    yerr=_error(values[measure]),
                    color="black",
                    marker=MARKERS[index],
                    markerfacecolor=style.COLOURS[2 + index],
                    markersize=9,
                    capsize=3,
                )
            axes.set_ylabel(f"{measure} of the Hessian")
            axes.set_xlabel("loss on the same training examples (nats)")
            axes.label_outer()

    runs = len(next(iter(data.accuracies.values())))
    title = f"T5: curvature after training, {runs} seeds; large: mean ± standard error"
    figure = drawn(draw_both, title, rows=2, height=6.8)
    legend_below(figure, figure.axes[0], columns=1)
    return figure


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))
