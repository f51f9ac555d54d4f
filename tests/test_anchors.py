"""bench/anchors.py: its declarations are whole, its parts do what their sources do, and an anchor runs from end to end."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import anchors
import jax
import numpy as np
import published
import pytest
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from momentum_jax.data import NAMES, Dataset

BY_NAME = {anchor.name: anchor for anchor in published.ANCHORS}


@pytest.fixture(scope="module")
def pictures() -> Dataset:
    """400 training and 100 test images, 6 x 6: a picture per class, and noise; the corner is always black."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 500).astype(np.uint8)
    images = (rng.integers(0, 150, (10, 6, 6))[labels] + rng.integers(0, 100, (500, 6, 6))).astype(np.uint8)
    images[:, 0, 0] = 0
    return Dataset("pictures", images, labels, 255.0, tuple("0123456789"), range(400, 500))


def small(anchor: published.Anchor, **changes) -> published.Anchor:
    held_out = 100 if anchor.held_out else 0
    return replace(anchor, held_out=held_out, **{"batch_size": 20, "epochs": 2, "seeds": 2, "best_of": 1} | changes)


def outcome(scores, **changes) -> anchors.Outcome:
    return anchors.Outcome(replace(BY_NAME["keras"], **changes), tuple(scores), (), 0.0)


@pytest.mark.parametrize("anchor", published.ANCHORS, ids=lambda anchor: anchor.name)
def test_a_declaration_is_whole(anchor):
    assert len(anchor.source) > 100
    assert anchor.differences
    assert anchor.dataset in NAMES
    assert anchor.measured_on == "test" or (anchor.measured_on == "validation" and anchor.held_out > 0)
    assert 0.5 < anchor.published < 1
    assert 0 <= anchor.rounding < 0.001
    assert anchor.seeds % anchor.best_of == 0
    assert anchor.seeds // anchor.best_of >= 5
    anchor.optimizer(**anchor.hyperparameters)
    json.dumps(anchors.row(anchors.Outcome(anchor, (0.5, 0.6), (1, 2), 1.0)))


def test_names_are_unique():
    assert len(BY_NAME) == len(published.ANCHORS) == 7


@pytest.mark.parametrize(("measured_on", "expected"), [("test", range(400, 500)), ("validation", range(300, 400))])
def test_what_is_held_out_is_the_end_of_the_training_images_and_the_test_images_are_never_trained_on(
    pictures, measured_on, expected
):
    examples = anchors.examples_of(small(BY_NAME["algoperf"], measured_on=measured_on), pictures)
    np.testing.assert_array_equal(examples.train[0], range(300))
    np.testing.assert_array_equal(examples.validation[0], expected)
    assert examples.test.shape == (1, 0)


@pytest.mark.parametrize(
    ("draw", "kernel", "bias"),
    [
        (published.glorot_with_biases, math.sqrt(2 / 400), math.sqrt(2 / 400)),
        (published.standard_normal, 1, 1),
        (published.lecun_normal, math.sqrt(1 / 300), 0),
    ],
)
def test_a_layer_begins_with_the_spread_of_its_source(draw, kernel, bias):
    layer = draw(jax.random.key(0), 300, 100)
    assert layer["kernel"].shape == (300, 100)
    np.testing.assert_allclose(np.std(layer["kernel"]), kernel, rtol=0.02)
    np.testing.assert_allclose(np.std(layer["bias"]), bias, rtol=0.2)


def test_pixels_are_standardised_as_by_scikit_learn(pictures):
    pixels = pictures.images.reshape(500, 36) / 255
    scaler = StandardScaler().fit(pixels)
    mean, deviation = published.each_pixel(pixels)
    np.testing.assert_allclose(mean, scaler.mean_, rtol=1e-12)
    np.testing.assert_allclose(deviation, scaler.scale_, rtol=1e-12)


@pytest.mark.slow
def test_a_model_draws_each_layer_and_sees_the_pixels_standardised(pictures):
    anchor = small(BY_NAME["nielsen"], hidden=(500,), standardise=lambda pixels: (0.25, 0.5))
    model = anchors.model_of(anchor, anchors.examples_of(anchor, pictures))
    plain = anchors.model_of(replace(anchor, standardise=None), anchors.examples_of(anchor, pictures))
    params, state = jax.jit(model.init)(jax.random.key(0))
    assert {name: layer["kernel"].shape for name, layer in params.items()} == {"hidden_0": (36, 500), "output": (500, 10)}
    np.testing.assert_allclose(np.std(params["hidden_0"]["kernel"]), 1, rtol=0.02)
    np.testing.assert_allclose(np.std(params["output"]["kernel"]), 1, rtol=0.04)
    assert params["hidden_0"]["kernel"][0, 0] != params["output"]["kernel"][0, 0]

    def outputs(model, x):
        return model.apply(params, state, x, key=jax.random.key(0), train=False)[0]

    x = np.float32(pictures.images[:5]) / 256
    np.testing.assert_allclose(outputs(model, x), outputs(plain, (x - 0.25) / 0.5), rtol=1e-5)


def test_the_penalty_is_of_weights_alone_and_goes_through_adam():
    optimizer = published.adam_with_penalty(0.1, 0.5)
    params = {"output": {"kernel": np.float32([[2.0, -3.0]]), "bias": np.float32([4.0, 5.0])}}
    updates, _ = optimizer.update(jax.tree.map(np.zeros_like, params), optimizer.init(params), params)
    # Adam's first step is the rate times the sign.
    np.testing.assert_allclose(updates["output"]["kernel"], [[-0.1, 0.1]], rtol=1e-5)
    np.testing.assert_array_equal(updates["output"]["bias"], [0, 0])


def test_a_run_stops_at_the_epoch_where_scikit_learn_stops(pictures):
    flat = pictures.images.reshape(500, 36) / 255
    theirs = MLPClassifier((20,), n_iter_no_change=2, learning_rate_init=0.02, max_iter=500, random_state=0)
    theirs.fit(flat, pictures.labels)
    assert theirs.n_iter_ < 500
    # Three steps an epoch whose mean is the loss of that epoch; epochs that it did not come to follow.
    losses = np.repeat([*theirs.loss_curve_, 0, 0, 0], 3) + np.tile([-1, 0, 1], theirs.n_iter_ + 3)
    run = SimpleNamespace(losses=losses, evaluation_steps=3 * np.arange(theirs.n_iter_ + 4))
    assert published.epoch_of_early_stop(run) == theirs.n_iter_


def test_a_run_that_improves_to_the_end_counts_at_the_end():
    run = SimpleNamespace(losses=np.linspace(1, 0, 10), evaluation_steps=np.arange(0, 11, 2))
    assert published.epoch_of_early_stop(run) == 5


def test_the_margin_is_the_prediction_interval_of_as_many_further_runs():
    # t of 2 degrees of freedom at 0.975 is 4.302653; spread 0.01.
    scores = (0.96, 0.97, 0.98)
    assert outcome(scores, published_runs=1, rounding=0).margin == pytest.approx(4.302653 * 0.01 * math.sqrt(1 / 3 + 1))
    assert outcome(scores, published_runs=5, rounding=0.5).margin == pytest.approx(
        0.5 + 4.302653 * 0.01 * math.sqrt(1 / 3 + 1 / 5)
    )


@pytest.mark.parametrize(
    ("published_value", "is_target", "agrees"),
    [
        (0.97, False, True),
        (0.93, False, True),
        (0.90, False, False),
        (1.04, False, False),
        (0.955, True, True),
        (0.965, True, False),
    ],
)
def test_agreement_is_within_the_margin_on_both_sides_and_a_target_is_passed_by_all(published_value, is_target, agrees):
    assert outcome((0.96, 0.97, 0.98), published=published_value, is_target=is_target).agrees is agrees


def test_each_run_is_read_at_its_epoch_and_of_every_so_many_the_best_counts():
    accuracies = np.array([[0, 0.5, 0.9, 0.8], [0, 0.95, 0.3, 0.6], [0, 0.1, 0.2, 0.7], [0, 0.4, 0.3, 0.2]])
    runs = [SimpleNamespace(evaluation_accuracies=each, evaluation_steps=np.arange(4)) for each in accuracies]
    peak = anchors.outcome_of(replace(BY_NAME["nielsen"], best_of=2), runs, 0.0)
    assert peak.scores == (0.95, 0.7)
    assert peak.epochs == (2, 1, 3, 1)
    assert anchors.outcome_of(BY_NAME["keras"], runs, 0.0).scores == (0.8, 0.6, 0.7, 0.2)


@pytest.mark.slow
def test_the_command_runs_an_anchor_from_end_to_end_and_replaces_its_row(pictures, monkeypatch, tmp_path, capsys):
    anchor = small(BY_NAME["mnist_relu"], epochs=10, published=0.5, published_runs=1000)
    monkeypatch.setattr(anchors, "ANCHORS", (anchor, BY_NAME["keras"]))
    monkeypatch.setattr(anchors.data, "load", lambda name: pictures)
    path = tmp_path / "anchors.json"
    path.write_text(json.dumps({"rows": {"keras": {"mean": 0.5}, "mnist_relu": {"mean": 0.5}}}))
    anchors.main(["--only", "mnist_relu", "--output", str(path)])
    rows = json.loads(path.read_text())["rows"]
    assert list(rows) == ["mnist_relu", "keras"]
    assert rows["keras"] == {"mean": 0.5}
    row = rows["mnist_relu"]
    assert row["anchor"]["optimizer"] == "adam_with_penalty"
    assert len(row["scores"]) == len(row["epochs"]) == 2
    assert min(row["scores"]) > 0.9
    assert row["mean"] == pytest.approx(np.mean(row["scores"]))
    assert not row["quick"]
    assert anchor.title in capsys.readouterr().out


def test_quick_is_two_runs_of_an_epoch_and_its_table_compares_nothing():
    few = anchors.quick(BY_NAME["nielsen"])
    assert (few.seeds, few.epochs, few.best_of) == (2, 1, 1)
    shown = anchors.table([anchors.Outcome(few, (0.8, 0.9), (1, 1), 1.0)], compared=False)
    assert "no comparison" in str(shown.caption)
    assert "agrees" not in [column.header for column in shown.columns]
    assert "agrees" in [column.header for column in anchors.table([], compared=True).columns]
