"""One period of a method whose coefficients repeat, as one step: gradient accumulation, cyclic schedules.

    x' = Phi x + beta g          held = gamma x + delta g          after = reads x + feeds g

g are the period's gradients, held the points at which they are taken, after the outputs behind each step. With
g = lam held + noise, the loop closes as M(lam) = Phi + lam beta (I - lam delta)^-1 gamma.
"""

from typing import NamedTuple

import numpy as np

from momentum_jax.theory.systems import minimal_arrays


class Lifted(NamedTuple):
    """phi (n, n), beta (n, p), gamma (p, n), delta (p, p); reads (2, p, n), feeds (2, p, p): held point and iterate."""

    phi: np.ndarray
    beta: np.ndarray
    gamma: np.ndarray
    delta: np.ndarray
    reads: np.ndarray
    feeds: np.ndarray

    def closed_loop(self, curvature: np.ndarray) -> np.ndarray:
        """M over the whole period, (..., n, n) for curvatures (...)."""
        return self.phi + self.beta @ self._gradients(curvature) @ self.gamma * curvature[..., None, None]

    def noise(self, curvature: np.ndarray) -> np.ndarray:
        """(..., n, p): what the noise of each step's gradient adds over the period."""
        return self.beta @ self._gradients(curvature)

    def outputs(self, curvature: np.ndarray, of: int) -> tuple[np.ndarray, np.ndarray]:
        """What is read behind each step from x (..., p, n) and from the noise (..., p, p)."""
        gradients = self._gradients(curvature)
        feed = self.feeds[of] @ gradients
        return self.reads[of] + curvature[..., None, None] * (feed @ self.gamma), feed

    def _gradients(self, curvature: np.ndarray) -> np.ndarray:
        return np.linalg.inv(np.eye(len(self.delta)) - curvature[..., None, None] * self.delta)


def lifted(F: np.ndarray, b: np.ndarray, readout: np.ndarray) -> Lifted:
    """Of the coefficients of one period: (p, n, n), (p, n), (p, n)."""
    p, n = b.shape
    # Each row of x as a linear function of (x at the start, g_0, ..., g_{p-1}).
    x = np.concatenate([np.eye(n), np.zeros((n, p))], 1)
    held, after = [], ([], [])
    for k in range(p):
        held.append(x[0])
        x = F[k] @ x
        x[:, n + k] += b[k]
        after[0].append(x[0])
        after[1].append(readout[k] @ x)
    rows = np.stack([*held, *after[0], *after[1]])
    phi, beta, seen = minimal_arrays(x[:, :n], x[:, n:], rows[:, :n])
    gamma, reads = seen[:p], seen[p:].reshape(2, p, -1)
    return Lifted(phi, beta, gamma, rows[:p, n:], reads, rows[p:, n:].reshape(2, p, p))
