"""Many runs at once: groups that share a program, waves of runs side by side, chunks of steps.

The host's loop between two chunks is the only place where anything else happens: progress, evaluation, checkpoints and
Ctrl-C. A finished wave is handed out before the next begins, and only the current wave is on the devices. What the next groups
read is there for a moment, when their programs are announced.
"""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from momentum_jax.training.classification import Examples, Model
from momentum_jax.training.devices import require_seconds
from momentum_jax.training.host import Interrupts, Reporter, Wave, train_wave
from momentum_jax.training.plan import plan_waves
from momentum_jax.training.problem import Problem
from momentum_jax.training.results import Interrupted, Progress, TrainingResult, WaveResult
from momentum_jax.training.settings import Settings

# Groups whose programs compile before their turn comes.
_AHEAD = 2


def train_many(
    keys: jax.Array,
    make_optimizer: Callable[..., Any] | Sequence[Callable[..., Any]],
    hyperparameters: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    problem: Problem | Model,
    data: Examples | None = None,
    *,
    steps: int,
    batch_size: int | None = None,
    sampling: str = "shuffle",
    splits: Sequence[int] | np.ndarray | None = None,
    evaluate_at: int | Sequence[int] | None = None,
    norms: bool = False,
    log_hyperparameters: bool = False,
    lanes: int | None = None,
    devices: Sequence[Any] | None = None,
    chunk_seconds: float = 0.5,
    keep_params: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
    on_wave: Callable[[WaveResult], None] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
) -> TrainingResult:
    """Trains a problem once per key, as many at a time as there are devices and lanes.

    A run is determined by its key (initialisation, batches, dropout), its seed of the split and its hyperparameters; its
    numbers are the same to the bit whatever runs beside it, in whatever order, and on however many CPU devices.

    Args:
      keys: typed keys, (runs,).
      make_optimizer: constructor of the optimizer, or one per run. It is called inside the program with the numbers of a
        run as traced scalars: build schedules from them inside it. Runs with the same constructor share a program.
      hyperparameters: the keyword arguments of each run's constructor, one mapping per run; or one mapping for all, in which
        an array of shape (runs,) holds one value per run. Floats and 0-d floating arrays are data; bools, ints, strings,
        None, tuples and functions are structure: runs that differ there are compiled apart.
      problem: what is trained; or a `Model`, which with its `data` is `classification(model, data)`.
      data: the examples of a `Model`, with their splits; a `Problem` has its own.
      steps: updates of each run.
      batch_size: rows in a mini-batch; None: all training rows in every step, in their order. A problem without data has no
        batches.
      sampling: "shuffle" (a stream of epochs, each a fresh permutation) or "replacement" (independent draws).
      splits: (runs,) the seed that `Table.split` is given for each run, of `Examples` the row of the splits; None: 0.
      evaluate_at: every so many steps, or the steps themselves, at which the validation rows are evaluated; step 0 and the last
        always are.
      norms: records the norms of gradient and update in every step.
      log_hyperparameters: records what `momentum_jax.hyperparameters` tells of every step's update.
      lanes: runs that one device trains at a time; None: one on a CPU, as many as pay elsewhere.
      devices: different ones of `jax.local_devices()`, all of one platform; None: all of this process.
      chunk_seconds: how long the host lets the devices work before it looks after progress, checkpoints and Ctrl-C; at least 0.
      keep_params: False leaves the trained parameters out of the results.
      on_progress, on_wave: called between chunks, and with each finished wave before the next begins.
      checkpoint: directory for the state inside a wave, from which the same call goes on after it was cut off.
      checkpoint_seconds: time between two checkpoints, at least 0.

    Returns:
      The runs in the order of `keys`, and the time they took.

    Raises:
      ValueError, TypeError: arguments that do not fit one another, a problem that is not what `Problem` says, or a state that
        changes its kind in a step; before anything is trained. What a function of the problem raises is raised as it is, with
        a note that names the function.
      Interrupted: Ctrl-C; what was finished is in its `result`. A second Ctrl-C interrupts at once.

    Example, a problem of its own from three seeds:

        train_many(jax.random.split(jax.random.key(0), 3), optax.sgd, {"learning_rate": 0.1}, problem, steps=500, batch_size=32)
    """
    require_seconds("train_many", chunk_seconds=chunk_seconds)
    require_seconds("train_many", checkpoint_seconds=checkpoint_seconds, infinite=True)
    settings = Settings(steps, batch_size, sampling, evaluate_at, norms, lanes, devices, log_hyperparameters)
    waves = plan_waves(keys, make_optimizer, hyperparameters, problem, data, settings, splits)
    saver = None
    if checkpoint is not None:
        from momentum_jax.training.checkpoint import WaveCheckpoints

        saver = WaveCheckpoints(checkpoint, checkpoint_seconds)
    return _train(waves, chunk_seconds, keep_params, on_progress, on_wave, saver)


def _train(
    waves: list[Wave],
    chunk_seconds: float,
    keep_params: bool,
    on_progress: Callable[[Progress], None] | None,
    on_wave: Callable[[WaveResult], None] | None,
    saver: Any,
) -> TrainingResult:
    finished: list[WaveResult] = []
    reporter = Reporter(on_progress, waves, chunk_seconds)
    try:
        with Interrupts() as interrupts:
            for number, wave in enumerate(waves):
                reporter.begin(number)
                spent = _compile_ahead(waves, number)
                result = train_wave(wave, number, len(waves), chunk_seconds, keep_params, reporter, interrupts, saver)
                result = replace(result, compile_seconds=result.compile_seconds + spent)
                if on_wave is not None:
                    on_wave(result)
                finished.append(result)
                if saver is not None:
                    saver.forget(wave)
                reporter.end()
                if number + 1 < len(waves):
                    interrupts.check()
    except BaseException as error:
        # The process should not have to wait for what nobody will use.
        for wave in waves:
            wave.programs.give_up()
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(_gather(finished)) from error
        raise
    return _gather(finished)


def _compile_ahead(waves: list[Wave], number: int) -> float:
    """Where a group begins, tells XLA of its programs and of those of the next groups; returns how long that took.

    XLA compiles much of a program on one core. Programs of several groups, and training, keep the others busy.
    """
    begins = [each for each in range(number, len(waves)) if not each or waves[each].programs != waves[each - 1].programs]
    ahead = [waves[each] for each in begins[: 1 + _AHEAD] if waves[each].programs.advance.is_new]
    if begins[:1] != [number] or not ahead:
        return 0.0
    begun = time.perf_counter()
    for wave in ahead:
        # Whatever is wrong with it is raised when its turn comes.
        with contextlib.suppress(Exception):
            wave.announce()
    return time.perf_counter() - begun


def _gather(waves: list[WaveResult]) -> TrainingResult:
    return TrainingResult(
        runs=tuple(sorted((run for wave in waves for run in wave.runs), key=lambda run: run.run)),
        training_seconds=sum(wave.training_seconds for wave in waves),
        evaluation_seconds=sum(wave.evaluation_seconds for wave in waves),
        compile_seconds=sum(wave.compile_seconds for wave in waves),
    )
