"""Arithmetic over trees of leaves: dtypes, buffers, bias corrections.

The rules that every optimizer keeps are kept here, once. The arithmetic of a leaf runs in its working precision:
float64 when anything in its row is 64 bits wide, else float32 (complex64 and complex128 for complex leaves); what is
stored keeps the dtype that `init` gave it. Leaves that are not inexact have no buffer (`None`) and get a zero update.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from momentum_jax._hyperparameters import value_at
from momentum_jax._trees import dtype_of, is_inexact, is_none, leaves_by_path, path_name, same_leaves

float0 = jax.dtypes.float0
# A denominator of at least this has a finite square of its inverse in float32, which the derivative of a quotient needs.
_SAFE_EPS = float(np.finfo(np.float32).tiny) ** 0.5


def each(
    who: str,
    leaf: Callable[..., tuple[Any, ...]],
    updates: Any,
    buffers: dict[str, Any],
    *,
    params: Any = None,
    **scalars: Any,
) -> tuple[Any, ...]:
    """Apply `leaf(u, *buffers, **scalars) -> (update, *new_buffers)` to every inexact leaf.

    Args:
      who: the caller, for messages.
      leaf: sees arrays and scalars in working precision; with `params`, the parameter comes after the buffers.
      updates: the gradient tree.
      buffers: name -> tree with the paths and shapes of `updates`.
      params: the parameter tree, for a rule that reads it.
      scalars: numbers or 0-d arrays, cast to the real working precision of each leaf.

    Returns:
      The updates in working precision, in the tree of `updates`; then each buffer in its own tree and dtypes.

    Raises:
      ValueError: a gradient that does not fit a buffer or the parameters; names the leaf and both shapes.
    """
    leaves, treedef = jax.tree.flatten(updates, is_leaf=is_none)
    rows = [same_leaves(who, updates, buffer, f"the state's {name}", holes=True) for name, buffer in buffers.items()]
    if params is not None:
        rows.append(same_leaves(who, updates, params, "the parameters"))
    casts: dict[Any, dict[str, Any]] = {}
    outputs, stored = [], [[] for _ in buffers]
    for index, (u, *row) in enumerate(zip(leaves, *rows, strict=True)):
        if is_inexact(u) and all(map(is_inexact, row)):
            real = working_precision(u, *row)
            if real not in casts:
                casts[real] = {name: as_scalar(s, real) for name, s in scalars.items()}
            u, *new = leaf(*(_widen(x, real) for x in (u, *row)), **casts[real])
            if any(jnp.iscomplexobj(n) and not jnp.iscomplexobj(b) for n, b in zip(new, row, strict=False)):
                raise _unfit(who, updates, index, "real as its state is")
            new = [n.astype(b.dtype) for n, b in zip(new, row, strict=False)]
        elif any(is_inexact(b) for b in row) and u is not None:
            raise _unfit(who, updates, index, "floating point as its state is")
        else:
            new = row[: len(buffers)]
        outputs.append(u)
        for column, value in zip(stored, new, strict=True):
            column.append(value)
    trees = (_in_tree_of(b, updates, column) for b, column in zip(buffers.values(), stored, strict=True))
    return jax.tree.unflatten(treedef, outputs), *trees


def zeros(params: Any, dtype_rule: Callable[[Any], Any]) -> Any:
    """A buffer of strongly typed zeros in the shapes and shardings of `params`, `None` for leaves that are not inexact.

    `dtype_rule` maps a parameter's dtype to its buffer's.
    """
    return fill(params, 0, dtype_rule)


def fill(params: Any, value: Any, dtype_rule: Callable[[Any], Any]) -> Any:
    """As `zeros`, with another value."""

    def leaf(p: Any) -> Any:
        if not is_inexact(p):
            return None
        filled = jnp.full_like(p, jnp.asarray(value, dtype_rule(dtype_of(p))), dtype=dtype_rule(dtype_of(p)))
        # A 0-d leaf may be `value` itself, which a donated state must not take with it.
        return filled if filled.ndim else jnp.array(filled)

    return jax.tree.map(leaf, params)


def velocity_dtype(accumulator_dtype: Any) -> Callable[[Any], Any]:
    """Velocities follow their parameter unless `accumulator_dtype` says otherwise."""
    return lambda dtype: dtype if accumulator_dtype is None else _of_precision(accumulator_dtype, dtype)


def average_dtype(accumulator_dtype: Any) -> Callable[[Any], Any]:
    """Averages of 16-bit leaves live in float32: in bfloat16 a decay of 0.999 never decays and never fills."""

    def rule(dtype: Any) -> Any:
        if accumulator_dtype is not None:
            return _of_precision(accumulator_dtype, dtype)
        real = working_precision(np.empty(0, dtype))
        return _complex_of(real) if jnp.issubdtype(dtype, jnp.complexfloating) else real

    return rule


def second_moment_dtype(accumulator_dtype: Any) -> Callable[[Any], Any]:
    """As averages; of complex leaves |g|^2 is kept, which is real."""
    rule = average_dtype(accumulator_dtype)
    return lambda dtype: jnp.finfo(rule(dtype)).dtype


def first_step() -> jax.Array:
    return jnp.zeros((), jnp.int32)


def next_step(step: jax.Array) -> jax.Array:
    """step + 1; at the largest int32 it stays there instead of turning negative."""
    return jnp.asarray(optax.safe_increment(step))


def scalar_dtype(params: Any) -> Any:
    """Dtype of the scalars in a state: float32, float64 when a leaf is 64 bits wide."""
    return working_precision(*(p for p in jax.tree.leaves(params) if is_inexact(p)))


def working_precision(*leaves: Any) -> Any:
    wide = any(jnp.finfo(dtype_of(x)).bits == 64 for x in leaves)
    return jnp.dtype(jnp.float64 if wide else jnp.float32)


def as_scalar(value: Any, dtype: Any) -> Any:
    """A hyperparameter in the precision of the arithmetic; Python numbers stay as they are, exact and weakly typed."""
    return value if type(value) in (int, float) else jnp.asarray(value, dtype)


def at_least_float32(value: Any) -> Any:
    """A hyperparameter that others are computed from; Python numbers stay as they are."""
    return as_scalar(value, jnp.promote_types(jnp.result_type(value), jnp.float32))


def no_decay(decay: Any, params: Any) -> jax.Array:
    """log of the empty product of decays: 0 in the scalar dtype of `params`.

    It is made from the decay, so that inside `jax.shard_map` it varies over the mesh axes that the decay varies over.
    """
    return jnp.zeros_like(jnp.asarray(value_at(decay, first_step()), scalar_dtype(params)))


def scalar_zeros(params: Any, *hyperparameters: Any, shape: tuple[int, ...] = ()) -> jax.Array:
    """Zeros in the scalar dtype of `params`, for numbers of the whole tree that a state keeps.

    They are made from the parameters and the hyperparameters, so that inside `jax.shard_map` they vary over the mesh axes that
    those vary over.
    """
    dtype = scalar_dtype(params)
    numbers = [jnp.asarray(value_at(h, first_step())) for h in hyperparameters]
    leaves = [jnp.asarray(p) for p in jax.tree.leaves(params) if is_inexact(p)]
    return sum((jnp.zeros_like(x, shape=shape, dtype=dtype) for x in (*numbers, *leaves)), start=jnp.zeros(shape, dtype))


def log_decay(decay: Any, like: jax.Array) -> Any:
    """log(decay) in the dtype of `like`, accurate near 1 and with a finite derivative at 0.

    A running sum of these gives the bias correction of an average under a scheduled decay, 1 - prod(decay_i), by
    `bias_correction`: 1 - prod in float32 would be off by 1e-5 at the first step of a decay of 0.999.
    """
    if isinstance(decay, float):
        return jnp.asarray(math.log1p(decay - 1) if decay > 0 else -math.inf, like.dtype)
    decay = jnp.asarray(decay, like.dtype)
    near_zero = decay < 0.5
    low = jnp.log(jnp.where(near_zero, decay, 0.5) + 1e-30)
    return jnp.where(near_zero, low, jnp.log1p(jnp.where(near_zero, 0.5, decay) - 1))


def bias_correction(log_product: jax.Array) -> jax.Array:
    """1 - prod(decay_i) of the decays whose logarithms add up to `log_product`."""
    # Far from 0 the plain form is as accurate, and its derivative is exp(log_product) where JAX's of expm1 rounds to 0.
    return jnp.where(log_product < -0.7, 1 - jnp.exp(log_product), -jnp.expm1(log_product))


def squared(x: jax.Array) -> jax.Array:
    """|x|^2, real."""
    return jnp.real(x * jnp.conj(x)) if jnp.iscomplexobj(x) else x * x


@jax.custom_jvp
def root(x: jax.Array) -> jax.Array:
    """sqrt(x) with derivative 0 at 0, so that `jax.grad` through an update is finite where a gradient is 0.

    The guard stands in the derivative only: in the update it would double what XLA has to compile, and its selects would keep
    a root and a division apart that XLA otherwise turns into one rsqrt.
    """
    return jnp.sqrt(x)


@root.defjvp
def _root_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    (x,), (dx,) = primals, tangents
    y = root(x)
    zero = x == 0
    return y, jnp.where(zero, 0.0, 0.5 / jnp.where(zero, 1.0, y)) * dx


def ratio(numerator: jax.Array, denominator: jax.Array, eps: Any) -> jax.Array:
    """numerator / denominator, 0 where the denominator is 0 (a gradient that was always 0, and eps = 0).

    `eps` is what the denominator, or the square in its root, has been given against that: where it is a plain number well
    above 0 no guard is needed, and none is compiled.
    """
    if isinstance(eps, float) and eps >= _SAFE_EPS:
        return numerator / denominator
    zero = denominator == 0
    return jnp.where(zero, 0.0, numerator / jnp.where(zero, 1.0, denominator))


def dot(a: jax.Array, b: jax.Array) -> jax.Array:
    """Re <a, b> of two leaves, a 0-d real array."""
    return jnp.sum(jnp.real(a * jnp.conj(b)) if jnp.iscomplexobj(a) or jnp.iscomplexobj(b) else a * b)


def total(sums: Any, like: jax.Array) -> jax.Array:
    """Sum over a tree in which `each` has put an array of the shape of `like` in the place of every inexact leaf."""
    return sum((jnp.asarray(x, like.dtype) for x in jax.tree.leaves(sums) if is_inexact(x)), start=jnp.zeros_like(like))


def inner_product(a: Any, b: Any) -> jax.Array:
    """Re <a, b> over the inexact leaves of two trees of the same structure, in the widest working precision of theirs."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    wide = [[_widen(z, working_precision(x, y)) for z in (x, y)] for x, y in pairs if is_inexact(x) and is_inexact(y)]
    return total([dot(x, y) for x, y in wide], jnp.zeros((), scalar_dtype((a, b))))


def global_norm(tree: Any) -> jax.Array:
    """The Euclidean norm of a tree, with derivative 0 at 0."""
    return root(inner_product(tree, tree))


def loss_of(who: str, value: Any) -> jax.Array:
    """The `value=` of an update, checked.

    Raises:
      ValueError: there is none. TypeError: it is no real number.
    """
    if value is None:
        raise ValueError(
            f"{who}: value must be the loss at params, got None: call update(gradients, state, params, value=loss)."
        )
    loss = jnp.asarray(value)
    if loss.shape != () or not (jnp.issubdtype(loss.dtype, jnp.floating) or jnp.issubdtype(loss.dtype, jnp.integer)):
        raise TypeError(
            f"{who}: value must be the loss at params, a real number, got an array of {loss.dtype}{list(loss.shape)}."
        )
    return loss


def cast_like(updates: Any, like: Any, who: str) -> Any:
    """Updates in the dtypes of `like`, its leaves matched by path; leaves that are not inexact get zeros."""
    leaves, treedef = jax.tree.flatten(updates, is_leaf=is_none)
    return jax.tree.unflatten(treedef, [_cast(u, t) for u, t in zip(leaves, fitting(who, updates, like), strict=True)])


def fitting(who: str, updates: Any, params: Any) -> list[Any]:
    """Leaves of `params` in the order of the leaves of `updates`, after a check that the gradient is one of theirs.

    Raises:
      ValueError: as `same_leaves`; a gradient that is not floating point, or complex, where the parameter is a real number.
    """
    targets = same_leaves(who, updates, params, "the parameters")
    for index, (u, target) in enumerate(zip(jax.tree.leaves(updates, is_leaf=is_none), targets, strict=True)):
        if is_inexact(target):
            if not is_inexact(u):
                raise _unfit(who, updates, index, "floating point as its parameter is")
            if jnp.iscomplexobj(u) and not jnp.iscomplexobj(target):
                raise _unfit(who, updates, index, "real as its parameter is")
    return targets


def _unfit(who: str, updates: Any, index: int, must: str) -> ValueError:
    path, leaf = list(leaves_by_path(updates).items())[index]
    return ValueError(f"{who}: {path_name(path)} of the gradient must be {must}, got {dtype_of(leaf)}.")


def _cast(update: Any, target: Any) -> Any:
    if target is None:
        return None
    dtype = dtype_of(target)
    if dtype == float0:
        return np.zeros(np.shape(target), float0)
    if not is_inexact(target):
        return jnp.zeros_like(target)
    return jnp.asarray(update).astype(dtype)


def _widen(x: Any, real: Any) -> jax.Array:
    return jnp.asarray(x, _complex_of(real) if jnp.issubdtype(dtype_of(x), jnp.complexfloating) else real)


def _complex_of(real: Any) -> Any:
    return jnp.dtype(jnp.complex128 if real == jnp.float64 else jnp.complex64)


def _of_precision(accumulator_dtype: Any, dtype: Any) -> Any:
    real = jnp.finfo(accumulator_dtype).dtype
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return _complex_of(real)
    return real


def _in_tree_of(buffer: Any, updates: Any, leaves: list[Any]) -> Any:
    """`leaves`, in the order of `updates`, put into the tree of `buffer`."""
    _, treedef = jax.tree.flatten(buffer, is_leaf=is_none)
    if treedef != jax.tree.structure(updates, is_leaf=is_none):
        by_path = dict(zip(leaves_by_path(updates), leaves, strict=True))
        leaves = [by_path[path] for path in leaves_by_path(buffer)]
    return jax.tree.unflatten(treedef, leaves)
