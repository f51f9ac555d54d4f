"""The runs that a study asks for: tuning first, then what was chosen from every seed, with the controls.

tuning    every trial of every arm that has ranges, from the seeds of the search; never sees the test set
report    every arm, with its ranges settled, from the seeds of the study
ladder    the gradient descents that explain the first arm with momentum, from the seeds of the study
control   the first arm once more, from independent seeds
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from momentum_jax.studies.arms import place, resolve
from momentum_jax.studies.search import points

if TYPE_CHECKING:
    from momentum_jax.studies.spec import Arm, Study
    from momentum_jax.studies.store import Run

TUNING, REPORT, LADDER, CONTROL = "tuning", "report", "ladder", "control"
PHASES = (TUNING, REPORT, LADDER, CONTROL)

# The methods whose velocity adds up gradients, and the momentum that each has when none is given.
_MOMENTUM = {"gradient_descent": 0.0, "sgd": 0.0, "heavy_ball": 0.9, "nesterov": 0.9}


@dataclass(frozen=True)
class Job:
    """One run to be made. `name` is its own among all of the study's; `arm` is the label of what it stands for."""

    name: str
    phase: str
    arm: str
    optimizer: str
    seed: int

    def key(self, study: Study, environment: Mapping[str, Any]) -> str:
        """A digest of all that the run's numbers depend on: equal keys, equal numbers."""
        problem = study.to_dict()
        for name in ("arms", "seeds", "search", "ladder", "noise_floor", "target"):
            del problem[name]
        if study.own_images:
            # What is in the file counts, by its digest in the environment, not where it lies.
            del problem["dataset"]
        what = [problem, dict(environment), self.optimizer, self.seed, self.phase == TUNING]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]


def tuning(study: Study) -> list[Job]:
    """The trials of all arms with ranges, each from every seed of the search; a point that comes twice is tried once."""
    return [
        Job(f"{TUNING}/arm-{index}/trial-{number}/seed-{seed}", TUNING, arm.label, optimizer, seed)
        for index, arm in enumerate(study.arms)
        if arm.ranges
        for number, optimizer in enumerate(trials(study, arm))
        for seed in study.search.seeds
    ]


def trials(study: Study, arm: Arm) -> list[str]:
    """The expressions that are tried in the place of an arm with ranges."""
    return list(dict.fromkeys(place(arm.optimizer, values) for values in points(study.search, arm.ranges)))


def choose(study: Study, runs: Iterable[Run]) -> dict[str, str]:
    """For each arm the expression that is reported: its own, or the best of its trials by the search's score.

    An arm with ranges of which no trial has been run is left out.
    """
    stored = list(runs)
    chosen = {}
    for arm in study.arms:
        tried = tried_for(arm.label, stored)
        if arm.ranges and tried:
            chosen[arm.label] = max(tried, key=lambda each: _merit(study, tried[each]))
        elif not arm.ranges:
            chosen[arm.label] = arm.optimizer
    return chosen


def tried_for(arm: str, runs: Iterable[Run]) -> dict[str, list[Run]]:
    """The trials of the arm of that label that have been run, as they were numbered, each with its runs by seed."""
    own = [run for run in runs if run.phase == TUNING and run.arm == arm]
    tried: dict[str, list[Run]] = {}
    for run in sorted(own, key=lambda run: (int(run.name.split("/trial-")[1].split("/")[0]), run.seed)):
        tried.setdefault(run.optimizer, []).append(run)
    return tried


def _merit(study: Study, runs: Sequence[Run]) -> tuple[float, float, float]:
    """Larger is better: first as few diverged runs as possible, then the score, then the other one."""
    diverged = sum(run.diverged is not None for run in runs)
    whole = [run for run in runs if run.diverged is None]
    if not whole:
        return (-diverged, -math.inf, -math.inf)
    accuracy = sum(run.validation_accuracy for run in whole) / len(whole)
    loss = sum(run.validation_loss for run in whole) / len(whole)
    return (-diverged, accuracy, -loss) if study.search.score == "accuracy" else (-diverged, -loss, accuracy)


def reporting(study: Study, chosen: Mapping[str, str]) -> list[Job]:
    """What is run after tuning: all arms from every seed, then the ladder's and the control's runs."""
    jobs = [
        Job(f"arm-{index}/seed-{seed}", REPORT, arm.label, chosen[arm.label], seed)
        for index, arm in enumerate(study.arms)
        for seed in study.seeds
    ]
    if study.ladder and (steps := ladder(study, chosen)) is not None:
        labels = {arm.label for arm in study.arms}
        added = [rung for rung in dict.fromkeys([steps.plain, steps.control]) if rung not in labels]
        jobs += [
            Job(f"{LADDER}/{index}/seed-{seed}", LADDER, optimizer, optimizer, seed)
            for index, optimizer in enumerate(added)
            for seed in study.seeds
        ]
    if study.noise_floor:
        first = study.arms[0].label
        jobs += [Job(f"{CONTROL}/seed-{seed}", CONTROL, first, chosen[first], seed) for seed in study.control_seeds]
    return jobs


def further_seeds(study: Study, environment: Mapping[str, Any], runs: Iterable[Run]) -> tuple[int, ...]:
    """In increasing order the seeds that the study does not have, of runs that were made of its arms for its report."""
    asked = _asked_for(study)
    own = (
        run.seed
        for run in runs
        if run.phase == REPORT and (run.arm, run.optimizer) in asked and belongs(run, study, environment)
    )
    return tuple(sorted({*own} - {*study.seeds, *study.search.seeds, *study.control_seeds}))


def belongs(run: Run, study: Study, environment: Mapping[str, Any]) -> bool:
    """Whether a stored run's numbers are those that the study, there, would get."""
    return run.key == Job(run.name, run.phase, run.arm, run.optimizer, run.seed).key(study, environment)


def strangers(study: Study, environment: Mapping[str, Any], runs: Iterable[Run]) -> list[Run]:
    """Those that the study, there, does not ask for, whichever of its trials win and whatever seeds were added to it."""
    asked = _asked_for(study)
    tried = {(job.name, job.arm, job.optimizer) for job in tuning(study)}

    def is_asked_for(run: Run) -> bool:
        if not belongs(run, study, environment):
            return False
        if run.phase == TUNING:
            return (run.name, run.arm, run.optimizer) in tried
        if run.phase == LADDER:
            return study.ladder
        is_first = run.arm == study.arms[0].label
        return (run.arm, run.optimizer) in asked and (run.phase == REPORT or (study.noise_floor and is_first))

    return [run for run in runs if not is_asked_for(run)]


def _asked_for(study: Study) -> set[tuple[str, str]]:
    """Labels of arms, each with every expression that may be reported under it."""
    return {
        (arm.label, optimizer) for arm in study.arms for optimizer in (trials(study, arm) if arm.ranges else [arm.optimizer])
    }


@dataclass(frozen=True)
class Ladder:
    """Labels: an arm with momentum mu at eta, and the rungs below it, gradient descent at eta and at eta/(1 - mu).

    A rung that is no arm of the study has its own expression as its label.
    """

    momentum: str
    plain: str
    control: str
    learning_rate: float
    mu: float


def ladder(study: Study, chosen: Mapping[str, str]) -> Ladder | None:
    """That of the first arm whose learning rate and momentum are plain numbers and whose velocity adds up gradients."""
    found = {arm.label: rate_and_momentum(chosen[arm.label]) for arm in study.arms}
    plain = [(label, each[0]) for label, each in found.items() if each is not None and each[1] == 0]

    def rung(rate: float) -> str:
        same = (label for label, other in plain if math.isclose(other, rate, rel_tol=1e-5))
        # Arms of other optimizers may bear these names; of spaces there is no end.
        spaced = (f"gradient_descent({' ' * spaces}{rate!r})" for spaces in itertools.count(1))
        names = itertools.chain((f"gradient_descent({rate!r})", f"gradient_descent(learning_rate={rate!r})"), spaced)
        return next(same, None) or next(name for name in names if name not in found)

    for label, each in found.items():
        if each is not None and each[1] > 0:
            rate, mu = each
            # Six digits: 0.01/(1 - 0.9) is 0.1, and a label is read.
            return Ladder(label, rung(rate), rung(float(f"{rate / (1 - mu):.6g}")), rate, mu)
    return None


def rate_and_momentum(expression: str) -> tuple[float, float] | None:
    """Learning rate and momentum of plain gradient descent or momentum, as numbers; None for any other optimizer."""
    optimizer = resolve(expression)
    given = dict(optimizer.arguments)
    rate = given.pop("learning_rate", None)
    momentum = given.pop("momentum", _MOMENTUM.get(optimizer.name, 0.0))
    if optimizer.name not in _MOMENTUM or given or not _number(rate) or not (momentum is None or _number(momentum)):
        return None
    return float(rate), float(momentum or 0.0)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
