"""A problem checked before anything is trained: its functions by the shapes of one batch, its table by its splits."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax._text import with_article
from momentum_jax.training.blocks import require_same_shapes
from momentum_jax.training.loop import Run, Tables, Task, evaluate, measure, score
from momentum_jax.training.opaque import at_leaf, describe, put_together, require_same_kind, take_apart
from momentum_jax.training.problem import Problem, Score, Stream, Table
from momentum_jax.training.settings import Settings
from momentum_jax.training.users import UserFunction

PARTS = ("train", "validation", "test")


def checked_fields(problem: Any) -> Problem:
    """The problem itself.

    Raises:
      ValueError: it is no Problem or holds what cannot be in one, as far as that is seen without calling anything.
    """
    if not isinstance(problem, Problem):
        raise ValueError(
            f"train_many: problem must be a Problem, or a Model with its Examples, got {describe(problem).removeprefix('a ')}."
        )
    for name in ("init", "loss", "measure"):
        if not callable(getattr(problem, name)):
            raise ValueError(f"Problem: {name} must be a function, got {describe(getattr(problem, name))}.")
    scores: Mapping[str, Any] = problem.scores if isinstance(problem.scores, Mapping) else {"scores": problem.scores}
    for name, each in scores.items():
        if not isinstance(each, Score):
            raise ValueError(
                f"Problem: scores must map names to what higher(), lower() or kept() return, got {describe(each)} at {name!r}."
            )
        if each.better not in ("higher", "lower", None):
            raise ValueError(f"Problem: score {name!r} must be better 'higher', 'lower' or None, got {each.better!r}.")
        if each.worst is not None and not _is_finite(each.worst):
            raise ValueError(f"Problem: the worst value of score {name!r} must be a finite number or None, got {each.worst!r}.")
    if all(each.better is None for each in scores.values()):
        raise ValueError("Problem: scores must hold at least one ranked score, got none.")
    if problem.data is not None and not isinstance(problem.data, Table | Stream):
        raise ValueError(f"Problem: data must be a Table, a Stream or None, got {describe(problem.data)}.")
    for name, function in ({} if problem.data is None else problem.data._asdict()).items():
        is_left_out = function is None and name in ("validation", "test")
        if name != "arrays" and not callable(function) and not is_left_out:
            raise ValueError(f"{type(problem.data).__name__}: {name} must be a function, got {describe(function)}.")
    size = problem.evaluation_batch
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise ValueError(f"Problem: evaluation_batch must be a whole number of at least 1, got {size!r}.")
    return problem


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def parts_of(table: Table, seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """For each part of the table its indices, (seeds, size) int32.

    Raises:
      ValueError: arrays without a common first axis, or a split that is not three disjoint sets of their rows, of equal sizes
        for all seeds and with at least one row to train on.
    """
    size = _rows(table.arrays)
    split = UserFunction("split of the table", table.split)
    found: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    for seed in seeds:
        given = split(seed)
        if not isinstance(given, tuple | list) or len(given) != 3:
            raise ValueError(f"Table: split({seed}) must return (train, validation, test), got {describe(given)}.")
        for part, indices in zip(PARTS, given, strict=True):
            found[part].append(_indices(seed, part, indices, size))
        if not found["train"][-1].size:
            raise ValueError(f"Table: split({seed}) must give at least one train row, got none.")
        _require_disjoint(seed, {part: each[-1] for part, each in found.items()}, size)
    for part, each in found.items():
        for seed, indices in zip(seeds, each, strict=True):
            if len(indices) != len(each[0]):
                raise ValueError(
                    f"Table: split must give equal sizes for all seeds, got {len(each[0])} {part} rows for seed {seeds[0]} "
                    f"and {len(indices)} for seed {seed}."
                )
    return {part: np.stack(each) for part, each in found.items()}


def _rows(arrays: Any) -> int:
    leaves = jax.tree.leaves_with_path(arrays)
    if not leaves:
        raise ValueError("Table: arrays must hold at least one array, got none.")
    for path, leaf in leaves:
        if not isinstance(leaf, np.ndarray | jax.Array) or not _is_rows(leaf):
            raise ValueError(
                f"Table: arrays must be arrays of numbers with an axis of rows, got {_shown(leaf)}{at_leaf(path)}."
            )
    sizes = [np.shape(leaf)[0] for _, leaf in leaves]
    for size in sizes:
        if size != sizes[0]:
            raise ValueError(f"Table: arrays must share their first axis, got {sizes[0]} and {size}.")
    return sizes[0]


def _is_rows(leaf: Any) -> bool:
    if isinstance(leaf, jax.Array):
        return leaf.ndim > 0
    array = np.asarray(leaf)
    return array.ndim > 0 and (array.dtype == np.bool_ or jnp.issubdtype(array.dtype, jnp.number))


def _shown(leaf: Any) -> str:
    if isinstance(leaf, int | float):
        return with_article(type(leaf).__name__)
    return f"{leaf.dtype}{list(leaf.shape)}" if isinstance(leaf, np.ndarray) else describe(leaf)


def _indices(seed: int, part: str, given: Any, size: int) -> np.ndarray:
    indices = np.asarray(given)
    if not indices.size:
        return np.zeros(0, np.int32)
    if indices.ndim != 1 or not np.issubdtype(indices.dtype, np.integer):
        raise ValueError(f"Table: split({seed}) must give {part} as integer indices (size,), got {_shown(indices)}.")
    if indices.min() < 0 or indices.max() >= size:
        raise ValueError(f"Table: split({seed}) must index the {size} rows, got {indices.min()} to {indices.max()}.")
    return indices.astype(np.int32)


def _require_disjoint(seed: int, parts: dict[str, np.ndarray], size: int) -> None:
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        taken = np.zeros(size, bool)
        taken[parts[one]] = True
        shared = len(np.unique(parts[other][taken[parts[other]]]))
        if shared:
            raise ValueError(f"Table: split({seed}) shares {shared} row{'s' * (shared != 1)} between {one} and {other}.")


def check_functions(task: Task, data: Any, parts: Mapping[str, Any] | None, seeds: Sequence[int], settings: Settings) -> None:
    """Traces init, loss, measure and scores on the shapes of one batch, and compiles nothing.

    Args:
      data: of the problem. parts: those of a table, as `parts_of` gives them.
      seeds: those of the runs.

    Raises:
      ValueError: what a function returns is not what `Problem` says, or a score cannot be computed from it.
      TypeError: the state changes its structure, a shape or a dtype in a step.
    """
    tables, sets, batch = Tables(None, None), [None], None
    if parts is not None:
        shapes = {part: _shape(indices) for part, indices in parts.items()}
        tables = Tables(jax.tree.map(_shape, data.arrays), shapes["train"])
        sets = [shapes[part] for part in ("validation", "test") if shapes[part].shape[1]]
        size = settings.batch_size or shapes["train"].shape[1]
        batch = jax.eval_shape(task.take, tables.arrays, jax.ShapeDtypeStruct((size,), jnp.int32))
    elif isinstance(data, Stream):
        batch, *sets = (jax.tree.map(_shape, each) for each in _first_batches(data, seeds, settings.steps))
        sets = [(each, each) for each in sets]

    def trace(run: Run, tables: Tables, sets: Any, batch: Any) -> None:
        params, state = _initialised(task, run.key)
        loss, after = _pair("loss", "(scalar, state)", task.loss(params, state, batch, run.key))
        if jnp.shape(loss) or not jnp.issubdtype(jnp.result_type(loss), jnp.floating):
            raise ValueError(f"Problem: loss must return (scalar, state), got {describe(loss)} and {describe(after)}.")
        require_same_kind("the state", state, after)
        for each in sets:
            if isinstance(each, tuple):
                score(task, measure(task, run, params, state, each[0]))
            else:
                evaluate(task, run, params, state, tables, each)

    jax.eval_shape(trace, Run(_shape(jax.random.key(0)), _shape(np.int32(0)), {}), tables, sets, batch)


def _first_batches(stream: Stream, seeds: Sequence[int], steps: int) -> list[Any]:
    """The first batches of a stream: to train on, to validate and to test with."""
    train = UserFunction("train of the stream", stream.train)
    first, again = train(seeds[0], 0), train(seeds[0], 0)
    require_same_shapes(again, 0, first)
    _rows_of_batch("train", first)
    if not _same(first, again):
        raise ValueError(f"Stream: train({seeds[0]}, 0) called twice gave different arrays.")
    if steps > 1:
        require_same_shapes(train(seeds[0], 1), 1, first)
    found = [first]
    for part in ("validation", "test"):
        if getattr(stream, part) is None:
            continue
        batches = UserFunction(f"{part} of the stream", getattr(stream, part))
        batch = next(iter(batches()), None)
        if batch is None:
            raise ValueError(f"Stream: {part} must give at least one batch, got none.")
        _rows_of_batch(part, batch)
        if not _same(batch, next(iter(batches()), None)):
            raise ValueError(f"Stream: {part}() called twice gave different batches.")
        found.append(batch)
    return found


def _same(one: Any, other: Any) -> bool:
    """Whether two batches hold the same arrays."""
    if jax.tree.structure(one) != jax.tree.structure(other):
        return False
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def _rows_of_batch(part: str, batch: Any) -> None:
    leaves = jax.tree.leaves(batch)
    sizes = {np.shape(leaf)[:1] for leaf in leaves if _is_rows(leaf)}
    if len(sizes) != 1 or not all(map(_is_rows, leaves)):
        found = ", ".join(map(_shown, leaves)) or "none"
        raise ValueError(f"Stream: {part} must give arrays of numbers that share their first axis, got {found}.")


def _initialised(task: Task, key: jax.Array) -> tuple[Any, Any]:
    found = _pair("init", "(params, state)", task.init(key))
    leaves = jax.tree.leaves_with_path(found[0])
    if not leaves:
        raise ValueError("Problem: init must return floating parameters, got none.")
    for path, leaf in leaves:
        if not jnp.issubdtype(getattr(leaf, "dtype", type(leaf)), jnp.inexact):
            raise ValueError(f"Problem: init must return floating parameters, got {describe(leaf)}{at_leaf(path)}.")
    params, state = (put_together(*take_apart(tree)) for tree in found)
    return params, state


def _pair(what: str, form: str, found: Any) -> tuple[Any, Any]:
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise ValueError(f"Problem: {what} must return {form}, got {describe(found)}.")
    return found[0], found[1]


def _shape(array: Any) -> Any:
    dtype = array.dtype if isinstance(array, jax.Array) else jax.dtypes.canonicalize_dtype(np.asarray(array).dtype)
    return jax.ShapeDtypeStruct(np.shape(array), dtype)
