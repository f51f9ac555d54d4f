"""T4, figure 11-9: the results of a hundred runs, told apart by how many classes a run has not learned."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from momentum_jax.figures import style
from momentum_jax.figures.textbook._drawing import drawn, legend_below
from momentum_jax.textbook.hundred_runs import Data

_BINS = 40
_HATCHES = ("", "///", "...", "xxx")


def draw(data: Data) -> Mapping[str, Figure]:
    return {"figure_11-9": _histogram(data)}


def _histogram(data: Data) -> Figure:
    def draw_runs(axes) -> None:
        edges = np.linspace(data.mccs.min(), data.mccs.max() + 1e-9, _BINS + 1)
        kinds = np.unique(data.unlearned)
        axes.hist(
            [data.mccs[data.unlearned == kind] for kind in kinds],
            edges,
            stacked=True,
            color=[style.COLOURS[(2, 1, 3, 0)[index % 4]] for index in range(len(kinds))],
            hatch=[_HATCHES[index % len(_HATCHES)] for index in range(len(kinds))],
            edgecolor="black",
            linewidth=0.5,
            label=[_named(int(kind)) for kind in kinds],
        )
        for mode, dashes in zip(data.modes, ("dashed", "dotted"), strict=True):
            axes.axvline(mode, color="black", linewidth=1.0, linestyle=dashes, label=f"published mode, {mode:g}")
        axes.set_xlabel("Matthews correlation coefficient on the test set")
        axes.set_ylabel("runs")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))

    figure = drawn(draw_runs, f"Figure 11-9 (T4): {len(data.mccs)} runs of the momentum model of figure 11-8")
    legend_below(figure, figure.axes[0])
    return figure


def _named(kind: int) -> str:
    return "all classes learned" if kind == 0 else f"{kind} class{'es' * (kind > 1)} not learned"
