"""A comparison: the training loss of every arm on a log axis, smoothed over raw, with its band over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from momentum_jax.figures import style
from momentum_jax.studies.learning_curves import LearningCurve

# How many times beyond the others' losses those of runs that diverged are shown.
_BEYOND = 10.0


def compare(curves: Sequence[LearningCurve], *, title: str, loss: str, target: float | None = None) -> Figure:
    """Training loss against steps.

    `curves` are drawn in their order; `loss` names the vertical quantity with its unit. Below the axis of steps a triangle
    stands at the mean step at which the runs of an arm reached the `target`, if all did. A diverged run ends in a cross.
    """
    with mpl.rc_context(style.SETTINGS):
        figure = Figure(figsize=(style.WIDTH, style.HEIGHT), layout="constrained")
        axes = figure.add_subplot()
        limits = _limits(curves)
        for index, curve in enumerate(curves):
            _draw(axes, curve, style.line_style(index, of=len(curves)), limits[1])
        if target is not None:
            _draw_target(axes, curves, target)
        axes.set_yscale("log")
        axes.set_xlim(0, max((int(curve.steps[-1]) + 1 for curve in curves if curve.steps.size), default=1))
        axes.set_ylim(*limits)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel("steps")
        axes.set_ylabel(loss)
        key = style.wrapped(_key(curves), 5.1, 8.5)
        axes.set_title(title + "\n" * (key.count("\n") + 1), loc="left", parse_math=False)
        axes.annotate(
            key, (0, 1), xytext=(0, 5), xycoords="axes fraction", textcoords="offset points", **style.NOTE
        ).set_in_layout(False)
        style.legend(figure, axes)
    return figure


def _draw(axes, curve: LearningCurve, look: dict[str, Any], top: float) -> None:
    colour = look["color"]
    note = f" ({len(curve.diverged)} of {curve.runs} diverged)" if curve.diverged else ""
    axes.plot(curve.steps, curve.raw, color=colour, alpha=0.25, linewidth=0.5, zorder=2)
    axes.fill_between(curve.steps, curve.low, curve.high, color=colour, alpha=0.22, linewidth=0, zorder=3)
    axes.plot(curve.steps, curve.mean, label=style.legend_label(f"{curve.label}{note}"), zorder=4, **look)
    for steps, losses in curve.diverged:
        axes.plot(steps, losses, color=colour, linewidth=0.8, zorder=4)
        # A loss beyond the axis ends at its edge.
        end = np.minimum(losses[-1:], top)
        axes.plot(steps[-1:], end, marker="x", markersize=7, markeredgewidth=1.8, color=colour, zorder=5, clip_on=False)


def _draw_target(axes, curves: Sequence[LearningCurve], target: float) -> None:
    """Marks on the axis of steps: the target is on a validation score, which the other axis does not show."""
    label = f"\N{BLACK UP-POINTING TRIANGLE} validation loss at the target of {target:g}"
    for index, curve in enumerate(curves):
        if curve.reached is not None:
            look = style.line_style(index, of=len(curves))
            size = 5 + 2 * look["linewidth"]
            place = {"transform": axes.get_xaxis_transform(), "zorder": 6, "clip_on": False}
            axes.plot([curve.reached], [0], marker=6, markersize=size, color=look["color"], **place)
    never = not any(curve.reached is not None for curve in curves)
    axes.plot([], [], linestyle="none", label=f"{label}{': never reached by all runs of an arm' * never}")


def _key(curves: Sequence[LearningCurve]) -> str:
    seeds, window = max(curve.runs for curve in curves), curves[0].window
    said = [f"mean of {seeds} seeds" if seeds > 1 else "", f"smoothed over {window} steps; faint: raw" if window > 1 else ""]
    if any(curve.diverged for curve in curves):
        said.append("thin: runs that diverged, alone")
    return "; ".join(filter(None, [", ".join(filter(None, said[:2])), "band: all seeds" if seeds > 1 else "", *said[2:]]))


def _limits(curves: Sequence[LearningCurve]) -> tuple[float, float]:
    """Room for the bands; raw losses, which scatter down to zero on a log axis, may leave it, and so may those
    of runs that diverged: on their way to infinity they would leave the others no room.
    """
    alone = [losses for curve in curves for _, losses in curve.diverged]
    values = np.concatenate([*(curve.low for curve in curves), *(curve.high for curve in curves)])
    sound, lost = (each[each > 0] for each in (values, np.concatenate([*alone, [np.nan]])))
    if not sound.size or not any(np.isfinite(curve.low).any() for curve in curves):
        both = np.concatenate([sound, lost])
        return (float(both.min()) / 1.5, float(both.max()) * 1.5) if both.size else (0.1, 10.0)
    low, high = float(sound.min()), float(sound.max())
    if lost.size:
        low, high = min(low, max(float(lost.min()), low / _BEYOND)), max(high, min(float(lost.max()), high * _BEYOND))
    return low / 1.5, high * 1.5
