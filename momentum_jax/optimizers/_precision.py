"""In which precision the arithmetic of a leaf runs.

Working precision is float64 when anything in a leaf's row is 64 bits wide, else float32; complex128 and complex64 for complex
leaves.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from momentum_jax._trees import dtype_of, is_inexact

_WIDE, _NARROW = jnp.dtype(jnp.float64), jnp.dtype(jnp.float32)


def working_precision(*leaves: Any) -> Any:
    """The real dtype in which a rule computes with `leaves`."""
    return _WIDE if any(_is_wide(dtype_of(x)) for x in leaves) else _NARROW


def is_already(x: Any, dtype: Any) -> bool:
    """Whether a cast to `dtype` would give back `x` itself: it takes JAX as long as an operation, in a trace too."""
    return isinstance(x, jax.Array) and x.dtype == dtype and not x.weak_type


def plain_precision(u: Any, row: Sequence[Any]) -> Any:
    """The dtype of a row of arrays that are all in one working precision, real and with a dtype of their own; else None."""
    if not isinstance(u, jax.Array):
        return None
    dtype = u.dtype
    if (dtype is not _NARROW and dtype is not _WIDE) or u.weak_type:
        return None
    for x in row:
        if not isinstance(x, jax.Array) or x.dtype is not dtype or x.weak_type:
            return None
    return dtype


@functools.cache
def _is_wide(dtype: Any) -> bool:
    return jnp.finfo(dtype).bits == 64


def scalar_dtype(params: Any) -> Any:
    """Dtype of the scalars in a state: float32, float64 when a leaf is 64 bits wide."""
    return working_precision(*(p for p in jax.tree.leaves(params) if is_inexact(p)))


def complex_of(real: Any) -> Any:
    """The complex dtype of that precision."""
    return jnp.dtype(jnp.complex128 if real == jnp.float64 else jnp.complex64)


def widen(x: Any, real: Any) -> jax.Array:
    """`x` in working precision, complex if it is."""
    if is_already(x, real):
        return x
    dtype = complex_of(real) if jnp.issubdtype(dtype_of(x), jnp.complexfloating) else real
    return x if is_already(x, dtype) else jnp.asarray(x, dtype)


def as_scalar(value: Any, dtype: Any) -> Any:
    """A hyperparameter in the precision of the arithmetic; Python numbers stay as they are, exact and weakly typed."""
    return value if type(value) in (int, float) else jnp.asarray(value, dtype)


def at_least_float32(value: Any) -> Any:
    """A hyperparameter that others are computed from; Python numbers stay as they are."""
    return as_scalar(value, jnp.promote_types(jnp.result_type(value), jnp.float32))
