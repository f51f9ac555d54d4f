"""The (alpha, beta, gamma) form of a method with momentum, exact under schedules of all three.

    v' = beta v - alpha g(y)          x' = x + v'          y = x + gamma v

The user holds y: y' = y + (1 + gamma_{t+1}) v' - gamma_t v. What is read out is x + delta v.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import value_at
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._precision import at_least_float32, scalar_dtype
from momentum_jax.optimizers._state import first_step, next_step, velocity_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, transformation
from momentum_jax.protocol import shift_by_path


class Coefficients(NamedTuple):
    alpha: Any
    beta: Any
    gamma: Any
    delta: Any


class ThreeParameterState(NamedTuple):
    """`gamma` put the held point where it is; `readout` is delta - gamma, from there to the output point."""

    step: jax.Array
    velocity: optax.Updates
    gamma: jax.Array
    readout: jax.Array

    def evaluation_params(self, params: optax.Params) -> optax.Params:
        """x + delta v = held point + (delta - gamma) v."""
        return shift_by_path("evaluation_params", params, self.velocity, lambda y, v, r: y + r * v, self.readout)

    def reset_momentum(self) -> "ThreeParameterState":
        return self._replace(velocity=jax.tree.map(jnp.zeros_like, self.velocity))


def three_parameter(
    who: str, coefficients: Callable[..., Coefficients], hyperparameters: dict[str, Any], accumulator_dtype: Any
) -> Transformation:
    """The optimizer with `coefficients(**values)` of the hyperparameters at a step; gamma and delta are read at the next."""

    def at(step: jax.Array) -> dict[str, Any]:
        return {name: value_at(h, step) for name, h in hyperparameters.items()}

    def from_values(values: dict[str, Any]) -> Coefficients:
        return coefficients(**{name: at_least_float32(value) for name, value in values.items()})

    def init(params: optax.Params) -> ThreeParameterState:
        first, dtype = from_values(at(first_step())), scalar_dtype(params)
        return ThreeParameterState(
            first_step(),
            zeros(params, velocity_dtype(accumulator_dtype)),
            jnp.array(first.gamma, dtype),
            jnp.array(first.delta - first.gamma, dtype),
        )

    def now(state: ThreeParameterState) -> dict[str, Any]:
        return at(state.step)

    def leaf(u: jax.Array, v: jax.Array, alpha: Any, beta: Any, gamma: Any, step: Any) -> tuple[jax.Array, jax.Array]:
        moved = beta * v - alpha * u
        return step * moved - gamma * v, moved

    def update(
        who: str, updates: optax.Updates, state: ThreeParameterState, params: Any
    ) -> tuple[optax.Updates, ThreeParameterState]:
        del params
        following = next_step(state.step)
        current, then = from_values(now(state)), from_values(at(following))
        scalars = {"alpha": current.alpha, "beta": current.beta, "gamma": state.gamma, "step": 1 + then.gamma}
        updates, velocity = each(who, leaf, updates, {"velocity": state.velocity}, **scalars)
        gamma = jnp.array(then.gamma, state.gamma.dtype)
        return updates, ThreeParameterState(following, velocity, gamma, jnp.array(then.delta - then.gamma, state.readout.dtype))

    return transformation(who, init, update, hyperparameters=now)


def refuse_wrong_order(who: str, strong_convexity: Any, smoothness: Any) -> None:
    """m <= L, where both are plain numbers."""
    if isinstance(strong_convexity, float) and isinstance(smoothness, float) and strong_convexity > smoothness:
        raise ValueError(
            f"{who}: strong_convexity must be at most smoothness, got strong_convexity={strong_convexity}, "
            f"smoothness={smoothness}."
        )
