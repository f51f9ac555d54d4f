"""T4: accuracy and generalisation gap by batch size, and noise that leaves a minimum."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from momentum_jax.figures import style
from momentum_jax.figures.textbook._drawing import MARKERS, drawn, legend_below
from momentum_jax.textbook.batch_size import Data


def draw(data: Data) -> Mapping[str, Figure]:
    return {"batch_size": _seeds(data), "noise": _noise(data)}


def _seeds(data: Data) -> Figure:
    def draw_both(above, below) -> None:
        for index, (label, trials) in enumerate(data.trials.items()):
            look = {"color": style.COLOURS[2 + index], "marker": MARKERS[index]}
            ordered = trials[np.argsort(trials[:, 0])]
            above.plot(*ordered.T, markersize=5, linewidth=1.0, label=f"{label}: {data.chosen[label]}", **look)
            gaps, scores = data.gaps[label], data.accuracies[label]
            below.plot(gaps, scores, linestyle="none", markersize=5, **look)
            below.errorbar(
                gaps.mean(),
                scores.mean(),
                xerr=_error(gaps),
                yerr=_error(scores),
                color="black",
                marker=MARKERS[index],
                markerfacecolor=style.COLOURS[2 + index],
                markersize=9,
                capsize=3,
                zorder=4,
            )
        above.set_xscale("log")
        above.set_xlabel("learning rate of a trial")
        above.set_ylabel("held-out accuracy")
        below.set_xlabel("test less training loss (nats)")
        below.set_ylabel("accuracy on the test set")

    runs = len(next(iter(data.accuracies.values())))
    title = f"T4: trials, and {runs} fresh seeds; large: mean ± standard error"
    figure = drawn(draw_both, title, rows=2, height=6.8)
    legend_below(figure, figure.axes[0], columns=1)
    return figure


def _noise(data: Data) -> Figure:
    def draw_shares(axes) -> None:
        axes.plot(list(data.escaped), list(data.escaped.values()), color="black", marker="o")
        axes.set_xscale("log", base=2)
        axes.set_xticks(list(data.escaped), [str(batch) for batch in data.escaped])
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("batch whose mean the noise is of (examples)")
        axes.set_ylabel("share that ends nearer the deeper minimum")

    return drawn(draw_shares, "T4: noise carries gradient descent out of the shallower minimum of figure 11-5")


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))
