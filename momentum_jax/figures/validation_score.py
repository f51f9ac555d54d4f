"""The primary score of every arm on the validation set while it learns, with its band over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from momentum_jax.figures import score_axis, style
from momentum_jax.studies.learning_curves import ScoreCurve
from momentum_jax.studies.scores import RankedScore


def validation_score(curves: Sequence[ScoreCurve], score: RankedScore, *, title: str) -> Figure:
    """The score against steps, the curves in their order; runs that diverged are only counted."""
    with mpl.rc_context(style.SETTINGS):
        figure = Figure(figsize=(style.WIDTH, style.HEIGHT), layout="constrained")
        axes = figure.add_subplot()
        for index, curve in enumerate(curves):
            look = style.line_style(index, of=len(curves))
            note = f" ({curve.diverged} of {curve.runs} diverged)" if curve.diverged else ""
            axes.fill_between(
                curve.steps, score.factor * curve.low, score.factor * curve.high, color=look["color"], alpha=0.22, linewidth=0
            )
            axes.plot(curve.steps, score.factor * curve.mean, label=style.legend_label(f"{curve.label}{note}"), **look)
        # The first evaluation is of the untrained parameters.
        values = score.factor * np.concatenate([values[1:] for curve in curves for values in (curve.low, curve.high)])
        score_axis.scale(axes, "y", values, score, "validation ")
        axes.set_xlim(0, max((int(curve.steps[-1]) for curve in curves if curve.steps.size), default=1))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel("steps")
        axes.set_title(style.wrapped(title, 5.0, 10.5), loc="left", parse_math=False)
        style.legend(figure, axes)
    return figure
