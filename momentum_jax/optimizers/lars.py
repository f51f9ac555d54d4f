"""LARS: momentum whose learning rate every layer scales by the ratio of its parameters to its gradient."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import Decay, DType, LearningRate, NonNegative, checked, value_at
from momentum_jax._scaling import norm
from momentum_jax.optimizers._arithmetic import ratio
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import first_step, next_step, velocity_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, transformation


class LarsState(NamedTuple):
    step: jax.Array
    momentum_step: jax.Array
    velocity: optax.Updates

    def reset_momentum(self) -> "LarsState":
        return LarsState(self.step, *jax.tree.map(jnp.zeros_like, (self.momentum_step, self.velocity)))


@checked
def lars(
    learning_rate: LearningRate,
    momentum: Decay = 0.9,
    *,
    weight_decay: NonNegative = 0.0,
    trust_coefficient: NonNegative = 1e-3,
    eps: NonNegative = 1e-8,
    accumulator_dtype: DType = None,
) -> Transformation:
    """Layer-wise adaptive rate scaling.

        ratio = tau |x| / (|g| + lambda |x| + eps), 1 where |x| or |g| is 0
        v' = mu v + eta ratio (g + lambda x)          x' = x - v'

    |.| is the norm of one leaf. Equivalent form: `heavy_ball` with coupled decay and, at every step, a rate for each leaf.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      momentum: mu in [0, 1), likewise.
      weight_decay: lambda >= 0, likewise, coupled.
      trust_coefficient: tau >= 0, likewise.
      eps: at least 0, likewise.
      accumulator_dtype: dtype of the velocity; None: that of the parameter.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, no params, or a gradient that does not fit the state or the
        parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.lars(10.0, 0.9)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.990 0.971 0.944 0.911

    Convention: eta inside the velocity, as in the source; other implementations keep it outside, which is the same while it is
    constant. The denominator is |g| + lambda |x|, as in the source; `optax.lars` takes the norm |g + lambda x|. The source's
    ratio would never move a leaf of zeros; as others do, such a leaf gets the rate without a ratio. Biases and normalisations
    are often left out: `per_layer` does that.
    State: `step`, int32 scalar; `momentum_step`, int32 scalar, position in mu; `velocity`, the tree and shapes of the
    parameters, in their dtypes or `accumulator_dtype`.
    Memory: 1 buffer. Needs: params.
    Source: Y. You, I. Gitman and B. Ginsburg (2017), Large Batch Training of Convolutional Networks, arXiv:1708.03888.

    See also: `normalized_momentum`, one norm for the whole tree; `sgd`.
    """

    def init(params: optax.Params) -> LarsState:
        return LarsState(first_step(), first_step(), zeros(params, velocity_dtype(accumulator_dtype)))

    def now(state: LarsState) -> dict[str, Any]:
        return {
            "learning_rate": value_at(learning_rate, state.step),
            "momentum": value_at(momentum, state.momentum_step),
            "weight_decay": value_at(weight_decay, state.step),
            "trust_coefficient": value_at(trust_coefficient, state.step),
            "eps": value_at(eps, state.step),
        }

    def leaf(u: jax.Array, v: jax.Array, p: jax.Array, **h: Any) -> tuple[jax.Array, jax.Array]:
        of_u, of_p = norm(u), norm(p)
        trust = h["trust_coefficient"] * ratio(of_p, of_u + h["weight_decay"] * of_p + h["eps"], h["eps"])
        trust = jnp.where((of_u == 0) | (of_p == 0), 1, trust)
        v = h["momentum"] * v + h["learning_rate"] * trust * (u + h["weight_decay"] * p)
        return -v, v

    def update(who: str, updates: optax.Updates, state: LarsState, params: Any) -> tuple[optax.Updates, LarsState]:
        if params is None:
            raise ValueError(f"{who}: its ratios need the parameters: call update(gradients, state, params).")
        updates, velocity = each(
            who,
            leaf,
            updates,
            {"velocity": state.velocity},
            params=params,
            **now(state),
        )
        return updates, LarsState(next_step(state.step), next_step(state.momentum_step), velocity)

    return transformation("lars", init, update, hyperparameters=now)
