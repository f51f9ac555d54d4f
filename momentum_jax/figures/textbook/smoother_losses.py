"""T5: the sharpness along training and against the loss, by net and depth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from momentum_jax.figures import style
from momentum_jax.figures.textbook._drawing import MARKERS, drawn, legend_below
from momentum_jax.textbook.smoother_losses import LEVEL, NETS, Data


def draw(data: Data) -> Mapping[str, Figure]:
    return {"smoother_losses": _panels(data)}


def _panels(data: Data) -> Figure:
    depths = list(dict.fromkeys(depth for depth, _ in data.trained))

    def draw_all(*panels) -> None:
        by_step, by_loss = panels[: len(depths)], panels[len(depths) :]
        for along, against, depth in zip(by_step, by_loss, depths, strict=True):
            for index, net in enumerate(NETS):
                found = data.trained[depth, net]
                look = style.line_style((0, 2, 3)[index], of=4) | {"marker": MARKERS[index], "markersize": 4}
                middle = np.median(found.sharpness, axis=0)
                along.plot(1 + data.steps, middle, label=net, **look)
                against.plot(np.median(found.losses, axis=0), middle, label=net, **look)
            along.axhline(
                2 / data.learning_rate, color="black", linewidth=0.9, linestyle=":", label="2/η, the edge of stability"
            )
            against.axvline(LEVEL, color="#777777", linewidth=0.8)
            along.set_title(f"{depth} hidden layers", fontsize=9.5)
            along.set_xlabel("1 + updates")
            against.set_xlabel("training loss (nats), falling to the right")
            for axes in (along, against):
                axes.set(xscale="log", yscale="log")
                axes.set_ylabel("largest eigenvalue of the Hessian")
            against.invert_xaxis()

    seeds = len(next(iter(data.trained.values())).losses)
    title = f"T5: the sharpness by net, median of {seeds} seeds; grey: the loss at which nets are compared"
    figure = drawn(draw_all, title, rows=2, columns=len(depths), height=6.8)
    for row in (figure.axes[: len(depths)], figure.axes[len(depths) :]):
        for axes in row[1:]:
            axes.sharey(row[0])
            axes.set_ylabel("")
    legend_below(figure, figure.axes[0], columns=2)
    return figure
