"""Aggregated momentum (AggMo): the mean of several velocities, each with a momentum of its own."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import Decays, DType, LearningRate, checked, value_at
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import first_step, next_step, velocity_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate


class AggregatedMomentumState(NamedTuple):
    step: jax.Array
    velocity: tuple[optax.Updates, ...]

    def reset_momentum(self) -> "AggregatedMomentumState":
        return jax.tree.map(jnp.zeros_like, self)


@checked
def scale_by_aggregated_momentum(momenta: Decays = (0.0, 0.9, 0.99), *, accumulator_dtype: DType = None) -> Transformation:
    """The learning-rate-free core: v_i' = beta_i v_i + u, returns the mean of the v_i'.

    Args:
      momenta: the beta_i in [0, 1), at least one: a tuple of numbers, 0-d arrays and schedules `step -> value`, or an array
        of shape (K,). K is structure; the values may be traced.
      accumulator_dtype: dtype of the velocities; None: that of the parameter.

    Raises:
      ValueError: no momenta, or one out of range; in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_aggregated_momentum"
    betas = tuple(momenta)

    def init(params: optax.Params) -> AggregatedMomentumState:
        return AggregatedMomentumState(first_step(), tuple(zeros(params, velocity_dtype(accumulator_dtype)) for _ in betas))

    def now(state: AggregatedMomentumState) -> dict[str, Any]:
        return {f"momenta[{i}]": value_at(beta, state.step) for i, beta in enumerate(betas)}

    def leaf(u: jax.Array, *velocities: jax.Array, **decays: Any) -> tuple[jax.Array, ...]:
        new = [beta * v + u for beta, v in zip(decays.values(), velocities, strict=True)]
        total = new[0]
        for v in new[1:]:
            total = total + v
        return total / len(new), *new

    def update(
        who: str, updates: optax.Updates, state: AggregatedMomentumState, params: Any
    ) -> tuple[optax.Updates, AggregatedMomentumState]:
        del params
        buffers = {f"velocity[{i}]": v for i, v in enumerate(state.velocity)}
        updates, *velocity = each(who, leaf, updates, buffers, **now(state))
        return updates, AggregatedMomentumState(next_step(state.step), tuple(velocity))

    return transformation(who, init, update, hyperparameters=now)


@checked
def aggregated_momentum(
    learning_rate: LearningRate, momenta: Decays = (0.0, 0.9, 0.99), *, accumulator_dtype: DType = None
) -> Transformation:
    """Aggregated momentum, the learning rate outside.

        v_i' = beta_i v_i + g          x' = x - (eta / K) sum_i v_i'          i = 1 .. K

    One beta is `sgd` with momentum, betas (0, b) are quasi-hyperbolic momentum with learning rate (eta / 2) (1 + 1 / (1 -
    b)) and nu = 1 / (2 - b).

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      momenta: the beta_i in [0, 1), at least one: a tuple of numbers, 0-d arrays and schedules, or an array of shape (K,). The
        paper takes 1 - 0.1^i, i = 0 .. K - 1.
      accumulator_dtype: dtype of the velocities; None: that of the parameter.

    Raises:
      ValueError: a hyperparameter out of range or no momenta; in `update`, a gradient that does not fit the state or the
        parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.aggregated_momentum(0.1)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.747 0.556 0.343

    Convention: eta is outside the velocities, as in the authors' code. The paper's general eta_t multiplies the sum
    likewise.
    State: `step`, int32 scalar; `velocity`, a tuple of K trees in the shapes of the parameters, in their dtypes or
    `accumulator_dtype`. Equal betas keep a velocity each, and so does a beta of 0, so that a sweep has one state.
    Memory: 3 buffers by default, one for each momentum.
    Stable on curvatures in (0, L] when 0 <= beta_i < 1 and 0 < eta L sum_i 1 / (1 + beta_i) < 2 K.
    Source: J. Lucas, S. Sun, R. Zemel and R. Grosse (2019), Aggregated momentum: stability through passive damping, ICLR,
    arXiv:1804.00325.

    See also: `quasi_hyperbolic_momentum`; `ademamix`; `state_space_momentum`, any such filter.
    """
    return chain(
        "aggregated_momentum",
        scale_by_aggregated_momentum(momenta, accumulator_dtype=accumulator_dtype),
        scale_by_learning_rate(learning_rate),
    )
