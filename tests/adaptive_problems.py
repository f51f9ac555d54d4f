"""What the tests of the adaptive relatives share: gradients of far apart scales that sleep and wake, and a parabola."""

from typing import NamedTuple

import numpy as np

START = np.linspace(-1, 2, 6)


def gradients() -> np.ndarray:
    g = np.random.default_rng(1).normal(0.3, 1, (60, 6)) * 10.0 ** np.arange(-2, 4)
    g[:20, 1] = 0
    g[25:, 2] = 0
    return g


G = gradients()


class Parabola(NamedTuple):
    """A least-squares loss with a minimum of 0.3, and its gradient."""

    A: np.ndarray
    y: np.ndarray

    def loss(self, t: int, x: np.ndarray) -> float:
        return 0.3 + 0.5 * float(np.sum((self.A @ x - self.y - 0.1 * np.sin(t)) ** 2))

    def gradient(self, t: int, x: np.ndarray) -> np.ndarray:
        return self.A.T @ (self.A @ x - self.y - 0.1 * np.sin(t))
