"""T4, figure 11-11: accuracy by epoch, accuracy at the end and time of each optimizer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from momentum_jax.figures import style
from momentum_jax.figures.textbook._drawing import MARKERS, drawn, legend_below
from momentum_jax.textbook.optimizers_side_by_side import ENOUGH_WAVES, Data


def draw(data: Data) -> Mapping[str, Figure]:
    return {"figure_11-11": _ends(data), "figure_11-11_by_epoch": _by_epoch(data)}


def _ends(data: Data) -> Figure:
    runs = len(next(iter(data.accuracies.values())))
    error_of_times = " ± standard error" if min(map(len, data.seconds.values())) >= ENOUGH_WAVES else ""

    def draw_ends(left, right) -> None:
        for axes, values, middle, enough, what, title in (
            (left, data.accuracies, np.mean, 2, "accuracy on the test set", "runs (grey),\nmean ± standard error (black)"),
            (
                right,
                data.seconds,
                np.median,
                ENOUGH_WAVES,
                _SECONDS,
                f"full waves of runs (grey),\nmedian{error_of_times} (black)",
            ),
        ):
            for place, each in enumerate(values.values()):
                axes.plot(np.full(len(each), place - 0.15), each, "o", color="#999999", markersize=4)
                error = each.std(ddof=1) / np.sqrt(len(each)) if len(each) >= enough else None
                axes.errorbar(place + 0.1, middle(each), yerr=error, color="black", marker="s", capsize=4)
            axes.set_xticks(range(len(values)), values, rotation=30, ha="right", fontsize=8)
            axes.set_xlim(-0.6, len(values) - 0.4)
            axes.set_ylabel(what)
            axes.set_title(title, fontsize=9)

    return drawn(draw_ends, f"Figure 11-11 (T4): {runs} runs of each optimizer", columns=2, height=3.8)


_SECONDS = "training seconds of a run\namong as many as there are cores"


def _by_epoch(data: Data) -> Figure:
    def draw_epochs(axes) -> None:
        for index, (label, accuracies) in enumerate(data.by_epoch.items()):
            look = style.line_style(index, of=len(data.by_epoch))
            axes.plot(np.arange(len(accuracies)), accuracies, marker=MARKERS[index], markersize=4, label=label, **look)
        axes.set_xlabel("epoch")
        axes.set_ylabel("accuracy on held-out images, mean over runs")

    figure = drawn(draw_epochs, "T4, to figure 11-11: accuracy by epoch")
    legend_below(figure, figure.axes[0], columns=4)
    return figure
