"""The ratio of two means over the same seeds, with Fieller's interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from momentum_jax.studies.statistics._samples import Interval, Values, check_share, sample


@dataclass(frozen=True)
class Ratio:
    """mean(a) / mean(b) over n seeds.

    `interval` holds the ratios r for which a paired t test does not find mean(a - r b) to differ from zero: exact for normal
    values, and not symmetric. It is None where the mean of b cannot be told from zero, since any ratio is then possible, and
    of a single seed; `value` is None where that mean is zero. `without_spread`: the ratio is the same on every one of two or
    more seeds, so that nothing tells how far chance reaches, and there is no interval either.
    """

    n: int
    value: float | None
    confidence: float
    interval: Interval | None
    without_spread: bool = False


def ratio_of_means(a: Values, b: Values, *, confidence: float = 0.95) -> Ratio:
    """How many times the mean of b the mean of a is.

    Source: E. C. Fieller (1954), J. R. Stat. Soc. B 16(2), 175-185.

    Args:
      a, b: (n,) finite numbers, in the order of the seeds.
      confidence: of the interval, in (0, 1).

    Raises:
      ValueError: values that are not finite, samples of different lengths.
    """
    first, second = sample("ratio_of_means", "a", a), sample("ratio_of_means", "b", b)
    check_share("ratio_of_means", "confidence", confidence)
    if first.shape != second.shape:
        raise ValueError(f"ratio_of_means: a and b must have a value for each seed, got {first.size} and {second.size}.")
    n, top, bottom = first.size, first.mean(), second.mean()
    value = float(top / bottom) if bottom != 0 else None
    if n < 2 or value is None:
        return Ratio(n, value, confidence, None)
    if np.ptp(first - value * second) <= 1e-12 * np.abs(first).max():
        return Ratio(n, value, confidence, None, without_spread=True)
    t = special.stdtrit(n - 1, (1 + confidence) / 2)
    (aa, ab), (_, bb) = t**2 * np.cov(first, second) / n
    square, linear, constant = bottom**2 - bb, top * bottom - ab, top**2 - aa
    # Of the quadratic square r^2 - 2 linear r + constant <= 0.
    if square <= 0:
        return Ratio(n, value, confidence, None)
    half = np.sqrt(max(0.0, linear**2 - square * constant)) / square
    return Ratio(n, value, confidence, (float(linear / square - half), float(linear / square + half)))
