"""Nesterov: heavy ball that takes its gradient where it is about to be."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import Decay, DType, LearningRate, checked, value_at
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._precision import scalar_dtype
from momentum_jax.optimizers._state import first_step, next_step, velocity_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate
from momentum_jax.protocol import shift_by_path


class NesterovState(NamedTuple):
    step: jax.Array
    velocity: optax.Updates
    next_momentum: jax.Array

    def evaluation_params(self, params: optax.Params) -> optax.Params:
        """theta = held point - mu_{t+1} v'."""
        return shift_by_path("nesterov", params, self.velocity, lambda y, v, mu: y - mu * v, self.next_momentum)

    def reset_momentum(self) -> "NesterovState":
        return jax.tree.map(jnp.zeros_like, self)


@checked
def scale_by_nesterov(momentum: Decay = 0.9, *, accumulator_dtype: DType = None) -> Transformation:
    """The learning-rate-free core: v' = mu_t v + u, returns u + mu_{t+1} v'.

    Args:
      momentum: mu in [0, 1); a number, a 0-d array or a schedule `step -> value`. The first update reads it at step 1 too.
      accumulator_dtype: dtype of the velocity; None: that of the parameter.

    Raises:
      ValueError: momentum out of range; in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_nesterov"

    def init(params: optax.Params) -> NesterovState:
        # jnp.array copies: a donated state must not take the user's own hyperparameter with it.
        velocity = zeros(params, velocity_dtype(accumulator_dtype))
        return NesterovState(first_step(), velocity, jnp.array(value_at(momentum, first_step()), scalar_dtype(params)))

    def now(state: NesterovState) -> dict[str, Any]:
        # mu_t is what put the held point where it is: exact also when momentum is changed from outside between two steps.
        return {"momentum": state.next_momentum}

    def leaf(u: jax.Array, v: jax.Array, mu: Any, next_mu: Any) -> tuple[jax.Array, jax.Array]:
        v = mu * v + u
        return u + next_mu * v, v

    def update(who: str, updates: optax.Updates, state: NesterovState, params: Any) -> tuple[optax.Updates, NesterovState]:
        del params
        following = next_step(state.step)
        mu, next_mu = now(state)["momentum"], value_at(momentum, following)
        updates, velocity = each(who, leaf, updates, {"velocity": state.velocity}, mu=mu, next_mu=next_mu)
        return updates, NesterovState(following, velocity, jnp.array(next_mu, state.next_momentum.dtype))

    return transformation(who, init, update, hyperparameters=now)


@checked
def nesterov(learning_rate: LearningRate, momentum: Decay = 0.9, *, accumulator_dtype: DType = None) -> Transformation:
    """Nesterov's accelerated gradient, exact under schedules of both hyperparameters.

        v' = mu_t v - eta g(x + mu_t v)          x' = x + v'

    The parameters that the user holds are the look-ahead points y = x + mu_t v, where the gradient is taken; there the
    method is

        v' = mu_t v - eta g(y)          y' = y - eta g(y) + mu_{t+1} v'

    (mu_t v is in y already, so y' = x' + mu_{t+1} v' with x' = y - eta g.) This is exact under schedules of both;
    PyTorch, Keras and Optax use mu_t in both places, which is the method only while mu is constant.

    The parameters that you hold are look-ahead points; evaluate and save `momentum_jax.evaluation_params(params,
    opt_state)`. Give a schedule of momentum to `nesterov` itself: through `optax.inject_hyperparams` each value comes one
    step late.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      momentum: mu in [0, 1), likewise; the readout of a step uses the next step's momentum.
      accumulator_dtype: dtype of the velocity; None: that of the parameter.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.nesterov(0.1, 0.9)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.729 0.518 0.295

    Convention: eta is inside the velocity. x = y - mu_{t+1} v' is what `momentum_jax.evaluation_params` reads from the
    state; it is valid when nothing after the method rescales updates.
    State: `step`, int32 scalar; `velocity`, the tree and shapes of the parameters, in their dtypes or
    `accumulator_dtype`; `next_momentum`, mu of the next step, float32 scalar (float64 when a leaf is 64 bits wide).
    Memory: 1 buffer. Needs: evaluation_params, to read the iterate.
    Stable on curvatures in (0, L] when 0 <= mu < 1 and 0 < eta < 2 (1 + mu) / ((1 + 2 mu) L).
    Source: Yu. E. Nesterov (1983), Soviet Math. Dokl. 27, 372-376; in this form I. Sutskever, J. Martens, G. Dahl and G.
    Hinton (2013), On the importance of initialization and momentum in deep learning, ICML.

    See also: `heavy_ball`, without the look-ahead; `sgd` with nesterov=True, as PyTorch has it; `fista`; `triple_momentum`.
    """
    return chain(
        "nesterov",
        scale_by_learning_rate(learning_rate),
        scale_by_nesterov(momentum, accumulator_dtype=accumulator_dtype),
    )
