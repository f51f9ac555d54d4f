"""Many runs at once: groups that share a program, waves of runs side by side, chunks of steps.

The host's loop between two chunks is the only place where anything else happens: progress, evaluation, checkpoints and
Ctrl-C. A finished wave is handed out before the next begins, and only the current wave is on the devices.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from momentum_jax.training.devices import choose_lanes, mesh_for, on_each
from momentum_jax.training.grouping import Group, group_runs
from momentum_jax.training.host import Interrupts, Placed, Reporter, Wave, place, train_wave
from momentum_jax.training.loop import Recipe, Run, Task, begin, initialise
from momentum_jax.training.problem import Examples, Model, check_examples
from momentum_jax.training.program import programs_for
from momentum_jax.training.results import Interrupted, Progress, TrainingResult, WaveResult
from momentum_jax.training.sampling import make_sampler


def train_many(
    keys: jax.Array,
    make_optimizer: Callable[..., Any] | Sequence[Callable[..., Any]],
    hyperparameters: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    model: Model,
    data: Examples,
    *,
    steps: int,
    batch_size: int,
    sampling: str = "shuffle",
    splits: Sequence[int] | np.ndarray | None = None,
    evaluate_at: int | Sequence[int] | None = None,
    norms: bool = False,
    lanes: int | None = None,
    devices: Sequence[Any] | None = None,
    chunk_seconds: float = 0.5,
    keep_params: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
    on_wave: Callable[[WaveResult], None] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
) -> TrainingResult:
    """Trains one model per key, as many at a time as there are devices and lanes.

    A run is determined by its key (initialisation, batches, dropout), its row of the splits and its hyperparameters; its
    numbers are the same to the bit whatever runs beside it, in whatever order, and on however many CPU devices.

    Args:
      keys: typed keys, (runs,).
      make_optimizer: constructor of the optimizer, or one per run. It is called inside the program with the numbers of a
        run as traced scalars: build schedules from them inside it. Runs with the same constructor share a program.
      hyperparameters: the keyword arguments of each run's constructor, one mapping per run; or one mapping for all, in which
        an array of shape (runs,) holds one value per run. Floats and 0-d floating arrays are data; bools, ints, strings,
        None, tuples and functions are structure: runs that differ there are compiled apart.
      model: what is trained.
      data: examples with their splits; images stay in their integer type on the devices.
      steps: updates of each run.
      batch_size: examples in a mini-batch.
      sampling: "shuffle" (a stream of epochs, each a fresh permutation) or "replacement" (independent draws).
      splits: (runs,) which row of the splits each run uses; None: the first.
      evaluate_at: every so many steps, or the steps themselves, at which the validation split is evaluated; step 0 and the last
        always are.
      norms: records the norms of gradient and update in every step.
      lanes: runs that one device trains at a time; None: one on a CPU, as many as pay elsewhere.
      devices: None: all of this process.
      chunk_seconds: how long the host lets the devices work before it looks after progress, checkpoints and Ctrl-C.
      keep_params: False leaves the trained parameters out of the results.
      on_progress, on_wave: called between chunks, and with each finished wave before the next begins.
      checkpoint: directory for the state inside a wave, from which the same call goes on after it was cut off.
      checkpoint_seconds: time between two checkpoints.

    Returns:
      The runs in the order of `keys`, and the time they took.

    Raises:
      ValueError, TypeError: arguments that do not fit one another, or an optimizer whose state changes its kind.
      Interrupted: Ctrl-C; what was finished is in its `result`. A second Ctrl-C interrupts at once.
    """
    runs = _count(keys)
    check_examples(data)
    for name, value in (("steps", steps), ("batch_size", batch_size), ("lanes", 1 if lanes is None else lanes)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"train_many: {name} must be a whole number of at least 1, got {value!r}.")
    rows = _rows(splits, runs, len(data.train))
    groups = group_runs(make_optimizer, hyperparameters, runs)
    sampler = make_sampler(sampling, np.shape(data.train)[1], batch_size)
    task = Task(model, sampler, float(data.scale))
    evaluations = _evaluation_steps(evaluate_at, steps)
    placed: dict[Mesh, Placed] = {}
    waves: list[Wave] = []
    for group in groups:
        mesh = mesh_for(devices, len(group.runs))
        if mesh not in placed:
            placed[mesh] = place(data, mesh)
        recipe = Recipe(task, group.make_optimizer, steps, norms)
        count = lanes or choose_lanes(mesh, len(group.runs), functools.partial(_bytes_per_run, recipe, keys, rows, group))
        width = mesh.size * count
        for start in range(0, len(group.runs), width):
            members = slice(start, start + width)
            real = group.runs[members]
            waves.append(
                Wave(
                    programs=programs_for(recipe, mesh, count),
                    placed=placed[mesh],
                    runs=tuple(real),
                    run=_stack(keys, rows, real, group.numbers[members], width, mesh),
                    steps=steps,
                    evaluations=evaluations,
                )
            )
    saver = None
    if checkpoint is not None:
        from momentum_jax.training.checkpoint import WaveCheckpoints

        saver = WaveCheckpoints(checkpoint, checkpoint_seconds, data)
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
                result = train_wave(wave, number, len(waves), chunk_seconds, keep_params, reporter, interrupts, saver)
                if on_wave is not None:
                    on_wave(result)
                finished.append(result)
                if saver is not None:
                    saver.forget(wave)
                reporter.end()
                interrupts.check()
    except KeyboardInterrupt as interrupt:
        raise Interrupted(_gather(finished)) from interrupt
    return _gather(finished)


def _gather(waves: list[WaveResult]) -> TrainingResult:
    return TrainingResult(
        runs=tuple(sorted((run for wave in waves for run in wave.runs), key=lambda run: run.run)),
        training_seconds=sum(wave.training_seconds for wave in waves),
        evaluation_seconds=sum(wave.evaluation_seconds for wave in waves),
        compile_seconds=sum(wave.compile_seconds for wave in waves),
    )


def _stack(keys: jax.Array, rows: np.ndarray, real: list[int], numbers: list[dict[str, Any]], width: int, mesh: Mesh) -> Run:
    """The runs of a wave with a leading axis; copies of the last one fill it up."""
    filled = real + [real[-1]] * (width - len(real))
    numbers = numbers + [numbers[-1]] * (width - len(real))
    dtype = jnp.result_type(float)
    columns = {name: jnp.asarray([float(each[name]) for each in numbers], dtype) for name in numbers[0]}
    return jax.device_put(Run(keys[np.array(filled)], jnp.asarray(rows[filled]), columns), on_each(mesh))


def _bytes_per_run(recipe: Recipe, keys: jax.Array, rows: np.ndarray, group: Group) -> int:
    numbers = {name: jnp.asarray(value, jnp.result_type(float)) for name, value in group.numbers[0].items()}
    run = Run(keys[0], jnp.asarray(rows[0]), numbers)
    state = jax.eval_shape(lambda run: begin(recipe, run, initialise(recipe.task, run)), run)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def _count(keys: jax.Array) -> int:
    typed = isinstance(keys, jax.Array) and jnp.issubdtype(keys.dtype, jax.dtypes.prng_key)
    if not typed or keys.ndim != 1 or not keys.size:
        found = f"{keys.dtype} of shape {keys.shape}" if isinstance(keys, jax.Array) else type(keys).__name__
        raise ValueError(f"train_many: keys must be typed keys of shape (runs,), as jax.random.split gives them, got {found}.")
    return keys.shape[0]


def _rows(splits: Any, runs: int, available: int) -> np.ndarray:
    rows = np.zeros(runs, np.int32) if splits is None else np.asarray(splits)
    if rows.shape != (runs,) or not np.issubdtype(rows.dtype, np.integer) or not np.isin(rows, range(available)).all():
        raise ValueError(
            f"train_many: splits must be one row in [0, {available}) for each of {runs} runs, "
            f"got {np.array2string(rows, threshold=8)}."
        )
    return rows.astype(np.int32)


def _evaluation_steps(evaluate_at: int | Sequence[int] | None, steps: int) -> tuple[int, ...]:
    if evaluate_at is None:
        return (0, steps)
    if isinstance(evaluate_at, int | np.integer) and not isinstance(evaluate_at, bool) and evaluate_at >= 1:
        return tuple(sorted({*range(0, steps, int(evaluate_at)), steps}))
    chosen = np.asarray(evaluate_at)
    whole = chosen.ndim == 1 and (not chosen.size or np.issubdtype(chosen.dtype, np.integer))
    if not whole or not ((chosen >= 0) & (chosen <= steps)).all():
        raise ValueError(
            f"train_many: evaluate_at must be a whole number of at least 1 or steps in [0, {steps}], got {evaluate_at!r}."
        )
    return tuple(sorted({0, steps, *chosen.astype(int).tolist()}))
