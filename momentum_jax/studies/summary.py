"""What the runs of each arm came to: scores over seeds, steps to the target, divergences, time."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from momentum_jax._files import atomic
from momentum_jax.smoothing import simple_moving_average
from momentum_jax.studies.store import Curves, Run, Store

# The lowest values that the two scores can take: what a diverged run is given.
WORST_ACCURACY = 0.0
WORST_MCC = -1.0
# Mini-batches whose mean is the training loss that is compared with the target: whatever the length of the runs.
TRAINING_WINDOW = 100


@dataclass(frozen=True)
class Estimate:
    """A mean over `count` runs and its standard error (NaN for a single run)."""

    mean: float
    error: float
    count: int


@dataclass(frozen=True)
class ArmSummary:
    """One row of the table.

    `seeds` and the tuples below it have one entry a run. `accuracies` and `mccs` are on the test split, at their worst
    value for a diverged run. `steps_to_target` is the first evaluation at which the validation loss is at or below the
    target, `training_steps_to_target` the first step after which the mean of the last 100 mini-batch losses is (the
    textbook's curve); None: never, or the run diverged. `seconds` is the arm's share of the training time.
    """

    label: str
    optimizer: str
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    mccs: tuple[float, ...]
    steps_to_target: tuple[int | None, ...]
    training_steps_to_target: tuple[int | None, ...]
    diverged: int
    seconds: float

    @property
    def accuracy(self) -> Estimate:
        return estimate(self.accuracies)

    @property
    def mcc(self) -> Estimate:
        return estimate(self.mccs)

    @property
    def never(self) -> int:
        """How many runs never reached the target."""
        return sum(steps is None for steps in self.steps_to_target)


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and standard error (sample standard deviation over the square root of the count)."""
    array = np.asarray(values, dtype=np.float64)
    error = float(array.std(ddof=1) / math.sqrt(array.size)) if array.size > 1 else math.nan
    return Estimate(float(array.mean()), error, array.size)


def steps_to_target(run: Run, curves: Curves, target: float | None) -> int | None:
    """The step of the first evaluation whose validation loss is at most the target; None: never, or the run diverged."""
    if target is None or run.diverged is not None:
        return None
    reached = np.flatnonzero(curves.validation_loss <= target)
    return int(curves.steps[reached[0]]) if reached.size else None


def training_steps_to_target(run: Run, curves: Curves, target: float | None) -> int | None:
    """After how many steps the mean loss of the last `TRAINING_WINDOW` mini-batches is at most the target; None as above."""
    if target is None or run.diverged is not None or len(curves.train_loss) < TRAINING_WINDOW:
        return None
    means = simple_moving_average(curves.train_loss, TRAINING_WINDOW)[TRAINING_WINDOW - 1 :]
    reached = np.flatnonzero(means <= target)
    return int(reached[0]) + TRAINING_WINDOW if reached.size else None


def write_summary(path: Path, summaries: Sequence[ArmSummary]) -> None:
    """What the table shows, as JSON: one object an arm, the fields of `ArmSummary` with means and standard errors (or null)."""

    def shown(score: Estimate) -> dict[str, float | None]:
        return {"mean": score.mean, "standard_error": None if math.isnan(score.error) else score.error}

    arms = [{**asdict(arm), "accuracy": shown(arm.accuracy), "mcc": shown(arm.mcc), "never": arm.never} for arm in summaries]
    with atomic(path) as file:
        file.write((json.dumps(arms, indent=2, allow_nan=False) + "\n").encode())


def summarize(store: Store) -> list[ArmSummary]:
    """One summary for each arm that has stored runs, in the order of the study."""
    target = store.study.target
    summaries = []
    for arm in store.study.arms:
        runs = store.of(arm.label)
        if not runs:
            continue
        each = list(zip(runs, store.curves_of(runs), strict=True))
        summaries.append(
            ArmSummary(
                label=arm.label,
                optimizer=runs[0].optimizer,
                seeds=tuple(run.seed for run in runs),
                accuracies=tuple(run.accuracy if run.diverged is None else WORST_ACCURACY for run in runs),
                mccs=tuple(run.mcc if run.diverged is None else WORST_MCC for run in runs),
                steps_to_target=tuple(steps_to_target(run, curve, target) for run, curve in each),
                training_steps_to_target=tuple(training_steps_to_target(*pair, target) for pair in each),
                diverged=sum(run.diverged is not None for run in runs),
                seconds=sum(run.seconds for run in runs),
            )
        )
    return summaries
