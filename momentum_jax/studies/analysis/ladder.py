"""What momentum's gain is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from momentum_jax.studies import jobs
from momentum_jax.studies.analysis.results import ArmResult, Bound, LadderResult, Rungs, Tuning
from momentum_jax.studies.scores import Scores
from momentum_jax.studies.statistics import PairedComparison, Ratio, paired, ratio_of_means
from momentum_jax.studies.study import Study


def ladder_result(
    study: Study, scores: Scores, arms: Mapping[str, ArmResult], tunings: Sequence[Tuning]
) -> LadderResult | None:
    if not study.ladder or not all(arm.label in arms for arm in study.arms):
        return None
    found = jobs.ladder(study, {arm.label: arms[arm.label].expression for arm in study.arms})
    if found is None or not {found.plain, found.control} <= arms.keys():
        return None
    rungs = (arms[found.plain], arms[found.control], arms[found.momentum])
    tuned_plain, tuned_momentum = _tuned_pair(study, arms, found.momentum)
    untuned = next((each.arm for each in tunings if each.arm in (tuned_plain, tuned_momentum) and _found_nothing(each)), None)
    tuned = (arms[tuned_momentum], arms[tuned_plain]) if tuned_plain and tuned_momentum and untuned is None else None
    measures = ["score"] if study.target is None else ["score", "steps"]
    return LadderResult(
        plain=found.plain,
        control=found.control,
        momentum=found.momentum,
        learning_rate=found.learning_rate,
        mu=found.mu,
        tuned_plain=tuned_plain,
        tuned_momentum=tuned_momentum,
        untuned=untuned,
        diverged=sum(arm.diverged for arm in {arm.label: arm for arm in (*rungs, *(tuned or ()))}.values()),
        rungs=tuple(found for measure in measures if (found := _rungs(study, scores, measure, rungs, tuned)) is not None),
    )


def _tuned_pair(study: Study, arms: Mapping[str, ArmResult], momentum: str) -> tuple[str | None, str | None]:
    """The labels of the tuned gradient descent and of a tuned momentum arm, if the study has both: that of the ladder, or else
    the first.
    """
    found = {arm.label: jobs.rate_and_momentum(arms[arm.label].expression) for arm in study.tuned}
    plain = [label for label, each in found.items() if each is not None and each[1] == 0]
    moving = [label for label, each in found.items() if each is not None and each[1] > 0]
    if not plain or not moving:
        return None, None
    return plain[0], momentum if momentum in moving else moving[0]


def _found_nothing(search: Tuning) -> bool:
    return all(trial.diverged == len(trial.runs) for trial in search.trials)


def _rungs(
    study: Study,
    scores: Scores,
    measure: str,
    rungs: tuple[ArmResult, ArmResult, ArmResult],
    tuned: tuple[ArmResult, ArmResult] | None,
) -> Rungs | None:
    plain, control, momentum = rungs
    p, c, m = _merits(study, scores, measure, plain, control, momentum)
    if not p.size:
        return None
    pairs = {"gain": (momentum, plain), "larger_step": (control, plain), "momentum_itself": (momentum, control)}
    bounds: dict[str, Bound] = {}
    if measure == "steps":
        every = {**pairs, "tuned": tuned} if tuned else pairs
        bounds = {name: known for name, pair in every.items() if (known := bound(*pair)) is not None}
    return Rungs(
        measure=measure,
        gain=paired(m, p),
        larger_step=paired(c, p),
        momentum_itself=paired(m, c),
        # Of differences that the budget cut off the ratio is the budget's.
        share=Ratio(len(p), None, 0.95, None) if pairs.keys() & bounds.keys() else ratio_of_means(c - p, m - p),
        tuned=None if tuned is None else over(study, scores, measure, *tuned),
        bounds=bounds,
    )


def over(study: Study, scores: Scores, measure: str, arm: ArmResult, other: ArmResult) -> PairedComparison | None:
    """By how much an arm is the better; None where no seed has run both."""
    merits = _merits(study, scores, measure, arm, other)
    return paired(*merits) if merits[0].size else None


def bound(arm: ArmResult, other: ArmResult) -> Bound | None:
    """What the steps that `arm` saves over `other` are where a run never got to the target and counts with the whole budget.

    None: exact. "none": not even a bound, for runs of both never did.
    """
    late, late_other = None in arm.steps_to_target, None in other.steps_to_target
    return ("none" if late_other else "upper") if late else "lower" if late_other else None


def _merits(study: Study, scores: Scores, measure: str, *arms: ArmResult) -> list[np.ndarray]:
    """For each arm what is the better the larger it is, at the seeds at which all have it."""
    primary = scores.primary
    found: list[dict[int, float]] = []
    for arm in arms:
        if measure == "score":
            values = (None if value is None else primary.sign * value for value in arm.values[primary.name])
        else:
            values = (-float(arm.budget if steps is None else steps) for steps in arm.steps_to_target)
        found.append({seed: value for seed, value in zip(arm.seeds, values, strict=True) if value is not None})
    shared = [seed for seed in found[-1] if all(seed in each for each in found)]
    return [np.array([each[seed] for seed in shared]) for each in found]
