"""T4, figure 11-8, as it would be with both arms tuned: the search, and the fresh runs pair by pair."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from momentum_jax.figures import style
from momentum_jax.figures.textbook._drawing import MARKERS, drawn
from momentum_jax.textbook.fair_comparison import Data


def draw(data: Data) -> Mapping[str, Figure]:
    return {"figure_11-8_tuned": _both(data)}


def _both(data: Data) -> Figure:
    def draw_both(above, below) -> None:
        for index, (label, trials) in enumerate(data.trials.items()):
            # Not joined: neighbours in the effective rate may have momenta far apart.
            look = {"color": style.line_style(1 + index, of=3)["color"], "linestyle": "none", "marker": MARKERS[index]}
            above.plot(*trials.T, markersize=6, label=label, **look)
        above.set_xscale("log")
        above.set_xlabel("effective learning rate η/(1 − μ) of a trial")
        above.set_ylabel("held-out accuracy")
        above.legend(frameon=False)
        (first, second), values = data.mccs.keys(), np.stack(list(data.mccs.values()))
        for pair in values.T:
            below.plot((0, 1), pair, color="#999999", linewidth=0.8, marker="o", markersize=3)
        below.errorbar(
            (0, 1),
            values.mean(axis=1),
            yerr=values.std(axis=1, ddof=1) / np.sqrt(values.shape[1]),
            color="black",
            marker="s",
            capsize=4,
            linewidth=1.6,
            zorder=4,
            label="mean ± standard error",
        )
        below.set_xlim(-0.4, 1.4)
        below.set_xticks((0, 1), (f"{first}\n{data.chosen[first]}", f"{second}\n{data.chosen[second]}"), fontsize=8.5)
        below.set_ylabel("MCC on the test set")
        below.legend(frameon=False)

    return drawn(draw_both, "Figure 11-8 (T4), both arms tuned: trials, and fresh seeds pair by pair", rows=2, height=6.8)
