"""Reading an optimizer: its update as a proven linear rule, and the coefficients of every step.

Two readings, and both are needed. The structure (`linear_structure`) proves for every number that the update is linear, and
says which leaves of the state are memory and which are a clock. The numbers are the Jacobian at each step of the clock; they
show which coordinates move each other, and what an update adds of its own.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr

from momentum_jax._text import cut, listed
from momentum_jax._trees import Path, is_inexact, leaves_by_path, parameter_at
from momentum_jax.protocol import evaluation_params
from momentum_jax.theory.dynamics import Dynamics, NotLinear
from momentum_jax.theory.linear_structure import FREE, LINEAR, Label, Walk, widened

# Coefficients of the last steps that agree to this share of the largest are settled.
SETTLED = 1e-12
LONGEST_PERIOD = 32
# Axes of a leaf's true shape where none is given: beyond the 4,096 entries under which an 8-bit state stays exact.
LARGE = (64, 128)
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
      params: any tree, for rules that go by path, rank or size; only its structure is used. None: one leaf of two axes.
      leaf: path of the leaf to read, as "net/a/w"; needed where leaves are treated differently.
      horizon: how many steps are read. A change that comes later is not seen.

    Returns:
      The coefficients of one coordinate; every coordinate of the leaf has the same.

    Raises:
      NotLinear: the update is not linear, or moves a coordinate by the gradient of another, or adds a value of its own; says
        where. A ValueError.
      ValueError: leaves are treated differently and `leaf` is None, or it names none; a horizon below 1.
      TypeError: `optimizer` has no `init` and `update`.
    """
    if not callable(getattr(optimizer, "init", None)) or not callable(getattr(optimizer, "update", None)):
        raise TypeError(f"linearize: optimizer must have init and update, got {type(optimizer).__name__}.")
    if isinstance(horizon, bool) or not isinstance(horizon, int) or horizon < 1:
        raise ValueError(f"linearize: horizon must be an int of at least 1, got {horizon}.")
    with jax.enable_x64(True):
        return _Probe(optimizer, params).dynamics(leaf, horizon)


@functools.lru_cache(maxsize=128)
def _remembered(optimizer: Any) -> Dynamics:
    return linearize(optimizer)


class _Probe:
    """An optimizer on a small tree: its parameters, its state's leaves, and which of them are memory."""

    def __init__(self, optimizer: Any, params: Any) -> None:
        self.optimizer = optimizer
        given = jax.ShapeDtypeStruct(LARGE, jnp.float64) if params is None else params
        # Paths and ranks are kept; sizes do not matter to a rule of each coordinate.
        self.params = jax.tree.map(lambda p: _leaf_of(p, tuple(min(2, k) for k in np.shape(p))), given)
        for path, each in leaves_by_path(self.params).items():
            if jnp.issubdtype(each.dtype, jnp.complexfloating):
                raise NotLinear(f"linearize: params must be real, got {each.dtype} at {_slashed(path) or 'the leaf'}.")
        self.paths = {path: each for path, each in leaves_by_path(self.params).items() if is_inexact(each)}
        if not self.paths:
            raise ValueError("linearize: params must hold at least one floating-point leaf, got none.")
        self.size = sum(each.size for each in self.paths.values())
        self.state = jax.tree.map(jnp.asarray, self._called("init", optimizer.init, self.params))
        self._refuse_another_state(jax.tree.map(lambda p: jax.ShapeDtypeStruct(np.shape(p), _double(p)), given))
        self.state_paths = [path for path, _ in jax.tree.leaves_with_path(self.state)]
        self.clock, self.state_tree = jax.tree.flatten(self.state)
        self.memory = self._read_structure()
        self.memory_size = sum(self.clock[i].size for i in self.memory)

    def dynamics(self, leaf: str | None, horizon: int) -> Dynamics:
        coefficients = _Coefficients(self, horizon)
        offsets = np.cumsum([0, *(each.size for each in self.paths.values())])
        ranges = {_slashed(path): range(*offsets[i : i + 2]) for i, path in enumerate(self.paths)}
        if leaf is not None and leaf not in ranges:
            raise ValueError(f"linearize: leaf must be one of {listed(list(ranges), 8)}, got {leaf!r}.")
        names = list(ranges) if leaf is None else [leaf]
        (first, found), *others = [(name, self._of_leaf(coefficients, ranges[name])) for name in names]
        for name, other in others:
            if not _are_equal(found, other):
                raise ValueError(
                    f"linearize: leaves {first} and {name} are treated differently; give leaf={first!r}, or another."
                )
        return found

    def _of_leaf(self, coefficients: "_Coefficients", coordinates: range) -> Dynamics:
        found, *others = [coefficients.of(coordinate) for coordinate in coordinates]
        for k, other in enumerate(others):
            if not _are_equal(found, other):
                raise NotLinear(f"linearize: coordinates 0 and {k + 1} of one leaf are treated differently.")
        return found

    def _called(self, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            # Optimizers may refuse in any way: a loss that is needed, a shape, another parameter tree.
            takes = {"init": "params", "update": "(gradients, state, params)"}[what]
            said = cut(str(error), 160).rstrip(".") or type(error).__name__
            raise NotLinear(f"linearize: {what} must work with {takes}, got {said}.") from error

    def _refuse_another_state(self, shapes: Any) -> None:
        def kinds(state: Any) -> dict[str, str]:
            return {_slashed(path): str(each.dtype) for path, each in jax.tree.leaves_with_path(state)}

        large = kinds(self._called("init", lambda given: jax.eval_shape(self.optimizer.init, given), shapes))
        if different := {name: dtype for name, dtype in large.items() if kinds(self.state).get(name) != dtype}:
            name, dtype = next(iter(different.items()))
            kind = "8-bit" if "8" in dtype else dtype
            raise NotLinear(
                f"linearize: at the shapes of params the state is {kind} at {name}; at shape (2, 2) it is not. "
                "It is not linear there."
            )

    def _read_structure(self) -> list[int]:
        """Which leaves of the state are memory, and whether all that the user sees is linear."""
        labels = Walk(lambda p: jax.tree.leaves(self.optimizer.init(p)), self.params).labels(self._labelled(self.params))

        def step(gradients: Any, leaves: Any, params: Any) -> Any:
            updates, state = self.optimizer.update(gradients, jax.tree.unflatten(self.state_tree, leaves), params)
            new = jax.tree.map(lambda p, u: p + u, params, updates)
            return (self._moving(updates), self._moving(evaluation_params(new, state))), jax.tree.leaves(state)

        walk = self._called("update", Walk, step, self.params, self.clock, self.params)
        given = self._labelled(self.params)
        while True:
            walk.mixes.clear()
            seen, after = walk.labels(given, labels, given)
            wider = widened(labels, after)
            if wider == labels:
                break
            labels = wider
        self.mixes = walk.mixes
        self._refuse_what_is_not_linear(jax.tree.leaves(seen, is_leaf=lambda node: isinstance(node, Label)), labels)
        return [i for i, label in enumerate(labels) if label.rank == 1]

    def _refuse_what_is_not_linear(self, seen: list[Label], state: list[Label]) -> None:
        for label, path, value in zip(state, self.state_paths, self.clock, strict=True):
            if label.rank and jnp.issubdtype(value.dtype, jnp.inexact) and jnp.finfo(value.dtype).bits < 32:
                raise NotLinear(
                    f"linearize: {_last_name(path)} is {value.dtype}, whose rounding is not linear; use "
                    "accumulator_dtype=float64 or float32 to read the rule."
                )
        culprit = next((label.culprit for label in seen if label.rank == 2), None)
        if culprit is None:
            return
        for label, path, value in zip(state, self.state_paths, self.clock, strict=True):
            if label.rank == 2 and not jnp.issubdtype(value.dtype, jnp.inexact):
                where = f"the state {keystr(path[-1:])} depends on the gradients' values"
                raise NotLinear(f"linearize: {where}: {label.culprit}.")
        after = "; linearise what follows it" if "(clip" in culprit else ""
        raise NotLinear(f"linearize: update is not linear: {culprit}{after}.")

    def _labelled(self, params: Any) -> Any:
        return jax.tree.map(lambda p: LINEAR if is_inexact(p) else FREE, params)

    def _moving(self, params: Any) -> list[Any]:
        return [each for path, each in leaves_by_path(params).items() if path in self.paths]

    def _unravelled(self, vector: jax.Array) -> Any:
        """A tree like the parameters; its integers are those of the parameters."""
        pieces = _pieces(vector, list(self.paths.values()))
        return jax.tree.map(lambda p: next(pieces) if is_inexact(p) else p, self.params)

    def advance(self, clock: list[jax.Array], inputs: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        """(theta', memory') from (theta, memory, g), and the clock's next leaves."""
        theta, memory, gradient = jnp.split(inputs, [self.size, self.size + self.memory_size])
        params = self._unravelled(theta)
        state = jax.tree.unflatten(self.state_tree, self._filled(clock, memory))
        updates, state = self.optimizer.update(self._unravelled(gradient), state, params)
        moved = theta + _ravelled(self._moving(updates))
        leaves = jax.tree.leaves(state)
        following = [new if new.dtype == old.dtype else new.astype(old.dtype) for new, old in zip(leaves, clock, strict=True)]
        return jnp.concatenate([moved, _ravelled([leaves[i] for i in self.memory])]), following

    def read(self, clock: list[jax.Array], x: jax.Array) -> jax.Array:
        """The iterate from (theta, memory)."""
        state = jax.tree.unflatten(self.state_tree, self._filled(clock, x[self.size :]))
        return _ravelled(self._moving(evaluation_params(self._unravelled(x[: self.size]), state)))

    def begin(self, theta: jax.Array) -> jax.Array:
        """The memory that `init` begins with."""
        leaves = jax.tree.leaves(self.optimizer.init(self._unravelled(theta)))
        return _ravelled([leaves[i] for i in self.memory])

    def _filled(self, clock: list[jax.Array], memory: jax.Array) -> list[jax.Array]:
        leaves = list(clock)
        for i, piece in zip(self.memory, _pieces(memory, [clock[i] for i in self.memory]), strict=True):
            leaves[i] = piece.astype(clock[i].dtype)
        return leaves

    def memory_names(self) -> list[str]:
        """Of each entry of the memory."""
        names = []
        for i in self.memory:
            path = self.state_paths[i]
            own = parameter_at(path, self.paths)
            names += [_last_name(path[: len(path) - len(own)] if own else path)] * self.clock[i].size
        return names


class _Coefficients:
    """The Jacobian of a probe at each step, held against the update's own values; few of its entries are not 0."""

    def __init__(self, probe: _Probe, horizon: int) -> None:
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
            jacobian = jnp.concatenate([jax.jacfwd(forward)(jnp.zeros(inputs)), _padded(jax.jacfwd(read)(origin), inputs)])
            values = jnp.concatenate([forward(point), read(point[:state])])
            return following, (jacobian, jnp.concatenate([offset, read(origin)]), values)

        length = max(1, min(horizon, BLOCK // ((state + probe.size) * inputs)))
        block = jax.jit(lambda clock: jax.lax.scan(one, clock, None, length=length))
        clock, self.blocks, done = probe.clock, [], 0
        self.reached = np.zeros((state + probe.size, inputs), bool)
        while done < horizon:
            clock, found = block(clock)
            jacobian, offset, values = (np.asarray(each)[: horizon - done] for each in found)
            self._refuse_offsets(offset, done)
            self._hold(jacobian, values, np.asarray(point), done)
            nonzero = (jacobian != 0).any(0)
            self.reached |= nonzero
            self.blocks.append((nonzero, jacobian[:, nonzero]))
            done += length
        begins, self.begins = (
            np.asarray(each) for each in (probe.begin(jnp.zeros(probe.size)), jax.jacfwd(probe.begin)(jnp.zeros(probe.size)))
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
        return Dynamics(F, b, readout, start, settled, period, _numbered([self.names[i] for i in rows]))

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
        if not (bad := ~(np.abs(offset) <= 1e-10)).any():
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
            raise NotLinear(f"linearize: {what} is not that of its own derivative at step {done + t}.")


def _settled(coefficients: np.ndarray) -> tuple[int | None, int]:
    """The first step from which the coefficients are those of the last period, and the shortest such period."""
    steps = len(coefficients)
    tolerance = SETTLED * np.abs(coefficients).max()
    for period in range(1, min(LONGEST_PERIOD, max(1, steps // 4)) + 1):
        last = coefficients[steps - period :]
        repeated = last[(np.arange(steps) - steps) % period]
        other = np.flatnonzero(np.abs(coefficients - repeated).max(1) > tolerance)
        since = int(other[-1]) + 1 if other.size else 0
        if since <= steps - min(steps, 3 * period + 1) and since <= 0.75 * steps:
            return since, period
    return None, 1


def _are_equal(a: Dynamics, b: Dynamics) -> bool:
    if a.F.shape != b.F.shape:
        return False
    pairs = zip((a.F, a.b, a.readout, a.start), (b.F, b.b, b.readout, b.start), strict=True)
    return all(np.allclose(one, other, rtol=1e-9, atol=1e-300) for one, other in pairs)


def _leaf_of(p: Any, shape: tuple[int, ...]) -> jax.Array:
    return jnp.zeros(shape, _double(p))


def _double(p: Any) -> Any:
    dtype = p.dtype if hasattr(p, "dtype") else jnp.result_type(p)
    return jnp.float64 if jnp.issubdtype(dtype, jnp.floating) else dtype


def _padded(jacobian: jax.Array, columns: int) -> jax.Array:
    return jnp.pad(jacobian, ((0, 0), (0, columns - jacobian.shape[1])))


def _pieces(vector: jax.Array, like: list[Any]) -> Iterator[jax.Array]:
    offset = 0
    for each in like:
        yield vector[offset : offset + each.size].reshape(each.shape)
        offset += each.size


def _ravelled(leaves: list[Any]) -> jax.Array:
    return jnp.concatenate([jnp.zeros(0), *(jnp.ravel(each).astype(jnp.float64) for each in leaves)])


def _slashed(path: Path) -> str:
    return keystr(path, simple=True, separator="/")


def _last_name(path: Path) -> str:
    words = [keystr((key,), simple=True) for key in path]
    return next((word for word in reversed(words) if not word.isdigit()), words[-1] if words else "state")


def _numbered(names: list[str]) -> tuple[str, ...]:
    """Names that differ: those that stand several times are counted."""
    return tuple(f"{name}[{names[:i].count(name)}]" if names.count(name) > 1 else name for i, name in enumerate(names))
