"""Batches of a stream on their way to the devices: blocks of steps, the next one made while the devices work on this one."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from momentum_jax.training.devices import on_all
from momentum_jax.training.loop import Tables
from momentum_jax.training.opaque import describe

_MOST_STEPS, _MOST_BYTES = 64, 64_000_000
_KNOWN_BY = 3


class Blocks:
    """The batches of one wave. A block begins at a multiple of its length, wherever the wave goes on.

    Args:
      train: of the stream, called in a thread of its own, with one seed for all runs that share it.
      seeds: of the runs.
      steps: of each run.
    """

    def __init__(self, train: Callable[[int, int], Any], seeds: Sequence[int], steps: int, mesh: Mesh):
        self._distinct, self._numbers = np.unique(np.asarray(seeds), return_inverse=True)
        self._train, self._steps, self._mesh = train, steps, mesh
        self._wide = jnp.result_type(float) == jnp.float64
        self._like = train(int(self._distinct[0]), 0)
        size = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(self._like)) * len(self._distinct)
        self._length = int(min(_MOST_STEPS, steps, max(1, _MOST_BYTES // max(1, size))))
        self._worker = ThreadPoolExecutor(1, "stream")
        self._made: dict[int, Future[Tables]] = {}

    def end(self, step: int) -> int:
        """Where the block of that step ends."""
        return min(self._steps, step - step % self._length + self._length)

    @property
    def shapes(self) -> Tables:
        """Those of every block, and where it lies."""

        def placed(shape: tuple[int, ...], dtype: Any) -> Any:
            return jax.ShapeDtypeStruct(shape, dtype, sharding=on_all(self._mesh))

        leading = (len(self._distinct), self._length)
        like = jax.tree.map(np.asarray, self._like)
        arrays = jax.tree.map(lambda leaf: placed((*leading, *leaf.shape), jnp.result_type(leaf)), like)
        return Tables(arrays, placed(self._numbers.shape, np.int32), placed((), np.int32))

    def tables(self, step: int) -> Tables:
        """The block of that step on the devices; the next one is begun."""
        begin = step - step % self._length
        wanted = [each for each in (begin, begin + self._length) if each < self._steps]
        self._made = {each: self._made.get(each) or self._worker.submit(self._block, each) for each in wanted}
        return self._made[begin].result()

    def first(self) -> list[Any]:
        """The batches of the first steps of each seed: by them a stream is known again."""
        return [self._train(int(seed), step) for seed in self._distinct for step in range(min(_KNOWN_BY, self._steps))]

    def close(self) -> None:
        """Begins no further block."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _block(self, begin: int) -> Tables:
        last = min(begin + self._length, self._steps)
        steps = [*range(begin, last), *[last - 1] * (begin + self._length - last)]
        # The width of numbers is a setting of each thread.
        with jax.enable_x64(self._wide):
            rows = [self._row(int(seed), steps) for seed in self._distinct]
            arrays = jax.tree.map(lambda *each: np.stack(each), *rows)
            tables: Any = (arrays, self._numbers.astype(np.int32), np.int32(begin))
            return Tables(*jax.device_put(tables, on_all(self._mesh)))

    def _row(self, seed: int, steps: Sequence[int]) -> Any:
        batches: dict[int, Any] = {}
        for step in steps:
            if step not in batches:
                batches[step] = self._train(seed, step)
                require_same_shapes(batches[step], step, self._like)
        return jax.tree.map(lambda *each: np.stack(each), *(batches[step] for step in steps))


def require_same_shapes(batch: Any, step: int, like: Any) -> None:
    """Raises ValueError where a batch has another structure, shape or dtype than that of step 0."""
    if jax.tree.structure(batch) != jax.tree.structure(like):
        raise ValueError(
            f"Stream: train must keep its structure, got {jax.tree.structure(batch)} at step {step}, "
            f"{jax.tree.structure(like)} at step 0."
        )
    for leaf, first in zip(jax.tree.leaves(batch), jax.tree.leaves(like), strict=True):
        if describe(leaf) != describe(first):
            raise ValueError(
                f"Stream: train must keep shapes and dtypes, got {describe(leaf)} at step {step}, {describe(first)} at step 0."
            )


def alike(part: str, batches: Iterable[Any]) -> Iterator[Any]:
    """The batches of a set. Raises ValueError at one whose rows have another structure, shape or dtype than the first's."""
    rows: Any = None
    for number, batch in enumerate(batches):
        found = jax.tree.map(lambda leaf: describe(np.asarray(leaf)[:0]), batch)
        rows = rows or found
        if found != rows:
            raise ValueError(
                f"Stream: {part} must keep the structure, shapes and dtypes of its rows, got {_said(found)} in batch {number}, "
                f"{_said(rows)} in batch 0."
            )
        yield batch


def _said(rows: Any) -> str:
    """What stands at each leaf, which is called by its path where it has one."""
    leaves = jax.tree.leaves_with_path(rows)
    return ", ".join(f"{leaf} at {jax.tree_util.keystr(path)}" if path else leaf for path, leaf in leaves)
