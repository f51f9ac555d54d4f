"""Learning curves ready to draw: smoothed, averaged over seeds, thinned."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from momentum_jax.studies.jobs import LADDER
from momentum_jax.studies.scores import RankedScore
from momentum_jax.studies.smoothing import smooth, window_of
from momentum_jax.studies.store import Curves, Run, Store
from momentum_jax.studies.summary import steps_to_target

MOST_POINTS = 2000
_KEPT = 0.2


@dataclass(frozen=True)
class LearningCurve:
    """The training loss of one arm, each array of the same length.

    `steps` counts the updates before the loss was measured. `raw` is the mean over seeds of the mini-batch loss.
    `mean`, `low` and `high` are mean, least and greatest over seeds of each run's loss as `smooth` gives it. All four are of
    the runs that did not diverge, and NaN where all did: a mean that loses a run midway would jump. `diverged` holds the
    steps and smoothed losses of each other run, up to its divergence. `reached` is the mean of the steps to the target if
    every run reached it.
    """

    label: str
    runs: int
    window: int
    steps: np.ndarray
    raw: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    diverged: tuple[tuple[np.ndarray, np.ndarray], ...]
    reached: float | None


@dataclass(frozen=True)
class ScoreCurve:
    """The primary score of one arm on the validation set, each array of the same length.

    `steps` counts the updates before the evaluation. `mean`, `low` and `high` are mean, least and greatest over the runs
    that did not diverge, and empty where all did. `diverged` counts the others.
    """

    label: str
    runs: int
    diverged: int
    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def score_curves(store: Store, *, ladder: bool = False) -> list[ScoreCurve]:
    """The curve of the primary score of each arm that has stored runs, in the order of the study; see `learning_curves`."""
    return [_score_curve(store, arm) for arm in _arms(store, ladder)]


def both_curves(
    store: Store, *, ladder: bool = False, points: int = MOST_POINTS
) -> tuple[list[LearningCurve], list[ScoreCurve]]:
    """`learning_curves` and `score_curves`, for which every run is read once."""
    found = [(_learning_curve(store, arm, points), _score_curve(store, arm)) for arm in _arms(store, ladder)]
    return [loss for loss, _ in found], [score for _, score in found]


def _score_curve(store: Store, arm: _Arm) -> ScoreCurve:
    whole = [curves for run, curves in zip(arm.runs, arm.stored, strict=True) if run.diverged is None]
    steps, primary = whole[0].steps if whole else np.zeros(0), store.scores.primary.name
    values = np.stack([each.validation[primary] for each in whole]).astype(np.float64) if whole else np.zeros((1, 0))
    spread = (values.mean(axis=0), values.min(axis=0), values.max(axis=0))
    return ScoreCurve(arm.label, len(arm.runs), len(arm.runs) - len(whole), steps, *spread)


def hardly_rising(curves: Sequence[ScoreCurve], score: RankedScore) -> set[str]:
    """The arms that would flatten a figure of all: those that keep less than a fifth of the best arm's improvement.

    Arms of which all runs diverged, too. None of the others where the best one has not improved. All begin where most do: the
    runs of an arm that diverged are not in its mean.
    """
    whole = [curve for curve in curves if curve.mean.size]
    begin = float(np.median([curve.mean[0] for curve in whole])) if whole else 0.0
    gains = {curve.label: score.sign * (float(curve.mean[-1]) - begin) for curve in whole}
    best = max(gains.values(), default=0.0)
    found = {label for label, gain in gains.items() if best > 0 and not gain >= _KEPT * best}
    return found | {curve.label for curve in curves if not curve.mean.size}


class _Arm(NamedTuple):
    label: str
    runs: list[Run]
    stored: list[Curves]


def _arms(store: Store, ladder: bool) -> Iterator[_Arm]:
    """One after the other with their runs: the arms of the study, then the rungs that its ladder added."""
    found = {arm.label: store.of(arm.label) for arm in store.study.arms}
    if ladder:
        found |= {
            label: store.of(label, LADDER) for label in dict.fromkeys(run.arm for run in store.runs if run.phase == LADDER)
        }
    read = store.curves_of(run for runs in found.values() for run in runs)
    for label, runs in found.items():
        if runs:
            yield _Arm(label, runs, [*itertools.islice(read, len(runs))])


def learning_curves(store: Store, *, ladder: bool = False, points: int = MOST_POINTS) -> list[LearningCurve]:
    """The learning curve of each arm that has stored runs, in the order of the study, thinned to at most so many `points`.

    `ladder`: then of each rung that the ladder added.
    """
    return [_learning_curve(store, arm, points) for arm in _arms(store, ladder)]


def _learning_curve(store: Store, arm: _Arm, points: int) -> LearningCurve:
    study, (label, runs, stored) = store.study, arm
    window = window_of(study)
    raw = np.stack([each.train_loss for each in stored]).astype(np.float64)
    for row, run in zip(raw, runs, strict=True):
        # From a divergence on, a run stands still: what it records says nothing any more.
        if run.diverged is not None:
            row[run.diverged :] = np.nan
    smoothed = smooth(raw, window)
    reached = [steps_to_target(run, each, study.target, store.target_score) for run, each in zip(runs, stored, strict=True)]
    shown = np.unique(np.linspace(0, raw.shape[1] - 1, points).astype(int))
    shown = shown[np.isfinite(smoothed[:, shown]).any(axis=0)]
    whole = [index for index, run in enumerate(runs) if run.diverged is None]
    sound, sound_raw = smoothed[whole][:, shown], raw[whole][:, shown]
    if not whole:
        sound = sound_raw = np.full((1, len(shown)), np.nan)
    return LearningCurve(
        label=label,
        runs=len(runs),
        window=window,
        steps=shown,
        raw=sound_raw.mean(axis=0),
        mean=sound.mean(axis=0),
        low=sound.min(axis=0),
        high=sound.max(axis=0),
        diverged=tuple(
            _until_it_diverged(row, points) for row, run in zip(smoothed, runs, strict=True) if run.diverged is not None
        ),
        reached=float(np.mean([r for r in reached if r is not None])) if None not in reached else None,
    )


def _until_it_diverged(smoothed: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps and losses of a run's finite beginning, thinned."""
    length = int(np.isfinite(smoothed).sum())
    steps = np.unique(np.linspace(0, max(length - 1, 0), points).astype(int))
    return steps, smoothed[steps]
