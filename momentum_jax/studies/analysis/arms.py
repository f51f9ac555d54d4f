"""One arm over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from momentum_jax.studies.analysis.results import ArmResult
from momentum_jax.studies.jobs import LADDER, REPORT
from momentum_jax.studies.statistics import describe, kaplan_meier
from momentum_jax.studies.store import Run, Store
from momentum_jax.studies.summary import WORST_ACCURACY, WORST_MCC, steps_to_target


def accuracy(run: Run) -> float:
    return run.accuracy if run.diverged is None else WORST_ACCURACY


def arm_result(store: Store, label: str, written: str, *, rung: bool = False) -> ArmResult:
    study, runs = store.study, store.of(label, REPORT, LADDER)
    accuracies = tuple(accuracy(run) for run in runs)
    mccs = tuple(run.mcc if run.diverged is None else WORST_MCC for run in runs)
    steps: tuple[int | None, ...] = ()
    if study.target is not None:
        found = zip(runs, store.curves_of(runs), strict=True)
        steps = tuple(steps_to_target(run, curves, study.target) for run, curves in found)
    shares = [_shares(run) for run in runs if run.diverged is None]
    mean, half_width = _mean_matrix(shares)
    return ArmResult(
        label=label,
        written=written,
        optimizer=runs[0].optimizer,
        rung=rung,
        runs=tuple(run.name for run in runs),
        seeds=tuple(run.seed for run in runs),
        accuracies=accuracies,
        mccs=mccs,
        accuracy=describe(accuracies),
        mcc=describe(mccs),
        diverged=sum(run.diverged is not None for run in runs),
        steps_to_target=steps,
        reached=kaplan_meier(steps, study.steps) if study.target is not None else None,
        confusion=mean,
        confusion_half_width=half_width,
        seconds=sum(run.seconds for run in runs),
    )


def _shares(run: Run) -> np.ndarray:
    counts = np.array(run.confusion, np.float64)
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
