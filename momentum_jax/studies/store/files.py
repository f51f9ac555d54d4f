"""The names in a store, files that appear whole or not at all, and the lock on a directory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from momentum_jax.studies.errors import StudyError

MANIFEST, RUNS, CURVES, PARTS = "manifest.json", "runs.jsonl", "curves.npz", "curves"
TEMPORARY = ".tmp-"
LOCK = f"{TEMPORARY}lock"
# The trainer's own: the state inside a wave, while a study runs.
UNFINISHED = f"{TEMPORARY}unfinished"


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
            remove_empty(directory)


def is_ours(path: Path) -> bool:
    """Whether a path in a directory without a manifest is what a beginning study may have left there."""
    return path.name.startswith(TEMPORARY) or (path.name == RUNS and path.stat().st_size == 0)


def next_part(parts: Path) -> int:
    return 1 + max((int(path.stem) for path in parts.glob("[0-9]*.npz")), default=-1)


@contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name whole and durable, or not at all."""
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    with open(temporary, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync(path.parent)


def sync(directory: Path) -> None:
    """Makes the names in a directory durable."""
    if os.name == "posix":
        folder = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def remove_parts(directory: Path) -> None:
    parts = directory / PARTS
    if parts.is_dir() and not parts.is_symlink():
        for path in [*parts.glob("[0-9]*.npz"), *parts.glob(f"{TEMPORARY}*")]:
            path.unlink()
        remove_empty(parts)


def remove_empty(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()


def clear(directory: Path, manifest: Mapping[str, Any]) -> None:
    """Removes the files that the store wrote, by name, and folders that this empties; whatever else lies there stays.

    The manifest goes last: until then the directory is a store, and can be overwritten again.
    """
    remove_parts(directory)
    shutil.rmtree(directory / UNFINISHED, ignore_errors=True)
    inside = directory.resolve()
    for name in manifest.get("files", []):
        path = directory / name
        if path.parent.resolve().is_relative_to(inside):
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == directory:
                    break
                remove_empty(folder)
    for name in (CURVES, RUNS, MANIFEST):
        (directory / name).unlink(missing_ok=True)
