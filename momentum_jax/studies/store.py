"""A study's results on disk: a directory that is valid and readable after every wave, whatever ends the process.

    manifest.json   schema version, the study, its environment (versions, backend), status, further files of the store
    runs.jsonl      one JSON object a run, appended in the order of the waves
    curves.npz      arrays of every run, named <run>/<array>; loads with allow_pickle=False
    curves/         arrays of waves not yet gathered in curves.npz (only while a study runs, or after a kill)

A wave is stored by renaming its finished, fsynced arrays into curves/, then by appending its lines to runs.jsonl in
one write and fsync. So a run that has a whole line has its arrays; a line that a crash cut short ends without a
newline, is not read and is cut off when the study is resumed. Nothing is unpickled. What a directory holds besides
these names is never touched.

A line holds the SHA-256 of its run's arrays and of itself, and the manifest that of itself. What does not agree is
damaged: it is never read as data. `Store.resume` reports it and forgets the runs it belonged to, so that they are run
again. A manifest that is damaged or lost is written anew: the lines know by their keys what they are runs of.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from momentum_jax.studies.errors import DamageWarning, StudyError
from momentum_jax.studies.spec import Study

SCHEMA = 2
MANIFEST, RUNS, CURVES, PARTS = "manifest.json", "runs.jsonl", "curves.npz", "curves"
_TEMPORARY = ".tmp-"
LOCK = f"{_TEMPORARY}lock"
# The trainer's own: the state inside a wave, while a study runs.
UNFINISHED = f"{_TEMPORARY}unfinished"


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
        # While it is held: filelock refuses a file that was unlinked under it, so nobody is let in by the old one.
        (directory / LOCK).unlink(missing_ok=True)
        lock.release()
        if ours:
            # Nothing was stored: as if nobody had been here.
            _remove_empty(directory)


class Store:
    """The results directory of one study. `Store.create`, `Store.resume` and `Store.read` are its doors.

    `runs` are those with a sound line; `damage` says, in a sentence each, what else was found.
    """

    def __init__(self, directory: Path, manifest: dict[str, Any], lines: Sequence[_Line] = (), damage: Sequence[str] = ()):
        self.directory = directory
        self.manifest = manifest
        self.damage = list(damage)
        self._lines = {line.run.name: line for line in lines}

    @property
    def runs(self) -> list[Run]:
        return [line.run for line in self._lines.values()]

    @property
    def study(self) -> Study:
        return Study.from_dict(self.manifest["study"])

    def of(self, arm: str, *phases: str) -> list[Run]:
        """The runs under a label, in the order of their seeds; of the report where no phase is named."""
        wanted = phases or ("report",)
        return sorted((run for run in self.runs if run.arm == arm and run.phase in wanted), key=lambda run: run.seed)

    @staticmethod
    def exists(directory: str | Path) -> bool:
        """Whether a store lies there, sound or not."""
        return (Path(directory) / MANIFEST).exists() or bool(stored_runs(directory))

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
        if cls.exists(directory):
            if not overwrite:
                raise StudyError(f"{directory} already holds results; choose another directory, or --resume, or --overwrite.")
            _clear(directory, _read_manifest(directory))
        elif strangers := sorted(p.name for p in directory.iterdir() if not _is_ours(p)):
            raise StudyError(
                f"{directory} holds other files ({', '.join(strangers[:3])}{', ...' if len(strangers) > 3 else ''}) "
                "and no results of a study; choose an empty or a new directory."
            )
        manifest = {"schema": SCHEMA, "status": "running", "study": study.to_dict(), "environment": dict(environment)}
        store = cls(directory, manifest)
        with _atomic(directory / RUNS):
            pass
        store.note("running")
        return store

    @classmethod
    def resume(
        cls, directory: str | Path, study: Study, environment: Mapping[str, Any], *, recovered: Sequence[int] = ()
    ) -> Store:
        """The store of the same study, or of it with fewer seeds, less what a crash left half-written and what is damaged.

        Damage draws a `DamageWarning` for each file. `recovered` are the seeds of the study that only stored runs tell of,
        where the manifest does not. Raises `StudyError` where the study or the environment differs: the results would not
        belong together.
        """
        directory = Path(directory)
        asked = {"study": study.to_dict(), "environment": dict(environment)}
        try:
            manifest = _read_manifest(directory)
        except _Damaged as damaged:
            # Without a run this may be a stranger's file.
            if not stored_runs(directory):
                raise
            manifest = {"schema": SCHEMA, "status": "running", **asked, "manifest_lost": True, "seeds_added": [*recovered]}
            warnings.warn(f"{damaged.what}. {_made_anew(recovered)}", DamageWarning, stacklevel=2)
        else:
            stored, now = manifest["study"]["seeds"], asked["study"]["seeds"]
            there = {name: manifest[name] for name in asked}
            if study.own_images and Study.from_dict(manifest["study"]).own_images:
                # The digest of what is in it is in the environment.
                there["study"] = {**there["study"], "dataset": study.dataset}
            if now[: len(stored)] == stored:
                there["study"] = {**there["study"], "seeds": now}
                if added := now[len(stored) :]:
                    # `adding` until they have been run.
                    manifest |= {name: [*manifest.get(name, []), *added] for name in ("seeds_added", "adding")}
            for key, here, other in _differences(asked, there):
                raise StudyError(
                    f"{directory} cannot be resumed: {key} is {_brief(other)} there and {_brief(here)} now; "
                    "choose another directory, or --overwrite."
                )
        store = cls(directory, {**manifest, **asked}, *_read_runs(directory / RUNS))
        store._drop_damaged_arrays()
        for sentence in store.damage:
            warnings.warn(f"{sentence} What it held is run again.", DamageWarning, stacklevel=2)
        store._rewrite_lines()
        for leftover in store.directory.glob(f"{_TEMPORARY}*"):
            if leftover.name not in (LOCK, UNFINISHED):
                leftover.unlink()
        store.note("running")
        return store

    @classmethod
    def read(cls, directory: str | Path) -> Store:
        """A store as it lies there, finished or not; what is damaged is in `damage`."""
        directory = Path(directory)
        manifest = _read_manifest(directory)
        return cls(directory, manifest, *_read_runs(directory / RUNS))

    def keep(self, keys: Mapping[str, str]) -> None:
        """Forgets every run whose key is not the one that `keys` has under its name."""
        self._lines = {name: line for name, line in self._lines.items() if keys.get(name) == line.run.key}
        self._rewrite_lines()

    def add(self, wave: Sequence[tuple[Run, Curves]]) -> None:
        """Stores a finished wave; on return it is on the disk."""
        if not wave:
            return
        arrays = {f"{run.name}/{name}": array for run, curves in wave for name, array in vars(curves).items()}
        parts = self.directory / PARTS
        if not parts.exists():
            parts.mkdir()
            _sync(self.directory)
        with _atomic(parts / f"{_next_part(parts):06d}.npz") as file:
            np.savez(file, **arrays)
        lines = [_Line(run, _digest(curves)) for run, curves in wave]
        with open(self.directory / RUNS, "ab") as file:
            file.write("".join(line.text for line in lines).encode())
            file.flush()
            os.fsync(file.fileno())
        self._lines |= {line.run.name: line for line in lines}

    def curves(self, run: Run) -> Curves:
        """The arrays of a stored run. Raises `StudyError` where they are missing, or not those that were stored."""
        wanted = self._lines[run.name].arrays
        found = ""
        for path in self._archives():
            try:
                # Opened here: what np.load cannot read it leaves open.
                with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                    if f"{run.name}/steps" not in arrays:
                        continue
                    curves = Curves(**{name: arrays[f"{run.name}/{name}"] for name in _ARRAYS})
            except (OSError, EOFError, ValueError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
                found = found or f"{path} is damaged ({_one_line(error)})"
                continue
            if _digest(curves) == wanted:
                return curves
            found = found or f"{path} is damaged: run {run.name} does not agree with its checksum"
        raise _Damaged(found or f"{self.directory}: the curves of run {run.name} are missing")

    def _drop_damaged_arrays(self) -> None:
        """Forgets the runs whose arrays cannot be read, one sentence of `damage` a file."""
        for run in self.runs:
            try:
                self.curves(run)
            except _Damaged as damaged:
                del self._lines[run.name]
                if str(damaged) not in self.damage:
                    self.damage.append(str(damaged))

    def _rewrite_lines(self) -> None:
        text = "".join(line.text for line in self._lines.values()).encode()
        if not (self.directory / RUNS).exists() or (self.directory / RUNS).read_bytes() != text:
            with _atomic(self.directory / RUNS) as file:
                file.write(text)

    def close(self, status: str, **entries: Any) -> None:
        """Gathers all curves in curves.npz and records how the study ended: `complete` or `interrupted`."""
        # What is on the disk counts: a second Ctrl-C may have fallen between a wave's lines and this object's.
        self._lines = {line.run.name: line for line in _read_runs(self.directory / RUNS)[0]}
        # One run at a time: a study's curves need not fit into memory.
        with _atomic(self.directory / CURVES) as file, zipfile.ZipFile(file, "w") as gathered:
            for run in self.runs:
                for name, array in vars(self.curves(run)).items():
                    with gathered.open(f"{run.name}/{name}.npy", "w") as entry:
                        np.lib.format.write_array(entry, array, allow_pickle=False)
        _remove_parts(self.directory)
        if status == "complete":
            shutil.rmtree(self.directory / UNFINISHED, ignore_errors=True)
        self.note(status, **entries)

    def note(self, status: str | None = None, *, files: Iterable[Path] = (), **entries: Any) -> None:
        """Records a status, further entries, or `files` in the directory that from now on belong to the store."""
        own = [*self.manifest.get("files", []), *(path.relative_to(self.directory).as_posix() for path in files)]
        status = status or self.manifest["status"]
        self.manifest = {**self.manifest, "status": status, **entries, "files": list(dict.fromkeys(own))}
        checked = {**self.manifest, "sha256": _digest_of_json(self.manifest)}
        with _atomic(self.directory / MANIFEST) as file:
            file.write((json.dumps(checked, indent=2, allow_nan=False) + "\n").encode())

    def _archives(self) -> list[Path]:
        """Where arrays lie, the newest first."""
        parts = sorted((self.directory / PARTS).glob("[0-9]*.npz"), reverse=True)
        return [*parts, *(path for path in [self.directory / CURVES] if path.exists())]


def stored_runs(directory: str | Path) -> list[Run]:
    """The runs with a sound line, whatever has become of the manifest; none where there is no store."""
    path = Path(directory) / RUNS
    return [line.run for line in _read_runs(path)[0]] if path.exists() else []


def _made_anew(recovered: Sequence[int]) -> str:
    """What becomes of a lost manifest, and what cannot be known any more."""
    kept = f", with seeds {', '.join(map(str, recovered))} of stored runs as added ones" if recovered else ""
    return (
        f"It is written anew{kept}; which of the study's seeds were added after it had been run, and which were still to be "
        "added, cannot be known."
    )


def _is_ours(path: Path) -> bool:
    """Whether a path in a directory without a manifest is what a beginning study may have left there."""
    return path.name.startswith(_TEMPORARY) or (path.name == RUNS and path.stat().st_size == 0)


_MEND = "run the study again to mend it"


class _Damaged(StudyError):
    """A file that is not as it was written: `what` is so, and the remedy."""

    def __init__(self, what: str, remedy: str = ""):
        super().__init__(f"{what}; {remedy}." if remedy else f"{what}.")
        self.what = what


@dataclass(frozen=True)
class _Line:
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
        return json.dumps({**content, "sha256": _digest_of_json(content)}, allow_nan=False) + "\n"

    @classmethod
    def of(cls, text: str) -> _Line:
        """Raises ValueError, TypeError or KeyError where the text is not what `text` was."""
        content = json.loads(text)
        if content.pop("sha256") != _digest_of_json(content):
            raise ValueError("checksum")
        arrays = content.pop("arrays")
        for name in ("accuracy", "mcc", "loss", "validation_accuracy", "validation_loss"):
            content[name] = float("nan") if content[name] is None else content[name]
        return cls(Run(**{**content, "confusion": tuple(tuple(row) for row in content["confusion"])}), arrays)


def _digest_of_json(content: Mapping[str, Any]) -> str:
    # Tuples and lists are the same to JSON: what is written and what is read have one digest.
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _digest(curves: Curves) -> str:
    digest = hashlib.sha256()
    for name in _ARRAYS:
        array = np.ascontiguousarray(getattr(curves, name))
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _next_part(parts: Path) -> int:
    return 1 + max((int(path.stem) for path in parts.glob("[0-9]*.npz")), default=-1)


def _read_runs(path: Path) -> tuple[list[_Line], list[str]]:
    """The sound lines, and a sentence on each that is not. What follows the last newline was never whole."""
    try:
        pieces = path.read_bytes().split(b"\n")
    except OSError as error:
        return [], [f"{path} cannot be read ({error.strerror})."]
    lines, damage = {}, []
    for number, piece in enumerate(pieces[:-1], start=1):
        try:
            line = _Line.of(piece.decode())
            lines[line.run.name] = line
        except (ValueError, TypeError, KeyError):
            damage.append(f"{path} is damaged: line {number} is not a stored run.")
    return list(lines.values()), damage


def _read_manifest(directory: Path) -> dict[str, Any]:
    path = directory / MANIFEST
    if not path.exists():
        if stored_runs(directory):
            raise _Damaged(f"{path} is missing, though runs of a study are stored there", _MEND)
        raise StudyError(f"{directory} holds no results of a study ({MANIFEST} is missing).")
    try:
        manifest = json.loads(path.read_bytes())
        schema, written = manifest["schema"], manifest.pop("sha256", None)
    except OSError as error:
        raise StudyError(f"{path} cannot be read ({error.strerror}); choose another directory, or --overwrite.") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _foreign(path) from None
    if schema != SCHEMA:
        raise StudyError(
            f"{path}: schema version {schema}, but this version of momentum_jax reads {SCHEMA}; choose another directory."
        )
    if written != _digest_of_json(manifest):
        raise _Damaged(f"{path} is damaged: it does not agree with its checksum", _MEND)
    kinds = {"status": str, "study": dict, "environment": dict}
    if not all(isinstance(manifest.get(name), kind) for name, kind in kinds.items()):
        raise _foreign(path)
    try:
        Study.from_dict(manifest["study"])
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from None
    return manifest


def _foreign(path: Path) -> _Damaged:
    remedy = _MEND if stored_runs(path.parent) else "choose another directory"
    return _Damaged(f"{path} is not the manifest of a study, or is damaged", remedy)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


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
    _sync(path.parent)


def _sync(directory: Path) -> None:
    """Makes the names in a directory durable."""
    if os.name == "posix":
        folder = os.open(directory, os.O_RDONLY)
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
    shutil.rmtree(directory / UNFINISHED, ignore_errors=True)
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
