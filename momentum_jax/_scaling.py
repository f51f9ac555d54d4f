"""Norms that overflow and underflow only where numbers of their narrowest precision do, and units that are powers of two.

A product with a power of two is exact. So sums of scaled squares are the sums of the squares themselves, to the bit, wherever
both can be computed. A norm is the root of one of three such sums, as in the nrm2 of LAPACK 3.10. They do not depend on one
another, so that what is computed beside them is compiled as if there were only the first.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from momentum_jax._trees import dtype_of

# Exponents of two, by the bits of a precision. Between low and high a sum of squares has lost nothing that counts. Below low
# the squares of numbers times 2^shift are normal numbers, above high those of numbers times 2^-shift.
_LOW, _HIGH, _SHIFT = {32: -70, 64: -900}, {32: 100, 64: 900}, {32: 80, 64: 700}


class Squares(NamedTuple):
    """Sums of squares: of numbers as they are, of numbers times 2^-shift, and of numbers times 2^shift."""

    plain: jax.Array
    large: jax.Array
    small: jax.Array


def norm(*arrays: jax.Array) -> jax.Array:
    """The Euclidean norm of arrays of at least 32 bits, in the widest of their precisions, with derivative 0 at 0."""
    if not arrays:
        return jnp.zeros(())
    bits = narrowest_bits(*arrays)
    return root_of(Squares(*(_total(each) for each in zip(*(squares(x, bits) for x in arrays), strict=True))), bits)


def norms(x: jax.Array, axes: tuple[int, ...] = (-2, -1)) -> jax.Array:
    """The norms over some axes, which stay with length 1: overflow, underflow and derivatives are those of `norm`."""
    bits = narrowest_bits(x)
    return root_of(squares(x, bits, axes), bits)


def squares(x: jax.Array, bits: int = 32, axes: tuple[int, ...] | None = None) -> Squares:
    """Those of an array of at least 32 bits, in a computation whose narrowest precision has so many; over some axes only."""
    shifts = (-_SHIFT[bits], _SHIFT[bits])
    return Squares(dot(x, x, axes), *(_scaled_square(x, _factor(shift, x.dtype), axes) for shift in shifts))


def root_of(sums: Squares, bits: int = 32) -> jax.Array:
    """The root of a sum of squares, with derivative 0 at 0."""
    roots = (jnp.where(s == 0, 0, jnp.sqrt(jnp.where(s == 0, 1, s))) for s in sums)
    plain, large, small = roots
    up, down = (jnp.asarray(2.0**shift, plain.dtype) for shift in (_SHIFT[bits], -_SHIFT[bits]))
    return jnp.where(is_ordinary(sums.plain, bits), plain, jnp.where(sums.plain < 1, small * down, large * up))


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _scaled_square(x: jax.Array, factor: jax.Array, axes: tuple[int, ...] | None) -> jax.Array:
    return dot(x * factor, x * factor, axes)


@_scaled_square.defjvp
def _scaled_square_jvp(
    axes: tuple[int, ...] | None, primals: tuple[Any, Any], tangents: tuple[Any, Any]
) -> tuple[jax.Array, jax.Array]:
    (x, factor), (dx, _) = primals, tangents
    y = x * factor
    # Numbers that are infinite when scaled are no part of a small square, and 0 times their derivative would be NaN.
    return _scaled_square(x, factor, axes), 2 * jnp.real(factor) * dot(jnp.where(jnp.isfinite(y), y, 0), dx, axes)


def _factor(shift: int, dtype: Any) -> jax.Array:
    """2^shift, hidden from XLA, which multiplies two factors of one product into one, infinite or 0, where it sees them."""
    return jax.lax.optimization_barrier(jnp.asarray(2.0**shift, dtype))


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


def sum_of_products(a: Sequence[jax.Array], b: Sequence[jax.Array], shift: int = 0) -> jax.Array:
    """Re <a, b> over two sequences of arrays, both times 2^shift, in the widest of their precisions."""
    if shift:
        a, b = ([x * _factor(shift, x.dtype) for x in arrays] for arrays in (a, b))
    return _total([dot(x, y) for x, y in zip(a, b, strict=True)])


def dot(a: jax.Array, b: jax.Array, axes: tuple[int, ...] | None = None) -> jax.Array:
    """Re <a, b> of two arrays, a 0-d real array; over some axes only, which stay with length 1."""
    products = jnp.real(a * jnp.conj(b)) if jnp.iscomplexobj(a) or jnp.iscomplexobj(b) else a * b
    return jnp.sum(products, axis=axes, keepdims=axes is not None)


def _total(numbers: Sequence[jax.Array]) -> jax.Array:
    widest = jnp.result_type(*numbers)
    return sum((x.astype(widest) for x in numbers), start=jnp.zeros((), widest))


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
