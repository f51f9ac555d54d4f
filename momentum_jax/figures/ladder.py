"""The ladder: what each rung is worth, with its interval, so that the larger step and momentum itself stand side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from momentum_jax.figures import style
from momentum_jax.studies.analysis import LadderResult, Rungs
from momentum_jax.studies.scores import RankedScore
from momentum_jax.studies.statistics import PairedComparison

# Points of the page from a bound to its arrow's head.
_ARROW = 26.0


def ladder(found: LadderResult, score: RankedScore, where: str, *, title: str) -> Figure:
    """One panel a measure, in it a row for the whole gain, its two parts and, where both were tuned, the tuned pair."""
    with mpl.rc_context(style.SETTINGS):
        shown = [rungs for rungs in found.rungs if rungs is found.rungs[0] or not _nothing(rungs)]
        rows = 4 if shown[0].tuned is not None else 3
        figure = Figure(figsize=(style.WIDTH, 0.6 + len(shown) * (0.7 + 0.55 * rows)), layout="constrained")
        panels = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
        for axes, rungs in zip(panels, shown, strict=True):
            _draw(axes, found, rungs, score, where)
        note = "diamonds and bars: mean paired difference with 95% t interval; right of 0: better"
        known = {each for rungs in shown for each in rungs.bounds.values()}
        if known & {"lower", "upper"}:
            note += "; arrows: at least or at most (some runs never got there)"
        if "none" in known:
            note += "; dotted: up to the budget, as runs of both never got there"
        if found.diverged:
            note += f"; diverged runs ({found.diverged}) {score.if_diverged}"
        style.heading(figure, title, note)
    return figure


def _draw(axes: Any, found: LadderResult, rungs: Rungs, score: RankedScore, where: str) -> None:
    eta, effective = f"{found.learning_rate:.4g}", f"{found.learning_rate / (1 - found.mu):.4g}"
    rows: list[tuple[str, PairedComparison, str | None]] = [
        (f"the whole gain: momentum at {eta}\nover gradient descent at {eta}", rungs.gain, rungs.bounds.get("gain")),
        (
            f"the larger step: gradient descent\nat {effective} over that at {eta}",
            rungs.larger_step,
            rungs.bounds.get("larger_step"),
        ),
        (
            f"momentum itself: at {eta} over\ngradient descent at {effective}",
            rungs.momentum_itself,
            rungs.bounds.get("momentum_itself"),
        ),
    ]
    if rungs.tuned is not None:
        rows.append(("both tuned: momentum over\ngradient descent", rungs.tuned, rungs.bounds.get("tuned")))
    by_score = rungs.measure == "score"
    factor, form = (float(score.factor), score.form(signed=True)) if by_score else (1.0, "+z,.0f")
    written: list[tuple[float, int, str]] = []
    axes.axvline(0, color="#777777", linewidth=0.9, zorder=1)
    for index, (_, difference, known) in enumerate(rows):
        colour = style.COLOURS[0] if index in (0, 3) else style.COLOURS[index + 1]
        mean = factor * difference.mean_difference
        # Without spread there is no interval, as in the table.
        ends = [] if difference.without_spread else [factor * end for end in difference.t_interval or ()]
        _bar(axes, index, mean, ends, known, colour)
        written.append((mean, index, _said(mean, ends, known, form)))
    axes.set_ylim(len(rows) - 0.5, -0.7)
    axes.margins(x=0.2 if rungs.bounds else 0.12)
    low, high = axes.get_xlim()
    for mean, index, text in written:
        # Away from the nearer edge.
        place = (mean - low) / (high - low)
        side = "left" if place < 0.3 else "right" if place > 0.7 else "center"
        axes.annotate(text, (mean, index), xytext=(0, 8), textcoords="offset points", ha=side, fontsize=8.5)
    axes.set_yticks(range(len(rows)), labels=[label for label, *_ in rows], fontsize=8.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    gained = "gained" if score.sign > 0 else "saved"
    unit = " (percentage points)" if score.percent else ""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.set_xlabel(f"{where}{score.name} {gained}{unit}" if by_score else "steps to the target saved", parse_math=False)


def _bar(axes: Any, row: int, mean: float, ends: Sequence[float], known: str | None, colour: str) -> None:
    """A diamond at the mean and its interval; of a bound the end that it has, and an arrow in the place of the other."""
    is_bound = known in ("lower", "upper")
    shown = [ends[known == "upper"], mean] if ends and is_bound else ends
    if shown:
        # What is not even a bound is drawn as it is counted, but not as firmly.
        line = {"linestyle": (0, (1.2, 0.8))} if known == "none" else {"solid_capstyle": "butt"}
        axes.plot(shown, [row, row], color=colour, linewidth=2.4, zorder=3, **line)
    if is_bound:
        axes.annotate(
            "",
            (mean, row),
            xytext=(_ARROW if known == "lower" else -_ARROW, 0),
            textcoords="offset points",
            arrowprops={"arrowstyle": "<|-", "color": colour, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 3},
            zorder=3,
        )
    axes.plot([mean], [row], "D", color="white", markeredgecolor=colour, markeredgewidth=1.8, markersize=7, zorder=4)


def _said(mean: float, ends: Sequence[float], known: str | None, form: str) -> str:
    sign = {"lower": "≥ ", "upper": "≤ "}.get(known or "", "")
    text = f"{sign}{mean:{form}}"
    if not ends:
        return text
    if sign:
        return f"{text} [{sign}{ends[known == 'upper']:{form}}]"
    return f"{text} [{ends[0]:{form}}, {ends[1]:{form}}]" + ", up to the budget" * (known == "none")


def _nothing(rungs: Rungs) -> bool:
    """No difference at all, as where no run reached the target."""
    return not any(each.mean_difference for each in (rungs.gain, rungs.larger_step, rungs.momentum_itself))
