"""Colour images and a net with batch norm of one's own, in Flax NNX."""

import numpy as np
from flax import nnx

from momentum_jax.training import classifier, of_nnx


class Net(nnx.Module):
    def __init__(self, rngs):
        self.convolution = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.out = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.relu(self.norm(self.convolution(x))).mean((1, 2)))


def make():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = rng.normal(size=(60, 6, 6, 3)).astype(np.float32) + y[:, None, None, None] * np.array([1, 0, -1], np.float32)
    return classifier(*of_nnx(Net), x, y)
