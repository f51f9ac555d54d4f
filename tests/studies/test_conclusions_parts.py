"""What the conclusions say of the parts of a gain, of divergence in controls, and of searches at their edges."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from filled_stores import (
    CONTROL,
    FIXED,
    MOMENTUM,
    OWN,
    PLAIN,
    SEEDS,
    SHARED,
    filled,
    ladder_store,
    tried,
)
from made_studies import TUNED, made

from momentum_jax.studies import Arm, Search, Study
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.conclusions import conclusions
from momentum_jax.studies.report import evidence
from momentum_jax.studies.statistics import noise_floor, ratio_of_means

NOISE = np.array([3, -2, 1, -3, 2, 0, -1, 1]) / 2e3


def of_the_ladder(analysis):
    return next(each for each in conclusions(analysis) if each.startswith("The ladder by test accuracy"))


def share_cells(analysis):
    table = evidence.ladder(analysis, set())[-1]
    (row,) = (row for row in table.rows if row[:2] == ("the larger step", "points of accuracy"))
    return row[table.headings.index("share of the gain")], row[table.headings.index("95% of the share")]


@pytest.mark.parametrize("shift", [-2e-4, 0.0, 4e-4])
def test_a_larger_step_that_brings_nothing_leaves_the_gain_to_momentum_whatever_its_sign(tmp_path, rows, shift):
    """The interval of the share is tight on either side of zero, so the seeds do tell."""
    analysis = analyse(ladder_store(tmp_path, rows, 0.85, 0.85 + shift + NOISE, 0.90))
    said = of_the_ladder(analysis)
    found: Any = analysis.ladder.rungs[0].share
    share, (low, high) = found.value, found.interval
    assert low < 0 < high < 0.05
    assert "do not tell" not in said
    most = f"at most {high:.0%}" if share <= 0 else f"{share:.0%}"
    assert f"explains {most} of momentum's gain (95%: {low:.0%} to {high:.0%})" in said
    assert said.endswith("; the rest is momentum's own.")
    assert share_cells(analysis)[0] == f"{share:.0%}"


@pytest.mark.parametrize(
    ("control", "explains", "cell"),
    [(0.90, "71% of momentum's gain on every seed", "71%"), (0.85, "nothing of momentum's gain on any seed", "0%")],
)
def test_a_share_that_is_the_same_on_every_seed_is_said_without_an_interval(tmp_path, rows, control, explains, cell):
    scores = {PLAIN: np.full(8, 0.85), CONTROL: np.full(8, control), MOMENTUM: np.full(8, 0.92)}
    study = Study(steps=400, seeds=SEEDS, arms=(Arm(PLAIN), Arm(MOMENTUM)))
    analysis = analyse(filled(tmp_path, study, rows, scores, phases={CONTROL: "ladder"}))
    said = of_the_ladder(analysis)
    assert f"The larger effective step explains {explains}; " in said
    assert said.endswith(("the rest is momentum's own.", "it is all momentum's own.")[cell == "0%"])
    assert share_cells(analysis) == (cell, "–")


def test_one_seed_has_no_share_that_is_the_same_on_every_seed():
    assert not ratio_of_means([1.0], [2.0]).without_spread
    assert ratio_of_means([1.0, 1.0], [2.0, 2.0]).without_spread


def test_why_nothing_is_left_for_momentum_itself_is_said_where_its_interval_leaves_out_zero(tmp_path, rows):
    study = Study(steps=400, seeds=tuple(range(6)), arms=(Arm(PLAIN), Arm(MOMENTUM)))
    scores = {
        PLAIN: [0.8259, 0.8266, 0.7965, 0.8005, 0.7761, 0.7922],
        CONTROL: [0.8337, 0.828, 0.8034, 0.8059, 0.7898, 0.7913],
        MOMENTUM: [0.8315, 0.8443, 0.8263, 0.8265, 0.8051, 0.8176],
    }
    said = of_the_ladder(analyse(filled(tmp_path / "ranks", study, rows, scores, phases={CONTROL: "ladder"})))
    assert "momentum at equal effective rate, +1.65 points [+0.60, +2.71]" in said
    assert said.endswith("nothing is shown to be left for momentum itself: its t test and its exact rank test do not agree.")


def test_what_holms_correction_takes_from_momentum_itself_is_called_so(tmp_path, rows):
    study = Study(steps=400, seeds=SEEDS, arms=(Arm(PLAIN), Arm(MOMENTUM)))
    scores = {
        PLAIN: [0.846, 0.8528, 0.8483, 0.8506, 0.8472, 0.8567, 0.8471, 0.8505],
        CONTROL: [0.8487, 0.8655, 0.8535, 0.8505, 0.8496, 0.8573, 0.8474, 0.8541],
        MOMENTUM: [0.847, 0.8725, 0.8503, 0.8548, 0.8567, 0.8633, 0.8587, 0.8591],
    }
    analysis = analyse(filled(tmp_path, study, rows, scores, phases={CONTROL: "ladder"}))
    pvalue: Any = analysis.ladder.rungs[0].momentum_itself.t_pvalue
    assert pvalue < 0.05
    said = of_the_ladder(analysis)
    assert said.endswith(
        "nothing is shown to be left for momentum itself that bears Holm's correction for the two parts (p = 0.066)."
    )


def test_what_the_ladder_explains_of_a_gain_that_is_no_comparison_is_called_uncorrected(tmp_path, rows):
    study = Study(steps=400, seeds=SEEDS, arms=(Arm("adam(0.001)"), Arm(PLAIN), Arm(MOMENTUM)))
    scores = {"adam(0.001)": 0.9 + SHARED, PLAIN: 0.85 + SHARED, CONTROL: 0.88 + SHARED - OWN, MOMENTUM: 0.90 + SHARED + OWN}
    said = of_the_ladder(analyse(filled(tmp_path, study, rows, scores, phases={CONTROL: "ladder"})))
    assert "59% to 61%) (uncorrected); the rest is momentum's own." in said


def test_a_fixed_momentum_before_the_tuned_one_does_not_hide_it(tmp_path):
    plain, moving = TUNED.arms
    study = dataclasses.replace(TUNED, arms=(plain, Arm("heavy_ball(0.01, 0.9)"), moving))
    ladder = analyse(made(tmp_path / "store", study)).ladder
    assert (ladder.momentum, ladder.tuned_plain, ladder.tuned_momentum) == ("heavy_ball(0.01, 0.9)", "plain", "moving")
    assert all(rungs.tuned is not None for rungs in ladder.rungs)


def test_a_control_that_diverged_is_told(tmp_path):
    study = dataclasses.replace(TUNED, arms=(Arm(PLAIN), Arm(MOMENTUM)))
    analysis = analyse(made(tmp_path / "store", study, diverged=lambda job: job.phase == "control" and job.seed % 4 == 0))
    assert analysis.control_diverged == 2
    assert f"In the A/A control {PLAIN} diverged in 2 of 8 runs" in " ".join(conclusions(analysis))
    (text,) = evidence.noise(analysis)
    assert "Runs of the control that diverged (2) count with accuracy 0." in text.text


def test_two_constant_sets_that_differ_have_no_noise_floor():
    assert "yet they differ, so there is no noise floor" in noise_floor([0.9] * 5, [0.95] * 5).sentence()
    assert "show no noise" in noise_floor([0.9] * 5, [0.9] * 5).sentence()


@pytest.mark.parametrize(
    ("searched", "best", "edges"),
    [
        ("choice(0.01, 0.1, 1.0)", 0.01, ("learning_rate",)),
        ("choice(0.01, 0.1, 1.0)", 0.1, ()),
        ("choice(0.01, 0.1, 1.0)", 1.0, ("learning_rate",)),
    ],
)
def test_the_last_of_some_choices_is_an_edge(tmp_path, rows, searched, best, edges):
    study = Study(
        seeds=SEEDS, noise_floor=False, arms=(Arm(f"sgd({searched})", "moving"),), search=Search(trials=3, seeds=(1000,))
    )
    trials = tried(rows, {f"sgd({rate})": 0.97 if rate == best else 0.91 for rate in (0.01, 0.1, 1.0)})
    settled = {"moving": f"sgd({best})"}
    store = filled(tmp_path, study, rows, {"moving": 0.95 + SHARED}, tuning=trials, optimizers=settled)
    (tuning,) = analyse(store).tunings
    assert tuning.edges == edges


def test_a_choice_of_truth_values_has_no_edge(tmp_path, rows):
    study = Study(
        seeds=SEEDS,
        noise_floor=False,
        arms=(Arm("sgd(0.1, 0.9, nesterov=choice(True, False))", "moving"),),
        search=Search(trials=2, seeds=(1000,)),
    )
    trials = tried(rows, {f"sgd(0.1, 0.9, nesterov={each})": 0.9 + each / 100 for each in (True, False)})
    settled = {"moving": "sgd(0.1, 0.9, nesterov=True)"}
    store = filled(tmp_path, study, rows, {"moving": 0.95 + SHARED}, tuning=trials, optimizers=settled)
    assert analyse(store).tunings[0].edges == ()


@pytest.mark.parametrize(("reached", "said"), [([2.0, 0.4, 0.3], True), ([2.0, 1.0, 0.4], False)])
def test_a_target_that_every_run_reached_at_once_is_questioned(tmp_path, rows, reached, said):
    first = {PLAIN: [2.0, 0.4, 0.3], CONTROL: [2.0, 0.4, 0.3], MOMENTUM: reached}
    analysis = analyse(ladder_store(tmp_path, rows, 0.9, 0.95, 0.96, curves=first))
    question = "Every run reached the target by the first evaluation, step 100: a lower target"
    assert any(each.startswith(question) for each in conclusions(analysis)) == said


def test_no_share_is_given_of_a_gain_that_is_not_shown_though_the_larger_step_brings_nothing_on_any_seed(tmp_path, rows):
    level = 0.85 + SHARED
    scores = {PLAIN: level, CONTROL: level, MOMENTUM: level + NOISE}
    analysis = analyse(filled(tmp_path / "store", FIXED, rows, scores, phases={CONTROL: "ladder"}))
    assert share_cells(analysis) == ("–", "–")
    scores[MOMENTUM] = level + 0.05 + NOISE
    gained = analyse(filled(tmp_path / "gained", FIXED, rows, scores, phases={CONTROL: "ladder"}))
    assert share_cells(gained)[0] == "0%"
