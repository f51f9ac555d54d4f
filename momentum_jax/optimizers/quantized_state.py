"""Quantised state: any optimizer, its large buffers kept in 8 bits."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import keystr

from momentum_jax._hyperparameters import AtLeastOne, AtLeastZero, checked
from momentum_jax._trees import is_inexact, is_none, leaves_by_path, parameter_at
from momentum_jax._wrappers import Reading
from momentum_jax.optimizers._eight_bits import dequantize, mixed, quantize, scales_shape
from momentum_jax.optimizers._state import second_moment
from momentum_jax.optimizers._transformation import Transformation, as_link, transformation
from momentum_jax.optimizers.rmsprop import RmspropState
from momentum_jax.optimizers.soap import SoapState
from momentum_jax.protocol import evaluation_params, reset_momentum


class QuantizedStateState(NamedTuple):
    inner_state: Any
    largest: Any
    key: Any = None

    def evaluation_params(self, params: optax.Params) -> optax.Params:
        return evaluation_params(params, _widened(self))

    def reset_momentum(self) -> "QuantizedStateState":
        wide = _widened(self)
        # What a reset leaves alone keeps its codes: rounding them once more could move them.
        return _narrowed(reset_momentum(wide), self, unless=wide)


@checked
def quantized_state(
    optimizer: optax.GradientTransformation, *, block_size: AtLeastOne = 256, min_size: AtLeastZero = 4096
) -> Transformation:
    """Any optimizer with its large buffers in 8 bits.

        block of b with A = max |b|          code r with A (r / R)^p ~ b, rounded up or down at random
        E[A (r / R)^p] = b

    With signs R = 127, |r| <= R and p = 3; buffers that are never negative have R = 255 and p = 8. Neighbouring entries differ
    by 2% near the largest of a block, by 12% at a hundredth of it, by half at a ten-thousandth; without signs by 3%, 6% and
    10%.

    Equivalent form: the optimizer itself with its buffers rounded after each step. The arithmetic is float32 (float64 for
    64-bit leaves), and a step is computed before its buffers are rounded. The mean of the rounding is exact: a buffer decays at
    any rate and follows gradients of any size, on average. Rounding to the nearest entry would keep a code for ever where a
    step changes it by less than half the distance to its neighbour, as a momentum of 0.99 does; a dead unit would go on moving.

    Args:
      optimizer: any Optax optimizer.
      block_size: the least number of entries that share a scale, where a buffer has so many; at least 1.
      min_size: buffers with fewer entries stay as they are.

    Raises:
      ValueError: a block_size below 1; in `init`, a centred RMSprop or `soap`; in `update`, a state from before `key`;
        whatever the optimizer raises.
      TypeError: `optimizer` is no gradient transformation; in `init`, a schedule that cannot be traced.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.quantized_state(mj.heavy_ball(0.1, 0.9), min_size=1)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.720 0.486 0.227

    Convention: trailing axes lie in one block as long as they have at most `block_size` entries together, and the next axis is
    divided. Blocks have at least `block_size` entries, but for the last of an axis. A complex leaf has scales for its real and
    its imaginary parts. Quantised are the floating point leaves of the state that have the shape of their parameter and at
    least `min_size` entries, but not copies of the parameters (`storm`'s, Schedule-Free's z), told by a start that depends on
    the values of the parameters. Never negative are those that have one of the usual names of second moments: only 0 becomes 0
    there, for steps are divided by their roots; an unknown name gets signs. An infinite or NaN entry spoils its block: put
    `optax.apply_if_finite` outside. A method that feeds its rounded buffer back multiplies the errors: under a constant
    gradient for 3,000 steps the largest entry of `adadelta`'s update came to 2.2 times that of float32.
    State: `inner_state`, the optimizer's own with the codes in place of each quantised leaf, int8 with signs and uint8 without,
    in the leaf's shape and sharding (an axis of 2 more for a complex one); `largest`, A of each block, float32 (float64 for
    64-bit leaves), under the path of each quantised leaf: at most 1 + 4 / block_size bytes an entry; `key`, uint32 scalar that
    counts the roundings and wraps, None where nothing is quantised. Equal states round equally. `optax.tree_map_params` takes
    `largest`, all of it, and `key` for what is no parameter.
    Memory: about a quarter of that of its optimizer in float32.
    Source: T. Dettmers, M. Lewis, S. Shleifer and L. Zettlemoyer (2022), 8-bit Optimizers via Block-wise Quantization, ICLR,
    arXiv:2110.02861, for blocks and buffers; the paper rounds to the nearest entry of a dynamic map.

    See also: `momentum_jax.hyperparameters`; `adamw` and others with an accumulator_dtype, 16 bits instead of 8.
    """
    inner = as_link("quantized_state", "optimizer", optimizer)

    def init(params: optax.Params) -> QuantizedStateState:
        state = inner.init(params)
        if _stands_for_params(params):
            return QuantizedStateState(state, np.zeros(()), np.zeros(()))
        shapes = {path: np.shape(p) for path, p in leaves_by_path(params).items() if is_inexact(p)}
        codes, largest = [], {}
        for (path, b), copied in zip(leaves_by_path(state).items(), _copies(inner.init, params), strict=True):
            parameter = parameter_at(path, shapes)
            large = is_inexact(b) and np.size(b) >= max(min_size, 1)
            if b is None or parameter is None or copied or not large or np.shape(b) != shapes[parameter]:
                codes.append(b)
                continue
            signed = second_moment(path[: len(path) - len(parameter)]) is None
            # Behind the barrier XLA's compiler does not compute what is constant, for a minute where a leaf is large.
            start = jax.lax.optimization_barrier(b)
            narrow, largest[keystr(path)] = quantize(start, signed, scales_shape(np.shape(b), block_size), jnp.uint32(0))
            codes.append(narrow)
        if largest:
            _refuse_centred(state)
            _refuse_rotated(state)
        inner_state = jax.tree.unflatten(jax.tree.structure(state, is_leaf=is_none), codes)
        return QuantizedStateState(inner_state, largest, jnp.zeros((), jnp.uint32) if largest else None)

    def update(
        who: str, updates: optax.Updates, state: QuantizedStateState, params: Any, **extra_args: Any
    ) -> tuple[optax.Updates, QuantizedStateState]:
        updates, wide = inner.unrounded(who, updates, _widened(state), params, **extra_args)
        return updates, _narrowed(wide, state)

    def inside(state: QuantizedStateState) -> Reading:
        return inner.reading(_widened(state, numbers_alone=True))

    return transformation("quantized_state", init, update, extra=None, inside=inside)


def _refuse_centred(state: Any) -> None:
    def centred(node: Any) -> bool:
        ours = isinstance(node, RmspropState) and node.mean is not None
        return ours or type(node).__name__.startswith("ScaleByRStdDev")  # Optax exports one of the two

    if any(map(centred, jax.tree.leaves(state, is_leaf=centred))):
        raise ValueError(
            "quantized_state: optimizer must not be a centred RMSprop, for the difference of its two rounded averages has no "
            "digits left; use rmsprop(centered=False)."
        )


def _refuse_rotated(state: Any) -> None:
    def rotated(node: Any) -> bool:
        return isinstance(node, SoapState)

    if any(map(rotated, jax.tree.leaves(state, is_leaf=rotated))):
        raise ValueError(
            "quantized_state: optimizer must not be soap, for the rounding of its first moment lies in directions in which its "
            "second moment is 0; use adam, or muon."
        )


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


def _widened(state: QuantizedStateState, *, numbers_alone: bool = False) -> Any:
    """The optimizer's own state; with `numbers_alone` leaves that have axes stay as they are."""
    if state.largest and state.key is None:
        raise ValueError(
            "quantized_state: opt_state must have a key, got one from before 8-bit states rounded at random, whose codes have "
            "another map; begin with optimizer.init(params)."
        )
    scales = {name: _held(value) for name, value in state.largest.items()}
    leaves = leaves_by_path(state.inner_state)
    chosen = {path for path, x in leaves.items() if keystr(path) in scales and not (numbers_alone and np.ndim(x))}
    wide = [dequantize(x, scales[keystr(path)]) if path in chosen else x for path, x in leaves.items()]
    return jax.tree.unflatten(jax.tree.structure(state.inner_state, is_leaf=is_none), wide)


def _narrowed(wide: Any, like: QuantizedStateState, unless: Any = None) -> QuantizedStateState:
    """`wide` in 8 bits where `like` is; leaves that are those of `unless` keep the codes of `like`."""
    if not like.largest:
        return QuantizedStateState(wide, like.largest, like.key)
    before, kept = leaves_by_path(like.inner_state), leaves_by_path(unless)
    codes, largest, key = [], dict(like.largest), _held(like.key)
    for path, b in leaves_by_path(wide).items():
        name, narrow = keystr(path), b
        if name in largest:
            narrow, scales = before[path], _held(largest[name])
            if b is not kept.get(path):
                draw = mixed(mixed(key) + jnp.uint32(len(codes)))
                narrow, new = quantize(b, narrow.dtype == jnp.int8, scales.shape, draw)
                largest[name] = new.astype(scales.dtype)
        codes.append(narrow)
    return QuantizedStateState(jax.tree.unflatten(jax.tree.structure(wide, is_leaf=is_none), codes), largest, key + 1)


def _held(node: Any) -> jax.Array:
    """The array itself, also out of an NNX Variable."""
    (array,) = jax.tree.leaves(node)
    return array
