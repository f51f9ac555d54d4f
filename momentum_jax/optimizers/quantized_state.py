"""Quantised state: any optimizer, its large buffers kept in 8 bits.

    block of b with A = max |b|          code_i = nearest entry of the map to b_i / A          b_i ~ A map[code_i]

The dynamic map has 256 entries: 0, 1, and for each decade 10^(i-6), i = 0 .. 6, the midpoints of 2^i equal bins of [0.1, 1]
with both signs; of buffers that are never negative 2^(i+1) bins with one. So entries near the block's largest have a
relative error of about 1%, and those a million times smaller still have a sign.

Equivalent form: the optimizer itself with its buffers rounded after each step; the arithmetic is float32 (float64 for 64-bit
leaves), and a step is computed before its buffers are rounded.

Convention: blocks are of consecutive entries of the flattened leaf, real and imaginary parts by turns. Quantised are the
floating point leaves of the state that have the shape of a parameter and at least `min_size` entries. Copies of the parameters
themselves (`previous_params`, Schedule-Free's `z`) stay as they are. Never negative are those that this library and Optax name
as second moments; an unknown name gets the map with signs.
State: `inner_state`, where each quantised leaf is a `Quantized` of `codes`, uint8 in the leaf's shape, and `largest`, A of each
block, float32: 1 + 4 / block_size bytes an entry.
Memory: about a quarter of that of its optimizer in float32.
Source: T. Dettmers, M. Lewis, S. Shleifer and L. Zettlemoyer (2022), 8-bit Optimizers via Block-wise Quantization, ICLR,
arXiv:2110.02861.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import GetAttrKey

from momentum_jax._hyperparameters import AtLeastOne, AtLeastZero, checked
from momentum_jax._trees import is_inexact
from momentum_jax.optimizers._leaves import working_precision
from momentum_jax.optimizers._transformation import Transformation, as_link, transformation
from momentum_jax.protocol import evaluation_params, reset_momentum

_NEVER_NEGATIVE = frozenset(
    {"second_moment", "max_second_moment", "mean_square", "sum_of_squares", "squared_update", "nu", "nu_max", "e_g", "e_x"}
)
_PARAMETERS = frozenset({"previous_params", "z"})


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Quantized:
    """A buffer in 8 bits.

    Attributes:
      codes: uint8, the buffer's shape; a complex buffer's has an axis of 2 more.
      largest: (blocks,), max |b| of each block.
      dtype: the buffer's.
      signed: which map.
      block_size: entries of a block.
    """

    codes: jax.Array
    largest: jax.Array
    dtype: Any = field(metadata={"static": True})
    signed: bool = field(metadata={"static": True})
    block_size: int = field(metadata={"static": True})


class QuantizedStateState(NamedTuple):
    inner_state: Any

    def evaluation_params(self, params: optax.Params) -> optax.Params:
        return evaluation_params(params, _widened(self.inner_state))

    def reset_momentum(self) -> "QuantizedStateState":
        wide = _widened(self.inner_state)
        fresh = reset_momentum(wide)
        # What a reset leaves alone keeps its codes: rounding them once more would move them.
        return QuantizedStateState(
            jax.tree.map(
                lambda old, was, new: new if not _is_quantized(old) else old if new is was else quantize(new, old),
                self.inner_state,
                wide,
                fresh,
                is_leaf=_is_quantized,
            )
        )


@checked
def quantized_state(
    optimizer: optax.GradientTransformation, *, block_size: AtLeastOne = 256, min_size: AtLeastZero = 4096
) -> Transformation:
    """Any optimizer with its large buffers in 8 bits.

    Args:
      optimizer: any Optax optimizer.
      block_size: entries that share a scale, at least 1.
      min_size: buffers with fewer entries stay as they are.

    Raises:
      ValueError: a block_size below 1; whatever the optimizer raises.
      TypeError: `optimizer` is no gradient transformation.
    """
    inner = as_link("quantized_state", "optimizer", optimizer)

    def init(params: optax.Params) -> QuantizedStateState:
        shapes = {np.shape(p) for p in jax.tree.leaves(params) if is_inexact(p)}

        def narrow(path: Any, b: Any) -> Any:
            names = {key.name for key in path if isinstance(key, GetAttrKey)}
            small = not is_inexact(b) or np.shape(b) not in shapes or np.size(b) < max(min_size, 1)
            return b if small or names & _PARAMETERS else quantize_new(b, not names & _NEVER_NEGATIVE, block_size)

        return QuantizedStateState(jax.tree.map_with_path(narrow, inner.init(params)))

    def update(
        who: str, updates: optax.Updates, state: QuantizedStateState, params: Any, **extra_args: Any
    ) -> tuple[optax.Updates, QuantizedStateState]:
        updates, wide = inner.unrounded(who, updates, _widened(state.inner_state), params, **extra_args)
        narrow = jax.tree.map(
            lambda old, new: quantize(new, old) if _is_quantized(old) else new, state.inner_state, wide, is_leaf=_is_quantized
        )
        return updates, QuantizedStateState(narrow)

    return transformation("quantized_state", init, update, extra=None)


def quantize_new(buffer: jax.Array, signed: bool, block_size: int) -> Quantized:
    """`buffer` in 8 bits."""
    x = jnp.stack([jnp.real(buffer), jnp.imag(buffer)], axis=-1) if jnp.iscomplexobj(buffer) else buffer
    x = x.astype(working_precision(x))
    blocks = -(-x.size // block_size)
    rows = jnp.pad(x.reshape(-1), (0, blocks * block_size - x.size)).reshape(blocks, block_size)
    largest = jnp.max(jnp.abs(rows), axis=1)
    codes = _encode(rows / jnp.where(largest == 0, 1, largest)[:, None], signed)
    return Quantized(codes.reshape(-1)[: x.size].reshape(x.shape), largest, jnp.dtype(buffer.dtype), signed, block_size)


def quantize(buffer: jax.Array, like: Quantized) -> Quantized:
    """`buffer` in 8 bits in place of `like`."""
    new = quantize_new(buffer, like.signed, like.block_size)
    return Quantized(new.codes, new.largest.astype(like.largest.dtype), like.dtype, like.signed, like.block_size)


def dequantize(q: Quantized) -> jax.Array:
    """The buffer that the codes stand for, in working precision."""
    scales = jnp.broadcast_to(q.largest[:, None], (q.largest.size, q.block_size)).reshape(-1)
    x = _decode(q.codes, q.signed, q.largest.dtype) * scales[: q.codes.size].reshape(q.codes.shape)
    return jax.lax.complex(x[..., 0], x[..., 1]) if jnp.issubdtype(q.dtype, jnp.complexfloating) else x


# The map in closed form. Its magnitudes in ascending order have the ranks 0 (for 0), lo_i + k (for bin k of the n_i of decade
# i) and 2^7, without signs 2^8 - 1 (for 1), where lo_i = n_i, without signs n_i - 1. The code is the rank; with signs 127 +-
# the rank, and there is no -1. Comparisons and selections of whole arrays are many times faster than looking up.


def _decades(signed: bool) -> list[tuple[float, int, int]]:
    """(10^(i-6), n_i, lo_i) of each decade."""
    return [(10.0 ** (i - 6), 2**i << (not signed), (2**i << (not signed)) - (not signed)) for i in range(7)]


def _encode(y: jax.Array, signed: bool) -> jax.Array:
    """Codes, uint8, of the entries of the map nearest to `y` in [-1, 1]."""
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
    return (jnp.where(y < 0, 127 - jnp.minimum(rank, 127), 127 + rank) if signed else rank).astype(jnp.uint8)


def _decode(codes: jax.Array, signed: bool, dtype: Any) -> jax.Array:
    """The entries of the map that `codes` stand for."""
    rank = codes.astype(dtype) - (127 if signed else 0)
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


def _widened(state: Any) -> Any:
    return jax.tree.map(lambda x: dequantize(x) if _is_quantized(x) else x, state, is_leaf=_is_quantized)


def _is_quantized(node: Any) -> bool:
    return isinstance(node, Quantized)
