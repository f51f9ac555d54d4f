"""What a store holds of a run: its numbers, a line of runs.jsonl, and its arrays, each with its checksum."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from momentum_jax._files import read_regular
from momentum_jax._text import quoted
from momentum_jax.studies.errors import is_whole
from momentum_jax.studies.scores import RankedScore, Scores, is_name
from momentum_jax.studies.store.files import RUNS, place


@dataclass(frozen=True)
class Run:
    """What one run came to.

    name: its own in the study, and its prefix in curves.npz. phase, arm, optimizer, seed: as in `jobs.Job`.
    test: scores by name on the test set after the last step, arrays as nested tuples; NaN where a score is not finite. Empty
      for a run of the tuning, which does not see the test set, and without data.
    validation: ranked scores on the validation set after the last step; NaN where the run diverged.
    diverged: the first step whose loss was not finite; None: none was.
    seconds: the run's share of the training time of its wave.
    factors: those of its arm (`Arm.factors`).
    key: a digest of all that the run's numbers depend on (`jobs.Job.key`).
    """

    name: str
    phase: str
    arm: str
    optimizer: str
    seed: int
    test: dict[str, Any]
    validation: dict[str, float]
    diverged: int | None
    seconds: float
    key: str = ""
    factors: dict[str, Any] = field(default_factory=dict, hash=False)

    def score(self, score: RankedScore) -> float:
        """The final score: on the test set, or without one on the problem itself; as `RankedScore.of` for a diverged run."""
        return score.of(self.test or self.validation, self.diverged)


@dataclass(frozen=True)
class Curves:
    """The arrays of one run.

    `train_loss` (steps,) of each mini-batch; `steps` (evaluations,) and in `validation`, by score, (evaluations,). In
    `hyperparameters`, under `method/name`, (steps,) of what each update took; empty where that was not asked for.
    """

    train_loss: np.ndarray
    steps: np.ndarray
    validation: dict[str, np.ndarray]
    hyperparameters: dict[str, np.ndarray] = field(default_factory=dict)

    def arrays(self) -> dict[str, np.ndarray]:
        """By the names under which they are stored."""
        validation = {f"{VALIDATION}{name}": array for name, array in self.validation.items()}
        # A path would be read as that of another run.
        told = {f"{HYPERPARAMETERS}{quote(name, safe='')}": array for name, array in self.hyperparameters.items()}
        return {"train_loss": self.train_loss, "steps": self.steps, **validation, **told}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Curves:
        """What `arrays` gave, in their order. Raises KeyError where one is missing."""
        validation = {name.removeprefix(VALIDATION): array for name, array in arrays.items() if name.startswith(VALIDATION)}
        told = {
            unquote(name.removeprefix(HYPERPARAMETERS)): array
            for name, array in arrays.items()
            if name.startswith(HYPERPARAMETERS)
        }
        return cls(arrays["train_loss"], arrays["steps"], validation, told)


VALIDATION, HYPERPARAMETERS = "validation_", "hyperparameters_"


def by_name(told: Mapping[str, Mapping[str, np.ndarray] | None]) -> dict[str, np.ndarray]:
    """Under `method/name` each hyperparameter, (steps,); the entries of a matrix under their indices."""
    found = {}
    for method, values in told.items():
        for name, each in (values or {}).items():
            for index in np.ndindex(each.shape[1:]):
                place = f"[{','.join(map(str, index))}]" if index else ""
                found[f"{method}/{name}{place}"] = each[:, *index]
    return found


@dataclass(frozen=True)
class Line:
    """A run and the digest of its arrays, as they stand in runs.jsonl."""

    run: Run
    arrays: str

    @property
    def text(self) -> str:
        content = {**_finite_or_null(vars(self.run)), "arrays": self.arrays}
        if not self.run.factors:
            del content["factors"]
        return json.dumps({**content, "sha256": digest_of_json(content)}, allow_nan=False) + "\n"

    @classmethod
    def of(cls, text: str) -> Line:
        """Raises one of `UNSOUND` where the text is not what `text` was; `NotAllowed` says which value cannot be a run's."""
        content = loads(text)
        if content.pop("sha256") != digest_of_json(content):
            raise ValueError("checksum")
        if "test" not in content:
            content = _of_before(content)
        if not isinstance(content.get("factors", {}), dict):
            raise NotAllowed(f"factors must be values by name, got {quoted(content['factors'])}")
        for name, (allowed, is_allowed) in _ALLOWED.items():
            if not is_allowed(content[name]):
                raise NotAllowed(f"{name} must be {allowed}, got {quoted(content[name])}")
        arrays = content.pop("arrays")
        test, validation = ({name: _numbers(value) for name, value in content[part].items()} for part in ("test", "validation"))
        return cls(Run(**{**content, "test": test, "validation": validation}), arrays)


class NotAllowed(ValueError):
    """A value that no study writes, though the checksum agrees."""


# What JSON that is nobody's, or of any depth, or of numbers of any size makes its reader raise.
UNSOUND = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


def is_number(low: float, high: float) -> Callable[[object], bool]:
    """Whether a value is a number, no bool, and finite, and low <= value <= high."""

    def check(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high and _is_finite(value)

    return check


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _or_none(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or check(value)


def _finite_or_null(value: Any) -> Any:
    """JSON knows no NaN: a number that is not finite is null."""
    if isinstance(value, Mapping):
        return {name: _finite_or_null(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite_or_null(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _numbers(value: Any) -> Any:
    """What JSON has in the place of a score."""
    if isinstance(value, list):
        return tuple(map(_numbers, value))
    return (
        math.nan if value is None else value if isinstance(value, bool) else float(value) if isinstance(value, float) else value
    )


def _of_before(content: dict[str, Any]) -> dict[str, Any]:
    """A line of schema 2, which knew images alone and had their scores side by side."""
    names = ("accuracy", "loss", "mcc", "confusion")
    found = {name: content.pop(name) for name in (*names, "validation_accuracy", "validation_loss")}
    test = {name: found[name] for name in names} if content["phase"] != "tuning" else {}
    return {**content, "test": test, "validation": {name: found[f"validation_{name}"] for name in ("accuracy", "loss")}}


# Of a kept array: a confusion matrix of two hundred classes.
MOST_ENTRIES = 50_000


def _are_scores(value: object, *, arrays: bool) -> bool:
    """Names with numbers of 32 bits, null for those that are not finite; with `arrays` also rectangular lists of them."""
    if not isinstance(value, dict) or not all(map(is_name, value)):
        return False
    for each in value.values():
        if isinstance(each, list) and arrays:
            try:
                found = np.array(each, object)
            except ValueError:
                # Ragged.
                return False
            if found.size > MOST_ENTRIES or not all(isinstance(entry, bool) or _LOSS(entry) for entry in found.ravel()):
                return False
        elif not (_LOSS(each) or (arrays and isinstance(each, bool))):
            return False
    return True


def is_text(value: object) -> bool:
    return isinstance(value, str)


# More than any machine runs, and few enough to be added up.
SECONDS = ("a number of seconds", is_number(0.0, 1e15))
_LARGEST = float(np.finfo(np.float32).max)
_LOSS = _or_none(is_number(-_LARGEST, _LARGEST))
_TEXT = ("text", is_text)
# Null stands for what is not finite.
_ALLOWED: dict[str, tuple[str, Callable[[object], bool]]] = {
    **dict.fromkeys(("name", "phase", "arm", "optimizer", "key", "arrays"), _TEXT),
    "seed": ("a whole number from 0 to 2**32 - 1", lambda value: is_whole(value, 0) and value < 2**32),
    "test": ("scores by name", lambda value: _are_scores(value, arrays=True)),
    "validation": ("numbers of 32 bits by name", lambda value: _are_scores(value, arrays=False)),
    "diverged": ("a whole number >= 0 or null", _or_none(lambda value: is_whole(value, 0) and value < 2**63)),
    "seconds": SECONDS,
}


def faults(run: Run, scores: Scores, *, images: bool) -> str:
    """What a run of these scores cannot have, in words; empty where it can be one. `images`: its scores are those of images."""
    wanted = {"validation": {*scores.names} if not images else {"accuracy", "loss"}}
    if run.phase != "tuning" and scores.tested:
        wanted["test"] = {*scores.names, *["confusion"] * images}
    for part, names in wanted.items():
        found: dict[str, Any] = getattr(run, part)
        if missing := sorted(names - found.keys()):
            return f"the {part} score {missing[0]} is missing"
        if images and (strange := sorted(found.keys() - names - {*scores.names})):
            return f"images have no {part} score {quoted(strange[0])}"
        for name, value in found.items():
            is_ranked = name in scores.names
            if is_ranked and (isinstance(value, bool) or not isinstance(value, int | float)):
                return f"the {part} score {name} must be a number, got {quoted(value)}"
            lost = is_ranked and math.isnan(value)
            if lost and run.diverged is None:
                return f"the {part} score {name} is missing"
            if images and not lost and not _OF_IMAGES.get(name, _ANY)[1](value):
                return f"{name} must be {_OF_IMAGES[name][0]}, got {quoted(value)}"
    return ""


def is_matrix(value: object) -> bool:
    """Square, of counts."""
    return (
        isinstance(value, tuple)
        and bool(value)
        and all(
            isinstance(row, tuple) and len(row) == len(value) and all(is_whole(count, 0) and count < 2**63 for count in row)
            for row in value
        )
    )


_ANY = ("anything", lambda value: True)
_OF_IMAGES: dict[str, tuple[str, Callable[[object], bool]]] = {
    "accuracy": ("a number in [0, 1]", is_number(0.0, 1.0)),
    "mcc": ("a number in [-1, 1]", is_number(-1.0, 1.0)),
    "confusion": ("a square matrix of counts", is_matrix),
}


def loads(text: str | bytes) -> Any:
    """What JSON says; of numbers that are not finite it has none, whatever Python reads. Raises one of `UNSOUND`."""
    return json.loads(text, parse_constant=_finite, parse_float=_finite)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"no number: {text}")
    return number


def digest_of_json(content: Mapping[str, Any]) -> str:
    # Tuples and lists are the same to JSON: what is written and what is read have one digest.
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def is_of_a_run(curves: Curves, steps: int) -> bool:
    """Whether arrays can be those of a run of so many steps: numbers, one a step and one an evaluation."""
    evaluations = curves.steps.shape
    return (
        all(array.dtype.kind in "fi" for array in curves.arrays().values())
        and curves.train_loss.shape == (steps,)
        and all(array.shape == evaluations for array in curves.validation.values())
        and all(array.shape == (steps,) for array in curves.hyperparameters.values())
        and len(evaluations) == 1
    )


def digest_of(curves: Curves) -> str:
    digest = hashlib.sha256()
    for name, each in curves.arrays().items():
        array = np.ascontiguousarray(each)
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Lines:
    """What runs.jsonl holds: the sound lines as they follow each other, sentences on the others, and those as they stand."""

    sound: tuple[Line, ...]
    damage: tuple[str, ...]
    others: bytes


# So many damaged lines are named one by one.
_MOST_NAMED = 10


def read_lines(path: Path) -> Lines:
    """What follows the last newline was never whole, and is left out."""
    try:
        pieces = read_regular(path).split(b"\n")
    except OSError as error:
        return Lines((), (f"{path} cannot be read ({error.strerror}).",), b"")
    sound, damage, others = [], [], []
    for number, piece in enumerate(pieces[:-1], start=1):
        try:
            sound.append(Line.of(piece.decode()))
        except UNSOUND as error:
            reason = f" ({error})" if isinstance(error, NotAllowed) else ""
            damage.append(f"{path} is damaged: line {number} is not a stored run{reason}.")
            others.append(piece + b"\n")
    if (further := len(damage) - _MOST_NAMED) > 1:
        damage[_MOST_NAMED:] = [f"{path} is damaged: {further} further lines are not stored runs."]
    return Lines(tuple(sound), tuple(damage), b"".join(others))


def stored_runs(directory: str | Path) -> list[Run]:
    """The runs with a sound line, whatever has become of the manifest and whosever they are; none where there is no store."""
    path = place(directory) / RUNS
    return [line.run for line in read_lines(path).sound] if path.exists() else []
