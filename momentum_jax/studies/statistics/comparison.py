"""Two arms, on the same seeds or on seeds of their own: description, as the tables and the textbook have it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from momentum_jax.studies.statistics._samples import (
    Interval,
    Values,
    bca_caveat,
    bca_interval,
    check_share,
    counted,
    equal,
    mean_and_error,
    sample,
    t_interval,
    t_pvalue,
)
from momentum_jax.studies.statistics.ranks import rank_sum, signed_rank

# Losses and scores are computed in single precision: their differences are no finer than this share of the values.
_SINGLE = 2.0**-22


@dataclass(frozen=True)
class PairedComparison:
    """a - b over n seeds that both arms have run.

    `standard_error`, `t_interval`, `t_statistic`, `t_pvalue` are those of the paired t test (n - 1 degrees of freedom),
    `bca_interval` of the mean difference (from ten pairs on). `wilcoxon_statistic` is min(W+, W-), its p-value exact with
    ties and zeros too, of the `n_differing` pairs that differ. `correlation` is Pearson's, of the arms over seeds: what pairing
    gains; `cohen_dz` the mean difference in standard deviations of the differences. None: the values allow none, and `caveats`
    says why.
    """

    n: int
    mean_difference: float
    standard_error: float | None
    confidence: float
    t_interval: Interval | None
    bca_interval: Interval | None
    t_statistic: float | None
    t_pvalue: float | None
    wilcoxon_statistic: float
    wilcoxon_pvalue: float
    n_differing: int
    correlation: float | None
    cohen_dz: float | None
    caveats: tuple[str, ...]

    @property
    def without_spread(self) -> bool:
        """All of two or more differences are equal, so that there is no t test."""
        return self.t_interval is not None and self.t_pvalue is None


def paired(a: Values, b: Values, *, confidence: float = 0.95) -> PairedComparison:
    """Describes how two arms differ seed by seed: `a[i]` and `b[i]` are of the same seed. What is claimed of a difference is
    decided by `studies.evidence`.

    In Wilcoxon's test pairs that differ by less than single precision resolves (2^-22 of the largest value) are left out as
    equal, and sizes that close are ties. Intervals cover as `describe` says, of the differences.
    """
    check_share("paired", "confidence", confidence)
    first, second = sample("paired", "a", a), sample("paired", "b", b)
    if first.size != second.size:
        raise ValueError(f"paired: a and b must hold the same seeds, got {first.size} and {second.size} values.")
    difference, n = first - second, first.size
    scale = float(max(np.abs(first).max(), np.abs(second).max()))
    if equal(difference, scale):
        difference = np.full(n, 0.0 if equal(np.append(difference, 0.0), scale) else np.median(difference))
    mean, error = mean_and_error(difference)
    spread = float(difference.std(ddof=1)) if error else None
    t = mean / error if error else None
    positive, wilcoxon_p, ranked = signed_rank(difference, _SINGLE * scale)
    caveats = [_no_spread("pair", n, error), bca_caveat(n)]
    if ranked < n:
        caveats.append(f"{n - ranked} of {counted(n, 'pair')} do not differ and are left out of Wilcoxon's test.")
    return PairedComparison(
        n=n,
        mean_difference=mean,
        standard_error=error,
        confidence=confidence,
        t_interval=t_interval(mean, error, n - 1, confidence),
        bca_interval=bca_interval(difference, confidence),
        t_statistic=t,
        t_pvalue=None if t is None else t_pvalue(t, n - 1),
        wilcoxon_statistic=min(positive, ranked * (ranked + 1) / 2 - positive),
        wilcoxon_pvalue=wilcoxon_p,
        n_differing=ranked,
        correlation=_correlation(first, second),
        cohen_dz=mean / spread if spread else None,
        caveats=tuple(caveat for caveat in caveats if caveat),
    )


@dataclass(frozen=True)
class IndependentComparison:
    """a - b, each arm on seeds of its own.

    `standard_error`, `t_interval`, `welch_t`, `welch_df`, `welch_pvalue` are Welch's (variances may differ); `student_t` and
    `student_pvalue` pool the variances, as the textbook does. `mann_whitney_u` counts the pairs in which a is the larger, a
    tie half; its two-sided p-value is exact (ties included) up to 100 seeds together, else asymptotic. `cohen_d` is the
    difference in pooled standard deviations, `hedges_g` the same without its small-sample bias. None: the values allow none,
    and `caveats` says why.
    """

    n_a: int
    n_b: int
    mean_difference: float
    standard_error: float | None
    confidence: float
    t_interval: Interval | None
    welch_t: float | None
    welch_df: float | None
    welch_pvalue: float | None
    student_t: float | None
    student_pvalue: float | None
    mann_whitney_u: float
    mann_whitney_pvalue: float
    mann_whitney_exact: bool
    cohen_d: float | None
    hedges_g: float | None
    caveats: tuple[str, ...]


def independent(a: Values, b: Values, *, confidence: float = 0.95) -> IndependentComparison:
    """Describes how two arms differ whose seeds have nothing in common. Arms of one study share theirs: `paired`.

    Sources: Welch (1947), Biometrika 34, 28-35; Mann and Whitney (1947), Ann. Math. Stat. 18, 50-60; Hedges (1981),
    J. Educ. Stat. 6, 107-128 (the exact correction).
    """
    check_share("independent", "confidence", confidence)
    first, second = sample("independent", "a", a), sample("independent", "b", b)
    n_a, n_b = first.size, second.size
    (mean_a, error_a), (mean_b, error_b) = mean_and_error(first), mean_and_error(second)
    mean = mean_a - mean_b
    u, u_p, exact = rank_sum(first, second)
    error = welch_df = pooled = None
    if error_a is not None and error_b is not None:
        error = math.hypot(error_a, error_b)
        pooled = math.sqrt((n_a * (n_a - 1) * error_a**2 + n_b * (n_b - 1) * error_b**2) / (n_a + n_b - 2))
        if error > 0:
            # In shares of the larger error, whose fourth power may underflow.
            share_a, share_b = (error_a / error) ** 2, (error_b / error) ** 2
            welch_df = 1 / (share_a**2 / (n_a - 1) + share_b**2 / (n_b - 1))
    welch_t = mean / error if error else None
    df = n_a + n_b - 2
    student_t = mean / (pooled * math.sqrt(1 / n_a + 1 / n_b)) if pooled else None
    cohen_d = mean / pooled if pooled else None
    caveat = _no_spread("seed an arm" if min(n_a, n_b) == 1 else "seed", min(n_a, n_b), error)
    return IndependentComparison(
        n_a=n_a,
        n_b=n_b,
        mean_difference=mean,
        standard_error=error,
        confidence=confidence,
        t_interval=t_interval(mean, error, welch_df or 1.0, confidence),
        welch_t=welch_t,
        welch_df=welch_df,
        welch_pvalue=None if welch_t is None or welch_df is None else t_pvalue(welch_t, welch_df),
        student_t=student_t,
        student_pvalue=None if student_t is None else t_pvalue(student_t, df),
        mann_whitney_u=u,
        mann_whitney_pvalue=u_p,
        mann_whitney_exact=exact,
        cohen_d=cohen_d,
        hedges_g=None if cohen_d is None else cohen_d * _hedges_correction(df),
        caveats=() if caveat is None else (caveat,),
    )


def _no_spread(what: str, n: int, error: float | None) -> str | None:
    if n == 1:
        return f"One {what} shows no spread: no standard error, no interval, no t test."
    if error == 0:
        return "The values do not vary: the interval has no width, and there is no t test and no effect size."
    return None


def _correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    if a.size < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _hedges_correction(df: int) -> float:
    """Gamma(df / 2) / (sqrt(df / 2) Gamma((df - 1) / 2)); 0 at df = 1 never arises, as each arm has two seeds."""
    return math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / math.sqrt(df / 2)
