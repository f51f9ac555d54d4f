"""The coefficients of a constructor's methods for whole arrays of hyperparameters, from one compiled program.

`linearize` proves at one point that the constructor makes linear methods. The Jacobian of `constructor(**h)` is then mapped
over h: ten thousand methods cost one compilation.
"""

import copy
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax._text import numbered
from momentum_jax.theory.dynamics import Dynamics
from momentum_jax.theory.probe import Probe, columns
from momentum_jax.theory.ranges import name_of
from momentum_jax.theory.reading import linearize
from momentum_jax.theory.systems import System, minimal

# Methods are read this many at once, so that each number of them is no new program.
BLOCK = 64


class Systems(NamedTuple):
    """As `System`, of k methods: F (k, n, n), b, c_held and c_iterate (k, n); start (k, n), the state for theta_0 = 1."""

    F: np.ndarray
    b: np.ndarray
    c_held: np.ndarray
    c_iterate: np.ndarray
    start: np.ndarray

    def closed_loop(self, curvature: np.ndarray) -> np.ndarray:
        """(k, c, n, n) for curvatures (c,)."""
        feedback = self.b[:, :, None] * self.c_held[:, None]
        return self.F[:, None] + curvature[:, None, None] * feedback[:, None]

    def polynomials(self) -> tuple[np.ndarray, np.ndarray]:
        """p and q of the held point, (k, n + 1) each, by the recursion of `System.polynomials`."""
        k, n = self.b.shape
        p, q, adjugate = np.ones((k, n + 1)), np.zeros((k, n + 1)), np.broadcast_to(np.eye(n), (k, n, n))
        for i in range(1, n + 1):
            q[:, i] = np.einsum("ki,kij,kj->k", self.c_held, adjugate, self.b)
            adjugate = self.F @ adjugate
            p[:, i] = -np.trace(adjugate, axis1=1, axis2=2) / i
            adjugate = adjugate + p[:, i, None, None] * np.eye(n)
        return p, q

    def differ(self, other: "Systems") -> np.ndarray:
        """(k,): whether the coefficients of the state, or of the gradient, are others."""
        return np.any([_differ(self.F, other.F), _differ(self.b, other.b)], axis=0)

    def pruned(self) -> "Systems":
        """Without the entries on which no parameter and no iterate ever depends, in any of them."""
        reads = np.any((self.c_held != 0) | (self.c_iterate != 0), axis=0)
        seen = np.flatnonzero(_closure(reads, np.any(self.F != 0, axis=0).T))
        vectors = (array[:, seen] for array in self[1:])
        return Systems(self.F[:, seen[:, None], seen], *vectors)

    def minimal(self) -> "Systems":
        """Each in its minimal form; smaller ones are filled with zeros. `start` does not survive and is 0."""
        small = [minimal(System(*each)) for each in zip(*self[:4], strict=True)]
        n = max(len(each.b) for each in small)
        arrays = [np.zeros((len(small), n, n)), *(np.zeros((len(small), n)) for _ in range(4))]
        for i, each in enumerate(small):
            for array, values in zip(arrays, each, strict=False):
                array[i][tuple(slice(size) for size in values.shape)] = values
        return Systems(*arrays)


class Family:
    """A constructor's methods; `example` is the point at which they are proven linear.

    Raises:
      NotLinear: they are not.
    """

    def __init__(self, constructor: Callable[..., Any], example: Mapping[str, float]) -> None:
        self.constructor = constructor
        with jax.enable_x64(True):
            optimizer = constructor(**{name: jnp.asarray(value, jnp.float64) for name, value in example.items()})
            self.read: Dynamics = linearize(optimizer)
            self._probe = Probe(optimizer, None)
        self._program = jax.jit(jax.vmap(self._full, in_axes=(0, None)))
        self._rows = np.arange(self._probe.size + self._probe.memory_size)
        if self.read.settled is not None:
            # Near the example too: at a momentum of 0, or a rate of 0, entries would look apart that are not.
            near = np.random.default_rng(0).uniform(-1, 1, (len(example), 7))
            points = {
                name: np.append(value, value + (0.1 * abs(value) + 0.01) * moved)
                for (name, value), moved in zip(example.items(), near, strict=True)
            }
            first, settled = self._read(points, 0), self._read(points, self.read.settled)
            self._rows = self._reached((first[0] != 0) | (settled[0] != 0), settled[2])

    @property
    def names(self) -> tuple[str, ...]:
        """Of the entries of the methods' state, as in `Dynamics`."""
        every = ["params"] * self._probe.size + self._probe.memory_names()
        return numbered([every[i] for i in self._rows])

    def settled_on_one(self, who: str) -> int:
        """The last step that was read, whose coefficients all later ones repeat.

        Raises:
          ValueError: they still change, or repeat after several steps.
        """
        read = self.read
        if read.settled is None:
            raise ValueError(f"{who}: the coefficients of {name_of(self.constructor)} still change at step {read.horizon - 1}.")
        if read.period > 1:
            raise ValueError(f"{who}: the coefficients of {name_of(self.constructor)} repeat after {read.period} steps.")
        return read.horizon - 1

    def at(self, points: Mapping[str, np.ndarray], step: int | None = None) -> Systems:
        """The methods at hyperparameters (k,), with the coefficients of a step; None: of that at which the example settled."""
        rows, size = self._rows, self._probe.size
        jacobian, readout, begins = self._read(points, self.read.settled if step is None else step)
        b = jacobian[:, rows, size + self._probe.memory_size]
        start = np.concatenate([np.ones((len(b), 1)), begins[:, rows[1:] - size, 0]], 1)
        held = np.broadcast_to(np.eye(len(rows))[0], b.shape)
        return Systems(jacobian[:, rows[:, None], rows], b, held, readout[:, 0, rows], start)

    def _read(self, points: Mapping[str, np.ndarray], step: int | None) -> list[np.ndarray]:
        count = len(next(iter(points.values())))
        padded = {name: np.resize(values, -(-count // BLOCK) * BLOCK) for name, values in points.items()}
        found = []
        with jax.enable_x64(True):
            for begin in range(0, count, BLOCK):
                block = {name: jnp.asarray(each[begin : begin + BLOCK], jnp.float64) for name, each in padded.items()}
                found.append([np.asarray(each) for each in self._program(block, step)])
        return [np.concatenate(column)[:count] for column in zip(*found, strict=True)]

    def _full(self, point: dict[str, jax.Array], step: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The Jacobians of a step, of the iterate behind it and of `init`, all coordinates of the probe."""
        probe = copy.copy(self._probe)
        probe.optimizer = self.constructor(**point)
        size, state = probe.size, probe.size + probe.memory_size
        still = jnp.zeros(state + size)
        clock = [jnp.asarray(leaf) for leaf in jax.tree.leaves(probe.optimizer.init(probe.params))]
        clock = jax.lax.fori_loop(0, step, lambda _, leaves: probe.advance(leaves, still)[1], clock)
        following = probe.advance(clock, still)[1]
        return (
            columns(lambda inputs: probe.advance(clock, inputs)[0], len(still)),
            columns(lambda x: probe.read(following, x), state),
            columns(probe.begin, size),
        )

    def _reached(self, moves: np.ndarray, begins: np.ndarray) -> np.ndarray:
        """The entries of (theta, memory) that the first coordinate, its gradient and its start reach; itself first."""
        size, leads = self._probe.size, np.any(moves, axis=0)
        mine = np.zeros(len(leads), bool)
        mine[0] = True
        mine[size:] = np.any(begins[..., 0] != 0, axis=0)
        return np.flatnonzero(_closure(mine | leads[:, len(leads)], leads[:, : len(leads)]))


def _differ(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    axes = tuple(range(1, one.ndim))
    return np.abs(one - other).max(axes) > 1e-9 * np.abs(one).max(axes)


def _closure(mine: np.ndarray, leads: np.ndarray) -> np.ndarray:
    """The entries (n,) that are mine, and those to which these lead; leads (to, from)."""
    while True:
        wider = mine | np.any(leads[:, mine], axis=1)
        if (wider == mine).all():
            return mine
        mine = wider


@functools.lru_cache(maxsize=32)
def remembered(constructor: Callable[..., Any], example: tuple[tuple[str, float], ...]) -> Family:
    """A family with its compiled program."""
    return Family(constructor, dict(example))


def family(constructor: Callable[..., Any], example: Mapping[str, float]) -> Family:
    """As `Family`; remembered where the constructor can be hashed."""
    try:
        return remembered(constructor, tuple(example.items()))
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        return Family(constructor, example)
