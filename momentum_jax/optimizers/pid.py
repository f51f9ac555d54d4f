"""PID: the gradient, its accumulation and its smoothed change, weighed as in a PID controller."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import AverageDecay, DType, LearningRate, NonNegative, checked, value_at
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._precision import at_least_float32
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, velocity_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate


class PidState(NamedTuple):
    step: jax.Array
    velocity: optax.Updates
    change: optax.Updates
    previous_gradient: optax.Updates

    def reset_momentum(self) -> "PidState":
        return jax.tree.map(jnp.zeros_like, self)


@checked
def scale_by_pid(
    momentum: AverageDecay = 0.9,
    integral: NonNegative = 5.0,
    derivative: NonNegative = 10.0,
    *,
    accumulator_dtype: DType = None,
) -> Transformation:
    """The learning-rate-free core: returns u + k_i I' + k_d D'.

    Args:
      momentum: mu in [0, 1); a number, a 0-d array or a schedule `step -> value`.
      integral: k_i >= 0, likewise.
      derivative: k_d >= 0, likewise.
      accumulator_dtype: dtype of the buffers; None: that of the parameter, float32 for 16-bit leaves except I.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_pid"

    def init(params: optax.Params) -> PidState:
        average = average_dtype(accumulator_dtype)
        return PidState(
            step=first_step(),
            velocity=zeros(params, velocity_dtype(accumulator_dtype)),
            change=zeros(params, average),
            previous_gradient=zeros(params, average),
        )

    def now(state: PidState) -> dict[str, Any]:
        given = {"momentum": momentum, "integral": integral, "derivative": derivative}
        return {name: value_at(h, state.step) for name, h in given.items()}

    def leaf(u: jax.Array, v: jax.Array, d: jax.Array, before: jax.Array, **h: Any) -> tuple[jax.Array, ...]:
        v = h["mu"] * v + u
        d = h["mu"] * d + h["gain"] * (u - before)
        return u + h["k_i"] * v + h["k_d"] * d, v, d, u

    def update(who: str, updates: optax.Updates, state: PidState, params: Any) -> tuple[optax.Updates, PidState]:
        del params
        h = now(state)
        mu = at_least_float32(h["momentum"])
        updates, velocity, change, previous = each(
            who,
            leaf,
            updates,
            {"velocity": state.velocity, "change": state.change, "previous_gradient": state.previous_gradient},
            mu=mu,
            gain=jnp.where(state.step == 0, 0.0, 1 - mu),
            k_i=h["integral"],
            k_d=h["derivative"],
        )
        return updates, PidState(next_step(state.step), velocity, change, previous)

    return transformation(who, init, update, hyperparameters=now)


@checked
def pid(
    learning_rate: LearningRate,
    momentum: AverageDecay = 0.9,
    integral: NonNegative = 5.0,
    derivative: NonNegative = 10.0,
    *,
    accumulator_dtype: DType = None,
) -> Transformation:
    """The PID optimizer, the learning rate outside.

        I' = mu I + g          D' = mu D + (1 - mu) (g - g_prev)          x' = x - eta (g + k_i I' + k_d D')

    The first gradient counts as its own predecessor, so D starts at 0. Equivalent form, with 0 in front of the first
    gradient: quasi-hyperbolic momentum with learning rate eta (1 + k_i / (1 - mu)), beta = mu, nu = 1 - [1 + k_d (1 - mu)
    / mu] / [1 + k_i / (1 - mu)].

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      momentum: mu in [0, 1), likewise.
      integral: k_i >= 0, likewise.
      derivative: k_d >= 0, likewise.
      accumulator_dtype: dtype of the buffers; None: that of the parameter, float32 for 16-bit leaves except I.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.pid(0.1)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.400 -0.230 -0.560 -0.509

    Convention: eta is outside, as in the authors' code. That code computes D_2 without having stored the first gradient,
    so it counts g_2 itself as a change (D_2 = (1 - mu) g_2); here it is (1 - mu) (g_2 - g_1), as the equation says.
    State: `step`, int32 scalar; `velocity` (I), the tree and shapes of the parameters, in their dtypes or
    `accumulator_dtype`; `change` (D) and `previous_gradient`, likewise, but float32 for 16-bit leaves.
    Memory: 3 buffers.
    Stable where its quasi-hyperbolic form is.
    Source: W. An, H. Wang, Q. Sun, J. Xu, Q. Dai and L. Zhang (2018), A PID controller approach for stochastic
    optimization of deep networks, CVPR.

    See also: `heavy_ball`, the integral alone; `grokfast`; `quasi_hyperbolic_momentum`.
    """
    return chain(
        "pid",
        scale_by_pid(momentum, integral, derivative, accumulator_dtype=accumulator_dtype),
        scale_by_learning_rate(learning_rate),
    )
