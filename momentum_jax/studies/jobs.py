"""The runs that a study asks for: tuning first, then what was chosen from every seed, with the controls.

tuning    every trial of every arm that has ranges, from the seeds of the search; never sees the test set
report    every arm, with its ranges settled, from the seeds of the study
ladder    the gradient descents that explain the first arm with momentum, from the seeds of the study
control   the first arm once more, from independent seeds
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import momentum_jax
from momentum_jax.studies.errors import StudyError
from momentum_jax.studies.expression import Expression
from momentum_jax.studies.resolve import resolve
from momentum_jax.studies.search import points

if TYPE_CHECKING:
    from momentum_jax.studies.arm import Arm
    from momentum_jax.studies.scores import Scores
    from momentum_jax.studies.store import Run
    from momentum_jax.studies.study import Study

TUNING, REPORT, LADDER, CONTROL = "tuning", "report", "ladder", "control"
PHASES = (TUNING, REPORT, LADDER, CONTROL)

# Fields of a study on which the numbers of a run do not depend.
_NOT_OF_A_RUN = ("arms", "seeds", "search", "ladder", "noise_floor", "target", "target_score")
_OF_THE_REPORT = ("question", "measure", "matters", "looks", "title", "prediction")

# The methods whose velocity adds up gradients, and the momentum that each has when none is given.
_MOMENTUM = {"gradient_descent": 0.0, "sgd": 0.0, "heavy_ball": 0.9, "nesterov": 0.9}


@dataclass(frozen=True)
class Job:
    """One run to be made. `name` is its own among all of the study's; `arm` is the label of what it stands for.

    `factors` are those of its arm (`Arm.factors`).
    """

    name: str
    phase: str
    arm: str
    expression: Expression
    seed: int
    factors: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def optimizer(self) -> str:
        """The expression as the run's record and its key have it."""
        # A rung is spelled as its label, which may not be the canonical spelling.
        return self.arm if self.phase == LADDER else self.expression.text

    def key(self, study: Study, environment: Mapping[str, Any]) -> str:
        """A digest of all that the run's numbers depend on: equal keys, equal numbers."""
        return keys(study, environment, [self])[0]


def keys(study: Study, environment: Mapping[str, Any], runs: Iterable[Job | Run]) -> list[str]:
    """The key of each job, or of each stored run as if it had been made for this study."""
    problem = study.to_dict()
    for name in (*_NOT_OF_A_RUN, *_OF_THE_REPORT):
        problem.pop(name, None)
    # What is in a file counts, by its digest in the environment, not where it lies.
    if study.own_images:
        del problem["dataset"]
    if study.expression is not None:
        problem["problem"] = study.expression.call_text
    # What all have in common is written once.
    shared = json.dumps([problem, dict(environment)], sort_keys=True)[:-1]
    own = (
        json.dumps([run.optimizer, run.seed, run.phase == TUNING, *([dict(run.factors)] if run.factors else [])])[1:]
        for run in runs
    )
    return [hashlib.sha256(f"{shared}, {each}".encode()).hexdigest()[:32] for each in own]


def tuning(study: Study) -> list[Job]:
    """The trials of all arms with ranges, each from every seed of the search; a point that comes twice is tried once."""
    return [
        Job(_trial_name(index, number, seed), TUNING, arm.label, trial, seed, arm.factors)
        for index, arm in enumerate(study.arms)
        if arm.ranges
        for number, trial in enumerate(trials(study, arm))
        for seed in study.search.seeds
    ]


def _trial_name(index: int, number: int, seed: int) -> str:
    return f"{TUNING}/arm-{index}/trial-{number}/seed-{seed}"


def trials(study: Study, arm: Arm) -> list[Expression]:
    """The expressions that are tried in the place of an arm with ranges."""
    return list(dict.fromkeys(arm.expression.place(values) for values in points(study.search, arm.ranges)))


def choose(study: Study, scores: Scores, runs: Iterable[Run]) -> dict[str, Expression]:
    """For each arm the expression that is reported: its own, or the best of its trials by the search's score.

    An arm with ranges of which no trial has been run is left out.
    """
    stored = list(runs)
    chosen = {}
    for arm in study.arms:
        tried = tried_for(arm.label, stored)
        if arm.ranges and tried:
            # A run is a record, and says in text what it was of.
            chosen[arm.label] = Expression.read(max(tried, key=lambda each: _merit(study, scores, tried[each])))
        elif not arm.ranges:
            chosen[arm.label] = arm.expression
    return chosen


def tried_for(arm: str, runs: Iterable[Run]) -> dict[str, list[Run]]:
    """The trials of the arm of that label that have been run, as they were numbered, each with its runs by seed."""
    own = [run for run in runs if run.phase == TUNING and run.arm == arm]
    tried: dict[str, list[Run]] = {}
    for run in sorted(own, key=lambda run: (int(run.name.split("/trial-")[1].split("/")[0]), run.seed)):
        tried.setdefault(run.optimizer, []).append(run)
    return tried


def _merit(study: Study, scores: Scores, runs: Sequence[Run]) -> tuple[float, ...]:
    """Larger is better: first as few diverged runs as possible, then the score of the search, then the next one."""
    diverged = sum(run.diverged is not None for run in runs)
    whole = [run for run in runs if run.diverged is None]
    first = scores[study.selected_by(scores)]
    by = [first, *(score for score in scores.ranked if score is not first)][:2]
    if not whole:
        return (-diverged, *(-math.inf for _ in by))
    return (-diverged, *(score.sign * sum(run.validation[score.name] for run in whole) / len(whole) for score in by))


def reporting(study: Study, chosen: Mapping[str, Expression]) -> list[Job]:
    """What is run after tuning: all arms from every seed, then the ladder's and the control's runs."""
    jobs = [
        Job(f"arm-{index}/seed-{seed}", REPORT, arm.label, chosen[arm.label], seed, arm.factors)
        for index, arm in enumerate(study.arms)
        for seed in study.seeds
    ]
    if study.ladder and (steps := ladder(study, chosen)) is not None:
        labels = {arm.label: arm.factors for arm in study.arms}
        factors = labels[steps.momentum]
        added = {rung: Expression.read(rung) for rung in (steps.plain, steps.control) if rung not in labels}
        jobs += [
            Job(f"{LADDER}/{index}/seed-{seed}", LADDER, rung, expression, seed, factors)
            for index, (rung, expression) in enumerate(added.items())
            for seed in study.seeds
        ]
    if study.noise_floor:
        first, factors = study.arms[0].label, study.arms[0].factors
        jobs += [Job(f"{CONTROL}/seed-{seed}", CONTROL, first, chosen[first], seed, factors) for seed in study.control_seeds]
    return jobs


def further_seeds(study: Study, environment: Mapping[str, Any], runs: Iterable[Run]) -> tuple[int, ...]:
    """In increasing order the seeds that the study does not have, of runs that were made of its arms for its report."""
    asked = _asked_for(study)
    own = {run.seed for run in _of_this(study, environment, runs) if run.phase == REPORT and (run.arm, run.optimizer) in asked}
    return tuple(sorted(own - {*study.seeds, *study.search.seeds, *study.control_seeds}))


def strangers(study: Study, scores: Scores, environment: Mapping[str, Any], runs: Iterable[Run]) -> list[Run]:
    """Those that the study, there, does not ask for: of other numbers, arms, trials, seeds, controls or names than it has."""
    stored = list(runs)
    of_this = _of_this(study, environment, stored)
    searches = _Searches(study, environment)
    searched = [run for run in of_this if searches.made(run)]
    settled = _settled(study, scores, of_this, searched, searches)
    # In the place of arms of which no run is there that could be another's.
    supposed = {arm.label: arm.expression.middle for arm in study.tuned}
    try:
        reported, are_rungs_known = reporting(study, {**supposed, **settled}), len(settled) == len(study.arms)
    except StudyError:
        # An optimizer that this version does not have.
        reported, are_rungs_known = reporting(replace(study, ladder=False), {**supposed, **settled}), False
    planned = {job.name: job for job in reported}

    def is_planned(run: Run) -> bool:
        if run.phase == LADDER and study.ladder and not are_rungs_known:
            return run.arm == run.optimizer and run.seed in study.seeds and run.name.startswith(f"{LADDER}/")
        job = planned.get(run.name)
        return job is not None and (job.phase, job.arm, job.optimizer, job.seed, job.factors) == (
            run.phase,
            run.arm,
            run.optimizer,
            run.seed,
            run.factors,
        )

    own = {id(run) for run in (*searched, *filter(is_planned, of_this))}
    return [run for run in stored if id(run) not in own]


def _of_this(study: Study, environment: Mapping[str, Any], runs: Iterable[Run]) -> list[Run]:
    """The runs whose numbers are those that the study, there, would get."""
    stored = list(runs)
    return [run for run, key in zip(stored, keys(study, environment, stored), strict=True) if run.key == key]


class _Searches:
    """What the searches of a study's arms tried, or with other versions of the libraries may have tried."""

    def __init__(self, study: Study, environment: Mapping[str, Any]):
        self._study = study
        self._arms = {arm.label: (index, arm) for index, arm in enumerate(study.arms) if arm.ranges}
        installed = {"momentum_jax": momentum_jax.__version__, "scipy": version("scipy")}
        # Others may have drawn other points: then any inside the ranges will do.
        self._is_known = installed.items() <= environment.get("versions", {}).items()
        tuned = study.tuned if self._is_known else ()
        self._tried = {arm.label: [trial.text for trial in trials(study, arm)] for arm in tuned}
        # Asked for every run of a trial.
        self._is_inside = functools.cache(_is_inside)

    def may_have_tried(self, label: str, optimizer: str) -> bool:
        if self._is_known:
            return optimizer in self._tried.get(label, ())
        return label in self._arms and self._is_inside(self._arms[label][1].expression, optimizer)

    def made(self, run: Run) -> bool:
        """Whether a run is of one of the trials."""
        if run.phase != TUNING or run.arm not in self._arms or run.seed not in self._study.search.seeds:
            return False
        found = re.fullmatch(r".*/trial-([0-9]{1,9})/.*", run.name)
        if found is None or run.name != _trial_name(self._arms[run.arm][0], int(found[1]), run.seed):
            return False
        number = int(found[1])
        if self._is_known:
            return self._tried[run.arm][number : number + 1] == [run.optimizer]
        return number < self._study.search.trials and self.may_have_tried(run.arm, run.optimizer)

    def is_whole(self, label: str, searched: Iterable[Run]) -> bool:
        """Whether these are all runs of an arm's search."""
        names = {run.name for run in searched if run.arm == label}
        return self._is_known and len(names) == len(self._tried[label]) * len(self._study.search.seeds)


def _is_inside(pattern: Expression, optimizer: str) -> bool:
    """Whether an expression is that with ranges, with values of these in their places."""
    try:
        values = pattern.read_back(Expression.read(optimizer))
        if pattern.place(values).text != optimizer:
            return False
        return all(-1e-9 <= each.position(values[name]) <= 1 + 1e-9 for name, each in pattern.ranges.items())
    except (ValueError, TypeError, KeyError, ArithmeticError):
        # Another optimizer's, or no expression at all.
        return False


def _settled(
    study: Study, scores: Scores, runs: Sequence[Run], searched: Sequence[Run], searches: _Searches
) -> dict[str, Expression]:
    """What is reported for each arm: of one with ranges what its whole search chose, or else what most of its runs are of.

    An arm with ranges of which no run is there is left out.
    """
    try:
        settled = choose(study, scores, searched)
    except KeyError:
        # A run of the search lacks its score: it is damaged, which is said elsewhere.
        settled = {arm.label: arm.expression for arm in study.arms if not arm.ranges}
    for arm in study.tuned:
        reported = Counter(run.optimizer for run in runs if run.phase == REPORT and run.arm == arm.label)
        likely = (optimizer for optimizer, _ in reported.most_common() if searches.may_have_tried(arm.label, optimizer))
        if not searches.is_whole(arm.label, searched) and (most := next(likely, None)) is not None:
            settled[arm.label] = Expression.read(most)
    return settled


def _asked_for(study: Study) -> set[tuple[str, str]]:
    """Labels of arms, each with every expression that may be reported under it."""
    asked = ((arm, trials(study, arm) if arm.ranges else [arm.expression]) for arm in study.arms)
    return {(arm.label, expression.text) for arm, expressions in asked for expression in expressions}


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


def ladder(study: Study, chosen: Mapping[str, Expression]) -> Ladder | None:
    """That of the first arm whose learning rate and momentum are plain numbers and whose velocity adds up gradients."""
    found = {arm.label: rate_and_momentum(chosen[arm.label]) for arm in study.arms}
    factors = {arm.label: arm.factors for arm in study.arms}
    plain = [(label, each[0]) for label, each in found.items() if each is not None and each[1] == 0]

    def rung(rate: float, momentum: str) -> str:
        # A rung differs from the arm in nothing but the optimizer.
        alike = [(label, other) for label, other in plain if factors[label] == factors[momentum]]
        same = (label for label, other in alike if math.isclose(other, rate, rel_tol=1e-5))
        # Arms of other optimizers may bear these names: add spaces until the label is unused.
        spaced = (f"gradient_descent({' ' * spaces}{rate!r})" for spaces in itertools.count(1))
        names = itertools.chain((f"gradient_descent({rate!r})", f"gradient_descent(learning_rate={rate!r})"), spaced)
        return next(same, None) or next(name for name in names if name not in found)

    for label, each in found.items():
        if each is not None and each[1] > 0:
            rate, mu = each
            # Six digits: 0.01/(1 - 0.9) is 0.1, and a label is read.
            return Ladder(label, rung(rate, label), rung(float(f"{rate / (1 - mu):.6g}"), label), rate, mu)
    return None


def rate_and_momentum(expression: Expression) -> tuple[float, float] | None:
    """Learning rate and momentum of plain gradient descent or momentum, as numbers; None for any other optimizer.

    Nobody knows it of a constructor of the user's own.
    """
    if expression.origin:
        return None
    optimizer = resolve(expression)
    given = dict(optimizer.arguments)
    rate = given.pop("learning_rate", None)
    momentum = given.pop("momentum", _MOMENTUM.get(optimizer.name, 0.0))
    if optimizer.name not in _MOMENTUM or given or not _number(rate) or not (momentum is None or _number(momentum)):
        return None
    return float(rate), float(momentum or 0.0)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
