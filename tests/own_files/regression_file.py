"""A regression of one's own in plain JAX."""

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax.training import Problem, Table, higher, lower, random_split


def make(width=8, rows=120):
    x = np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32)
    y = np.sin(x).sum(1)

    def init(key):
        one, two = jax.random.split(key)
        return {"w": 0.5 * jax.random.normal(one, (3, width)), "v": 0.1 * jax.random.normal(two, (width,))}, {}

    def error(params, batch):
        return jnp.tanh(batch[0] @ params["w"]) @ params["v"] - batch[1]

    return Problem(
        init=init,
        loss=lambda params, state, batch, key: (jnp.mean(error(params, batch) ** 2), state),
        measure=lambda params, state, batch, key: {"squared": error(params, batch) ** 2},
        scores={"mse": lower("squared"), "near": higher(lambda values: jnp.mean(values["squared"] < 0.1), percent=True)},
        data=Table((x, y), random_split(rows)),
    )
