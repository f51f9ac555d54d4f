"""Dask as the engine: workers on this machine, a scheduler that runs, and workers for it. Only here is `distributed` imported.

Each worker is one process of one thread, on one XLA CPU device or the accelerator that it sees. Each is looked after by one of
Dask's nannies, which starts another in the place of one that died.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path

from momentum_jax.data.sources import VARIABLE
from momentum_jax.studies.errors import StudyError, require_whole

# The coordinator hears of every worker that dies, and counts. A worker holds one chunk, so that its death costs no other.
_SETTINGS = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.worker-saturation": 1.0,
    # It would look at what a worker does a hundred times a second.
    "distributed.worker.profile.enabled": False,
    # A user's files travel with each chunk.
    "distributed.admin.large-graph-warning-threshold": "1GB",
}
# No bound on XLA's threads: a product over many rows rounds by how many there are.
_ENVIRONMENT = {"JAX_NUM_CPU_DEVICES": "1"}
_OF_COMPILED_PROGRAMS = (
    "jax_enable_compilation_cache",
    "jax_compilation_cache_dir",
    "jax_compilation_cache_max_size",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)
_SECONDS_TO_ANSWER = 30


def require(asked: str) -> None:
    """Raises `StudyError` where Dask is not installed; `asked` is what needs it."""
    if importlib.util.find_spec("distributed") is None:
        raise StudyError(
            f"{asked} needs distributed, which is not installed; install it by `pip install 'momentum_jax[distributed]'`."
        )


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Threads and processes that are started inside never hear Ctrl-C; this thread hears afterwards what came meanwhile."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Where it begins later, inside, it lets the signal through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def local_workers(count: int) -> Iterator[Executor]:
    """An executor of so many worker processes on this machine; they end with it, or with this process.

    Raises:
      StudyError: `count` is no whole number >= 1, or Dask is not installed.

    Example: `with local_workers(4) as executor: run_study(study, "results", executor=executor)`, in a script behind
    `if __name__ == "__main__"`, as each worker imports the script.
    """
    require_whole("local_workers", "count", count, 1)
    require("local_workers")
    import dask.config
    from distributed import Client, LocalCluster

    with dask.config.set(_SETTINGS):
        # A terminal sends Ctrl-C to all processes of a command; the coordinator alone decides.
        with _ctrl_c_held_back():
            cluster = LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                memory_limit=None,
                dashboard_address=None,  # pyright: ignore[reportArgumentType]
                env=environment_of_workers(),
                silence_logs=logging.CRITICAL,
            )
        with cluster, Client(cluster) as client:
            yield client.get_executor(pure=False)


@contextmanager
def workers_of(scheduler: str) -> Iterator[Executor]:
    """An executor of the workers of a Dask scheduler that runs, `"tcp://host:8786"`, now and later.

    Raises:
      StudyError: no scheduler answers there, or Dask is not installed.
    """
    require("workers_of")
    import dask.config
    from distributed import Client

    with dask.config.set(_SETTINGS):
        try:
            client = Client(scheduler, timeout=_SECONDS_TO_ANSWER)
        except (OSError, ValueError) as error:
            raise _unreachable(scheduler, error) from error
        with client:
            yield client.get_executor(pure=False)


def serve(scheduler: str, count: int, data_directory: Path | None = None) -> None:
    """Runs so many workers for a scheduler, until it ends or Ctrl-C.

    Raises:
      StudyError: no scheduler answers there, or Dask is not installed.
    """
    require("worker")
    data = {} if data_directory is None else {VARIABLE: os.path.abspath(data_directory)}
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    with ThreadPoolExecutor(1, "workers") as thread:
        with _ctrl_c_held_back():
            serving = thread.submit(loop.run_until_complete, _serve(scheduler, count, {**_ENVIRONMENT, **data}, stop))
        try:
            serving.result()
        finally:
            if not serving.done():
                loop.call_soon_threadsafe(stop.set)
                wait([serving])
            loop.close()


async def _serve(scheduler: str, count: int, environment: dict[str, str], stop: asyncio.Event) -> None:
    from distributed import Nanny

    # JAX takes what memory it needs; Dask would end it before.
    nannies = [
        Nanny(scheduler, nthreads=1, memory_limit="0", env=environment, death_timeout=_SECONDS_TO_ANSWER) for _ in range(count)
    ]
    try:
        try:
            await asyncio.gather(*nannies)
        except (OSError, ValueError) as error:
            raise _unreachable(scheduler, error) from error
        ends = [asyncio.ensure_future(stop.wait()), *(asyncio.ensure_future(nanny.finished()) for nanny in nannies)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for each in ends:
            each.cancel()
    finally:
        await asyncio.gather(*(nanny.close() for nanny in nannies), return_exceptions=True)


def environment_of_workers() -> dict[str, str]:
    """What local workers have in their environment: one CPU device, and the compiled programs where this process keeps them."""
    import jax

    kept = {name.upper(): getattr(jax.config, name) for name in _OF_COMPILED_PROGRAMS}
    return {**_ENVIRONMENT, **{name: str(value) for name, value in kept.items() if value is not None}}


def _unreachable(scheduler: str, error: BaseException) -> StudyError:
    return StudyError(f"no Dask scheduler answers at {scheduler} ({type(error).__name__}).")
