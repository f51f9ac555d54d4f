"""An optimizer on a small tree, as functions of flat vectors: what is memory, what is a clock, and what is refused."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr

from momentum_jax._text import cut
from momentum_jax._trees import Path, is_inexact, leaves_by_path, parameter_at
from momentum_jax.protocol import evaluation_params
from momentum_jax.theory.dynamics import NotLinear
from momentum_jax.theory.linear_structure import FREE, LINEAR, Label, Walk, widened

# Axes of a leaf's true shape where none is given: beyond the 4,096 entries under which an 8-bit state stays exact.
LARGE = (64, 128)


class Probe:
    """An optimizer on a small tree: its parameters, its state's leaves, and which of them are memory."""

    def __init__(self, optimizer: Any, params: Any) -> None:
        self.optimizer = optimizer
        given = jax.ShapeDtypeStruct(LARGE, jnp.float64) if params is None else params
        # Paths and ranks are kept; sizes do not matter to a rule of each coordinate.
        self.params = jax.tree.map(lambda p: _leaf_of(p, tuple(min(2, k) for k in np.shape(p))), given)
        leaves = {path: each for path, each in leaves_by_path(self.params).items() if each is not None}
        for path, each in leaves.items():
            if jnp.issubdtype(each.dtype, jnp.complexfloating):
                raise NotLinear(f"linearize: params must be real, got {each.dtype} at {slashed(path) or 'the leaf'}.")
        self.paths = {path: each for path, each in leaves.items() if is_inexact(each)}
        self.size = sum(each.size for each in self.paths.values())
        if not self.size:
            raise ValueError("linearize: params must hold at least one floating-point leaf, got none.")
        self.state = self.called("init", lambda p: jax.tree.map(jnp.asarray, optimizer.init(p)), self.params)
        self.shapes = jax.tree.map(lambda p: jax.ShapeDtypeStruct(np.shape(p), _double(p)), given)
        self.large_state = self.called("init", lambda p: jax.eval_shape(optimizer.init, p), self.shapes)
        self._refuse_another_state(self.large_state)
        self.state_paths = [path for path, each in leaves_by_path(self.state).items() if each is not None]
        self.clock, self.state_tree = jax.tree.flatten(self.state)
        self.walk = self.called("update", Walk, self._step, self.params, self.clock, self.params)
        self.memory = self._read_structure()
        self.memory_size = sum(self.clock[i].size for i in self.memory)

    def called(self, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the optimizer's own `init` or `update` does.

        Raises:
          NotLinear: whatever it raised, in one line.
        """
        try:
            return function(*arguments)
        except Exception as error:
            # Optimizers may refuse in any way: a loss that is needed, a shape, another parameter tree.
            takes = {"init": "params", "update": "(gradients, state, params)"}[what]
            said = cut(str(error), 160).rstrip(".") or type(error).__name__
            raise NotLinear(f"linearize: {what} must work with {takes}, got {said}.") from error

    def _refuse_another_state(self, state: Any) -> None:
        def kinds(state: Any) -> dict[str, str]:
            return {slashed(path): str(each.dtype) for path, each in jax.tree.leaves_with_path(state)}

        large = kinds(state)
        if different := {name: dtype for name, dtype in large.items() if kinds(self.state).get(name) != dtype}:
            name, dtype = next(iter(different.items()))
            kind = "8-bit" if "8" in dtype else dtype
            raise NotLinear(
                f"linearize: at the shapes of params the state is {kind} at {name}; at shape (2, 2) it is not. "
                "It is not linear there."
            )

    def refuse_a_rule_of_sizes(self) -> None:
        """At the shapes of params the update must be the program that was read at the probe's."""
        large = self.called("update", Walk, self._step, self.shapes, jax.tree.leaves(self.large_state), self.shapes)
        if large.outline(self.is_read) != self.walk.outline(self.is_read):
            raise NotLinear(
                "linearize: the update goes by the sizes of leaves, and is read at axes of at most 2; give such params."
            )

    def _step(self, gradients: Any, leaves: Any, params: Any) -> Any:
        """What the user sees of a step, and the leaves of the next state."""
        updates, state = self.optimizer.update(gradients, jax.tree.unflatten(self.state_tree, leaves), params)
        following = jax.tree.leaves(state)
        if jax.tree.structure(state) != self.state_tree or list(map(_form, following)) != list(map(_form, leaves)):
            raise ValueError("a state of another form than that of init")
        new = jax.tree.map(lambda p, u: p + u, params, updates)
        return (self._moving(updates), self._moving(evaluation_params(new, state))), following

    def _read_structure(self) -> list[int]:
        """Which leaves of the state are memory, and whether all that the user sees is linear."""
        labels = Walk(lambda p: jax.tree.leaves(self.optimizer.init(p)), self.params).labels(self._labelled(self.params))

        given = self._labelled(self.params)
        while True:
            self.walk.mixes.clear()
            seen, after = self.walk.labels(given, labels, given)
            wider = widened(labels, after)
            if wider == labels:
                break
            labels = wider
        self.mixes = self.walk.mixes
        seen = jax.tree.leaves(seen, is_leaf=lambda node: isinstance(node, Label))
        self._refuse_what_is_not_linear(seen, labels)
        self.is_read = [label.rank < 2 for label in [*seen, *labels]]
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
                where = f"the state{' ' * bool(path)}{keystr(path[-1:])} depends on the gradients' values"
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


def _leaf_of(p: Any, shape: tuple[int, ...]) -> jax.Array:
    return jnp.zeros(shape, _double(p))


def _double(p: Any) -> Any:
    dtype = p.dtype if hasattr(p, "dtype") else jnp.result_type(p)
    return jnp.float64 if jnp.issubdtype(dtype, jnp.floating) else dtype


def _form(leaf: Any) -> tuple[Any, bool]:
    return np.shape(leaf), is_inexact(leaf)


def columns(function: Callable[[jax.Array], jax.Array], size: int) -> jax.Array:
    """The matrix of a linear function of vectors: its values, so that no derivative of one's own can hide them."""
    return jax.vmap(function, out_axes=1)(jnp.eye(size))


def _pieces(vector: jax.Array, like: list[Any]) -> Iterator[jax.Array]:
    offset = 0
    for each in like:
        yield vector[offset : offset + each.size].reshape(each.shape)
        offset += each.size


def _ravelled(leaves: list[Any]) -> jax.Array:
    return jnp.concatenate([jnp.zeros(0), *(jnp.ravel(each).astype(jnp.float64) for each in leaves)])


def slashed(path: Path) -> str:
    return keystr(path, simple=True, separator="/")


def _last_name(path: Path) -> str:
    words = [keystr((key,), simple=True) for key in path]
    return next((word for word in reversed(words) if not word.isdigit()), words[-1] if words else "state")
