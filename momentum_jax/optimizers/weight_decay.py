"""Add a multiple of the parameters to the update.

    u' = u + lambda theta

Convention: before the core this is coupled decay (L2 regularisation, `sgd`), after it decoupled decay (`adamw`),
which the learning rate then multiplies, as in PyTorch and Optax.
State: `step`, int32 scalar.
Memory: none. Needs: params.
Source: I. Loshchilov and F. Hutter (2019), Decoupled Weight Decay Regularization, ICLR, arXiv:1711.05101.
"""

from typing import Any, NamedTuple

import jax
import optax

from momentum_jax._hyperparameters import NonNegative, checked, is_zero, value_at
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import first_step, next_step
from momentum_jax.optimizers._transformation import Transformation, transformation


class AddWeightDecayState(NamedTuple):
    step: jax.Array

    def reset_momentum(self) -> "AddWeightDecayState":
        return self


@checked
def add_weight_decay(weight_decay: NonNegative) -> Transformation:
    """The link that adds weight_decay * params.

    Args:
      weight_decay: lambda >= 0; a number, a 0-d array or a schedule. Unless it is the plain number 0, `update`
        needs params.

    Raises:
      ValueError: weight_decay out of range; params not given to `update`.
      TypeError: weight_decay of the wrong type.
    """

    def init(params: optax.Params) -> AddWeightDecayState:
        del params
        return AddWeightDecayState(first_step())

    def now(state: AddWeightDecayState) -> dict[str, Any]:
        return {"weight_decay": value_at(weight_decay, state.step)}

    def update(
        who: str, updates: optax.Updates, state: AddWeightDecayState, params: Any
    ) -> tuple[optax.Updates, AddWeightDecayState]:
        new_state = AddWeightDecayState(next_step(state.step))
        if is_zero(weight_decay):
            return updates, new_state
        if params is None:
            raise ValueError(f"{who}: weight_decay needs the parameters: call update(gradients, state, params).")
        decay = now(state)["weight_decay"]
        (updates,) = each(who, lambda u, p, decay: (u + decay * p,), updates, {}, params=params, decay=decay)
        return updates, new_state

    return transformation("add_weight_decay", init, update, hyperparameters=now)
