"""Curvature: against the whole Hessian by finite differences, NumPy's eigendecomposition, and known spectra."""

import functools
import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.flatten_util import ravel_pytree

from momentum_jax import curvature, landscapes
from momentum_jax.curvature import dense_hessian, extreme_eigenvalues, hessian_vector_product, newton_step, trace
from momentum_jax.training.model import mlp

KEY = jax.random.key(0)


def net_loss(params, batch):
    """A tanh net 4-5-3 with softmax cross-entropy, the mean over its batch."""
    x, y = batch
    hidden = jnp.tanh(x @ params["w1"] + params["b1"])
    logits = hidden @ params["w2"] + params["b2"]
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - jnp.take_along_axis(logits, y[:, None], axis=1)[:, 0])


def net(dtype=np.float64):
    rng = np.random.default_rng(0)
    shapes = {"w1": (4, 5), "b1": (5,), "w2": (5, 3), "b2": (3,)}
    params = {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}
    return params, (rng.normal(size=(23, 4)).astype(dtype), rng.integers(3, size=23))


@functools.cache
def dense_by_differences():
    """The Hessian of the net in float64, by central differences of its gradient: (43, 43), good to about 1e-9."""
    with jax.enable_x64(True):
        params, data = net()
        flat, unravel = ravel_pytree(params)
        gradient = jax.jit(jax.grad(lambda x: net_loss(unravel(x), data)))
        steps = 1e-5 * np.eye(flat.size)
        return np.array([(gradient(flat + h) - gradient(flat - h)) / 2e-5 for h in steps])


def quadratic(curvatures, seed=0):
    """A loss of one vector with these curvatures in turned axes, and its matrix."""
    size = len(curvatures)
    axes = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]
    matrix = (axes * np.asarray(curvatures)) @ axes.T
    return lambda x: 0.5 * x @ jnp.asarray(matrix, x.dtype) @ x, matrix


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("chunk_size", [1, 10, 100])
def test_a_product_is_that_with_the_whole_hessian_in_chunks_of_any_size(chunk_size) -> None:
    params, data = net()
    vector = jax.tree.map(lambda p: np.random.default_rng(p.size).normal(size=p.shape), params)
    product = hessian_vector_product(net_loss, params, vector, data, chunk_size=chunk_size)
    assert jax.tree.structure(product) == jax.tree.structure(params)
    assert all(leaf.dtype == np.float64 for leaf in jax.tree.leaves(product))
    expected = dense_by_differences() @ ravel_pytree(vector)[0]
    np.testing.assert_allclose(ravel_pytree(product)[0], expected, atol=1e-8)
    whole = hessian_vector_product(net_loss, params, vector, data)
    np.testing.assert_allclose(ravel_pytree(product)[0], ravel_pytree(whole)[0], atol=1e-14)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("chunk_size", [None, 7])
def test_the_dense_hessian_is_that_of_finite_differences(chunk_size) -> None:
    params, data = net()
    np.testing.assert_allclose(dense_hessian(net_loss, params, data, chunk_size=chunk_size), dense_by_differences(), atol=1e-8)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_examples() -> None:
    params, _ = net(np.float32)

    def temporary_bytes(examples: int, chunk_size: int | None) -> int:
        data = jax.ShapeDtypeStruct((examples, 4), np.float32), jax.ShapeDtypeStruct((examples,), np.int32)
        lowered = curvature._jitted_product.lower(net_loss, params, params, data, chunk_size)
        return lowered.compile().memory_analysis().temp_size_in_bytes

    few, many = temporary_bytes(1_050, 100), temporary_bytes(100_050, 100)
    assert many == few
    assert temporary_bytes(100_050, None) > 100 * many


@pytest.mark.usefixtures("x64")
def test_lanczos_finds_the_ends_of_numpys_eigenvalues() -> None:
    params, data = net()
    expected = np.linalg.eigvalsh(dense_by_differences())
    found = extreme_eigenvalues(net_loss, params, data, k=3, iterations=30, key=KEY)
    assert expected[0] < 0 < expected[-1]
    np.testing.assert_allclose(found.largest, expected[::-1][:3], atol=1e-8)
    np.testing.assert_allclose(found.smallest, expected[:3], atol=1e-8)


@pytest.mark.slow
def test_in_float32_lanczos_agrees_to_1e_4() -> None:
    params, data = net(np.float32)
    expected = np.linalg.eigvalsh(dense_by_differences())
    found = extreme_eigenvalues(net_loss, params, data, k=3, iterations=43, key=KEY, chunk_size=5)
    assert found.largest.dtype == np.float32
    np.testing.assert_allclose(found.largest, expected[::-1][:3], atol=1e-5)
    np.testing.assert_allclose(found.smallest, expected[:3], atol=1e-5)
    np.testing.assert_allclose(dense_hessian(net_loss, params, data), dense_by_differences(), atol=1e-5)


SPECTRA = {
    "one outlier": [1e4, *np.linspace(-1, 1, 79)],
    "geometric": np.geomspace(1e-6, 1e3, 80),
    "repeated": [3.0] * 30 + [-2.0] * 30 + [1.0] * 20,
    "of low rank": [5.0, 2.0, -1.0] + [0.0] * 77,
    "all equal": [2.5] * 80,
    "none": [0.0] * 80,
}


def rows_loss(x, batch):
    """The quadratic of `quadratic` whose matrix is the data, row by row: one program serves all spectra."""
    place, row = batch
    return 0.5 * x.size * jnp.mean(x[place] * (row @ x))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", SPECTRA)
def test_with_as_many_iterations_as_parameters_lanczos_finds_the_whole_spectrum(name) -> None:
    """No ghost copies of the outlier, no copy of a repeated eigenvalue missing, and no breakdown."""
    _, matrix = quadratic(SPECTRA[name])
    found = extreme_eigenvalues(rows_loss, np.ones(80), (np.arange(80), matrix), k=80, iterations=1000, key=KEY)
    expected = np.sort(SPECTRA[name])
    scale = max(np.abs(expected))
    np.testing.assert_allclose(found.smallest, expected, atol=1e-12 * scale)
    np.testing.assert_allclose(found.largest, expected[::-1], atol=1e-12 * scale)
    np.testing.assert_allclose(found.largest_residuals, 0, atol=1e-12 * scale)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["one outlier", "repeated", "of low rank"])
def test_in_float32_too(name) -> None:
    loss, _ = quadratic(SPECTRA[name])
    found = extreme_eigenvalues(loss, np.ones(80, np.float32), k=80, iterations=80, key=KEY)
    expected = np.sort(SPECTRA[name])
    np.testing.assert_allclose(found.smallest, expected, atol=3e-6 * max(np.abs(expected)))


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("iterations", [2, 20])
def test_within_a_residual_of_every_value_found_there_is_an_eigenvalue(iterations) -> None:
    curvatures = np.linspace(-3, 10, 300) ** 3
    loss, _ = quadratic(curvatures)
    found = extreme_eigenvalues(loss, np.ones(300), k=2, iterations=iterations, key=KEY)
    values = np.concatenate([found.largest, found.smallest])
    residuals = np.concatenate([found.largest_residuals, found.smallest_residuals])
    distances = np.min(np.abs(values[:, None] - curvatures), axis=1)
    assert np.all(distances <= residuals + 1e-10)
    assert np.all(residuals > 1e-6)  # so early that there is something to bound
    assert found.largest[0] < curvatures[-1] + 1e-10
    assert found.smallest[0] > curvatures[0] - 1e-10


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_a_residual_is_the_norm_that_it_says() -> None:
    """In a Krylov space of one vector q the value is q · A q and the residual |A q - (q · A q) q|."""
    loss, matrix = quadratic(np.arange(1.0, 9.0))
    found = extreme_eigenvalues(loss, np.ones(8), iterations=1, key=KEY)
    q = np.array(jax.random.normal(jax.random.fold_in(KEY, 1), (8,)))
    q /= np.linalg.norm(q)
    assert float(found.largest[0]) == pytest.approx(q @ matrix @ q)
    assert float(found.largest_residuals[0]) == pytest.approx(np.linalg.norm(matrix @ q - (q @ matrix @ q) * q))
    np.testing.assert_array_equal(found.smallest, found.largest)


@pytest.mark.usefixtures("x64")
def test_the_trace_is_that_of_the_whole_hessian_within_its_error() -> None:
    params, data = net()
    exact = np.trace(dense_by_differences())
    estimate = trace(net_loss, params, data, probes=400, key=KEY, chunk_size=6)
    assert estimate.samples.shape == (400,)
    samples = np.asarray(estimate.samples)
    assert float(estimate.trace) == pytest.approx(np.mean(samples), rel=1e-12)
    assert float(estimate.standard_error) == pytest.approx(np.std(samples, ddof=1) / 20, rel=1e-12)
    assert 0 < abs(estimate.trace - exact) < 4 * estimate.standard_error


@pytest.mark.usefixtures("x64")
def test_the_samples_spread_as_hutchinsons_variance_says() -> None:
    loss, matrix = quadratic(np.linspace(-1, 5, 30))
    estimate = trace(loss, np.ones(30), probes=20_000, key=KEY)
    off_diagonal = matrix - np.diag(np.diag(matrix))
    expected = math.sqrt(2 * np.sum(off_diagonal**2) / 20_000)
    # A standard deviation of 20,000 samples is itself good to about half a percent.
    assert float(estimate.standard_error) == pytest.approx(expected, rel=0.03)
    assert abs(estimate.trace - 60) < 4 * expected


@pytest.mark.usefixtures("x64")
def test_of_a_diagonal_hessian_every_sample_is_the_trace() -> None:
    estimate = trace(lambda x: 0.5 * jnp.sum(jnp.arange(1.0, 6.0) * x**2), np.ones(5), probes=8, key=KEY)
    np.testing.assert_allclose(estimate.samples, 15, rtol=1e-14)
    assert estimate.standard_error < 1e-14


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("surface", [landscapes.bowl, landscapes.trough, landscapes.ravine(1e4, 0.3, dimensions=6)])
def test_one_newton_step_goes_to_the_minimum_of_a_quadratic(surface) -> None:
    x = np.full(surface.dimensions, 2.3)
    step = newton_step(surface, x, damping=0.0)
    np.testing.assert_allclose(x + step, surface.minima[0], atol=1e-11)


@pytest.mark.usefixtures("x64")
def test_where_the_loss_bends_down_newtons_step_goes_down_and_not_to_the_saddle() -> None:
    # x² - y²: Newton's step from (0.3, 0.2) is (-0.3, -0.2), to the saddle; turned round it is (-0.3, 0.2).
    np.testing.assert_allclose(newton_step(landscapes.saddle, np.array([0.3, 0.2]), damping=1e-3), [-0.3, 0.2], rtol=1e-12)
    top = landscapes.himmelblau.maxima[0] + np.array([0.1, -0.05])
    assert landscapes.himmelblau(top + newton_step(landscapes.himmelblau, top, damping=1e-3)) < landscapes.himmelblau(top)


@pytest.mark.usefixtures("x64")
def test_damping_bounds_the_step_where_curvature_is_small_and_leaves_the_rest_alone() -> None:
    gradient, curvatures = np.array([1.0, -2.0, 3.0, 4.0]), np.array([10.0, 0.01, -0.01, 0.0])

    def loss(x: Any) -> Any:
        return gradient @ x + 0.5 * jnp.sum(curvatures * x**2)

    step = newton_step(loss, np.zeros(4), damping=0.5)
    np.testing.assert_allclose(step, [-0.1, 4.0, -6.0, -8.0], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_newtons_step_of_a_net_is_that_of_numpys_eigendecomposition() -> None:
    params, data = net()
    eigenvalues, vectors = np.linalg.eigh(dense_by_differences())
    gradient = np.asarray(ravel_pytree(jax.grad(net_loss)(params, data))[0])
    expected = -vectors @ ((vectors.T @ gradient) / np.maximum(np.abs(eigenvalues), 0.05))
    step = newton_step(net_loss, params, data, damping=0.05, chunk_size=9)
    assert jax.tree.map(jnp.shape, step) == jax.tree.map(jnp.shape, params)
    np.testing.assert_allclose(ravel_pytree(step)[0], expected, atol=1e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("start", [(1.2, -0.6), (0.2, 0.1), (-0.8, 1.2)])
def test_newtons_steps_come_to_a_minimum_of_the_two_gaussians_and_not_to_their_saddle(start) -> None:
    x = np.array(start)
    for _ in range(30):
        x = x + newton_step(landscapes.two_gaussians, x, damping=0.1)
    assert np.min(np.max(np.abs(landscapes.two_gaussians.minima - x), axis=1)) < 1e-14


@pytest.mark.slow
def test_a_model_of_the_trainer_and_its_nnx_module_have_the_same_curvature() -> None:
    rng = np.random.default_rng(1)
    data = rng.uniform(size=(50, 3, 3)).astype(np.float32), rng.integers(4, size=50).astype(np.int32)
    model = mlp(hidden=(6,), activation="tanh", input_shape=(3, 3), classes=4)
    params, model_state = model.init(jax.random.key(1))

    def loss(params, batch):
        outputs, _ = model.apply(params, model_state, batch[0], key=KEY, train=False)
        return jnp.mean(model.loss(outputs, batch[1]))

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.hidden, self.output = nnx.Linear(9, 6, rngs=rngs), nnx.Linear(6, 4, rngs=rngs)

        def __call__(self, x):
            return self.output(jnp.tanh(self.hidden(x.reshape(len(x), -1))))

    graph, state = nnx.split(Net(nnx.Rngs(0)), nnx.Param)
    nnx.replace_by_pure_dict(state, {"hidden": params["hidden_0"], "output": params["output"]})

    def nnx_loss(state, batch):
        return jnp.mean(model.loss(nnx.merge(graph, state)(batch[0]), batch[1]))

    flat, unravel = ravel_pytree(params)
    expected = np.linalg.eigvalsh(jax.jit(jax.jacrev(jax.grad(lambda x: loss(unravel(x), data))))(flat))
    for function, tree in ((loss, params), (nnx_loss, state)):
        found = extreme_eigenvalues(function, tree, data, k=2, iterations=88, key=KEY, chunk_size=25)
        np.testing.assert_allclose(found.largest, expected[::-1][:2], rtol=1e-4)
        np.testing.assert_allclose(found.smallest, expected[:2], atol=1e-4 * expected[-1])
    product = hessian_vector_product(nnx_loss, state, state, data, chunk_size=25)
    pure = hessian_vector_product(loss, params, params, data)
    assert jax.tree.structure(product) == jax.tree.structure(state)
    np.testing.assert_allclose(product["output"]["kernel"][...], pure["output"]["kernel"], atol=1e-6)


def test_of_16_bit_parameters_the_curvature_is_float32() -> None:
    params = jnp.array([1.0, 2.0], jnp.bfloat16)

    def loss(x: Any) -> Any:
        return 0.5 * jnp.sum(jnp.array([1.01, 300.3]) * x**2)

    product = hessian_vector_product(loss, params, params)
    assert product.dtype == np.float32
    np.testing.assert_allclose(product, [1.01, 600.6], rtol=1e-6)
    assert newton_step(loss, params, damping=0.1).dtype == jnp.bfloat16


def test_a_hole_in_the_parameters_stays_one() -> None:
    params = {"a": jnp.ones(2), "b": None}
    product = hessian_vector_product(lambda p: jnp.sum(p["a"] ** 3), params, params)
    assert product["b"] is None
    np.testing.assert_allclose(product["a"], 6, rtol=1e-6)


def test_the_same_loss_is_compiled_once() -> None:
    traces = []

    def loss(x, batch):
        traces.append(batch.shape)
        return jnp.mean((batch @ x) ** 2)

    data = np.ones((10, 3), np.float32)
    for key in (0, 1):
        if key == 1:
            traces.clear()
        x = np.full(3, key, np.float32)
        extreme_eigenvalues(loss, x, data, iterations=2, key=jax.random.key(key), chunk_size=4)
        hessian_vector_product(loss, x, x, data, chunk_size=4)
        trace(loss, x, data, probes=2, key=jax.random.key(key))
        newton_step(loss, x, data, damping=0.1 + key)
    assert traces == []


def square(x):
    return jnp.sum(x**2)


ONES = np.ones(3, np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: hessian_vector_product(square, ONES, np.ones(2)),
            ValueError,
            "hessian_vector_product: vector must be a tree like params, with shape (3,) at the single leaf, got shape (2,).",
        ),
        (
            lambda: hessian_vector_product(net_loss, {"w": ONES}, {"v": ONES}),
            ValueError,
            "hessian_vector_product: vector must be a tree like params, with shape (3,) at leaf ['w'], got no such leaf.",
        ),
        (
            lambda: trace(square, np.arange(3), key=KEY),
            ValueError,
            "trace: params must be real floating-point arrays, got int32 at the single leaf.",
        ),
        (lambda: dense_hessian(square, {}), ValueError, "dense_hessian: params must hold at least one array, got none."),
        (
            lambda: dense_hessian(square, ONES, chunk_size=3),
            ValueError,
            "dense_hessian: chunk_size must be None where there is no data, got 3.",
        ),
        (lambda: dense_hessian(square, ONES, ONES, chunk_size=0), ValueError, "dense_hessian: chunk_size must be at least 1"),
        (
            lambda: newton_step(net_loss, ONES, (np.ones((3, 2)), np.ones(4)), damping=0.1),
            ValueError,
            "newton_step: data must be arrays with one leading axis of examples in common, got shapes [(3, 2), (4,)].",
        ),
        (lambda: newton_step(net_loss, ONES, np.ones((0, 2)), damping=0.1), ValueError, "newton_step: data must be arrays"),
        (lambda: newton_step(square, ONES, damping=-0.1), ValueError, "newton_step: damping must be finite and at least 0"),
        (
            lambda: dense_hessian(lambda x: x**2, ONES),
            ValueError,
            "curvature: loss must return a real scalar, the mean over its batch, got float32 of shape (3,).",
        ),
        (
            lambda: extreme_eigenvalues(square, ONES, k=4, key=KEY),
            ValueError,
            "extreme_eigenvalues: k must be at most iterations (50) and the number of parameters (3), got 4.",
        ),
        (
            lambda: extreme_eigenvalues(square, ONES, k=3, iterations=2, key=KEY),
            ValueError,
            "extreme_eigenvalues: k must be at most iterations (2) and the number of parameters (3), got 3.",
        ),
        (lambda: trace(square, ONES, probes=1, key=KEY), ValueError, "trace: probes must be at least 2, got 1."),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(call, error, message) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call()


def scaled_loss(x, batch):
    """A quadratic of the size of its data: one program serves all sizes."""
    return jnp.mean(batch) * (0.5 * jnp.sum(jnp.arange(1.0, 5.0) * x * x) + x[0] * x[1])


@pytest.mark.slow
@pytest.mark.parametrize("size", [1e-30, 1e-19, 1.0, 1e20, 1e30])
def test_the_size_of_a_hessian_matters_to_nothing(size: float) -> None:
    x, data = jnp.zeros(4), jnp.asarray([size], jnp.float32)
    exact = np.linalg.eigvalsh(np.diag([1.0, 2, 3, 4]) + np.eye(4)[[1, 0, 2, 3]] * [[1], [1], [0], [0]])
    found = extreme_eigenvalues(scaled_loss, x, data, k=2, iterations=4, key=KEY)
    np.testing.assert_allclose(found.largest / size, exact[:1:-1], rtol=1e-5)
    np.testing.assert_allclose(found.smallest / size, exact[:2], rtol=1e-5)
    short = extreme_eigenvalues(scaled_loss, x, data, k=1, iterations=2, key=KEY)
    off = np.abs(exact - np.float64(short.largest[0] / size)).min()
    assert 0 < off <= 1.001 * short.largest_residuals[0] / size
    spread = trace(scaled_loss, x, data, probes=8, key=KEY)
    np.testing.assert_allclose(spread.standard_error / size, np.std(spread.samples / size, ddof=1) / 8**0.5, rtol=1e-4)
    assert spread.standard_error > 0
