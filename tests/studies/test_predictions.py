"""Predictions of studies: on least squares, where the quadratic model is the loss itself, against eigenvalues and trainings."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cli_runs import run

import momentum_jax as mj
from momentum_jax.studies import Arm, Search, Study, StudyError
from momentum_jax.studies.material import given_in_python, material, problem_of
from momentum_jax.studies.prediction import predict_study
from momentum_jax.studies.quadratic_model import LEAST_ROWS, MOST_ROWS, RESIDUALS, batch_of, quadratic_model, start_of
from momentum_jax.studies.wording.predictions import row, sentences
from momentum_jax.training import Problem, Stream, Table, lower, random_split, train_many

FILES = Path(__file__).parents[1] / "own_files"


def least_squares(rows=50, take=None):
    """Half the mean squared error of a linear model in four numbers of unequal size, with noise in what is to be told."""
    rng = np.random.default_rng(3)
    x = (rng.normal(size=(rows, 4)) * [2.0, 1.0, 0.5, 0.2]).astype(np.float32)
    y = (x @ [1.0, -2.0, 1.0, 3.0] + rng.normal(size=rows)).astype(np.float32)

    def loss(params, state, batch, key):
        return jnp.mean((batch[0] @ params - batch[1]) ** 2) / 2, state

    options = {} if take is None else {"take": take}
    return Problem(
        init=lambda key: (jax.random.normal(key, (4,)), {}),
        loss=loss,
        measure=lambda params, state, batch, key: {"squared": (batch[0] @ params - batch[1]) ** 2},
        scores={"mse": lower("squared")},
        data=Table((x, y), random_split(rows), **options),
    )


def study_of(*arms, **options):
    given = {"steps": 30, "batch": 8, "seeds": (0, 1), "noise_floor": False, "ladder": False, "search": Search(trials=4)}
    return Study(arms=tuple(each if isinstance(each, Arm) else Arm(each) for each in arms), **{**given, **options})


def by_hand(problem, seed):
    """Hessian, gradient and gradients of all examples at the start of a seed, in float64."""
    x, y = (np.asarray(each, float)[problem.data.split(seed)[0]] for each in problem.data.arrays)
    params = np.asarray(start_of(problem, seed)[0], float)
    each = x * (x @ params - y)[:, None]
    return x.T @ x / len(x), each.mean(0), each


def test_the_start_is_that_of_the_trainer() -> None:
    problem = least_squares()
    trained = train_many(
        jax.vmap(jax.random.key)(np.array([5], np.uint32)),
        optax.sgd,
        {"learning_rate": 0.0},
        problem,
        steps=1,
        keep_params=True,
    )
    np.testing.assert_array_equal(start_of(problem, 5)[0], trained.runs[0].params)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [2048, 7])
def test_the_model_of_least_squares_is_the_loss_itself(chunk) -> None:
    problem = least_squares()._replace(evaluation_batch=chunk)
    hessian, gradient, each = by_hand(problem, 1)
    found = quadratic_model(of(problem), 1, 30)
    values, vectors = np.linalg.eigh(hessian)
    lam, squares, noises = found.spectrum
    assert found.spectrum.sharpness == pytest.approx(values[-1], rel=1e-4)
    for f in (np.ones_like, lambda x: np.exp(-x), lambda x: 1 / (0.1 + x)):
        assert squares @ f(lam) == pytest.approx((vectors.T @ gradient) ** 2 @ f(values), rel=1e-3)
        covariance = np.cov(each.T, bias=True)
        samples = noises @ f(lam)
        known = np.einsum("ij,ik,kj->j", vectors, covariance, vectors) @ f(values)
        assert abs(samples.mean() - known) < 4 * samples.std(ddof=1) / np.sqrt(RESIDUALS)
    assert found.noise == pytest.approx(noises.sum(1).mean(), rel=1e-4)
    assert found.loss == pytest.approx(float(problem.loss(*start_of(problem, 1), training_rows(problem, 1), KEY)[0]), rel=1e-5)
    assert (found.rows, found.training_rows, found.entries) == (30, 30, 4)


KEY = jax.random.key(0)


def training_rows(problem, seed):
    rows = problem.data.split(seed)[0]
    return tuple(each[rows] for each in problem.data.arrays)


def of(problem, **options):
    return material(given_in_python(study_of("sgd(0.1)", **options), problem))


@pytest.mark.slow
def test_a_table_whose_batches_are_no_rows_gives_the_same() -> None:
    plain = least_squares()
    other = plain._replace(
        data=plain.data._replace(take=lambda arrays, rows: (arrays[0][rows], arrays[1][rows], jnp.float32(1.0))),
        loss=lambda params, state, batch, key: plain.loss(params, state, batch[:2], key),
        measure=lambda params, state, batch, key: plain.measure(params, state, batch[:2], key),
    )
    one, same = (quadratic_model(of(each), 0, 30) for each in (plain, other))
    np.testing.assert_allclose(one.spectrum.curvatures, same.spectrum.curvatures, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one.spectrum.gradients2, same.spectrum.gradients2, rtol=1e-3, atol=1e-5)


def test_shuffled_batches_are_less_noisy_than_independent_draws() -> None:
    whole = of(least_squares())
    assert batch_of(whole, 0) == 8.0
    # Of 30 rows: the variance of 8 without replacement is (30 - 8) / (30 - 1) of that of 8 draws.
    assert batch_of(whole, 0, "shuffle") == pytest.approx(8 * 29 / 22)
    assert batch_of(of(least_squares(), batch=None), 0, "shuffle") is None


def test_of_many_rows_a_sample_is_measured() -> None:
    found = quadratic_model(of(least_squares(rows=10_000)), 0, 30, noise=False)
    assert (found.rows, found.training_rows, found.noise) == (MOST_ROWS, 6_000, None)
    hessian, _, _ = by_hand(least_squares(rows=10_000), 0)
    assert found.spectrum.sharpness == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=0.1)


@pytest.mark.slow
def test_of_a_loss_that_is_dear_fewer_rows_are_measured(monkeypatch) -> None:
    whole = of(least_squares(rows=1_000))
    assert quadratic_model(whole, 0, 30, noise=False).rows == 600
    # A row takes some eleven operations.
    monkeypatch.setattr("momentum_jax.studies.quadratic_model.MOST_OPERATIONS", 2_000.0)
    assert LEAST_ROWS < quadratic_model(whole, 0, 30, noise=False).rows < 300
    monkeypatch.setattr("momentum_jax.studies.quadratic_model.MOST_OPERATIONS", 1.0)
    assert quadratic_model(whole, 0, 30, noise=False).rows == LEAST_ROWS


ARMS = ("gradient_descent(0.05)", "heavy_ball(0.05, 0.5)", "nesterov(0.05, 0.8)")
FASTER = ("gradient_descent(0.2)", "heavy_ball(0.2, 0.2)")


def test_the_order_is_that_of_the_trainings() -> None:
    problem = least_squares()
    found = predict_study(study_of(*ARMS, *FASTER, batch=None), problem=problem)
    optimizers = [(mj.gradient_descent, {"learning_rate": 0.05}), (mj.heavy_ball, {"learning_rate": 0.05, "momentum": 0.5})]
    optimizers += [(mj.nesterov, {"learning_rate": 0.05, "momentum": 0.8}), (mj.gradient_descent, {"learning_rate": 0.2})]
    optimizers += [(mj.heavy_ball, {"learning_rate": 0.2, "momentum": 0.2})]
    made, numbers = zip(*optimizers, strict=True)
    keys = jax.vmap(jax.random.key)(np.zeros(5, np.uint32))
    trained = train_many(keys, list(made), list(numbers), problem, steps=30, splits=[0] * 5, keep_params=True)
    batch = training_rows(problem, 0)
    losses = [float(problem.loss(jnp.asarray(each.params), {}, batch, KEY)[0]) for each in trained.runs]
    places = [arm.place for arm in found.arms]
    assert sorted(places, key=lambda place: losses[places.index(place)]) == sorted(places)
    assert len({*places}) >= 4
    assert found.refusal is None


def test_stability_is_told_of_every_arm_and_refusals_in_its_own_words() -> None:
    problem = least_squares()
    sharpness = float(np.linalg.eigvalsh(by_hand(problem, 0)[0])[-1])
    arms = (f"gradient_descent({1.9 / sharpness:.6f})", f"gradient_descent({2.1 / sharpness:.6f})", "adam(0.01)")
    found = predict_study(study_of(*arms, steps=100_000), problem=problem)
    stable, unstable, adam = found.arms
    assert (stable.is_stable, unstable.is_stable, adam.is_stable) == (True, False, None)
    assert stable.ratio == pytest.approx(1.9 / 2, rel=1e-3)
    assert unstable.ratio == pytest.approx(2.1 / 2, rel=1e-3)
    assert "update is not linear" in adam.refusal
    assert found.refusal == stable.refusal
    said = f"the quadratic model says nothing of 100,000 steps here; measure again at step {stable.noise_floor:,}"
    assert found.refusal == said
    assert [row(arm)[2:4] for arm in found.arms] == [("yes", "-"), ("no", "-"), ("-", "-")]
    assert f"No order: {said}." in sentences(found)
    # A loss of the trained net is never said.
    assert not {"loss", "decrease"} & {*json.dumps(found.to_dict()).split('"')}


def test_an_arm_with_ranges_is_its_best_trial_by_prediction() -> None:
    found = predict_study(
        study_of("gradient_descent(log_uniform(0.01, 3))", "gradient_descent(0.01)", search=Search(trials=8), batch=None),
        problem=least_squares(),
    )
    tuned, fixed = found.arms
    assert tuned.stable_trials is not None
    assert tuned.stable_rates is not None
    stable, tried = tuned.stable_trials
    assert tried == 8
    assert 0 < stable < 8
    assert tuned.stable_rates[1] < 2 / found.sharpness
    assert re.fullmatch(r"gradient_descent\(0\.\d+\)", tuned.optimizer)
    assert (tuned.place, fixed.place) == (1, 2)
    assert f"{stable} of 8 trials are stable" in " ".join(sentences(found))
    none = predict_study(study_of("gradient_descent(log_uniform(30.0, 90.0))"), problem=least_squares()).arms[0]
    assert (none.optimizer, none.stable_trials, none.refusal) == (None, (0, 4), "no trial is stable")


@pytest.mark.slow
def test_arms_with_batches_and_steps_of_their_own() -> None:
    arms = [Arm("sgd(0.05)", label, factors) for label, factors in (("a", {}), ("b", {"batch": 24}), ("c", {"steps": 90}))]
    found = predict_study(study_of(*arms, steps=20), problem=least_squares(rows=100))
    assert found.steps == 90
    assert [arm.refusal for arm in found.arms[:2]] == [None, None]
    assert all(arm.is_stable for arm in found.arms)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "noise"), [("stream_file", True), ("no_data_file", False)])
def test_streams_and_losses_without_data_are_predicted_too(name, noise, tmp_path, monkeypatch) -> None:
    shutil.copy(FILES / f"{name}.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    study = study_of("sgd(0.001)", "heavy_ball(0.001, 0.9)", problem=f"{name}.py:make()", batch=100, steps=4)
    found = predict_study(study)
    assert all(arm.is_stable for arm in found.arms)
    assert (found.noise is not None) == noise
    assert [arm.place for arm in found.arms] == [2, 1]
    if not noise:
        problem = problem_of(study.expression, study.paths)
        params, _ = start_of(problem, 0)
        hessian = jax.hessian(lambda p: problem.loss(dict(zip("xy", p, strict=True)), {}, None, KEY)[0])
        values = np.linalg.eigvalsh(hessian(jnp.array([params["x"], params["y"]])))
        assert found.sharpness == pytest.approx(values[-1], rel=1e-4)
        assert found.rows == 0


@pytest.mark.slow
def test_images_are_predicted_from_a_file_on_the_command_line(tmp_path, capfd) -> None:
    (tmp_path / "study.toml").write_text(
        'examples = 200\nsteps = 20\nseeds = 2\narms = ["gradient_descent(0.05)", "heavy_ball(0.05, 0.9)", "adam(0.01)"]\n'
        "[network]\nhidden = []\n"
    )
    code, out, err = run(capfd, "predict", str(tmp_path / "study.toml"), "--batch", "50")
    assert (code, err) == (0, "")
    assert "digits, 20 steps, predicted" in out
    assert re.search(r"heavy_ball\(0\.05, 0\.9\) +│ +0\.0\d+ │ +yes │ +1 │", out)
    assert "adam(0.01): linearize: update is not linear" in out
    assert "measured on 200 training rows" in out


def test_the_command_line_gives_json_too(capfd, monkeypatch) -> None:
    monkeypatch.chdir(FILES)
    arms = ("--arm", "sgd(0.001)", "--arm", "moving=heavy_ball(0.001, 0.9)", "--arm", "adam(0.01)")
    code, out, err = run(
        capfd, "predict", "--problem", "no_data_file.py:make()", *arms, "--steps", "4", "--json", "--seed", "1"
    )
    found = json.loads(out)
    assert (code, err, found["seed"], found["steps"], found["rows"]) == (0, "", 1, 4, 0)
    assert [(arm["label"], arm["place"]) for arm in found["arms"]] == [("sgd(0.001)", 2), ("moving", 1), ("adam(0.01)", None)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "7", "--seeds", "2", "--arm", "sgd(0.1)"], "predict: seed must be one of the study's, such as 0, got 7."),
        (["no.toml"], "no.toml: cannot be read"),
        (["--arm", "sgd(0.1"], "not an expression"),
        (["--problem", "nothing()"], "Study: a problem without a file must be one of"),
    ],
)
def test_what_cannot_be_predicted_is_one_line_and_exit_code_2(arguments, message, capfd) -> None:
    code, out, err = run(capfd, "predict", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_batches_of_a_stream_without_rows_are_refused() -> None:
    problem = least_squares()._replace(
        data=Stream(lambda seed, step: (np.ones((4, 4), np.float32), np.float32(1.0)), list, list)
    )
    whole = dataclasses.replace(of(least_squares()), problem=problem)
    with pytest.raises(StudyError, match="leading axis"):
        quadratic_model(whole, 0, 10)
