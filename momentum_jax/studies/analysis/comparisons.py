"""Every arm against the first, on the seeds that both have run: description, by which nothing is claimed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from momentum_jax.studies.analysis.results import ArmResult, Comparison
from momentum_jax.studies.scores import Scores
from momentum_jax.studies.statistics import independent, log_rank, paired, paired_steps
from momentum_jax.studies.study import Study


def _steps(first: ArmResult, second: ArmResult) -> tuple[list[Any], list[Any]]:
    """The steps of two arms at the seeds that both have run."""
    a, b = (dict(zip(arm.seeds, arm.steps_to_target, strict=True)) for arm in (first, second))
    shared = [seed for seed in a if seed in b]
    return [a[seed] for seed in shared], [b[seed] for seed in shared]


def pairs(first: ArmResult, second: ArmResult, score: str) -> tuple[list[float], list[float]]:
    """The scores of two arms at the seeds at which both have one."""
    a, b = (dict(zip(arm.seeds, arm.values[score], strict=True)) for arm in (first, second))
    both = [(one, other) for seed, one in a.items() if one is not None and (other := b.get(seed)) is not None]
    return [one for one, _ in both], [other for _, other in both]


def comparisons(study: Study, scores: Scores, arms: Sequence[ArmResult]) -> tuple[Comparison, ...]:
    if len(arms) < 2:
        return ()
    reference, *others = arms
    primary = scores.primary.name
    values = {arm.label: pairs(arm, reference, primary) for arm in others}
    found = {label: paired(*each) for label, each in values.items() if each[0]}
    comparisons = []
    for arm in others:
        if arm.label not in found:
            continue
        apart = independent(*values[arm.label])
        steps = ranks = None
        # Runs that were cut off at different steps cannot be compared by steps.
        if study.target is not None and arm.budget == reference.budget:
            pair = _steps(arm, reference)
            steps, ranks = paired_steps(*pair, arm.budget), log_rank(*pair, arm.budget)
        label = arm.label
        comparisons.append(Comparison(label, reference.label, found[label], apart, steps, ranks))
    return tuple(comparisons)
