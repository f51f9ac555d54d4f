"""Buffers in 8 bits: blocks with a scale each, and the codes of their entries in the power maps of `quantized_state`.

    |b| / A = y in [r^p, (r + 1)^p] / R^p:    the code is r + 1 with probability (R^p y - r^p) / ((r + 1)^p - r^p), else r

so that the mean of what the codes stand for is b. With signs R = 127 and p = 3, without R = 255 and p = 8.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec

from momentum_jax.optimizers._precision import working_precision

Shape = tuple[int, ...]


def scales_shape(shape: Shape, block_size: int) -> Shape:
    """Shape of the scales of a leaf: its leading axes, the last of them divided into blocks.

    Trailing axes lie in one block whole as long as they have at most `block_size` entries together. A block has at least
    `block_size` entries where the leaf has them, but for the last of an axis. So scales take at
    most 1 / block_size of its entries.
    """
    inside = 1
    for axis in reversed(range(len(shape))):
        if inside * shape[axis] > block_size:
            rows = -(-block_size // inside)
            return (*shape[:axis], shape[axis] // rows)
        inside *= shape[axis]
    return ()


def mixed(word: jax.Array) -> jax.Array:
    """A word of 32 bits that looks random, a bijection of `word` (C. Wellons' "lowbias32").

    Every entry needs one in each step. Those of `jax.random` take ten times as long as all the rest of the rounding.
    """
    word = (word ^ (word >> 16)) * jnp.uint32(0x21F0AAAD)
    word = (word ^ (word >> 15)) * jnp.uint32(0x735A2D97)
    return word ^ (word >> 15)


def quantize(buffer: jax.Array, signed: bool, scales: Shape, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`buffer` in 8 bits, rounded at random: its codes, and the largest magnitude of each block.

    Args:
      buffer: real or complex.
      signed: whether entries may be negative.
      scales: shape of the scales, as `scales_shape` gives it.
      key: uint32 scalar; another one rounds otherwise.

    Returns:
      The codes, int8 with signs and uint8 without, in the shape of the buffer, and one axis of 2 more for a complex one; the
      largest magnitudes of the blocks, for a complex buffer complex numbers of those of its real and imaginary parts.
    """
    parts = [jnp.real(buffer), jnp.imag(buffer)] if jnp.iscomplexobj(buffer) else [buffer]
    keys = (mixed(key + jnp.uint32(i)) for i in range(2))
    done = [_quantize_part(x.astype(working_precision(x)), k, signed, scales) for x, k in zip(parts, keys, strict=False)]
    if len(done) == 1:
        return done[0]
    (real, a), (imaginary, b) = done
    return jnp.stack([real, imaginary], axis=-1), jax.lax.complex(a, b)


def dequantize(codes: jax.Array, largest: jax.Array) -> jax.Array:
    """The buffer that the codes stand for, in working precision."""
    if not jnp.iscomplexobj(largest):
        return _dequantize_part(codes, largest)
    scales = jnp.real(largest), jnp.imag(largest)
    return jax.lax.complex(*(_dequantize_part(codes[..., i], scales[i]) for i in range(2)))


# One program a shape: called eagerly, dozens of operations would each be compiled by themselves.
@partial(jax.jit, static_argnames=("signed", "scales"), inline=True)
def _quantize_part(x: jax.Array, key: jax.Array, signed: bool, scales: Shape) -> tuple[jax.Array, jax.Array]:
    size = jnp.abs(x)
    largest = _largest(size, scales)
    spread = _spread(largest, x.shape)
    y = size / jnp.where(spread == 0, 1, spread)
    if signed:
        root, top = jnp.exp2(jnp.log2(y) / 3), 127.0  # XLA's cube root takes ten times as long
    else:
        root, top = jnp.sqrt(jnp.sqrt(jnp.sqrt(y))), 255.0
    rank = jnp.clip(jnp.floor(top * root), 0, top - 1)
    below, above = _power(rank / top, signed), _power((rank + 1) / top, signed)
    rank = rank + (_uniform(key, x.shape, x.dtype) * (above - below) < y - below)
    if signed:
        return jnp.where(x < 0, -rank, rank).astype(jnp.int8), largest
    # What steps are divided by the root of may not become 0.
    return jnp.where(size > 0, jnp.maximum(rank, 1), 0).astype(jnp.uint8), largest


@partial(jax.jit, inline=True)
def _dequantize_part(codes: jax.Array, largest: jax.Array) -> jax.Array:
    signed = codes.dtype == jnp.int8
    share = codes.astype(largest.dtype) / (127.0 if signed else 255.0)
    return _power(share, signed) * _spread(largest, codes.shape)


def _power(share: jax.Array, signed: bool) -> jax.Array:
    return share * share * share if signed else jnp.square(jnp.square(jnp.square(share)))


def _largest(size: jax.Array, scales: Shape) -> jax.Array:
    rows = jnp.max(size, axis=tuple(range(len(scales), size.ndim)))
    if not scales:
        return rows
    if AxisType.Explicit in jax.typeof(rows).sharding.mesh.axis_types:  # an axis is divided only where it is whole
        rows = jax.sharding.reshard(rows, PartitionSpec(*(None,) * rows.ndim))
    length = -(-rows.shape[-1] // scales[-1])
    rows = jnp.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, scales[-1] * length - rows.shape[-1])])
    return jnp.max(rows.reshape(*scales, length), axis=-1)


def _spread(largest: jax.Array, shape: Shape) -> jax.Array:
    """The scale of each entry of a leaf of this shape."""
    axes = largest.ndim
    if axes:
        length = -(-shape[axes - 1] // largest.shape[-1])
        largest = jnp.repeat(largest, length, axis=-1)[..., : shape[axes - 1]]
    return jnp.broadcast_to(largest.reshape(largest.shape + (1,) * (len(shape) - axes)), shape)


def _uniform(key: jax.Array, shape: Shape, dtype: Any) -> jax.Array:
    """Numbers in [0, 1), each from its own place in the leaf alone, so that a sharded leaf draws what a whole one does."""
    place, stride = jnp.zeros(shape, jnp.uint32), 1
    for axis in reversed(range(len(shape))):
        place += jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(stride % 2**32)
        stride *= shape[axis]
    return (mixed(place + key) >> 8).astype(dtype) * 2.0**-24
