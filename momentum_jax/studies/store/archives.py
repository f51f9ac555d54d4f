"""Reading the arrays of many runs out of a store's archives, each of which is listed once and opened when it is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

from momentum_jax._files import open_regular
from momentum_jax._npz import UNREADABLE, open_archive, read_array
from momentum_jax._text import cut
from momentum_jax.studies.store.files import CURVES, parts_of
from momentum_jax.studies.store.manifest import Damaged
from momentum_jax.studies.store.records import Curves, digest_of, is_of_a_run

# The format's own limit of what stands before the entries of an array.
_HEADER = 10_000


class Archives:
    """The archives of the store in a directory, as they lie there now; a context manager, which leaves none open.

    One is open at a time: neighbouring runs lie in one, and a long study has more of them than a process may open.
    """

    def __init__(self, directory: Path):
        self._directory = directory
        # The newest first.
        self._paths = [*reversed(parts_of(directory)), *(path for path in [directory / CURVES] if path.exists())]
        self._names: dict[Path, dict[str, list[str]]] = {}
        self._broken: dict[Path, str] = {}
        self._path: Path | None = None
        self._file: IO[bytes] | None = None
        self._arrays: Any = None

    def __enter__(self) -> Archives:
        return self

    def __exit__(self, *raised: object) -> None:
        self._shut()

    def curves(self, name: str, digest: str, steps: int) -> Curves:
        """The arrays of the run of that name and of so many steps.

        Raises:
          Damaged: they are missing, or not those of that digest.
        """
        found = ""
        # Nothing is recorded more often than once a step and at its beginning.
        most = _HEADER + 8 * (steps + 1)
        for path in self._paths:
            names = self._listed(path).get(name)
            if names is None:
                found = found or self._broken.get(path, "")
                continue
            try:
                arrays = self._opened(path)
                curves = Curves.of({array: read_array(arrays, f"{name}/{array}", most) for array in names})
            except (*UNREADABLE, KeyError) as error:
                found = found or _damaged(path, error)
                continue
            if digest_of(curves) == digest and is_of_a_run(curves, steps):
                return curves
            found = found or f"{path} is damaged: run {name} does not agree with its checksum, or its length"
        raise Damaged(found or f"{self._directory}: the curves of run {name} are missing")

    def _listed(self, path: Path) -> dict[str, list[str]]:
        """The names of the arrays of each run, in their order."""
        if path not in self._names:
            try:
                found: dict[str, list[str]] = {}
                for entry in dict.fromkeys(self._opened(path).files):
                    run, _, array = entry.rpartition("/")
                    found.setdefault(run, []).append(array)
                self._names[path] = found
            except OSError as error:
                # It may pass: the next run asks again.
                self._broken[path] = _damaged(path, error)
                return {}
            except UNREADABLE as error:
                self._names[path], self._broken[path] = {}, _damaged(path, error)
        return self._names[path]

    def _opened(self, path: Path) -> Any:
        if path != self._path:
            self._shut()
            # Closed by `_shut`, whatever np.load makes of it.
            self._file = open_regular(path)
            self._arrays = open_archive(self._file)
            self._path = path
        return self._arrays

    def _shut(self) -> None:
        if self._file is not None:
            self._file.close()
        self._path = self._file = self._arrays = None


def _damaged(path: Path, error: BaseException) -> str:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return f"{path} is damaged ({cut(reason or type(error).__name__)})"
