"""Power and Holm's correction against statsmodels and published tables; simulated rates."""

# A test knows which of the results are not None.
# pyright: reportOptionalOperand=false, reportOptionalSubscript=false, reportGeneralTypeIssues=false
import math

import numpy as np
import pytest
from draws import draw, within
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower, TTestPower

from momentum_jax.studies import statistics


# Not the fewest seeds at the highest power: statsmodels then gives NaN, as SciPy's tail does.
@pytest.mark.parametrize(
    ("n", "power", "alpha"),
    [(3, 0.8, 0.05), (5, 0.8, 0.05), (10, 0.8, 0.05), (30, 0.8, 0.05), (10, 0.95, 0.01), (30, 0.95, 0.01)],
)
def test_the_detectable_difference_is_the_one_at_which_statsmodels_finds_that_power(n, power, alpha):
    pairs = statistics.detectable_difference(2.0, n, power=power, alpha=alpha)
    assert TTestPower().power(pairs / 2.0, n, alpha) == pytest.approx(power, rel=1e-8)
    arms = statistics.detectable_difference(2.0, n, 2 * n, power=power, alpha=alpha)
    assert TTestIndPower().power(arms / 2.0, n, alpha, ratio=2) == pytest.approx(power, rel=1e-8)


@pytest.mark.parametrize(("effect", "pairs", "arms"), [(0.2, 199, 394), (0.5, 34, 64), (0.8, 15, 26)])
def test_the_seeds_needed_are_cohens_table(effect, pairs, arms):
    # Cohen (1988), Statistical Power Analysis, table 2.4.1 (d = 0.5 and 0.8; 0.2 as G*Power gives it); pairs by G*Power.
    assert statistics.seeds_needed(10.0, 10 * effect) == pairs
    assert statistics.seeds_needed(10.0, -10 * effect, paired=False) == arms


@pytest.mark.parametrize("ratio", [1e-3, 0.01, 0.3, 1.0, 5.0, 37.0, 1e4])
def test_the_seeds_needed_are_the_fewest_that_suffice(ratio):
    n = statistics.seeds_needed(1.0, ratio)
    assert n is not None
    assert n >= 2
    assert statistics.detectable_difference(1.0, n) <= ratio
    assert n == 2 or statistics.detectable_difference(1.0, n - 1) > ratio


def test_a_difference_of_almost_nothing_needs_more_seeds_than_are_counted():
    assert statistics.seeds_needed(1.0, 1e-200) is None
    assert statistics.seeds_needed(1.0, 1e-4) > 10**8


def test_holm_is_statsmodels_holm_in_the_order_given():
    rng = np.random.default_rng(0)
    for m in (1, 2, 5, 9):
        pvalues = dict(enumerate(np.round(rng.uniform(size=m) ** 3, 2).tolist()))
        expected = multipletests(list(pvalues.values()), method="holm")[1]
        adjusted = statistics.holm(pvalues)
        assert list(adjusted) == list(pvalues)
        np.testing.assert_allclose(list(adjusted.values()), expected, rtol=1e-12)
    assert statistics.holm({}) == {}


def test_holm_makes_any_false_claim_among_five_arms_at_most_as_rare_as_claimed():
    rng = np.random.default_rng(2)
    control, arms = rng.normal(size=(6000, 1, 8)), rng.normal(size=(6000, 5, 8))
    pvalues = scipy_stats.ttest_rel(arms, control, axis=2).pvalue
    adjusted = np.array([list(statistics.holm(dict(enumerate(row))).values()) for row in pvalues.tolist()])
    any_claim = (adjusted <= 0.05).any(axis=1).mean()
    assert any_claim <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 6000)
    assert (pvalues <= 0.05).any(axis=1).mean() > 0.12, "uncorrected claims are rare: the test could not fail"


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_detectable_difference_is_detected_in_four_of_five_studies(n):
    true = statistics.detectable_difference(1.0, n)
    found = scipy_stats.ttest_1samp(true + draw(n, 20_000, n), 0.0, axis=1).pvalue <= 0.05
    assert within(found.mean(), 0.8, 20_000)
    two = statistics.detectable_difference(1.0, n, n + 2)
    found = scipy_stats.ttest_ind(two + draw(n, 20_000, n), draw(n + 1, 20_000, n + 2), axis=1).pvalue <= 0.05
    assert within(found.mean(), 0.8, 20_000)
