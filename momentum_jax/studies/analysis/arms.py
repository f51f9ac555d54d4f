"""One arm over its seeds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from momentum_jax.studies.analysis.results import ArmResult
from momentum_jax.studies.jobs import LADDER, REPORT
from momentum_jax.studies.statistics import describe, kaplan_meier
from momentum_jax.studies.store import Curves, Run, Store
from momentum_jax.studies.store.records import is_matrix
from momentum_jax.studies.summary import steps_to_target


def known(values: Iterable[float | None]) -> list[float]:
    """Without those of runs that have no score."""
    return [value for value in values if value is not None and not math.isnan(value)]


def arm_results(store: Store) -> list[ArmResult]:
    """The arms of a study that have runs, then the rungs that its ladder added."""
    arms = [(arm.label, arm.optimizer, False) for arm in store.study.arms if store.of(arm.label)]
    arms += [(label, label, True) for label in dict.fromkeys(run.arm for run in store.runs if run.phase == LADDER)]
    # All in one go: each archive is listed once.
    read = store.curves_of(run for label, *_ in arms for run in store.of(label, REPORT, LADDER))
    return [_arm_result(store, *arm, read) for arm in arms]


def _arm_result(store: Store, label: str, written: str, rung: bool, read: Iterator[Curves]) -> ArmResult:
    """`read`: the curves of its runs come next."""
    study, scores, runs = store.study, store.scores, store.of(label, REPORT, LADDER)
    values = {
        score.name: tuple(None if math.isnan(value := run.score(score)) else value for run in runs) for score in scores.ranked
    }
    primary, target_score = scores.primary, store.target_score
    steps: tuple[int | None, ...] = ()
    budget = study.with_factors(runs[0].factors).steps
    hardly_learned = []
    for run, curves in zip(runs, itertools.islice(read, len(runs)), strict=True):
        if study.target is not None:
            steps = (*steps, steps_to_target(run, curves, study.target, target_score))
        course = curves.validation.get(primary.name)
        if run.diverged is None and course is not None and course.size:
            hardly_learned.append(not primary.sign * course[-1] > primary.sign * course[0])
    shares = [_shares(run) for run in runs if run.diverged is None and is_matrix(run.test.get("confusion"))]
    mean, half_width = _mean_matrix(shares)
    return ArmResult(
        label=label,
        written=written,
        optimizer=runs[0].optimizer,
        rung=rung,
        factors=runs[0].factors,
        budget=budget,
        runs=tuple(run.name for run in runs),
        seeds=tuple(run.seed for run in runs),
        values=values,
        described={name: describe(own) if (own := known(each)) else None for name, each in values.items()},
        diverged=sum(run.diverged is not None for run in runs),
        steps_to_target=steps,
        reached=kaplan_meier(steps, budget) if study.target is not None else None,
        hardly_learned=2 * sum(hardly_learned) > len(hardly_learned),
        confusion=mean,
        confusion_half_width=half_width,
        seconds=sum(run.seconds for run in runs),
    )


def _shares(run: Run) -> np.ndarray:
    counts = np.array(run.test["confusion"], np.float64)
    # A class that the test set lacks has no shares: zeros.
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _mean_matrix(shares: Sequence[np.ndarray]) -> tuple[Any, Any]:
    from scipy.special import stdtrit

    if not shares:
        return (), None
    stacked = np.stack(shares)
    mean, half = stacked.mean(axis=0), None
    if len(shares) > 1:
        errors = stacked.std(axis=0, ddof=1) / np.sqrt(len(shares))
        half = _nested(stdtrit(len(shares) - 1, 0.975) * errors)
    return _nested(mean), half


def _nested(matrix: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())
