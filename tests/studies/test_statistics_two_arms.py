"""Comparisons of two arms against SciPy, statsmodels, published examples and enumeration; simulated error rates."""

# A test knows which of the results are not None.
# pyright: reportOptionalOperand=false, reportOptionalSubscript=false, reportGeneralTypeIssues=false
import itertools
import math

import numpy as np
import pytest
from draws import draw, within
from hypothesis import given, settings, strategies as st
from scipy import stats as scipy_stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from momentum_jax.studies import statistics

# Student (1908), Biometrika 6, 1-25: hours of sleep gained by ten patients with each of two drugs.
SLEEP_A = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_B = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
SAMPLES = st.lists(st.floats(-1, 1).map(lambda x: round(x, 4)), min_size=3, max_size=9)


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
    shape = draw(7, 22)
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
    a, b = draw(0, 25), 0.5 + draw(1, 20)
    theirs = scipy_stats.mannwhitneyu(a, b, method="asymptotic")
    assert statistics.mann_whitney_pvalue(theirs.statistic, 25, 20) == pytest.approx(theirs.pvalue, rel=1e-10)
    assert statistics.mann_whitney_pvalue(8, 4, 4) == 1.0


@pytest.mark.parametrize("n", [2, 5, 12, 40])
def test_paired_agrees_with_scipy(n):
    a, b = 2 + draw(n, n), 2.3 + draw(n + 1, n)
    found, theirs = statistics.paired(a, b), scipy_stats.ttest_rel(a, b)
    assert found.t_statistic == pytest.approx(theirs.statistic, rel=1e-10)
    assert found.t_pvalue == pytest.approx(theirs.pvalue, rel=1e-10)
    ranks = scipy_stats.wilcoxon(a, b, method="exact")
    assert (found.wilcoxon_statistic, found.wilcoxon_pvalue) == pytest.approx((ranks.statistic, ranks.pvalue), rel=1e-10)
    assert found.cohen_dz == pytest.approx(theirs.statistic / math.sqrt(n), rel=1e-10)


@pytest.mark.parametrize(("n_a", "n_b"), [(2, 2), (3, 8), (22, 22), (50, 50), (60, 70)])
def test_independent_agrees_with_statsmodels_and_scipy(n_a, n_b):
    a, b = draw(n_a, n_a), 0.3 + 2 * draw(n_b + 99, n_b)
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
    assert found.n_differing == 8
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
    assert (found.t_statistic, found.t_pvalue, found.cohen_dz) == (None,) * 3
    assert found.standard_error == 0.0
    assert found.wilcoxon_pvalue == (1.0 if offset == 0 else 2 / 2**4)
    assert found.correlation == pytest.approx(1.0)
    assert found.without_spread


def test_arms_that_do_not_vary_have_no_t_test_but_keep_their_ranks():
    found = statistics.independent([0.1 + 0.2] * 4, [0.3, 0.3, 0.1 + 0.2, 0.3])
    assert (found.welch_t, found.student_t, found.cohen_d, found.hedges_g) == (None,) * 4
    assert found.t_interval == pytest.approx((0.0, 0.0), abs=1e-15)


def test_hedges_g_removes_the_bias_of_cohens_d():
    # Hedges and Olkin (1985), table 2 of chapter 5: J(10) = 0.9228, J(20) = 0.9619.
    for n, published in [(6, 0.9228), (11, 0.9619)]:
        found = statistics.independent(draw(n, n), 1 + draw(n + 1, n))
        assert found.hedges_g / found.cohen_d == pytest.approx(published, abs=5e-4)


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
        t = "t_pvalue" if compare is statistics.paired else "welch_pvalue"
        assert getattr(swapped, t) == (None if getattr(here, t) is None else pytest.approx(getattr(here, t), rel=1e-9))
        ranks = "wilcoxon_pvalue" if compare is statistics.paired else "mann_whitney_pvalue"
        assert getattr(swapped, ranks) == pytest.approx(getattr(here, ranks), rel=1e-9)


def test_the_bca_interval_turns_with_a_swap_and_follows_a_change_of_unit():
    a, b = draw(0, 15), np.random.default_rng(1).exponential(size=15)
    low, high = statistics.paired(a, b).bca_interval
    assert statistics.paired(b, a).bca_interval == pytest.approx((-high, -low), rel=1e-9)
    assert statistics.paired(1e-90 * a, 1e-90 * b).bca_interval == pytest.approx((1e-90 * low, 1e-90 * high), rel=1e-9)


def test_the_paired_tests_call_equal_arms_different_as_rarely_as_claimed():
    rng = np.random.default_rng(1)
    shared, a, b = rng.normal(size=(1500, 7)), rng.normal(size=(1500, 7)), rng.normal(size=(1500, 7))
    found = [statistics.paired(*pair) for pair in zip(3 * shared + a, 3 * shared + b, strict=True)]
    assert within(np.mean([each.t_pvalue <= 0.05 for each in found]), 0.05, 1500)
    # Exact, so at most 5%: of 128 signs the six most extreme give at most 6 / 128 = 4.7%.
    assert within(np.mean([each.wilcoxon_pvalue <= 0.05 for each in found]), 6 / 128, 1500)
