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
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from momentum_jax.data.sources import VARIABLE
from momentum_jax.studies.errors import StudyError, require_whole

# The coordinator hears of every worker that dies, and counts. A worker holds one chunk, so that its death costs no other.
_SCHEDULER = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.worker-saturation": 1.0,
    # A user's files travel with each chunk.
    "distributed.admin.large-graph-warning-threshold": "1GB",
}
# JAX takes the last gigabytes when it wants to; Dask would end it before.
_WORKER = {"nthreads": 1, "memory_limit": None}
_SECONDS_TO_ANSWER = 30


def require(asked: str) -> None:
    """Raises `StudyError` where Dask is not installed; `asked` is what needs it."""
    if importlib.util.find_spec("distributed") is None:
        raise StudyError(
            f"{asked} needs distributed, which is not installed; install it by `pip install 'momentum_jax[distributed]'`."
        )


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

    with (
        dask.config.set(_SCHEDULER),
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            memory_limit=None,
            dashboard_address=None,
            env=_environment(),
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
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

    with dask.config.set(_SCHEDULER):
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
    asyncio.run(_serve(scheduler, count, {**_environment(), **data}))


async def _serve(scheduler: str, count: int, environment: dict[str, str]) -> None:
    from distributed import Nanny

    nannies = [Nanny(scheduler, env=environment, death_timeout=_SECONDS_TO_ANSWER, **_WORKER) for _ in range(count)]
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        try:
            await asyncio.gather(*nannies)
        except (OSError, ValueError, asyncio.TimeoutError) as error:
            raise _unreachable(scheduler, error) from error
        finished = asyncio.gather(*(nanny.finished() for nanny in nannies))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([finished, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
    finally:
        await asyncio.gather(*(nanny.close() for nanny in nannies), return_exceptions=True)


def _environment() -> dict[str, str]:
    # No bound on XLA's threads: a product over many rows rounds by how many there are.
    return {"JAX_NUM_CPU_DEVICES": "1"}


def _unreachable(scheduler: str, error: BaseException) -> Any:
    return StudyError(f"no Dask scheduler answers at {scheduler} ({type(error).__name__}).")
