"""SGD as PyTorch defines it: an accumulator of gradients, the learning rate outside.

    b' = g (first step), mu b + (1 - tau) g (later)          x' = x - eta b'
    with Nesterov                                           x' = x - eta (g + mu b')

Equivalent form at constant eta: heavy ball with learning rate eta (1 - tau), but for the undamped first gradient; at
tau = mu an exponential moving average that starts at the first gradient.

Convention: eta is outside the buffer, as in PyTorch and `optax.sgd`; `heavy_ball` keeps it inside. Weight decay is
coupled (added to the gradient). Nesterov uses mu_t in both places, as PyTorch does, which is exact only at constant
mu; `nesterov` is exact always. Dampening has no effect where mu is 0, as in PyTorch.
State: `step`, int32 scalar; `velocity` (the buffer b), the tree and shapes of the parameters, in their dtypes or
`accumulator_dtype`.
Memory: 1 buffer, none with momentum=None. Needs: params for weight decay.
Stable on curvatures in (0, L] when 0 <= mu < 1 and 0 < eta (1 - tau) < 2 (1 + mu) / L.
Source: `torch.optim.SGD`; I. Sutskever, J. Martens, G. Dahl and G. Hinton (2013), ICML.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import (
    Bool,
    Decay,
    DType,
    LearningRate,
    NonNegative,
    OptionalDecay,
    checked,
    is_zero,
    value_at,
)
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._precision import as_scalar
from momentum_jax.optimizers._state import first_step, next_step, velocity_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate
from momentum_jax.optimizers.weight_decay import add_weight_decay


class SgdState(NamedTuple):
    step: jax.Array
    velocity: optax.Updates

    def reset_momentum(self) -> "SgdState":
        return jax.tree.map(jnp.zeros_like, self)


@checked
def scale_by_sgd(
    momentum: Decay = 0.0, *, dampening: Decay = 0.0, nesterov: Bool = False, accumulator_dtype: DType = None
) -> Transformation:
    """The learning-rate-free core: b' = mu b + (1 - tau) u, undamped at the first step; returns b', or u + mu b'.

    Args:
      momentum: mu in [0, 1); a number, a 0-d array or a schedule `step -> value`.
      dampening: tau in [0, 1), likewise.
      nesterov: return u + mu b'.
      accumulator_dtype: dtype of the buffer; None: that of the parameter.

    Raises:
      ValueError: a hyperparameter out of range; dampening or no momentum with nesterov; in `update`, a gradient that does
        not fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_sgd"
    refuse_contradictions(who, momentum, dampening, nesterov)
    undamped = is_zero(dampening)

    def init(params: optax.Params) -> SgdState:
        return SgdState(first_step(), zeros(params, velocity_dtype(accumulator_dtype)))

    def leaf(u: jax.Array, b: jax.Array, mu: Any, gain: Any) -> tuple[jax.Array, jax.Array]:
        b = mu * b + (u if undamped else gain * u)
        return (u + mu * b if nesterov else b), b

    def update(who: str, updates: optax.Updates, state: SgdState, params: Any) -> tuple[optax.Updates, SgdState]:
        del params
        mu, tau = value_at(momentum, state.step), value_at(dampening, state.step)
        tau = as_scalar(tau, jnp.promote_types(jnp.result_type(tau), jnp.float32))
        gain = 1.0 if undamped else jnp.where((state.step == 0) | (mu == 0), 1.0, 1.0 - tau)
        updates, velocity = each(who, leaf, updates, {"velocity": state.velocity}, mu=mu, gain=gain)
        return updates, SgdState(next_step(state.step), velocity)

    return transformation(who, init, update)


@checked
def sgd(
    learning_rate: LearningRate,
    momentum: OptionalDecay = 0.0,
    *,
    dampening: Decay = 0.0,
    nesterov: Bool = False,
    weight_decay: NonNegative = 0.0,
    accumulator_dtype: DType = None,
) -> Transformation:
    """Stochastic gradient descent with PyTorch's semantics.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      momentum: mu in [0, 1), likewise. Any number keeps a buffer, 0 included, so that a sweep has one state; None keeps none.
      dampening: tau in [0, 1), likewise; not with nesterov.
      nesterov: step along g + mu b'; needs momentum.
      weight_decay: lambda >= 0, likewise, added to the gradient as lambda * params; `update` then needs params.
      accumulator_dtype: dtype of the buffer; None: that of the parameter.

    Raises:
      ValueError: a hyperparameter out of range or contradictory options; in `update`, a gradient that does not fit the state
        or the parameters, or weight decay without params.
      TypeError: an argument of the wrong type.
    """
    who = "sgd"
    refuse_contradictions(who, momentum, dampening, nesterov)
    decay, rate = add_weight_decay(weight_decay), scale_by_learning_rate(learning_rate)
    if momentum is None:
        return chain(who, decay, rate)
    core = scale_by_sgd(momentum, dampening=dampening, nesterov=nesterov, accumulator_dtype=accumulator_dtype)
    return chain(who, decay, core, rate)


def refuse_contradictions(who: str, momentum: Any, dampening: Any, nesterov: bool) -> None:
    """Raise ValueError for Nesterov without momentum or with dampening."""
    if nesterov and (momentum is None or is_zero(momentum)):
        raise ValueError(f"{who}: nesterov=True needs momentum above 0, got momentum={momentum}.")
    # An array may hold 0 (`optax.inject_hyperparams` turns the default into one), a schedule is meant.
    if nesterov and not is_zero(dampening) and not isinstance(dampening, jax.Array):
        raise ValueError(f"{who}: nesterov=True needs dampening 0, got dampening={dampening}.")
