"""Where the final test accuracies of each arm lie: every run a dot, beside them the mean with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from momentum_jax.figures import accuracy_axis, style
from momentum_jax.studies.analysis import ArmResult

_DIVERGED = "#B00020"


def test_accuracy(arms: Sequence[ArmResult], *, title: str) -> Figure:
    """One row an arm, in their order.

    The axis has room for the study's own arms, and of their runs for those that did not diverge; what lies below it is counted
    at its lower end, diverged runs as crosses, with the mean, which counts them.
    """
    with mpl.rc_context(style.SETTINGS):
        labels = [style.wrapped(arm.label, 2.2, 9.0) for arm in arms]
        heights = [0.3 + 0.17 * max(2, label.count("\n") + 1) for label in labels]
        figure = Figure(figsize=(style.WIDTH, 1.3 + sum(heights)), layout="constrained")
        axes = figure.add_subplot()
        limits = accuracy_axis.scale(axes, "x", _inside(arms), "test accuracy")
        ends = np.cumsum(heights)
        for index, (arm, end, height) in enumerate(zip(arms, ends, heights, strict=True)):
            _row(axes, arm, end - height / 2, style.line_style(index, of=len(arms))["color"], limits)
        axes.set_ylim(ends[-1], 0)
        axes.set_yticks(ends - np.array(heights) / 2, labels=labels, fontsize=9, parse_math=False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        for end in ends[:-1]:
            axes.axhline(end, color="#DDDDDD", linewidth=0.6, zorder=0)
        note = "dots: runs; diamond and bar: mean with 95% t interval"
        if any(arm.diverged for arm in arms):
            note += "; crosses: diverged, count as 0 %"
        style.heading(figure, title, note)
    return figure


def _whole(arm: ArmResult) -> list[float]:
    """Per cent of the runs that did not diverge: of the others the accuracy is 0."""
    return sorted((100 * value for value in arm.accuracies), reverse=True)[: len(arm.accuracies) - arm.diverged]


def _inside(arms: Sequence[ArmResult]) -> list[float]:
    """What the axis has to have room for: a rung of the ladder may fail, and would leave the arms no room."""
    own = [arm for arm in arms if not arm.rung]
    values = [value for arm in own for value in _whole(arm)]
    values += [max(_whole(arm)) for arm in arms if arm.rung and _whole(arm) and values and max(_whole(arm)) > min(values)]
    for arm in own:
        if arm.accuracy.t_interval is not None and not arm.diverged:
            values += [min(max(100 * end, 0.0), 100.0) for end in arm.accuracy.t_interval]
    return values


def _row(axes: Any, arm: ArmResult, middle: float, colour: str, limits: tuple[float, float]) -> None:
    whole = [value for value in _whole(arm) if value >= limits[0]]
    below_axis = len(arm.runs) - arm.diverged - len(whole)
    counts = ((arm.diverged, "diverged"), (below_axis, "lower than this axis shows"))
    said = "; ".join(f"{count} of {len(arm.runs)} {what}" for count, what in counts if count)
    # Spread over the upper half of the row, so that equal values show; above the words where there are any.
    heights = middle - (0.15 if said else 0.06) - 0.03 * (np.arange(len(whole)) % 4)
    axes.plot(whole, heights, "o", color=colour, markersize=5, alpha=0.75, markeredgewidth=0, clip_on=False, zorder=3)
    below = middle + 0.14
    mean, interval = 100 * arm.accuracy.mean, arm.accuracy.t_interval
    if arm.diverged:
        left = np.full(arm.diverged, limits[0])
        axes.plot(left, middle - 0.15 + 0.07 * np.arange(arm.diverged), "x", color=_DIVERGED, clip_on=False, zorder=4)
    if said:
        colour_said = _DIVERGED if arm.diverged else "#333333"
        text = f"{said}; mean {mean:.2f} %"
        axes.annotate(text, (limits[0], middle), xytext=(10, -4), textcoords="offset points", fontsize=8.5, color=colour_said)
    if mean < limits[0]:
        return
    if interval is not None:
        low, high = (float(np.clip(100 * end, *limits)) for end in interval)
        axes.plot([low, high], [below, below], color=colour, linewidth=2, solid_capstyle="butt", zorder=3)
    axes.plot([mean], [below], "D", color="white", markeredgecolor=colour, markeredgewidth=1.6, markersize=6, zorder=4)
