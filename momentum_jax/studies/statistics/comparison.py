"""Two arms: on the same seeds, on seeds of their own, and one arm against itself."""

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
    p_shown,
    sample,
    t_interval,
    t_pvalue,
)
from momentum_jax.studies.statistics.holm import lost_to_holm
from momentum_jax.studies.statistics.power import detectable_difference, seeds_needed
from momentum_jax.studies.statistics.ranks import rank_sum, signed_rank

# Losses and scores are computed in single precision: their differences are no finer than this share of the values.
_SINGLE = 2.0**-22


@dataclass(frozen=True)
class PairedComparison:
    """a - b over n seeds that both arms have run.

    `standard_error`, `t_interval`, `t_statistic`, `t_pvalue` are those of the paired t test (n - 1 degrees of freedom),
    `bca_interval` of the mean difference (from ten pairs on). `wilcoxon_statistic` is min(W+, W-), its p-value exact with
    ties and zeros too, and never below `smallest_pvalue` = 2 / 2^m for the m = `n_differing` pairs that differ.
    `correlation` is Pearson's, of the arms over seeds: what pairing gains; `cohen_dz` the mean difference in standard
    deviations of the differences. `detectable_difference` is what n such pairs find with a power of 80%, `seeds_needed` how
    many pairs would find the mean difference, were it the true one. None: the values allow none, and `caveats` says why.
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
    smallest_pvalue: float
    correlation: float | None
    cohen_dz: float | None
    detectable_difference: float | None
    seeds_needed: int | None
    caveats: tuple[str, ...]

    @property
    def without_spread(self) -> bool:
        """All of two or more differences are equal: no t test can judge them, the exact signed-rank test can."""
        return self.t_interval is not None and self.t_pvalue is None

    @property
    def pvalue(self) -> float | None:
        """The t test's; of the exact signed-rank test where the differences do not vary; None: of a single pair."""
        return self.wilcoxon_pvalue if self.without_spread else self.t_pvalue

    def sentence(
        self,
        a: str = "a",
        b: str = "b",
        unit: str = "",
        form: str = ".4g",
        *,
        scale: float = 1.0,
        corrected: float | None = None,
        comparisons: int = 1,
    ) -> str:
        """In words, in units of 1 / `scale`; `corrected` is the p-value after Holm's correction for so many `comparisons`."""
        text = f"{a} - {b}: {scale * self.mean_difference:{form}}{unit} over {counted(self.n, 'paired seed')}"
        if self.t_interval is None:
            return f"{text}: too few seeds for a claim."
        if not self.without_spread:
            text += _interval_shown(self.t_interval, self.confidence, form, scale)
        text += f", exact Wilcoxon {p_shown(self.wilcoxon_pvalue)}"
        pairs = counted(self.n_differing, "pair") + " that differ" * (self.n_differing < self.n)
        least = f"with {pairs} an exact Wilcoxon p-value cannot fall below {self.smallest_pvalue:.3g}"
        if (lost := lost_to_holm(self.pvalue, corrected, comparisons, alpha=1 - self.confidence)) is not None:
            return f"{text}: {lost}."
        return f"{text}: {_conclusion(a, b, self, self.wilcoxon_pvalue, least, unit, form, scale)}"


def paired(a: Values, b: Values, *, confidence: float = 0.95) -> PairedComparison:
    """Compares two arms seed by seed: `a[i]` and `b[i]` are of the same seed. The primary comparison of a study.

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
    wilcoxon, wilcoxon_p, ranked = signed_rank(difference, _SINGLE * scale)
    alpha = 1 - confidence
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
        wilcoxon_statistic=wilcoxon,
        wilcoxon_pvalue=wilcoxon_p,
        n_differing=ranked,
        smallest_pvalue=min(1.0, 2.0 ** (1 - ranked)),
        correlation=_correlation(first, second),
        cohen_dz=mean / spread if spread else None,
        detectable_difference=detectable_difference(spread, n, alpha=alpha) if spread else None,
        seeds_needed=seeds_needed(spread, mean, alpha=alpha) if spread and mean else None,
        caveats=tuple(caveat for caveat in caveats if caveat),
    )


@dataclass(frozen=True)
class IndependentComparison:
    """a - b, each arm on seeds of its own.

    `standard_error`, `t_interval`, `welch_t`, `welch_df`, `welch_pvalue` are Welch's (variances may differ); `student_t` and
    `student_pvalue` pool the variances, as the textbook does. `mann_whitney_u` counts the pairs in which a is the larger, a
    tie half; its two-sided p-value is exact (ties included) up to 100 seeds together, else asymptotic, and never below
    `smallest_pvalue` = 2 / C(n_a + n_b, n_a). `cohen_d` is the difference in pooled standard deviations, `hedges_g` the same
    without its small-sample bias. `detectable_difference` is what these seeds find with a power of 80% (pooled),
    `seeds_needed` how many an arm would find the difference, were it the true one. None: the values allow none, and
    `caveats` says why.
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
    smallest_pvalue: float
    cohen_d: float | None
    hedges_g: float | None
    detectable_difference: float | None
    seeds_needed: int | None
    caveats: tuple[str, ...]

    @property
    def t_pvalue(self) -> float | None:
        """Welch's, the one to report."""
        return self.welch_pvalue

    def sentence(self, a: str = "a", b: str = "b", unit: str = "", form: str = ".4g") -> str:
        against = f"{self.n_a} against {self.n_b} seeds"
        text = f"{a} - {b}: {self.mean_difference:{form}}{unit}, {against}"
        if self.t_interval is None:
            return f"{text}: too few seeds for a claim."
        text += _interval_shown(self.t_interval, self.confidence, form)
        text += f", {'exact ' * self.mann_whitney_exact}Mann-Whitney {p_shown(self.mann_whitney_pvalue)}"
        least = f"with {against} an exact Mann-Whitney p-value cannot fall below {self.smallest_pvalue:.3g}"
        return f"{text}: {_conclusion(a, b, self, self.mann_whitney_pvalue, least, unit, form)}"


def independent(a: Values, b: Values, *, confidence: float = 0.95) -> IndependentComparison:
    """Compares two arms whose seeds have nothing in common. Arms of one study share theirs: use `paired`.

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
    alpha = 1 - confidence
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
        smallest_pvalue=_smallest_split(n_a, n_b),
        cohen_d=cohen_d,
        hedges_g=None if cohen_d is None else cohen_d * _hedges_correction(df),
        detectable_difference=detectable_difference(pooled, n_a, n_b, alpha=alpha) if pooled else None,
        seeds_needed=seeds_needed(pooled, mean, paired=False, alpha=alpha) if pooled and mean else None,
        caveats=() if caveat is None else (caveat,),
    )


@dataclass(frozen=True)
class NoiseFloor:
    """One arm against itself on independent seeds: what differs here differs by chance.

    `difference` is the first mean less the second, with Welch's `t_interval` and `pvalue`; `half_width` of the interval is
    the floor: two arms with seeds of their own that differ by less are not told apart by as many seeds.
    """

    n: int
    n_again: int
    difference: float
    confidence: float
    t_interval: Interval | None
    half_width: float | None
    pvalue: float | None
    caveats: tuple[str, ...]

    def sentence(self, label: str = "the arm", unit: str = "", form: str = ".4g", *, scale: float = 1.0) -> str:
        """In words, in units of 1 / `scale`."""
        text = f"{label} against itself, {self.n} against {self.n_again} seeds: {scale * self.difference:{form}}{unit}"
        if self.t_interval is None or self.half_width is None:
            return f"{text}: too few seeds for a noise floor."
        text += _interval_shown(self.t_interval, self.confidence, form, scale)
        if self.pvalue is None and self.difference:
            return (
                f"{text}: neither set varies and yet they differ, so there is no noise floor; few test examples, runs that "
                "learned nothing or runs that were not made alike can be why."
            )
        if self.pvalue is None:
            return f"{text}: the values do not vary, so they show no noise."
        floor = f"arms on seeds of their own are not told apart by less than {scale * self.half_width:{form}}{unit}"
        if self.pvalue > 1 - self.confidence:
            return f"{text}, {p_shown(self.pvalue)}: as chance would have it; {floor}."
        return (
            f"{text}, {p_shown(self.pvalue)}: the interval leaves out zero, as it does in {1 - self.confidence:.0%} of such "
            f"controls by chance; if further seeds repeat it, the two sets of runs were not made alike."
        )


def noise_floor(a: Values, a_again: Values, *, confidence: float = 0.95) -> NoiseFloor:
    """The A/A control: the values of one arm on two sets of seeds that have nothing in common.

    The floor is that of arms with seeds of their own. Pairing takes out what seeds share, so `paired` may resolve less.
    """
    found = independent(a, a_again, confidence=confidence)
    interval = found.t_interval
    return NoiseFloor(
        n=found.n_a,
        n_again=found.n_b,
        difference=found.mean_difference,
        confidence=confidence,
        t_interval=interval,
        half_width=None if interval is None else (interval[1] - interval[0]) / 2,
        pvalue=found.welch_pvalue,
        caveats=found.caveats,
    )


def _conclusion(
    a: str,
    b: str,
    found: PairedComparison | IndependentComparison,
    rank_pvalue: float,
    least: str,
    unit: str,
    form: str,
    scale: float = 1.0,
) -> str:
    """What the t test, and the rank test that assumes no normality, allow to say."""
    alpha = 1 - found.confidence
    if found.t_pvalue is None:
        if isinstance(found, PairedComparison) and rank_pvalue <= alpha:
            return f"the differences do not vary, {a} is {'higher' if found.mean_difference > 0 else 'lower'} on every seed."
        return "the values do not vary, so no t test tells their difference from chance."
    if found.t_pvalue > alpha:
        seen = "no difference is seen by the t test"
        if found.detectable_difference is not None and found.smallest_pvalue <= alpha:
            seen += f", which at these seeds finds one of {scale * found.detectable_difference:{form}}{unit} in 80% of studies"
        return f"{seen}; {least}." if found.smallest_pvalue > alpha else f"{seen}."
    if found.smallest_pvalue > alpha:
        return f"the t interval leaves out zero, but {least}: too few seeds for a claim that does not assume normality."
    if rank_pvalue > alpha:
        return "the t interval leaves out zero, the rank test does not agree: no claim without assuming normality."
    return f"{a} is {'higher' if found.mean_difference > 0 else 'lower'} than {b}."


def _interval_shown(interval: Interval, confidence: float, form: str, scale: float = 1.0) -> str:
    low, high = (scale * end for end in interval)
    return f", {confidence:.0%} t interval [{low:{form}}, {high:{form}}]"


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


def _smallest_split(n_a: int, n_b: int) -> float:
    return min(1.0, 2 / math.comb(n_a + n_b, n_a))


def _hedges_correction(df: int) -> float:
    """Gamma(df / 2) / (sqrt(df / 2) Gamma((df - 1) / 2)); 0 at df = 1 never arises, as each arm has two seeds."""
    return math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / math.sqrt(df / 2)
