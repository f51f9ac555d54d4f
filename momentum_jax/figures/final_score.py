"""Where the final scores of each arm lie: every run a dot, beside them the mean with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from momentum_jax.figures import score_axis, style
from momentum_jax.studies.analysis import ArmResult
from momentum_jax.studies.scores import RankedScore

_DIVERGED = "#B00020"


def final_score(arms: Sequence[ArmResult], score: RankedScore, where: str, *, title: str) -> Figure:
    """One row an arm, in their order; `where` stands before the score's name.

    The axis has room for the study's own arms, and of their runs for those that did not diverge; what lies beyond it is counted
    at its worse end, diverged runs as crosses. The mean counts them where they have a score.
    """
    with mpl.rc_context(style.SETTINGS):
        labels = [style.wrapped(arm.label, 2.2, 9.0) for arm in arms]
        heights = [0.3 + 0.17 * max(2, label.count("\n") + 1) for label in labels]
        figure = Figure(figsize=(style.WIDTH, 1.3 + sum(heights)), layout="constrained")
        axes = figure.add_subplot()
        limits = score_axis.scale(axes, "x", _inside(arms, score), score, where)
        ends = np.cumsum(heights)
        for index, (arm, end, height) in enumerate(zip(arms, ends, heights, strict=True)):
            _row(axes, arm, score, end - height / 2, style.line_style(index, of=len(arms))["color"], limits)
        axes.set_ylim(ends[-1], 0)
        axes.set_yticks(ends - np.array(heights) / 2, labels=labels, fontsize=9, parse_math=False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        for end in ends[:-1]:
            axes.axhline(end, color="#DDDDDD", linewidth=0.6, zorder=0)
        note = "dots: runs; diamond and bar: mean with 95% t interval"
        if any(arm.diverged for arm in arms):
            note += f"; crosses: diverged, {score.if_diverged}"
        style.heading(figure, title, note)
    return figure


def _whole(arm: ArmResult, score: RankedScore) -> list[float]:
    """Scores, as they are written, of the runs that did not diverge, the best first."""
    known = [value for value in arm.values[score.name] if value is not None]
    if score.worst is not None:
        for _ in range(arm.diverged):
            # Among scores without bounds the worst value need not be the last.
            known.remove(score.worst)
    return sorted((score.factor * value for value in known), reverse=score.sign > 0)


def _inside(arms: Sequence[ArmResult], score: RankedScore) -> list[float]:
    """What the axis has to have room for: a rung of the ladder may fail, and would leave the arms no room."""
    own = [arm for arm in arms if not arm.rung]
    values = [value for arm in own for value in _whole(arm, score)]
    worst = min((score.sign * value for value in values), default=0.0)
    # The best of a rung that is not worse than all runs of the arms.
    values += [best[0] for arm in arms if arm.rung and values and (best := _whole(arm, score)) and score.sign * best[0] > worst]
    for arm in own:
        found = arm.described[score.name]
        if found is not None and found.t_interval is not None and not arm.diverged:
            ends = [score.factor * end for end in found.t_interval]
            values += [min(max(end, 0.0), 100.0) for end in ends] if score.percent else _not_below(ends, values)
    return values


def _not_below(ends: Sequence[float], values: Sequence[float]) -> list[float]:
    """Of scores that are all positive an interval that reaches 0 or below it would hide the scale."""
    return [end for end in ends if end > 0 or min(values, default=-1.0) <= 0]


def _row(axes: Any, arm: ArmResult, score: RankedScore, middle: float, colour: str, limits: tuple[float, float]) -> None:
    whole = [value for value in _whole(arm, score) if limits[0] <= value <= limits[1]]
    worse_end = limits[0] if score.sign > 0 else limits[1]
    beyond = len(_whole(arm, score)) - len(whole)
    what = f"{'lower' if score.sign > 0 else 'higher'} than this axis shows"
    counts = ((arm.diverged, "diverged"), (beyond, what))
    said = "; ".join(f"{count} of {len(arm.runs)} {what}" for count, what in counts if count)
    # Spread over the upper half of the row, so that equal values show; above the words where there are any.
    heights = middle - (0.15 if said else 0.06) - 0.03 * (np.arange(len(whole)) % 4)
    axes.plot(whole, heights, "o", color=colour, markersize=5, alpha=0.75, markeredgewidth=0, clip_on=False, zorder=3)
    below = middle + 0.14
    if arm.diverged:
        ends = np.full(arm.diverged, worse_end)
        axes.plot(ends, middle - 0.15 + 0.07 * np.arange(arm.diverged), "x", color=_DIVERGED, clip_on=False, zorder=4)
    found = arm.described[score.name]
    if said:
        colour_said = _DIVERGED if arm.diverged else "#333333"
        mean_said = "no mean" if found is None else f"mean {score.factor * found.mean:{score.form()}}{' %' * score.percent}"
        inwards, side = (10, "left") if score.sign > 0 else (-10, "right")
        axes.annotate(
            f"{said}; {mean_said}",
            (worse_end, middle),
            xytext=(inwards, -4),
            textcoords="offset points",
            ha=side,
            fontsize=8.5,
            color=colour_said,
        )
    if found is None or not limits[0] <= (mean := score.factor * found.mean) <= limits[1]:
        return
    if found.t_interval is not None:
        low, high = (float(np.clip(score.factor * end, *limits)) for end in found.t_interval)
        axes.plot([low, high], [below, below], color=colour, linewidth=2, solid_capstyle="butt", zorder=3)
    axes.plot([mean], [below], "D", color="white", markeredgecolor=colour, markeredgewidth=1.6, markersize=6, zorder=4)
