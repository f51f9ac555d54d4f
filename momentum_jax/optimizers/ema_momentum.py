"""EMA momentum: step along an exponential moving average of the gradients."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import AverageDecay, Bool, DType, LearningRate, checked, value_at
from momentum_jax.optimizers._bias_correction import bias_correction, log_decay, no_decay
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate


class EmaMomentumState(NamedTuple):
    step: jax.Array
    average: optax.Updates
    log_product: jax.Array

    def reset_momentum(self) -> "EmaMomentumState":
        return jax.tree.map(jnp.zeros_like, self)


@checked
def scale_by_ema_momentum(
    momentum: AverageDecay = 0.9, *, debias: Bool = False, accumulator_dtype: DType = None
) -> Transformation:
    """The learning-rate-free core: m' = mu m + (1 - mu) u, returns m' or m' / (1 - prod mu_i).

    Args:
      momentum: mu in [0, 1); a number, a 0-d array or a schedule `step -> value`.
      debias: divide by 1 - prod(mu_i).
      accumulator_dtype: dtype of the average; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: momentum out of range; in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_ema_momentum"

    def init(params: optax.Params) -> EmaMomentumState:
        average = zeros(params, average_dtype(accumulator_dtype))
        return EmaMomentumState(first_step(), average, no_decay(momentum, params))

    def now(state: EmaMomentumState) -> dict[str, Any]:
        return {"momentum": value_at(momentum, state.step)}

    def leaf(u: jax.Array, m: jax.Array, mu: Any, weight: Any) -> tuple[jax.Array, jax.Array]:
        m = mu * m + (1 - mu) * u
        return (m / weight if debias else m), m

    def update(
        who: str, updates: optax.Updates, state: EmaMomentumState, params: Any
    ) -> tuple[optax.Updates, EmaMomentumState]:
        del params
        mu = now(state)["momentum"]
        log_product = state.log_product + log_decay(mu, state.log_product)
        weight = bias_correction(log_product)
        updates, average = each(who, leaf, updates, {"average": state.average}, mu=mu, weight=weight)
        return updates, EmaMomentumState(next_step(state.step), average, log_product)

    return transformation(who, init, update, hyperparameters=now)


@checked
def ema_momentum(
    learning_rate: LearningRate, momentum: AverageDecay = 0.9, *, debias: Bool = False, accumulator_dtype: DType = None
) -> Transformation:
    """Gradient descent along an exponential moving average of the gradients.

        m' = mu m + (1 - mu) g          x' = x - eta m'          with debias: x' = x - eta m' / (1 - prod mu_i)

    Equivalent form at constant mu: `heavy_ball` with learning rate eta (1 - mu). Under a schedule of mu they differ.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      momentum: mu in [0, 1), likewise.
      debias: divide the average by 1 - prod(mu_i).
      accumulator_dtype: dtype of the average; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.ema_momentum(0.1, 0.9)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.990 0.971 0.944 0.911

    Convention: eta is outside the average. The average starts at 0, so early steps are short; `debias` divides by 1 -
    prod(mu_i), which is right under schedules of mu (Optax's `ema` divides by 1 - mu_t^t, which is not) and is on by
    default in `optax.ema`.
    State: `step`, int32 scalar; `average`, the tree and shapes of the parameters, float32 for 16-bit leaves unless
    `accumulator_dtype` says otherwise; `log_product`, log prod(mu_i), float32 scalar (float64 when a leaf is 64 bits
    wide).
    Memory: 1 buffer.
    Stable on curvatures in (0, L] when 0 <= mu < 1 and 0 < eta < 2 (1 + mu) / ((1 - mu) L).
    Source: D. P. Kingma and J. Ba (2015), Adam, ICLR, arXiv:1412.6980 (first moment and its bias correction).

    See also: `heavy_ball`, a sum instead of an average; `sgd` with dampening; `averaged`, which averages parameters.
    """
    return chain(
        "ema_momentum",
        scale_by_ema_momentum(momentum, debias=debias, accumulator_dtype=accumulator_dtype),
        scale_by_learning_rate(learning_rate),
    )
