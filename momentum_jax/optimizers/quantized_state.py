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
told by a start that depends on the values of the parameters. Never negative are those that have one of the usual names of
second moments: they get the map without signs, in which only 0 becomes 0, for steps are divided by their roots; an unknown
name gets the map with signs. An infinite or NaN entry spoils its block: put `optax.apply_if_finite` outside.
State: `inner_state`, the optimizer's own with the codes in place of each quantised leaf, int8 with signs and uint8 without, in
the leaf's shape (an axis of 2 more for a complex one); `largest`, A of each block, float32 (float64 for 64-bit leaves), under
the path of each quantised leaf: 1 + 4 / block_size bytes an entry. `optax.tree_map_params` takes `largest`, all of it, for one
that is no parameter.
Memory: about a quarter of that of its optimizer in float32.
Source: T. Dettmers, M. Lewis, S. Shleifer and L. Zettlemoyer (2022), 8-bit Optimizers via Block-wise Quantization, ICLR,
arXiv:2110.02861.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.tree_util import keystr

from momentum_jax._hyperparameters import AtLeastOne, AtLeastZero, checked
from momentum_jax._trees import is_inexact, is_none, leaves_by_path, parameter_at
from momentum_jax.optimizers._eight_bits import dequantize, quantize
from momentum_jax.optimizers._state import second_moment
from momentum_jax.optimizers._transformation import Transformation, as_link, transformation
from momentum_jax.protocol import evaluation_params, reset_momentum


class QuantizedStateState(NamedTuple):
    inner_state: Any
    largest: Any

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
      TypeError: `optimizer` is no gradient transformation; in `init`, a schedule that cannot be traced.
    """
    inner = as_link("quantized_state", "optimizer", optimizer)

    def init(params: optax.Params) -> QuantizedStateState:
        state = inner.init(params)
        if _stands_for_params(params):
            return QuantizedStateState(state, np.zeros(()))
        shapes = {path: np.shape(p) for path, p in leaves_by_path(params).items() if is_inexact(p)}
        codes, largest = [], {}
        for (path, b), copied in zip(leaves_by_path(state).items(), _copies(inner.init, params), strict=True):
            parameter = parameter_at(path, shapes)
            large = is_inexact(b) and np.size(b) >= max(min_size, 1)
            if b is None or parameter is None or copied or not large or np.shape(b) != shapes[parameter]:
                codes.append(b)
                continue
            signed = second_moment(path[: len(path) - len(parameter)]) is None
            narrow, scales = quantize(b, signed, -(-np.size(b) // block_size))
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


def _stands_for_params(params: Any) -> bool:
    """Whether these are the placeholder with which `optax.tree_map_params` asks where parameters are; scales are elsewhere."""
    from_optax = type(params).__module__.partition(".")[0] == "optax"
    return from_optax and not isinstance(params, optax.MaskedNode) and not jax.tree.leaves(params)


def _copies(init: Any, params: optax.Params) -> list[bool]:
    """Of each leaf of a state, whether its start depends on the values of the parameters, and not on their shapes alone."""
    try:
        program, shapes = jax.make_jaxpr(init, return_shape=True)(params)
    except jax.errors.ConcretizationTypeError as error:
        raise TypeError(
            "quantized_state: the init of optimizer must be traceable; a schedule that it reads must not branch on its step in "
            "Python, as jnp.where(step < 10, 0.5, 0.9) does not."
        ) from error
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
