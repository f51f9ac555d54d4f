"""Exact p-values of Wilcoxon's two tests, ties and zeros included.

Given the ranks, equal values sharing their mean rank, every sign (signed-rank) or every split into two arms (rank-sum) is
equally likely under the null. Twice a rank is an integer, so the distribution of the sum is a convolution and needs no
approximation; SciPy is exact without ties, or by enumeration of few values.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special, stats

# The largest two arms together whose rank-sum distribution is computed; above, the normal approximation is good.
MOST_FOR_EXACT = 100


def signed_rank(differences: np.ndarray, resolution: float) -> tuple[float, float, int]:
    """W+, the sum of the ranks of positive differences, its exact two-sided p-value, and how many differences were ranked.

    Differences of at most `resolution` are zero and left out; sizes that far apart or less are ties.
    """
    kept = differences[np.abs(differences) > resolution]
    if kept.size == 0:
        return 0.0, 1.0, 0
    order = np.argsort(np.abs(kept))
    ties = np.bincount(np.cumsum(np.diff(np.abs(kept)[order], prepend=-np.inf) > resolution) - 1)
    # Those that tie share the mean of their ranks.
    doubled = np.repeat(2 * np.cumsum(ties) - ties + 1, ties)
    distribution = np.ones(1)
    for rank in doubled:
        without = np.concatenate([distribution, np.zeros(rank)])
        with_it = np.concatenate([np.zeros(rank), distribution])
        distribution = (without + with_it) / 2
    positive = int(doubled[kept[order] > 0].sum())
    return positive / 2, _two_sided(distribution, positive), kept.size


def rank_sum(a: np.ndarray, b: np.ndarray) -> tuple[float, float, bool]:
    """Mann and Whitney's U of a (pairs in which a is the larger, a tie counting half), two-sided p-value, whether exact."""
    ranks = stats.rankdata(np.concatenate([a, b]))
    u = float(ranks[: a.size].sum() - a.size * (a.size + 1) / 2)
    if a.size + b.size > MOST_FOR_EXACT:
        return u, float(stats.mannwhitneyu(a, b, method="asymptotic").pvalue), False
    doubled = np.rint(2 * ranks).astype(int)
    # counts[k, s]: in how many ways k of the ranks so far add up to s.
    counts = np.zeros((a.size + 1, doubled.sum() + 1))
    counts[0, 0] = 1
    for rank in doubled:
        counts[1:, rank:] += counts[:-1, : counts.shape[1] - rank]
    return u, _two_sided(counts[a.size] / counts[a.size].sum(), int(doubled[: a.size].sum())), True


def mann_whitney_pvalue(u: float, n_a: int, n_b: int, *, two_sided: bool = True) -> float:
    """The p-value of a published U of two arms without ties: normal approximation, continuity-corrected.

    One-sided is the chance of a U at least as far from n_a n_b / 2 on the same side.
    """
    if min(n_a, n_b) < 1:
        raise ValueError(f"mann_whitney_pvalue: n_a and n_b must be at least 1, got {n_a} and {n_b}.")
    if not 0 <= u <= n_a * n_b:
        raise ValueError(f"mann_whitney_pvalue: u must be in [0, n_a n_b] = [0, {n_a * n_b}], got {u}.")
    distance = abs(u - n_a * n_b / 2) - 0.5
    one_sided = float(special.ndtr(-distance / math.sqrt(n_a * n_b * (n_a + n_b + 1) / 12)))
    return min(1.0, 2 * one_sided) if two_sided else one_sided


def _two_sided(distribution: np.ndarray, at: int) -> float:
    """Twice the smaller tail."""
    return min(1.0, 2 * float(min(distribution[: at + 1].sum(), distribution[at:].sum())))
