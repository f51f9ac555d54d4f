"""What the conclusions say of momentum and gradient descent when both are tuned."""

import dataclasses

import pytest
from filled_stores import (
    CONTROL,
    MOMENTUM,
    NEVER,
    OWN,
    PLAIN,
    SEEDS,
    SHARED,
    SPREAD,
    filled,
    tried,
    tuned_pair,
    with_steps,
)
from made_studies import TUNED, made

from momentum_jax.studies import Arm, Search, Study
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.analysis.ladder import ladder_result
from momentum_jax.studies.conclusions import conclusions
from momentum_jax.studies.report import evidence


@pytest.mark.parametrize(
    ("control", "plain_range", "said"),
    [
        (
            0.94,
            "log_uniform(0.001, 0.05)",
            f"but {CONTROL}, of the ladder, is better in test accuracy by +4.00 points [+3.98, +4.02] (uncorrected): "
            "the search of plain was of too narrow a range, so whether momentum helps is not known.",
        ),
        (0.94, "choice(0.01, 0.03)", "the search of plain was of too narrow a range, so whether momentum helps is not known."),
        (
            0.94,
            "log_uniform(0.001, 1)",
            "the search of plain missed that learning rate, so whether momentum helps is not known.",
        ),
        (0.94, "choice(0.03, 0.1)", "the search of plain missed that learning rate, so whether momentum helps is not known."),
        (0.90, "log_uniform(0.001, 0.05)", "momentum helps here, within the ranges that were searched."),
    ],
)
def test_momentum_is_not_praised_where_a_rung_beats_the_tuned_gradient_descent(tmp_path, rows, control, plain_range, said):
    words = conclusions(tuned_pair(tmp_path, rows, 0.9, 0.95, control, plain_range))
    (sentence,) = (each for each in words if each.startswith("Both tuned") and "test accuracy" in each)
    assert sentence.endswith(said), sentence


def test_momentum_is_not_said_to_be_sooner_where_a_rung_is_sooner_than_the_tuned_gradient_descent(tmp_path, rows):
    steps = {"plain": NEVER, "moving": SPREAD, CONTROL: SPREAD}
    words = conclusions(with_steps(tuned_pair(tmp_path, rows, 0.9, 0.95), steps))
    (sentence,) = (each for each in words if each.startswith("Both tuned") and "by steps" in each)
    assert (
        f"; but {CONTROL}, of the ladder, got there at least 200 steps sooner [+192 or more] (uncorrected): the search of plain"
        in sentence
    )
    assert "helps here" not in sentence


@pytest.mark.parametrize(("plain", "does"), [(0.90, "helps"), (0.97, "does harm")])
@pytest.mark.parametrize("is_a_comparison", [True, False])
def test_what_tuned_momentum_does_is_called_uncorrected_where_it_is(tmp_path, rows, plain, does, is_a_comparison):
    late = [step + 100 for step in SPREAD]
    steps = {"plain": late if does == "helps" else SPREAD, "moving": SPREAD if does == "helps" else late}
    analysis = with_steps(tuned_pair(tmp_path, rows, plain, 0.95), {**steps, PLAIN: NEVER, CONTROL: NEVER})
    if not is_a_comparison:
        analysis = dataclasses.replace(analysis, comparisons=())
    by_accuracy, by_steps = (each for each in conclusions(analysis) if each.startswith("Both tuned"))
    claim = f"momentum {does} here, within the ranges that were searched"
    assert by_accuracy.endswith(f"{claim}{'' if is_a_comparison else ' (uncorrected)'}.")
    assert by_steps.endswith(f"{claim} (uncorrected).")


@pytest.mark.parametrize("momentum_first", [True, False])
@pytest.mark.parametrize(("corrected", "says"), [(0.03, "momentum helps here"), (0.06, "momentum is not shown to help")])
def test_tuned_momentum_is_held_to_holms_correction_whichever_arm_is_first(tmp_path, rows, momentum_first, corrected, says):
    study = Study(
        seeds=SEEDS,
        noise_floor=False,
        arms=(
            Arm("gradient_descent(log_uniform(0.01, 1))", "plain"),
            Arm("heavy_ball(log_uniform(0.001, 0.1), 0.9)", "moving"),
        ),
        search=Search(trials=1, seeds=(1000,)),
    )
    at = {
        "plain": "gradient_descent(0.1)",
        "moving": "heavy_ball(0.01, 0.9)",
        "gradient_descent(0.01)": "gradient_descent(0.01)",
    }
    scores = {"plain": 0.95 + SHARED, "moving": 0.96 + SHARED + OWN, "gradient_descent(0.01)": 0.9 + SHARED}
    phases = {"gradient_descent(0.01)": "ladder"}
    trials = [
        dataclasses.replace(
            rows.run(label, 1000, optimizer=at[label]), phase="tuning", name=f"tuning/arm-{n}/trial-0/seed-1000"
        )
        for n, label in enumerate(("plain", "moving"))
    ]
    analysis = analyse(filled(tmp_path, study, rows, scores, phases=phases, tuning=trials, optimizers=at))
    (pair,) = analysis.comparisons
    first, second = ("moving", "plain") if momentum_first else ("plain", "moving")
    comparisons = (dataclasses.replace(pair, arm=second, reference=first, pvalue=corrected),)
    words = conclusions(dataclasses.replace(analysis, comparisons=comparisons))
    (sentence,) = (each for each in words if each.startswith("Both tuned") and "test accuracy" in each)
    assert says in sentence


def test_an_arm_with_fewer_different_trials_is_said_to_have_them(tmp_path, rows):
    """A choice of two is exhausted by two points of the search."""
    arms = (Arm("gradient_descent(choice(0.01, 0.1))", "plain"), Arm("heavy_ball(log_uniform(0.001, 0.1), 0.9)", "moving"))
    study = Study(seeds=SEEDS, noise_floor=False, arms=arms, search=Search(trials=4, seeds=(1000,)))
    tuning = [
        dataclasses.replace(run, name=f"tuning/arm-{index}/trial-{number}/seed-1000", arm=arm)
        for index, (arm, optimizers) in enumerate(
            {
                "plain": ["gradient_descent(0.01)", "gradient_descent(0.1)"],
                "moving": [f"heavy_ball({rate}, 0.9)" for rate in (0.01, 0.02, 0.04, 0.08)],
            }.items()
        )
        for number, run in enumerate(tried(rows, dict.fromkeys(optimizers, 0.5)))
    ]
    scores = {"plain": 0.9 + SHARED, "moving": 0.95 + SHARED + OWN, CONTROL: 0.95 + SHARED}
    optimizers = {"plain": PLAIN, "moving": MOMENTUM}
    store = filled(tmp_path, study, rows, scores, phases={CONTROL: "ladder"}, tuning=tuning, optimizers=optimizers)
    said = "Both tuned at equal budget (4 points of the search each, of which plain has 2 different ones), moving against plain"
    assert any(sentence.startswith(said) for sentence in conclusions(analyse(store)))


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


@pytest.mark.parametrize(("fixed", "known"), [(0.88, False), (0.70, True)])
def test_harm_of_tuned_momentum_is_not_claimed_where_another_momentum_did_better(tmp_path, fixed, known):
    study = dataclasses.replace(TUNED, arms=(*TUNED.arms, Arm("heavy_ball(0.02, 0.5)", "fixed")))
    store = made(tmp_path / "store", study)
    analysis = analyse(store)
    level = {"plain": 0.9, "moving": 0.8, "fixed": fixed}
    arms = tuple(
        dataclasses.replace(arm, values={**arm.values, "accuracy": tuple(level.get(arm.label, 0.6) + SHARED + index * OWN)})
        for index, arm in enumerate(analysis.arms)
    )
    ladder = ladder_result(study, analysis.scores, {arm.label: arm for arm in arms}, analysis.tunings)
    (said,) = (
        each
        for each in conclusions(dataclasses.replace(analysis, arms=arms, ladder=ladder))
        if each.startswith("Both tuned") and "by test accuracy" in each
    )
    assert ("momentum does harm here" in said) is known
    assert ("but fixed did better than moving (uncorrected), so whether momentum does harm is not known." in said) is not known
