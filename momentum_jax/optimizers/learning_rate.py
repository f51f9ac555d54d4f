"""Multiply by minus the learning rate."""

from typing import Any, NamedTuple

import jax
import optax

from momentum_jax._hyperparameters import LearningRate, checked, value_at
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import first_step, next_step
from momentum_jax.optimizers._transformation import Transformation, transformation


class ScaleByLearningRateState(NamedTuple):
    step: jax.Array

    def reset_momentum(self) -> "ScaleByLearningRateState":
        return self


@checked
def scale_by_learning_rate(learning_rate: LearningRate) -> Transformation:
    """The link that turns an ascent direction into a descent step.

        u' = -eta u

    As `optax.scale_by_learning_rate`, except that an update keeps the dtype of its parameter: Optax's promotes 16-bit
    updates when the rate is a JAX scalar or a schedule.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.

    Raises:
      ValueError: learning_rate out of range.
      TypeError: learning_rate of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj, optax
        >>> optimizer = optax.chain(mj.scale_by_learning_rate(0.1), mj.scale_by_heavy_ball(0.9))
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.720 0.486 0.227

    Convention: before a momentum core the learning rate is inside the velocity, after it outside.
    State: `step`, int32 scalar.
    Memory: none.

    See also: `optax.scale_by_learning_rate`, whose 16-bit updates a JAX scalar promotes.
    """
    who = "scale_by_learning_rate"

    def init(params: optax.Params) -> ScaleByLearningRateState:
        del params
        return ScaleByLearningRateState(first_step())

    def now(state: ScaleByLearningRateState) -> dict[str, Any]:
        return {"learning_rate": value_at(learning_rate, state.step)}

    def update(
        who: str, updates: optax.Updates, state: ScaleByLearningRateState, params: Any
    ) -> tuple[optax.Updates, ScaleByLearningRateState]:
        del params
        eta = now(state)["learning_rate"]
        (updates,) = each(who, lambda u, eta: (-eta * u,), updates, {}, eta=eta)
        return updates, ScaleByLearningRateState(next_step(state.step))

    return transformation(who, init, update, hyperparameters=now)
