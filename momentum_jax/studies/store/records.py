"""What a store holds of a run: its numbers, a line of runs.jsonl, and its arrays, each with its checksum."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from momentum_jax._files import read_regular
from momentum_jax._text import quoted
from momentum_jax.studies.errors import is_whole
from momentum_jax.studies.store.files import RUNS, place


@dataclass(frozen=True)
class Run:
    """What one run came to.

    name: its own in the study, and its prefix in curves.npz. phase, arm, optimizer, seed: as in `jobs.Job`.
    accuracy, mcc, loss, confusion: on the test split after the last step, the matrix as (true class, predicted class); NaN and
      empty for a run of the tuning, which does not see the test set.
    validation_accuracy, validation_loss: after the last step; NaN where the run diverged.
    diverged: the first step whose loss was not finite; None: none was.
    seconds: the run's share of the training time of its wave.
    key: a digest of all that the run's numbers depend on (`jobs.Job.key`).
    """

    name: str
    phase: str
    arm: str
    optimizer: str
    seed: int
    accuracy: float
    mcc: float
    loss: float
    confusion: tuple[tuple[int, ...], ...]
    validation_accuracy: float
    validation_loss: float
    diverged: int | None
    seconds: float
    key: str = ""


@dataclass(frozen=True)
class Curves:
    """The arrays of one run.

    `train_loss` (steps,) of each mini-batch; `steps`, `validation_loss` and `validation_accuracy` (evaluations,).
    """

    train_loss: np.ndarray
    steps: np.ndarray
    validation_loss: np.ndarray
    validation_accuracy: np.ndarray


ARRAYS = tuple(field.name for field in dataclasses.fields(Curves))


@dataclass(frozen=True)
class Line:
    """A run and the digest of its arrays, as they stand in runs.jsonl."""

    run: Run
    arrays: str

    @property
    def text(self) -> str:
        # JSON knows no NaN: a number that is not finite is null.
        values = {
            key: None if isinstance(value, float) and not np.isfinite(value) else value for key, value in vars(self.run).items()
        }
        content = {**values, "arrays": self.arrays}
        return json.dumps({**content, "sha256": digest_of_json(content)}, allow_nan=False) + "\n"

    @classmethod
    def of(cls, text: str) -> Line:
        """Raises one of `UNSOUND` where the text is not what `text` was; `NotAllowed` says which value cannot be a run's."""
        content = loads(text)
        if content.pop("sha256") != digest_of_json(content):
            raise ValueError("checksum")
        for name, (allowed, is_allowed) in _ALLOWED.items():
            if not is_allowed(content[name]):
                raise NotAllowed(f"{name} must be {allowed}, got {quoted(content[name])}")
        if not _is_whole_run(content):
            raise NotAllowed("scores are missing")
        arrays = content.pop("arrays")
        for name in _NUMBERS:
            content[name] = float("nan") if content[name] is None else float(content[name])
        return cls(Run(**{**content, "confusion": tuple(tuple(row) for row in content["confusion"])}), arrays)


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


def _is_matrix(value: object) -> bool:
    """Square, of counts; or none at all."""
    return isinstance(value, list) and all(
        isinstance(row, list) and len(row) == len(value) and all(is_whole(count, 0) and count < 2**63 for count in row)
        for row in value
    )


def is_text(value: object) -> bool:
    return isinstance(value, str)


# More than any machine runs, and few enough to be added up.
SECONDS = ("a number of seconds", is_number(0.0, 1e15))
_SHARE = ("a number in [0, 1] or null", _or_none(is_number(0.0, 1.0)))
_LARGEST = float(np.finfo(np.float32).max)
_LOSS = ("a number of 32 bits or null", _or_none(is_number(-_LARGEST, _LARGEST)))
_TEXT = ("text", is_text)
_NUMBERS = ("accuracy", "mcc", "loss", "validation_accuracy", "validation_loss")
# Null stands for what is not finite.
_ALLOWED: dict[str, tuple[str, Callable[[object], bool]]] = {
    **dict.fromkeys(("name", "phase", "arm", "optimizer", "key", "arrays"), _TEXT),
    "seed": ("a whole number from 0 to 2**32 - 1", lambda value: is_whole(value, 0) and value < 2**32),
    "accuracy": _SHARE,
    "mcc": ("a number in [-1, 1] or null", _or_none(is_number(-1.0, 1.0))),
    "loss": _LOSS,
    "confusion": ("a square matrix of counts", _is_matrix),
    "validation_accuracy": _SHARE,
    "validation_loss": _LOSS,
    "diverged": ("a whole number >= 0 or null", _or_none(lambda value: is_whole(value, 0) and value < 2**63)),
    "seconds": SECONDS,
}


def _is_whole_run(content: Mapping[str, Any]) -> bool:
    """Whether a run has the scores of its phase: of the test set after the tuning, and of all unless it diverged."""
    wanted = ["validation_accuracy", "validation_loss"] * (content["diverged"] is None)
    if content["phase"] != "tuning":
        wanted += ["accuracy", "mcc", *["loss"] * (content["diverged"] is None)]
        if not content["confusion"]:
            return False
    return all(content[name] is not None for name in wanted)


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
    arrays = vars(curves).values()
    return (
        all(array.dtype.kind in "fi" for array in arrays)
        and curves.train_loss.shape == (steps,)
        and evaluations == curves.validation_loss.shape == curves.validation_accuracy.shape
        and len(evaluations) == 1
    )


def digest_of(curves: Curves) -> str:
    digest = hashlib.sha256()
    for name in ARRAYS:
        array = np.ascontiguousarray(getattr(curves, name))
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
