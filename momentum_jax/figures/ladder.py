"""The ladder: what each part of momentum's gain is worth, with its interval, so that they stand side by side."""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from momentum_jax.figures import style
from momentum_jax.studies import wording
from momentum_jax.studies.analysis import Analysis, Claim
from momentum_jax.studies.analysis.claims import GAIN, LARGER_STEP, MOMENTUM_ITSELF, QUESTION

# Points of the page from a mark to the head of the arrow of an unbounded end.
_ARROW = 26.0


def ladder(analysis: Analysis, *, title: str) -> Figure | None:
    """A panel for each measure, with a row for the gain, its two parts and the tuned pair; None: the study has no ladder."""
    panels = [rows for measure in ("score", "steps") if (rows := _rows(analysis, measure))]
    if analysis.ladder is None or not panels:
        return None
    with mpl.rc_context(style.SETTINGS):
        heights = [len(rows) for rows in panels]
        figure = Figure(figsize=(style.WIDTH, 0.6 + sum(0.7 + 0.55 * rows for rows in heights)), layout="constrained")
        drawn = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axes, rows in zip(drawn, panels, strict=True):
            _draw(axes, analysis, rows)
        style.heading(figure, title, "diamonds and bars: typical paired difference with its interval; right of 0: better")
    return figure


def _rows(analysis: Analysis, measure: str) -> list[tuple[str, Claim, str]]:
    """Label, claim and colour of each row."""
    found = analysis.ladder
    if found is None:
        return []
    eta, effective = f"{found.learning_rate:.4g}", wording.effective_rate(analysis)
    labels = {
        GAIN: f"the whole gain: momentum at {eta}\nover gradient descent at {eta}",
        LARGER_STEP: f"the larger step: gradient descent\nat {effective} over that at {eta}",
        MOMENTUM_ITSELF: f"momentum itself: at {eta} over\ngradient descent at {effective}",
        QUESTION: "both tuned: momentum over\ngradient descent",
    }
    rows: list[tuple[str, Claim, str]] = []
    for index, (role, label) in enumerate(labels.items()):
        claim = analysis.by(role, measure)
        if claim is not None and all(claim is not other for _, other, _ in rows):
            rows.append((label, claim, style.COLOURS[index % 3]))
    return rows if len(rows) > 1 else []


def _draw(axes: Any, analysis: Analysis, rows: list[tuple[str, Claim, str]]) -> None:
    score, by_score = analysis.scores.primary, rows[0][1].measure == "score"
    factor = score.factor if by_score else 1
    written: list[tuple[float, int, str]] = []
    axes.axvline(0, color="#777777", linewidth=0.9, zorder=1)
    for index, (_, claim, colour) in enumerate(rows):
        evidence = claim.evidence
        middle = factor * evidence.estimate if math.isfinite(evidence.estimate) else 0.0
        ends = [factor * end for end in evidence.interval or ()]
        _bar(axes, index, middle, ends, colour)
        text = wording.signed(analysis, claim, evidence.estimate)
        written.append((middle, index, f"{text} [{wording.interval(analysis, claim)}]" if ends else text))
    axes.set_ylim(len(rows) - 0.5, -0.7)
    axes.margins(x=0.12)
    low, high = axes.get_xlim()
    for middle, index, text in written:
        # Away from the nearer edge.
        place = (middle - low) / (high - low)
        side = "left" if place < 0.3 else "right" if place > 0.7 else "center"
        # On white, so that no line goes through a number.
        behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        axes.annotate(
            text, (middle, index), xytext=(0, 8), textcoords="offset points", ha=side, fontsize=8.5, bbox=behind, zorder=5
        )
    axes.set_yticks(range(len(rows)), labels=[label for label, *_ in rows], fontsize=8.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    gained = "gained" if score.sign > 0 else "saved"
    unit = " (percentage points)" if score.percent else ""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    label = f"{analysis.scores.where}{score.name} {gained}{unit}" if by_score else "steps to the target saved"
    axes.set_xlabel(label, parse_math=False)


def _bar(axes: Any, row: int, middle: float, ends: list[float], colour: str) -> None:
    """A diamond at the estimate and its interval; an unbounded end is an arrow."""
    shown = [end if math.isfinite(end) else middle for end in ends]
    if shown:
        axes.plot(shown, [row, row], color=colour, linewidth=2.4, zorder=3, solid_capstyle="butt")
    for end in ends:
        if math.isinf(end):
            axes.annotate(
                "",
                (middle, row),
                xytext=(math.copysign(_ARROW, end), 0),
                textcoords="offset points",
                arrowprops={"arrowstyle": "<|-", "color": colour, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 3},
                zorder=3,
            )
    axes.plot([middle], [row], "D", color="white", markeredgecolor=colour, markeredgewidth=1.8, markersize=7, zorder=4)
