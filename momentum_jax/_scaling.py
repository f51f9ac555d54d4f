"""Norms that overflow and underflow only where numbers of their narrowest precision do, and units that are powers of two.

A product with a power of two is exact. So sums of scaled squares are the sums of the squares themselves, to the bit, wherever
both can be computed. A norm is the root of one of three such sums, as in the nrm2 of LAPACK 3.10. They do not depend on one
another, so that what is computed beside them is compiled as if there were only the first.
"""

from typing import Any

import jax
import jax.numpy as jnp

from momentum_jax._trees import dtype_of

# Exponents of two, by the bits of a precision. Between low and high a sum of squares has lost nothing that counts. Below low
# the squares of numbers times 2^shift are normal numbers, above high those of numbers times 2^-shift.
_LOW, _HIGH, _SHIFT = {32: -70, 64: -900}, {32: 100, 64: 900}, {32: 80, 64: 700}


@jax.custom_jvp
def norm(*arrays: jax.Array) -> jax.Array:
    """The Euclidean norm of arrays of at least 32 bits, in the widest of their precisions, with derivative 0 at 0."""
    if not arrays:
        return jnp.zeros(())
    bits = narrowest_bits(*arrays)
    square, of_large, of_small = (sum_of_products(arrays, arrays, shift) for shift in (0, -_SHIFT[bits], _SHIFT[bits]))
    up, down = (jnp.asarray(2.0**shift, square.dtype) for shift in (_SHIFT[bits], -_SHIFT[bits]))
    beyond = jnp.where(square < 1, jnp.sqrt(of_small) * down, jnp.sqrt(of_large) * up)
    return jnp.where(is_ordinary(square, bits), jnp.sqrt(square), beyond)


@norm.defjvp
def _norm_jvp(primals: tuple[jax.Array, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
    length = norm(*primals)
    inverse = jnp.where(length == 0, 0, 1 / jnp.where(length == 0, 1, length))
    return length, sum_of_products([x * inverse.astype(x.dtype) for x in primals], tangents)


def is_acute(a: list[jax.Array], b: list[jax.Array]) -> jax.Array:
    """Whether Re <a, b> > 0 for arrays of at least 32 bits, also where the product itself overflows or underflows."""
    if not a:
        return jnp.zeros((), bool)
    bits = narrowest_bits(*a, *b)
    product, of_large, of_small = (sum_of_products(a, b, shift) for shift in (0, -_SHIFT[bits], _SHIFT[bits]))
    return jnp.where(product == 0, of_small, jnp.where(jnp.isfinite(product), product, of_large)) > 0


def is_ordinary(square: jax.Array, bits: int = 32) -> jax.Array:
    """Whether a sum of squares in a precision of so many bits has lost nothing that counts to overflow or underflow."""
    return (square > 2.0 ** _LOW[bits]) & (square < 2.0 ** _HIGH[bits])


def sum_of_products(a: Any, b: Any, shift: int = 0) -> jax.Array:
    """Re <a, b> over two sequences of arrays, both times 2^shift, in the widest of their precisions."""
    products = []
    for x, y in zip(a, b, strict=True):
        if shift:
            x, y = (z * jnp.asarray(2.0**shift, z.dtype) for z in (x, y))
        products.append(jnp.sum(jnp.real(x * jnp.conj(y)) if jnp.iscomplexobj(x) or jnp.iscomplexobj(y) else x * y))
    widest = jnp.result_type(*products)
    return sum((p.astype(widest) for p in products), start=jnp.zeros((), widest))


def narrowest_bits(*arrays: jax.Array) -> int:
    """64 where all arrays are in double precision, else 32."""
    return min(jnp.finfo(x.dtype).bits for x in arrays)


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
