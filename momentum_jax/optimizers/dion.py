"""Dion: Muon in a few directions at a time, found by one step of power iteration; the rest stays in the momentum."""

import math
import zlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import (
    AtLeastOne,
    AtLeastZero,
    AverageDecay,
    DType,
    LearningRate,
    NonNegative,
    checked,
    value_at,
)
from momentum_jax._scaling import norms
from momentum_jax._trees import Path, dtype_of, is_inexact, is_none, leaves_by_path
from momentum_jax.optimizers._arithmetic import ratio
from momentum_jax.optimizers._axes import AxesArgument, Layout, View, refuse_unnamed, views
from momentum_jax.optimizers._gathered import gathered, in_tree_of, returned, side_of_stack
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._matrices import with_fallback
from momentum_jax.optimizers._newton_schulz import adjoint, product
from momentum_jax.optimizers._precision import as_scalar, widen
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate
from momentum_jax.optimizers.per_layer import layer_path
from momentum_jax.optimizers.weight_decay import add_weight_decay


class DionState(NamedTuple):
    step: jax.Array
    momentum_step: jax.Array
    error: optax.Updates
    basis: Any

    def reset_momentum(self) -> "DionState":
        momentum_step, error = jax.tree.map(jnp.zeros_like, (self.momentum_step, self.error))
        return self._replace(momentum_step=momentum_step, error=error)


@checked
def scale_by_dion(
    momentum: AverageDecay = 0.95,
    *,
    rank: AtLeastOne,
    seed: AtLeastZero = 0,
    axes: AxesArgument = None,
    layout: Layout = "auto",
    eps: NonNegative = 1e-8,
    accumulator_dtype: DType = None,
) -> Transformation:
    """The learning-rate-free core: sqrt(b / a) P Q'^H. Leaves that are no matrices get M + u, of which mu is kept.

    Args:
      momentum: mu in [0, 1); a number, a 0-d array or a schedule `step -> value`.
      rank: the number of directions, at least 1; of a leaf at most the smaller side of its matrices.
      seed: of the first basis, at least 0.
      axes, layout: as in `muon`.
      eps: at least 0, likewise, added to the lengths of the columns of R.
      accumulator_dtype: dtype of M; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `init`, axes that do not fit a leaf, or name blocks of several sizes; in
        `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_dion"

    def init(params: optax.Params) -> DionState:
        refuse_unnamed(who, params, axes, layout)
        leaves = jax.tree.leaves(params, is_leaf=is_none)
        found = views(who, params, axes, layout).items()
        bases = [_start(who, path, view, leaf, rank, seed) for leaf, (path, view) in zip(leaves, found, strict=True)]
        return DionState(first_step(), first_step(), zeros(params, average_dtype(accumulator_dtype)), in_tree_of(params, bases))

    def now(state: DionState) -> dict[str, Any]:
        return {"momentum": value_at(momentum, state.momentum_step), "eps": value_at(eps, state.step)}

    def add(u: jax.Array, error: jax.Array, mu: Any) -> tuple[jax.Array, jax.Array]:
        return error + u, mu * (error + u)

    def update(who: str, updates: optax.Updates, state: DionState, params: Any) -> tuple[optax.Updates, DionState]:
        del params
        mu, small = now(state).values()
        sums, error = each(who, add, updates, {"error": state.error}, mu=mu)
        seen = views(who, updates, axes, layout)
        moved, errors, bases = leaves_by_path(sums), leaves_by_path(error), leaves_by_path(state.basis)
        for path, basis in bases.items():
            view = seen.get(path)
            if basis is None or view is None:
                continue
            total = moved[path]
            real = jnp.finfo(total.dtype).dtype
            step, left, following = _dealt(
                gathered(total, view), widen(basis, real), as_scalar(mu, real), as_scalar(small, real)
            )
            moved[path] = returned(step, view, total)
            errors[path] = returned(left, view, total).astype(errors[path].dtype)
            bases[path] = following.astype(basis.dtype)
        return in_tree_of(sums, list(moved.values())), DionState(
            step=next_step(state.step),
            momentum_step=next_step(state.momentum_step),
            error=in_tree_of(error, list(errors.values())),
            basis=in_tree_of(state.basis, list(bases.values())),
        )

    return transformation(who, init, update, hyperparameters=now)


def _start(who: str, path: Path, view: View | None, leaf: Any, rank: int, seed: int) -> Any:
    """The first basis of a leaf: normal numbers by seed and path, so that a mask or a partition does not change them."""
    if view is None or not is_inexact(leaf) or not math.prod(view.shape):
        return None
    inputs, outputs = side_of_stack(who, path, view)
    shape = (math.prod(view.shape[i] for i in view.batch) * len(view.blocks), inputs, min(rank, inputs, outputs))
    # Made from the leaf, so that inside `jax.shard_map` it varies over the mesh axes that the leaf varies over.
    zero = jnp.sum(jnp.zeros_like(leaf, dtype=average_dtype(None)(dtype_of(leaf))))
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(layer_path(path).encode()))
    return jax.random.normal(key, shape, zero.dtype) + zero


def _dealt(total: jax.Array, basis: jax.Array, mu: Any, eps: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The step, the new error and the new basis of a stack (matrices, inputs, outputs)."""
    total = jnp.matrix_transpose(total)
    p = jnp.linalg.qr(jax.lax.stop_gradient(product(total, basis)))[0]
    r = product(adjoint(total), p)
    left = total - (1 - mu) * product(p, adjoint(r))
    basis = ratio(r, norms(r, (-2,)) + eps, eps)
    outputs, inputs = total.shape[-2:]
    step = (outputs / inputs) ** 0.5 * product(p, adjoint(basis))
    return jnp.matrix_transpose(step), jnp.matrix_transpose(left), basis


@checked
def dion(
    learning_rate: LearningRate = 0.02,
    momentum: AverageDecay = 0.95,
    *,
    rank: AtLeastOne,
    seed: AtLeastZero = 0,
    weight_decay: NonNegative = 0.0,
    axes: AxesArgument = None,
    layout: Layout = "auto",
    fallback: Any = None,
    eps: NonNegative = 1e-8,
    accumulator_dtype: DType = None,
) -> Transformation:
    """Dion for the matrices of a tree, another optimizer for the rest.

        B = M + g          P = the Q of QR of B Q          R = B^H P
        M' = B - (1 - mu) P R^H          Q' = R, each column over its length
        x' = x - eta (sqrt(b / a) P Q'^H + lambda x)          for matrices (b outputs, a inputs) of a rank r

    P (b, r) has orthonormal columns; P Q'^H is about U V^H of the r largest singular values of B. Equivalent form: error
    feedback. Momentum decays by mu in the directions that were used, and not at all in the others.

        >>> import momentum_jax as mj
        >>> optimizer = mj.dion(0.01, rank=64, weight_decay=0.01)

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      momentum: mu in [0, 1), likewise.
      rank: the number of directions, at least 1; of a leaf at most the smaller side of its matrices.
      seed: of the first basis, at least 0.
      weight_decay: lambda >= 0, likewise, decoupled; unless it is the plain number 0, `update` needs params.
      axes, layout: as in `muon`.
      fallback: optimizer of the leaves that are no matrices; None: that of `muon`.
      eps: at least 0, likewise, added to the lengths of the columns of R.
      accumulator_dtype: dtype of M; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError, TypeError: as `muon`; a ValueError too where `axes` names blocks of several sizes.

    Convention: as `muon`: eta outside, decoupled decay, leaves that are no matrices to `fallback`. M is a sum of gradients. The
    rank is at most the smaller side. P is a constant to derivatives through an update. On a mesh every device gathers whole
    matrices, which gives the numbers of one device.
    State: `matrices` and `fallback`. Of the matrices `step`, int32 scalar, position in eps; `momentum_step`, int32 scalar,
    position in mu; `error` (M), the tree and shapes of the parameters; `basis` (Q), (matrices, inputs, rank), None for leaves
    that are no matrices, at first random numbers of `seed` and the leaf's path; both float32 for 16-bit leaves;
    `accumulator_dtype` is that of M.
    Memory: 1 buffer and rank numbers for each input, and those of the fallback on the other leaves. Needs: params for weight
    decay.
    Source: K. Ahn, B. Xu, N. Abreu, Y. Fan, G. Magakyan, P. Sharma, Z. Zhan and J. Langford (2025), Dion: Distributed
    Orthonormalized Updates, arXiv:2504.05295.

    See also: `muon`, at full rank; `soap`.
    """
    core = scale_by_dion(momentum, rank=rank, seed=seed, axes=axes, layout=layout, eps=eps, accumulator_dtype=accumulator_dtype)
    matrices = chain("dion", core, add_weight_decay(weight_decay), scale_by_learning_rate(learning_rate))
    return with_fallback("dion", matrices, axes, layout, fallback, learning_rate, weight_decay, accumulator_dtype)
