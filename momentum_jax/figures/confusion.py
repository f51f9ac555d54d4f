"""The mean confusion matrix of an arm, with the interval of every share in its cell."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from momentum_jax.figures import style
from momentum_jax.studies.analysis import ArmResult


def confusion(arm: ArmResult, classes: Sequence[str] | None = None) -> Figure:
    """Rows are true classes, columns predicted ones; `classes` are their names (None: their numbers).

    A cell has the share of its row in per cent and, smaller, half the width of its 95% t interval over seeds. The arm must
    have a run that did not diverge.
    """
    shares = 100 * np.array(arm.confusion)
    halves = None if arm.confusion_half_width is None else 100 * np.array(arm.confusion_half_width)
    names = list(classes) if classes is not None else [str(index) for index in range(len(shares))]
    with mpl.rc_context({**style.SETTINGS, "axes.grid": False, "axes.spines.bottom": False, "axes.spines.left": False}):
        title = style.wrapped(arm.label, 5.2, 10.5)
        figure = Figure(figsize=(style.WIDTH, 5.9 + 0.17 * title.count("\n")), layout="constrained")
        axes = figure.add_subplot()
        # By the square root, so that rare errors are not all white.
        axes.imshow(
            shares,
            cmap="Greys",
            norm=PowerNorm(0.5, 0, 130),
            aspect="auto",
            interpolation="nearest",
            interpolation_stage="rgba",
        )
        for (row, column), share in np.ndenumerate(shares):
            colour = "white" if share > 40 else "black"
            number = f"{share:.1f}" if share >= 0.05 else "0"
            lift = 0.14 if halves is not None and (share > 0 or halves[row, column] > 0) else 0.0
            axes.text(column, row - lift, number, ha="center", va="center", fontsize=8, color=colour)
            if lift and halves is not None:
                half = f"±{halves[row, column]:.1f}"
                axes.text(column, row + 0.24, half, ha="center", va="center", fontsize=6.2, color=colour)
        long = max(map(len, names)) > 3
        axes.set_xticks(
            range(len(names)), labels=names, parse_math=False, rotation=40 if long else 0, ha="right" if long else "center"
        )
        axes.set_yticks(range(len(names)), labels=names, parse_math=False)
        axes.tick_params(length=0)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        whole = len(arm.runs) - arm.diverged
        runs = f"mean of {whole} runs" + (f" ({arm.diverged} diverged)" if arm.diverged else "") if whole > 1 else "one run"
        interval = "; ±: half the 95% t interval" if halves is not None else ""
        axes.set_title(f"{title}\n", loc="left", parse_math=False)
        note = f"% of the true class, {runs}{interval}"
        axes.annotate(note, (0, 1), xytext=(0, 5), xycoords="axes fraction", textcoords="offset points", **style.NOTE)
    return figure
