"""What every function here asks of its values, and the two intervals of a mean."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special, stats

Interval = tuple[float, float]
Values = Sequence[float] | np.ndarray

# Below it the BCa interval is not given: it then covers less than 90% where it claims 95%.
FEWEST_FOR_BCA = 10
# The ends then differ by under 1% of the width (standard deviation) from those of another seed.
_RESAMPLES = 49_999


def sample(who: str, name: str, values: Values) -> np.ndarray:
    """The values as (n,) float64, refused if there are none or one is not finite."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{who}: {name} must hold one number a seed, got shape {array.shape}.")
    if not np.isfinite(array).all():
        bad = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(
            f"{who}: {name} must be finite, got {array[bad]} at position {bad}; decide first what a diverged run counts as."
        )
    return array


def check_share(who: str, name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{who}: {name} must be in (0, 1), got {value}.")


def mean_and_error(values: np.ndarray) -> tuple[float, float | None]:
    """Mean and standard error; no error of one value, exactly 0 of values that are equal up to rounding."""
    if values.size == 1:
        return float(values[0]), None
    if equal(values, float(np.abs(values).max())):
        return float(np.median(values)), 0.0
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size))


def equal(values: np.ndarray, scale: float) -> bool:
    """Up to the rounding of double precision at `scale`: a t statistic of what is left would be huge and mean nothing."""
    return bool(np.ptp(values) <= 64 * np.finfo(np.float64).eps * scale)


def t_interval(mean: float, error: float | None, df: float, confidence: float) -> Interval | None:
    if error is None:
        return None
    half = float(special.stdtrit(df, (1 + confidence) / 2)) * error
    return mean - half, mean + half


def t_pvalue(t: float, df: float) -> float:
    """Two-sided."""
    return float(2 * special.stdtr(df, -abs(t)))


def bca_interval(values: np.ndarray, confidence: float) -> Interval | None:
    """Of the mean, from 49,999 resamples that are the same in every call; None below `FEWEST_FOR_BCA` values."""
    mean, error = mean_and_error(values)
    if values.size < FEWEST_FOR_BCA or error is None:
        return None
    if error == 0:
        return mean, mean
    # Standardised, so that no power of a small or large unit under- or overflows.
    result = stats.bootstrap(
        ((values - mean) / error,),
        np.mean,
        n_resamples=_RESAMPLES,
        batch=10_000,
        confidence_level=confidence,
        method="BCa",
        rng=np.random.default_rng(0),
    )
    low, high = result.confidence_interval
    return mean + error * float(low), mean + error * float(high)


def bca_caveat(n: int) -> str | None:
    if n >= FEWEST_FOR_BCA:
        return None
    return f"No BCa interval of {counted(n, 'value')}: below {FEWEST_FOR_BCA} it covers less than 90% where it claims 95%."


def counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
