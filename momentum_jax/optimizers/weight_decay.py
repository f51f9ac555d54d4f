"""Add a multiple of the parameters to the update."""

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

        u' = u + lambda theta

    Args:
      weight_decay: lambda >= 0; a number, a 0-d array or a schedule. Unless it is the plain number 0, `update`
        needs params.

    Raises:
      ValueError: weight_decay out of range; params not given to `update`.
      TypeError: weight_decay of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj, optax
        >>> optimizer = optax.chain(mj.add_weight_decay(0.1), mj.heavy_ball(0.1, 0.9))
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.890 0.693 0.440 0.163

    Convention: before the core this is coupled decay (L2 regularisation, `sgd`), after it decoupled decay (`adamw`),
    which the learning rate then multiplies, as in PyTorch and Optax.
    State: `step`, int32 scalar.
    Memory: none. Needs: params.
    Source: I. Loshchilov and F. Hutter (2019), Decoupled Weight Decay Regularization, ICLR, arXiv:1711.05101.

    See also: `cautious_weight_decay`; `adamw`, where it is decoupled.
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
