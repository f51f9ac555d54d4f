"""What the tests of the adaptive methods share: gradients of far apart scales, schedules of hyperparameters, a parabola."""

from typing import Any, NamedTuple

import numpy as np
import optax
from oracles import descend

STEPS = np.arange(60)
START = np.linspace(-1, 2, 6)


def gradients() -> np.ndarray:
    g = np.random.default_rng(1).normal(0.3, 1, (60, 6)) * 10.0 ** np.arange(-2, 4)
    # A coordinate that wakes up late, and one that falls asleep.
    g[:20, 1] = 0
    g[25:, 2] = 0
    return g


G = gradients()


def sequence(t: int, x: np.ndarray) -> np.ndarray:
    del x
    return G[t]


def steps_of(optimizer: optax.GradientTransformation) -> np.ndarray:
    """(60, 6), the steps along `G`."""
    return np.diff(descend(optimizer, sequence, START, 60).held, axis=0)


def column(values: Any) -> np.ndarray:
    return np.asarray(values)[:, None]


def rate(t: Any) -> Any:
    return 0.3 / (1 + 0.1 * t)


def b1(t: Any) -> Any:
    return 0.5 + 0.45 * t / 60


def b2(t: Any) -> Any:
    return 0.98 - 0.4 * t / 60


def eps(t: Any) -> Any:
    return 0.03 / (1 + t)


class Parabola(NamedTuple):
    """A least-squares loss with a minimum of 0.3, and its gradient."""

    A: np.ndarray
    y: np.ndarray

    def loss(self, t: int, x: np.ndarray) -> float:
        return 0.3 + 0.5 * float(np.sum((self.A @ x - self.y - 0.1 * np.sin(t)) ** 2))

    def gradient(self, t: int, x: np.ndarray) -> np.ndarray:
        return self.A.T @ (self.A @ x - self.y - 0.1 * np.sin(t))
