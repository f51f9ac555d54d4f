"""Where the runs of a command are trained: the cores of this process, workers of its own, or those of a scheduler.

And `momentum-jax worker`, which is the other side.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from momentum_jax.cli.arguments import Spread, Worker
from momentum_jax.studies import StudyError


@contextlib.contextmanager
def trained_by(command: object, cores: int | None, messages: Console) -> Iterator[dict[str, Any]]:
    """The options of `run_study` that say who trains. `train` has no workers: it saves parameters."""
    from momentum_jax.cli.compare import use_cores

    if not isinstance(command, Spread) or (command.workers is None and command.scheduler is None):
        if isinstance(command, Spread) and command.any_bits:
            raise StudyError("--any-bits is of --workers or --scheduler; give one of them.")
        use_cores(cores, messages)
        yield {}
        return
    if command.workers is not None and command.scheduler is not None:
        raise StudyError("--workers and --scheduler exclude each other: workers of this command, or those of a scheduler.")
    if cores is not None:
        raise StudyError("--cores is of this process, which trains nothing with --workers or --scheduler; leave it out.")
    if command.workers is not None and command.workers < 1:
        raise StudyError(f"--workers must be at least 1, got {command.workers}.")
    from momentum_jax.studies.executors import local_dask

    local_dask.require("--workers" if command.workers is not None else "--scheduler")
    use_cores(1, messages)
    engine = local_dask.workers_of(command.scheduler) if command.scheduler else local_dask.local_workers(command.workers or 1)
    with engine as executor:
        yield {"executor": executor, "any_bits": command.any_bits}


def serve(command: Worker) -> int:
    from momentum_jax.studies.executors import local_dask
    from momentum_jax.training.devices import available_cores

    if command.cores is not None and command.cores < 1:
        raise StudyError(f"--cores must be at least 1, got {command.cores}.")
    count = command.cores or available_cores()
    messages = Console(stderr=True, markup=False, emoji=False)
    said = f"{count} worker{'s' * (count > 1)} for {command.scheduler}"
    messages.print(f"momentum-jax: {said}; Ctrl-C ends them.", highlight=False, soft_wrap=True)
    local_dask.serve(command.scheduler, count, command.data)
    return 0
