"""A study's results on disk: a directory that is valid and readable after every wave, whatever ends the process.

    manifest.json   schema version, the study, its environment (versions, backend), status, further files of the store
    runs.jsonl      one JSON object a run, appended in the order of the waves
    curves.npz      arrays of every run, named <run>/<array>; loads with allow_pickle=False
    curves/         arrays of waves not yet gathered in curves.npz (only while a study runs, or after a kill)

A wave is stored by renaming its finished, fsynced arrays into curves/, then by appending its lines to runs.jsonl in
one write and fsync. So a run that has a whole line has its arrays; a line that a crash cut short ends without a
newline, is not read and is cut off when the study is resumed. Nothing is unpickled. What a directory holds besides
these names is never touched.
"""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from momentum_jax.studies.errors import StudyError
from momentum_jax.studies.spec import Study

SCHEMA = 1
MANIFEST, RUNS, CURVES, PARTS = "manifest.json", "runs.jsonl", "curves.npz", "curves"
_TEMPORARY = ".tmp-"
LOCK = f"{_TEMPORARY}lock"


@dataclass(frozen=True)
class Run:
    """What one run came to. `name` is its prefix in curves.npz; `accuracy`, `mcc`, `loss` and `confusion` (true
    class, predicted class) are measured on the test split after the last step; `diverged` is the first step whose
    loss was not finite (None: none was); `seconds` is the run's share of the training time of its wave.
    """

    name: str
    arm: str
    seed: int
    accuracy: float
    mcc: float
    loss: float
    confusion: tuple[tuple[int, ...], ...]
    diverged: int | None
    seconds: float


@dataclass(frozen=True)
class Curves:
    """The arrays of one run.

    `train_loss` (steps,) of each mini-batch; `steps`, `validation_loss` and `validation_accuracy` (evaluations,).
    """

    train_loss: np.ndarray
    steps: np.ndarray
    validation_loss: np.ndarray
    validation_accuracy: np.ndarray


_ARRAYS = tuple(field.name for field in dataclasses.fields(Curves))


@contextmanager
def locked(directory: str | Path) -> Iterator[None]:
    """Keeps other processes out of the directory of a study. Raises `StudyError` where one is at work in it."""
    # Not an import for those who only read.
    from filelock import FileLock, Timeout

    directory = Path(directory)
    ours = not directory.exists()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(directory / LOCK, timeout=0)
        lock.acquire()
    except OSError as error:
        # Timeout, a lock that another holds, is one too.
        if isinstance(error, Timeout):
            raise StudyError(f"{directory} is in use by another process; choose another directory, or wait.") from None
        raise StudyError(f"{directory} cannot hold results ({error.strerror}); choose another directory.") from None
    try:
        yield
    finally:
        lock.release()
        (directory / LOCK).unlink(missing_ok=True)
        if ours:
            # Nothing was stored: as if nobody had been here.
            _remove_empty(directory)


class Store:
    """The results directory of one study. `Store.create`, `Store.resume` and `Store.read` are its doors."""

    def __init__(self, directory: Path, manifest: dict[str, Any], runs: list[Run]):
        self.directory = directory
        self.manifest = manifest
        self.runs = runs

    @property
    def study(self) -> Study:
        return Study.from_dict(self.manifest["study"])

    @staticmethod
    def exists(directory: str | Path) -> bool:
        """Whether a store lies there, sound or not."""
        return (Path(directory) / MANIFEST).exists()

    @classmethod
    def create(cls, directory: str | Path, study: Study, environment: Mapping[str, Any], *, overwrite: bool = False) -> Store:
        """A new store in an absent or empty directory, or with `overwrite` in place of another store.

        `environment` (plain JSON values) is what the numbers depend on besides the study. Raises `StudyError` where
        results lie already, or anything else does.
        """
        directory = Path(directory)
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StudyError(f"{directory} cannot hold results ({error.strerror}); choose another directory.") from None
        if (directory / MANIFEST).exists():
            if not overwrite:
                raise StudyError(f"{directory} already holds results; choose another directory, or --resume, or --overwrite.")
            _clear(directory, _read_manifest(directory))
        elif strangers := sorted(p.name for p in directory.iterdir() if not p.name.startswith(_TEMPORARY)):
            raise StudyError(
                f"{directory} holds other files ({', '.join(strangers[:3])}{', ...' if len(strangers) > 3 else ''}) "
                "and no results of a study; choose an empty or a new directory."
            )
        manifest = {"schema": SCHEMA, "status": "running", "study": study.to_dict(), "environment": dict(environment)}
        store = cls(directory, manifest, [])
        with _atomic(directory / RUNS):
            pass
        store.note("running")
        return store

    @classmethod
    def resume(cls, directory: str | Path, study: Study, environment: Mapping[str, Any]) -> Store:
        """The store of the same study, less what a crash left half-written.

        Raises `StudyError` where the study or the environment differs: the results would not belong together.
        """
        store = cls.read(directory)
        asked = {"study": study.to_dict(), "environment": dict(environment)}
        for key, here, there in _differences(asked, {name: store.manifest[name] for name in asked}):
            raise StudyError(
                f"{directory} cannot be resumed: {key} is {_brief(there)} there and {_brief(here)} now; "
                "choose another directory, or --overwrite."
            )
        text = (store.directory / RUNS).read_bytes()
        if text and not text.endswith(b"\n"):
            with _atomic(store.directory / RUNS) as file:
                file.write(text[: text.rfind(b"\n") + 1])
        for leftover in store.directory.glob(f"{_TEMPORARY}*"):
            if leftover.name != LOCK:
                leftover.unlink()
        store.note("running")
        return store

    @classmethod
    def read(cls, directory: str | Path) -> Store:
        """A store as it lies there, finished or not."""
        directory = Path(directory)
        manifest = _read_manifest(directory)
        return cls(directory, manifest, list(_read_runs(directory / RUNS)))

    def add(self, wave: Sequence[tuple[Run, Curves]]) -> None:
        """Stores a finished wave; on return it is on the disk."""
        if not wave:
            return
        arrays = {f"{run.name}/{name}": array for run, curves in wave for name, array in vars(curves).items()}
        parts = self.directory / PARTS
        parts.mkdir(exist_ok=True)
        with _atomic(parts / f"{len(self.runs):06d}.npz") as file:
            np.savez(file, **arrays)
        lines = "".join(json.dumps(_to_json(run), allow_nan=False) + "\n" for run, _ in wave)
        with open(self.directory / RUNS, "ab") as file:
            file.write(lines.encode())
            file.flush()
            os.fsync(file.fileno())
        self.runs.extend(run for run, _ in wave)

    def curves(self, run: Run) -> Curves:
        """The arrays of a stored run."""
        for path in self._archives():
            try:
                with np.load(path, allow_pickle=False) as arrays:
                    if f"{run.name}/steps" in arrays:
                        return Curves(**{name: arrays[f"{run.name}/{name}"] for name in _ARRAYS})
            except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
                raise StudyError(f"{path} is damaged ({error}); run the study again with --overwrite.") from None
        raise StudyError(f"{self.directory}: the curves of run {run.name} are missing; run the study again with --overwrite.")

    def close(self, status: str, **entries: Any) -> None:
        """Gathers all curves in curves.npz and records how the study ended: `complete` or `interrupted`."""
        # What is on the disk counts: a second Ctrl-C may have fallen between a wave's lines and this object's.
        self.runs = list(_read_runs(self.directory / RUNS))
        # One run at a time: a study's curves need not fit into memory.
        with _atomic(self.directory / CURVES) as file, zipfile.ZipFile(file, "w") as gathered:
            for run in self.runs:
                for name, array in vars(self.curves(run)).items():
                    with gathered.open(f"{run.name}/{name}.npy", "w") as entry:
                        np.lib.format.write_array(entry, array, allow_pickle=False)
        _remove_parts(self.directory)
        self.note(status, **entries)

    def note(self, status: str | None = None, *, files: Iterable[Path] = (), **entries: Any) -> None:
        """Records a status, further entries, or `files` in the directory that from now on belong to the store."""
        own = [*self.manifest.get("files", []), *(path.relative_to(self.directory).as_posix() for path in files)]
        status = status or self.manifest["status"]
        self.manifest = {**self.manifest, "status": status, **entries, "files": list(dict.fromkeys(own))}
        with _atomic(self.directory / MANIFEST) as file:
            file.write((json.dumps(self.manifest, indent=2, allow_nan=False) + "\n").encode())

    def _archives(self) -> list[Path]:
        """Where arrays lie, the newest first."""
        parts = sorted((self.directory / PARTS).glob("[0-9]*.npz"), reverse=True)
        return [*parts, *(path for path in [self.directory / CURVES] if path.exists())]


def _to_json(run: Run) -> dict[str, Any]:
    """JSON knows no NaN: a number that is not finite is null."""
    return {key: None if isinstance(value, float) and not np.isfinite(value) else value for key, value in vars(run).items()}


def _read_runs(path: Path) -> Iterable[Run]:
    for number, line in enumerate(_read(path).split("\n")[:-1], start=1):
        try:
            data = json.loads(line)
            for key in ("accuracy", "mcc", "loss"):
                data[key] = float("nan") if data[key] is None else data[key]
            yield Run(**{**data, "confusion": tuple(tuple(row) for row in data["confusion"])})
        except (ValueError, TypeError, KeyError):
            raise StudyError(f"{path}: line {number} is not a stored run; run the study again with --overwrite.") from None


def _read_manifest(directory: Path) -> dict[str, Any]:
    path = directory / MANIFEST
    if not path.exists():
        raise StudyError(f"{directory} holds no results of a study ({MANIFEST} is missing).")
    try:
        manifest = json.loads(_read(path))
        schema = manifest["schema"]
        sound = isinstance(manifest["status"], str) and isinstance(manifest["environment"], dict)
        Study.from_dict(manifest["study"])
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from None
    except (ValueError, TypeError, KeyError):
        raise StudyError(f"{path} is not the manifest of a study, or is damaged; choose another directory.") from None
    if not sound:
        raise StudyError(f"{path} is damaged; choose another directory.")
    if schema != SCHEMA:
        raise StudyError(
            f"{path}: schema version {schema}, but this version of momentum_jax reads {SCHEMA}; choose another directory."
        )
    return manifest


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} cannot be read ({error}); choose another directory, or --overwrite.") from None


def _differences(here: Any, there: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The places where two JSON values differ, as (dotted key, here, there)."""
    if isinstance(here, Mapping) and isinstance(there, Mapping):
        for key in [*here, *(key for key in there if key not in here)]:
            yield from _differences(here.get(key), there.get(key), f"{path}.{key}" if path else key)
    elif here != there:
        yield path, here, there


def _brief(value: Any, most: int = 60) -> str:
    text = json.dumps(value)
    return text if len(text) <= most else f"{text[:most]}..."


@contextmanager
def _atomic(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name whole and durable, or not at all."""
    temporary = path.with_name(f"{_TEMPORARY}{path.name}")
    with open(temporary, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _remove_parts(directory: Path) -> None:
    parts = directory / PARTS
    if parts.is_dir() and not parts.is_symlink():
        for path in [*parts.glob("[0-9]*.npz"), *parts.glob(f"{_TEMPORARY}*")]:
            path.unlink()
        _remove_empty(parts)


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()


def _clear(directory: Path, manifest: Mapping[str, Any]) -> None:
    """Removes the files that the store wrote, by name, and folders that this empties; whatever else lies there stays.

    The manifest goes last: until then the directory is a store, and can be overwritten again.
    """
    _remove_parts(directory)
    inside = directory.resolve()
    for name in manifest.get("files", []):
        path = directory / name
        if path.parent.resolve().is_relative_to(inside):
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == directory:
                    break
                _remove_empty(folder)
    for name in (CURVES, RUNS, MANIFEST):
        (directory / name).unlink(missing_ok=True)
