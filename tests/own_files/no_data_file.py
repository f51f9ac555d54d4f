"""A loss without data: Rosenbrock's valley."""

import jax
import jax.numpy as jnp

from momentum_jax.training import Problem, lower


def make(steepness=10.0):
    def value(p):
        return (1 - p["x"]) ** 2 + steepness * (p["y"] - p["x"] ** 2) ** 2

    return Problem(
        init=lambda key: ({"x": jax.random.normal(key), "y": jnp.float32(0)}, {}),
        loss=lambda params, state, batch, key: (value(params), state),
        measure=lambda params, state, batch, key: {"value": value(params)},
        scores={"height": lower("value")},
    )
