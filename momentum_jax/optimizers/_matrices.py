"""What the optimizers of matrices share: the scales of a step, and who takes the leaves that are no matrices."""

import numbers
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from momentum_jax._hyperparameters import Choice
from momentum_jax._text import quoted
from momentum_jax._trees import is_inexact, leaves_by_path
from momentum_jax._wrappers import Reading
from momentum_jax.optimizers._axes import Axes, View, refuse_unnamed, views
from momentum_jax.optimizers._transformation import Link, Transformation, as_link, link, transformation
from momentum_jax.optimizers.adam import adamw
from momentum_jax.protocol import reset_momentum

# Learning rate of the default fallback over that of the matrices, 3e-4 / 0.02 in the official code.
FALLBACK_RATE = 0.015

ScaleFunction = Callable[[int, int], float]


def _official(inputs: int, outputs: int) -> float:
    return max(1.0, outputs / max(inputs, 1)) ** 0.5


# Of a matrix with so many inputs and outputs. "optax" reads leaves that nothing names as (inputs, outputs).
_SCALES: dict[str, ScaleFunction] = {
    "official": _official,
    "moonlight": lambda inputs, outputs: 0.2 * max(inputs, outputs) ** 0.5,
    "optax": _official,
}


class _ScaleRule:
    """For signatures: one of the words, or a function of the numbers of inputs and outputs."""

    def check(self, who: str, name: str, value: Any) -> Any:
        if callable(value) and not isinstance(value, type):
            return value
        return Choice(tuple(_SCALES)).check(who, name, value)


Scale = Annotated[str | ScaleFunction, _ScaleRule()]


def scaled(who: str, o: jax.Array, view: View, scale: str | ScaleFunction) -> jax.Array:
    """`o`, the orthogonal step of a leaf, times the scale of each of its matrices.

    Raises:
      TypeError: a function `scale` that returns no real number.
    """
    rule = _SCALES[scale] if isinstance(scale, str) else scale
    sides = [view.shape] if scale == "optax" and not view.named else view.sides
    factors = [rule(*pair) for pair in sides]
    for factor in factors:
        if isinstance(factor, bool) or not isinstance(factor, numbers.Real):
            raise TypeError(f"{who}: a function scale must return a real number, got {quoted(factor)}.")
    return view.by_block([float(factor) for factor in factors], jnp.finfo(o.dtype).dtype) * o


class MatricesState(NamedTuple):
    """`matrices` and `fallback`: the two optimizers' states, with `optax.MaskedNode` for the leaves of the other."""

    matrices: Any
    fallback: Any

    def reset_momentum(self) -> "MatricesState":
        return MatricesState(*(reset_momentum(state) for state in self))


def with_fallback(
    who: str,
    matrices: Transformation,
    axes: Axes | None,
    layout: str,
    fallback: Any,
    learning_rate: Any,
    weight_decay: Any,
    accumulator_dtype: Any = None,
) -> Transformation:
    """`matrices` for the matrices of a tree, for the rest `fallback` or, if that is None, the AdamW of Muon's official code."""
    if fallback is not None:
        return _matrices_and_rest(who, axes, layout, link(matrices), as_link(who, "fallback", fallback), "")
    rest = adamw(
        _fallback_rate(learning_rate), 0.9, 0.95, eps=1e-10, weight_decay=weight_decay, accumulator_dtype=accumulator_dtype
    )
    remedy = "take adamw for it, or name its optimizer with fallback=."
    return _matrices_and_rest(who, axes, layout, link(matrices), link(rest), remedy)


def _matrices_and_rest(who: str, axes: Axes | None, layout: str, matrices: Link, fallback: Link, alone: str) -> Transformation:
    """Leaves that are matrices to `matrices`, all others to `fallback`.

    Args:
      who: the optimizer, for messages.
      alone: the remedy that is named for a tree without any matrix; empty: such a tree is no error.
    """

    def init(params: optax.Params) -> MatricesState:
        refuse_unnamed(who, params, axes, layout)
        seen = views(who, params, axes, layout)
        leaves = {path: leaf for path, leaf in leaves_by_path(params).items() if is_inexact(leaf)}
        if alone and leaves and not any(seen[path] for path in leaves):
            shapes = ", ".join(str(np.shape(leaf)) for leaf in [*leaves.values()][:4])
            raise ValueError(f"{who}: params must have a matrix (a leaf with 2 axes), got shapes {shapes}; {alone}")
        return MatricesState(matrices.init(_only(params, seen, True)), fallback.init(_only(params, seen, False)))

    def unrounded(
        caller: str, updates: optax.Updates, state: MatricesState, params: Any, **extra_args: Any
    ) -> tuple[optax.Updates, MatricesState]:
        seen = views(who, updates, axes, layout)
        halves = ((matrices, state.matrices, True), (fallback, state.fallback, False))
        (wide, first), (rest, second) = (
            part.unrounded(caller, _only(updates, seen, own), held, _only(params, seen, own), **extra_args)
            for part, held, own in halves
        )
        return jax.tree.map(lambda a, b: b if _is_hole(a) else a, wide, rest, is_leaf=_is_hole), MatricesState(first, second)

    def inside(state: MatricesState) -> Reading:
        rest = fallback.reading(state.fallback)
        return matrices.reading(state.matrices) + [(("fallback", *path), values) for path, values in rest]

    return transformation(who, init, unrounded, extra=None, inside=inside)


def _fallback_rate(learning_rate: Any) -> Any:
    """FALLBACK_RATE times a number, an array or a schedule."""
    if callable(learning_rate):
        return lambda step: FALLBACK_RATE * jnp.asarray(learning_rate(step))
    return FALLBACK_RATE * learning_rate


def _only(tree: Any, seen: dict[Any, View | None], matrices: bool) -> Any:
    """`tree` with holes where a leaf is of the other half."""
    if tree is None:
        return None
    leaves = {path: leaf for path, leaf in leaves_by_path(tree).items() if leaf is not None}
    kept = [leaf if (seen.get(path) is not None) is matrices else optax.MaskedNode() for path, leaf in leaves.items()]
    return jax.tree.unflatten(jax.tree.structure(tree), kept)


def _is_hole(node: Any) -> bool:
    return isinstance(node, optax.MaskedNode)
