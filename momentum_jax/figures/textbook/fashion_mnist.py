"""T4, figure 11-8: how the results of 22 runs are distributed, beside the published means, and whom each net takes for whom."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from momentum_jax.figures import style
from momentum_jax.figures.textbook._drawing import drawn, legend_below
from momentum_jax.textbook.fashion_mnist import Data

_BINS = 24


def draw(data: Data) -> Mapping[str, Figure]:
    return {"figure_11-8": _histograms(data), "confusion": _confusions(data)}


def _histograms(data: Data) -> Figure:
    """One panel an arm on one axis: laid over one another they hide each other."""
    values = np.concatenate(list(data.mccs.values()))
    edges = np.linspace(values.min(), values.max() + 1e-9, _BINS + 1)

    def draw_arms(*panels) -> None:
        for index, (axes, (label, mccs)) in enumerate(zip(panels, data.mccs.items(), strict=True)):
            axes.hist(mccs, edges, color=style.COLOURS[(2, 1, 4, 5)[index % 4]], edgecolor="black", linewidth=0.5)
            top = axes.get_ylim()[1]
            _mark(axes, mccs.mean(), mccs.std(ddof=1) / np.sqrt(len(mccs)), 1.12 * top, "ours", "o")
            if label in data.published:
                _mark(axes, data.published[label].mean, data.published[label].error, 1.32 * top, "published", "s")
            axes.set_ylim(0, 1.5 * top)
            axes.set_title(label, fontsize=9.5, loc="left")
            axes.set_ylabel("runs")
            axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
            axes.set_xlabel("Matthews correlation coefficient on the test set")
            axes.label_outer()

    runs = len(next(iter(data.mccs.values())))
    figure = drawn(draw_arms, f"Figure 11-8 (T4): {runs} runs of each", rows=len(data.mccs), height=0.4 + 2.0 * len(data.mccs))
    for axes in figure.axes[1:]:
        axes.sharex(figure.axes[0])
    legend_below(figure, figure.axes[0])
    return figure


def _mark(axes, mean: float, error: float, height: float, label: str, marker: str) -> None:
    face = "black" if label == "ours" else "white"
    axes.errorbar(
        mean, height, xerr=error, color="black", marker=marker, markerfacecolor=face, capsize=3, label=f"mean ± s.e., {label}"
    )


def _confusions(data: Data) -> Figure:
    """Of each class (row) what it was taken for, in one run of the first two arms."""
    with mpl.rc_context({**style.SETTINGS, "axes.grid": False}):
        figure = Figure(figsize=(style.WIDTH, 10.4), layout="constrained")
        arms = list(data.confusions.items())[:2]
        for axes, (label, counts) in zip(np.ravel(figure.subplots(2, 1)), arms, strict=True):
            shares = counts / counts.sum(axis=1, keepdims=True)
            axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
            for row, column in np.ndindex(counts.shape):
                dark = shares[row, column] > 0.5
                axes.text(column, row, counts[row, column], ha="center", va="center", fontsize=7, color="w" if dark else "k")
            places = range(len(data.classes))
            axes.set_xticks(places, data.classes, rotation=45, ha="right", fontsize=8)
            axes.set_yticks(places, data.classes, fontsize=8)
            axes.set_title(f"{label}: accuracy {np.trace(counts) / counts.sum():.4f}", fontsize=9.5)
            axes.set_xlabel("predicted class")
            axes.set_ylabel("true class")
        figure.suptitle("T4, to figure 11-8: test images of one run, counts", fontsize=10.5)
    return figure
