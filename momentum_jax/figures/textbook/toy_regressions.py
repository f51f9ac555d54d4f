"""T2: the costs of the toy regressions and what they fit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from momentum_jax.figures import style
from momentum_jax.figures.textbook._drawing import drawn, legend_below
from momentum_jax.textbook.toy_regressions import Data, Fit


def draw(data: Data) -> Mapping[str, Figure]:
    return {
        "line": _regression(data.line, "T2: a line on y = x², learning rate 0.01, momentum 0.9"),
        "network": _regression(data.network, "T2: a 1-1-1 ReLU network on y = x², learning rate 0.01, momentum 0.9"),
    }


def _regression(fit: Fit, title: str) -> Figure:
    def draw_both(above, below) -> None:
        for index, (method, costs) in enumerate(fit.costs.items()):
            look = style.line_style(2 + index, of=5)
            above.plot(np.arange(len(costs)), costs, **look, label=method)
            below.plot(fit.x, fit.fitted[method], **look)
        above.axhline(fit.least, color="#777777", linewidth=0.9, label="least possible")
        above.set_yscale("log")
        above.set_xlabel("updates")
        above.set_ylabel("cost, mean of squared errors")
        below.plot(fit.x, fit.y, ".", color="#555555", markersize=4, label="y = x²", zorder=1)
        below.set_xlabel("x")
        below.set_ylabel("y")
        below.legend(frameon=False, loc="upper center")

    figure = drawn(draw_both, title, rows=2, height=6.4)
    legend_below(figure, figure.axes[0], columns=2)
    return figure
