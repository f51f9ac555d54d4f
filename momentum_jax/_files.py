"""Files that others may have prepared: read only where they are regular, written under no name that could be known before."""

import errno
import io
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

TEMPORARY = ".tmp-"


def open_regular(path: str | os.PathLike[str]) -> io.BufferedReader:
    """The file at a path, open for reading. A pipe is never waited for, and of a device nothing is read.

    Raises:
      OSError: it cannot be opened, or is no regular file; also where the path holds a NUL character.
    """
    return os.fdopen(_regular(path, os.O_RDONLY), "rb")


def open_to_append(path: str | os.PathLike[str]) -> IO[bytes]:
    """The file at a path, made if it is missing, open for writing at its end; errors are those of `open_regular`."""
    return os.fdopen(_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab")


def read_regular(path: str | os.PathLike[str]) -> bytes:
    """What a regular file holds; errors are those of `open_regular`."""
    with open_regular(path) as file:
        return file.read()


@contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name whole and durable, or not at all.

    Until then it has a new name beside it, which begins with `TEMPORARY`.
    """
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}{path.suffix}")
    # Exclusive: no file and no link that lies there already is written to.
    opened = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(opened, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync(path.parent)


def sync(directory: Path) -> None:
    """Makes the names in a directory durable."""
    if os.name == "posix":
        folder = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _regular(path: str | os.PathLike[str], flags: int) -> int:
    try:
        opened = os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0), 0o666)
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error), os.fspath(path)) from None
    mode = os.fstat(opened).st_mode
    if not stat.S_ISREG(mode):
        os.close(opened)
        what = "Is a directory" if stat.S_ISDIR(mode) else "it is no regular file"
        raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, what, os.fspath(path))
    return opened
