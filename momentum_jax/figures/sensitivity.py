"""How much each tuned arm depends on its learning rate: the score of every trial, and which was chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from momentum_jax.figures import score_axis, style
from momentum_jax.studies.analysis import Trial, Tuning
from momentum_jax.studies.scores import RankedScore

_COLUMNS = 2
_CHOSEN, _DIVERGED = "#D55E00", "#B00020"


def sensitivity(tunings: Sequence[Tuning], score: RankedScore, *, title: str) -> Figure:
    """One panel for each tuning that searched a learning rate, all on one vertical axis.

    `score` is what the search chose by; better is up. Where one more number was searched, a dot is
    the darker the larger it is. Trials of which every run diverged are crosses at the lower edge; where some did, the score is
    that of the others, and a small cross says so.
    """
    shown = [(tuning, tuning.learning_rate) for tuning in tunings if tuning.learning_rate is not None]
    columns = min(_COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    with mpl.rc_context(style.SETTINGS):
        notes = [f"{style.wrapped(tuning.arm, 4.9 / columns, 8.5)}\n{_note(tuning)}" for tuning, _ in shown]
        figure = Figure(figsize=(style.WIDTH, 0.6 + rows * 2.9), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        values = [value for tuning, _ in shown for trial in tuning.trials if (value := _value(trial, score)) is not None]
        for axes, (tuning, rate), note in zip(panels, shown, notes, strict=False):
            _draw(axes, tuning, rate, score, _vertical(axes, values, score))
            axes.set_title(note, loc="left", fontsize=8.5, parse_math=False)
            axes.set_xlabel("learning rate")
            figure.supylabel(axes.get_ylabel(), fontsize=10.5, multialignment="center", parse_math=False)
            axes.set_ylabel("")
        for axes in panels[len(shown) :]:
            axes.set_visible(False)
        style.heading(figure, title, f"validation {score.name} of each trial after the last step, mean over its seeds")
    return figure


def _value(trial: Trial, score: RankedScore) -> float | None:
    """As it is written."""
    mean = trial.means[score.name]
    return None if mean is None else score.factor * mean


def _vertical(axes: Any, values: Sequence[float], score: RankedScore) -> float:
    """Sets up the axis, better up; returns where its worse end is."""
    limits = score_axis.scale(axes, "y", values, score, "validation ")
    if score.sign > 0:
        return limits[0]
    axes.set_ylim(limits[1], limits[0])
    axes.set_ylabel(f"validation {score.heading}\n(lower is better, and up)", parse_math=False)
    if axes.get_yscale() == "log":
        _ticks(axes.yaxis, *limits)
    return limits[1]


def _draw(axes: Any, tuning: Tuning, rate: str, score: RankedScore, worst: float) -> None:
    rates = [float(trial.values[rate]) for trial in tuning.trials]
    # A rate that is not positive has no place on a logarithmic axis.
    if min(rates) > 0:
        axes.set_xscale("log")
        _ticks(axes.xaxis, min(rates), max(rates))
    shades = _shades(tuning)
    chosen = tuning.trials[tuning.chosen]
    for trial, shade in zip(tuning.trials, shades, strict=True):
        value = _value(trial, score)
        at = float(trial.values[rate])
        if value is None:
            axes.plot([at], [worst], "x", color=_DIVERGED, markersize=7, markeredgewidth=1.6, clip_on=False, zorder=4)
            continue
        axes.plot([at], [value], "o", color=shade, markeredgecolor="black", markeredgewidth=0.7, markersize=6.5, zorder=3)
        if trial.diverged:
            # Larger than the dot, so that its ends show.
            axes.plot([at], [value], "x", color=_DIVERGED, markersize=10, markeredgewidth=1.6, zorder=5)
        if trial is chosen:
            axes.plot(
                [at],
                [value],
                "o",
                color="none",
                markeredgecolor=_CHOSEN,
                markeredgewidth=2,
                markersize=13,
                clip_on=False,
                zorder=6,
            )
    if len(tuning.trials[0].values) == 1:
        points = sorted((float(t.values[rate]), value) for t in tuning.trials if (value := _value(t, score)) is not None)
        axes.plot(*np.array(points).reshape(-1, 2).T, color="#777777", linewidth=0.9, zorder=2)


def _ticks(axis: Any, low: float, high: float) -> None:
    """Plain numbers. Less than two decades would have one or none; where there is more than one, three a decade do not fit."""
    subs = (1.0, 2.0, 5.0) if high < 10 * low else (1.0, 3.0) if high < 100 * low else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=6))
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter("{x:g}")


def _second(tuning: Tuning) -> str | None:
    """The other range of the search, if it is one of numbers; of several the first."""
    for name in tuning.trials[0].values:
        values = [trial.values[name] for trial in tuning.trials]
        if name != tuning.learning_rate and all(isinstance(value, int | float) and value < 1 for value in values):
            return name
    return None


def _shades(tuning: Tuning) -> list[str]:
    """Greys, by rank, the darker the larger."""
    name = _second(tuning)
    if name is None:
        return ["#555555"] * len(tuning.trials)
    values = [trial.values[name] for trial in tuning.trials]
    ranks = np.searchsorted(np.unique(values), values) / max(1, len(np.unique(values)) - 1)
    return [str(0.95 - 0.85 * rank) for rank in ranks]


def _note(tuning: Tuning) -> str:
    name = _second(tuning)
    lost = sum(trial.diverged == len(trial.runs) for trial in tuning.trials)
    partly = sum(0 < trial.diverged < len(trial.runs) for trial in tuning.trials)
    text = "ring: chosen" + (f"; crosses: diverged ({lost})" if lost else "")
    if partly:
        text += f"\ncrosses on dots: on some seeds ({partly})"
    if name is None:
        return text
    values = [trial.values[name] for trial in tuning.trials]
    return f"{text}\n{name}: {min(values):.3g} (light) to {max(values):.3g} (dark)"
