"""Normalised momentum: every step has the length of the learning rate, along an average of the gradients."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import AverageDecay, DType, LearningRate, NonNegative, checked, value_at
from momentum_jax.optimizers._arithmetic import global_norm, ratio
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate


class NormalizedMomentumState(NamedTuple):
    step: jax.Array
    momentum_step: jax.Array
    first_moment: optax.Updates

    def reset_momentum(self) -> "NormalizedMomentumState":
        return NormalizedMomentumState(self.step, *jax.tree.map(jnp.zeros_like, (self.momentum_step, self.first_moment)))


@checked
def normalized_momentum(
    learning_rate: LearningRate,
    momentum: AverageDecay = 0.9,
    *,
    eps: NonNegative = 1e-8,
    accumulator_dtype: DType = None,
) -> Transformation:
    """Normalised SGD with momentum: x' = x - eta m' / (|m'| + eps), the norm over the whole tree.

        m' = beta m + (1 - beta) g, m' = g at the first step          x' = x - eta m' / (|m'| + eps)

    |m| is the Euclidean norm of the whole tree. Equivalent form: SGD whose momentum is divided by its norm, so the scale
    of the loss does not matter, and neither does a bias correction, but for the first gradient's weight.

    Args:
      learning_rate: eta >= 0, the length of a step; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      momentum: beta in [0, 1), likewise; the first step does without.
      eps: at least 0, likewise.
      accumulator_dtype: dtype of the average; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.normalized_momentum(0.1)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.800 0.700 0.600

    Convention: eta is outside the average; a step is no longer than eta. The official code differs: each tensor has a norm
    of its own and the step eta gamma |x| / |m'| of LARS, and the average starts at 0, which weighs the first gradient by
    1 - beta. `per_layer` gives every layer a norm of its own.
    State: `step`, int32 scalar; `momentum_step`, int32 scalar, position in the average; `first_moment`, the tree and shapes of
    the parameters, float32 for 16-bit leaves unless `accumulator_dtype` says otherwise.
    Memory: 1 buffer.
    Source: A. Cutkosky and H. Mehta (2020), Momentum Improves Normalized SGD, ICML, arXiv:2002.03305.

    See also: `nigt`; `lars`, one norm for each layer; `laprop`.
    """
    who = "normalized_momentum"

    def init(params: optax.Params) -> NormalizedMomentumState:
        return NormalizedMomentumState(first_step(), first_step(), zeros(params, average_dtype(accumulator_dtype)))

    def now(state: NormalizedMomentumState) -> dict[str, Any]:
        return {"momentum": value_at(momentum, state.momentum_step), "eps": value_at(eps, state.step)}

    def average(u: jax.Array, m: jax.Array, beta: Any) -> tuple[jax.Array, jax.Array]:
        m = beta * m + (1 - beta) * u
        return m, m

    def update(
        who: str, updates: optax.Updates, state: NormalizedMomentumState, params: Any
    ) -> tuple[optax.Updates, NormalizedMomentumState]:
        del params
        h = now(state)
        beta, small = jnp.where(state.momentum_step == 0, 0.0, h["momentum"]), h["eps"]
        updates, first_moment = each(who, average, updates, {"first_moment": state.first_moment}, beta=beta)
        scale = ratio(jnp.ones(()), global_norm(updates) + small, small)
        (updates,) = each(who, lambda m, scale: (scale * m,), updates, {}, scale=scale)
        return updates, NormalizedMomentumState(next_step(state.step), next_step(state.momentum_step), first_moment)

    return chain(who, transformation(who, init, update, hyperparameters=now), scale_by_learning_rate(learning_rate))
