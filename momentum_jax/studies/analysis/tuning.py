"""What the search of an arm tried, what it chose, and what choosing cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from momentum_jax.studies import jobs
from momentum_jax.studies.analysis.results import Trial, Tuning
from momentum_jax.studies.arms import read_back
from momentum_jax.studies.search import Choice, Range
from momentum_jax.studies.spec import Arm
from momentum_jax.studies.statistics import independent
from momentum_jax.studies.store import Run, Store
from momentum_jax.studies.summary import WORST_ACCURACY

# A best trial in the outer tenth of a range may have better neighbours outside.
_EDGE = 0.1


def tuning(store: Store, arm: Arm) -> Tuning | None:
    """None where the trial that was run from fresh seeds is not among those that can be read: it was chosen by other scores."""
    study = store.study
    tried = jobs.tried_for(arm.label, store.runs)
    trials = tuple(_trial(arm, optimizer, runs) for optimizer, runs in tried.items())
    fresh_runs = store.of(arm.label)
    best = fresh_runs[0].optimizer if fresh_runs else jobs.choose(study, store.runs)[arm.label]
    if best not in tried:
        return None
    chosen = list(tried).index(best)
    again = _trial(arm, best, fresh_runs)
    if study.search.score == "accuracy":
        tuned, fresh = (
            [WORST_ACCURACY if each is None else each for each in trial.accuracies] for trial in (trials[chosen], again)
        )
        if trials[chosen].diverged:
            tuned = []
    else:
        tuned = [] if trials[chosen].diverged else [each for each in trials[chosen].losses if each is not None]
        fresh = [] if again.diverged else [each for each in again.losses if each is not None]
    better_first = (tuned, fresh) if study.search.score == "accuracy" else (fresh, tuned)
    optimism = independent(*better_first) if tuned and fresh else None
    ranges = arm.ranges
    edges = (name for name, value in trials[chosen].values.items() if _at_the_edge(ranges[name], value))
    return Tuning(
        arm=arm.label,
        written=arm.optimizer,
        trials=trials,
        chosen=chosen,
        score=study.search.score,
        tuned=_mean(tuned),
        fresh=_mean(fresh),
        optimism=None if optimism is None else optimism.mean_difference,
        optimism_interval=None if optimism is None else optimism.t_interval,
        learning_rate=next((name for name in ranges if name.split(".")[-1] == "learning_rate"), None),
        edges=tuple(edges),
    )


def _at_the_edge(searched: Range, value: Any) -> bool:
    """In the outer tenth of a range of numbers, or the least or the greatest of three numbers or more."""
    if not isinstance(searched, Choice):
        return not _EDGE <= searched.position(value) <= 1 - _EDGE
    numbers = [each for each in searched.values if isinstance(each, int | float) and not isinstance(each, bool)]
    return 2 < len(numbers) == len(searched.values) and value in (min(numbers), max(numbers))


def _trial(arm: Arm, optimizer: str, runs: Sequence[Run]) -> Trial:
    accuracies = tuple(run.validation_accuracy if run.diverged is None else None for run in runs)
    losses = tuple(run.validation_loss if run.diverged is None else None for run in runs)
    return Trial(
        optimizer=optimizer,
        values=read_back(arm.optimizer, optimizer),
        runs=tuple(run.name for run in runs),
        accuracies=accuracies,
        losses=losses,
        accuracy=_mean(accuracies),
        loss=_mean(losses),
        diverged=sum(run.diverged is not None for run in runs),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
