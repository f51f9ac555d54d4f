"""Arguments checked and laid out: groups that share a program, and the waves of each."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from momentum_jax.training.checks import check_functions, checked_fields, parts_of
from momentum_jax.training.classification import Examples, Model, classification
from momentum_jax.training.devices import choose_lanes, chosen_devices, mesh_for, on_each
from momentum_jax.training.grouping import Group, group_runs
from momentum_jax.training.host import Shared, Wave
from momentum_jax.training.loop import Recipe, Run, Task, begin, initialise
from momentum_jax.training.problem import Problem, Score, Table, rows
from momentum_jax.training.program import programs_for
from momentum_jax.training.sampling import Steady, Streamed, make_sampler
from momentum_jax.training.settings import Settings
from momentum_jax.training.users import UserFunction


def plan_waves(
    keys: jax.Array,
    make_optimizer: Callable[..., Any] | Sequence[Callable[..., Any]],
    hyperparameters: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    problem: Problem | Model,
    data: Examples | None,
    settings: Settings,
    splits: Sequence[int] | np.ndarray | None = None,
) -> list[Wave]:
    """The waves that `train_many` trains one after the other; arguments and errors are its own."""
    runs, evaluations = _count(keys), settings.evaluations()
    if isinstance(problem, Model) and isinstance(data, Examples):
        problem, seeds = classification(problem, data), _seeds(splits, runs, len(data.train))
    else:
        problem, seeds = checked_fields(problem), _seeds(splits, runs, None)
    if data is not None and not isinstance(data, Examples):
        raise ValueError(f"train_many: data must be the Examples of a Model, got {type(data).__name__}.")
    chosen = chosen_devices("train_many", settings.devices)
    groups = group_runs(make_optimizer, hyperparameters, runs, problem.axes)
    # Without data a seed decides nothing.
    distinct, numbers = np.unique(seeds if problem.data is not None else np.zeros_like(seeds), return_inverse=True)
    parts = parts_of(problem.data, distinct.tolist()) if isinstance(problem.data, Table) else None
    task = _task(problem, parts, settings)
    check_functions(task, problem.data, parts, distinct.tolist(), settings)
    shared: dict[Mesh, Shared] = {}
    waves: list[Wave] = []
    for group in groups:
        mesh = mesh_for(chosen, len(group.runs))
        if mesh not in shared:
            shared[mesh] = Shared.of(problem.data, parts, distinct, mesh)
        recipe = Recipe(task, group.make_optimizer, settings.steps, settings.norms, settings.log_hyperparameters)
        count = settings.lanes or choose_lanes(
            mesh, len(group.runs), functools.partial(_bytes_per_run, recipe, keys, shared[mesh], group)
        )
        width = mesh.size * count
        for start in range(0, len(group.runs), width):
            members = slice(start, start + width)
            real = group.runs[members]
            filled = real + [real[-1]] * (width - len(real))
            waves.append(
                Wave(
                    programs=programs_for(recipe, mesh, count),
                    shared=shared[mesh],
                    rows=numbers[filled],
                    runs=tuple(real),
                    run=_stack(keys, filled, group.numbers[members], mesh),
                    steps=settings.steps,
                    evaluations=evaluations,
                )
            )
    return waves


def check_problem(problem: Problem, settings: Settings, seeds: Sequence[int]) -> dict[str, np.ndarray] | None:
    """Checks a problem by its shapes, without training anything; returns the parts of a table's splits, a row a seed.

    Raises:
      ValueError, TypeError: as `train_many` does for a problem that is not what `Problem` says.
    """
    problem = checked_fields(problem)
    parts = parts_of(problem.data, seeds) if isinstance(problem.data, Table) else None
    check_functions(_task(problem, parts, settings), problem.data, parts, seeds, settings)
    return parts


def _task(problem: Problem, parts: Mapping[str, np.ndarray] | None, settings: Settings) -> Task:
    def named(name: str, score: Score) -> Score:
        return score if isinstance(score.of, str) else score._replace(of=UserFunction(f"score {name!r}", score.of))

    sampler, take = Steady(), rows
    if isinstance(problem.data, Table) and parts is not None:
        sampler = make_sampler(settings.sampling, parts["train"].shape[1], settings.batch_size)
        take = problem.data.take
    elif settings.batch_size is not None:
        found = "data=None" if problem.data is None else "a Stream (its batches have their own size)"
        raise ValueError(f"train_many: batch_size is of a Table, got {settings.batch_size} with {found}.")
    elif problem.data is not None:
        sampler = Streamed()
    return Task(
        init=UserFunction("init of the problem", problem.init),
        loss=UserFunction("loss of the problem", problem.loss),
        measure=UserFunction("measure of the problem", problem.measure),
        scores=tuple((name, named(name, score)) for name, score in problem.scores.items()),
        take=UserFunction("take of the table", take),
        sampler=sampler,
        evaluation_batch=int(problem.evaluation_batch),
    )


def _stack(keys: jax.Array, filled: list[int], numbers: list[dict[str, Any]], mesh: Mesh) -> Run:
    """The runs of a wave with a leading axis; copies of the last one fill it up."""
    width = len(filled)
    numbers = numbers + [numbers[-1]] * (width - len(numbers))
    dtype = jnp.result_type(float)
    # NumPy selects them: JAX would compile a program for each little operation.
    columns = {name: np.array([float(each[name]) for each in numbers], dtype) for name in numbers[0]}
    data: Any = jax.device_put((np.asarray(jax.random.key_data(keys))[filled], np.arange(width, dtype=np.int32)), on_each(mesh))
    chosen = jax.random.wrap_key_data(data[0], impl=jax.random.key_impl(keys))
    return Run(chosen, data[1], jax.device_put(columns, on_each(mesh)))


def _bytes_per_run(recipe: Recipe, keys: jax.Array, shared: Shared, group: Group) -> int:
    """What one run carries, and its batch where that is the whole training set."""
    numbers = {name: jnp.asarray(value, jnp.result_type(float)) for name, value in group.numbers[0].items()}
    run = Run(keys[0], jnp.int32(0), numbers)
    carried = [jax.eval_shape(lambda run: begin(recipe, run, initialise(recipe.task, run)), run)]
    if isinstance(recipe.task.sampler, Steady) and shared.parts is not None:
        carried.append(jax.eval_shape(recipe.task.take, shared.arrays, jnp.asarray(shared.parts["train"][0])))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(carried))


def _count(keys: jax.Array) -> int:
    typed = isinstance(keys, jax.Array) and jnp.issubdtype(keys.dtype, jax.dtypes.prng_key)
    if not typed or keys.ndim != 1 or not keys.size:
        found = f"{keys.dtype} of shape {keys.shape}" if isinstance(keys, jax.Array) else type(keys).__name__
        raise ValueError(f"train_many: keys must be typed keys of shape (runs,), as jax.random.split gives them, got {found}.")
    return keys.shape[0]


def _seeds(splits: Any, runs: int, available: int | None) -> np.ndarray:
    """One seed of the table's split for each run; of Examples they are rows, of which so many are available."""
    seeds = np.zeros(runs, np.int64) if splits is None else np.asarray(splits)
    whole = seeds.shape == (runs,) and np.issubdtype(seeds.dtype, np.integer) and (seeds >= 0).all()
    if not whole or (available is not None and (seeds >= available).any()):
        kind = "seed of at least 0" if available is None else f"row in [0, {available})"
        raise ValueError(
            f"train_many: splits must be one {kind} for each of {runs} runs, got {np.array2string(seeds, threshold=8)}."
        )
    return seeds.astype(np.int64)
