"""Several training steps in one program, for nets so small that the call of a step costs more than its arithmetic.

    carry_1, metrics_1 = step(carry_0, batch_0)   ...   carry_k, metrics_k = step(carry_{k-1}, batch_{k-1})

A call hands every leaf of the carry into the program and out of it. `several_steps` does so once for k steps, by one
`jax.lax.scan`; `stacked` makes the groups of k batches. `docs/performance.md` says when that pays.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Any, Literal, TypeVar, overload

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax._text import joined, quoted, with_article
from momentum_jax.training.opaque import at_leaf, describe, is_array, require_same_kind, strong

Params = TypeVar("Params")
State = TypeVar("State")
Batch = TypeVar("Batch")
Metrics = TypeVar("Metrics")

# How long a consumer that stops waits for a batch that is just being made, in seconds.
_PATIENCE = 1.0


@overload
def several_steps(
    step: Callable[[State, Batch], tuple[State, Metrics]], n: int, *, unpacked: Literal[False] = False
) -> Callable[[State, Batch], tuple[State, Metrics]]: ...


@overload
def several_steps(
    step: Callable[[Params, State, Batch], tuple[Params, State, Metrics]], n: int, *, unpacked: Literal[True]
) -> Callable[[Params, State, Batch], tuple[Params, State, Metrics]]: ...


def several_steps(step: Callable[..., Any], n: int, *, unpacked: bool = False) -> Callable[..., Any]:
    """One program of up to `n` training steps.

    The program has the same results as a loop of `jax.jit(step)`; XLA may fuse the two differently, then they differ by
    rounding. It compiles once for groups of n batches, and once more for each other number of batches in a group.

    Args:
      step: `step(carry, batch) -> (carry, metrics)`, which JAX can trace. The carry is any tree of arrays and keeps its
        structure, shapes and dtypes.
      n: the largest number of steps in a call, at least 1.
      unpacked: `step` is `step(params, state, batch) -> (params, state, loss)` instead.

    Returns:
      `run(carry, batches) -> (carry, metrics)`, or `run(params, state, batches) -> (params, state, losses)`. Leaves of
      `batches` have a leading axis of 1 to n steps, the same for all. Each leaf of `metrics` comes back with that axis in
      front. The carry that was handed in is dead after the call: its memory holds the new one. Numbers in it become arrays.

    Raises:
      ValueError: n is not a whole number of at least 1. `run`: batches without an array, or leading axes that differ or are
        not in [1, n]; one buffer in two places of the carry; a carry that is dead already.
      TypeError: `step` is not a function. `run`: the carry holds something else than arrays, or `step` changes its structure,
        a shape or a dtype, or returns another tuple. After an error of these the carry is still alive.

    Example, with any Optax optimizer::

        def step(params, state, batch):
            loss, gradients = jax.value_and_grad(loss_of)(params, batch)
            updates, state = optimizer.update(gradients, state, params)
            return optax.apply_updates(params, updates), state, loss

        run = several_steps(step, 20, unpacked=True)
        for batches in stacked(batches_of_an_epoch, 20):
            params, state, losses = run(params, state, batches)

    A module of Flax NNX travels as what `nnx.split` gives::

        graph, variables = nnx.split((model, nnx.Optimizer(model, optimizer, wrt=nnx.Param)))

        def step(variables, batch):
            model, optimizer = nnx.merge(graph, variables)
            loss, gradients = nnx.value_and_grad(loss_of)(model, batch)
            optimizer.update(model, gradients)
            return nnx.state((model, optimizer)), loss

        variables, losses = several_steps(step, 20)(variables, batches)
        nnx.update((model, optimizer), variables)
    """
    _require_count("several_steps", n)
    if not callable(step):
        raise TypeError(f"several_steps: step must be a function, got {describe(step)}.")
    names = ("the parameters", "the state") if unpacked else ("the carry",)
    form = "(params, state, loss)" if unpacked else "(carry, metrics)"

    def body(parts: tuple[Any, ...], batch: Any) -> tuple[tuple[Any, ...], Any]:
        found = step(*parts, batch)
        if not isinstance(found, tuple | list) or len(found) != len(parts) + 1:
            size = f" of {len(found)}" if isinstance(found, tuple | list) else ""
            raise TypeError(f"several_steps: step must return {form}, got {describe(found)}{size}.")
        *after, metrics = found
        for what, old, new in zip(names, parts, after, strict=True):
            _require_same(what, old, new)
        _require_arrays("the metrics", metrics)
        return tuple(jax.tree.map(strong, after)), metrics

    # Donated buffers are paired with results in order, by shape and dtype: the carry stands first on both sides.
    def scanned(parts: tuple[Any, ...], batches: Any) -> tuple[tuple[Any, ...], Any]:
        return jax.lax.scan(body, parts, batches)

    program = jax.jit(scanned, donate_argnums=0)

    def advance(parts: tuple[Any, ...], batches: Any) -> tuple[tuple[Any, ...], Any]:
        _require_steps(batches, n)
        try:
            return program(_owned(names, parts), batches)
        except (RuntimeError, ValueError) as error:
            if (said := _said_of_buffers(error, names, parts, batches)) is not None:
                raise ValueError(said) from error
            raise

    if unpacked:

        def run_unpacked(params: Any, state: Any, batches: Any) -> tuple[Any, Any, Any]:
            (params, state), losses = advance((params, state), batches)
            return params, state, losses

        return run_unpacked

    def run(carry: Any, batches: Any) -> tuple[Any, Any]:
        (carry,), metrics = advance((carry,), batches)
        return carry, metrics

    return run


def stacked(iterator: Iterable[Any], n: int) -> Iterator[Any]:
    """Groups of `n` batches, each leaf with a leading axis of steps, made ahead in a background thread.

    A group is shorter than n at the end, before a batch of another structure, shape or dtype, and before an error of the
    iterator. That error is raised after the batches that came before it, as a loop over the iterator would raise it.
    The thread begins with the first group that is asked for, and makes the next one while the consumer works at this one. It
    ends with the iterator, when the generator is closed or dropped, and on Ctrl-C. A batch that is being made then is finished
    first; the consumer waits a second for it.

    Args:
      iterator: of batches, trees of arrays of numbers. It is advanced in the thread, where contexts such as
        `jax.default_device` of the caller do not hold; the width of numbers does. An array may be used again by the iterator:
        it is copied when it comes.
      n: batches in a group, at least 1.

    Returns:
      A generator of groups. Leaves that are JAX arrays are stacked as such, all others by NumPy on the host.

    Raises:
      ValueError: n is not a whole number of at least 1; a batch without an array.
      TypeError: `iterator` is not iterable; a leaf that is no array of numbers.

    Example::

        for batches in stacked(({"x": x, "y": y} for x, y in loader), 20):
            carry, metrics = run(carry, batches)
    """
    _require_count("stacked", n)
    if not isinstance(iterator, Iterable):
        raise TypeError(f"stacked: iterator must be iterable, got {describe(iterator)}.")
    return _made_ahead(iter(iterator), n)


def _made_ahead(batches: Iterator[Any], n: int) -> Iterator[Any]:
    made: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
    wanted, stopped = threading.Semaphore(0), threading.Event()
    wide = jnp.result_type(float) == jnp.float64

    def work() -> None:
        error = None
        try:
            # The width of numbers is a setting of each thread.
            with jax.enable_x64(wide):
                for group in _groups(takewhile(lambda _: not stopped.is_set(), batches), n):
                    made.put((group, None))
                    wanted.acquire()
                    if stopped.is_set():
                        # Also while batches wait that began another group: nobody asks for it.
                        return
        except BaseException as raised:  # Whatever it is, it belongs to the consumer.
            error = raised
        made.put((None, error))

    # A daemon: an iterator that never returns must not keep the process from ending.
    worker = threading.Thread(target=work, name="stacked", daemon=True)
    worker.start()
    try:
        while True:
            group, error = made.get()
            if error is not None:
                raise error
            if group is None:
                return
            wanted.release()
            yield group
    finally:
        stopped.set()
        wanted.release()
        worker.join(_PATIENCE)


def _groups(batches: Iterator[Any], n: int) -> Iterator[Any]:
    """The same groups, made when they are asked for."""
    group: list[Any] = []
    kind: Any = None
    number = 0
    while True:
        try:
            batch = _kept(next(batches), number)
        except StopIteration:
            break
        except BaseException:
            # Ctrl-C in the iterator as well: what came before it is whole.
            if group:
                yield _stack(group)
            raise
        number += 1
        before, kind = kind, (jax.tree.structure(batch), [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(batch)])
        if group and kind != before:
            yield _stack(group)
            group = []
        group.append(batch)
        if len(group) == n:
            yield _stack(group)
            group = []
    if group:
        yield _stack(group)


def _kept(batch: Any, number: int) -> Any:
    """The batch in arrays that nobody else writes to."""
    leaves, treedef = jax.tree.flatten_with_path(batch)
    if not leaves:
        raise ValueError(f"stacked: a batch must hold at least one array, got none in batch {number}.")
    kept = [leaf if isinstance(leaf, jax.Array) else np.array(leaf) for _, leaf in leaves]
    for (path, leaf), array in zip(leaves, kept, strict=True):
        if not (
            jnp.issubdtype(array.dtype, np.number) or jnp.issubdtype(array.dtype, np.bool_) or isinstance(array, jax.Array)
        ):
            shown = f"{array.dtype}{list(array.shape)}" if isinstance(leaf, np.ndarray) else describe(leaf)
            raise TypeError(f"stacked: batches must hold arrays of numbers, got {shown}{at_leaf(path)} of batch {number}.")
    return jax.tree.unflatten(treedef, kept)


def _stack(batches: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: (jnp if isinstance(leaves[0], jax.Array) else np).stack(leaves), *batches)


def _require_count(who: str, n: Any) -> None:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"{who}: n must be a whole number of at least 1, got {quoted(n)}.")


def _require_steps(batches: Any, n: int) -> None:
    """Raises ValueError where not all leaves have one leading axis of 1 to n steps."""
    leaves = [(path, np.shape(leaf)) for path, leaf in jax.tree.leaves_with_path(batches)]
    if not leaves:
        raise ValueError("several_steps: batches must hold at least one array, got none.")
    first = leaves[0][1][:1]
    for path, shape in leaves:
        if not shape:
            raise ValueError(f"several_steps: batches must have a leading axis of steps, got a scalar{at_leaf(path)}.")
        if shape[:1] != first:
            raise ValueError(
                f"several_steps: batches must share their leading axis of steps, got {shape[0]}{at_leaf(path)} "
                f"and {first[0]}{at_leaf(leaves[0][0])}."
            )
    if not 1 <= first[0] <= n:
        raise ValueError(f"several_steps: batches must have a leading axis of 1 to {n} steps, got {first[0]}.")


def _owned(names: Sequence[str], parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """The carry in arrays that a program can take over, each of its own and of a strong type: a weak one compiles twice."""
    leaves, treedef = jax.tree.flatten(parts)
    plain = all(isinstance(leaf, jax.Array) and not getattr(leaf, "weak_type", False) for leaf in leaves)
    if plain and len({*map(id, leaves)}) == len(leaves):
        return parts
    for what, part in zip(names, parts, strict=True):
        _require_arrays(what, part)
    seen: set[int] = set()
    owned = []
    for leaf in leaves:
        owned.append(jnp.copy(leaf) if id(leaf) in seen else strong(leaf))
        seen.add(id(leaf))
    return jax.tree.unflatten(treedef, owned)


def _require_arrays(what: str, tree: Any) -> None:
    for path, leaf in jax.tree.leaves_with_path(tree):
        if not is_array(leaf):
            raise TypeError(f"several_steps: {what} must hold arrays alone, got {describe(leaf)}{at_leaf(path)}.")


def _require_same(what: str, before: Any, after: Any) -> None:
    """Raises TypeError where a step changed the carry. Leaves are compared first, for they have a name."""
    require_same_kind(what, before, after, who="several_steps")
    old, new = jax.tree.structure(before), jax.tree.structure(after)
    if old != new:
        was, became = _first_difference(old, new)
        raise TypeError(f"several_steps: {what} must keep its structure from step to step, got {became} that began as {was}.")


def _first_difference(old: Any, new: Any) -> tuple[str, str]:
    """The first nodes in which two tree structures with leaves of the same names differ."""
    (was, old_rest), (became, new_rest) = old.node_data(), new.node_data()
    if was is not became:
        return with_article(was.__name__), with_article(became.__name__)
    if old_rest != new_rest:
        return f"{with_article(was.__name__)} with {quoted(old_rest)}", f"{with_article(was.__name__)} with {quoted(new_rest)}"
    return next(_first_difference(a, b) for a, b in zip(old.children(), new.children(), strict=True) if a != b)


def _said_of_buffers(error: Exception, names: Sequence[str], parts: tuple[Any, ...], batches: Any) -> str | None:
    """What JAX says of a buffer that cannot be used or taken over, as a sentence; None of any other error."""
    if "deleted" in str(error):
        alive = [f"{what} must be what the last call returned" for what in names]
        for what, part in zip([*alive, "batches must hold arrays that are alive"], [*parts, batches], strict=True):
            for path, leaf in jax.tree.leaves_with_path(part):
                if isinstance(leaf, jax.Array) and leaf.is_deleted():
                    return f"several_steps: {what}, got a dead array{at_leaf(path)}, which an earlier call took over."
    if any(words in str(error) for words in ("donate the same buffer", "previously donated")):
        return (
            f"several_steps: each array of {joined(names)} must have memory of its own, got two arrays that share theirs, or "
            "one that is among the batches; copy it with jnp.copy."
        )
    return None
