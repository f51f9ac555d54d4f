"""What the runs of each arm came to: scores over seeds, steps to the target, divergences, time."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from momentum_jax._files import atomic
from momentum_jax.smoothing import simple_moving_average
from momentum_jax.studies.scores import RankedScore
from momentum_jax.studies.store import Curves, Run, Store

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

    `seeds` and the tuples below it have one entry a run. `values` are its final scores, by name: on the test set, at their
    worst value for a diverged run, NaN for one whose score has none. `steps_to_target` is the first evaluation at which the
    target is met. `training_steps_to_target`, where the target is on a loss, is the first step after which the mean of the last
    100 mini-batch losses is at or below it (the textbook's curve); None: never, or the run diverged. `factors` are what differs
    between arms besides the optimizer, `budget` is the steps of a run. `seconds` is the arm's share of the training time.
    """

    label: str
    optimizer: str
    seeds: tuple[int, ...]
    values: dict[str, tuple[float, ...]]
    factors: dict[str, Any]
    budget: int
    steps_to_target: tuple[int | None, ...]
    training_steps_to_target: tuple[int | None, ...]
    diverged: int
    seconds: float

    def score(self, score: RankedScore) -> Estimate:
        """Of the runs that have one; of none a mean of NaN."""
        return estimate([value for value in self.values[score.name] if not math.isnan(value)])

    @property
    def never(self) -> int:
        """How many runs never reached the target."""
        return sum(steps is None for steps in self.steps_to_target)


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and standard error (sample standard deviation over the square root of the count)."""
    array = np.asarray(values, dtype=np.float64)
    error = float(array.std(ddof=1) / math.sqrt(array.size)) if array.size > 1 else math.nan
    return Estimate(float(array.mean()) if array.size else math.nan, error, array.size)


def steps_to_target(run: Run, curves: Curves, target: float | None, score: RankedScore) -> int | None:
    """The step of the first evaluation whose validation score meets the target; None: never, or the run diverged."""
    if target is None or run.diverged is not None:
        return None
    reached = np.flatnonzero(score.sign * curves.validation[score.name] >= score.sign * target)
    return int(curves.steps[reached[0]]) if reached.size else None


def training_steps_to_target(run: Run, curves: Curves, target: float | None) -> int | None:
    """After how many steps the mean loss of the last `TRAINING_WINDOW` mini-batches is at most the target; None as above."""
    if target is None or run.diverged is not None or len(curves.train_loss) < TRAINING_WINDOW:
        return None
    means = simple_moving_average(curves.train_loss, TRAINING_WINDOW)[TRAINING_WINDOW - 1 :]
    reached = np.flatnonzero(means <= target)
    return int(reached[0]) + TRAINING_WINDOW if reached.size else None


def write_summary(path: Path, summaries: Sequence[ArmSummary]) -> None:
    """Writes `as_json` of the arms."""
    with atomic(path) as file:
        file.write(as_json(summaries).encode())


def as_json(summaries: Sequence[ArmSummary]) -> str:
    """What the table shows, as JSON: one object an arm, the fields of `ArmSummary`, of each score its mean and standard error.

    Null stands for what is not known.
    """

    def shown(values: tuple[float, ...]) -> dict[str, Any]:
        found = estimate([value for value in values if not math.isnan(value)])
        return {"values": [*map(_known, values)], "mean": _known(found.mean), "standard_error": _known(found.error)}

    arms = []
    for arm in summaries:
        content = asdict(arm)
        scores = {name: shown(values) for name, values in content.pop("values").items()}
        arms.append({**content, "scores": scores, "never": arm.never})
    return json.dumps(arms, indent=2, allow_nan=False) + "\n"


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def summarize(store: Store) -> list[ArmSummary]:
    """One summary for each arm that has stored runs, in the order of the study."""
    target, score = store.study.target, store.target_score
    # Training losses are those of the problem; of another quantity they have no target.
    of_training = target if store.study.problem is None and score.name == "loss" else None
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
                values={ranked.name: tuple(run.score(ranked) for run in runs) for ranked in store.scores.ranked},
                factors=runs[0].factors,
                budget=store.study.with_factors(runs[0].factors).steps,
                steps_to_target=tuple(steps_to_target(run, curve, target, score) for run, curve in each),
                training_steps_to_target=tuple(training_steps_to_target(*pair, of_training) for pair in each),
                diverged=sum(run.diverged is not None for run in runs),
                seconds=sum(run.seconds for run in runs),
            )
        )
    return summaries
