"""A stream: batches drawn on the host, a function of seed and step alone."""

import jax.numpy as jnp
import numpy as np

from momentum_jax.training import Problem, Stream, lower

WEIGHTS = np.arange(1, 5, dtype=np.float32)


def batch(*numbers):
    x = np.random.default_rng(numbers).normal(size=(16, 4)).astype(np.float32)
    return x, x @ WEIGHTS


def make():
    def error(params, batch):
        return batch[0] @ params - batch[1]

    return Problem(
        init=lambda key: (jnp.zeros(4), {}),
        loss=lambda params, state, batch, key: (jnp.mean(error(params, batch) ** 2), state),
        measure=lambda params, state, batch, key: {"size": jnp.abs(error(params, batch))},
        scores={"mae": lower("size")},
        data=Stream(batch, lambda: [batch(1, 0, i) for i in range(2)], lambda: [batch(2, 0, i) for i in range(2)]),
    )
