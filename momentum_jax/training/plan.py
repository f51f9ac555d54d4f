"""Arguments checked and laid out: groups that share a program, and the waves of each."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from momentum_jax.training.devices import choose_lanes, chosen_devices, mesh_for, on_each
from momentum_jax.training.grouping import Group, group_runs
from momentum_jax.training.host import Shared, Wave
from momentum_jax.training.loop import Recipe, Run, Task, begin, initialise
from momentum_jax.training.problem import Examples, Model, check_examples
from momentum_jax.training.program import programs_for
from momentum_jax.training.sampling import make_sampler

# The history of a run holds a float32 for each step: 400 MB then.
MOST_STEPS = 100_000_000


def plan_waves(
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
) -> list[Wave]:
    """The waves that `train_many` trains one after the other; arguments and errors are its own."""
    runs = _count(keys)
    check_examples(data)
    for name, value in (("steps", steps), ("batch_size", batch_size), ("lanes", 1 if lanes is None else lanes)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"train_many: {name} must be a whole number of at least 1, got {value!r}.")
    if steps > MOST_STEPS:
        raise ValueError(f"train_many: steps must be at most {MOST_STEPS:,}, got {steps:,}.")
    chosen = chosen_devices("train_many", devices)
    rows = _rows(splits, runs, len(data.train))
    groups = group_runs(make_optimizer, hyperparameters, runs)
    sampler = make_sampler(sampling, np.shape(data.train)[1], batch_size)
    task = Task(model, sampler, float(data.scale))
    evaluations = _evaluation_steps(evaluate_at, steps)
    _check_model(model, data, batch_size)
    shared: dict[Mesh, Shared] = {}
    waves: list[Wave] = []
    for group in groups:
        mesh = mesh_for(chosen, len(group.runs))
        if mesh not in shared:
            shared[mesh] = Shared.of(data, mesh)
        recipe = Recipe(task, group.make_optimizer, steps, norms)
        count = lanes or choose_lanes(mesh, len(group.runs), functools.partial(_bytes_per_run, recipe, keys, rows, group))
        width = mesh.size * count
        for start in range(0, len(group.runs), width):
            members = slice(start, start + width)
            real = group.runs[members]
            filled = real + [real[-1]] * (width - len(real))
            waves.append(
                Wave(
                    programs=programs_for(recipe, mesh, count),
                    shared=shared[mesh],
                    rows=rows[filled],
                    runs=tuple(real),
                    run=_stack(keys, filled, group.numbers[members], mesh),
                    steps=steps,
                    evaluations=evaluations,
                )
            )
    return waves


def _check_model(model: Model, data: Examples, batch_size: int) -> None:
    """Raises ValueError where a model does not give what `Model` says, or knows fewer classes than there are labels."""
    key = jax.random.key(0)
    images = jax.ShapeDtypeStruct((batch_size, *np.shape(data.images)[1:]), jnp.float32)
    labels = jax.ShapeDtypeStruct((batch_size,), jnp.int32)

    def shapes(what: str, form: str, function: Callable[..., Any], *arguments: Any) -> tuple[Any, Any]:
        found = jax.eval_shape(function, *arguments)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise ValueError(f"Model: {what} must return {form}, got {type(found).__name__}.")
        return found[0], found[1]

    params, state = shapes("init", "(params, model_state)", model.init, key)
    apply = functools.partial(model.apply, train=True)
    outputs, _ = shapes(
        "apply", "(outputs, model_state)", lambda p, s, x, key: apply(p, s, x, key=key), params, state, images, key
    )
    shape = getattr(outputs, "shape", ())
    if len(shape) != 2 or shape[0] != batch_size or not jnp.issubdtype(outputs.dtype, jnp.floating):
        raise ValueError(
            "Model: apply must return floating outputs of shape (batch, classes), "
            f"got {_found(outputs)} for a batch of {batch_size}."
        )
    largest = int(np.max(data.labels))
    if largest >= shape[1]:
        raise ValueError(f"Examples: labels must be below {shape[1]}, the classes of the model, got {largest}.")
    loss = jax.eval_shape(model.loss, outputs, labels)
    if getattr(loss, "shape", None) != (batch_size,) or not jnp.issubdtype(loss.dtype, jnp.floating):
        raise ValueError(f"Model: loss must return one floating loss for each of {batch_size} examples, got {_found(loss)}.")


def _found(value: Any) -> str:
    return f"{value.dtype} of shape {value.shape}" if hasattr(value, "shape") else type(value).__name__


def _stack(keys: jax.Array, filled: list[int], numbers: list[dict[str, Any]], mesh: Mesh) -> Run:
    """The runs of a wave with a leading axis; copies of the last one fill it up."""
    width = len(filled)
    numbers = numbers + [numbers[-1]] * (width - len(numbers))
    dtype = jnp.result_type(float)
    columns = {name: jnp.asarray([float(each[name]) for each in numbers], dtype) for name in numbers[0]}
    return jax.device_put(Run(keys[np.array(filled)], jnp.arange(width, dtype=jnp.int32), columns), on_each(mesh))


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
