"""What the statistics refuse, and that every result is JSON."""

# A test knows which of the results are not None.
# pyright: reportOptionalOperand=false, reportOptionalSubscript=false, reportGeneralTypeIssues=false
import dataclasses
import json
import math

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
        (lambda: statistics.mann_whitney_pvalue(10, 3, 3), "mann_whitney_pvalue: u must be in .0, n_a n_b. = .0, 9., got 10"),
        (lambda: statistics.mann_whitney_pvalue(0, 0, 3), "mann_whitney_pvalue: n_a and n_b must be at least 1, got 0 and 3"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("compare", [statistics.paired, statistics.independent])
def test_one_seed_has_a_difference_and_no_spread(compare):
    found = compare([1.0], [3.0])
    assert (found.mean_difference, found.standard_error, found.t_interval) == (-2.0, None, None)
    assert "shows no spread" in found.caveats[0]


@pytest.mark.parametrize("n", [1, 2, 12])
def test_every_result_is_json_of_plain_numbers(n):
    a, b = draw(0, n), draw(1, n)
    for found in (
        statistics.describe(a),
        statistics.paired(a, b),
        statistics.paired(a, a),
        statistics.independent(a, b),
        statistics.normality(a),
    ):
        json.dumps(dataclasses.asdict(found), allow_nan=False)
