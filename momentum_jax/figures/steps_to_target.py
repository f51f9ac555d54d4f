"""Steps to the target: of each arm the share of runs that have reached it, by Kaplan and Meier, one panel below another."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from momentum_jax.figures import style
from momentum_jax.studies.analysis import ArmResult
from momentum_jax.studies.scores import RankedScore
from momentum_jax.studies.statistics import KaplanMeier


def steps_to_target(arms: Sequence[ArmResult], score: RankedScore, *, title: str, target: float) -> Figure:
    """One panel an arm, in their order, with the other arms' curves in grey; every arm must have `reached`."""
    curves = [(arm, arm.reached) for arm in arms if arm.reached is not None]
    with mpl.rc_context(style.SETTINGS):
        notes = [style.wrapped(f"{arm.label}: {_said(reached)}", 5.0, 9.0) for arm, reached in curves]
        heights = [0.85 + 0.16 * (note.count("\n") + 1) for note in notes]
        figure = Figure(figsize=(style.WIDTH, 1.2 + sum(heights)), layout="constrained")
        panels = figure.subplots(len(curves), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        drawn = [_steps(reached) for _, reached in curves]
        for index, (axes, (_, reached), note) in enumerate(zip(panels, curves, notes, strict=True)):
            colour = style.line_style(index, of=len(curves))["color"]
            for other, (times, share, *_) in enumerate(drawn):
                if other != index:
                    axes.step(times, share, where="post", color="#BBBBBB", linewidth=0.9, zorder=2)
            times, share, low, high = drawn[index]
            axes.fill_between(times, low, high, step="post", color=colour, alpha=0.22, linewidth=0, zorder=3)
            axes.step(times, share, where="post", color=colour, linewidth=2, zorder=4, clip_on=False)
            axes.set_ylim(0, 100)
            axes.set_yticks([0, 50, 100])
            axes.set_xlim(0, reached.budget)
            axes.set_title(note, loc="left", fontsize=9, parse_math=False)
        panels[-1].xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        panels[-1].xaxis.set_major_formatter("{x:,.0f}")
        panels[-1].set_xlabel("steps")
        figure.supylabel("runs that have reached it (%)", fontsize=10.5 if len(curves) > 2 else 8)
        beyond = "below" if score.sign < 0 else "above"
        note = f"target: validation {score.name} {target:g} or {beyond}; band: 95% exact limits; grey: the other arms"
        style.heading(figure, title, note if len(curves) > 1 else note.rpartition(";")[0])
    return figure


def _said(reached: KaplanMeier) -> str:
    there = reached.n - reached.never
    text = f"{there} of {reached.n} reached it" if there else f"none of {reached.n} reached it"
    if reached.median is not None:
        text += f", half by step {reached.median:,.0f}"
    return text + (f"; never: {reached.never}" if reached.never and there else "")


def _steps(reached: KaplanMeier) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Corners of the curve from 0 to the budget: times, the share that got there and its limits, in per cent."""
    times = np.array([0.0, *reached.times, reached.budget])

    def there(left: Sequence[float], start: float) -> np.ndarray:
        values = 100 * (1 - np.array([start, *left]))
        return np.append(values, values[-1])

    return times, there(reached.survival, 1.0), there(reached.high, 1.0), there(reached.low, 1.0)
