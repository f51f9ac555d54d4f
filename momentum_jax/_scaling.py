"""Powers of two to divide by before squaring, so that a norm overflows and underflows only where its number itself does.

A quotient by a power of two is exact. So the squares, sums and roots of scaled numbers are those of the numbers themselves, to the
bit, wherever both can be computed. BLAS scales its nrm2 in this way, by the largest entry.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from momentum_jax._trees import dtype_of, is_inexact


def largest(x: jax.Array) -> jax.Array:
    """The largest magnitude in `x`, that of parts for a complex array; 0 if it is empty. It is constant for derivatives."""
    return jnp.max(magnitude(x), initial=0)


def magnitude(x: jax.Array) -> jax.Array:
    """|x|, of complex numbers the larger of the two parts: it overflows nowhere. It is constant for derivatives."""
    x = jax.lax.stop_gradient(x)
    return jnp.maximum(jnp.abs(jnp.real(x)), jnp.abs(jnp.imag(x))) if jnp.iscomplexobj(x) else jnp.abs(x)


def power_of_two(x: jax.Array) -> jax.Array:
    """The power of two at or next below each number of `x`, at least 0; 1 for 0. It is constant for derivatives.

    It and its inverse are normal numbers, so at the ends of the range of the dtype it is further off.
    """
    x = jax.lax.stop_gradient(x)
    info = jnp.finfo(dtype_of(x))
    bits, exponent = (jnp.uint64, 0x7FF << 52) if info.bits == 64 else (jnp.uint32, 0xFF << 23)
    power = jax.lax.bitcast_convert_type(jax.lax.bitcast_convert_type(x, bits) & jnp.asarray(exponent, bits), x.dtype)
    least = jnp.asarray(info.tiny, x.dtype)
    return jnp.where(x == 0, jnp.ones_like(x), jnp.clip(power, least, 1 / least))


def unit(tree: Any) -> jax.Array:
    """The power of two at or next below the largest entry of a tree, 1 where all are 0; it is constant for derivatives.

    It and its inverse are normal numbers in the precision of every leaf, float32 for 16-bit ones; its dtype is the widest.
    """
    leaves = [x for x in jax.tree.leaves(tree) if is_inexact(x)]
    precisions = {jnp.promote_types(jnp.finfo(dtype_of(x)).dtype, jnp.float32) for x in leaves} or {jnp.dtype(jnp.float32)}
    narrowest, widest = (end(precisions, key=lambda dtype: dtype.itemsize) for end in (min, max))
    most = [largest(jnp.asarray(x)).astype(narrowest) for x in leaves]
    return power_of_two(functools.reduce(jnp.maximum, most, jnp.zeros((), narrowest))).astype(widest)


def scaled(tree: Any, factor: jax.Array) -> Any:
    """`factor`, a real number, times the inexact leaves of a tree, 16-bit ones in float32."""

    def leaf(x: Any) -> Any:
        dtype = jnp.promote_types(dtype_of(x), jnp.float32)
        return jnp.asarray(x, dtype) * factor.astype(dtype)

    return jax.tree.map(lambda x: leaf(x) if is_inexact(x) else x, tree)


def norm(x: jax.Array) -> jax.Array:
    """The Euclidean norm of an array, with derivative 0 at 0."""
    most = largest(x)
    unit = power_of_two(most)
    y = x * (1 / unit).astype(x.dtype)
    square = jnp.sum(jnp.real(y * jnp.conj(y)) if jnp.iscomplexobj(y) else y * y)
    # Where all is 0 the root is taken of 1, and its derivative is finite.
    return jnp.where(most == 0, 0, unit) * jnp.sqrt(square + (most == 0))
