"""Grokfast: amplify the slow part of the gradient before an optimizer sees it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import AverageDecay, DType, NonNegative, checked, value_at
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._precision import at_least_float32
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, zeros
from momentum_jax.optimizers._transformation import Transformation, transformation


class GrokfastState(NamedTuple):
    step: jax.Array
    average: optax.Updates

    def reset_momentum(self) -> "GrokfastState":
        return jax.tree.map(jnp.zeros_like, self)


@checked
def grokfast(alpha: AverageDecay = 0.98, lamb: NonNegative = 2.0, *, accumulator_dtype: DType = None) -> Transformation:
    """The filter of gradients g + lambda m'; chain an optimizer behind it.

        m' = alpha m + (1 - alpha) g          g^ = g + lambda m'          m_1 = g_1

    Equivalent form, but for the average's start at g_1: in front of gradient descent this is quasi-hyperbolic momentum
    with learning rate eta (1 + lambda), beta = alpha, nu = lambda / (1 + lambda).

    Args:
      alpha: decay of the average in [0, 1); a number, a 0-d array or a schedule `step -> value`. The average starts at the
        first gradient, so the first step's alpha has no effect.
      lamb: lambda >= 0, likewise.
      accumulator_dtype: dtype of the average; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj, optax
        >>> optimizer = optax.chain(mj.grokfast(), mj.gradient_descent(0.1))
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.700 0.431 0.192 -0.021

    Convention: a filter of gradients without a learning rate (the paper's Grokfast-EMA), to be chained in front of any
    optimizer: `optax.chain(grokfast(), adamw(1e-3))`.
    State: `step`, int32 scalar; `average`, the tree and shapes of the parameters, float32 for 16-bit leaves unless
    `accumulator_dtype` says otherwise.
    Memory: 1 buffer.
    Source: J. Lee, B. G. Kang, K. Kim and K. M. Lee (2024), Grokfast: accelerated grokking by amplifying slow gradients,
    arXiv:2405.20233.

    See also: `ema_momentum`, the filter alone; `pid`.
    """
    who = "grokfast"

    def init(params: optax.Params) -> GrokfastState:
        return GrokfastState(first_step(), zeros(params, average_dtype(accumulator_dtype)))

    def now(state: GrokfastState) -> dict[str, Any]:
        return {"alpha": value_at(alpha, state.step), "lamb": value_at(lamb, state.step)}

    def leaf(u: jax.Array, m: jax.Array, alpha: Any, lamb: Any) -> tuple[jax.Array, jax.Array]:
        m = alpha * m + (1 - alpha) * u
        return u + lamb * m, m

    def update(who: str, updates: optax.Updates, state: GrokfastState, params: Any) -> tuple[optax.Updates, GrokfastState]:
        del params
        h = now(state)
        h["alpha"] = jnp.where(state.step == 0, 0.0, at_least_float32(h["alpha"]))
        updates, average = each(who, leaf, updates, {"average": state.average}, **h)
        return updates, GrokfastState(next_step(state.step), average)

    return transformation(who, init, update, hyperparameters=now)
