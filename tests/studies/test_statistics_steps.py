"""Steps to a target as censored data: against statsmodels, published curves, enumeration of every split, and simulation."""

# A test knows which of the results are not None.
# pyright: reportOptionalOperand=false, reportOptionalSubscript=false, reportGeneralTypeIssues=false
import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from momentum_jax.studies import statistics

A = [100, 200, 200, 300, 500, None, 100]
B = [300, 500, 700, None, None, 800, 1000]
BUDGET = 1000

# Weeks in remission of 21 patients given placebo (Freireich et al. 1963, Blood 21, 699-716): none censored.
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


def _capped(steps: list, budget: float) -> tuple[np.ndarray, np.ndarray]:
    return np.array([budget if s is None else s for s in steps], float), np.array([s is not None for s in steps])


def _drawn(rng: np.random.Generator, n: int, budget: float) -> list[int | None]:
    """Steps on a grid of evaluations, the late ones never."""
    return [None if step > budget else int(step) for step in 100 * np.ceil(rng.lognormal(1.5, 0.7, n))]


def test_the_curve_of_the_placebo_arm_is_the_published_one():
    found = statistics.kaplan_meier(PLACEBO, 23)
    assert found.times == (1, 2, 3, 4, 5, 8, 11, 12, 15, 17, 22, 23)
    # As in Kleinbaum and Klein, Survival Analysis, table 2.2 and R's survfit.
    published = [0.9048, 0.8095, 0.7619, 0.6667, 0.5714, 0.3810, 0.2857, 0.1905, 0.1429, 0.0952, 0.0476, 0.0]
    np.testing.assert_allclose(found.survival, published, atol=5e-5)
    assert found.median == 8
    assert found.restricted_mean == pytest.approx(8.667, abs=5e-4)


@pytest.mark.parametrize("steps", [A, B, [None, 100], [1000, None, None]])
def test_the_curve_agrees_with_statsmodels(steps):
    found = statistics.kaplan_meier(steps, BUDGET)
    capped, reached = _capped(steps, BUDGET)
    theirs = SurvfuncRight(capped, reached)
    shown = theirs.n_events > 0
    np.testing.assert_allclose(found.times, theirs.surv_times[shown])
    np.testing.assert_allclose(found.survival, theirs.surv_prob[shown], rtol=1e-12)
    for count, low, high in zip(np.rint(np.array(found.survival) * found.n), found.low, found.high, strict=True):
        assert (low, high) == pytest.approx(scipy_stats.binomtest(int(count), found.n).proportion_ci(method="exact"))


def test_the_restricted_mean_is_the_area_under_the_curve():
    found = statistics.kaplan_meier(A, BUDGET)
    assert found.never == 1
    edges, heights = [0.0, *found.times, BUDGET], [1.0, *found.survival]
    assert found.restricted_mean == pytest.approx(np.dot(np.diff(edges), heights), rel=1e-12)
    low, high = found.restricted_mean_interval
    capped, _ = _capped(A, BUDGET)
    theirs = scipy_stats.ttest_1samp(capped, 0).confidence_interval()
    assert (low, high) == pytest.approx((theirs.low, theirs.high), rel=1e-10)
    assert statistics.kaplan_meier([900, None, 100, None], BUDGET).restricted_mean_interval[1] == BUDGET


@pytest.mark.parametrize(("n", "rank"), [(6, 1), (8, 1), (9, 2), (10, 2), (15, 4), (20, 6), (30, 10)])
def test_the_limits_of_the_median_are_the_published_order_statistics(n, rank):
    # Conover, Practical Nonparametric Statistics, table of limits of the median at 95%.
    found = statistics.kaplan_meier([100 * (i + 1) for i in range(n)], 10_000)
    assert found.median_interval == (100 * rank, 100 * (n + 1 - rank))


def test_five_runs_are_too_few_for_limits_of_the_median_and_a_run_that_never_came_leaves_them_open():
    few = statistics.kaplan_meier([100, 200, 300, 400, 500], BUDGET)
    assert few.median_interval is None
    assert "needs more runs than 5" in few.caveats[-1]
    open_above = statistics.kaplan_meier([100, 200, 300, 400, 500, None], BUDGET)
    assert (open_above.median, open_above.median_interval) == (300, (100, None))


def test_an_arm_that_never_arrives_has_no_median_and_its_mean_is_a_bound():
    found = statistics.kaplan_meier([None] * 7, BUDGET)
    assert (found.never, found.median, found.median_interval, found.times) == (7, None, (None, None), ())
    assert (found.restricted_mean, found.restricted_mean_interval) == (BUDGET, (BUDGET, BUDGET))
    assert "the mean is a lower bound" in found.caveats[0]


@pytest.mark.parametrize(
    ("a", "b"), [(A, B), (B, A), (A, A[:3]), ([100], B), (B, [300]), (PLACEBO, [2 * step for step in PLACEBO])]
)
def test_the_log_rank_statistic_agrees_with_statsmodels(a, b):
    found = statistics.log_rank(a, b, BUDGET)
    (times_a, reached_a), (times_b, reached_b) = _capped(a, BUDGET), _capped(b, BUDGET)
    group = np.repeat([0, 1], [len(a), len(b)])
    chi2, pvalue = survdiff(np.concatenate([times_a, times_b]), np.concatenate([reached_a, reached_b]), group)
    assert found.statistic**2 == pytest.approx(chi2, rel=1e-10)
    assert found.asymptotic_pvalue == pytest.approx(pvalue, rel=1e-10)
    assert (found.reached_a, found.reached_b) == (reached_a.sum(), reached_b.sum())


def test_the_log_rank_statistic_is_positive_where_the_first_arm_is_sooner():
    assert statistics.log_rank(A, B, BUDGET).statistic > 0 > statistics.log_rank(B, A, BUDGET).statistic


SPLIT = [[100, 200, 200, None, 200, 400, None, None, 500], [800, 100, 200, 200, None, 300, 300, 900, 1000]]


@pytest.mark.parametrize("runs", SPLIT)
@pytest.mark.parametrize("n_a", [1, 4, 8])
def test_the_log_rank_p_value_is_that_of_every_split_of_the_runs(runs, n_a):
    a, b = runs[:n_a], runs[n_a:]
    times, reached = _capped(a + b, BUDGET)

    def observed_less_expected(first: tuple[int, ...]) -> float:
        inside = np.isin(np.arange(9), first)
        total = 0.0
        for time in np.unique(times[reached]):
            event, risk = reached & (times == time), times >= time
            total += (event & inside).sum() - event.sum() * (risk & inside).sum() / risk.sum()
        return total

    every = np.array([observed_less_expected(split) for split in itertools.combinations(range(9), n_a)])
    seen = observed_less_expected(tuple(range(n_a)))
    expected = 2 * min((every >= seen - 1e-9).mean(), (every <= seen + 1e-9).mean())
    found = statistics.log_rank(a, b, BUDGET)
    assert found.exact
    assert found.pvalue == pytest.approx(min(1.0, expected), rel=1e-12)


def test_where_nothing_tells_the_arms_apart_the_log_rank_test_has_no_statistic():
    for a, b in [([None] * 5, [None] * 5), ([100] * 5, [100] * 5)]:
        none = statistics.log_rank(a, b, BUDGET)
        assert (none.statistic, none.asymptotic_pvalue, none.pvalue) == (None, None, 1.0)


def test_many_runs_are_split_at_random_and_agree_with_the_normal_approximation():
    rng = np.random.default_rng(3)
    a, b = _drawn(rng, 25, 600), [step and step + 100 for step in _drawn(rng, 25, 500)]
    found = statistics.log_rank(a, b, 600)
    assert not found.exact
    assert found.pvalue == pytest.approx(found.asymptotic_pvalue, abs=0.02)
    assert found == statistics.log_rank(a, b, 600)


def test_paired_steps_count_signs_and_leave_out_pairs_in_which_neither_arrived():
    a = [100, 100, 100, 200, 300, 100, 200, None, None, 400, 300]
    b = [200, 300, 400, 300, None, 300, 500, None, 400, 300, 300]
    found = statistics.paired_steps(a, b, BUDGET)
    assert (found.a_sooner, found.b_sooner, found.tied, found.censored) == (7, 2, 2, 2)
    # (1 + 9 + 36) / 2^9, twice.
    assert found.sign_pvalue == pytest.approx(2 * 46 / 512, rel=1e-12)
    assert "In 2 of 11 pairs one arm never got there" in found.caveats[0]


def test_a_run_that_arrives_with_the_last_step_is_sooner_than_one_that_never_does():
    found = statistics.paired_steps([BUDGET], [None], BUDGET)
    assert (found.a_sooner, found.tied, found.mean_difference) == (1, 0, 0.0)


def test_paired_steps_rank_as_scipy_does_where_every_run_arrived():
    a, b = [100, 250, 310, 420, 560, 800], [130, 350, 300, 600, 760, 960]
    found = statistics.paired_steps(a, b, BUDGET)
    assert found.wilcoxon_pvalue == pytest.approx(scipy_stats.wilcoxon(a, b, method="exact").pvalue, rel=1e-12)
    assert found.mean_difference == pytest.approx(np.mean(np.subtract(a, b)))


def test_pairs_in_which_neither_arrived_tell_nothing():
    nothing = statistics.paired_steps([None] * 5, [None] * 5, BUDGET)
    assert (nothing.sign_pvalue, nothing.wilcoxon_pvalue, nothing.tied) == (1.0, 1.0, 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: statistics.kaplan_meier([], 10), "kaplan_meier: steps must hold one entry a seed, got none"),
        (
            lambda: statistics.kaplan_meier([11], 10),
            r"kaplan_meier: steps must hold steps in \[0, budget\] = \[0, 10\] or None",
        ),
        (lambda: statistics.log_rank([1], [math.nan], 10), "log_rank: b must hold steps in .* got nan"),
        (lambda: statistics.log_rank([1], [1], 0), "log_rank: budget must be finite and positive, got 0"),
        (lambda: statistics.paired_steps([1], [1, 2], 10), "paired_steps: a and b must hold the same seeds, got 1 and 2 runs"),
    ],
)
def test_steps_that_cannot_be_used_are_refused_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("steps", [[100], [None], A, [None, None]])
def test_every_result_is_json_of_plain_numbers(steps):
    for found in (
        statistics.kaplan_meier(steps, BUDGET),
        statistics.log_rank(steps, B, BUDGET),
        statistics.paired_steps(steps, steps[::-1], BUDGET),
    ):
        json.dumps(dataclasses.asdict(found), allow_nan=False)


def _claims(n: int, budget: float, studies: int) -> np.ndarray:
    """p-values of equal arms."""
    rng = np.random.default_rng(n)
    return np.array(
        [statistics.log_rank(_drawn(rng, n, budget), _drawn(rng, n, budget), budget).pvalue for _ in range(studies)]
    )


def test_the_log_rank_test_calls_equal_arms_different_at_most_as_often_as_claimed():
    assert (_claims(5, 1000, 800) <= 0.05).mean() <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 800)


def test_the_paired_tests_of_censored_steps_call_equal_arms_different_at_most_as_often_as_claimed():
    rng = np.random.default_rng(4)
    found = []
    for _ in range(800):
        shared = rng.lognormal(1.0, 0.5, 8)
        steps = [[None if s > 400 else float(s) for s in 100 * np.ceil(shared * rng.lognormal(0, 0.5, 8))] for _ in "ab"]
        found.append(statistics.paired_steps(*steps, 400))
    assert np.mean([each.censored > 0 for each in found]) > 0.5
    limit = 0.05 + 4 * math.sqrt(0.05 * 0.95 / 800)
    assert np.mean([each.sign_pvalue <= 0.05 for each in found]) <= limit
    assert np.mean([each.wilcoxon_pvalue <= 0.05 for each in found]) <= limit


@pytest.mark.slow
@pytest.mark.parametrize(("n", "said"), [(3, 0.107), (5, 0.070), (20, 0.059)])
def test_the_normal_approximation_of_the_log_rank_test_is_too_sure_as_the_docstring_says(n, said):
    rng = np.random.default_rng(n)
    pvalues = []
    for _ in range(3000):
        samples = [scipy_stats.CensoredData(uncensored=rng.exponential(size=n)) for _ in "ab"]
        pvalues.append(scipy_stats.logrank(*samples).pvalue)
    assert np.mean(np.array(pvalues) <= 0.05) == pytest.approx(said, abs=0.016)


@pytest.mark.exhaustive
def test_the_log_rank_test_of_twenty_against_twenty_keeps_its_level():
    assert (_claims(20, 600, 300) <= 0.05).mean() == pytest.approx(0.05, abs=0.04)


def test_the_limits_of_the_median_cover_it_at_least_as_often_as_claimed():
    rng = np.random.default_rng(5)
    covered = []
    for _ in range(300):
        low, high = statistics.kaplan_meier(rng.exponential(100, 9).clip(max=1e4).tolist(), 1e4).median_interval
        covered.append(low <= 100 * math.log(2) <= high)
    # Exactly 1 - 2 * 10 / 512 = 96.1% at nine runs.
    assert np.mean(covered) == pytest.approx(1 - 20 / 512, abs=0.045)
