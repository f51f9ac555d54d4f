"""Powers of two to divide by before squaring, so that a norm overflows and underflows only where its number itself does.

A quotient by a power of two is exact, so squares, sums and roots of scaled numbers are those of the numbers themselves to the bit,
wherever both can be computed. The BLAS scale their nrm2 in this way, by its largest entry.
"""

import jax
import jax.numpy as jnp

from momentum_jax._trees import dtype_of


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


def norm(x: jax.Array) -> jax.Array:
    """The Euclidean norm of an array, with derivative 0 at 0."""
    most = largest(x)
    unit = power_of_two(most)
    y = x * (1 / unit).astype(x.dtype)
    square = jnp.sum(jnp.real(y * jnp.conj(y)) if jnp.iscomplexobj(y) else y * y)
    # Where all is 0 the root is taken of 1, and its derivative is finite.
    return jnp.where(most == 0, 0, unit) * jnp.sqrt(square + (most == 0))
