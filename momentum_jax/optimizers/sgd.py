"""SGD as PyTorch defines it: an accumulator of gradients, the learning rate outside."""

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
from momentum_jax.optimizers._precision import as_scalar, scalar_dtype
from momentum_jax.optimizers._state import first_step, next_step, velocity_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, link, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate
from momentum_jax.optimizers.weight_decay import add_weight_decay
from momentum_jax.protocol import shift_by_path


class SgdState(NamedTuple):
    step: jax.Array
    velocity: optax.Updates

    def reset_momentum(self) -> "SgdState":
        return jax.tree.map(jnp.zeros_like, self)


class NesterovSgdState(NamedTuple):
    """The held point is the iterate plus `ahead` times the velocity; `ahead` is None where the learning rate is not known."""

    step: jax.Array
    velocity: optax.Updates
    ahead: Any

    def evaluation_params(self, params: optax.Params) -> optax.Params:
        """x = held point - ahead b."""
        if self.ahead is None:
            raise ValueError(
                "evaluation_params: opt_state must say how far ahead the held point is, got that of a bare "
                "scale_by_sgd(nesterov=True), which knows no learning rate; take sgd(..., nesterov=True), or scale_by_nesterov "
                "behind the rate."
            )
        return shift_by_path("sgd", params, self.velocity, lambda y, b, ahead: y - ahead * b, self.ahead)

    def reset_momentum(self) -> "NesterovSgdState":
        return jax.tree.map(jnp.zeros_like, self)


@checked
def scale_by_sgd(
    momentum: Decay = 0.0, *, dampening: Decay = 0.0, nesterov: Bool = False, accumulator_dtype: DType = None
) -> Transformation:
    """The learning-rate-free core: b' = mu b + (1 - tau) u, undamped at the first step; returns b', or u + mu b'.

    Args:
      momentum: mu in [0, 1); a number, a 0-d array or a schedule `step -> value`.
      dampening: tau in [0, 1), likewise.
      nesterov: return u + mu b'. `evaluation_params` refuses such a state; `sgd` knows its iterate.
      accumulator_dtype: dtype of the buffer; None: that of the parameter.

    Raises:
      ValueError: a hyperparameter out of range; dampening or no momentum with nesterov; in `update`, a gradient that does
        not fit the state.
      TypeError: an argument of the wrong type.
    """
    refuse_contradictions("scale_by_sgd", momentum, dampening, nesterov)
    return _core(momentum, dampening, nesterov, accumulator_dtype, last=False)


def _core(momentum: Any, dampening: Any, nesterov: bool, accumulator_dtype: Any, *, last: bool) -> Transformation:
    """`last`: nothing that comes behind changes the look ahead, so that the state can say how far it goes."""
    undamped = is_zero(dampening)

    def put(step: jax.Array, velocity: Any, mu: Any, dtype: Any) -> SgdState | NesterovSgdState:
        # jnp.array copies: a donated state must not take the user's own hyperparameter with it.
        return (
            NesterovSgdState(step, velocity, jnp.array(mu, dtype) if last else None) if nesterov else SgdState(step, velocity)
        )

    def init(params: optax.Params) -> SgdState | NesterovSgdState:
        velocity = zeros(params, velocity_dtype(accumulator_dtype))
        return put(first_step(), velocity, value_at(momentum, first_step()), scalar_dtype(params))

    def now(state: Any) -> dict[str, Any]:
        return {"momentum": value_at(momentum, state.step), "dampening": value_at(dampening, state.step)}

    def leaf(u: jax.Array, b: jax.Array, mu: Any, gain: Any) -> tuple[jax.Array, jax.Array]:
        b = mu * b + (u if undamped else gain * u)
        return (u + mu * b if nesterov else b), b

    def update(who: str, updates: optax.Updates, state: Any, params: Any) -> tuple[optax.Updates, Any]:
        del params
        mu, tau = now(state).values()
        tau = as_scalar(tau, jnp.promote_types(jnp.result_type(tau), jnp.float32))
        gain = 1.0 if undamped else jnp.where((state.step == 0) | (mu == 0), 1.0, 1.0 - tau)
        updates, velocity = each(who, leaf, updates, {"velocity": state.velocity}, mu=mu, gain=gain)
        return updates, put(next_step(state.step), velocity, mu, state.ahead.dtype if nesterov and last else None)

    return transformation("scale_by_sgd", init, update, hyperparameters=now)


def momentum_and_rate(
    who: str,
    before: tuple[Transformation, ...],
    learning_rate: Any,
    momentum: Any,
    *,
    dampening: Any = 0.0,
    nesterov: bool,
    rate_inside: bool = False,
    accumulator_dtype: Any = None,
) -> Transformation:
    """The chain of `before`, `scale_by_sgd` and the learning rate, whose state tells the iterate with Nesterov.

    `rate_inside`: the rate comes before the momentum.
    """
    core = _core(momentum, dampening, nesterov, accumulator_dtype, last=True)
    rate = scale_by_learning_rate(learning_rate)
    if rate_inside:
        return chain(who, *before, rate, core)
    if not nesterov:
        return chain(who, *before, core, rate)
    whole, scaled = link(chain(who, *before, core, rate)), link(rate)

    def rescaled(state: tuple[Any, ...], rate_before: Any) -> tuple[Any, ...]:
        # The look ahead is part of the update, so the rate multiplies both.
        *others, memory, rate_after = state
        ahead, _ = scaled.unrounded(who, memory.ahead, rate_before, None)
        return *others, memory._replace(ahead=ahead), rate_after

    def init(params: optax.Params) -> tuple[Any, ...]:
        state: Any = whole.init(params)
        return rescaled(state, state[-1])

    def unrounded(who: str, updates: Any, state: tuple[Any, ...], params: Any, **extra_args: Any) -> tuple[Any, Any]:
        updates, after = whole.unrounded(who, updates, state, params, **extra_args)
        return updates, rescaled(after, state[-1])

    return transformation(who, init, unrounded, extra=None, inside=whole.reading)


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

        b' = g (first step), mu b + (1 - tau) g (later)          x' = x - eta b'
        with Nesterov                                           x' = x - eta (g + mu b')

    Equivalent form at constant eta: heavy ball with learning rate eta (1 - tau), but for the undamped first gradient; at
    tau = mu an exponential moving average that starts at the first gradient.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      momentum: mu in [0, 1), likewise. Any number keeps a buffer, 0 included, so that a sweep has one state; None keeps none.
      dampening: tau in [0, 1), likewise; not with nesterov.
      nesterov: step along g + mu b'; needs momentum. What you hold is then a look-ahead point; evaluate and save
        `momentum_jax.evaluation_params(params, opt_state)`, when nothing behind `sgd` changes
        the update.
      weight_decay: lambda >= 0, likewise, added to the gradient as lambda * params; `update` then needs params.
      accumulator_dtype: dtype of the buffer; None: that of the parameter.

    Raises:
      ValueError: a hyperparameter out of range or contradictory options; in `update`, a gradient that does not fit the state
        or the parameters, or weight decay without params.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.sgd(0.1, 0.9)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.720 0.486 0.227

    Convention: eta is outside the buffer, as in PyTorch and `optax.sgd`; `heavy_ball` keeps it inside. Weight decay is
    coupled (added to the gradient). Nesterov uses mu_t in both places, as PyTorch does, which is exact only at constant
    mu; `nesterov` is exact always. Dampening has no effect where mu is 0, as in PyTorch. With Nesterov the user holds the
    look-ahead point y' = x' - eta_t mu_t b'; x' = y - eta_t g(y), which was stepped to before the look ahead, is what
    `momentum_jax.evaluation_params` reads from the state, under schedules too. It refuses the state of a bare
    `scale_by_sgd(nesterov=True)`, which does not know what rate its look ahead is multiplied by.
    State: `step`, int32 scalar; `velocity` (the buffer b), the tree and shapes of the parameters, in their dtypes or
    `accumulator_dtype`; with Nesterov `ahead`, -eta_t mu_t of the last step, float32 scalar (float64 when a leaf is 64 bits
    wide), None in a bare core.
    Memory: 1 buffer, none with momentum=None. Needs: params for weight decay; evaluation_params with Nesterov.
    Stable on curvatures in (0, L] when 0 <= mu < 1 and 0 < eta (1 - tau) < 2 (1 + mu) / L.
    Source: `torch.optim.SGD`; I. Sutskever, J. Martens, G. Dahl and G. Hinton (2013), ICML.

    See also: `heavy_ball`, the learning rate inside; `ema_momentum`, dampening = momentum; `conventions.from_torch`.
    """
    who = "sgd"
    refuse_contradictions(who, momentum, dampening, nesterov)
    decay = add_weight_decay(weight_decay)
    if momentum is None:
        return chain(who, decay, scale_by_learning_rate(learning_rate))
    return momentum_and_rate(
        who,
        (decay,),
        learning_rate,
        momentum,
        dampening=dampening,
        nesterov=nesterov,
        accumulator_dtype=accumulator_dtype,
    )


def refuse_contradictions(who: str, momentum: Any, dampening: Any, nesterov: bool) -> None:
    """Raise ValueError for Nesterov without momentum or with dampening."""
    if nesterov and (momentum is None or is_zero(momentum)):
        raise ValueError(f"{who}: nesterov=True needs momentum above 0, got momentum={momentum}.")
    # An array may hold 0 (`optax.inject_hyperparams` turns the default into one), a schedule is meant.
    if nesterov and not is_zero(dampening) and not isinstance(dampening, jax.Array):
        raise ValueError(f"{who}: nesterov=True needs dampening 0, got dampening={dampening}.")
