"""What the optimizers of matrices share: Newton-Schulz, the scales of a step, and who takes the leaves that are no matrices."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, PartitionSpec

from momentum_jax._scaling import norm
from momentum_jax._trees import is_inexact
from momentum_jax._wrappers import Reading
from momentum_jax.optimizers._arithmetic import ratio
from momentum_jax.optimizers._transformation import Link, Transformation, transformation
from momentum_jax.protocol import reset_momentum

# Keller Jordan's quintic: steepest at 0 for an image within about [0.7, 1.2].
_QUINTIC = (3.4445, -4.7750, 2.0315)
# Learning rate of the default fallback over that of the matrices, 3e-4 / 0.02 in the official code.
FALLBACK_RATE = 0.015

SCALES: dict[str, Callable[[int, int], float]] = {
    "official": lambda rows, columns: max(1.0, rows / max(columns, 1)) ** 0.5,
    "moonlight": lambda rows, columns: 0.2 * max(rows, columns) ** 0.5,
    "optax": lambda rows, columns: max(1.0, columns / max(rows, 1)) ** 0.5,
}


def orthogonalise(x: jax.Array, steps: int, eps: Any) -> jax.Array:
    """Newton-Schulz on a matrix (m, n): towards U V^H of its singular value decomposition, in the dtype of `x`.

    A tall matrix is transposed for it, so that the products are of the smaller side.
    """
    tall = x.shape[0] > x.shape[1]
    home = jax.typeof(x).sharding
    explicit = AxisType.Explicit in home.mesh.axis_types
    if explicit:  # a product over a sharded side has no sharding of its own
        x = jax.sharding.reshard(x, PartitionSpec(None, None))
    x = _adjoint(x) if tall else x
    x = ratio(x, norm(x) + eps, eps)
    a, b, c = _QUINTIC
    for _ in range(steps):
        gram = _product(x, _adjoint(x))
        x = a * x + _product(b * gram + c * _product(gram, gram), x)
    x = _adjoint(x) if tall else x
    return jax.sharding.reshard(x, home.spec) if explicit else x


def _adjoint(x: jax.Array) -> jax.Array:
    return jnp.conj(x.T) if jnp.iscomplexobj(x) else x.T


def _product(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.matmul(x, y, precision=jax.lax.Precision.HIGHEST)


class MatricesState(NamedTuple):
    """`matrices` and `fallback`: the two optimizers' states, with `optax.MaskedNode` for the leaves of the other."""

    matrices: Any
    fallback: Any

    def reset_momentum(self) -> "MatricesState":
        return MatricesState(*(reset_momentum(state) for state in self))


def matrices_and_rest(who: str, matrices: Link, fallback: Link, alone: str) -> Transformation:
    """Leaves with two axes to `matrices`, all others to `fallback`.

    Args:
      who: the optimizer, for messages.
      alone: the remedy that is named for a tree without any matrix; empty: such a tree is no error.
    """

    def init(params: optax.Params) -> MatricesState:
        leaves = [leaf for leaf in jax.tree.leaves(params) if is_inexact(leaf)]
        if alone and leaves and not any(_is_matrix(leaf) for leaf in leaves):
            shapes = ", ".join(str(np.shape(leaf)) for leaf in leaves[:4])
            raise ValueError(f"{who}: params must have a matrix (a leaf with 2 axes), got shapes {shapes}; {alone}")
        return MatricesState(matrices.init(_only(params, True)), fallback.init(_only(params, False)))

    def unrounded(
        who: str, updates: optax.Updates, state: MatricesState, params: Any, **extra_args: Any
    ) -> tuple[optax.Updates, MatricesState]:
        wide, first = matrices.unrounded(who, _only(updates, True), state.matrices, _only(params, True), **extra_args)
        rest, second = fallback.unrounded(who, _only(updates, False), state.fallback, _only(params, False), **extra_args)
        return jax.tree.map(lambda a, b: b if _is_hole(a) else a, wide, rest, is_leaf=_is_hole), MatricesState(first, second)

    def inside(state: MatricesState) -> Reading:
        rest = fallback.reading(state.fallback)
        return matrices.reading(state.matrices) + [(("fallback", *path), values) for path, values in rest]

    return transformation(who, init, unrounded, extra=None, inside=inside)


def fallback_rate(learning_rate: Any) -> Any:
    """FALLBACK_RATE times a number, an array or a schedule."""
    if callable(learning_rate):
        return lambda step: FALLBACK_RATE * jnp.asarray(learning_rate(step))
    return FALLBACK_RATE * learning_rate


def _only(tree: Any, matrices: bool) -> Any:
    return jax.tree.map(lambda leaf: leaf if _is_matrix(leaf) is matrices else optax.MaskedNode(), tree)


def _is_matrix(leaf: Any) -> bool:
    return np.ndim(leaf) == 2


def _is_hole(node: Any) -> bool:
    return isinstance(node, optax.MaskedNode)
