"""The problems that come with the library: what each is, and that it can be learned."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sklearn.datasets
import sklearn.linear_model

import momentum_jax as mj
from momentum_jax import problems
from momentum_jax._trees import leaves_by_path
from momentum_jax.optimizers.per_layer import layer_path
from momentum_jax.problems import (
    breast_cancer,
    characters,
    diabetes,
    factorisation,
    heat_equation,
    linear_regression,
    narrow_net,
    photographs,
)
from momentum_jax.training import Examples, classification, train_many
from momentum_jax.training.model import cnn

KEYS = jax.random.split(jax.random.key(0), 2)


@pytest.mark.slow
def test_the_net_on_the_diabetes_table_does_about_as_well_as_least_squares():
    problem = diabetes()
    runs = train_many(KEYS, optax.sgd, {"learning_rate": 0.02, "momentum": 0.9}, problem, steps=300, batch_size=32).runs
    x, y = sklearn.datasets.load_diabetes(return_X_y=True)
    train, _, test = problem.data.split(0)
    linear = sklearn.linear_model.LinearRegression().fit(x[train], y[train]).score(x[test], y[test])
    assert all(abs(run.test["r2"] - linear) < 0.15 for run in runs)


def test_a_factorisation_comes_to_the_error_of_the_singular_values_beyond_its_rank():
    problem = factorisation(12, 8, 3, 0.6)
    (run,) = train_many(KEYS[:1], optax.sgd, {"learning_rate": 5.0, "momentum": 0.9}, problem, steps=400).runs
    product = run.params["u"] @ run.params["v"]
    # The best approximation is M in the directions of its own three largest singular values, so U V is known without M.
    values = 0.6 ** np.arange(8)
    values *= np.sqrt(96 / np.sum(values**2))
    np.testing.assert_allclose(np.linalg.svd(product)[1][:3], values[:3], rtol=1e-3)
    np.testing.assert_allclose(run.losses[-1], np.sum(values[3:] ** 2) / 96 / 2, rtol=1e-3)
    assert abs(run.validation["excess"][-1]) < 1e-3 < run.validation["excess"][0]


def run_of(problem, optimizer, learning_rate, **options):
    (run,) = train_many(KEYS[:1], optimizer, {"learning_rate": learning_rate}, problem, **options).runs
    return run


def smaller(problem, train, rest):
    """The same problem with fewer rows in each part: its evaluation is most of a short test."""
    split = problem.data.split

    def part(seed):
        whole = split(seed)
        return whole[0][:train], whole[1][:rest], whole[2][:rest]

    return problem._replace(data=problem.data._replace(split=part))


def untrained(problem, rows):
    """Parameters, state and what the first of the training rows measure, before a step."""
    key = jax.random.key(0)

    @jax.jit
    def begun():
        params, state = problem.init(key)
        batch = problem.data.take(jax.tree.map(jnp.asarray, problem.data.arrays), jnp.asarray(problem.data.split(0)[0][:rows]))
        return params, state, problem.measure(params, state, batch, key)

    return begun()


@pytest.mark.slow
def test_a_net_of_characters_begins_at_the_bits_of_the_alphabet():
    problem = characters(layers=1, width=32, length=32)
    alphabet = int(problem.data.arrays.max()) + 1
    assert alphabet > 90
    nats = untrained(problem, 20)[2]["nats"]
    assert nats.shape == (20, 32)
    np.testing.assert_allclose(nats.mean() / np.log(2), np.log2(alphabet), atol=0.1)


def test_a_net_of_patches_begins_by_guessing_among_eight():
    params, state, measured = untrained(photographs(width=8, blocks=1), 40)
    np.testing.assert_allclose(measured["loss"].mean(), np.log(8), atol=0.05)
    assert jax.tree.leaves(params)
    assert jax.tree.leaves(state)


@pytest.mark.slow
def test_a_net_of_characters_begins_at_the_bits_of_the_alphabet_and_soon_knows_more_than_frequencies():
    problem = characters(layers=1, width=32, length=32)
    run = run_of(smaller(problem, 5000, 100), optax.adam, 0.01, steps=60, batch_size=16)
    tokens = problem.data.arrays
    alphabet = int(tokens.max()) + 1
    assert alphabet > 90
    np.testing.assert_allclose(run.validation["bits_per_token"][0], np.log2(alphabet), atol=0.1)
    shares = np.bincount(tokens) / len(tokens)
    assert run.test["bits_per_token"] < -np.sum(shares * np.log2(shares)) - 0.3
    np.testing.assert_allclose(run.test["perplexity"], 2 ** run.test["bits_per_token"], rtol=1e-4)


def test_no_paragraph_of_the_characters_is_there_twice():
    tokens = characters().data.arrays
    paragraphs = bytes(tokens).split(bytes([tokens.min()]) * 2)
    assert len(paragraphs) > 1000
    assert len(set(paragraphs)) == len(paragraphs)


def test_patches_are_of_their_quarter_and_no_pixel_is_in_two_of_them():
    from sklearn.datasets import load_sample_images

    images = load_sample_images().images
    x, y = photographs(size=16).data.arrays
    assert x.shape == (2 * 26 * 40, 16, 16, 3)
    assert x.dtype == np.uint8
    # The last patch of the first photograph, and the first one right of the middle of the second, below its middle.
    np.testing.assert_array_equal(x[26 * 40 - 1], images[0][400:416, 624:640])
    assert y[26 * 40 - 1] == 3
    place = 26 * 40 + 13 * 40 + 20
    np.testing.assert_array_equal(x[place], images[1][208:224, 320:336])
    assert (y[place - 41], y[place - 40], y[place - 1], y[place]) == (4, 5, 6, 7)
    assert sum(map(np.size, photographs(size=61).data.arrays[0])) == 2 * 427 * 610 * 3


@pytest.mark.slow
def test_a_net_of_patches_begins_by_guessing_among_eight_and_learns():
    run = run_of(smaller(photographs(width=8, blocks=1), 6000, 200), optax.adam, 0.01, steps=60, batch_size=64)
    np.testing.assert_allclose(run.validation["loss"][0], np.log(8), atol=0.05)
    assert run.losses[-10:].mean() < 1.5
    assert run.test["loss"] < 1.9
    assert run.test["accuracy"] > 0.3
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run.model_state))


def rows_of(problem, part, rows):
    indices = jnp.asarray(problem.data.split(0)[part][:rows])
    return problem.data.take(jax.tree.map(jnp.asarray, problem.data.arrays), indices)


def test_a_linear_regression_has_the_spectrum_that_it_says_and_its_noise_moves_no_minimum():
    problem = linear_regression(50.0, features=6, examples=40, noise=2.0)
    key = jax.random.key(0)
    train, test = rows_of(problem, 0, 40), rows_of(problem, 2, 40)

    def loss(w):
        return problem.loss({"w": w}, {}, train, key)[0]

    hessian = np.asarray(jax.hessian(loss)(jnp.zeros(6)), np.float64)
    eigenvalues, basis = np.linalg.eigh(hessian)
    np.testing.assert_allclose(eigenvalues[::-1], 50.0 ** -np.linspace(0, 1, 6), rtol=2e-5)
    best = np.linalg.lstsq(np.asarray(train[0], np.float64), np.asarray(train[1], np.float64), rcond=None)[0]
    np.testing.assert_allclose(np.abs(basis.T @ best), 1, rtol=1e-4)
    # The noise has the mean square that was asked for, and is no part of the excess.
    np.testing.assert_allclose(loss(jnp.asarray(best)), 2.0, rtol=1e-5)
    for point in (best, best + 0.3, np.zeros(6)):
        excess = problem.measure({"w": jnp.asarray(point, jnp.float32)}, {}, test, key)["excess"].mean()
        np.testing.assert_allclose(excess, (point - best) @ hessian @ (point - best) / 2, rtol=1e-4, atol=1e-9)


def test_the_solution_of_the_heat_equation_has_no_residual_and_another_function_has_its_own():
    from momentum_jax.problems.heat_equation import residual, solution

    points = np.random.default_rng(0).random((30, 2)).astype(np.float32)
    along_x, along_t = points.T

    def exact(point):
        return jnp.exp(-point[1]) * jnp.sin(jnp.pi * point[0])

    np.testing.assert_allclose(solution(points), jax.vmap(exact)(points), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(residual(exact, points), 0, atol=1e-5)
    of_cubic = residual(lambda point: point[0] ** 3 * point[1] ** 2, points)
    np.testing.assert_allclose(of_cubic, 2 * along_x**3 * along_t - 6 * along_x * along_t**2 / np.pi**2, rtol=1e-4, atol=1e-5)


def test_a_net_finds_the_temperature_of_the_rod_between_the_points_that_it_was_trained_at():
    run = run_of(heat_equation(width=16, side=12), optax.adam, 0.01, steps=400, batch_size=144)
    assert run.validation["error"][0] > 0.5
    assert run.test["error"] < 0.05
    problem = heat_equation(side=12)
    points = problem.data.arrays
    assert points.shape == (144 + 121, 2)
    assert 0 < points.min() < points.max() < 1


@pytest.mark.parametrize(("problem", "classes", "layers"), [(breast_cancer(), 2, 2), (narrow_net(depth=5), 10, 6)])
def test_a_net_of_a_table_begins_near_guessing_and_has_its_layers(problem, classes, layers):
    params, _, measured = untrained(problem, 64)
    assert len(params) == layers
    np.testing.assert_allclose(measured["loss"].mean(), np.log(classes), atol=0.5)


@pytest.mark.slow
def test_a_net_of_tumours_does_about_as_well_as_logistic_regression():
    problem = breast_cancer()
    run = run_of(problem, optax.sgd, 0.3, steps=200, batch_size=32)
    x, y = problem.data.arrays
    train, _, test = problem.data.split(0)
    logistic = sklearn.linear_model.LogisticRegression().fit(x[train], y[train]).score(x[test], y[test])
    assert abs(run.test["accuracy"] - logistic) < 0.03


@pytest.mark.slow
def test_a_narrow_net_of_ten_layers_learns_the_digits():
    run = run_of(narrow_net(), partial(optax.sgd, momentum=0.9), 0.02, steps=800, batch_size=64)
    assert run.test["accuracy"] > 0.88


@pytest.mark.parametrize("name", problems.__all__)
def test_each_problem_is_divided_into_three_parts_that_share_no_row(name):
    problem = getattr(problems, name)()
    if problem.data is None:
        assert name == "factorisation"
        return
    for seed in (0, 1):
        parts = problem.data.split(seed)
        together = np.concatenate(parts)
        assert len(np.unique(together)) == len(together)
        assert min(map(len, parts)) > 80
        np.testing.assert_array_equal(parts[2], problem.data.split(7)[2])


def test_a_problem_that_there_is_not_is_no_attribute():
    with pytest.raises(AttributeError, match=r"module 'momentum_jax\.problems' has no attribute 'other'"):
        problems.other  # noqa: B018


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: characters(layers=True), "characters: layers must be a whole number from 1 to 4,096, got True"),
        (lambda: characters(width=30), "characters: heads must divide the width of 30, got 4"),
        (lambda: photographs(blocks=0), "photographs: blocks must be a whole number from 1 to 4,096, got 0"),
        (lambda: photographs(size=65), "photographs: size must be a whole number from 1 to 64, got 65"),
        (lambda: diabetes(0), "diabetes: width must be a whole number from 1 to 1,000,000, got 0"),
        (lambda: diabetes(10**4000), r"diabetes: width must be .*, got int of about 4,001 digits\.$"),
        (lambda: diabetes([0] * 5000), r"diabetes: width must be .*, got .{1,80}\.$"),
        (lambda: factorisation(rows="x" * 5000), r"factorisation: rows must be .* from 1 to 4,096, got .{1,80}\.$"),
        (lambda: factorisation(columns=0), "factorisation: columns must be a whole number from 1 to 4,096, got 0"),
        (lambda: factorisation(decay="x"), r"factorisation: decay must be in \(0, 1\], got 'x'"),
        (lambda: factorisation(rank=41), "factorisation: rank must be a whole number from 1 to 40, got 41"),
        (lambda: breast_cancer(1.5), "breast_cancer: width must be a whole number from 1 to 1,000,000, got 1.5"),
        (lambda: narrow_net(depth=0), "narrow_net: depth must be a whole number from 1 to 4,096, got 0"),
        (lambda: heat_equation(side=7), "heat_equation: side must be a whole number from 8 to 512, got 7"),
        (lambda: heat_equation(width=0), "heat_equation: width must be a whole number from 1 to 4,096, got 0"),
        (lambda: linear_regression(0.5), r"linear_regression: condition must be in \[1, 1,000,000\], got 0\.5"),
        (lambda: linear_regression(noise=float("nan")), r"linear_regression: noise must be in \[0, 1,000\], got nan"),
        (lambda: linear_regression(features=512), "linear_regression: features must be a whole number from 1 to 511, got 512"),
        (lambda: factorisation(decay=0.0), r"factorisation: decay must be in \(0, 1\], got 0\.0"),
    ],
)
def test_a_problem_that_cannot_be_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("make", [photographs, characters], ids=lambda make: make.__name__)
def test_shipped_problems_name_the_axes_of_their_convolutions_and_attention(make):
    problem = make()
    params, _ = jax.eval_shape(problem.init, jax.random.key(0))
    moments = jax.eval_shape(mj.muon(axes=problem.axes).init, params).matrices[0].first_moment
    matrices = {layer_path(path) for path in leaves_by_path(moments)}
    kernels = {layer_path(path) for path, leaf in leaves_by_path(params).items() if layer_path(path[-1:]) == "kernel"}
    assert matrices == kernels - ({"Dense_4/kernel"} if make is characters else set())
    with pytest.raises(ValueError, match="which axes must name"):
        jax.eval_shape(mj.muon().init, params)


def test_the_convolutions_of_the_trainers_own_net_are_matrices_to_muon():
    model = cnn((2, 3), (4,), input_shape=(8, 8))
    images = np.zeros((8, 8, 8), np.uint8)
    examples = Examples(images, np.arange(8) % 2, 255.0, np.arange(4)[None], np.arange(4, 6)[None], np.arange(6, 8)[None])
    problem = classification(model, examples)
    params, _ = jax.eval_shape(problem.init, jax.random.key(0))
    state = jax.eval_shape(mj.muon(axes=problem.axes).init, params)
    assert sum(leaf.ndim == 4 for leaf in jax.tree.leaves(state.matrices[0].first_moment)) == 2
    assert cnn((), (4,)).axes is None
    (run,) = train_many(KEYS[:1], mj.muon, {"learning_rate": 0.02}, model, examples, steps=2, batch_size=4).runs
    assert np.isfinite(run.losses).all()
