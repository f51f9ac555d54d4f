"""How many seeds would find a difference: for a few that may be worth finding."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from momentum_jax.studies.analysis.answer import margin
from momentum_jax.studies.analysis.results import Analysis, Claim
from momentum_jax.studies.evidence import Differences, seeds_needed

# More than that is no advice.
_MOST = 10_000


class Needed(NamedTuple):
    """A true difference, in the units of the claim, and with how many seeds 4 of 5 studies would find it."""

    difference: float
    seeds: int


def worth_finding(analysis: Analysis, claim: Claim) -> tuple[Needed, ...]:
    """Up to three round differences about as large as this study can find, and the margin that it declared.

    Empty where the seeds show no spread, from which it could be told.
    """
    evidence = claim.evidence
    values = np.array([each for each in claim.differences if math.isfinite(each)])
    scale = evidence.detectable
    if scale is None and values.size > 1:
        scale = 2 * float(values.std(ddof=1))
    if not scale:
        return ()
    factor = analysis.scores.primary.factor if claim.measure == "score" else 1
    least = 1.0 if claim.measure == "steps" else 0.0
    wanted = {each / factor for each in _round(factor * scale / 4, 2 * factor * scale) if each >= least}
    if (declared := margin(analysis.study, analysis.scores, claim)) is not None:
        wanted.add(declared)
    differences = Differences(claim.differences, claim.resolution)
    found = [(each, seeds_needed(differences, evidence, each)) for each in sorted(wanted)]
    return tuple(Needed(each, seeds) for each, seeds in found if seeds is not None and seeds <= _MOST)


def _round(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten that lie between."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [value for power in powers for each in (1, 2, 5) if low <= (value := float(f"{each}e{power}")) <= high]
