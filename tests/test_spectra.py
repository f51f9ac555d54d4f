"""Spectral measures: against all eigenvectors of dense matrices in float64, and the covariance of every example's gradient."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import momentum_jax as mj
from momentum_jax import theory
from momentum_jax.spectra import gradient_noise, spectral_measure

KEY = jax.random.key(0)
FUNCTIONS = {"1": np.ones_like, "exp": lambda x: np.exp(-3 * x), "bump": lambda x: 1 / (1 + 4 * x**2)}


def loss(params, batch):
    """A tanh net 4-3-3 with softmax cross-entropy, the mean over its batch."""
    x, y = batch
    logits = jnp.tanh(x @ params["w1"]) @ params["w2"]
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - jnp.take_along_axis(logits, y[:, None], axis=1)[:, 0])


@functools.cache
def net():
    rng = np.random.default_rng(1)
    params = {"w1": rng.normal(size=(4, 3)), "w2": rng.normal(size=(3, 3))}
    return params, (rng.normal(size=(17, 4)), rng.integers(3, size=17))


@functools.cache
def dense():
    """Eigenvalues and eigenvectors of the whole Hessian, and the gradients of all examples, (17, 21)."""
    with jax.enable_x64(True):
        params, (x, y) = net()
        flat, unravel = ravel_pytree(params)
        of = jax.grad(lambda p, x, y: loss(unravel(p), (x, y)))
        hessian = jax.jacfwd(of)(flat, x, y)
        each = jnp.stack([of(flat, x[i : i + 1], y[i : i + 1]) for i in range(len(x))])
        return *np.linalg.eigh(np.asarray(hessian)), np.asarray(each)


def seen(vector, f):
    """v · f(H) v from the eigenvectors."""
    values, vectors, _ = dense()
    return ((vectors.T @ vector) ** 2) @ f(values)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("chunk_size", [None, 5])
def test_the_gradients_measure_is_that_of_all_eigenvectors(name, chunk_size) -> None:
    params, data = net()
    gradient = dense()[2].mean(0)
    assert dense()[0][0] < 0
    found = spectral_measure(loss, params, data, iterations=21, chunk_size=chunk_size)
    assert found.curvatures.shape == found.weights.shape == (21,)
    assert (np.diff(found.curvatures) >= 0).all()
    np.testing.assert_allclose(found.weights @ FUNCTIONS[name](np.asarray(found.curvatures)), seen(gradient, FUNCTIONS[name]))


@pytest.mark.usefixtures("x64")
def test_four_nodes_are_exact_for_powers_up_to_seven_of_any_vector() -> None:
    params, data = net()
    vector = jax.tree.map(lambda p: np.random.default_rng(p.size).normal(size=p.shape), params)
    found = spectral_measure(loss, params, data, vector=vector, iterations=4)
    off = []
    for power in range(9):
        expected = seen(np.asarray(ravel_pytree(vector)[0]), lambda x, power=power: x**power)
        off.append(abs(float(found.weights @ found.curvatures**power) / expected - 1))
    assert max(off[:8]) < 1e-10
    assert off[8] > 1e-6


@pytest.mark.usefixtures("x64")
def test_each_sample_of_the_noise_is_that_of_one_example_left_out() -> None:
    # A mini-batch of all but one: its residual is that example's own, and the scale makes of it one draw of the covariance.
    params, data = net()
    each = dense()[2]
    residuals = (each - each.mean(0)) * np.sqrt(16 * 16) / 16
    found = gradient_noise(loss, params, data, batch_size=16, residuals=6, iterations=21, key=KEY)
    for f in FUNCTIONS.values():
        known = np.array([seen(residual, f) for residual in residuals])
        got = (np.asarray(found.variances) * f(np.asarray(found.curvatures))).sum(1)
        assert np.abs(got[:, None] - known).min(1).max() < 1e-9 * known.max()
    np.testing.assert_allclose(found.total, np.asarray(found.variances).sum(1).mean())


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("batch_size", [1, 6])
def test_the_noise_is_the_covariance_of_one_examples_gradient(batch_size) -> None:
    params, data = net()
    values, vectors, each = dense()
    covariance = np.cov(each.T, bias=True)
    found = gradient_noise(loss, params, data, batch_size=batch_size, residuals=400, iterations=21, key=KEY)
    assert abs(found.total - np.trace(covariance)) < 4 * found.standard_error
    assert found.standard_error < 0.1 * found.total
    for f in FUNCTIONS.values():
        expected = np.einsum("ij,ik,kj->j", vectors, covariance, vectors) @ f(values)
        samples = (np.asarray(found.variances) * f(np.asarray(found.curvatures))).sum(1)
        assert abs(samples.mean() - expected) < 4 * samples.std() / 20


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_forty_products_predict_500_steps_as_all_eigenvalues_do(momentum) -> None:
    rng = np.random.default_rng(0)
    lam = np.concatenate([10 ** rng.uniform(-6, -1, 370), 10 ** rng.uniform(-1, 0.6, 30)])
    gradient = np.sqrt(lam) * rng.normal(size=400)
    arms = {"arm": mj.heavy_ball(0.1, momentum)}
    whole = theory.predict(arms, theory.Spectrum(lam, gradient**2), 500).arms[0]
    found = spectral_measure(lambda x: 0.5 * lam @ x**2, jnp.asarray(gradient / lam), iterations=40)
    few = theory.predict(arms, theory.Spectrum(found.curvatures, found.weights), 500).arms[0]
    assert few.decrease == pytest.approx(whole.decrease, rel=1e-4)
    assert few.ratio == pytest.approx(whole.ratio, rel=1e-6)


def test_in_float32_it_is_that_of_float64_to_1e_4() -> None:
    params, data = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32 if leaf.dtype == float else None), net())
    found = spectral_measure(loss, params, data)
    assert found.weights.dtype == np.float32
    gradient = dense()[2].mean(0)
    for f in FUNCTIONS.values():
        assert float(found.weights @ f(found.curvatures)) == pytest.approx(seen(gradient, f), rel=1e-4)


def test_a_vector_of_zeros_weighs_nothing() -> None:
    params, data = net()
    found = spectral_measure(loss, params, data, vector=jax.tree.map(np.zeros_like, params), iterations=21)
    assert (np.asarray(found.weights) == 0).all()
    np.testing.assert_allclose(found.curvatures[-1], dense()[0][-1], rtol=1e-4)


def test_bad_input_is_named() -> None:
    params, data = net()
    with pytest.raises(
        ValueError, match=re.escape("gradient_noise: batch_size must be below the number of examples (17), got 17.")
    ):
        gradient_noise(loss, params, data, batch_size=17, key=KEY)
    with pytest.raises(ValueError, match="gradient_noise: data must hold the examples"):
        gradient_noise(loss, params, None, batch_size=1, key=KEY)
    with pytest.raises(
        ValueError, match=r"spectral_measure: vector must be a tree like params.*at leaf \['w2'\], got no such leaf"
    ):
        spectral_measure(loss, params, data, vector={"w1": params["w1"]})
    with pytest.raises(ValueError, match="gradient_noise: residuals must be"):
        gradient_noise(loss, params, data, batch_size=1, residuals=1, key=KEY)
