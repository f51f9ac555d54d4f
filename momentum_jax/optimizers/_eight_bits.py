"""Buffers in 8 bits: blocks with a scale each, and the codes of their entries in the dynamic map of `quantized_state`.

The map in closed form: its magnitudes in ascending order have the ranks 0 (for 0), lo_i + k (for bin k of the n_i of decade i)
and 2^7, without signs 2^8 - 1 (for 1), where lo_i = n_i, without signs n_i - 1. The code is the rank, with signs +- the rank
less 1: -1 stands for 0, and there is no entry -1. Comparisons and selections of whole arrays are many times faster than looking
up.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec

from momentum_jax.optimizers._precision import working_precision


def quantize(buffer: jax.Array, signed: bool, blocks: int) -> tuple[jax.Array, jax.Array]:
    """`buffer` in 8 bits: its codes, and the largest magnitude of each of `blocks` blocks, (blocks,), complex (blocks, 2)."""
    parts = [jnp.real(buffer), jnp.imag(buffer)] if jnp.iscomplexobj(buffer) else [buffer]
    done = [_quantize_part(part.astype(working_precision(part)), signed, blocks) for part in parts]
    if len(done) == 1:
        return done[0]
    (real, a), (imaginary, b) = done
    return jnp.stack([real, imaginary], axis=-1), jnp.stack([a, b], axis=-1)


def dequantize(codes: jax.Array, largest: jax.Array) -> jax.Array:
    """The buffer that the codes stand for, in working precision."""
    if largest.ndim == 1:
        return _dequantize_part(codes, largest)
    if largest.ndim != 2 or largest.shape[1] != 2 or codes.shape[-1] != 2:
        raise ValueError(
            f"quantized_state: opt_state must be that of one run, got codes stacked to {codes.shape}; "
            "use jax.vmap, as in jax.vmap(evaluation_params)(params, opt_state)."
        )
    return jax.lax.complex(*(_dequantize_part(codes[..., i], largest[:, i]) for i in range(2)))


# One program a shape: called eagerly, dozens of operations would each be compiled by themselves.
@partial(jax.jit, static_argnames=("signed", "blocks"), inline=True)
def _quantize_part(x: jax.Array, signed: bool, blocks: int) -> tuple[jax.Array, jax.Array]:
    shape = x.shape
    x, home = _gathered(x)
    size = -(-x.size // blocks)
    rows = jnp.pad(x.reshape(-1), (0, blocks * size - x.size)).reshape(blocks, size)
    largest = jnp.max(jnp.abs(rows), axis=1)
    codes = _encode(rows / jnp.where(largest == 0, 1, largest)[:, None], signed)
    codes = codes.reshape(-1)[: x.size].reshape(shape)
    return codes if home is None else jax.sharding.reshard(codes, home), largest


@partial(jax.jit, inline=True)
def _dequantize_part(codes: jax.Array, largest: jax.Array) -> jax.Array:
    shape = codes.shape
    codes, home = _gathered(codes)
    blocks = len(largest)
    scales = jnp.broadcast_to(largest[:, None], (blocks, -(-codes.size // blocks))).reshape(-1)
    x = _decode(codes, largest.dtype) * scales[: codes.size].reshape(shape)
    return x if home is None else jax.sharding.reshard(x, home)


def _gathered(x: jax.Array) -> tuple[jax.Array, Any]:
    """`x` on every device, and where it lay; on meshes without explicit axes `x` as it is, and None."""
    home = jax.typeof(x).sharding
    if AxisType.Explicit not in home.mesh.axis_types:
        return x, None
    return jax.sharding.reshard(x, PartitionSpec(*(None,) * x.ndim)), home.spec


def _decades(signed: bool) -> list[tuple[float, int, int]]:
    """(10^(i-6), n_i, lo_i) of each decade."""
    return [(10.0 ** (i - 6), 2**i << (not signed), (2**i << (not signed)) - (not signed)) for i in range(7)]


def _encode(y: jax.Array, signed: bool) -> jax.Array:
    """Codes of the entries of the map nearest to `y` in [-1, 1]; without signs only 0 gets that of 0."""
    size = jnp.abs(y)
    decades = _decades(signed)
    unit, bins, low = decades[0]
    border = unit * (0.1 + 0.45 / bins) / 2
    slope, offset, first, last = 0.0, 0.0, 0.0, 0.0
    for unit, bins, low in decades:
        inside = size >= border
        slope = jnp.where(inside, bins / (0.9 * unit), slope)
        offset = jnp.where(inside, low - bins / 9, offset)
        first, last = jnp.where(inside, low, first), jnp.where(inside, low + bins - 1, last)
        border = unit * (1 + 0.9 / bins)
    rank = jnp.clip(jnp.floor(slope * size + offset), first, last)
    rank = jnp.where(size >= 1 - 0.225 / bins, low + bins, rank).astype(jnp.int32)
    if signed:
        return jnp.where(y < 0, -1 - jnp.minimum(rank, 127), rank - 1).astype(jnp.int8)
    return jnp.where(size > 0, jnp.maximum(rank, 1), rank).astype(jnp.uint8)


def _decode(codes: jax.Array, dtype: Any) -> jax.Array:
    """The entries of the map that `codes` stand for."""
    signed = codes.dtype == jnp.int8
    rank = codes.astype(dtype) + (1 if signed else 0)
    size = jnp.abs(rank)
    decades = _decades(signed)
    unit, bins, low = decades[0]
    slope, first, base = jnp.zeros_like(size), 0.0, 0.0
    for unit, bins, low in decades:
        inside = size >= low
        slope = jnp.where(inside, 0.9 * unit / bins, slope)
        first, base = jnp.where(inside, low, first), jnp.where(inside, unit * (0.1 + 0.45 / bins), base)
    value = jnp.where(size >= low + bins, 1.0, base + slope * (size - first))
    return jnp.where(rank < 0, -value, value)
