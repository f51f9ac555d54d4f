"""Having the published files: from mirrors, by pooch, checked before they get their names.

A file is downloaded into a scratch folder beside its place, compared with its SHA-256 there, and only then renamed, so
that whoever looks, at any moment, sees the published file or none.
"""

import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from momentum_jax.data.errors import DataError, required_by
from momentum_jax.data.sources import SOURCES, VARIABLE, Place, check_name, fetch_command, locate, path, sha256

if TYPE_CHECKING:
    from rich.progress import Progress

SCRATCH = ".partial-"
FORGOTTEN_AFTER = 24 * 3600  # seconds; a scratch folder this old belongs to a process that was killed
TIMEOUT = (10, 60)  # seconds to connect, and without a byte
CHUNK = 2**16


def fetch(name: str, *, force: bool = False, directory: str | os.PathLike[str] | None = None) -> Path:
    """Makes sure that the published files of a data set are where `load` reads them, downloading what is missing.

    A file whose SHA-256 is right is left as it is. One whose SHA-256 is wrong is replaced if it lies in the cache; in a
    directory of the user's only with `force`. Mirrors are tried in order. Progress goes to stderr: a bar in a terminal,
    else a line for each file.

    Args:
        name: one of NAMES. For "digits", which travels with scikit-learn, there is nothing to do.
        force: download every file anew.
        directory: as in `load`; the files go to `<directory>/<name>`.

    Returns:
        What `path` returns.

    Raises:
        DataError: the name is unknown; no mirror served a file; the folder cannot be written; a file of the user's is
            in the way; pooch is not installed. The folder then holds no bad file that it did not hold before.
    """
    check_name("fetch", name)
    if name == "digits":
        return path(name, directory)
    place = locate("fetch", name, directory)
    try:
        wanted = [file for file in SOURCES[name].sums if force or _is_wanted(name, place, file)]
        if wanted:
            _download(name, place, wanted)
    except OSError as error:
        culprit = error.filename or place.folder
        remedy = f"Make {place.folder} a folder that can be written, or set {VARIABLE} to one that can."
        raise DataError(f"fetch: {culprit}: {error.strerror or error}. {remedy}") from error
    return place.folder


def _is_wanted(name: str, place: Place, file: str) -> bool:
    target = place.folder / file
    if not target.exists():
        return True
    if (found := sha256(target)) == SOURCES[name].sums[file]:
        return False
    if not place.is_cache:
        raise DataError(
            f"fetch: {target} is not the published file: its SHA-256 is {found}. "
            f"To replace it: {fetch_command(name, place, force=True)}."
        )
    target.unlink(missing_ok=True)
    return True


def _download(name: str, place: Place, files: list[str]) -> None:
    with required_by("fetch", "a download"):
        import pooch  # noqa: F401  (asked for before anything is made on the disk)
    place.folder.mkdir(parents=True, exist_ok=True)
    for old in place.folder.glob(SCRATCH + "*"):
        if time.time() - old.stat().st_mtime > FORGOTTEN_AFTER:
            shutil.rmtree(old, ignore_errors=True)
    mirrors = list(SOURCES[name].mirrors)
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=place.folder) as scratch, _progress(name) as show:
        for file in files:
            got = _from_first_mirror(name, place, file, Path(scratch), mirrors, show)
            _publish(got, place.folder / file)


def _from_first_mirror(
    name: str, place: Place, file: str, scratch: Path, mirrors: list[str], show: Callable[[str, str], Any]
) -> Path:
    """Downloads one file; the mirror that served it moves to the front for the next."""
    import pooch
    import requests

    reasons = []
    for mirror in mirrors:
        url = mirror + file
        downloader = pooch.HTTPDownloader(progressbar=show(file, url), chunk_size=CHUNK, timeout=TIMEOUT)
        try:
            with _quiet(pooch.get_logger()):
                got = pooch.retrieve(
                    url,
                    SOURCES[name].sums[file],
                    file,
                    scratch,
                    downloader=downloader,  # pyright: ignore[reportArgumentType]  (pooch's protocol misnames its own)
                )
        except requests.RequestException as error:
            reasons.append(f"{url}: {_reason(error)}")
        except ValueError:  # pooch's word for a sum that differs
            reasons.append(f"{url}: wrong checksum, the SHA-256 is not that of the published file")
        else:
            mirrors.remove(mirror)
            mirrors.insert(0, mirror)
            return Path(got)
    raise DataError(
        f"fetch: {place.folder / file} could not be downloaded ({'; '.join(reasons)}). Check the network, "
        f"or put the published files of {name} there yourself, or set {VARIABLE} to a directory that has {name}/{file}."
    )


def _reason(error: Exception) -> str:
    import requests

    response = getattr(error, "response", None)
    if response is not None:
        return f"{response.status_code} {response.reason}".strip()
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    if isinstance(error, requests.exceptions.SSLError):
        return "the certificate was not accepted"
    if isinstance(error, requests.ConnectionError):
        return "the connection failed"
    return " ".join(f"{type(error).__name__} {error}".split())


def _publish(got: Path, target: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    got.chmod(0o666 & ~mask)  # temporary files are private; a file in a shared directory is not
    with open(got, "rb+") as stream:
        os.fsync(stream.fileno())
    os.replace(got, target)


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _progress(name: str) -> Iterator[Callable[[str, str], Any]]:
    """A function (file, url) that shows a download, and returns what pooch is to tell of its progress."""
    if not sys.stderr.isatty():
        yield lambda file, url: print(f"{name}: {file} from {url}", file=sys.stderr, flush=True)
        return
    with required_by("fetch", "a progress bar"):
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(file=sys.stderr)) as progress:

        def show(file: str, url: str) -> _Bar:
            return _Bar(progress, f"{name}: {file} from {urlsplit(url).hostname}")

        yield show


class _Bar:
    """One line of rich's progress display, with the attributes that pooch asks of a progress bar."""

    def __init__(self, progress: "Progress", description: str):
        self._progress = progress
        self._task = progress.add_task(description, total=None)

    @property
    def total(self) -> float | None:
        return self._progress.tasks[self._task].total

    @total.setter
    def total(self, size: int) -> None:
        self._progress.update(self._task, total=size or None)

    def update(self, size: int) -> None:
        self._progress.advance(self._task, size)

    def reset(self) -> None:
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        self._progress.stop_task(self._task)
