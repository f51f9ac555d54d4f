"""What a store holds of a run: its numbers, a line of runs.jsonl, and its arrays, each with its checksum."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from momentum_jax.studies.store.files import RUNS


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
        """Raises ValueError, TypeError, KeyError or AttributeError where the text is not what `text` was."""
        content = json.loads(text)
        if content.pop("sha256") != digest_of_json(content):
            raise ValueError("checksum")
        arrays = content.pop("arrays")
        for name in ("accuracy", "mcc", "loss", "validation_accuracy", "validation_loss"):
            content[name] = float("nan") if content[name] is None else content[name]
        return cls(Run(**{**content, "confusion": tuple(tuple(row) for row in content["confusion"])}), arrays)


def digest_of_json(content: Mapping[str, Any]) -> str:
    # Tuples and lists are the same to JSON: what is written and what is read have one digest.
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def digest_of(curves: Curves) -> str:
    digest = hashlib.sha256()
    for name in ARRAYS:
        array = np.ascontiguousarray(getattr(curves, name))
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def read_runs(path: Path) -> tuple[list[Line], list[str]]:
    """The sound lines, and a sentence on each that is not. What follows the last newline was never whole."""
    try:
        pieces = path.read_bytes().split(b"\n")
    except OSError as error:
        return [], [f"{path} cannot be read ({error.strerror})."]
    lines, damage = {}, []
    for number, piece in enumerate(pieces[:-1], start=1):
        try:
            line = Line.of(piece.decode())
            lines[line.run.name] = line
        except (ValueError, TypeError, KeyError, AttributeError):
            damage.append(f"{path} is damaged: line {number} is not a stored run.")
    return list(lines.values()), damage


def stored_runs(directory: str | Path) -> list[Run]:
    """The runs with a sound line, whatever has become of the manifest; none where there is no store."""
    path = Path(directory) / RUNS
    return [line.run for line in read_runs(path)[0]] if path.exists() else []
