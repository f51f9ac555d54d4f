"""Cautious weight decay: decay only the entries that the step shrinks anyway."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import NonNegative, checked, is_zero, value_at
from momentum_jax.optimizers._arithmetic import sign_of_product
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import first_step, next_step
from momentum_jax.optimizers._transformation import Transformation, transformation


class CautiousWeightDecayState(NamedTuple):
    step: jax.Array

    def reset_momentum(self) -> "CautiousWeightDecayState":
        return self


@checked
def cautious_weight_decay(weight_decay: NonNegative) -> Transformation:
    """The link that adds weight_decay * params where that has the sign of the update.

        u' = u + lambda [u theta >= 0] theta          theta' = theta - eta u'

    u points uphill, so where u theta >= 0 the step -eta u leads towards 0 or leaves the entry. Equivalent form:
    `add_weight_decay` with a mask of its own for every entry and step; entries of complex leaves decay where
    Re(conj(u) theta) >= 0.

    Args:
      weight_decay: lambda >= 0; a number, a 0-d array or a schedule. Unless it is the plain number 0, `update` needs params.

    Raises:
      ValueError: weight_decay out of range; params not given to `update`.
      TypeError: weight_decay of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj, optax
        >>> optimizer = optax.chain(mj.scale_by_adam(), mj.cautious_weight_decay(0.1), mj.scale_by_learning_rate(0.1))
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.890 0.782 0.675 0.571

    Convention: a link around any learning-rate-free core, between it and the learning rate, which multiplies both:
    `optax.chain(scale_by_adam(), cautious_weight_decay(0.1), scale_by_learning_rate(eta))`. An entry whose u is 0 decays, as in
    the source; implementations that ask for u theta > 0 leave it.
    State: `step`, int32 scalar.
    Memory: none. Needs: params.
    Source: L. Chen et al. (2025), Cautious Weight Decay, arXiv:2510.12402.

    See also: `add_weight_decay`, without the condition; `cautious`.
    """

    def init(params: optax.Params) -> CautiousWeightDecayState:
        del params
        return CautiousWeightDecayState(first_step())

    def now(state: CautiousWeightDecayState) -> dict[str, Any]:
        return {"weight_decay": value_at(weight_decay, state.step)}

    def leaf(u: jax.Array, p: jax.Array, decay: Any) -> tuple[jax.Array]:
        return (u + jnp.where(sign_of_product(u, p) >= 0, decay * p, 0),)

    def update(
        who: str, updates: optax.Updates, state: CautiousWeightDecayState, params: Any
    ) -> tuple[optax.Updates, CautiousWeightDecayState]:
        new_state = CautiousWeightDecayState(next_step(state.step))
        if is_zero(weight_decay):
            return updates, new_state
        if params is None:
            raise ValueError(f"{who}: weight_decay needs the parameters: call update(gradients, state, params).")
        (updates,) = each(who, leaf, updates, {}, params=params, decay=now(state)["weight_decay"])
        return updates, new_state

    return transformation("cautious_weight_decay", init, update, hyperparameters=now)
