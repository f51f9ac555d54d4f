"""What a store says: numbers that name their runs, the ladder's shares, tuning's optimism."""

import dataclasses
import json

import numpy as np
import pytest
from filled_stores import CONTROL, FIXED, MOMENTUM, PLAIN, SEEDS, filled, ladder_store, tried
from scipy import stats

from momentum_jax.studies import Arm, Search, Study
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.scores import IMAGES
from momentum_jax.studies.statistics import paired, ratio_of_means
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


def test_the_ladder_adds_up_and_its_share_is_the_ratio_of_its_steps(tmp_path, rows):
    ladder = analyse(ladder_store(tmp_path, rows, 0.90, 0.95, 0.96)).ladder
    assert (ladder.plain, ladder.control, ladder.momentum) == (PLAIN, CONTROL, MOMENTUM)
    (by_accuracy, by_steps) = ladder.rungs
    assert by_accuracy.gain.mean_difference == pytest.approx(0.06)
    assert by_accuracy.larger_step.mean_difference == pytest.approx(0.05)
    assert by_accuracy.momentum_itself.mean_difference == pytest.approx(0.01)
    assert by_accuracy.share.value == pytest.approx(5 / 6)
    assert by_accuracy.share.interval == pytest.approx((5 / 6 - 0.01, 5 / 6 + 0.01), abs=0.005)
    assert by_steps.measure == "steps"


def test_fiellers_interval_holds_the_ratios_that_a_paired_t_test_does_not_reject():
    a, b = np.array([2.1, 1.9, 2.4, 1.7, 2.2]), np.array([4.2, 3.6, 4.4, 3.9, 4.1])
    found = ratio_of_means(a, b)
    assert found.value == pytest.approx(a.mean() / b.mean())
    assert found.interval is not None
    for end in found.interval:
        assert stats.ttest_1samp(a - end * b, 0).pvalue == pytest.approx(0.05, abs=1e-9)


def test_a_ratio_over_what_may_be_zero_has_no_interval():
    assert ratio_of_means([1.0, 2.0, 1.5], [0.5, -0.5, 0.1]).interval is None
    assert ratio_of_means([1.0], [2.0]) == dataclasses.replace(ratio_of_means([1.0], [2.0]), value=0.5, interval=None)
    assert ratio_of_means([1.0, 2.0], [1.0, -1.0]).value is None
    with pytest.raises(ValueError, match="ratio_of_means: a and b must have a value for each seed, got 2 and 3"):
        ratio_of_means([1.0, 2.0], [1.0, 2.0, 3.0])


def test_fiellers_interval_covers_the_true_ratio_as_often_as_it_says():
    rng = np.random.default_rng(0)
    seed_effect = rng.normal(0, 1, (2000, 6))
    a, b = 3 + seed_effect + rng.normal(0, 1, (2000, 6)), 6 + seed_effect + rng.normal(0, 1, (2000, 6))
    intervals = [ratio_of_means(*pair).interval for pair in zip(a, b, strict=True)]
    covered = [interval is None or interval[0] <= 0.5 <= interval[1] for interval in intervals]
    assert stats.binomtest(sum(covered), 2000, 0.95).pvalue > 1e-3


@pytest.mark.parametrize("score", ["accuracy", "loss"])
def test_optimism_is_of_the_score_that_chose_with_welchs_interval(tmp_path, rows, score):
    study = Study(
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
    study = Study(seeds=(0, 1), ladder=False, noise_floor=False, arms=(Arm("sgd(0.1)"),))
    store = Store.create(tmp_path, study, {})
    runs = [rows.run("sgd(0.1)", seed) for seed in (0, 1)]
    lacking = [dataclasses.replace(run, test={**run.test, "confusion": ((8, 2), (0, 0))}) for run in runs]
    store.add([(run, rows.curves([1.0, 0.5])) for run in lacking])
    arm = analyse(store).arms[0]
    assert arm.confusion == ((0.8, 0.2), (0.0, 0.0))
    assert json.loads(analyse(store).to_json(), parse_constant=pytest.fail)


def test_what_a_correction_takes_away_no_sentence_claims():
    found = paired([2.0, 2.1, 2.3, 2.2, 2.4, 2.6], [1.0, 1.2, 1.1, 1.0, 1.3, 1.2])
    assert "a is higher than b" in found.sentence()
    lost = "no difference is shown: the p-value does not bear Holm's correction for 4 comparisons, after which it is 0.2"
    assert found.sentence(corrected=0.2, comparisons=4).endswith(f"{lost}.")
