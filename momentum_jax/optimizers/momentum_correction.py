"""Momentum correction: a learning rate inside the velocity, which the velocity follows when the rate changes."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import LearningRate, checked, value_at
from momentum_jax._trees import is_inexact, leaves_by_path, parameter_at
from momentum_jax._wrappers import Reading
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._precision import scalar_dtype
from momentum_jax.optimizers._state import first_step, next_step, second_moment
from momentum_jax.optimizers._transformation import Transformation, as_link, transformation
from momentum_jax.optimizers.averaged import refuse_averaged
from momentum_jax.optimizers.quantized_state import QuantizedStateState
from momentum_jax.protocol import reset_momentum


class MomentumCorrectionState(NamedTuple):
    step: jax.Array
    last_rate: jax.Array
    inner_state: Any

    def reset_momentum(self) -> "MomentumCorrectionState":
        return self._replace(inner_state=reset_momentum(self.inner_state))


@checked
def momentum_correction(core: optax.GradientTransformation, learning_rate: LearningRate) -> Transformation:
    """A linear core with the learning rate inside, its buffers rescaled whenever the rate changes.

        v' = mu (eta_t / eta_{t-1}) v - eta_t g          x' = x + v'

    Equivalent form: the learning rate outside, as in PyTorch (b' = mu b + g, x' = x - eta b', v = -eta b), exactly and under
    any schedule; so every step is a step of `sgd`, while the state holds true steps. It is the same for any linear core: its
    buffers, which are sums of what it was fed, are rescaled by eta_t / eta_{t-1} before the core sees -eta_t g.

    Args:
      core: a linear transformation without a learning rate.
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.

    Raises:
      ValueError: learning_rate out of range; in `init`, a core with a second moment, a quantised state or an average;
        whatever the core raises.
      TypeError: `core` is no gradient transformation; learning_rate of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.momentum_correction(mj.scale_by_heavy_ball(0.9), lambda step: 0.1 / (1 + step))
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.810 0.729 0.656

    Convention: `core` is learning-rate-free and linear, as `scale_by_heavy_ball`, `scale_by_nesterov`, `optax.trace`; the rate
    is given here. Cores with second moments are not linear, and are refused by the usual names of those; what has its rate
    outside (`sgd`) needs no correction; `quantized_state` goes around both, not around the core. While the rate is 0 nothing
    moves, and the buffers go on in the units of the last rate that was not (of 1 before the first).
    State: `step`, int32 scalar; `last_rate`, the rate that the buffers are in units of, float32 scalar (float64 when a leaf is
    64 bits wide); `inner_state`.
    Memory: that of its core, and a number.
    Source: P. Goyal et al. (2017), Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour, arXiv:1706.02677, section 3.

    See also: `heavy_ball`, which needs none; `sgd`.
    """
    inner = as_link("momentum_correction", "core", core)

    def init(params: optax.Params) -> MomentumCorrectionState:
        rate = jnp.array(value_at(learning_rate, first_step()), scalar_dtype(params))
        state = inner.init(params)
        _refuse_what_is_not_linear(state, params)
        refuse_averaged("momentum_correction", "core", state)
        return MomentumCorrectionState(first_step(), jnp.where(rate == 0, 1, rate), state)

    def now(state: MomentumCorrectionState) -> dict[str, Any]:
        return {"learning_rate": value_at(learning_rate, state.step)}

    def inside(state: MomentumCorrectionState) -> Reading:
        return inner.reading(state.inner_state)

    def update(
        who: str, updates: optax.Updates, state: MomentumCorrectionState, params: Any, **extra_args: Any
    ) -> tuple[optax.Updates, MomentumCorrectionState]:
        rate = jnp.array(now(state)["learning_rate"], state.last_rate.dtype)
        unit = jnp.where(rate == 0, state.last_rate, rate)
        # A plain number too may be another than the last: only the state knows. At the same rate this is 1 exactly.
        change = unit / state.last_rate
        before = optax.tree.map_params(
            inner.init,
            lambda b: (b * change).astype(b.dtype) if is_inexact(b) else b,
            state.inner_state,
            is_leaf=lambda x: x is None,
        )
        (updates,) = each(who, lambda u, unit: (-unit * u,), updates, {}, unit=unit)
        updates, after = inner.unrounded(who, updates, before, params, **extra_args)
        (updates,) = each(who, lambda u, moving: (u * moving,), updates, {}, moving=rate != 0)
        return updates, MomentumCorrectionState(next_step(state.step), unit, after)

    return transformation("momentum_correction", init, update, extra=None, hyperparameters=now, inside=inside)


def _refuse_what_is_not_linear(state: Any, params: optax.Params) -> None:
    parameters = leaves_by_path(params)
    for path in leaves_by_path(state):
        if squares := second_moment(path[: len(path) - len(parameter_at(path, parameters) or ())]):
            raise ValueError(
                f"momentum_correction: core must be linear in the gradients, as scale_by_heavy_ball is, got one that keeps a "
                f"second moment, {squares}."
            )
    if any(map(_is_quantised, jax.tree.leaves(state, is_leaf=_is_quantised))):
        raise ValueError(
            "momentum_correction: core must not be quantised, for codes cannot be rescaled: write "
            "quantized_state(momentum_correction(core, learning_rate))."
        )


def _is_quantised(x: Any) -> bool:
    return isinstance(x, QuantizedStateState)
