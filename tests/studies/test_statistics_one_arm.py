"""Descriptions of one arm and normality, against SciPy, statsmodels and formulas written out; simulated coverage."""

# A test knows which of the results are not None.
# pyright: reportOptionalOperand=false, reportOptionalSubscript=false, reportGeneralTypeIssues=false
import itertools

import numpy as np
import pytest
from draws import draw, within
from scipy import special, stats as scipy_stats
from statsmodels.stats.weightstats import DescrStatsW

from momentum_jax.studies import statistics


def test_a_description_is_what_the_definitions_give():
    found = statistics.describe([5.0, 1.0, 2.0, 3.0, 100.0, 4.0, 0.0, 6.0])
    assert (found.n, found.mean, found.median, found.minimum, found.maximum) == (8, 15.125, 3.5, 0.0, 100.0)
    # Without 0, 1 and 6, 100.
    assert found.interquartile_mean == 3.5
    assert statistics.describe([1.0, 2.0, 6.0]).interquartile_mean == pytest.approx(3.0)


@pytest.mark.parametrize("n", [2, 5, 30])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_t_interval_agrees_with_statsmodels(n, confidence):
    values = 3 + draw(n, n)
    found = statistics.describe(values, confidence=confidence)
    theirs = DescrStatsW(values)
    assert found.t_interval == pytest.approx(theirs.tconfint_mean(alpha=1 - confidence), rel=1e-10)
    assert found.standard_error == pytest.approx(theirs.std_mean, rel=1e-10)


def test_the_bca_interval_agrees_with_efrons_formula_written_out():
    values = np.random.default_rng(3).exponential(size=15)
    mean, n = values.mean(), values.size
    resampled = values[np.random.default_rng(4).integers(0, n, (200_000, n))].mean(axis=1)
    shift = special.ndtri((resampled < mean).mean())
    influence = values - mean
    acceleration = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
    normal = shift + special.ndtri([0.025, 0.975])
    levels = special.ndtr(shift + normal / (1 - acceleration * normal))
    expected = np.quantile(resampled, levels)
    found = statistics.describe(values).bca_interval
    assert found == pytest.approx(tuple(expected), abs=0.02 * np.ptp(expected))
    plain = np.quantile(resampled, [0.025, 0.975])
    assert abs(plain - expected).max() > 0.06 * np.ptp(expected), "no skewness to correct: the test could not fail"


def test_the_bootstrap_gives_the_same_interval_every_time():
    values = draw(0, 12)
    assert statistics.describe(values) == statistics.describe(values)


def test_one_value_has_no_interval_and_says_so():
    found = statistics.describe([0.5])
    assert (found.mean, found.standard_error, found.t_interval, found.bca_interval) == (0.5, None, None, None)
    assert found.caveats[0] == "One value has no standard error and no interval."


@pytest.mark.parametrize("n", [2, 12])
def test_equal_values_have_an_interval_without_width(n):
    found = statistics.describe([0.1] * n)
    assert (found.mean, found.standard_error, found.t_interval) == (0.1, 0.0, (0.1, 0.1))
    assert found.bca_interval == ((0.1, 0.1) if n == 12 else None)
    assert "intervals have no width" in found.caveats[0]


def test_a_bca_interval_is_refused_where_it_would_not_cover():
    assert statistics.describe(draw(0, 9)).bca_interval is None
    assert "No BCa interval of 9 values" in statistics.describe(draw(0, 9)).caveats[0]
    assert statistics.describe(draw(0, 10)).bca_interval is not None
    assert statistics.describe(draw(0, 10)).caveats == ()


def test_normality_is_scipys_test_and_refuses_fewer_than_twenty():
    values = np.random.default_rng(0).exponential(size=40)
    found, theirs = statistics.normality(values), scipy_stats.normaltest(values)
    assert (found.statistic, found.pvalue) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-10)
    few = statistics.normality(values[:19])
    assert (few.statistic, few.pvalue) == (None, None)
    assert "needs 20 values, got 19: normality is assumed, not checked" in few.caveats[0]
    assert statistics.normality([1.0] * 20).statistic is None


@pytest.mark.slow
def test_the_t_interval_of_five_normal_values_covers_as_claimed_and_a_percentile_bootstrap_does_not():
    samples = draw(0, 4000, 5)
    intervals = np.array([statistics.describe(sample).t_interval for sample in samples])
    assert within(((intervals[:, 0] <= 0) & (intervals[:, 1] >= 0)).mean(), 0.95, 4000)
    # Every one of the 5^5 equally likely resamples: what a percentile bootstrap tends to.
    every = np.array(list(itertools.product(range(5), repeat=5)))
    ends = np.concatenate(
        [np.quantile(part[:, every].mean(axis=2), [0.025, 0.975], axis=1).T for part in np.split(samples, 40)]
    )
    assert ((ends[:, 0] <= 0) & (ends[:, 1] >= 0)).mean() == pytest.approx(0.83, abs=0.025)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "normal", "exponential"), [(10, 0.90, 0.88), (20, 0.92, 0.91)])
def test_bca_covers_as_the_docstring_says(n, normal, exponential):
    rng = np.random.default_rng(n)
    for sample, truth, said in [(rng.normal, 0.0, normal), (rng.exponential, 1.0, exponential)]:
        intervals = np.array([statistics.describe(sample(size=n)).bca_interval for _ in range(400)])
        covered = ((intervals[:, 0] <= truth) & (intervals[:, 1] >= truth)).mean()
        assert covered == pytest.approx(said, abs=0.045)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "said"), [(5, 0.88), (10, 0.90), (20, 0.92)])
def test_the_t_interval_covers_skewed_values_as_the_docstring_says(n, said):
    rng = np.random.default_rng(n)
    # BCa, which costs the time, does not enter: SciPy's interval, which the function's agrees with.
    samples = rng.exponential(size=(20_000, n))
    low, high = scipy_stats.ttest_1samp(samples, 0.0, axis=1).confidence_interval(0.95)
    assert ((low <= 1) & (high >= 1)).mean() == pytest.approx(said, abs=0.01)


@pytest.mark.slow
def test_normality_is_denied_to_twenty_normal_values_about_as_rarely_as_claimed():
    denied = np.mean([statistics.normality(sample).pvalue <= 0.05 for sample in draw(5, 4000, 20)])
    assert denied == pytest.approx(0.055, abs=0.015)
