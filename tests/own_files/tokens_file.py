"""A token model of one's own: bigrams, in plain JAX."""

import jax
import numpy as np

from momentum_jax.training import next_token


def make(length=8):
    tokens = np.frombuffer(b"the quick brown fox jumps over the lazy dog. " * 20, np.uint8) % 32

    def init(key):
        return {"table": 0.1 * jax.random.normal(key, (32, 32))}, {}

    def apply(params, state, x, *, key, train):
        return params["table"][x], state

    return next_token(init, apply, tokens, length)
