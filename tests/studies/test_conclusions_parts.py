"""What the conclusions say of the parts of a gain, of divergence in controls and searches, and of searches at their edges."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from filled_stores import CONTROL, FIXED, MOMENTUM, OWN, PLAIN, SEEDS, SHARED, filled, ladder_store, tried
from made_studies import made

from momentum_jax.studies import Arm, Search, Study
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.analysis.ladder import ladder_result
from momentum_jax.studies.conclusions import conclusions
from momentum_jax.studies.report import evidence
from momentum_jax.studies.statistics import noise_floor, ratio_of_means
from momentum_jax.studies.store import Store

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


TUNED = Study(
    steps=200,
    seeds=SEEDS,
    evaluate_every=20,
    arms=(
        Arm("gradient_descent(log_uniform(0.001, 1))", "plain"),
        Arm("heavy_ball(log_uniform(0.001, 1), 0.9)", "moving"),
    ),
    search=Search(trials=2),
)


def test_a_search_whose_trials_all_diverged_tuned_nothing(tmp_path):
    store = made(tmp_path / "store", TUNED, diverged=lambda job: job.phase == "tuning" and job.arm == "moving")
    analysis = analyse(store)
    said = conclusions(analysis)
    reason = "every trial of moving diverged on every seed of the search"
    why = f"Tuned momentum and tuned gradient descent are not compared: {reason}."
    assert why in said
    assert not any(each.startswith("Both tuned") for each in said)
    table = evidence.ladder(analysis, set())[-1]
    assert table.caption.endswith(why)
    assert "both tuned" not in [row[0] for row in table.rows]
    assert analysis.ladder is not None
    assert all(rungs.tuned is None for rungs in analysis.ladder.rungs)


def test_scores_of_diverged_runs_say_nothing_of_tuned_momentum(tmp_path):
    lost = [f"arm-0/seed-{seed}" for seed in SEEDS[1:]]
    store = made(tmp_path / "store", TUNED, diverged=lambda job: job.name in lost)
    said = conclusions(analyse(store))
    both = [each for each in said if each.startswith("Both tuned")]
    assert both
    assert all(
        each.endswith("plain diverged in 7 of 8 runs: scores of diverged runs say nothing of momentum.") for each in both
    )
    (chosen,) = (each for each in said if each.startswith("plain: the best of 2 trials"))
    assert "did not diverge on the seeds of the search, but diverged on 7 of 8 fresh seeds" in chosen
    assert "optimism" not in chosen


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


def unreadable(store, names):
    """The store when the lines of these runs are damaged."""
    path = store.directory / "runs.jsonl"
    lines = path.read_text().splitlines()
    assert sum(json.loads(line)["name"] in names for line in lines) == len(names)
    path.write_text("".join(f"{'x' * (json.loads(line)['name'] in names)}{line}\n" for line in lines))
    return Store.read(store.directory)


def test_the_noise_floor_of_an_arm_whose_runs_are_damaged_is_not_made_with_another_arm(tmp_path):
    store = made(tmp_path / "store", TUNED)
    assert analyse(store).noise is not None
    analysis = analyse(unreadable(store, {f"arm-0/seed-{seed}" for seed in SEEDS}))
    assert analysis.noise is None
    assert not any("noise floor" in each or "itself" in each for each in conclusions(analysis))


def test_where_the_first_arm_cannot_be_read_it_is_said_what_the_others_are_compared_with(tmp_path):
    arms = (*TUNED.arms, Arm("adam(0.001)"))
    store = made(tmp_path / "store", dataclasses.replace(TUNED, arms=arms))
    absent = "No run of plain, the study's first arm, can be read: the others are compared with moving."
    assert absent not in conclusions(analyse(store))
    assert absent in conclusions(analyse(unreadable(store, {f"arm-0/seed-{seed}" for seed in SEEDS})))


def test_the_trial_that_was_run_is_the_chosen_one_though_its_search_is_damaged(tmp_path):
    store = made(tmp_path / "store", TUNED)
    moving = next(each for each in analyse(store).tunings if each.arm == "moving")
    best, other = moving.trials[moving.chosen], moving.trials[1 - moving.chosen]
    # Of the trial that was not run nothing changes.
    lost = analyse(unreadable(store, set(other.runs)))
    left = next(each for each in lost.tunings if each.arm == "moving")
    assert left.trials[left.chosen].optimizer == lost.arm("moving").optimizer == best.optimizer
    assert left.optimism == moving.optimism
    assert not any("different ones" in each for each in conclusions(lost))


def test_the_fresh_runs_of_a_trial_whose_search_is_damaged_are_of_no_other_trial(tmp_path):
    store = made(tmp_path / "store", TUNED)
    moving = next(each for each in analyse(store).tunings if each.arm == "moving")
    analysis = analyse(unreadable(store, set(moving.trials[moving.chosen].runs)))
    assert [each.arm for each in analysis.tunings] == ["plain"]
    said = conclusions(analysis)
    assert not any(each.startswith("moving: the") and "fresh seeds" in each for each in said)
    assert any(
        "moving: the trial that was chosen is not among the runs of its search that can be read" in each for each in said
    )


def test_no_share_is_given_of_a_gain_that_is_not_shown_though_the_larger_step_brings_nothing_on_any_seed(tmp_path, rows):
    level = 0.85 + SHARED
    scores = {PLAIN: level, CONTROL: level, MOMENTUM: level + NOISE}
    analysis = analyse(filled(tmp_path / "store", FIXED, rows, scores, phases={CONTROL: "ladder"}))
    assert share_cells(analysis) == ("–", "–")
    scores[MOMENTUM] = level + 0.05 + NOISE
    gained = analyse(filled(tmp_path / "gained", FIXED, rows, scores, phases={CONTROL: "ladder"}))
    assert share_cells(gained)[0] == "0%"


@pytest.mark.parametrize(("fixed", "known"), [(0.88, False), (0.70, True)])
def test_harm_of_tuned_momentum_is_not_claimed_where_another_momentum_did_better(tmp_path, fixed, known):
    study = dataclasses.replace(TUNED, arms=(*TUNED.arms, Arm("heavy_ball(0.02, 0.5)", "fixed")))
    store = made(tmp_path / "store", study)
    analysis = analyse(store)
    level = {"plain": 0.9, "moving": 0.8, "fixed": fixed}
    arms = tuple(
        dataclasses.replace(arm, accuracies=tuple(level.get(arm.label, 0.6) + SHARED + index * OWN))
        for index, arm in enumerate(analysis.arms)
    )
    ladder = ladder_result(study, {arm.label: arm for arm in arms}, analysis.tunings)
    (said,) = (
        each
        for each in conclusions(dataclasses.replace(analysis, arms=arms, ladder=ladder))
        if each.startswith("Both tuned") and "by test accuracy" in each
    )
    assert ("momentum does harm here" in said) is known
    assert ("but fixed did better than that, so whether momentum does harm is not known." in said) is not known
