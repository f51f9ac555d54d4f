"""What the runs of a study are trained on: a problem with its scores and seeds, from images or from any other declaration."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np

from momentum_jax import data
from momentum_jax._text import joined, quoted
from momentum_jax.studies import fingerprint, own
from momentum_jax.studies.errors import StudyError, fail, not_among
from momentum_jax.studies.expression import Expression
from momentum_jax.studies.scores import IMAGES, RankedScore, Scores, is_name
from momentum_jax.studies.store.records import MOST_ENTRIES
from momentum_jax.studies.study import Study, exclude_each_other
from momentum_jax.training import Examples, Model, Problem, Stream, Table, classification
from momentum_jax.training.checks import checked_fields, parts_of
from momentum_jax.training.model import cnn, mlp
from momentum_jax.training.opaque import describe
from momentum_jax.training.plan import check_problem
from momentum_jax.training.settings import Settings
from momentum_jax.training.users import UserFunction


@dataclass(frozen=True, eq=False)
class Material:
    """A study's problem as its runs see it.

    problem: with its test set; tuning: the same without. scores: those that are ranked.
    seeds: what `Table.split` is given, by seed of the study. batch: rows of a mini-batch; None: there are no mini-batches.
    digests: of the problem and its data, for the environment of a store.
    """

    problem: Problem
    tuning: Problem
    scores: Scores
    seeds: dict[int, int]
    batch: int | None
    digests: dict[str, Any]

    @property
    def params(self) -> Any:
        """The shapes of the parameters."""
        return jax.eval_shape(self.problem.init, jax.random.key(0))[0]


def material(study: Study, *, data_directory: str | Path | None = None) -> Material:
    """Loads data and checks all that can be checked before anything is trained.

    Raises:
      StudyError: a data set, file or function that cannot be used, or a problem that is not what `Problem` says.
      Exception: what a user's function raises, with a note that names it.
    """
    if study.expression is None:
        dataset = data.load(study.dataset, directory=data_directory, size=study.size)
        return _of_images(study, dataset)
    return _of_problem(study, problem_of(study.expression, study.paths))


class Variants:
    """The material of a study, and that of each arm with factors of its own, made when it is asked for."""

    def __init__(self, study: Study, whole: Material, data_directory: str | Path | None):
        self._study, self._data_directory = study, data_directory
        self._made = {repr(study): whole}

    def of(self, factors: Mapping[str, Any]) -> Material:
        """Errors are those of `material`."""
        study = self._study.with_factors(factors)
        if repr(study) not in self._made:
            self._made[repr(study)] = material(study, data_directory=self._data_directory)
        return self._made[repr(study)]


def given_in_python(study: Study, problem: Problem) -> Study:
    """The study of a problem that was handed over as such. Raises `StudyError` where it has another."""
    if study.problem is None:
        defaults = Study(arms=study.arms)
        for name in ("dataset", "size", "examples", "network"):
            if getattr(study, name) != getattr(defaults, name):
                raise exclude_each_other(name)
    elif not study.problem.startswith(f"{own.PYTHON}:"):
        raise StudyError(f"run_study: problem must be None where the study has one, {quoted(study.problem)}.")
    return replace(study, problem=f"{own.given('problem', lambda: problem)}()")


def problem_of(expression: Expression, paths: Mapping[str, str]) -> Problem:
    """The problem that an expression makes, `"my_problem.py:make(width=64)"`. Errors are those of `material`."""
    name, (positional, keywords) = expression.name, expression.literals()
    if expression.origin:
        function = own.load(expression.origin, name, paths)
    else:
        from momentum_jax import problems

        shipped = sorted(each.name for each in pkgutil.iter_modules(problems.__path__) if each.name[0] != "_")
        if name not in shipped:
            raise not_among("Study", "a problem without a file", name, shipped)
        function = getattr(importlib.import_module(f"momentum_jax.problems.{name}"), name)
    try:
        inspect.signature(function).bind(*positional, **keywords)
    except TypeError as error:
        takes = ", ".join(inspect.signature(function).parameters) or "no arguments"
        raise StudyError(f"{expression.call_text}: {error}; {name} takes {takes}.") from None
    with said_in_one_line():
        made = UserFunction(f"{name} to make the problem", function)(*positional, **keywords)
    if not isinstance(made, Problem):
        raise StudyError(f"{expression.call_text}: must return a training.Problem, got {describe(made)}.")
    return made


@contextlib.contextmanager
def said_in_one_line() -> Iterator[None]:
    """What the library refuses becomes a `StudyError`; what a user's function raises passes as it is, with its note."""
    try:
        yield
    except StudyError:
        raise
    except (ValueError, TypeError) as error:
        if any("The trainer called" in note and ", line " in note for note in getattr(error, "__notes__", ())):
            raise
        raise StudyError(str(error)) from error


def _of_problem(study: Study, problem: Problem) -> Material:
    seeds = _seeds(study)
    with said_in_one_line():
        checked_fields(problem)
    batch = study.batch if isinstance(problem.data, Table) else None
    if study.batch not in (None, batch, Study.batch):
        kind = "a Stream (its batches have their own size)" if isinstance(problem.data, Stream) else "a problem of no data"
        raise StudyError(f"Study: batch is of a Table, got {study.batch} with {kind}.")
    with said_in_one_line():
        if batch is not None and isinstance(problem.data, Table):
            rows = parts_of(problem.data, seeds[:1])["train"].shape[1]
            if batch > rows:
                raise fail("Study", "batch", f'at most {rows:,}, the training rows, or "all"', batch)
        parts = check_problem(problem, Settings(study.steps, batch, study.sampling), seeds)
        scores = scores_of(problem)
        study.check_scores(scores)
        tuning = _without_test(problem, parts)
        _require_storable(problem, parts)
        rows = batch if parts is None else batch or parts["train"].shape[1]
        digests: dict[str, Any] = {"problem": fingerprint.of_problem(problem, rows, seeds[0])}
        if (digest := fingerprint.of_data(problem, seeds[0])) is not None:
            digests["data"] = digest
    return Material(problem, tuning, scores, {seed: seed for seed in seeds}, batch, digests)


def scores_of(problem: Problem) -> Scores:
    """The ranked scores of a problem. Raises `StudyError` where a name cannot stand in a report."""
    for name in problem.scores:
        if not is_name(name):
            raise StudyError(
                f"Problem: the name of a score must be one line of at most 60 characters without a slash, got {name!r}."
            )
    ranked = (
        RankedScore(name, cast(Any, score.better), score.worst, score.percent)
        for name, score in problem.scores.items()
        if score.better is not None
    )
    return Scores(tuple(ranked), tested=problem.data is not None)


def _require_storable(problem: Problem, parts: dict[str, np.ndarray] | None) -> None:
    """Raises `StudyError` where a kept score has more entries than a line of a store."""
    key, data = jax.random.key(0), problem.data
    params, state = jax.eval_shape(problem.init, key)
    batch = None
    if isinstance(data, Table) and parts is not None:
        batch = jax.eval_shape(data.take, data.arrays, jax.ShapeDtypeStruct((max(1, parts["test"].shape[1]),), np.int32))
    elif isinstance(data, Stream) and data.test is not None:
        batch = next(iter(data.test()))
    values = jax.eval_shape(problem.measure, params, state, batch, key)
    for name, score in problem.scores.items():
        size = jax.eval_shape(score.__call__, values).size
        if size > MOST_ENTRIES:
            raise StudyError(f"Problem: score {name!r} must have at most {MOST_ENTRIES:,} entries to be stored, got {size:,}.")


def _without_test(problem: Problem, parts: dict[str, np.ndarray] | None) -> Problem:
    """The problem that the tuning sees. Raises `StudyError` where validation or test is missing."""
    if problem.data is None:
        return problem
    if isinstance(problem.data, Table) and parts is not None:
        missing = [part for part in ("validation", "test") if not parts[part].shape[1]]
        hidden: Any = problem.data._replace(split=_WithoutTest(problem.data.split))
    else:
        missing = [part for part in ("validation", "test") if getattr(problem.data, part) is None]
        hidden = cast(Stream, problem.data)._replace(test=None)
    if missing:
        raise StudyError(f"Study: a problem with data must have {joined(missing)} rows: arms are chosen by the first.")
    return problem._replace(data=hidden)


@dataclass(frozen=True)
class _WithoutTest:
    split: Any

    def __call__(self, seed: int) -> tuple[Any, Any, Any]:
        train, validation, test = self.split(seed)
        return train, validation, np.asarray(test)[:0]


def _seeds(study: Study) -> tuple[int, ...]:
    return (*study.seeds, *study.search.seeds * bool(study.tuned), *study.control_seeds * study.noise_floor)


def _of_images(study: Study, dataset: data.Dataset) -> Material:
    seeds = _seeds(study)
    try:
        splits = [dataset.split(seed) for seed in seeds]
    except ValueError as error:
        raise StudyError(f"Study: dataset {study.dataset}: {error}") from None
    train, validation, held_out = (np.stack([split[part] for split in splits]) for part in range(3))
    rows = train.shape[1]
    for name, value in (("examples", study.examples), ("batch", study.batch)):
        if (value or 0) > rows:
            raise fail("Study", name, f"at most {rows}, the training examples of {study.dataset}", value)
        rows = min(rows, study.examples or rows)
    train = train[:, : study.examples]
    examples = Examples(dataset.images, dataset.labels, dataset.scale, train, validation, held_out)
    model = build_model(study, dataset)
    whole, tuning = (classification(model, each) for each in (examples, examples._replace(test=held_out[:, :0])))
    digests = {"data": _digest(dataset, own=study.own_images)}
    return Material(whole, tuning, IMAGES, {seed: row for row, seed in enumerate(seeds)}, study.batch, digests)


def build_model(study: Study, dataset: data.Dataset) -> Model:
    """The network of the study for the images of the data set."""
    network = study.network
    build = functools.partial(cnn, network.channels) if network.channels else mlp
    try:
        return build(
            hidden=network.hidden,
            activation=network.activation,
            dropout=network.dropout,
            init=network.initialization,
            output_activation=network.output_activation,
            loss=network.loss,
            input_shape=dataset.images.shape[1:],
            classes=len(dataset.classes),
        )
    except ValueError as error:
        raise StudyError(f"Study: network does not fit {study.dataset}: {error}") from None


def _digest(dataset: data.Dataset, *, own: bool) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(dataset.images).data)
    digest.update(np.ascontiguousarray(dataset.labels).data)
    if own:
        # Nothing else says how a file of the user's is divided.
        digest.update(f"{dataset.images.shape}{dataset.images.dtype.str}{dataset.official_test}".encode())
    return digest.hexdigest()
