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
    medians = {pair: np.median(found.sharpness, axis=0) for pair, found in data.trained.items()}
    there = np.concatenate([each[np.isfinite(each)] for each in medians.values()])
    lowest, highest = max(float(there.min()), np.finfo(np.float32).tiny), float(there.max())

    def draw_all(*panels) -> None:
        by_step, by_loss = panels[: len(depths)], panels[len(depths) :]
        for along, against, depth in zip(by_step, by_loss, depths, strict=True):
            for index, net in enumerate(NETS):
                found = data.trained[depth, net]
                look = style.line_style((0, 2, 3)[index], of=4) | {"marker": MARKERS[index], "markersize": 4}
                middle = medians[depth, net]
                along.plot(1 + data.steps, middle, label=net, **look)
                against.plot(np.median(found.losses, axis=0), middle, label=net, **look)
            along.axhline(
                2 / data.learning_rate, color="black", linewidth=0.9, linestyle=":", label="2/η, the edge of stability"
            )
            against.axvline(LEVEL, color="#777777", linewidth=0.8)
            along.set_title(f"{depth} hidden layers", fontsize=9.5)
            along.set_xlabel("1 + updates")
            against.set_xlabel("training loss (nats)")
            for axes in (along, against):
                axes.set(xscale="log", yscale="log", ylim=(lowest / 1.5, highest * 1.5))
                axes.set_ylabel("largest eigenvalue" if depth == depths[0] else "")
            against.invert_xaxis()

    seeds = len(next(iter(data.trained.values())).losses)
    title = f"T5: largest Hessian eigenvalue, median of {seeds} seeds; grey: loss {LEVEL:g}"
    figure = drawn(draw_all, title, rows=2, columns=len(depths), height=6.8)
    legend_below(figure, figure.axes[0], columns=2)
    return figure
