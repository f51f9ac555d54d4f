"""What a store says: numbers that name their runs, the parts of momentum's gain, tuning's optimism."""

import dataclasses
import json

import numpy as np
import pytest
from filled_stores import CONTROL, FIXED, MOMENTUM, PLAIN, SEEDS, filled, ladder_store, tried
from scipy import stats

from momentum_jax.studies import Arm, Search, Study
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.scores import IMAGES
from momentum_jax.studies.statistics import independent, paired
from momentum_jax.studies.store import Store


def test_every_number_of_an_arm_is_that_of_its_named_runs(tmp_path, rows):
    store = ladder_store(tmp_path, rows, 0.90, 0.95, 0.96)
    analysis = analyse(store)
    runs = {run.name: run for run in store.runs}
    for arm in analysis.arms:
        for score in IMAGES.names:
            assert [runs[name].test[score] for name in arm.runs] == list(arm.values[score])
            assert arm.described[score].mean == pytest.approx(np.mean([runs[name].test[score] for name in arm.runs]))
        assert [runs[name].seed for name in arm.runs] == list(arm.seeds)
        np.testing.assert_allclose(arm.confusion, [[0.8, 0.2], [0.1, 0.9]])
    assert [arm.rung for arm in analysis.arms] == [False, False, True]


def test_an_analysis_is_json_without_nan(tmp_path, rows):
    content = json.loads(analyse(ladder_store(tmp_path, rows, 0.9, 0.95, 0.96)).to_json(), parse_constant=pytest.fail)
    assert content["arms"][0]["runs"][0] == "arm-0/seed-0"
    assert Study.from_dict(content["study"]) == FIXED


def test_the_ladder_is_of_three_arms_and_its_parts_add_up_to_the_gain(tmp_path, rows):
    analysis = analyse(ladder_store(tmp_path, rows, 0.90, 0.95, 0.96))
    ladder = analysis.ladder
    assert (ladder.plain, ladder.control, ladder.momentum) == (PLAIN, CONTROL, MOMENTUM)
    gain, larger, itself = (analysis.claim(role) for role in ("gain", "larger_step", "momentum_itself"))
    np.testing.assert_allclose(np.add(larger.differences, itself.differences), gain.differences, atol=1e-12)
    assert [claim.evidence.estimate for claim in (gain, larger, itself)] == pytest.approx([0.06, 0.05, 0.01], abs=2e-4)


def test_a_study_can_be_judged_by_another_of_its_scores(tmp_path, rows):
    store = ladder_store(tmp_path, rows, 0.90, 0.95, 0.96)
    by_loss = analyse(store, by="loss")
    assert (by_loss.scores.primary.name, by_loss.scores.names) == ("loss", ("loss", "accuracy", "mcc"))
    assert set(by_loss.claim("gain").differences) == {0.0}
    assert by_loss.arms == analyse(store).arms
    with pytest.raises(KeyError):
        analyse(store, by="speed")


def test_every_arm_beside_the_first_is_described_against_it(tmp_path, rows):
    store = ladder_store(tmp_path, rows, 0.90, 0.95, 0.96)
    analysis = analyse(store)
    (found,) = analysis.comparisons
    first, second = (analysis.arm(label).values["accuracy"] for label in (PLAIN, MOMENTUM))
    assert (found.arm, found.reference) == (MOMENTUM, PLAIN)
    assert found.score == paired(second, first)
    assert found.independent == independent(second, first)
    assert found.steps.n == found.log_rank.n_a == len(SEEDS)


def test_the_same_arm_on_other_seeds_is_described_beside_itself(tmp_path, rows):
    scores = dict(zip(FIXED.control_seeds[:3], [0.8, 0.81, 0.82], strict=True))
    again = [
        dataclasses.replace(rows.run(PLAIN, seed, accuracy=accuracy), phase="control", name=f"control/seed-{seed}")
        for seed, accuracy in scores.items()
    ]
    analysis = analyse(ladder_store(tmp_path, rows, 0.90, 0.95, 0.96, tuning=again))
    assert analysis.noise == independent(analysis.arm(PLAIN).values["accuracy"], list(scores.values()))


@pytest.mark.parametrize("score", ["accuracy", "loss"])
def test_optimism_is_of_the_score_that_chose_with_welchs_interval(tmp_path, rows, score):
    study = Study(
        steps=400,
        seeds=SEEDS,
        noise_floor=False,
        ladder=False,
        arms=(Arm("heavy_ball(log_uniform(0.001, 1), 0.9)", "moving"),),
        search=Search(trials=3, seeds=(1000, 1001), score=score),
    )
    tuned, fresh = np.array([0.5, 0.6]), 0.4 + 0.01 * np.arange(len(SEEDS))
    scores = dict(zip((*study.search.seeds, *SEEDS), (*tuned, *fresh), strict=True))
    winner = "heavy_ball(0.05, 0.9)"
    runs = [
        dataclasses.replace(run, validation={**run.validation, score: value})
        for seed, value in scores.items()
        for run in [rows.run("moving", seed, optimizer=winner)]
    ]
    first = [
        dataclasses.replace(run, phase="tuning", name=f"tuning/arm-0/trial-0/seed-{run.seed}", test={}) for run in runs[:2]
    ]
    store = Store.create(tmp_path, study, {})
    store.add([(run, rows.curves([1.0, 0.5])) for run in (*first, *runs[2:])])
    (tuning,) = analyse(store).tunings
    sign = 1 if score == "accuracy" else -1
    interval = stats.ttest_ind(tuned, fresh, equal_var=False).confidence_interval()
    assert tuning.score == score
    assert tuning.optimism == pytest.approx(sign * (0.55 - fresh.mean()))
    assert tuning.optimism_interval == pytest.approx(sorted((sign * interval.low, sign * interval.high)))


def test_fresh_runs_that_diverge_count_in_the_optimism(tmp_path, rows):
    study = Study(
        steps=400,
        seeds=SEEDS,
        noise_floor=False,
        ladder=False,
        arms=(Arm("heavy_ball(log_uniform(0.001, 1), 0.9)", "moving"),),
        search=Search(trials=3, seeds=(1000,)),
    )
    trials = tried(rows, {"heavy_ball(0.5, 0.9)": 0.9})
    settled = {"moving": "heavy_ball(0.5, 0.9)"}
    gone = {("moving", seed): 5 for seed in SEEDS[:4]}
    store = filled(tmp_path, study, rows, {"moving": np.full(8, 0.9)}, tuning=trials, optimizers=settled, diverged=gone)
    assert analyse(store).tunings[0].fresh == pytest.approx(0.45)


def test_a_class_that_the_test_set_lacks_has_no_shares(tmp_path, rows):
    study = Study(steps=400, seeds=(0, 1), ladder=False, noise_floor=False, arms=(Arm("sgd(0.1)"),))
    store = Store.create(tmp_path, study, {})
    runs = [rows.run("sgd(0.1)", seed) for seed in (0, 1)]
    lacking = [dataclasses.replace(run, test={**run.test, "confusion": ((8, 2), (0, 0))}) for run in runs]
    store.add([(run, rows.curves([1.0, 0.5])) for run in lacking])
    arm = analyse(store).arms[0]
    assert arm.confusion == ((0.8, 0.2), (0.0, 0.0))
    assert json.loads(analyse(store).to_json(), parse_constant=pytest.fail)
