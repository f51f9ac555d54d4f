"""In which precision the arithmetic of a leaf runs.

Working precision is float64 when anything in a leaf's row is 64 bits wide, else float32; complex128 and complex64 for complex
leaves.
"""

from typing import Any

import jax
import jax.numpy as jnp

from momentum_jax._trees import dtype_of, is_inexact


def working_precision(*leaves: Any) -> Any:
    """The real dtype in which a rule computes with `leaves`."""
    wide = any(jnp.finfo(dtype_of(x)).bits == 64 for x in leaves)
    return jnp.dtype(jnp.float64 if wide else jnp.float32)


def scalar_dtype(params: Any) -> Any:
    """Dtype of the scalars in a state: float32, float64 when a leaf is 64 bits wide."""
    return working_precision(*(p for p in jax.tree.leaves(params) if is_inexact(p)))


def complex_of(real: Any) -> Any:
    """The complex dtype of that precision."""
    return jnp.dtype(jnp.complex128 if real == jnp.float64 else jnp.complex64)


def widen(x: Any, real: Any) -> jax.Array:
    """`x` in working precision, complex if it is."""
    dtype = complex_of(real) if jnp.issubdtype(dtype_of(x), jnp.complexfloating) else real
    # A cast that changes nothing takes JAX as long as an operation, in a trace too.
    return x if isinstance(x, jax.Array) and x.dtype == dtype and not x.weak_type else jnp.asarray(x, dtype)


def as_scalar(value: Any, dtype: Any) -> Any:
    """A hyperparameter in the precision of the arithmetic; Python numbers stay as they are, exact and weakly typed."""
    return value if type(value) in (int, float) else jnp.asarray(value, dtype)


def at_least_float32(value: Any) -> Any:
    """A hyperparameter that others are computed from; Python numbers stay as they are."""
    return as_scalar(value, jnp.promote_types(jnp.result_type(value), jnp.float32))
