"""FISTA: Nesterov's method of 1983, whose momentum grows towards 1 by itself."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import DType, LearningRate, checked
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._precision import scalar_dtype
from momentum_jax.optimizers._state import velocity_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate
from momentum_jax.protocol import shift_by_path


class FistaState(NamedTuple):
    velocity: optax.Updates
    t: jax.Array
    next_momentum: jax.Array

    def evaluation_params(self, params: optax.Params) -> optax.Params:
        """x = held point - mu v."""
        return shift_by_path("fista", params, self.velocity, lambda y, v, mu: y - mu * v, self.next_momentum)

    def reset_momentum(self) -> "FistaState":
        fresh = jax.tree.map(jnp.zeros_like, self)
        return fresh._replace(t=jax.tree.map(jnp.ones_like, self.t))


@checked
def scale_by_fista(*, accumulator_dtype: DType = None) -> Transformation:
    """The learning-rate-free core: v' = mu_{k-1} v + u, returns u + mu_k v'; put it behind the learning rate.

    Args:
      accumulator_dtype: dtype of the velocity; None: that of the parameter.

    Raises:
      ValueError: in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_fista"

    def init(params: optax.Params) -> FistaState:
        dtype = scalar_dtype(params)
        return FistaState(zeros(params, velocity_dtype(accumulator_dtype)), jnp.ones((), dtype), jnp.zeros((), dtype))

    def leaf(u: jax.Array, v: jax.Array, mu: Any, next_mu: Any) -> tuple[jax.Array, jax.Array]:
        v = mu * v + u
        return u + next_mu * v, v

    def update(who: str, updates: optax.Updates, state: FistaState, params: Any) -> tuple[optax.Updates, FistaState]:
        del params
        t = (1 + jnp.sqrt(1 + 4 * state.t * state.t)) / 2
        next_mu = (state.t - 1) / t
        updates, velocity = each(who, leaf, updates, {"velocity": state.velocity}, mu=state.next_momentum, next_mu=next_mu)
        return updates, FistaState(velocity, t, next_mu)

    return transformation(who, init, update)


@checked
def fista(learning_rate: LearningRate, *, accumulator_dtype: DType = None) -> Transformation:
    """FISTA without a proximal step: accelerated gradient descent for smooth convex functions.

        x' = y - eta g(y)          y' = x' + mu_k (x' - x)
        mu_k = (t_k - 1) / t_{k+1},  t_{k+1} = (1 + sqrt(1 + 4 t_k^2)) / 2,  t_1 = 1

    Without a proximal step. Equivalent form: `nesterov` with momentum `schedules.fista(total_steps)`, which has to know
    the number of steps; here t_k is in the state, and a reset starts it anew.

    The parameters that you hold are look-ahead points; evaluate and save `momentum_jax.evaluation_params(params,
    opt_state)`.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      accumulator_dtype: dtype of the velocity; None: that of the parameter.

    Raises:
      ValueError: learning_rate out of range; in `update`, a gradient that does not fit the state or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.fista(0.1)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.810 0.706 0.595

    Convention: eta is inside the velocity v = x' - x. The parameters that the user holds are the points y, where the
    gradient is taken; x = y - mu v is what `momentum_jax.evaluation_params` reads from the state.
    State: `velocity`, the tree and shapes of the parameters, in their dtypes or `accumulator_dtype`; `t`, t_k, and
    `next_momentum`, mu between x and the held y, float32 scalars (float64 when a leaf is 64 bits wide).
    On convex functions with curvatures up to L and eta <= 1 / L, f(x_k) - f* <= 2 |x_0 - x*|^2 / (eta (k + 1)^2).
    Memory: 1 buffer. Needs: evaluation_params, to read the iterate.
    Source: A. Beck and M. Teboulle (2009), SIAM J. Imaging Sci. 2(1), 183-202; Yu. E. Nesterov (1983), Soviet Math. Dokl.
    27, 372-376.

    See also: `nesterov`, at one momentum; `schedules.fista`, its momenta; `adaptive_restart`, for strongly convex functions.
    """
    return chain("fista", scale_by_learning_rate(learning_rate), scale_by_fista(accumulator_dtype=accumulator_dtype))
