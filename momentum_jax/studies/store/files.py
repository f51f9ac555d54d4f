"""The names in a store, what lies there under them, and the lock on a directory."""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from momentum_jax._files import TEMPORARY, atomic, open_regular, sync
from momentum_jax._text import cut_path, quoted
from momentum_jax.studies.errors import StudyError

MANIFEST, RUNS, CURVES, PARTS = "manifest.json", "runs.jsonl", "curves.npz", "curves"
# A directory of what was found among a study's results and is not its own, numbered.
ASIDE = "aside"
LOCK = f"{TEMPORARY}lock"
# The trainer's own: the state inside a wave, while a study runs.
UNFINISHED = f"{TEMPORARY}unfinished"


class Unwritable(StudyError):
    """A directory in which nothing can be written; `reason` is the system's."""

    def __init__(self, directory: Path, error: OSError):
        self.reason = error.strerror or str(error)
        super().__init__(f"{directory} cannot hold results ({self.reason}); choose another directory.")


def place(directory: str | Path) -> Path:
    """The directory of a study, which need not exist. Raises `StudyError` where no file system can have one of that name."""
    if "\0" in str(directory):
        raise StudyError(f"the directory of a study must be a path without NUL characters, got {quoted(str(directory))}.")
    path = Path(directory)
    try:
        path.exists()
    except OSError as error:
        raise StudyError(f"{cut_path(path)} cannot hold results ({error.strerror}); choose another directory.") from None
    return path


@contextmanager
def locked(directory: str | Path) -> Iterator[None]:
    """Keeps other processes out of the directory of a study.

    Raises `StudyError` where one is at work in it, `Unwritable` where it cannot be kept.
    """
    # Not an import for those who only read.
    from filelock import FileLock, Timeout

    directory = place(directory)
    ours = not directory.exists()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if (directory / LOCK).is_symlink():
            # It would be opened where it leads to.
            (directory / LOCK).unlink()
        lock = FileLock(directory / LOCK, timeout=0)
        lock.acquire()
    except OSError as error:
        # Timeout, a lock that another holds, is one too.
        if isinstance(error, Timeout):
            raise StudyError(f"{directory} is in use by another process; choose another directory, or wait.") from None
        raise Unwritable(directory, error) from None
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
    return path.name.startswith(TEMPORARY) or (path.name == RUNS and path.is_file() and path.stat().st_size == 0)


def parts_of(directory: Path) -> list[Path]:
    """The archives of waves that are not yet gathered, in their order."""
    parts = directory / PARTS
    found = [path for path in parts.glob("*.npz") if re.fullmatch(r"[0-9]{6,9}", path.stem, re.ASCII)]
    return sorted(found, key=lambda path: int(path.stem))


def next_part(directory: Path) -> Path:
    """The name of the next one."""
    number = 1 + max((int(path.stem) for path in parts_of(directory)), default=-1)
    return directory / PARTS / f"{number:06d}.npz"


def set_aside(directory: Path, lines: bytes, *, archives: bool) -> Path:
    """Keeps lines of runs.jsonl in a new directory, with `archives` also all arrays as they lie there; returns it.

    An archive is never written to, so that a second name for it is enough.
    """
    aside = next(path for path in map(directory.joinpath, (f"{ASIDE}-{n}" for n in itertools.count(1))) if _is_made(path))
    with atomic(aside / "lines.jsonl") as file:
        file.write(lines)
    if archives:
        for path in [*parts_of(directory), directory / CURVES]:
            if path.is_file():
                copy = aside / path.relative_to(directory).as_posix().replace("/", "-")
                try:
                    os.link(path, copy)
                except OSError:
                    # A file system without links.
                    with atomic(copy) as file, open_regular(path) as stored:
                        shutil.copyfileobj(stored, file)
        sync(aside)
    return aside


def _is_made(path: Path) -> bool:
    try:
        path.mkdir()
    except FileExistsError:
        return False
    return True


def remove_parts(directory: Path) -> None:
    parts = directory / PARTS
    if parts.is_dir() and not parts.is_symlink():
        for path in [*parts_of(directory), *parts.glob(f"{TEMPORARY}*")]:
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
        if path.parent.resolve().is_relative_to(inside) and (path.is_symlink() or not path.is_dir()):
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == directory:
                    break
                remove_empty(folder)
    for name in (CURVES, RUNS, MANIFEST):
        (directory / name).unlink(missing_ok=True)
