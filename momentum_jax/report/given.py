"""What the sections of a report are made from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from momentum_jax.figures import page
from momentum_jax.report.blocks import Sources, Value
from momentum_jax.studies import wording
from momentum_jax.studies.analysis import Analysis, ArmResult, Claim
from momentum_jax.studies.learning_curves import LearningCurve, ScoreCurve
from momentum_jax.studies.scores import RankedScore
from momentum_jax.studies.statistics import Description
from momentum_jax.studies.store import Store

# In widths of the middle half of all values: one further from their median is not on the scale of a figure.
_FAR = 5.0


@dataclass(frozen=True)
class Given:
    """A store, its analysis and its curves, with the sources of what has been said.

    off: the arms that figures leave off their scales. classes: their names; None: numbers.
    """

    store: Store
    analysis: Analysis
    curves: Sequence[LearningCurve]
    scores: Sequence[ScoreCurve]
    off: frozenset[str]
    classes: Sequence[str] | None
    sources: Sources = field(default_factory=Sources)

    def index(self, label: str) -> int:
        """The place of an arm among all: its colour, dashes and mark follow from it."""
        # An arm of which only the search has run yet comes after those that there are.
        own = (*self.analysis.arms, *self.analysis.study.arms)
        return next(index for index, arm in enumerate(own) if arm.label == label)

    def called(self, label: str) -> str:
        return wording.called(self.analysis, label)

    def mean(self, arm: ArmResult, score: RankedScore, found: Description, written: str) -> Value:
        """The mean of an arm's final scores, of the runs that have one."""
        what = f"mean of {found.n} runs: final {self.analysis.scores.where}{score.name} of ", self.called(arm.label)
        return self.sources.value(written, what, score.factor * found.mean, runs_at(arm, scored(arm, score)))

    def difference(self, claim: Claim) -> Value:
        """The estimate of a claim, as the difference of the score itself."""
        analysis, estimate = self.analysis, claim.evidence.estimate
        exact = estimate * self.factor(claim)
        first, second = (runs_at(analysis.arm(label), claim.seeds) for label in (claim.first, claim.second))
        shown = wording.signed(analysis, claim, estimate)
        return self.sources.value(shown, wording.sections.source_of(analysis, claim), exact, first, second)

    def scale(self, claims: Sequence[Claim]) -> page.Scale:
        """For differences: it holds 0, what was estimated, and seeds that are not far from that."""
        values = [0.0]
        for claim in claims:
            estimate, ends = claim.evidence.estimate, claim.evidence.interval or ()
            finite = [each for each in claim.differences if math.isfinite(each)]
            values += [estimate, *(end for end in ends if math.isfinite(end)), *near(finite)]
        return page.Scale.over(values)

    def axis(self, scale: page.Scale, claim: Claim, left: str, right: str) -> page.Markup:
        """Of differences, as those of the score itself."""
        texts = page.tick_text(scale.ticks(), factor=self.factor(claim), signed=True)
        return page.axis(scale, texts, left=left, right=right)

    def factor(self, claim: Claim) -> int:
        """From a gain to the difference of the score itself, as it is written."""
        primary = self.analysis.scores.primary
        return 1 if claim.measure == "steps" else primary.sign * primary.factor

    def drawn(self, claim: Claim, scale: page.Scale, *, big: bool = False) -> page.Markup:
        """The interval of a claim with its seeds."""
        analysis, evidence = self.analysis, claim.evidence
        seeds = [
            (value, f"seed {seed}: {wording.signed(analysis, claim, value)}")
            for seed, value in zip(claim.seeds, claim.differences, strict=True)
        ]
        alt = wording.claim_line(analysis, claim)
        arm = self.index(claim.first)
        return page.interval(scale, arm, evidence.estimate, evidence.interval, seeds, alt=alt, big=big)


def near(values: Sequence[float], is_log: bool = False) -> list[float]:
    """Those that are not so far from the others that these would lie on top of one another."""
    if not values:
        return []
    places = np.log10(values) if is_log else np.array(values)
    low, middle, high = np.quantile(places, (0.25, 0.5, 0.75))
    return np.array(values)[(np.abs(places - middle) <= _FAR * (high - low)) | (low == high)].tolist()


def scored(arm: ArmResult, score: RankedScore) -> list[int]:
    """The seeds on which an arm has that score."""
    return [seed for seed, value in zip(arm.seeds, arm.values[score.name], strict=True) if value is not None]


def runs_at(arm: ArmResult, seeds: Sequence[int]) -> list[str]:
    """The names of an arm's runs from these seeds."""
    wanted = {*seeds}
    return [name for name, seed in zip(arm.runs, arm.seeds, strict=True) if seed in wanted]
