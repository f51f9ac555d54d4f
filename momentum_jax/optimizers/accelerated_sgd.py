"""Accelerated SGD (AccSGD): a short step, and a running average of long ones that pulls it along."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import DType, LearningRate, NonNegative, OneOrMore, PositiveShare, checked, value_at
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._precision import at_least_float32
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate


class AcceleratedSgdState(NamedTuple):
    step: jax.Array
    offset: optax.Updates

    def reset_momentum(self) -> "AcceleratedSgdState":
        return jax.tree.map(jnp.zeros_like, self)


@checked
def scale_by_accelerated_sgd(
    kappa: OneOrMore = 1000.0, xi: NonNegative = 10.0, small_const: PositiveShare = 0.7, *, accumulator_dtype: DType = None
) -> Transformation:
    """The learning-rate-free core, the equations above in u; put it behind the learning rate.

    Args:
      kappa: ratio of the long step to the short one, at least 1; a number, a 0-d array or a schedule `step -> value`.
      xi: advantage, at least 0, likewise; the paper has it in [1, sqrt(kappa)].
      small_const: c in (0, 1], likewise; the long step is eta kappa / c.
      accumulator_dtype: dtype of the offset; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_accelerated_sgd"

    def init(params: optax.Params) -> AcceleratedSgdState:
        return AcceleratedSgdState(first_step(), zeros(params, average_dtype(accumulator_dtype)))

    def now(state: AcceleratedSgdState) -> dict[str, Any]:
        given = {"kappa": kappa, "xi": xi, "small_const": small_const}
        return {name: value_at(h, state.step) for name, h in given.items()}

    def leaf(u: jax.Array, s: jax.Array, keep: Any, advantage: Any, zeta: Any) -> tuple[jax.Array, jax.Array]:
        position = keep * s + advantage * u  # b' - x
        return zeta * u + (1 - zeta) * position, zeta * (position - u)

    def update(
        who: str, updates: optax.Updates, state: AcceleratedSgdState, params: Any
    ) -> tuple[optax.Updates, AcceleratedSgdState]:
        del params
        k, x, c = map(at_least_float32, now(state).values())
        keep, advantage, zeta = 1 - c * c * x / k, c * x, k / (k + c * x)
        updates, offset = each(who, leaf, updates, {"offset": state.offset}, keep=keep, advantage=advantage, zeta=zeta)
        return updates, AcceleratedSgdState(next_step(state.step), offset)

    return transformation(who, init, update, hyperparameters=now)


@checked
def accelerated_sgd(
    learning_rate: LearningRate,
    kappa: OneOrMore = 1000.0,
    xi: NonNegative = 10.0,
    small_const: PositiveShare = 0.7,
    *,
    accumulator_dtype: DType = None,
) -> Transformation:
    """Accelerated SGD, the learning rate inside.

        b' = (1 - a) b + a (x - (eta kappa / c) g)          x' = zeta (x - eta g) + (1 - zeta) b'
        a = c^2 xi / kappa,  zeta = c / (c + a)             b_0 = x_0

    With s = b - x, which is what is stored, and u = -eta g:

        s' = zeta [(1 - a) s - (1 - c xi) u]                x' = x + (1 - zeta) (1 - a) s + [zeta + (1 - zeta) c xi] u

    Equivalent form at constant hyperparameters: quasi-hyperbolic momentum with learning rate eta c (1 + xi) / (1 + c),
    beta = (kappa - c^2 xi) / (kappa + c xi), nu = (c xi - 1) / (c (1 + xi)).

    Args:
      learning_rate: eta >= 0, the short step; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      kappa: ratio of the long step to the short one, at least 1, likewise.
      xi: advantage, at least 0, likewise; the paper has it in [1, sqrt(kappa)].
      small_const: c in (0, 1], likewise; the long step is eta kappa / c.
      accumulator_dtype: dtype of the offset; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.accelerated_sgd(0.1, kappa=100.0, xi=5.0)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.892 0.787 0.687 0.592

    Convention: eta is inside, as in the authors' code: b is a position. The core therefore goes behind the learning rate.
    State: `step`, int32 scalar; `offset`, b - x, the tree and shapes of the parameters, float32 for 16-bit leaves unless
    `accumulator_dtype` says otherwise.
    Memory: 1 buffer.
    Stable where its quasi-hyperbolic form is.
    Source: R. Kidambi, P. Netrapalli, P. Jain and S. Kakade (2018), On the insufficiency of existing momentum schemes for
    stochastic optimization, ICLR, arXiv:1803.05591.

    See also: `quasi_hyperbolic_momentum`, the same family in other numbers; `nesterov`.
    """
    return chain(
        "accelerated_sgd",
        scale_by_learning_rate(learning_rate),
        scale_by_accelerated_sgd(kappa, xi, small_const, accumulator_dtype=accumulator_dtype),
    )
