"""Reading an optimizer: its update as a proven linear rule, and the coefficients of every step.

Two readings, and both are needed. The structure (`linear_structure`) proves for every number that the update is linear. It
says which leaves of the state are memory and which are a clock. The numbers are the Jacobian at each step of the clock, column
by column the update of one input alone. They show which coordinates move each other, and what an update adds of its own.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax._text import listed, numbered
from momentum_jax.theory.dynamics import Dynamics, NotLinear
from momentum_jax.theory.probe import Probe, columns, slashed

# A coefficient whose last values agree to this share of its largest is settled.
SETTLED = 1e-12
LONGEST_PERIOD = 32
# Steps, each of which keeps about a kilobyte.
FURTHEST = 1_000_000
BLOCK = 2**23


def dynamics(optimizer: Any) -> Dynamics:
    """A `Dynamics` as it is; of an optimizer its linearisation, which is remembered."""
    if isinstance(optimizer, Dynamics):
        return optimizer
    try:
        return _remembered(optimizer)
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        return linearize(optimizer)


def linearize(optimizer: Any, *, params: Any = None, leaf: str | None = None, horizon: int = 512) -> Dynamics:
    """Read an optimizer's update as x' = F_t x + b_t g, iterate = r_t x'.

    It is read in float64, whatever the user's flag and the dtype of `params`. Hyperparameters that were built as float32
    arrays stay what they are: 0.1 is 0.10000000149 then.

        >>> import momentum_jax as mj
        >>> from momentum_jax import theory
        >>> theory.linearize(mj.heavy_ball(0.1, 0.9))
        Dynamics: 1 memory (velocity), settled at step 0 of 512 read

    Args:
      optimizer: `init` and `update(gradients, state, params)`: of this library, of Optax, `optax.MultiSteps`, one's own.
      params: any tree, for rules that go by path or rank; only its structure is used. None: one leaf of two axes.
      leaf: path of the leaf to read, as "net/a/w"; needed where leaves are treated differently.
      horizon: how many steps are read. A change that comes later is not seen.

    Returns:
      The coefficients of one coordinate; every coordinate of the leaf has the same.

    Raises:
      NotLinear: the update is not linear, or moves a coordinate by the gradient of another, or adds a value of its own; says
        where; or it goes by the sizes of leaves. A ValueError.
      ValueError: leaves are treated differently and `leaf` is None, or it names none; a horizon below 1, or above 1,000,000.
      TypeError: `optimizer` has no `init` and `update`.
    """
    if not callable(getattr(optimizer, "init", None)) or not callable(getattr(optimizer, "update", None)):
        raise TypeError(f"linearize: optimizer must have init and update, got {type(optimizer).__name__}.")
    if isinstance(horizon, bool) or not isinstance(horizon, int) or not 1 <= horizon <= FURTHEST:
        raise ValueError(f"linearize: horizon must be an int in [1, {FURTHEST}], got {horizon}.")
    with jax.enable_x64(True):
        return _dynamics(Probe(optimizer, params), leaf, horizon)


@functools.lru_cache(maxsize=128)
def _remembered(optimizer: Any) -> Dynamics:
    return linearize(optimizer)


def _dynamics(probe: Probe, leaf: str | None, horizon: int) -> Dynamics:
    coefficients = _Coefficients(probe, horizon)
    offsets = np.cumsum([0, *(each.size for each in probe.paths.values())])
    ranges = {slashed(path): range(*offsets[i : i + 2]) for i, path in enumerate(probe.paths) if probe.paths[path].size}
    if leaf is not None and leaf not in ranges:
        raise ValueError(f"linearize: leaf must be one of {listed(list(ranges), 8)}, got {leaf!r}.")
    names = list(ranges) if leaf is None else [leaf]
    (first, found), *others = [(name, _of_leaf(coefficients, ranges[name])) for name in names]
    for name, other in others:
        if not _are_equal(found, other):
            raise ValueError(f"linearize: leaves {first} and {name} are treated differently; give leaf={first!r}, or another.")
    probe.refuse_a_rule_of_sizes()
    return found


def _of_leaf(coefficients: "_Coefficients", coordinates: range) -> Dynamics:
    found, *others = [coefficients.of(coordinate) for coordinate in coordinates]
    for k, other in enumerate(others):
        if not _are_equal(found, other):
            raise NotLinear(f"linearize: coordinates 0 and {k + 1} of one leaf are treated differently.")
    return found


class _Coefficients:
    """The Jacobian of a probe at each step, held against the update's own values; few of its entries are not 0."""

    def __init__(self, probe: Probe, horizon: int) -> None:
        self.probe = probe
        state, inputs = probe.size + probe.memory_size, 2 * probe.size + probe.memory_size
        random = np.random.default_rng(0)
        point = jnp.asarray(random.normal(size=inputs))

        def one(clock: Any, _: None) -> Any:
            def forward(inputs: jax.Array) -> jax.Array:
                return probe.advance(clock, inputs)[0]

            offset, following = probe.advance(clock, jnp.zeros(inputs))

            def read(x: jax.Array) -> jax.Array:
                return probe.read(following, x)

            origin = jnp.zeros(state)
            jacobian = jnp.concatenate([columns(forward, inputs), _padded(columns(read, state), inputs)])
            values = jnp.concatenate([forward(point), read(point[:state])])
            return following, (jacobian, jnp.concatenate([offset, read(origin)]), values)

        length = max(1, min(horizon, BLOCK // ((state + probe.size) * inputs)))
        block = jax.jit(lambda clock: jax.lax.scan(one, clock, None, length=length))
        clock, self.blocks, done = probe.clock, [], 0
        self.reached = np.zeros((state + probe.size, inputs), bool)
        while done < horizon:
            clock, found = probe.called("update", block, clock)
            jacobian, offset, values = (np.asarray(each)[: horizon - done] for each in found)
            self._refuse_offsets(offset, done)
            self._hold(jacobian, values, np.asarray(point), done)
            nonzero = (jacobian != 0).any(0)
            self.reached |= nonzero
            self.blocks.append((nonzero, jacobian[:, nonzero]))
            done += length
        begins, self.begins = (
            np.asarray(each) for each in (probe.begin(jnp.zeros(probe.size)), columns(probe.begin, probe.size))
        )
        self._refuse_offsets(np.concatenate([np.zeros(probe.size), begins])[None], 0)
        self.names = ["params"] * probe.size + probe.memory_names()

    def of(self, coordinate: int) -> Dynamics:
        """The coefficients of one coordinate: itself, and what its gradient, its value and its start reach."""
        size, state = self.probe.size, self.probe.size + self.probe.memory_size
        update = self.reached[:state]
        gradient = state + coordinate
        mine = np.zeros(state, bool)
        mine[coordinate] = True
        mine[size:] = self.begins[:, coordinate] != 0
        while True:
            wider = mine | update[:, gradient] | update[:, :state][:, mine].any(1)
            if (wider == mine).all():
                break
            mine = wider
        others = np.arange(size) != coordinate
        moved = (mine[:size] & others) | update[mine][:, :size].any(0) & others | update[mine][:, state:].any(0) & others
        if moved.any():
            how = f" ({self.probe.mixes[0]})" if self.probe.mixes else ""
            raise NotLinear(
                f"linearize: parameters {coordinate} and {np.flatnonzero(moved)[0]} move each other{how}; "
                "a method must treat each coordinate by itself."
            )
        rows = np.array([coordinate, *(i for i in np.flatnonzero(mine) if i != coordinate)])
        F, b = self._entries(rows, rows), self._entries(rows, np.array([gradient]))[..., 0]
        readout = self._entries(np.array([state + coordinate]), rows)[:, 0]
        start = np.concatenate([[1.0], self.begins[rows[1:] - size, coordinate]])
        settled, period = _settled(np.concatenate([F.reshape(len(F), -1), b, readout], 1))
        return Dynamics(F, b, readout, start, settled, period, numbered([self.names[i] for i in rows]))

    def _entries(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        pieces = []
        for nonzero, values in self.blocks:
            place = np.full(nonzero.shape, -1)
            place[nonzero] = np.arange(values.shape[1])
            wanted = place[np.ix_(rows, columns)]
            pieces.append(
                np.where(wanted >= 0, values[:, wanted], 0.0) if values.size else np.zeros((len(values), *wanted.shape))
            )
        return np.concatenate(pieces)

    def _refuse_offsets(self, offset: np.ndarray, done: int) -> None:
        probe = self.probe
        if not (bad := offset != 0).any():
            return
        t, i = np.argwhere(bad)[0]
        size = probe.size
        what = "params" if i < size else "the iterate" if i >= size + probe.memory_size else probe.memory_names()[i - size]
        raise NotLinear(f"linearize: it adds {offset[t, i]:.3g} of its own to {what} at step {done + t}.")

    def _hold(self, jacobian: np.ndarray, values: np.ndarray, point: np.ndarray, done: int) -> None:
        state = self.probe.size + self.probe.memory_size
        expected, scale = jacobian @ point, np.abs(jacobian) @ np.abs(point) + 1e-300
        is_single = any(self.probe.clock[i].dtype == jnp.float32 for i in self.probe.memory)
        wrong = ~(np.abs(values - expected) <= (1e-5 if is_single else 1e-9) * scale)
        if wrong.any():
            t, i = np.argwhere(wrong)[0]
            what = "its update" if i < state else "its iterate"
            raise NotLinear(f"linearize: {what} at step {done + t} is not the sum of what its inputs do alone.")


def _settled(coefficients: np.ndarray) -> tuple[int | None, int]:
    """The first step from which the coefficients are those of the last period, and the shortest such period."""
    steps = len(coefficients)
    tolerance = SETTLED * np.abs(coefficients).max(0)
    for period in range(1, min(LONGEST_PERIOD, max(1, steps // 4)) + 1):
        last = coefficients[steps - period :]
        repeated = last[(np.arange(steps) - steps) % period]
        other = np.flatnonzero((np.abs(coefficients - repeated) > tolerance).any(1))
        since = int(other[-1]) + 1 if other.size else 0
        if since <= steps - min(steps, 3 * period + 1) and since <= 0.75 * steps:
            return since, period
    return None, 1


def _are_equal(a: Dynamics, b: Dynamics) -> bool:
    if a.F.shape != b.F.shape:
        return False
    pairs = zip((a.F, a.b, a.readout, a.start), (b.F, b.b, b.readout, b.start), strict=True)
    return all(np.allclose(one, other, rtol=1e-9, atol=1e-300) for one, other in pairs)


def _padded(jacobian: jax.Array, columns: int) -> jax.Array:
    return jnp.pad(jacobian, ((0, 0), (0, columns - jacobian.shape[1])))
