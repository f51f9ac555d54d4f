"""A run: what holds, what does not and why, and what `result.json` keeps of it."""

import json
import math

import numpy as np
import pytest

from momentum_jax import textbook
from momentum_jax.textbook import Claim, Outcome, check

SOURCE = "T4, figure 11-1"
RIGHT = Claim("figure 11-2: times it changed sides", 15, 0, SOURCE)
WRONG = Claim("figure 11-2: times it changed sides", 14, 0.5, SOURCE)


@pytest.mark.parametrize(
    ("relation", "value", "tolerance", "measured", "holds"),
    [
        ("equals", 1.0, 0.1, 1.05, True),
        ("equals", 1.0, 0.1, 1.15, False),
        ("equals", 1.0, 0.1, 0.85, False),
        ("equals", 3, 0, 3, True),
        ("equals", (1.0, 2.0), 0.1, np.array([1.05, 1.95]), True),
        ("equals", (1.0, 2.0), 0.1, np.array([1.05, 2.15]), False),
        ("at least", 1.0, 0, 5.0, True),
        ("at least", 1.0, 0, 0.5, False),
        ("at most", 1.0, 0, 0.5, True),
        ("at most", 1.0, 0, 1.5, False),
        ("at most", 1.0, 0.6, 1.5, True),
        ("equals", 1.0, 0.1, math.nan, False),
        ("at least", 1.0, 0.1, math.nan, False),
        ("at most", 1.0, 0.1, math.inf, False),
        ("at least", 1.0, 0.1, math.inf, True),
    ],
)
def test_a_claim_holds_within_its_tolerance_and_of_nan_nowhere(relation, value, tolerance, measured, holds) -> None:
    verdict = check(Claim("q", value, tolerance, SOURCE, relation), measured)
    assert verdict.status == ("holds" if holds else "does not hold")
    assert verdict.acceptable is holds
    assert bool(verdict.reason) is not holds


def test_a_known_fault_is_acceptable_but_not_said_to_hold() -> None:
    verdict = check(Claim("q", 1.0, 0.1, SOURCE, known_fault="a misprint"), 2.0)
    assert (verdict.status, verdict.reason, verdict.acceptable) == ("known fault", "a misprint", True)


@pytest.mark.parametrize("measured", [math.nan, np.array([2.0, math.nan])])
def test_a_known_fault_does_not_excuse_what_is_not_a_number(measured) -> None:
    value = 1.0 if np.ndim(measured) == 0 else (1.0, 2.0)
    verdict = check(Claim("q", value, 0.1, SOURCE, known_fault="a misprint"), measured)
    assert (verdict.status, verdict.acceptable) == ("does not hold", False)
    assert verdict.reason == "nothing was measured: not a number"


def test_a_claim_in_words_that_does_not_hold_is_a_finding_and_no_failure_but_nan_is_one() -> None:
    claim = Claim("q", 1.0, 0.1, SOURCE, "at least", finding=True, remark="its interval is in the table")
    verdict = check(claim, 0.5)
    assert (verdict.status, verdict.acceptable) == ("not confirmed", True)
    assert verdict.reason == "off by 0.5, allowed are 0.1; its interval is in the table"
    assert check(claim, 1.5).status == "holds"
    assert check(claim, math.nan).acceptable is False


def test_a_claim_of_the_full_size_is_not_checked_at_the_quick_one() -> None:
    claim = Claim("q", 1.0, 0.1, SOURCE, full_only=True)
    assert check(claim, 2.0, size="quick").status == "not checked"
    assert check(claim, 2.0).status == "does not hold"


def test_a_remark_is_said_where_the_claim_does_not_hold_and_there_only() -> None:
    claim = Claim("q", 1.0, 0.1, SOURCE, remark="its interval is in the table")
    assert check(claim, 2.0).reason == "off by 1, allowed are 0.1; its interval is in the table"
    assert check(claim, 1.0).reason == ""


def test_a_point_where_a_number_is_claimed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"check: 'q' must be of shape \(\), as is claimed, got \(2,\)"):
        check(Claim("q", 1.0, 0.1, SOURCE), np.ones(2))


@pytest.mark.parametrize("tolerance", [-1.0, math.nan, math.inf])
def test_a_tolerance_is_finite_and_not_negative(tolerance) -> None:
    with pytest.raises(ValueError, match="Claim: tolerance of 'q' must be finite and at least 0"):
        Claim("q", 1.0, tolerance, SOURCE)


def test_a_fault_without_a_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="Claim: known_fault of 'q' must be a reason or None"):
        Claim("q", 1.0, 0.1, SOURCE, known_fault="")


def test_a_claim_about_what_nobody_measures_is_refused(with_claims) -> None:
    with pytest.raises(ValueError, match="run: one-dimension must measure 'q', of which it has a claim"):
        textbook.run(with_claims(Claim("q", 1.0, 0.1, SOURCE)))


def test_the_result_file_shows_each_published_number_beside_ours(with_claims, tmp_path) -> None:
    fault = Claim("figure 11-1: x at the end", 2.0, 0.1, "T4, page 1", known_fault="a misprint")
    result = textbook.run(with_claims(RIGHT, WRONG, fault), tmp_path / "out", quick=True)
    assert not result.ok
    kept = json.loads((tmp_path / "out" / "result.json").read_text())
    assert set(kept) == {
        *(
            "experiment",
            "title",
            "reproduces",
            "size",
            "settings",
            "seconds",
            "ok",
            "claims",
            "quantities",
            "tables",
            "versions",
        )
    }
    assert (kept["experiment"], kept["size"], kept["ok"]) == ("one-dimension", "quick", False)
    assert kept["reproduces"][:3] == ["T4 figure 11-1", "T4 figure 11-2", "T4 figure 11-6"]
    assert kept["settings"]["figure_11_1"]["learning_rate"] == 0.03
    assert kept["claims"][0] == {
        "quantity": "figure 11-2: times it changed sides",
        "published": 15,
        "relation": "equals",
        "tolerance": 0,
        "ours": 15,
        "holds": True,
        "status": "holds",
        "reason": "",
        "source": SOURCE,
    }
    assert [claim["holds"] for claim in kept["claims"]] == [True, False, False]
    assert [claim["status"] for claim in kept["claims"]] == ["holds", "does not hold", "known fault"]
    assert kept["claims"][1]["reason"] == "off by 1, allowed are 0.5"
    assert kept["claims"][2]["reason"] == "a misprint"
    assert kept["claims"][2]["ours"] == kept["quantities"]["figure 11-1: x at the end"] == pytest.approx(0.997648, abs=1e-6)


def test_without_a_directory_nothing_is_written(with_claims, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert textbook.run(with_claims(RIGHT)).ok
    assert not list(tmp_path.iterdir())


def test_numbers_that_are_none_are_kept_as_words(with_claims, tmp_path) -> None:
    outcome = Outcome({"q": math.inf, "r": np.array([math.nan, 1.0])}, None)
    experiment = with_claims(Claim("q", 1.0, 0, SOURCE, "at least"), measure=lambda settings, surroundings: outcome)
    assert textbook.run(experiment, tmp_path).ok
    kept = json.loads((tmp_path / "result.json").read_text())
    assert kept["quantities"] == {"q": "inf", "r": ["nan", 1.0]}


def test_an_experiment_is_told_its_size_where_it_runs_and_where_data_are(with_claims, tmp_path) -> None:
    told = []

    def measure(settings, surroundings) -> Outcome:
        told.append((settings, surroundings.directory, surroundings.data_directory))
        return Outcome({}, None)

    quick = textbook.find("random-walk").quick
    experiment = with_claims(measure=measure, quick=quick)
    textbook.run(experiment, tmp_path / "a", quick=True, data_directory="there")
    textbook.run(experiment)
    assert told == [(quick, tmp_path / "a", type(tmp_path)("there")), (experiment.full, None, None)]
