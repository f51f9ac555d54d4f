"""The one rule of evidence: what a study may claim.

Two arms are compared by n paired differences d_i, seed by seed, turned so that positive is better. The test is the exact
two-sided signed-rank test. All claims of a study share one level of 5%, by a tree (`graph`). The question comes first; what
explains an effect is asked only where the effect is claimed. The estimate is Hodges and Lehmann's, and its interval agrees
with the claim.

    {"question": Differences(...), "gain": ...}  --decide-->  {"question": Evidence(...), ...}

The chance that a study claims anything where no arm differs is at most 5%. `bench/evidence.py` measures that.
Everything that speaks of evidence reads these results: the page, Markdown, JSON, the command line and the textbook.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from momentum_jax.studies.evidence import power, walsh
from momentum_jax.studies.evidence.graph import Questions as Questions, adjust
from momentum_jax.studies.evidence.power import fewest_pairs as fewest_pairs
from momentum_jax.studies.statistics.ranks import signed_rank

LEVEL = 0.05
# A difference below this share of the largest value is rounding of float32, and counts as none.
_ROUNDING = 2.0**-22
# The level of each look at the data, where as many were declared before the first run, so that all of them share 5%.
# Source: S. J. Pocock (1977), Biometrika 64, 191-199.
LEVEL_OF_LOOKS = {1: LEVEL, 2: 0.0294, 3: 0.0221, 4: 0.0182, 5: 0.0158}


@dataclass(frozen=True)
class Differences:
    """Paired differences of two arms, one a seed, positive where the first is better.

    values: infinite where one of the two runs diverged and the score has no worst value. resolution: at most that is none.
    """

    values: tuple[float, ...]
    resolution: float = 0.0

    @classmethod
    def of(cls, first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray) -> Differences:
        """First less second; a minus infinity is worse than everything and level with itself.

        Raises:
          ValueError: the two differ in length, or a value is NaN or plus infinity.
        """
        a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
        if a.shape != b.shape or a.ndim != 1:
            raise ValueError(f"Differences: both need one value a seed, got shapes {a.shape} and {b.shape}.")
        if not np.all(np.concatenate([a, b]) < np.inf):
            raise ValueError("Differences: values must be numbers or minus infinity.")
        with np.errstate(invalid="ignore"):
            found = np.where(a == b, 0.0, a - b)
        values = np.concatenate([a, b])
        finite = np.abs(values[np.isfinite(values)])
        return cls(tuple(found.tolist()), _ROUNDING * float(finite.max(initial=0.0)))


@dataclass(frozen=True)
class Evidence:
    """What the seeds say of one hypothesis.

    n: seeds. differing: seeds on which the two arms differ. p: of the exact signed-rank test. adjusted: for all hypotheses
    and looks of the study; a claim is made where it is at most 0.05. tested: whether it was asked; a child is asked once its
    parent is claimed. direction: 1 where better is claimed, -1 where worse is, else 0. opposed: it is claimed that the arms
    differ, and the mean has the other sign than the estimate, so that no direction is claimed.
    estimate: median of the Walsh averages. mean: of the differences; None where it is not finite.
    interval: with `confidence`; None: so few seeds have none. An end may be infinite.
    level: at which it was tested, or would be. detectable: the smallest true difference that is claimed in 80% of studies of
    as many seeds with this spread; None: none is, or there is no spread.
    """

    n: int
    differing: int
    p: float
    adjusted: float
    tested: bool
    claimed: bool
    direction: int
    opposed: bool
    estimate: float
    mean: float | None
    interval: tuple[float, float] | None
    confidence: float
    level: float
    detectable: float | None

    @property
    def fewest(self) -> int:
        """The fewest differing pairs with which this could be claimed."""
        return fewest_pairs(self.level)

    def is_within(self, margin: float) -> bool:
        """Whether the whole interval is: the arms are equivalent within a margin that was declared beforehand."""
        return self.interval is not None and -margin < self.interval[0] and self.interval[1] < margin


def decide(
    differences: Mapping[str, Differences], questions: Questions, *, looks: int = 1, detect: bool = True
) -> dict[str, Evidence]:
    """The evidence on each hypothesis of the tree.

    Args:
      differences: by the name of the hypothesis; all of `questions.names`.
      looks: at how many numbers of seeds, declared before the first run, the data are looked at.
      detect: also simulate what these seeds can detect, which takes most of the time.

    Raises:
      ValueError: a hypothesis has no difference, or a name is missing.
    """
    if missing := [name for name in questions.names if not (name in differences and differences[name].values)]:
        raise ValueError(f"decide: no differences for {', '.join(missing)}.")
    level = LEVEL_OF_LOOKS[looks]
    tests = {name: _test(differences[name]) for name in questions.names}
    found = adjust(questions, {name: p for name, (p, _, _) in tests.items()}, level)
    evidence: dict[str, Evidence] = {}
    for name in questions.names:
        parent = questions.parent(name)
        is_tested = parent is None or parent not in evidence or evidence[parent].claimed
        evidence[name] = _evidence(differences[name], tests[name], *found[name], level, is_tested, detect)
    return evidence


def _test(differences: Differences) -> tuple[float, int, float]:
    """p of the exact signed-rank test, how many differ, and the sign that the ranks speak for."""
    positive, p, differing = signed_rank(_ranked(differences), differences.resolution)
    return p, differing, float(np.sign(positive - differing * (differing + 1) / 4))


def _ranked(differences: Differences) -> np.ndarray:
    """The differences, infinite ones with a finite size that only they have: they share the top rank."""
    values = np.array(differences.values)
    finite = np.abs(values[np.isfinite(values)])
    top = 2 * (float(finite.max(initial=0.0)) + differences.resolution) + 1.0
    return np.where(np.isinf(values), np.sign(values) * top, values)


def _evidence(
    differences: Differences,
    test: tuple[float, int, float],
    adjusted: float,
    weight: float,
    level: float,
    is_tested: bool,
    detect: bool,
) -> Evidence:
    p, differing, sign_of_ranks = test
    values = np.array(differences.values)
    n = values.size
    own = level * weight if weight > 0 else LEVEL
    is_claimed = is_tested and adjusted <= level
    averages = walsh.averages(values)
    estimate = walsh.median(averages)
    # Where most seeds are level, the estimate is 0 though the others all point one way.
    sign = np.sign(estimate) or sign_of_ranks
    with np.errstate(invalid="ignore"):
        mean = float(values.mean())
    is_opposed = is_claimed and sign * np.sign(mean) < 0
    residuals = values[np.isfinite(values)] - (estimate if math.isfinite(estimate) else 0.0)
    return Evidence(
        n=n,
        differing=differing,
        p=p,
        # Each of several looks has a smaller level, of which it takes as large a share.
        adjusted=min(1.0, adjusted * (LEVEL / level)),
        tested=is_tested,
        claimed=is_claimed,
        direction=0 if is_opposed or not is_claimed else int(sign),
        opposed=bool(is_opposed),
        estimate=estimate,
        mean=mean if math.isfinite(mean) else None,
        interval=_agreeing(walsh.interval(averages, n, own), is_tested, is_claimed, sign),
        confidence=1 - own,
        level=own,
        detectable=power.detectable(residuals, n, own) if detect else None,
    )


def _agreeing(
    interval: tuple[float, float] | None, is_tested: bool, is_claimed: bool, sign: float
) -> tuple[float, float] | None:
    """Where ties part interval and test: the end near 0 of a claim is cut at 0, an interval without a claim holds 0."""
    if interval is None or not is_tested:
        return interval
    low, high = interval
    if not is_claimed:
        return min(low, 0.0), max(high, 0.0)
    return (max(low, 0.0), max(high, 0.0)) if sign > 0 else (min(low, 0.0), min(high, 0.0))


def seeds_needed(differences: Differences, evidence: Evidence, difference: float) -> int | None:
    """With how many seeds the rule would find a true difference of that size in 80% of studies with this spread."""
    values = np.array(differences.values)
    values = values[np.isfinite(values)]
    centre = evidence.estimate if math.isfinite(evidence.estimate) else 0.0
    return power.seeds_needed(values - centre, difference, evidence.level)
