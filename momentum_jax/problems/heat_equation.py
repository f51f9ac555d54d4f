"""A physics-informed net: it learns the temperature of a rod from the heat equation alone, without a single measurement.

    du/dt = d2u/dx2 / pi^2  for 0 < x, t < 1        u(x, 0) = sin(pi x)        u(0, t) = u(1, t) = 0

The solution is exp(-t) sin(pi x). The loss holds second derivatives of the net, so that its Hessian is badly conditioned.
Sources: M. Raissi, P. Perdikaris and G. E. Karniadakis (2019), Physics-informed neural networks, Journal of Computational
Physics 378, 686-707; P. Rathore et al. (2024), Challenges in training PINNs: a loss landscape perspective, ICML.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax.problems._arguments import require_whole
from momentum_jax.training import Problem, Table, fixed_split, lower


class _Net(nn.Module):
    width: int

    @nn.compact
    def __call__(self, points: Any) -> Any:
        x = nn.tanh(nn.Dense(self.width)(2 * points - 1))
        return nn.Dense(1)(nn.tanh(nn.Dense(self.width)(x)))


def residual(u: Callable[[jax.Array], jax.Array], points: jax.Array) -> jax.Array:
    """du/dt - d2u/dx2 / pi^2 of a function u(point) at points (n, 2) of (x, t): (n,)."""

    def at(point: jax.Array) -> jax.Array:
        along_x, along_t = jnp.eye(2, dtype=point.dtype)

        def slope(point: jax.Array) -> jax.Array:
            return jax.jvp(u, (point,), (along_x,))[1]

        curvature = jax.jvp(slope, (point,), (along_x,))[1]
        return jax.jvp(u, (point,), (along_t,))[1] - curvature / np.pi**2

    return jax.vmap(at)(points)


def solution(points: Any) -> np.ndarray:
    """exp(-t) sin(pi x) at points (n, 2) of (x, t): (n,)."""
    return np.exp(-points[:, 1]) * np.sin(np.pi * points[:, 0])


def heat_equation(width: int = 32, side: int = 24) -> Problem:
    """Two hidden layers of `width` tanh units, trained at `side` x `side` points inside; a batch is some of these.

    The loss is the mean square of the residual in the batch, plus that of the error at the 3 x `side` points of the border.
    Score: error, the root mean square error of u over that of the solution, at points between those for training.

    Raises:
      ValueError: `width` is no whole number from 1 to 4,096, or `side` from 8 to 512.

    Example: `train_many(keys, optax.adam, {"learning_rate": 0.003}, heat_equation(), steps=1000, batch_size=144)`.
    """
    require_whole("heat_equation", 4096, width=width)
    require_whole("heat_equation", 512, least=8, side=side)
    inside, line = _grid((np.arange(side) + 0.5) / side), (np.arange(side) + 0.5) / side
    between = _grid(np.arange(1, side) / side)
    border = [np.stack([line, 0 * line], 1), np.stack([0 * line, line], 1), np.stack([0 * line + 1, line], 1)]
    edge = np.concatenate(border).astype(np.float32)
    given = solution(edge)
    parts = np.split(np.arange(len(inside) + len(between)), [len(inside), len(inside) + len(between) // 2])
    net = _Net(width)

    def temperature(params: Any, points: Any) -> jax.Array:
        return jnp.asarray(net.apply({"params": params}, points))[:, 0]

    def loss(params: Any, state: Any, points: jax.Array, key: jax.Array) -> tuple[jax.Array, Any]:
        physics = residual(lambda point: temperature(params, point[None])[0], points)
        return jnp.mean(physics**2) + jnp.mean((temperature(params, edge) - given) ** 2), state

    def measure(params: Any, state: Any, points: jax.Array, key: jax.Array) -> dict[str, jax.Array]:
        exact = jnp.exp(-points[:, 1]) * jnp.sin(np.pi * points[:, 0])
        return {"squared_error": (temperature(params, points) - exact) ** 2, "squared": exact**2}

    def error(values: Any) -> jax.Array:
        return jnp.sqrt(jnp.mean(values["squared_error"]) / jnp.mean(values["squared"]))

    return Problem(
        init=lambda key: (net.init(key, inside[:1])["params"], {}),
        loss=loss,
        measure=measure,
        scores={"error": lower(error)},
        data=Table(np.concatenate([inside, between]), fixed_split(*parts)),
    )


def _grid(line: np.ndarray) -> np.ndarray:
    """(n^2, 2) points, in an order that mixes them."""
    points = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2).astype(np.float32)
    return points[np.argsort(np.random.PCG64(0).random_raw(len(points)), kind="stable")]
