"""Walsh averages of paired differences: their median, the Hodges-Lehmann estimate, and the interval of the signed-rank test.

    W = {(d_i + d_j)/2 : i <= j}      estimate = median W      interval = [W_(c), W_(N + 1 - c)],  N = n(n + 1)/2

c is the largest whole number with P(V <= c - 1) <= a/2, where V is the signed-rank sum of n differences without ties. A shift
lies outside the interval where the test of that shift has p <= a.

Differences may be infinite, for a diverged run without a worst score: inf + finite = inf, and inf - inf = 0.
Source: J. L. Hodges and E. L. Lehmann (1963), Ann. Math. Statist. 34, 598-611.
"""

from __future__ import annotations

import functools

import numpy as np


def averages(differences: np.ndarray) -> np.ndarray:
    """All Walsh averages in increasing order; of a batch of samples (..., n) those of each, (..., n(n + 1)/2)."""
    i, j = np.triu_indices(differences.shape[-1])
    with np.errstate(invalid="ignore"):
        found = (differences[..., i] + differences[..., j]) / 2
    return np.sort(np.where(np.isnan(found), 0.0, found), axis=-1)


def median(ordered: np.ndarray) -> float:
    """The median of Walsh averages in increasing order."""
    low, high = float(ordered[(ordered.size - 1) // 2]), float(ordered[ordered.size // 2])
    return 0.0 if low == -high else low if low == high else (low + high) / 2


def interval(ordered: np.ndarray, n: int, level: float) -> tuple[float, float] | None:
    """The interval that leaves out a true shift with probability `level` at most; None: n differences are too few for one."""
    rank = end(n, level)
    return (float(ordered[rank - 1]), float(ordered[-rank])) if rank else None


def end(n: int, level: float) -> int:
    """c of the module's docstring, the rank of the Walsh average at which the interval ends; 0: there is none."""
    return int(np.searchsorted(_cumulative(n), level / 2, side="right"))


@functools.lru_cache(maxsize=256)
def _cumulative(n: int) -> np.ndarray:
    """P(V <= v) for v = 0 to half of the largest sum."""
    distribution = np.ones(1)
    for rank in range(1, n + 1):
        distribution = (np.pad(distribution, (0, rank)) + np.pad(distribution, (rank, 0))) / 2
    return np.cumsum(distribution[: n * (n + 1) // 4 + 1])
