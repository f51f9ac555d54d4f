"""What is counted, and what is never averaged in silence."""

import dataclasses
import json
import math

import numpy as np
import pytest

from momentum_jax.studies.learning_curves import learning_curves
from momentum_jax.studies.scores import IMAGES
from momentum_jax.studies.smoothing import smooth
from momentum_jax.studies.store import Store
from momentum_jax.studies.summary import estimate, steps_to_target, summarize, training_steps_to_target, write_summary


def test_the_standard_error_is_the_sample_deviation_over_the_root_of_the_count():
    found = estimate([1.0, 2.0, 3.0, 6.0])
    # Deviations -2, -1, 0, 3: squares 14, over 3, over 4.
    assert found.mean == pytest.approx(3.0)
    assert found.error == pytest.approx(math.sqrt(14 / 3 / 4))
    assert math.isnan(estimate([1.0]).error)


def test_steps_to_target_is_the_first_evaluation_at_or_below_it(rows):
    reaching = rows.curves([1.0, 0.5, 0.75, 0.25])
    assert steps_to_target(rows.run("a", 0), reaching, 0.5, IMAGES["loss"]) == 100
    assert steps_to_target(rows.run("a", 0), reaching, 0.4, IMAGES["loss"]) == 300
    assert steps_to_target(rows.run("a", 0), reaching, 0.2, IMAGES["loss"]) is None
    assert steps_to_target(rows.run("a", 0), reaching, None, IMAGES["loss"]) is None
    assert steps_to_target(rows.run("a", 0), rows.curves([math.nan, 0.5]), 0.5, IMAGES["loss"]) == 100


def test_training_steps_to_target_are_those_of_the_mean_of_the_last_hundred_losses(rows):
    spike = np.ones(400, np.float32)
    spike[100] = 0.0
    spike[250:] = 0.25
    run, curves = rows.run("a", 0), rows.curves([1.0], spike)
    # The lone dip does not count; after 317 steps 67 of the last 100 losses are 0.25, and 1 - 0.67 * 0.75 < 0.5.
    assert training_steps_to_target(run, curves, 0.5) == 317
    assert training_steps_to_target(run, curves, 1.0) == 100
    assert training_steps_to_target(run, curves, 0.2) is None
    assert training_steps_to_target(run, curves, None) is None
    assert training_steps_to_target(run, rows.curves([1.0], spike[300:399]), 0.5) is None
    assert training_steps_to_target(rows.run("a", 0, diverged=399), curves, 0.5) is None


def test_the_summary_file_holds_what_the_table_shows(study, rows, tmp_path):
    store = Store.create(tmp_path, study, {})
    store.add([(rows.run("m", seed, accuracy=0.5 + seed / 10), rows.curves([1.0, 0.6, 0.3])) for seed in range(3)])
    write_summary(tmp_path / "summary.json", summarize(store))
    (arm,) = json.loads((tmp_path / "summary.json").read_text())
    assert arm["label"] == "m"
    assert arm["scores"]["accuracy"] == {
        "values": pytest.approx([0.5, 0.6, 0.7]),
        "mean": pytest.approx(0.6),
        "standard_error": pytest.approx(0.1 / math.sqrt(3)),
    }
    assert list(arm["scores"]) == ["accuracy", "loss", "mcc"]
    assert (arm["steps_to_target"], arm["never"]) == ([200, 200, 200], 0)


def test_a_diverged_run_never_reached_any_target(rows):
    assert steps_to_target(rows.run("a", 0, diverged=150), rows.curves([1.0, 0.1, math.nan]), 0.5, IMAGES["loss"]) is None


def test_arms_are_summarized_in_the_order_of_the_study_and_runs_in_that_of_the_seeds(study, rows, tmp_path):
    store = Store.create(tmp_path, study, {})
    for seed in (2, 0, 1):
        store.add([(rows.run("m", seed, accuracy=0.5 + seed / 10), rows.curves([1.0, 0.6 - seed / 10, 0.3]))])
        store.add([(rows.run("gradient_descent(0.1)", seed, index=1), rows.curves([1.0, 0.9, 0.8]))])
    plain, momentum = summarize(store)
    assert (plain.label, momentum.label) == ("gradient_descent(0.1)", "m")
    assert momentum.seeds == (0, 1, 2)
    assert momentum.values["accuracy"] == (0.5, 0.6, 0.7)
    assert momentum.steps_to_target == (200, 100, 100)
    assert momentum.never == 0
    assert plain.steps_to_target == (None, None, None)
    assert plain.never == 3
    assert plain.seconds == pytest.approx(4.5)


def test_a_diverged_run_counts_at_the_worst_score_and_is_counted(study, rows, tmp_path):
    store = Store.create(tmp_path, study, {})
    store.add([(rows.run("m", 0, accuracy=0.9, mcc=0.8), rows.curves([0.1]))])
    store.add([(rows.run("m", 1, accuracy=0.9, mcc=0.8, diverged=3), rows.curves([0.1]))])
    (momentum,) = summarize(store)
    assert momentum.diverged == 1
    assert momentum.score(IMAGES["accuracy"]).mean == pytest.approx(0.45)
    assert momentum.score(IMAGES["mcc"]).mean == pytest.approx(-0.1)


def test_smoothing_is_centred_and_begins_with_the_losses_themselves():
    losses = np.array([[4.0, 2.0, 9.0, 1.0, 7.0]])
    np.testing.assert_allclose(smooth(losses, 3), [[4.0, 5.0, 4.0, 17 / 3, 4.0]], rtol=1e-12)
    np.testing.assert_allclose(smooth(losses, 5), [[4.0, 5.0, 23 / 5, 19 / 4, 17 / 3]], rtol=1e-12)
    np.testing.assert_array_equal(smooth(losses, 1), losses)
    line = np.arange(101.0)[None]
    np.testing.assert_allclose(smooth(line, 9)[:, :97], line[:, :97], rtol=1e-12)


def test_what_comes_after_a_spike_is_smoothed_as_if_there_had_been_none(rows):
    losses = np.full(400, 0.5, np.float32)
    losses[20] = 1.5e23
    np.testing.assert_allclose(smooth(losses, 3)[22:], 0.5, rtol=1e-12)
    assert training_steps_to_target(rows.run("a", 0), rows.curves([1.0], losses), 0.49) is None
    assert training_steps_to_target(rows.run("a", 0), rows.curves([1.0], losses), 0.5) == 121


def test_smoothing_ends_where_a_loss_is_not_finite():
    smoothed = smooth(np.array([[1.0, np.inf, 1.0], [1.0, 1.0, np.nan]]), 1)
    np.testing.assert_array_equal(smoothed, [[1.0, np.nan, np.nan], [1.0, 1.0, np.nan]])
    line = np.where(np.arange(20) < 9, np.arange(20.0), np.nan)[None]
    np.testing.assert_allclose(smooth(line, 7)[:, :6], line[:, :6], rtol=1e-12)
    np.testing.assert_allclose(smooth(line, 7)[:, 8:], [[6.5] + [np.nan] * 11], rtol=1e-12)


def test_mean_and_band_are_of_the_runs_that_lasted_and_a_diverged_run_stands_alone(study, rows, tmp_path):
    store = Store.create(tmp_path, study, {})
    losses = np.ones(400, np.float32)
    broken = np.where(np.arange(400) < 100, 3.0, np.nan).astype(np.float32)
    store.add([(rows.run("m", 0), rows.curves([1.0, 0.5], losses)), (rows.run("m", 1), rows.curves([1.0, 0.4], 2 * losses))])
    store.add([(rows.run("m", 2, diverged=100), rows.curves([1.0, np.nan], broken))])
    (curve,) = learning_curves(store)
    assert curve.runs == 3
    assert curve.window == 5
    assert curve.reached is None
    ((steps, lost),) = curve.diverged
    np.testing.assert_array_equal(steps, np.arange(100))
    np.testing.assert_allclose(lost, 3.0)
    np.testing.assert_array_equal(curve.steps, np.arange(400))
    np.testing.assert_allclose(curve.low, 1.0)
    np.testing.assert_allclose(curve.mean, 1.5)
    np.testing.assert_allclose(curve.high, 2.0)


def test_an_arm_whose_every_run_diverged_at_once_still_has_a_curve(study, rows, tmp_path):
    store = Store.create(tmp_path, study, {})
    store.add([(rows.run("m", 0, diverged=0), rows.curves([1.0, np.nan], np.full(400, np.nan, np.float32)))])
    (curve,) = learning_curves(store)
    assert curve.steps.size == 0
    assert len(curve.diverged) == 1


def test_long_curves_are_thinned_to_what_a_figure_can_show(study, rows, tmp_path):
    store = Store.create(tmp_path, dataclasses.replace(study, steps=50_000), {})
    store.add([(rows.run("m", 0), rows.curves([1.0], np.ones(50_000, np.float32)))])
    (curve,) = learning_curves(store)
    assert curve.steps.size == 2000
    assert (curve.steps[0], curve.steps[-1]) == (0, 49_999)
