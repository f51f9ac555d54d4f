"""EMA-Nesterov: look ahead along an average of the steps that another optimizer makes."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import AverageDecay, Decay, DType, LearningRate, checked, value_at
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._precision import scalar_dtype
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate
from momentum_jax.protocol import shift_by_path


class EmaNesterovState(NamedTuple):
    step: jax.Array
    average: optax.Updates
    next_beta: jax.Array

    def evaluation_params(self, params: optax.Params) -> optax.Params:
        """theta = held point - beta_{t+1} m'."""
        return shift_by_path("ema_nesterov", params, self.average, lambda y, m, beta: y - beta * m, self.next_beta)

    def reset_momentum(self) -> "EmaNesterovState":
        return jax.tree.map(jnp.zeros_like, self)


@checked
def scale_by_ema_nesterov(beta: Decay, gamma: AverageDecay, *, accumulator_dtype: DType = None) -> Transformation:
    """The learning-rate-free core: m' = gamma m + (1 - gamma) (u + beta_t m), returns u + beta_{t+1} m'.

    Args:
      beta: how far to look ahead, in [0, 1); a number, a 0-d array or a schedule `step -> value`. The first update reads it
        at step 1 too.
      gamma: decay of the average in [0, 1), likewise.
      accumulator_dtype: dtype of the average; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_ema_nesterov"

    def init(params: optax.Params) -> EmaNesterovState:
        average = zeros(params, average_dtype(accumulator_dtype))
        # jnp.array copies: a donated state must not take the user's own hyperparameter with it.
        return EmaNesterovState(first_step(), average, jnp.array(value_at(beta, first_step()), scalar_dtype(params)))

    def now(state: EmaNesterovState) -> dict[str, Any]:
        return {"beta": state.next_beta, "gamma": value_at(gamma, state.step)}

    def leaf(u: jax.Array, m: jax.Array, gamma: Any, beta: Any, next_beta: Any) -> tuple[jax.Array, jax.Array]:
        m = gamma * m + (1 - gamma) * (u + beta * m)
        return u + next_beta * m, m

    def update(
        who: str, updates: optax.Updates, state: EmaNesterovState, params: Any
    ) -> tuple[optax.Updates, EmaNesterovState]:
        del params
        following = next_step(state.step)
        next_beta = value_at(beta, following)
        updates, average = each(who, leaf, updates, {"average": state.average}, **now(state), next_beta=next_beta)
        return updates, EmaNesterovState(following, average, jnp.array(next_beta, state.next_beta.dtype))

    return transformation(who, init, update, hyperparameters=now)


@checked
def ema_nesterov(
    learning_rate: LearningRate, beta: Decay, gamma: AverageDecay, *, accumulator_dtype: DType = None
) -> Transformation:
    """EMA-Nesterov around gradient descent.

        theta' = A(theta + beta_t m)          m' = gamma m + (1 - gamma) (theta' - theta)

    A is one step of any optimizer; it sees the gradient at the look-ahead point y = theta + beta_t m, which is what the
    user holds. With u the step that A makes from y, y' = y + u + beta_{t+1} m' and

        m' = gamma m + (1 - gamma) (u + beta_t m)

    gamma = 0 is `nesterov` with momentum beta; with gradient descent as A it is quasi-hyperbolic momentum with learning
    rate eta / (1 - beta), decay gamma + (1 - gamma) beta and nu = beta.

    The parameters that you hold are look-ahead points; evaluate and save `momentum_jax.evaluation_params(params,
    opt_state)`. Around another optimizer: `optax.chain(optimizer, scale_by_ema_nesterov(beta, gamma))`.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      beta: how far to look ahead, in [0, 1), likewise; the look-ahead of a step uses the next step's beta.
      gamma: decay of the average in [0, 1), likewise.
      accumulator_dtype: dtype of the average; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.ema_nesterov(0.1, 0.9, 0.4)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.761 0.598 0.425

    Convention: eta is inside the average. The core goes last in a chain, behind A with its learning rate. theta = y -
    beta_{t+1} m' is what `momentum_jax.evaluation_params` reads from the state; exact under schedules of all three.
    State: `step`, int32 scalar; `average`, the tree and shapes of the parameters, float32 for 16-bit leaves unless
    `accumulator_dtype` says otherwise; `next_beta`, beta of the next step, float32 scalar (float64 when a leaf is 64 bits
    wide).
    Memory: 1 buffer. Needs: evaluation_params, to read the iterate.
    Stable (with gradient descent as A) where its quasi-hyperbolic form is.
    Source: C.-Y. Yau, D. Li, A. Glentis, V. Boreiko, H.-T. Wai and M. Hong (2026), EMA-Nesterov: stabilizing Nesterov's
    lookahead for accelerated deep learning optimization, arXiv:2605.25395. There beta_t is 0 in a warm-up and at the end.

    See also: `nesterov`; `quasi_hyperbolic_momentum`; `ema_momentum`.
    """
    return chain(
        "ema_nesterov",
        scale_by_learning_rate(learning_rate),
        scale_by_ema_nesterov(beta, gamma, accumulator_dtype=accumulator_dtype),
    )
