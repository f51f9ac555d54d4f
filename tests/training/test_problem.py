"""Any problem: trained as a hand-written loop trains it, scored as scikit-learn scores it, refused where it is ill-posed."""

import functools
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sklearn.metrics

from momentum_jax.training import (
    Interrupted,
    Problem,
    Stream,
    Table,
    classification,
    classifier,
    fixed_split,
    higher,
    kept,
    lower,
    next_token,
    random_split,
    regression,
    train_many,
)
from momentum_jax.training.model import cnn, mlp
from momentum_jax.training.sampling import draw, permutation

RNG = np.random.default_rng(2)
X = RNG.normal(size=(50, 3))
Y = X @ [1.0, -2.0, 0.5] + 0.3 * RNG.normal(size=50)
SPLIT = random_split(50)
KEYS = jax.random.split(jax.random.key(8), 2)


def linear_init(key):
    return {"w": 0.1 * jax.random.normal(key, (3,), jnp.result_type(float)), "b": jnp.zeros((), jnp.result_type(float))}, {}


def linear(params, state, x, *, key, train):
    return x @ params["w"] + params["b"], state


def least_squares(**changed):
    return regression(linear_init, linear, X, Y, split=SPLIT)._replace(**changed)


def one(problem, key=KEYS[:1], make_optimizer=optax.sgd, hyperparameters=None, **options):
    hyperparameters = {"learning_rate": 0.1, "momentum": 0.9} if hyperparameters is None else hyperparameters
    (run,) = train_many(key, make_optimizer, hyperparameters, problem, **{"steps": 5, **options}).runs
    return run


def by_hand(batches, objective, params, optimizer):
    """A plain loop; the parameters after one step for each batch, and the losses before it."""

    @jax.jit
    def step(params, state, batch):
        loss, gradient = jax.value_and_grad(objective)(params, batch)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, loss

    state, losses = optimizer.init(params), []
    for batch in batches:
        params, state, loss = step(params, state, batch)
        losses.append(float(loss))
    return params, losses


def squared(params, indices):
    return jnp.mean((jnp.asarray(X)[indices] @ params["w"] + params["b"] - jnp.asarray(Y)[indices]) ** 2)


def batches_of(sampling, steps, size):
    """The rows that each step should read, from the key of the run alone."""
    batch_key = jax.random.split(KEYS[0], 3)[1]
    train = SPLIT(0)[0]
    if sampling == "replacement":
        return [train[np.asarray(draw(jax.random.fold_in(batch_key, t), size, len(train)))] for t in range(steps)]
    epochs = [np.asarray(permutation(jax.random.fold_in(batch_key, epoch), len(train))) for epoch in range(10)]
    return [train[np.concatenate(epochs)[t * size : (t + 1) * size]] for t in range(steps)]


@pytest.mark.parametrize(("sampling", "size"), [("shuffle", None), ("shuffle", 8), ("replacement", 8)])
def test_a_regression_ends_where_a_loop_by_hand_in_float64_ends(sampling, size):
    with jax.enable_x64(True):
        run = one(least_squares(), steps=23, batch_size=size, sampling=sampling)
        batches = [SPLIT(0)[0]] * 23 if size is None else batches_of(sampling, 23, size)
        params, _ = linear_init(jax.random.split(KEYS[0], 3)[0])
        params, losses = by_hand(batches, squared, params, optax.sgd(0.1, 0.9))
    assert run.params["w"].dtype == np.float64
    for name in ("w", "b"):
        np.testing.assert_allclose(run.params[name], params[name], rtol=1e-12)
    np.testing.assert_allclose(run.losses, losses, rtol=1e-6)


A = np.array([[3.0, 1.0], [1.0, 2.0]])


def quadratic(params, state, batch, key):
    assert batch is None
    return 0.5 * params["x"] @ A @ params["x"], state


BOWL = Problem(
    init=lambda key: ({"x": jnp.array([1.0, -2.0], jnp.result_type(float))}, {}),
    loss=quadratic,
    measure=lambda params, state, batch, key: {"value": quadratic(params, state, batch, key)[0], "x": params["x"]},
    scores={"value": lower("value"), "x": kept(lambda values: values["x"])},
)


def test_a_loss_without_data_is_trained_and_measured_once_and_has_no_test():
    with jax.enable_x64(True):
        run = one(BOWL, steps=20, evaluate_at=10)
        values = []
        for steps in (0, 10, 20):
            params, losses = by_hand(
                [None] * steps, lambda p, _: 0.5 * p["x"] @ A @ p["x"], BOWL.init(None)[0], optax.sgd(0.1, 0.9)
            )
            values.append(0.5 * params["x"] @ A @ params["x"])
    np.testing.assert_allclose(run.params["x"], params["x"], rtol=1e-12)
    np.testing.assert_allclose(run.losses, losses, rtol=1e-6)
    np.testing.assert_array_equal(run.evaluation_steps, [0, 10, 20])
    np.testing.assert_allclose(run.validation["value"], values, rtol=1e-6)
    np.testing.assert_allclose(run.validation_kept["x"], params["x"], rtol=1e-6)
    assert run.test == {}
    assert run.confusion is None
    assert np.isnan([run.test_loss, run.accuracy, run.mcc, *run.evaluation_losses, *run.evaluation_accuracies]).all()


@pytest.mark.parametrize("evaluation_batch", [3, 2048])
def test_a_score_is_of_the_whole_set_as_scikit_learn_computes_it(evaluation_batch):
    run = one(least_squares(evaluation_batch=evaluation_batch), splits=[3])
    _, validation, test = SPLIT(3)
    for found, rows in (({name: each[-1] for name, each in run.validation.items()}, validation), (run.test, test)):
        predicted = X[rows] @ run.params["w"] + run.params["b"]
        np.testing.assert_allclose(found["r2"], sklearn.metrics.r2_score(Y[rows], predicted), rtol=1e-5)
        np.testing.assert_allclose(found["mse"], sklearn.metrics.mean_squared_error(Y[rows], predicted), rtol=1e-5)
        np.testing.assert_allclose(found["mae"], sklearn.metrics.mean_absolute_error(Y[rows], predicted), rtol=1e-5)
    assert list(run.test) == list(run.validation) == ["r2", "mse", "mae"]


def test_the_r2_of_several_targets_and_of_a_constant_one_is_scikit_learns():
    targets = np.stack([Y, 3 * X[:, 0], np.ones(50)], axis=1)

    def init(key):
        return {"w": 0.1 * jax.random.normal(key, (3, 3))}, {}

    problem = regression(init, lambda params, state, x, *, key, train: (x @ params["w"], state), X, targets, split=SPLIT)
    run = one(problem)
    rows = SPLIT(0)[2]
    expected = sklearn.metrics.r2_score(targets[rows], X[rows] @ run.params["w"])
    np.testing.assert_allclose(run.test["r2"], expected, rtol=1e-4)


@pytest.mark.parametrize("evaluation_batch", [1, 4])
def test_rows_that_fill_up_a_batch_never_reach_a_score(evaluation_batch):
    widths = []

    def measure(params, state, batch, key):
        widths.append(len(batch["row"]))
        return {"row": batch["row"]}

    scores = {"count": lower(lambda values: jnp.float32(len(values["row"]))), "rows": kept(lambda values: values["row"])}
    problem = Problem(
        lambda key: ({"w": jnp.ones(())}, {}),
        lambda params, state, batch, key: (params["w"] ** 2, state),
        measure,
        scores,
        Table({"row": np.arange(40)}, fixed_split(range(20), range(20, 30), range(37, 30, -1))),
        evaluation_batch,
    )
    run = one(problem)
    np.testing.assert_array_equal(run.validation_kept["rows"], np.arange(20, 30))
    np.testing.assert_array_equal(run.test["rows"], np.arange(37, 30, -1))
    assert run.test["count"] == 7
    assert max(widths) <= evaluation_batch


@pytest.mark.parametrize("size", [1, 2047, 2049, 5000])
def test_a_mean_is_of_all_entries_however_many_blocks_they_fill(size):
    values = 1 + np.random.default_rng(size).uniform(size=(size, 3)).astype(np.float32)
    np.testing.assert_allclose(lower("v")({"v": jnp.asarray(values)}), values.mean(dtype=np.float64), rtol=1e-6)


def test_the_arrays_stay_in_their_dtypes_until_they_are_taken():
    kinds = []

    def take(arrays, indices):
        kinds.append(jax.tree.map(lambda each: (each.dtype, each.shape), arrays))
        return arrays["x"][indices].astype(jnp.float32), arrays["y"][indices]

    arrays = {"x": X.astype(np.float16), "y": Y.astype(jnp.bfloat16), "unused": np.zeros((50, 2), np.uint8)}
    one(least_squares(data=Table(arrays, SPLIT, take)), batch_size=8)
    expected = {"x": (np.float16, (50, 3)), "y": (jnp.bfloat16, (50,)), "unused": (np.uint8, (50, 2))}
    assert all(kind == expected for kind in kinds)


def test_a_run_is_trained_on_the_split_of_its_seed():
    both = train_many(KEYS, optax.sgd, {"learning_rate": 0.1}, least_squares(), steps=5, splits=[41, 7]).runs
    (alone,) = train_many(KEYS[1:], optax.sgd, {"learning_rate": 0.1}, least_squares(), steps=5, splits=[7]).runs
    np.testing.assert_array_equal(both[1].losses, alone.losses)
    assert both[1].test["r2"] == alone.test["r2"]
    assert both[0].losses[0] != both[1].losses[0]


def test_images_as_a_problem_are_the_same_runs_to_the_bit(linear_images, examples, equal):
    options = {"steps": 12, "batch_size": 16, "evaluate_at": 5, "splits": [1, 0]}
    arguments = (KEYS, optax.sgd, {"learning_rate": 0.1})
    as_model = train_many(*arguments, linear_images, examples, **options).runs
    as_problem = train_many(*arguments, classification(linear_images, examples), **options).runs
    for a, b in zip(as_model, as_problem, strict=True):
        assert equal((a.losses, a.validation, a.test, a.params), (b.losses, b.validation, b.test, b.params))
    run = as_model[0]
    assert list(run.test) == ["accuracy", "loss", "mcc", "confusion"]
    assert (run.accuracy, run.test_loss, run.mcc) == (run.test["accuracy"], run.test["loss"], run.test["mcc"])
    assert run.validation_kept["confusion"].sum() == 71


@pytest.fixture(name="linear_images")
def _linear_images(linear):
    return linear


@pytest.mark.slow
def test_a_classifier_is_scored_as_scikit_learn_scores_it():
    labels = (Y > 0).astype(np.uint8) + (Y > 2)

    def init(key):
        return {"w": 0.5 * jax.random.normal(key, (3, 3))}, {}

    problem = classifier(init, lambda params, state, x, *, key, train: (x @ params["w"], state), X, labels, evaluation_batch=4)
    run = one(problem, batch_size=8, steps=10)
    _, _, rows = random_split(50, stratify=labels)(0)
    logits = X[rows] @ run.params["w"]
    predicted = logits.argmax(1)
    np.testing.assert_allclose(run.test["accuracy"], sklearn.metrics.accuracy_score(labels[rows], predicted), rtol=1e-6)
    np.testing.assert_allclose(run.test["mcc"], sklearn.metrics.matthews_corrcoef(labels[rows], predicted), rtol=1e-6)
    np.testing.assert_array_equal(run.confusion, sklearn.metrics.confusion_matrix(labels[rows], predicted))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(run.test["loss"], sklearn.metrics.log_loss(labels[rows], shares), rtol=1e-5)
    assert [problem.scores[name].worst for name in ("accuracy", "loss", "mcc")] == [0.0, None, -1.0]
    assert [name for name, score in problem.scores.items() if score.percent] == ["accuracy"]


def bigram_init(key):
    return {"logits": 0.1 * jax.random.normal(key, (5, 5))}, {}


def bigram(params, state, x, *, key, train):
    return params["logits"][x], state


@pytest.mark.slow
def test_a_token_model_is_scored_by_the_tokens_of_its_windows():
    tokens = RNG.integers(0, 5, 101).astype(np.uint8)
    problem = next_token(bigram_init, bigram, tokens, 4, evaluation_batch=2)
    run = one(problem, batch_size=3)
    logits = run.params["logits"]
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    starts = problem.data.split(0)[2]
    bits = [-np.log2(shares[tokens[i], tokens[i + 1]]) for start in starts for i in range(start, start + 4)]
    np.testing.assert_allclose(run.test["bits_per_token"], np.mean(bits), rtol=1e-5)
    np.testing.assert_allclose(run.test["perplexity"], 2 ** np.mean(bits), rtol=1e-5)
    # Each token but the first is predicted once: 25 windows of 4 are 100.
    predicted = np.concatenate([start + 1 + np.arange(4) for part in problem.data.split(0) for start in part])
    np.testing.assert_array_equal(np.sort(predicted), np.arange(1, 101))


@pytest.mark.parametrize("build", [lambda **k: mlp((4,), **k), lambda **k: cnn((2,), (), **k)])
def test_colour_images_are_read_in_all_their_channels(build):
    model = build(input_shape=(4, 6, 3), classes=2)
    params, state = model.init(jax.random.key(0))
    x = jax.random.uniform(jax.random.key(1), (2, 4, 6, 3))
    outputs, _ = model.apply(params, state, x, key=jax.random.key(0), train=False)
    for channel in range(3):
        changed, _ = model.apply(params, state, x.at[..., channel].add(1.0), key=jax.random.key(0), train=False)
        assert outputs.shape == (2, 2)
        assert not np.allclose(outputs, changed)


def test_the_axes_of_a_problem_reach_an_optimizer_that_asks_for_them_and_was_given_none():
    given = []

    def asking(learning_rate, axes=None):
        given.append(axes)
        return optax.sgd(learning_rate)

    problem = BOWL._replace(axes={"x": (0,)})
    makers, numbers = (
        [asking, asking, optax.sgd],
        [{"learning_rate": 0.1}, {"learning_rate": 0.1, "axes": "own"}, {"learning_rate": 0.1}],
    )
    train_many(jax.random.split(KEYS[0], 3), makers, numbers, problem, steps=1)
    assert {"x": (0,)} in given
    assert "own" in given
    assert None not in given


def test_an_optimizers_programs_are_found_again_for_an_equal_problem():
    arguments = (KEYS, optax.sgd, {"learning_rate": 0.1})
    train_many(*arguments, least_squares(), steps=3)
    assert train_many(*arguments, least_squares(), steps=3).compile_seconds == 0


def test_what_reads_no_number_of_an_optimizer_is_compiled_once_for_all():
    traced = []

    def init(key):
        traced.append("init")
        return linear_init(key)

    def measure(params, state, batch, key):
        traced.append("measure")
        return {"squared": (batch[0] @ params["w"] + params["b"] - batch[1]) ** 2}

    problem = least_squares(init=init, measure=measure, scores={"mse": lower("squared")})
    numbers = [{"learning_rate": 0.1}, {"learning_rate": 0.1, "momentum": 0.9}]
    train_many(KEYS, [optax.sgd, optax.sgd], numbers, problem, steps=3, devices=jax.devices()[:1])
    # Once for its check, of both sets, and once for its program; validation and test are of one size.
    assert sorted(traced) == ["init"] * 2 + ["measure"] * 3


@pytest.mark.parametrize("devices", [1, 2])
def test_what_is_compiled_ahead_is_what_runs_so_nothing_is_traced_again(devices):
    traced = []

    def loss(params, state, batch, key):
        traced.append("loss")
        return jnp.mean((batch[0] @ params["w"] + params["b"] - batch[1]) ** 2), state

    def measure(params, state, batch, key):
        traced.append("measure")
        return {"squared": (batch[0] @ params["w"] + params["b"] - batch[1]) ** 2}

    problem = Problem(linear_init, loss, measure, {"mse": lower("squared")}, Table((X, Y), SPLIT))
    train_many(KEYS, optax.sgd, {"learning_rate": 0.1}, problem, steps=3, devices=jax.devices()[:devices])
    # Each once for its check, of both sets, and once for its program; validation and test are of one size.
    assert sorted(traced) == ["loss"] * 2 + ["measure"] * 3


def test_what_the_compiler_refuses_is_raised_to_the_caller(monkeypatch):
    monkeypatch.setattr("momentum_jax.training.program._ON_A_CPU", {"xla_no_such_option": True})
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_no_such_option"):
        one(least_squares(scores={"new": lower("squared_error")}))


@pytest.mark.slow
def test_lanes_change_a_problem_by_rounding_only():
    arguments = (KEYS, optax.sgd, {"learning_rate": 0.1}, least_squares(evaluation_batch=4))
    single = train_many(*arguments, steps=5, lanes=1, splits=[0, 1]).runs
    side_by_side = train_many(*arguments, steps=5, lanes=2, devices=jax.devices()[:1], splits=[0, 1]).runs
    for a, b in zip(single, side_by_side, strict=True):
        np.testing.assert_allclose(a.losses, b.losses, rtol=1e-5)
        np.testing.assert_allclose(a.test["r2"], b.test["r2"], rtol=1e-4)


def test_a_problem_goes_on_from_its_checkpoint_in_the_same_bits_and_another_measure_does_not_take_it_up(tmp_path, equal):
    def stop(report):
        if report.phase == "train" and report.step >= 5:
            raise KeyboardInterrupt

    def run(problem=BOWL, **options):
        options = {
            "steps": 8,
            "evaluate_at": 3,
            "checkpoint": tmp_path,
            "checkpoint_seconds": 0.0,
            "chunk_seconds": 1e-9,
        } | options
        return one(problem, **options)

    whole = run(checkpoint=None)
    with pytest.raises(Interrupted):
        run(on_progress=stop)
    steps = []
    other = BOWL._replace(measure=lambda *a: {"value": 2 * BOWL.measure(*a)["value"], "x": jnp.zeros(2)})
    run(other, on_progress=lambda report: steps.append(report.step) if report.phase == "train" else None)
    assert steps[0] == 0
    steps.clear()
    resumed = run(on_progress=lambda report: steps.append(report.step) if report.phase == "train" else None)
    assert steps[0] == 4
    for name in ("losses", "validation", "validation_kept", "params"):
        assert equal(getattr(resumed, name), getattr(whole, name))


def test_a_ranked_score_that_is_not_finite_at_the_end_is_a_divergence_and_its_curve_ends_there():
    run = one(BOWL, hyperparameters={"learning_rate": 1e30}, steps=6, evaluate_at=1)
    assert 0 < run.diverged < 6
    assert np.isnan(run.validation["value"][run.diverged + 1 :]).all()
    last = one(BOWL._replace(scores={"log": lower(lambda v: jnp.log(-v["value"]))}), steps=3)
    assert last.diverged == 3
    assert np.isfinite(last.losses).all()


@pytest.mark.parametrize("stratify", [None, np.repeat([0, 1, 2], [60, 30, 11])])
def test_a_random_split_divides_all_rows_keeps_its_test_rows_and_is_the_same_everywhere(stratify):
    split = random_split(101, 0.3, 0.1, stratify)
    seen = [split(seed) for seed in range(4)]
    for train, validation, test in seen:
        np.testing.assert_array_equal(np.sort(np.concatenate([train, validation, test])), np.arange(101))
        np.testing.assert_array_equal(test, seen[0][2])
        assert [len(train), len(validation), len(test)] == [len(part) for part in seen[0]]
        if stratify is not None:
            np.testing.assert_array_equal(np.bincount(stratify[validation]), [18, 9, 3])
            np.testing.assert_array_equal(np.bincount(stratify[test]), [6, 3, 1])
    assert not np.array_equal(np.sort(seen[0][1]), np.sort(seen[1][1]))
    assert not np.array_equal(seen[0][0], np.sort(seen[0][0]))
    np.testing.assert_array_equal(split(2)[1], random_split(101, 0.3, 0.1, stratify)(2)[1])
    assert random_split(12)(0)[2].tolist() == [2, 4]


def test_a_fixed_split_is_the_same_for_every_seed_and_may_leave_sets_out():
    split = fixed_split(range(3), [], np.array([4]))
    assert [part.tolist() for part in split(0)] == [part.tolist() for part in split(9)] == [[0, 1, 2], [], [4]]
    run = one(least_squares(data=Table((X, Y), split)))
    assert run.evaluation_steps.size == 0
    assert run.validation == {name: pytest.approx([]) for name in ("r2", "mse", "mae")}
    assert run.test["mse"] > 0


def _changed_table(arrays=(X, Y), split=SPLIT):
    return least_squares(data=Table(arrays, split))


ILL_POSED = {
    "loss per row": (
        least_squares(loss=lambda p, s, b, k: ((b[0] @ p["w"] - b[1]) ** 2, s)),
        r"^Problem: loss must return \(scalar, state\), got float32\[30\] and a dict\.",
    ),
    "loss alone": (
        least_squares(loss=lambda p, s, b, k: jnp.mean(b[0] @ p["w"])),
        r"^Problem: loss must return \(scalar, state\), got float32\[\]\.",
    ),
    "whole-numbered loss": (
        least_squares(loss=lambda p, s, b, k: (1, s)),
        r"Problem: loss must return \(scalar, state\), got int32\[\] and",
    ),
    "no score": (least_squares(scores={}), "^Problem: scores must hold at least one ranked score, got none"),
    "kept alone": (
        least_squares(scores={"a": kept("target")}),
        "Problem: scores must hold at least one ranked score, got none",
    ),
    "a worst value that is no number": (
        least_squares(scores={"a": lower("target", worst=float("nan"))}),
        r"^Problem: the worst value of score 'a' must be a finite number or None, got nan\.",
    ),
    "a worst value that JSON lacks": (
        least_squares(scores={"a": lower("target", worst=np.float32(1))}),  # pyright: ignore[reportArgumentType]
        "^Problem: the worst value of score 'a' must be a finite number or None",
    ),
    "neither higher nor lower": (
        least_squares(scores={"a": lower("target")._replace(better="max")}),
        r"^Problem: score 'a' must be better 'higher', 'lower' or None, got 'max'\.",
    ),
    "a split that is no function": (
        least_squares(data=Table((X, Y), (1, 2))),  # pyright: ignore[reportArgumentType]
        r"^Table: split must be a function, got a tuple\.",
    ),
    "batches that are no function": (
        least_squares(data=Stream(lambda seed, step: (X, Y), [(X, Y)])),  # pyright: ignore[reportArgumentType]
        r"^Stream: validation must be a function, got a list\.",
    ),
    "no Score": (least_squares(scores={"a": "mse"}), "Problem: scores must map names to .* at 'a'"),
    "parameters that are counts": (
        least_squares(init=lambda key: ({"w": jnp.arange(3)}, {})),
        r"^Problem: init must return floating parameters, got int32\[3\] at leaf \['w'\]\.",
    ),
    "no parameters": (least_squares(init=lambda key: ({}, {})), "Problem: init must return floating parameters, got none"),
    "parameters alone": (
        least_squares(init=lambda key: {"w": 1.0}),
        r"Problem: init must return \(params, state\), got a dict",
    ),
    "an array as a score": (
        least_squares(scores={"auc": higher(lambda v: v["target"])}),
        r"^Problem: score 'auc' must be a scalar, got float32\[10\]; keep arrays with kept\(\)\.",
    ),
    "a mean as a row": (
        least_squares(measure=lambda p, s, b, k: {"e": jnp.mean(b[1])}, scores={"e": lower("e")}),
        r"^Problem: measure must return one row for each of 10 examples, got float32\[\] at \['e'\]\.",
    ),
    "no dict": (least_squares(measure=lambda p, s, b, k: b[1]), r"Problem: measure must return a dict .*, got float32\[10\]"),
    "a name that is not measured": (
        least_squares(measure=lambda p, s, b, k: {"e": b[1]}, scores={"e": lower("f")}),
        r"^Problem: score 'e' reads 'f', which measure does not return; it returns 'e'\.",
    ),
    "no function": (least_squares(loss=1.0), r"Problem: loss must be a function, got float32\[\]"),
    "data as arrays": (least_squares(data=(X, Y)), "Problem: data must be a Table, a Stream or None, got a tuple"),
    "evaluation batch": (
        least_squares(evaluation_batch=0),
        "Problem: evaluation_batch must be a whole number of at least 1, got 0",
    ),
    "arrays of other lengths": (
        _changed_table((X[:20], Y[:19]), fixed_split([0], [], [])),
        r"^Table: arrays must share their first axis, got 20 and 19\.",
    ),
    "words": (
        _changed_table((X, np.array(["a"] * 50))),
        r"Table: arrays must be arrays of numbers .* got <U1\[50\] at leaf \[1\]",
    ),
    "a table of another library": (
        _changed_table((SimpleNamespace(ndim=2, shape=(50, 3)), Y)),
        r"^Table: arrays must be arrays of numbers with an axis of rows, got a SimpleNamespace at leaf \[0\]\.$",
    ),
    "lists": (_changed_table((X.tolist(), Y)), r"^Table: arrays must be arrays .*, got a float at leaf \[0\]\[0\]\[0\]\.$"),
    "parameters that are one array of counts": (
        least_squares(init=lambda key: (jnp.arange(3), {})),
        r"^Problem: init must return floating parameters, got int32\[3\]\.",
    ),
    "no arrays": (_changed_table({}), "Table: arrays must hold at least one array, got none"),
    "rows that are not there": (
        _changed_table((X[:20], Y[:20]), fixed_split(range(100), [], [])),
        r"^Table: split\(0\) must index the 20 rows, got 0 to 99\.",
    ),
    "rows that are shared": (
        _changed_table(split=fixed_split([0, 1, 2], [3], [2, 4])),
        r"^Table: split\(0\) shares 1 row between train and test\.",
    ),
    "two parts": (
        _changed_table(split=lambda seed: ([0], [1])),
        r"Table: split\(0\) must return \(train, validation, test\), got a tuple",
    ),
    "masks": (
        _changed_table(split=lambda seed: (np.ones(50, bool), [], [])),
        r"Table: split\(0\) must give train as integer indices \(size,\), got bool\[50\]",
    ),
    "nothing to train on": (
        _changed_table(split=fixed_split([], [1], [])),
        r"Table: split\(0\) must give at least one train row, got none",
    ),
}


@pytest.mark.parametrize(("problem", "message"), ILL_POSED.values(), ids=ILL_POSED.keys())
def test_an_ill_posed_problem_is_refused_by_one_sentence_before_anything_is_compiled(problem, message, monkeypatch):
    monkeypatch.setattr("momentum_jax.training.program.Program.prepare", None)
    with pytest.raises(ValueError, match=message):
        one(
            problem,
            batch_size=8 if message.startswith(r"^Problem: loss must return \(scalar, state\), got float32\[8") else None,
        )


def streamed(train=None, validation=None, test=None, **changed):
    """The mini-batches of `least_squares` with replacement, and its sets in batches whose last is smaller."""
    _, valid, held_out = SPLIT(0)

    def batches(rows):
        return lambda: ((X[rows[i : i + 4]], Y[rows[i : i + 4]]) for i in range(0, len(rows), 4))

    def drawn(seed, step):
        rows = np.random.default_rng([seed, step]).integers(0, 50, 8)
        return X[rows], Y[rows]

    return least_squares(data=Stream(train or drawn, validation or batches(valid), test or batches(held_out)), **changed)


@pytest.mark.slow
def test_a_stream_ends_where_a_loop_by_hand_ends_whatever_the_blocks(monkeypatch):
    with jax.enable_x64(True):
        run = one(streamed(), steps=23, splits=[5], evaluate_at=[3, 17])
        monkeypatch.setattr("momentum_jax.training.blocks._MOST_STEPS", 5)
        cut = one(streamed(), steps=23, splits=[5])
        monkeypatch.setattr("momentum_jax.training.blocks._MOST_BYTES", 1)
        single = one(streamed(), steps=23, splits=[5], chunk_seconds=1e-9)
        params, _ = linear_init(jax.random.split(KEYS[0], 3)[0])
        rows = [np.random.default_rng([5, step]).integers(0, 50, 8) for step in range(23)]
        params, losses = by_hand(rows, squared, params, optax.sgd(0.1, 0.9))
    for each in (run, cut, single):
        np.testing.assert_allclose(each.params["w"], params["w"], rtol=1e-12)
        np.testing.assert_allclose(each.losses, losses, rtol=1e-6)
    rows = SPLIT(0)[2]
    expected = sklearn.metrics.r2_score(Y[rows], X[rows] @ run.params["w"] + run.params["b"])
    np.testing.assert_allclose(run.test["r2"], expected, rtol=1e-5)
    assert run.evaluation_steps.tolist() == [0, 3, 17, 23]


def test_runs_of_one_seed_share_the_batches_of_a_stream_and_others_have_their_own():
    asked = []

    def train(seed, step):
        asked.append((seed, step))
        rows = np.random.default_rng([seed, step]).integers(0, 50, 8)
        return X[rows], Y[rows]

    keys = jax.random.split(KEYS[0], 3)
    options = {"steps": 6, "lanes": 3, "devices": jax.devices()[:1]}
    together = train_many(keys, optax.sgd, {"learning_rate": 0.1}, streamed(train), splits=[9, 4, 9], **options).runs
    assert sorted(set(asked)) == [(seed, step) for seed in (4, 9) for step in range(6)]
    assert max(asked.count(each) for each in asked if each[1] > 1) == 1
    alone = train_many(keys[1:2], optax.sgd, {"learning_rate": 0.1}, streamed(), splits=[4], steps=6).runs[0]
    np.testing.assert_allclose(together[1].losses, alone.losses, rtol=1e-5)
    assert not np.allclose(together[0].losses, together[1].losses)


def test_the_time_of_training_has_that_of_drawing_all_batches():
    def train(seed, step):
        time.sleep(0.01)
        return X[:8], Y[:8]

    result = train_many(KEYS[:1], optax.sgd, {"learning_rate": 0.1}, streamed(train), steps=20)
    assert result.training_seconds > 20 * 0.01


@pytest.mark.slow
def test_of_a_stream_hardly_more_is_drawn_than_is_trained_on(tmp_path, monkeypatch):
    monkeypatch.setattr("momentum_jax.training.blocks._MOST_STEPS", 8)
    asked = []

    def train(seed, step):
        asked.append(step)
        return X[:8], Y[:8]

    def stop(report):
        if report.phase == "train" and report.step >= 24:
            raise KeyboardInterrupt

    often = {"steps": 32, "checkpoint": tmp_path, "checkpoint_seconds": 0.0, "chunk_seconds": 1e-9}
    with pytest.raises(Interrupted):
        one(streamed(train), on_progress=stop, **often)
    assert sorted(step for step in asked if step > 2) == list(range(3, 32))
    asked.clear()
    one(streamed(train), **often)
    assert not {*range(3, 16)} & {*asked}


def test_a_stream_goes_on_from_its_checkpoint_in_the_same_bits(tmp_path, equal):
    def stop(report):
        if report.phase == "train" and report.step >= 5:
            raise KeyboardInterrupt

    often = {"steps": 8, "evaluate_at": 3, "checkpoint_seconds": 0.0, "chunk_seconds": 1e-9}
    whole, steps = one(streamed(), **often), []
    with pytest.raises(Interrupted):
        one(streamed(), checkpoint=tmp_path, on_progress=stop, **often)
    seen = lambda report: steps.append(report.step) if report.phase == "train" else None  # noqa: E731
    resumed = one(streamed(), checkpoint=tmp_path, on_progress=seen, **often)
    assert steps[0] == 4
    for name in ("losses", "validation", "test", "params"):
        assert equal(getattr(resumed, name), getattr(whole, name))


def growing(seed, step):
    return X[: 4 + (step == 1)], Y[: 4 + (step == 1)]


REFUSED_STREAMS = [
    (
        streamed(lambda seed, step: (RNG.normal(size=(4, 3)), np.ones(4))),
        {},
        r"^Stream: train\(0, 0\) called twice gave different",
    ),
    (
        streamed(growing),
        {},
        r"^Stream: train must keep shapes and dtypes, got float\d+\[5, 3\] at step 1, float\d+\[4, 3\] at step 0\.",
    ),
    (
        streamed(lambda seed, step: (X, Y) if step < 3 else {"x": X}),
        {},
        "train must keep its structure, got .* at step 3",
    ),
    (
        streamed(validation=functools.partial(iter, iter([(X, Y), (-X, Y), (X, Y)]))),
        {},
        r"^Stream: validation\(\) called twice gave different batches\.$",
    ),
    (
        streamed(test=lambda: [(X, Y), (X[:, :2], Y)]),
        {},
        r"^Stream: test must keep .* its rows, got float\d+\[0, 2\] at \[0\], .* in batch 1, float\d+\[0, 3\] at \[0\]",
    ),
    (streamed(validation=list), {}, "Stream: validation must give at least one batch, got none"),
    (streamed(test=lambda: [(X, Y[:3])]), {}, r"Stream: test must give arrays .* first axis, got .*\[50, 3\], .*\[3\]"),
    (
        streamed(),
        {"batch_size": 32},
        r"^train_many: batch_size is of a Table, got 32 with a Stream \(its batches have their own size\)",
    ),
]


@pytest.mark.parametrize(("problem", "options", "message"), REFUSED_STREAMS)
def test_a_stream_that_cannot_be_trained_on_is_refused(problem, options, message):
    with pytest.raises(ValueError, match=message):
        one(problem, **options)


def test_splits_of_other_sizes_are_refused():
    problem = _changed_table(split=lambda seed: (np.arange(5 + seed), [40], []))
    with pytest.raises(ValueError, match="equal sizes for all seeds, got 5 train rows for seed 0 and 6 for seed 1"):
        train_many(KEYS, optax.sgd, {"learning_rate": 0.1}, problem, steps=2, splits=[0, 1])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((BOWL,), {"batch_size": 32}, "train_many: batch_size is of a Table, got 32 with data=None"),
        ((BOWL,), {"splits": [-1]}, "train_many: splits must be one seed of at least 0 for each of 1 runs"),
        ((BOWL, (X, Y)), {}, "train_many: data must be the Examples of a Model, got tuple"),
        ((optax.sgd,), {}, "train_many: problem must be a Problem, or a Model with its Examples, got function"),
    ],
)
def test_arguments_that_do_not_fit_a_problem_are_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        train_many(KEYS[:1], optax.sgd, {"learning_rate": 0.1}, *arguments, steps=2, **options)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: regression(linear_init, linear, X, np.zeros((50, 2, 2))), r"regression: y must be \(n,\) or \(n, targets\)"),
        (lambda: classifier(linear_init, linear, X, Y), "classifier: y must be .* integers from 0, got float64"),
        (
            lambda: classifier(linear_init, linear, X, np.zeros(50, int)),
            r"Model: apply must return .* got float32 of shape \(8,\)",
        ),
        (
            lambda: next_token(bigram_init, bigram, np.ones(9), 2),
            r"next_token: tokens must be \(size,\) integers from 0, got float64",
        ),
        (
            lambda: next_token(bigram_init, bigram, np.ones(9, int), 9),
            r"next_token: length must be .* in \[1, 9\), the tokens, got 9",
        ),
        (lambda: random_split(0), "random_split: n must be a whole number of at least 1, got 0"),
        (lambda: random_split(9, -0.1), r"random_split: validation must be in \[0, 1\), got -0\.1"),
        (lambda: random_split(9, 0.5, 0.5), r"random_split: validation and test must be below 1 together, got 0\.5 and 0\.5"),
        (
            lambda: random_split(9, stratify=[1]),
            r"random_split: stratify must be \(9,\), one label for each row, got shape \(1,\)",
        ),
        (lambda: random_split(1, 0.6, 0.0), "random_split: n must leave rows for training, got 1"),
    ],
)
def test_a_whole_problem_that_cannot_be_is_refused_when_it_is_built(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_outputs_that_do_not_have_the_shape_of_the_targets_are_refused_and_a_column_is_read_as_targets():
    def column(params, state, x, *, key, train):
        return linear(params, state, x, key=key, train=train)[0][:, None], state

    flat, upright = one(least_squares()), one(regression(linear_init, column, X, Y, split=SPLIT))
    np.testing.assert_allclose(upright.losses, flat.losses, rtol=1e-5)
    with pytest.raises(ValueError, match=r"apply must return outputs like the targets, float32\[30\], got float32\[90\]"):
        one(regression(linear_init, lambda p, s, x, **_: (x.reshape(-1), s), X, Y, split=SPLIT))


def test_a_state_that_changes_its_kind_is_refused_with_its_leaf():
    def loss(params, state, batch, key):
        return params["w"].sum(), {"mean": jnp.zeros(4)}

    problem = least_squares(init=lambda key: (linear_init(key)[0], {"mean": jnp.zeros(3)}), loss=loss)
    with pytest.raises(
        TypeError, match=r"the state must keep .* got float32\[4\] at leaf \['mean'\] that began as float32\[3\]"
    ):
        one(problem)


class Wrong(Exception):
    pass


def fails(*arguments, **options):
    raise Wrong("its own words")


@pytest.mark.parametrize(
    ("problem", "role"),
    [
        (least_squares(init=fails), "init of the problem"),
        (least_squares(loss=fails), "loss of the problem"),
        (least_squares(measure=fails), "measure of the problem"),
        (least_squares(scores={"auc": higher(fails)}), "score 'auc'"),
        (_changed_table(split=fails), "split of the table"),
        (least_squares(data=Table((X, Y), SPLIT, fails)), "take of the table"),
        (regression(linear_init, fails, X, Y), "apply of the model"),
    ],
)
def test_what_a_users_function_raises_is_raised_as_it_is_and_named(problem, role):
    with pytest.raises(Wrong, match="its own words") as caught:
        one(problem)
    assert str(caught.value) == "its own words"
    line = fails.__code__.co_firstlineno
    assert caught.value.__notes__[0] == f"The trainer called {role}, fails in {__file__}, line {line}."


def test_the_arguments_of_a_score_are_kept_with_it():
    assert higher("a", worst=0.0, percent=True)[1:] == ("higher", 0.0, True)
    assert lower("a")[1:] == ("lower", None, False)
    assert kept("a")[1:] == (None, None, False)
