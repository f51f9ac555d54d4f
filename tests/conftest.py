"""Compiled programs are kept between tests, workers and runs: nearly three quarters of the suite's time is XLA's compiler.

Nothing here imports JAX before the tests do: it reads where its cache is when it is imported.
"""

import gc
import os
import signal
from collections.abc import Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING

import browser
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from oracles import Problems


# A quarter of the compiler's time, as small programs are not split. `XLA_FLAGS= pytest` compiles as a user's are compiled.
QUICK_COMPILER = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_parallel_codegen_split_count=1"
)


def pytest_configure(config: pytest.Config) -> None:
    # Commands print for a pipe as wide as it says.
    os.environ.pop("COLUMNS", None)
    # A fifth of the time in which tests are collected went into looking for garbage among them.
    gc.set_threshold(100_000, 20, 20)
    if version("jaxlib").startswith("0.10."):  # XLA ends the process where it does not know a flag.
        os.environ.setdefault("XLA_FLAGS", QUICK_COMPILER)
    cache = getattr(config, "cache", None)
    if cache is not None:
        # In the environment, so that the processes that tests start have it too; `pytest --cache-clear` empties it.
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache.mkdir("jax")))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")
    elif "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        # Without a cache of pytest's, commands would keep their programs in the home of whoever tests.
        os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"


def pytest_collection_finish() -> None:
    gc.freeze()


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT interrupts, also where a shell has started pytest in the background and so left it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def hang_up() -> Iterator[None]:
    """SIGHUP ends the process, also where `nohup` has left it ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="module")
def one_figure() -> Iterator[None]:
    """Reports with one figure, and that empty: to draw theirs takes ten times as long as a small study."""
    from matplotlib.figure import Figure

    from momentum_jax import figures

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "report", lambda *drawn_of: {"learning_curves": Figure()})
        yield


@pytest.fixture
def x64() -> Iterator[None]:
    import jax

    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def problem() -> "Problems":
    from oracles import problems

    return problems()


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[browser.Browser]":
    if (executable := browser.path()) is None:
        pytest.skip(f"no Chromium is here ({', '.join(browser.NAMES)})")
    opened = browser.Browser(executable, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture
def page(window: "browser.Browser", file: "Path") -> "browser.Browser":
    """The test module's own `file`, opened anew."""
    window.open(file)
    return window
