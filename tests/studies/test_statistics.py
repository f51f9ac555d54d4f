"""Descriptions, comparisons and power against SciPy, statsmodels, published examples and enumeration; simulated error rates."""

# A test knows which of the results are not None.
# pyright: reportOptionalOperand=false, reportOptionalSubscript=false, reportGeneralTypeIssues=false
import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import special, stats as scipy_stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower, TTestPower
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from momentum_jax.studies import statistics

# Student (1908), Biometrika 6, 1-25: hours of sleep gained by ten patients with each of two drugs.
SLEEP_A = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_B = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def _draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def _within(share: float, expected: float, count: int) -> bool:
    """By four standard deviations of a binomial share."""
    return abs(share - expected) <= 4 * math.sqrt(expected * (1 - expected) / count)


def test_a_description_is_what_the_definitions_give():
    found = statistics.describe([5.0, 1.0, 2.0, 3.0, 100.0, 4.0, 0.0, 6.0])
    assert (found.n, found.mean, found.median, found.minimum, found.maximum) == (8, 15.125, 3.5, 0.0, 100.0)
    # Without 0, 1 and 6, 100.
    assert found.interquartile_mean == 3.5
    assert statistics.describe([1.0, 2.0, 6.0]).interquartile_mean == pytest.approx(3.0)


@pytest.mark.parametrize("n", [2, 5, 30])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_t_interval_agrees_with_statsmodels(n, confidence):
    values = 3 + _draw(n, n)
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
    values = _draw(0, 12)
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
    assert statistics.describe(_draw(0, 9)).bca_interval is None
    assert "No BCa interval of 9 values" in statistics.describe(_draw(0, 9)).caveats[0]
    assert statistics.describe(_draw(0, 10)).bca_interval is not None
    assert statistics.describe(_draw(0, 10)).caveats == ()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: statistics.describe([]), "describe: values must hold one number a seed, got shape"),
        (lambda: statistics.describe([[1.0]]), "describe: values must hold one number a seed, got shape"),
        (
            lambda: statistics.paired([1.0, math.nan], [1.0, 2.0]),
            "paired: a must be finite, got nan at position 1; decide first",
        ),
        (lambda: statistics.paired([1.0], [1.0, 2.0]), "paired: a and b must hold the same seeds, got 1 and 2 values"),
        (lambda: statistics.independent([1.0], [math.inf]), "independent: b must be finite, got inf at position 0"),
        (lambda: statistics.describe([1.0], confidence=95), "describe: confidence must be in .0, 1., got 95"),
        (lambda: statistics.holm({"a": 1.5}), "holm: every p-value must be in .0, 1., got 1.5 for 'a'"),
        (lambda: statistics.holm({"a": math.nan}), "holm: every p-value must be in"),
        (lambda: statistics.detectable_difference(0.0, 5), "detectable_difference: standard_deviation must be finite and pos"),
        (lambda: statistics.detectable_difference(1.0, 1), "detectable_difference: n and n_other must be at least 2, got 1"),
        (lambda: statistics.seeds_needed(1.0, 0.0), "seeds_needed: difference must be finite and not 0"),
        (lambda: statistics.seeds_needed(1.0, 1.0, power=0.01), "seeds_needed: power must be above alpha"),
        (lambda: statistics.mann_whitney_pvalue(10, 3, 3), "mann_whitney_pvalue: u must be in .0, n_a n_b. = .0, 9., got 10"),
        (lambda: statistics.mann_whitney_pvalue(0, 0, 3), "mann_whitney_pvalue: n_a and n_b must be at least 1, got 0 and 3"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_students_sleep_data_give_the_published_paired_and_welch_tests():
    # R's documentation of t.test: paired t = -4.0621, df = 9, p = 0.002833, interval (-2.4598858, -0.7001142);
    # Welch t = -1.8608, df = 17.776, p = 0.07939, interval (-3.3654832, 0.2054832).
    pairs, arms = statistics.paired(SLEEP_A, SLEEP_B), statistics.independent(SLEEP_A, SLEEP_B)
    assert pairs.t_statistic == pytest.approx(-4.0621, abs=5e-5)
    assert pairs.t_pvalue == pytest.approx(0.002833, abs=5e-7)
    assert pairs.t_interval == pytest.approx((-2.4598858, -0.7001142), abs=5e-8)
    assert pairs.correlation == pytest.approx(0.7951702, abs=5e-8)
    assert arms.welch_t == pytest.approx(-1.8608, abs=5e-5)
    assert arms.welch_df == pytest.approx(17.776, abs=5e-4)
    assert arms.welch_pvalue == pytest.approx(0.07939, abs=5e-6)
    assert arms.t_interval == pytest.approx((-3.3654832, 0.2054832), abs=5e-8)


def test_hollander_and_wolfes_examples_give_the_published_rank_tests():
    # Nonparametric Statistical Methods (1973), 29 and 69, as in R's documentation of wilcox.test: V = 40, p = 0.01953 and
    # W = 35, p = 0.1272, both one-sided and exact.
    before = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
    after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
    pairs = statistics.paired(before, after)
    assert pairs.wilcoxon_statistic == 45 - 40
    assert pairs.wilcoxon_pvalue == pytest.approx(2 * 0.01953, abs=1e-5)
    term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    early = [1.15, 0.88, 0.90, 0.74, 1.21]
    arms = statistics.independent(term, early)
    assert arms.mann_whitney_u == 35
    assert arms.mann_whitney_pvalue == pytest.approx(2 * 0.1272, abs=1e-4)


def test_the_textbooks_comparison_of_22_against_22_is_reproduced():
    # Published: 0.85778 ± 0.00056 and 0.86413 ± 0.00075, t = 6.774, p = 3e-8, d = 2.042, one-sided p = 1.26e-6 of U = 41.
    shape = _draw(7, 22)
    shape = (shape - shape.mean()) / (shape.std(ddof=1) / math.sqrt(22))
    found = statistics.independent(0.86413 + 0.00075 * shape, 0.85778 + 0.00056 * shape)
    # The rounding of the published means and errors leaves t within 0.06.
    assert found.student_t == pytest.approx(6.774, abs=0.06)
    assert found.welch_t == pytest.approx(found.student_t, rel=1e-12)
    assert found.student_pvalue == pytest.approx(3e-8, rel=0.2)
    assert found.cohen_d == pytest.approx(2.042, abs=0.02)
    assert statistics.mann_whitney_pvalue(41, 22, 22, two_sided=False) == pytest.approx(1.26e-6, rel=0.004)
    assert statistics.mann_whitney_pvalue(41, 22, 22) == pytest.approx(2.5e-6, rel=0.02)
    assert statistics.mann_whitney_pvalue(22 * 22 - 41, 22, 22) == statistics.mann_whitney_pvalue(41, 22, 22)


def test_the_asymptotic_p_value_of_u_is_scipys():
    a, b = _draw(0, 25), 0.5 + _draw(1, 20)
    theirs = scipy_stats.mannwhitneyu(a, b, method="asymptotic")
    assert statistics.mann_whitney_pvalue(theirs.statistic, 25, 20) == pytest.approx(theirs.pvalue, rel=1e-10)
    assert statistics.mann_whitney_pvalue(8, 4, 4) == 1.0


@pytest.mark.parametrize("n", [2, 5, 12, 40])
def test_paired_agrees_with_scipy(n):
    a, b = 2 + _draw(n, n), 2.3 + _draw(n + 1, n)
    found, theirs = statistics.paired(a, b), scipy_stats.ttest_rel(a, b)
    assert found.t_statistic == pytest.approx(theirs.statistic, rel=1e-10)
    assert found.t_pvalue == pytest.approx(theirs.pvalue, rel=1e-10)
    ranks = scipy_stats.wilcoxon(a, b, method="exact")
    assert (found.wilcoxon_statistic, found.wilcoxon_pvalue) == pytest.approx((ranks.statistic, ranks.pvalue), rel=1e-10)
    assert found.cohen_dz == pytest.approx(theirs.statistic / math.sqrt(n), rel=1e-10)


@pytest.mark.parametrize(("n_a", "n_b"), [(2, 2), (3, 8), (22, 22), (50, 50), (60, 70)])
def test_independent_agrees_with_statsmodels_and_scipy(n_a, n_b):
    a, b = _draw(n_a, n_a), 0.3 + 2 * _draw(n_b + 99, n_b)
    found, theirs = statistics.independent(a, b), CompareMeans(DescrStatsW(a), DescrStatsW(b))
    assert (found.welch_t, found.welch_pvalue, found.welch_df) == pytest.approx(theirs.ttest_ind(usevar="unequal"), rel=1e-10)
    assert (found.student_t, found.student_pvalue) == pytest.approx(theirs.ttest_ind(usevar="pooled")[:2], rel=1e-10)
    assert found.t_interval == pytest.approx(theirs.tconfint_diff(usevar="unequal"), rel=1e-10)
    method = "exact" if n_a + n_b <= 100 else "asymptotic"
    assert found.mann_whitney_exact == (method == "exact")
    ranks = scipy_stats.mannwhitneyu(a, b, method=method)
    assert (found.mann_whitney_u, found.mann_whitney_pvalue) == pytest.approx((ranks.statistic, ranks.pvalue), rel=1e-9)


def test_wilcoxon_is_exact_with_ties_and_zeros_by_enumeration_of_every_sign():
    differences = np.array([0.0, 1.0, 1.0, -2.0, 3.0, 3.0, 3.0, -1.0, 4.0, 0.0])
    sizes = np.abs(differences[differences != 0])
    ranks = scipy_stats.rankdata(sizes)
    seen = ranks[differences[differences != 0] > 0].sum()
    sums = np.array([ranks @ np.array(signs) for signs in itertools.product([0, 1], repeat=ranks.size)])
    expected = 2 * min((sums >= seen).mean(), (sums <= seen).mean())
    found = statistics.paired(differences + 5, np.full(10, 5.0))
    assert found.wilcoxon_pvalue == pytest.approx(expected, rel=1e-12)
    assert (found.n_differing, found.smallest_pvalue) == (8, 2 / 2**8)
    assert "2 of 10 pairs do not differ" in found.caveats[-1]


def test_mann_whitney_is_exact_with_ties_by_enumeration_of_every_split():
    a, b = [1.0, 2.0, 2.0, 3.0], [2.0, 3.0, 3.0, 4.0, 5.0]
    ranks = scipy_stats.rankdata(a + b)
    sums = np.array([ranks[list(split)].sum() for split in itertools.combinations(range(9), 4)])
    expected = 2 * min((sums >= ranks[:4].sum()).mean(), (sums <= ranks[:4].sum()).mean())
    found = statistics.independent(a, b)
    assert found.mann_whitney_pvalue == pytest.approx(expected, rel=1e-12)
    # 2 ties with 2.0, twice; one with 3.0, twice; nothing else of a is larger: 3.0 beats 2.0.
    assert found.mann_whitney_u == 0.5 * 4 + 1


def test_scores_in_single_precision_tie_as_their_counts_do():
    right_a = np.array([9113, 9120, 9137, 9102, 9144, 9150, 9161, 9129])
    right_b = right_a - np.array([10, 10, 10, -10, -10, 0, 20, 20])
    scores = [np.asarray(right / 10_000, np.float32).astype(np.float64) for right in (right_a, right_b)]
    counted, scored = statistics.paired(right_a, right_b), statistics.paired(*scores)
    assert scored.wilcoxon_pvalue == counted.wilcoxon_pvalue
    assert scored.n_differing == counted.n_differing == 7


@pytest.mark.parametrize("offset", [0.0, 1.0])
@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_differences_that_do_not_vary_have_no_t_test(offset, scale):
    a = scale * np.array([1.0, 2.0, 7.0, 4.0])
    found = statistics.paired(a + offset, a)
    assert found.mean_difference == pytest.approx(offset, abs=0 if offset == 0 else 1e-15)
    assert (found.t_statistic, found.t_pvalue, found.cohen_dz, found.detectable_difference) == (None,) * 4
    assert found.standard_error == 0.0
    assert found.wilcoxon_pvalue == (1.0 if offset == 0 else 2 / 2**4)
    assert found.correlation == pytest.approx(1.0)
    assert "do not vary" in found.sentence()


def test_arms_that_do_not_vary_have_no_t_test_but_keep_their_ranks():
    found = statistics.independent([0.1 + 0.2] * 4, [0.3, 0.3, 0.1 + 0.2, 0.3])
    assert (found.welch_t, found.student_t, found.cohen_d, found.hedges_g) == (None,) * 4
    assert found.t_interval == pytest.approx((0.0, 0.0), abs=1e-15)


def test_hedges_g_removes_the_bias_of_cohens_d():
    # Hedges and Olkin (1985), table 2 of chapter 5: J(10) = 0.9228, J(20) = 0.9619.
    for n, published in [(6, 0.9228), (11, 0.9619)]:
        found = statistics.independent(_draw(n, n), 1 + _draw(n + 1, n))
        assert found.hedges_g / found.cohen_d == pytest.approx(published, abs=5e-4)


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


def test_normality_is_scipys_test_and_refuses_fewer_than_twenty():
    values = np.random.default_rng(0).exponential(size=40)
    found, theirs = statistics.normality(values), scipy_stats.normaltest(values)
    assert (found.statistic, found.pvalue) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-10)
    assert "a departure from normality is seen" in found.sentence()
    few = statistics.normality(values[:19])
    assert (few.statistic, few.pvalue) == (None, None)
    assert "needs 20 values, got 19: normality is assumed, not checked" in few.sentence()
    assert statistics.normality([1.0] * 20).statistic is None
    assert "no departure" in statistics.normality(_draw(0, 30)).sentence()


SAMPLES = st.lists(st.floats(-1, 1).map(lambda x: round(x, 4)), min_size=3, max_size=9)


@settings(max_examples=60, deadline=None)
@given(SAMPLES, SAMPLES, st.sampled_from([-3.0, 0.0, 8.0]), st.sampled_from([0.25, 1.0, 1000.0]))
def test_comparisons_turn_with_a_swap_and_follow_a_change_of_unit(first, second, shift, scale):
    n = min(len(first), len(second))
    a, b = np.array(first), np.array(second)
    for compare, x, y in [(statistics.paired, a[:n], b[:n]), (statistics.independent, a, b)]:
        here, swapped = compare(x, y), compare(y, x)
        moved = compare(shift + scale * x, shift + scale * y)
        assert swapped.mean_difference == -here.mean_difference
        assert moved.mean_difference == pytest.approx(scale * here.mean_difference, abs=1e-12 * scale)
        low, high = here.t_interval
        assert swapped.t_interval == pytest.approx((-high, -low), rel=1e-9, abs=1e-12)
        assert moved.t_interval == pytest.approx((scale * low, scale * high), rel=1e-9, abs=1e-11 * scale)
        assert swapped.t_pvalue == (None if here.t_pvalue is None else pytest.approx(here.t_pvalue, rel=1e-9))
        ranks = "wilcoxon_pvalue" if compare is statistics.paired else "mann_whitney_pvalue"
        assert getattr(swapped, ranks) == pytest.approx(getattr(here, ranks), rel=1e-9)


def test_the_bca_interval_turns_with_a_swap_and_follows_a_change_of_unit():
    a, b = _draw(0, 15), np.random.default_rng(1).exponential(size=15)
    low, high = statistics.paired(a, b).bca_interval
    assert statistics.paired(b, a).bca_interval == pytest.approx((-high, -low), rel=1e-9)
    assert statistics.paired(1e-90 * a, 1e-90 * b).bca_interval == pytest.approx((1e-90 * low, 1e-90 * high), rel=1e-9)


def test_three_against_three_are_too_few_for_a_claim():
    found = statistics.independent([0.9, 0.91, 0.92], [0.5, 0.51, 0.52])
    assert found.mann_whitney_pvalue == found.smallest_pvalue == pytest.approx(0.1)
    assert found.welch_pvalue < 1e-4
    assert "with 3 against 3 seeds an exact Mann-Whitney p-value cannot fall below 0.1: too few seeds" in found.sentence()


@pytest.mark.parametrize(
    ("n", "said"), [(5, "cannot fall below 0.0625: too few seeds for a claim"), (6, "m is higher than g.")]
)
def test_a_claim_from_pairs_needs_six(n, said):
    a = np.linspace(0.9, 0.95, n)
    found = statistics.paired(a, a - 0.1 - 0.001 * np.arange(n))
    assert said in found.sentence("m", "g")
    assert found.smallest_pvalue == 2 / 2**n


def test_a_sentence_says_what_the_seeds_can_find_where_nothing_is_seen():
    a, b = _draw(0, 10), _draw(1, 10)
    found = statistics.paired(a, b)
    assert found.t_pvalue > 0.05
    assert f"finds one of {found.detectable_difference:.4g} in 80% of studies" in found.sentence()


def test_a_sentence_claims_nothing_where_only_the_t_test_sees_a_difference():
    found = statistics.paired([-0.1, 5.0, 5.1, 4.9, 5.2, 4.8], np.zeros(6))
    assert found.t_pvalue < 0.05 < found.wilcoxon_pvalue
    assert "no claim without assuming normality" in found.sentence()


@pytest.mark.parametrize("compare", [statistics.paired, statistics.independent])
def test_one_seed_is_too_few_for_anything(compare):
    found = compare([1.0], [3.0])
    assert (found.mean_difference, found.standard_error, found.t_interval, found.t_pvalue) == (-2.0, None, None, None)
    assert found.sentence().endswith("too few seeds for a claim.")


def test_the_noise_floor_is_the_half_width_of_welchs_interval_between_two_runs_of_one_arm():
    a, again = _draw(0, 8), _draw(1, 8)
    found, compared = statistics.noise_floor(a, again), statistics.independent(a, again)
    low, high = compared.t_interval
    assert found.half_width == pytest.approx((high - low) / 2, rel=1e-12)
    assert (found.difference, found.pvalue) == (compared.mean_difference, compared.welch_pvalue)
    assert "as chance would have it; independent arms closer than" in found.sentence()
    assert "by chance; if further seeds repeat it" in statistics.noise_floor(a, again + 5).sentence()
    assert statistics.noise_floor([1.0], [2.0]).sentence().endswith("too few seeds for a noise floor.")
    assert statistics.noise_floor([1.0, 1.0], [1.0, 1.0]).sentence().endswith("so they show no noise.")


@pytest.mark.parametrize("n", [1, 2, 12])
def test_every_result_is_json_of_plain_numbers(n):
    a, b = _draw(0, n), _draw(1, n)
    for found in (
        statistics.describe(a),
        statistics.paired(a, b),
        statistics.paired(a, a),
        statistics.independent(a, b),
        statistics.noise_floor(a, b),
        statistics.normality(a),
    ):
        json.dumps(dataclasses.asdict(found), allow_nan=False)
        assert found.sentence().endswith(".")


def test_the_t_interval_of_five_normal_values_covers_as_claimed_and_a_percentile_bootstrap_does_not():
    samples = _draw(0, 4000, 5)
    intervals = np.array([statistics.describe(sample).t_interval for sample in samples])
    assert _within(((intervals[:, 0] <= 0) & (intervals[:, 1] >= 0)).mean(), 0.95, 4000)
    # Every one of the 5^5 equally likely resamples: what a percentile bootstrap tends to.
    every = np.array(list(itertools.product(range(5), repeat=5)))
    ends = np.concatenate(
        [np.quantile(part[:, every].mean(axis=2), [0.025, 0.975], axis=1).T for part in np.split(samples, 40)]
    )
    assert ((ends[:, 0] <= 0) & (ends[:, 1] >= 0)).mean() == pytest.approx(0.83, abs=0.025)


def test_the_paired_tests_call_equal_arms_different_as_rarely_as_claimed():
    rng = np.random.default_rng(1)
    shared, a, b = rng.normal(size=(1500, 7)), rng.normal(size=(1500, 7)), rng.normal(size=(1500, 7))
    found = [statistics.paired(*pair) for pair in zip(3 * shared + a, 3 * shared + b, strict=True)]
    assert _within(np.mean([each.t_pvalue <= 0.05 for each in found]), 0.05, 1500)
    # Exact, so at most 5%: of 128 signs the six most extreme give at most 6 / 128 = 4.7%.
    assert _within(np.mean([each.wilcoxon_pvalue <= 0.05 for each in found]), 6 / 128, 1500)


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
    found = scipy_stats.ttest_1samp(true + _draw(n, 20_000, n), 0.0, axis=1).pvalue <= 0.05
    assert _within(found.mean(), 0.8, 20_000)
    two = statistics.detectable_difference(1.0, n, n + 2)
    found = scipy_stats.ttest_ind(two + _draw(n, 20_000, n), _draw(n + 1, 20_000, n + 2), axis=1).pvalue <= 0.05
    assert _within(found.mean(), 0.8, 20_000)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "normal", "exponential"), [(10, 0.90, 0.88), (20, 0.92, 0.91)])
def test_bca_covers_as_the_docstring_says(n, normal, exponential):
    rng = np.random.default_rng(n)
    for draw, truth, said in [(rng.normal, 0.0, normal), (rng.exponential, 1.0, exponential)]:
        intervals = np.array([statistics.describe(draw(size=n)).bca_interval for _ in range(400)])
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
    denied = np.mean([statistics.normality(sample).pvalue <= 0.05 for sample in _draw(5, 4000, 20)])
    assert denied == pytest.approx(0.055, abs=0.015)
