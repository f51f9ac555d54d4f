"""Every arm against the first, on the seeds that both have run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from momentum_jax.studies.analysis.results import ArmResult, Comparison
from momentum_jax.studies.spec import Study
from momentum_jax.studies.statistics import holm, independent, log_rank, paired, paired_steps


def _pairs(first: ArmResult, second: ArmResult, what: str) -> tuple[list[Any], list[Any]]:
    """The values of two arms at the seeds that both have run."""
    a, b = (dict(zip(arm.seeds, getattr(arm, what), strict=True)) for arm in (first, second))
    shared = [seed for seed in a if seed in b]
    return [a[seed] for seed in shared], [b[seed] for seed in shared]


def comparisons(study: Study, arms: Sequence[ArmResult]) -> tuple[Comparison, ...]:
    if len(arms) < 2:
        return ()
    reference, *others = arms
    found = {arm.label: paired(*_pairs(arm, reference, "accuracies")) for arm in others if {*arm.seeds} & {*reference.seeds}}
    pvalues = holm({label: each.pvalue for label, each in found.items() if each.pvalue is not None})
    comparisons = []
    for arm in others:
        if arm.label not in found:
            continue
        apart = independent(*_pairs(arm, reference, "accuracies"))
        steps = ranks = None
        if study.target is not None:
            pair = _pairs(arm, reference, "steps_to_target")
            steps, ranks = paired_steps(*pair, study.steps), log_rank(*pair, study.steps)
        label = arm.label
        comparisons.append(Comparison(label, reference.label, found[label], pvalues.get(label), apart, steps, ranks))
    return tuple(comparisons)
