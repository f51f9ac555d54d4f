"""The descents that a source draws, as data, and the Nesterov of T4's listing, which is none."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax import gradient_descent, heavy_ball, nesterov
from momentum_jax.descent import descend
from momentum_jax.landscapes import Landscape

Symbol = Literal["circle", "square", "plus", "triangle", "star", "right-pointing triangle"]
Method = Literal["gradient descent", "classical", "Nesterov", "listing"]


@dataclass(frozen=True)
class Descent:
    """A start, a method with its learning rate and momentum, and how many updates it makes. `classical` is heavy ball.

    `symbol` is the source's mark of the path; None: the source gives none.
    """

    start: tuple[float, ...]
    learning_rate: float
    steps: int
    method: Method = "gradient descent"
    momentum: float = 0.0
    symbol: Symbol | None = None


@dataclass(frozen=True, eq=False)
class Trace:
    """Where a descent went, in float64: `points` (steps + 1, d), the start first, and the `values` (steps + 1,) there."""

    descent: Descent
    points: np.ndarray
    values: np.ndarray

    @property
    def end(self) -> np.ndarray:
        return self.points[-1]


def trace(landscape: Landscape, descent: Descent) -> Trace:
    """Makes the descent, in float64."""
    with jax.enable_x64(True):
        start, learning_rate, momentum = map(jnp.asarray, (descent.start, descent.learning_rate, descent.momentum))
        points, values = _points_and_values(landscape, start, learning_rate, momentum, descent.method, descent.steps)
        return Trace(descent, np.asarray(points), np.asarray(values))


@functools.partial(jax.jit, static_argnames=("landscape", "method", "steps"))
def _points_and_values(
    landscape: Landscape, start: jax.Array, learning_rate: jax.Array, momentum: jax.Array, method: Method, steps: int
) -> tuple[jax.Array, jax.Array]:
    match method:
        case "listing":
            return nesterov_of_the_listing(landscape, start, learning_rate, momentum, steps)
        case "gradient descent":
            optimizer = gradient_descent(learning_rate)
        case "classical":
            optimizer = heavy_ball(learning_rate, momentum)
        case "Nesterov":
            optimizer = nesterov(learning_rate, momentum)
    path = descend(landscape, optimizer, start, steps)
    return path.points, path.values


@functools.partial(jax.jit, static_argnames=("landscape", "steps"))
def nesterov_of_the_listing(
    landscape: Landscape, start: jax.Array, learning_rate: Any, momentum: Any, steps: int
) -> tuple[jax.Array, jax.Array]:
    """Nesterov's method as the listing to T4's table 11-2 computes it, which is not Nesterov's method.

        v_i' = μ v_i - η ∂_i f(x + μ v_i e_i)        x' = x + v'

    Each partial derivative is taken where the point is shifted along its own axis alone, and not at the look-ahead point
    x + μ v. On a function that is a sum of functions of one coordinate the two are the same.

    Returns:
      The points (steps + 1, d) and their values (steps + 1,).
    """

    def step(carry: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        x, v = carry
        shifted = x + jnp.diag(momentum * v)
        v = momentum * v - learning_rate * jnp.diag(jax.vmap(jax.grad(landscape))(shifted))
        return (x + v, v), x + v

    points = jnp.concatenate([start[None], jax.lax.scan(step, (start, jnp.zeros_like(start)), length=steps)[1]])
    return points, jax.vmap(landscape)(points)
