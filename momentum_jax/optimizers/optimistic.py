"""Optimistic gradient descent: step as if the last gradient came once more, then take that guess back."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import DType, LearningRate, checked, value_at
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, zeros
from momentum_jax.optimizers._transformation import Transformation, transformation


class OptimisticState(NamedTuple):
    step: jax.Array
    lead: optax.Updates
    momentum_step: jax.Array

    def reset_momentum(self) -> "OptimisticState":
        forget = ("lead", "momentum_step")
        return self._replace(**{name: jax.tree.map(jnp.zeros_like, getattr(self, name)) for name in forget})


@checked
def optimistic(learning_rate: LearningRate, *, accumulator_dtype: DType = None) -> Transformation:
    """Optimistic gradient descent.

        z' = z - eta_t g(x)          x' = z' - eta_{t+1} g(x)

    At constant eta this is x' = x - 2 eta g + eta g_prev, the form of games and GANs, where plain descent and ascent
    circle around the solution and this converges to it. The first gradient counts as its own predecessor: x' = x - eta g
    at the first step.

    Give a schedule to `optimistic` itself: through `optax.inject_hyperparams` each value comes one step late in the lead.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first. Every update reads it at the
        next step too.
      accumulator_dtype: dtype of the lead; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: learning_rate out of range; in `update`, a gradient that does not fit the state or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.optimistic(0.1)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.820 0.746 0.679

    Convention: eta is inside, so the point z is exact gradient descent on what was seen under any schedule of eta;
    `optax.optimistic_gradient_descent` multiplies 2 g - g_prev by eta_t, which is the same while eta is constant. The
    user holds x, where the gradient is taken and which converges.
    State: `step`, int32 scalar, position in the schedule of eta; `momentum_step`, steps since the start or a reset;
    `lead`, x - z, the tree and shapes of the parameters, float32 for 16-bit leaves unless `accumulator_dtype` says
    otherwise.
    Memory: 1 buffer.
    Stable on curvatures in (0, L] when 0 < eta < 2 / (3 L).
    Source: A. Rakhlin and K. Sridharan (2013), Optimization, learning, and games with predictable sequences, NeurIPS,
    arXiv:1311.1869; C. Daskalakis, A. Ilyas, V. Syrgkanis and H. Zeng (2018), Training GANs with optimism, ICLR,
    arXiv:1711.00141.

    See also: `nesterov`; `pid`; for games, gradient descent diverges where this converges.
    """
    who = "optimistic"

    def init(params: optax.Params) -> OptimisticState:
        return OptimisticState(first_step(), zeros(params, average_dtype(accumulator_dtype)), first_step())

    def now(state: OptimisticState) -> dict[str, Any]:
        return {"learning_rate": value_at(learning_rate, state.step)}

    def leaf(u: jax.Array, lead: jax.Array, eta: Any, next_eta: Any, started: Any) -> tuple[jax.Array, jax.Array]:
        new = -next_eta * u
        return new - started * (eta * u + lead), new

    def update(who: str, updates: optax.Updates, state: OptimisticState, params: Any) -> tuple[optax.Updates, OptimisticState]:
        del params
        following = next_step(state.step)
        scalars = {"eta": now(state)["learning_rate"], "next_eta": value_at(learning_rate, following)}
        updates, lead = each(who, leaf, updates, {"lead": state.lead}, **scalars, started=state.momentum_step > 0)
        return updates, OptimisticState(following, lead, next_step(state.momentum_step))

    return transformation(who, init, update, hyperparameters=now)
