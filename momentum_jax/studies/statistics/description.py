"""One arm: where its values lie, and how far its mean may be from that of other seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from momentum_jax.studies.statistics._samples import (
    Interval,
    Values,
    bca_caveat,
    bca_interval,
    check_share,
    equal,
    mean_and_error,
    sample,
    t_interval,
)

# Below it the normal approximation of the kurtosis test does not hold (Anscombe and Glynn 1983; SciPy warns).
_FEWEST_FOR_NORMALITY = 20


@dataclass(frozen=True)
class Description:
    """Of n values, one a seed.

    `standard_error` is the sample standard deviation over the root of n. `interquartile_mean` is the mean without the
    lowest and the highest n // 4 values (Agarwal et al. 2021, NeurIPS); below four values it is the mean. `t_interval` and
    `bca_interval` are of the mean, at `confidence`. None: the values allow none, and `caveats` says why.
    """

    n: int
    mean: float
    standard_error: float | None
    median: float
    interquartile_mean: float
    minimum: float
    maximum: float
    confidence: float
    t_interval: Interval | None
    bca_interval: Interval | None
    caveats: tuple[str, ...]


def describe(values: Values, *, confidence: float = 0.95) -> Description:
    """Mean, median, interquartile mean, and two intervals of the mean.

    The t interval is the one to report. At a claimed 95%, in 4,000 simulated samples of each size:

                          normal values       exponential values
        n                 5     10    20      5     10    20
        t                 95%   95%   95%     88%   90%   92%
        BCa bootstrap     83%   90%   92%     81%   88%   91%

    So the BCa interval (DiCiccio and Efron 1996, Stat. Sci. 11, 189-228) is given from 10 values on, to show where a mean is
    skewed; a percentile bootstrap covers no more and is not offered.
    """
    check_share("describe", "confidence", confidence)
    array = sample("describe", "values", values)
    mean, error = mean_and_error(array)
    caveats = [caveat for caveat in [bca_caveat(array.size)] if caveat]
    if error is None:
        caveats.insert(0, "One value has no standard error and no interval.")
    elif error == 0:
        caveats.insert(0, "All values are equal: the intervals have no width, which says nothing of other seeds.")
    return Description(
        n=array.size,
        mean=mean,
        standard_error=error,
        median=float(np.median(array)),
        interquartile_mean=float(stats.trim_mean(array, 0.25)),
        minimum=float(array.min()),
        maximum=float(array.max()),
        confidence=confidence,
        t_interval=t_interval(mean, error, array.size - 1, confidence),
        bca_interval=bca_interval(array, confidence),
        caveats=tuple(caveats),
    )


@dataclass(frozen=True)
class Normality:
    """D'Agostino and Pearson's K² (chi-square with two degrees of freedom) and its p-value; None where it does not apply."""

    n: int
    statistic: float | None
    pvalue: float | None
    caveats: tuple[str, ...]


def normality(values: Values) -> Normality:
    """Whether skewness and kurtosis are those of normal values (D'Agostino and Pearson 1973, Biometrika 60, 613-622).

    From 20 values on: with fewer its kurtosis test is not valid, and no test would see much.
    """
    array = sample("normality", "values", values)
    caveat = None
    if array.size < _FEWEST_FOR_NORMALITY:
        caveat = (
            f"D'Agostino-Pearson needs {_FEWEST_FOR_NORMALITY} values, got {array.size}: normality is assumed, not checked."
        )
    elif equal(array, float(np.abs(array).max())):
        caveat = "All values are equal: they have no shape to test."
    if caveat:
        return Normality(array.size, None, None, (caveat,))
    # Standardised: skewness and kurtosis do not change, and no power of a small unit underflows.
    result = stats.normaltest((array - array.mean()) / array.std())
    return Normality(array.size, float(result.statistic), float(result.pvalue), ())
