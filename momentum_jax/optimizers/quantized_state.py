"""Quantised state: any optimizer, its large buffers kept in 8 bits.

    block of b with A = max |b|          code_i = nearest entry of the map to b_i / A          b_i ~ A map[code_i]

The dynamic map has 256 entries: 0, 1, and for each decade 10^(i-6), i = 0 .. 6, the midpoints of 2^i equal bins of [0.1, 1]
with both signs; of buffers that are never negative 2^(i+1) bins with one. So entries near the block's largest have a
relative error of about 1%, and those a million times smaller still have a sign.

Equivalent form: the optimizer itself with its buffers rounded after each step; the arithmetic is float32 (float64 for 64-bit
leaves), and a step is computed before its buffers are rounded.

Convention: blocks are of consecutive entries of the flattened leaf, at most `block_size` and as equal as can be; the real and
the imaginary parts of a complex leaf have scales of their own. Quantised are the floating point leaves of the state that have
the shape of their parameter and at least `min_size` entries, but not copies of the parameters (`storm`'s, Schedule-Free's z),
told by a start that depends on the values of the parameters. Never negative are those that this library and Optax name as
second moments: they get the map without signs, in which only 0 becomes 0, for steps are divided by their roots; an unknown
name gets the map with signs. An infinite or NaN entry spoils its block: put `optax.apply_if_finite` outside.
State: `inner_state`, the optimizer's own with the codes in place of each quantised leaf, int8 with signs and uint8 without, in
the leaf's shape (an axis of 2 more for a complex one); `largest`, A of each block, float32 (float64 for 64-bit leaves), under
the path of each quantised leaf: 1 + 4 / block_size bytes an entry.
Memory: about a quarter of that of its optimizer in float32.
Source: T. Dettmers, M. Lewis, S. Shleifer and L. Zettlemoyer (2022), 8-bit Optimizers via Block-wise Quantization, ICLR,
arXiv:2110.02861.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.sharding import AxisType, PartitionSpec
from jax.tree_util import GetAttrKey, keystr

from momentum_jax._hyperparameters import AtLeastOne, AtLeastZero, checked
from momentum_jax._trees import is_inexact, is_none, leaves_by_path
from momentum_jax.optimizers._leaves import working_precision
from momentum_jax.optimizers._transformation import Transformation, as_link, transformation
from momentum_jax.protocol import evaluation_params, reset_momentum

_NEVER_NEGATIVE = frozenset(
    {
        "second_moment", "max_second_moment", "mean_square", "sum_of_squares", "squared_update",
        "nu", "nu_max", "e_g", "e_x", "exp_avg_sq", "sum_of_squared_gradients",
    }
)  # fmt: skip


class QuantizedStateState(NamedTuple):
    inner_state: Any
    largest: dict[str, jax.Array]

    def evaluation_params(self, params: optax.Params) -> optax.Params:
        return evaluation_params(params, _widened(self))

    def reset_momentum(self) -> "QuantizedStateState":
        wide = _widened(self)
        # What a reset leaves alone keeps its codes: rounding them once more would move them.
        return _narrowed(reset_momentum(wide), self, unless=wide)


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
        state = inner.init(params)
        shapes = {path: np.shape(p) for path, p in leaves_by_path(params).items() if is_inexact(p)}
        codes, largest = [], {}
        for (path, b), copied in zip(leaves_by_path(state).items(), _copies(inner.init, params), strict=True):
            parameter = next((path[i:] for i in range(len(path) + 1) if path[i:] in shapes), None)
            large = is_inexact(b) and np.size(b) >= max(min_size, 1)
            if b is None or parameter is None or copied or not large or np.shape(b) != shapes[parameter]:
                codes.append(b)
                continue
            names = {key.name for key in path[: len(path) - len(parameter)] if isinstance(key, GetAttrKey)}
            narrow, scales = quantize(b, not names & _NEVER_NEGATIVE, -(-np.size(b) // block_size))
            if not isinstance(b, Tracer) and narrow.shape == b.shape:
                narrow = jax.device_put(narrow, b.sharding)
            codes.append(narrow)
            largest[keystr(path)] = scales
        return QuantizedStateState(jax.tree.unflatten(jax.tree.structure(state, is_leaf=is_none), codes), largest)

    def update(
        who: str, updates: optax.Updates, state: QuantizedStateState, params: Any, **extra_args: Any
    ) -> tuple[optax.Updates, QuantizedStateState]:
        updates, wide = inner.unrounded(who, updates, _widened(state), params, **extra_args)
        return updates, _narrowed(wide, state)

    return transformation("quantized_state", init, update, extra=None)


def _copies(init: Any, params: optax.Params) -> list[bool]:
    """Of each leaf of a state, whether its start depends on the values of the parameters, and not on their shapes alone."""
    program, shapes = jax.make_jaxpr(init, return_shape=True)(params)
    touched = set(map(id, program.jaxpr.invars))
    for equation in program.jaxpr.eqns:
        if any(id(atom) in touched for atom in equation.invars):
            touched |= set(map(id, equation.outvars))
    found = iter([id(atom) in touched for atom in program.jaxpr.outvars])
    return [leaf is not None and next(found) for leaf in leaves_by_path(shapes).values()]


def _widened(state: QuantizedStateState) -> Any:
    """The optimizer's own state."""
    scales = {key: _held(value) for key, value in state.largest.items()}
    leaves = leaves_by_path(state.inner_state)
    wide = [dequantize(x, scales[keystr(path)]) if keystr(path) in scales else x for path, x in leaves.items()]
    return jax.tree.unflatten(jax.tree.structure(state.inner_state, is_leaf=is_none), wide)


def _narrowed(wide: Any, like: QuantizedStateState, unless: Any = None) -> QuantizedStateState:
    """`wide` in 8 bits where `like` is; leaves that are those of `unless` keep the codes of `like`."""
    before, kept = leaves_by_path(like.inner_state), leaves_by_path(unless)
    codes, largest = [], dict(like.largest)
    for path, b in leaves_by_path(wide).items():
        key, narrow = keystr(path), b
        if key in largest:
            narrow, scales = before[path], _held(largest[key])
            if b is not kept.get(path):
                narrow, new = quantize(b, narrow.dtype == jnp.int8, len(scales))
                largest[key] = new.astype(scales.dtype)
        codes.append(narrow)
    return QuantizedStateState(jax.tree.unflatten(jax.tree.structure(wide, is_leaf=is_none), codes), largest)


def _held(node: Any) -> jax.Array:
    """The array itself, also out of an NNX Variable."""
    (array,) = jax.tree.leaves(node)
    return array


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


# The map in closed form. Its magnitudes in ascending order have the ranks 0 (for 0), lo_i + k (for bin k of the n_i of decade
# i) and 2^7, without signs 2^8 - 1 (for 1), where lo_i = n_i, without signs n_i - 1. The code is the rank, with signs +- the
# rank less 1: -1 stands for 0, and there is no entry -1. Comparisons and selections of whole arrays are many times faster than
# looking up.


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
