"""What the statistics refuse, what they say in words, and that every result is JSON."""

# A test knows which of the results are not None.
# pyright: reportOptionalOperand=false, reportOptionalSubscript=false, reportGeneralTypeIssues=false
import dataclasses
import json
import math

import numpy as np
import pytest
from draws import draw

from momentum_jax.studies import statistics


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
    a, b = draw(0, 10), draw(1, 10)
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
    a, again = draw(0, 8), draw(1, 8)
    found, compared = statistics.noise_floor(a, again), statistics.independent(a, again)
    low, high = compared.t_interval
    assert found.half_width == pytest.approx((high - low) / 2, rel=1e-12)
    assert (found.difference, found.pvalue) == (compared.mean_difference, compared.welch_pvalue)
    assert "as chance would have it; arms on seeds of their own are not told apart by less than" in found.sentence()
    assert "by chance; if further seeds repeat it" in statistics.noise_floor(a, again + 5).sentence()
    assert statistics.noise_floor([1.0], [2.0]).sentence().endswith("too few seeds for a noise floor.")
    assert statistics.noise_floor([1.0, 1.0], [1.0, 1.0]).sentence().endswith("so they show no noise.")


@pytest.mark.parametrize("n", [1, 2, 12])
def test_every_result_is_json_of_plain_numbers(n):
    a, b = draw(0, n), draw(1, n)
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
