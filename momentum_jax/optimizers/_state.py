"""What a state is made of: its step, its buffers, and its numbers of the whole tree.

What is stored keeps the dtype that `init` gave it. Leaves that are not inexact have no buffer (`None`).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import GetAttrKey

from momentum_jax._hyperparameters import value_at
from momentum_jax._trees import Path, dtype_of, is_inexact
from momentum_jax.optimizers._precision import complex_of, scalar_dtype, working_precision

_SECOND_MOMENTS = frozenset(
    {
        "second_moment", "max_second_moment", "mean_square", "sum_of_squares", "squared_update", "v_row", "v_col",
        "nu", "nu_max", "e_g", "e_x", "exp_avg_sq", "sum_of_squared_gradients", "grad_sum_sq",
    }
)  # fmt: skip


def second_moment(path: Path) -> str | None:
    """The buffer of squares that a path in a state leads into, by this library's names and Optax's usual ones, or None."""
    return next((key.name for key in path if isinstance(key, GetAttrKey) and key.name in _SECOND_MOMENTS), None)


def first_step() -> jax.Array:
    return jnp.zeros((), jnp.int32)


def next_step(step: jax.Array) -> jax.Array:
    """step + 1; at the largest int32 it stays there instead of turning negative."""
    return jnp.minimum(step, np.iinfo(np.int32).max - 1) + 1


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


def scalar_zeros(params: Any, *hyperparameters: Any, shape: tuple[int, ...] = ()) -> jax.Array:
    """Zeros in the scalar dtype of `params`, for numbers of the whole tree that a state keeps.

    They are made from the parameters and the hyperparameters, so that inside `jax.shard_map` they vary over the mesh axes that
    those vary over.
    """
    dtype = scalar_dtype(params)
    numbers = [jnp.asarray(value_at(h, first_step())) for h in hyperparameters]
    leaves = [jnp.asarray(p) for p in jax.tree.leaves(params) if is_inexact(p)]
    return sum((jnp.zeros_like(x, shape=shape, dtype=dtype) for x in (*numbers, *leaves)), start=jnp.zeros(shape, dtype))


def velocity_dtype(accumulator_dtype: Any) -> Callable[[Any], Any]:
    """Velocities follow their parameter unless `accumulator_dtype` says otherwise."""
    return lambda dtype: dtype if accumulator_dtype is None else _of_precision(accumulator_dtype, dtype)


def average_dtype(accumulator_dtype: Any) -> Callable[[Any], Any]:
    """Averages of 16-bit leaves live in float32: in bfloat16 a decay of 0.999 never decays and never fills."""

    def rule(dtype: Any) -> Any:
        if accumulator_dtype is not None:
            return _of_precision(accumulator_dtype, dtype)
        real = working_precision(np.empty(0, dtype))
        return complex_of(real) if jnp.issubdtype(dtype, jnp.complexfloating) else real

    return rule


def second_moment_dtype(accumulator_dtype: Any) -> Callable[[Any], Any]:
    """As averages; of complex leaves |g|^2 is kept, which is real."""
    rule = average_dtype(accumulator_dtype)
    return lambda dtype: jnp.finfo(rule(dtype)).dtype


def _of_precision(accumulator_dtype: Any, dtype: Any) -> Any:
    real = jnp.finfo(accumulator_dtype).dtype
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return complex_of(real)
    return real
