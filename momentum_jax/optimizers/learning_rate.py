"""Multiply by minus the learning rate.

    u' = -eta u

As `optax.scale_by_learning_rate`, except that an update keeps the dtype of its parameter: Optax's promotes 16-bit
updates when the rate is a JAX scalar or a schedule.

Convention: before a momentum core the learning rate is inside the velocity, after it outside.
State: `step`, int32 scalar.
Memory: none.
"""

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

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.

    Raises:
      ValueError: learning_rate out of range.
      TypeError: learning_rate of the wrong type.
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
