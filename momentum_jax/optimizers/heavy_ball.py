"""Heavy ball: gradient descent that remembers its last step."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import Decay, DType, LearningRate, checked, value_at
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import first_step, next_step, velocity_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate


class HeavyBallState(NamedTuple):
    step: jax.Array
    velocity: optax.Updates

    def reset_momentum(self) -> "HeavyBallState":
        return jax.tree.map(jnp.zeros_like, self)


@checked
def scale_by_heavy_ball(momentum: Decay = 0.9, *, accumulator_dtype: DType = None) -> Transformation:
    """The learning-rate-free core: v' = mu v + u, returns v'.

    Args:
      momentum: mu in [0, 1); a number, a 0-d array or a schedule `step -> value`.
      accumulator_dtype: dtype of the velocity; None: that of the parameter.

    Raises:
      ValueError: momentum out of range; in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_heavy_ball"

    def init(params: optax.Params) -> HeavyBallState:
        return HeavyBallState(first_step(), zeros(params, velocity_dtype(accumulator_dtype)))

    def now(state: HeavyBallState) -> dict[str, Any]:
        return {"momentum": value_at(momentum, state.step)}

    def leaf(u: jax.Array, v: jax.Array, mu: Any) -> tuple[jax.Array, jax.Array]:
        v = mu * v + u
        return v, v

    def update(who: str, updates: optax.Updates, state: HeavyBallState, params: Any) -> tuple[optax.Updates, HeavyBallState]:
        del params
        mu = now(state)["momentum"]
        updates, velocity = each(who, leaf, updates, {"velocity": state.velocity}, mu=mu)
        return updates, HeavyBallState(next_step(state.step), velocity)

    return transformation(who, init, update, hyperparameters=now)


@checked
def heavy_ball(learning_rate: LearningRate, momentum: Decay = 0.9, *, accumulator_dtype: DType = None) -> Transformation:
    """Polyak's heavy ball, the learning rate inside the velocity.

        v' = mu v - eta g          x' = x + v'

    Because v' = x' - x this is Polyak's two-point form x' = x - eta g + mu (x - x_prev), with constant and scheduled eta
    alike.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      momentum: mu in [0, 1), likewise.
      accumulator_dtype: dtype of the velocity; None: that of the parameter.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.heavy_ball(0.1, 0.9)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.720 0.486 0.227

    Convention: eta is inside the velocity, as in Polyak (1964), Sutskever et al. (2013) and Keras. `sgd` here,
    `optax.sgd` and PyTorch keep it outside (b' = mu b + g, x' = x - eta b'). They agree while eta is constant and part
    company under a schedule.
    State: `step`, int32 scalar; `velocity`, the tree and shapes of the parameters, in their dtypes or
    `accumulator_dtype`.
    Memory: 1 buffer.
    Stable on curvatures in (0, L] when 0 <= mu < 1 and 0 < eta < 2 (1 + mu) / L; on curvatures in [m, L] the best pair is
    eta = 4 / (sqrt L + sqrt m)^2, mu = ((sqrt L - sqrt m) / (sqrt L + sqrt m))^2.
    Source: B. T. Polyak (1964), USSR Comput. Math. Math. Phys. 4(5), 1-17.

    See also: `sgd`, the learning rate outside; `ema_momentum`, an average; `nesterov`, with a look-ahead;
    `theory.tunings.heavy_ball`, the best pair.
    """
    return chain(
        "heavy_ball",
        scale_by_learning_rate(learning_rate),
        scale_by_heavy_ball(momentum, accumulator_dtype=accumulator_dtype),
    )
