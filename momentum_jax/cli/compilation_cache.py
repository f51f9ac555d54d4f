"""Compiled programs, kept between commands in the user's cache directory; and `momentum-jax cache`.

JAX keeps them (its persistent compilation cache). Here is only where, how much, and what is said when that fails. Whoever
sets JAX_COMPILATION_CACHE_DIR, or any other of JAX's settings, has chosen already.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

# A thousand programs, of thirty comparisons. JAX looks at all of them whenever it adds one: with four thousand that took 0.2 s.
MOST_BYTES = 2**25
_DIRECTORY, _ENABLED = "jax_compilation_cache_dir", "jax_enable_compilation_cache"
# How long another process may keep the lock, in seconds.
_PATIENCE = 10.0
# JAX's own words, which come as a UserWarning.
_FAILED = "Error (reading|writing) persistent compilation cache entry"
_LOCK, _ENTRIES = ".lockfile", ("*-cache", "*-atime")
# What decides which instructions LLVM writes, of x86 and of ARM. Clock rates and the like change from one reading to the next.
_OF_A_PROCESSOR = (
    *("vendor_id", "cpu family", "model", "stepping", "flags"),
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features"),
)


def root() -> Path:
    """The directory of the programs of all versions and processors."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("momentum_jax")) / "programs"


def directory() -> Path:
    """That of this version's programs for this processor: another one's instructions could end the process."""
    processor = hashlib.sha256(_processor(Path("/proc/cpuinfo")).encode()).hexdigest()
    return root() / f"jaxlib-{version('jaxlib')}-{platform.machine()}-{processor[:16]}"


def _processor(cpuinfo: Path) -> str:
    """What tells processors apart; where the system does not list their abilities, the machine's name."""
    try:
        first = cpuinfo.read_text().strip().split("\n\n")[0]
    except (OSError, UnicodeDecodeError):
        first = ""
    fields = dict(line.replace("\t", "").split(":", 1) for line in first.splitlines() if ":" in line)
    known = [f"{name}:{fields[name]}" for name in _OF_A_PROCESSOR if name in fields]
    return "\n".join(known or [platform.processor(), platform.node()])


@contextlib.contextmanager
def programs_kept(say: Callable[[str], Any], *, keep: bool = True) -> Iterator[None]:
    """Within this JAX keeps what it compiles, or nothing; afterwards its settings are as they were.

    Args:
      say: is given one sentence at most, when programs cannot be kept.
      keep: False: nothing is read or written, whatever JAX has been told.
    """
    import jax
    from jax.experimental.compilation_cache.compilation_cache import reset_cache

    settings: dict[str, Any] = {_ENABLED: False}
    if keep:
        if getattr(jax.config, _DIRECTORY) or not getattr(jax.config, _ENABLED):
            yield
            return
        place = directory()
        if (reason := _unusable(place)) is not None:
            say(f"compiled programs cannot be kept in {place} ({reason}). Set XDG_CACHE_HOME, or give --no-cache.")
            yield
            return
        limits = {"jax_persistent_cache_min_compile_time_secs": 0.0, "jax_compilation_cache_max_size": MOST_BYTES}
        settings = {_DIRECTORY: str(place)} | {name: value for name, value in limits.items() if name.upper() not in os.environ}
    before = {name: getattr(jax.config, name) for name in settings}
    with _failures_said(Path(settings[_DIRECTORY]), say) if keep else contextlib.nullcontext():
        try:
            for name, value in settings.items():
                jax.config.update(name, value)
            # JAX looks at its settings once.
            reset_cache()
            yield
        finally:
            for name, value in before.items():
                jax.config.update(name, value)
            reset_cache()


def _unusable(place: Path) -> str | None:
    """Why nothing can be written there."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        with open(place / _LOCK, "a"):
            return None
    except OSError as error:
        return error.strerror or str(error)


@contextlib.contextmanager
def _failures_said(place: Path, say: Callable[[str], Any]) -> Iterator[None]:
    """One sentence for all that fails within. A damaged entry would fail at each reading: then the directory is emptied."""
    before, first = warnings.showwarning, threading.Lock()

    def show(message: Any, category: Any, *where: Any, **further: Any) -> None:
        reading, _, reason = str(message).partition("': ")
        if not (category is UserWarning and reading.startswith(("Error reading persistent", "Error writing persistent"))):
            before(message, category, *where, **further)
        elif first.acquire(blocking=False):
            say(f"the compiled programs in {place} could not be read or written ({reason}); what is needed is compiled anew.")
            if reading.startswith("Error reading"):
                _empty(place)

    with warnings.catch_warnings():
        warnings.filterwarnings("always", _FAILED, UserWarning)
        warnings.showwarning = show
        yield


def _empty(place: Path) -> str | None:
    """Removes what can be removed, and says why something could not be.

    Under JAX's own lock: another process never sees half of a program.
    """
    import filelock

    reason = None
    try:
        with filelock.FileLock(place / _LOCK, timeout=_PATIENCE):
            for entry in (each for pattern in _ENTRIES for each in place.glob(pattern)):
                try:
                    entry.unlink(missing_ok=True)
                except OSError as error:
                    reason = error.strerror or str(error)
    except filelock.Timeout:
        reason = "another process is writing there"
    except OSError as error:
        reason = error.strerror or str(error)
    return reason


def _sizes(place: Path) -> list[int]:
    """In bytes, of the programs there; another process may remove one at any time."""
    found = []
    for entry in place.glob(_ENTRIES[0]):
        with contextlib.suppress(FileNotFoundError):
            found.append(entry.stat().st_size)
    return found


def run(*, clear: bool) -> int:
    """Prints where programs are kept and how large they are, or removes them. The exit code is 1 where some could not be."""
    if given := os.environ.get(_DIRECTORY.upper()):
        print(f"{given} is JAX's own compilation cache, as JAX_COMPILATION_CACHE_DIR says; these are not used:")
    if os.environ.get(_ENABLED.upper(), "").lower() in ("0", "f", "false", "n", "no", "off"):
        print("JAX_ENABLE_COMPILATION_CACHE turns JAX's cache off: no program is kept or read.")
    code = 0
    places = sorted({directory(), *(root().glob("jaxlib-*") if root().is_dir() else ())})
    for place in places:
        if clear and place.is_dir() and (reason := _empty(place)) is not None:
            print(f"momentum-jax: the programs in {place} could not all be removed ({reason}).", file=sys.stderr)
            code = 1
        sizes = _sizes(place)
        if sizes or place == directory():
            count = f"{len(sizes)} program{'s' * (len(sizes) != 1)}"
            print(f"{place}: {count}, {sum(sizes) / 1e6:.1f} MB of at most {MOST_BYTES / 1e6:.0f} MB")
    return code
