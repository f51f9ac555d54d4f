"""What a t test at these seeds can show: power by the noncentral t distribution, exactly.

A true difference delta with standard error se shifts t by delta / se; the test rejects with probability
P(|T| > t_crit), T noncentral t with that shift. se is sd / sqrt(n) for n pairs and sd sqrt(1/n + 1/m) for two arms.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize, special

from momentum_jax.studies.statistics._samples import check_share

_MOST_SEEDS = 10**9


def detectable_difference(
    standard_deviation: float, n: int, n_other: int | None = None, *, power: float = 0.8, alpha: float = 0.05
) -> float:
    """The smallest true difference that a two-sided t test finds with this power.

    Args:
      standard_deviation: of the differences of pairs, or within the arms (pooled) for two arms on seeds of their own.
      n: pairs, or seeds of the first arm.
      n_other: seeds of the second arm; None: pairs.
    """
    who = "detectable_difference"
    _check(who, standard_deviation, power, alpha)
    if n < 2 or (n_other is not None and n_other < 2):
        raise ValueError(f"{who}: n and n_other must be at least 2, got {n} and {n_other}.")
    df, root = _design(n, n_other)
    critical = float(special.stdtrit(df, 1 - alpha / 2))
    high = critical + 1.0
    while _power(high, df, critical) < power:
        high *= 2
    found = optimize.root_scalar(lambda shift: _power(shift, df, critical) - power, bracket=(0.0, high), xtol=1e-12)
    return root * standard_deviation * float(found.root)


def seeds_needed(
    standard_deviation: float, difference: float, *, paired: bool = True, power: float = 0.8, alpha: float = 0.05
) -> int | None:
    """The fewest pairs (or seeds of each arm, if not `paired`) with which a two-sided t test finds `difference`.

    None: more than 10^9. `standard_deviation` is as in `detectable_difference`. From a difference that was itself measured
    with few seeds it is a guess.
    """
    who = "seeds_needed"
    _check(who, standard_deviation, power, alpha)
    if not (math.isfinite(difference) and difference != 0):
        raise ValueError(f"{who}: difference must be finite and not 0, got {difference}.")
    effect = abs(difference) / standard_deviation

    def enough(n: int) -> bool:
        df, root = _design(n, None if paired else n)
        return _power(effect / root, df, float(special.stdtrit(df, 1 - alpha / 2))) >= power

    high = 2
    while not enough(high):
        if high >= _MOST_SEEDS:
            return None
        high = min(2 * high, _MOST_SEEDS)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _design(n: int, n_other: int | None) -> tuple[int, float]:
    """Degrees of freedom, and the standard error of the difference in standard deviations."""
    return (n - 1, math.sqrt(1 / n)) if n_other is None else (n + n_other - 2, math.sqrt(1 / n + 1 / n_other))


def _power(shift: float, df: float, critical: float) -> float:
    # SciPy's noncentral t gives NaN for a probability below about 1e-16.
    below, lower_tail = np.nan_to_num(special.nctdtr(df, shift, np.array([critical, -critical])))
    return float(1 - below + lower_tail)


def _check(who: str, standard_deviation: float, power: float, alpha: float) -> None:
    if not (math.isfinite(standard_deviation) and standard_deviation > 0):
        raise ValueError(f"{who}: standard_deviation must be finite and positive, got {standard_deviation}.")
    check_share(who, "alpha", alpha)
    check_share(who, "power", power)
    if power <= alpha:
        raise ValueError(f"{who}: power must be above alpha = {alpha}, got {power}.")
