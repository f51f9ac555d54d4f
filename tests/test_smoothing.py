"""Moving averages against loops of NumPy, their start-up bias, and the variance that theory says is left."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from momentum_jax.smoothing import (
    exponential_moving_average,
    exponential_weight_sums,
    simple_moving_average,
    simple_weight_sums,
)

pytestmark = pytest.mark.usefixtures("x64")
VALUES = np.random.default_rng(0).normal(size=(40, 3)) + 5


def simple(values, window):
    return np.array([values[max(0, t - window + 1) : t + 1].mean(axis=0) for t in range(len(values))])


def exponential(values, beta):
    """By the weights themselves: (1 - beta) beta^(t - s)."""
    weights = [[(1 - beta) * beta ** (t - s) if s <= t else 0.0 for s in range(len(values))] for t in range(len(values))]
    return np.tensordot(np.array(weights), values, axes=1)


as_numpy, as_jax = (lambda values: np.asarray(values)), (lambda values: jnp.asarray(values))
either = pytest.mark.parametrize("library", [as_numpy, as_jax], ids=["NumPy", "JAX"])


@either
@pytest.mark.parametrize("window", [1, 2, 7, 40, 100])
def test_a_simple_average_is_the_mean_of_the_last_values_that_there_are(library, window) -> None:
    averages = simple_moving_average(library(VALUES), window)
    assert isinstance(averages, type(library(VALUES)))
    np.testing.assert_allclose(averages, simple(VALUES, window), rtol=1e-13)


@either
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.999])
def test_an_exponential_average_is_the_sum_of_its_weights_times_the_values(library, beta) -> None:
    averages = exponential_moving_average(library(VALUES), beta, debias=False)
    assert isinstance(averages, type(library(VALUES)))
    np.testing.assert_allclose(averages, exponential(VALUES, beta), rtol=1e-11)
    corrected = exponential(VALUES, beta) / (1 - beta ** np.arange(1, 41))[:, None]
    np.testing.assert_allclose(exponential_moving_average(library(VALUES), beta), corrected, rtol=1e-11)


@either
def test_of_a_constant_the_start_up_bias_is_the_missing_weight_and_is_corrected_entirely(library) -> None:
    constant = library(np.full(60, 4.0))
    np.testing.assert_allclose(simple_moving_average(constant, 8, debias=False), 4 * simple_weight_sums(60, 8), rtol=1e-14)
    np.testing.assert_allclose(simple_moving_average(constant, 8), 4, rtol=1e-14)
    biased = exponential_moving_average(constant, 0.9, debias=False)
    np.testing.assert_allclose(biased, 4 * exponential_weight_sums(60, 0.9), rtol=1e-13)
    np.testing.assert_allclose(exponential_moving_average(constant, 0.9), 4, rtol=1e-14)


def test_in_float32_a_constant_is_corrected_to_rounding_even_next_to_a_decay_of_one() -> None:
    averages = exponential_moving_average(jnp.full(3000, 4.0, jnp.float32), 0.9995)
    assert averages.dtype == np.float32
    np.testing.assert_allclose(averages, 4, rtol=1e-6)


def test_the_sums_of_the_weights_are_those_of_the_formulas() -> None:
    np.testing.assert_allclose(simple_weight_sums(5, 3), [1 / 3, 2 / 3, 1, 1, 1], rtol=1e-15)
    np.testing.assert_allclose(exponential_weight_sums(4, 0.9), [0.1, 0.19, 0.271, 0.3439], rtol=1e-14)
    np.testing.assert_array_equal(exponential_weight_sums(2, 0.0), [1, 1])


@either
def test_a_start_of_ones_own_is_what_the_recursion_begins_with(library) -> None:
    averages = exponential_moving_average(library(VALUES), 0.8, start=VALUES[0], debias=False)
    expected, average = [], VALUES[0]
    for value in VALUES:
        average = 0.8 * average + 0.2 * value
        expected.append(average)
    np.testing.assert_allclose(averages, expected, rtol=1e-13)
    np.testing.assert_array_equal(exponential_moving_average(library(VALUES), 1.0, start=7.0, debias=False), 7)


@either
def test_only_the_averages_over_a_wild_value_see_it(library) -> None:
    values = np.ones(30)
    values[10] = 1e23
    np.testing.assert_array_equal(simple_moving_average(library(values), 5)[15:], 1)
    values[10] = np.nan
    averages = np.asarray(simple_moving_average(library(values), 5))
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(averages)), np.arange(10, 15))


@pytest.mark.parametrize(("beta", "window"), [(0.5, 3), (0.9, 20)])
def test_of_a_long_noise_the_variance_left_is_what_theory_says(beta, window) -> None:
    steps = np.random.default_rng(1).integers(-10, 11, size=400_000)
    s2 = 110 / 3
    # The averages of so many steps are correlated over about 1 / (1 - beta) of them: good to some 3%.
    smoothed = exponential_moving_average(steps, beta)[1000:]
    assert np.var(smoothed) == pytest.approx(s2 * (1 - beta) / (1 + beta), rel=0.05)
    assert np.var(simple_moving_average(steps, window)[1000:]) == pytest.approx(s2 / window, rel=0.05)


def test_an_average_of_a_ramp_lags_by_what_the_docstring_says() -> None:
    ramp = np.arange(2000.0)
    np.testing.assert_allclose((ramp - simple_moving_average(ramp, 9))[100:], 4, rtol=1e-9)
    np.testing.assert_allclose((ramp - exponential_moving_average(ramp, 0.9))[1000:], 9, rtol=1e-9)


def test_in_jax_they_may_be_jitted_mapped_over_decays_and_differentiated() -> None:
    values = jnp.asarray(VALUES)
    betas = jnp.array([0.0, 0.5, 0.9])
    several = jax.jit(jax.vmap(lambda beta: exponential_moving_average(values, beta, debias=False)))(betas)
    for beta, averages in zip(betas, several, strict=True):
        np.testing.assert_allclose(averages, exponential(VALUES, float(beta)), rtol=1e-12)
    ones = jnp.ones(40)
    last_simple = jax.jit(jax.grad(lambda v: simple_moving_average(v, 4)[-1]))(ones)
    np.testing.assert_allclose(last_simple, [0.0] * 36 + [0.25] * 4, rtol=1e-14)
    last = jax.jit(jax.grad(lambda v: exponential_moving_average(v, 0.5, debias=False)[-1]))(ones)
    np.testing.assert_allclose(last, 0.5 ** np.arange(40, 0, -1), rtol=1e-12)


@pytest.mark.parametrize(
    ("library", "dtype", "expected"),
    [
        (np.ones, np.int64, np.float64),
        (np.ones, np.float32, np.float64),
        (jnp.ones, np.float32, np.float32),
        (jnp.ones, jnp.bfloat16, np.float32),
        (jnp.ones, np.int16, np.float32),
        (jnp.ones, np.float64, np.float64),
    ],
)
def test_dtypes_are_as_promised(library, dtype, expected) -> None:
    values = library(3, dtype)
    assert simple_moving_average(values, 2).dtype == expected
    assert exponential_moving_average(values, 0.5).dtype == expected


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: simple_moving_average(VALUES, 0), ValueError, "simple_moving_average: window must be at least 1, got 0."),
        (lambda: simple_moving_average(VALUES, 2.0), TypeError, "simple_moving_average: window must be an int"),
        (
            lambda: simple_moving_average(3.0, 2),
            ValueError,
            "simple_moving_average: values must have shape (time, ...) with at least one time, got ().",
        ),
        (lambda: exponential_moving_average(["a"], 0.5), TypeError, "exponential_moving_average: values must be real numbers"),
        (lambda: exponential_moving_average([], 0.5), ValueError, "exponential_moving_average: values must have shape"),
        (
            lambda: exponential_moving_average([1.0], 1.5),
            ValueError,
            "exponential_moving_average: beta must be in [0, 1], got 1.5.",
        ),
        (
            lambda: exponential_moving_average([1.0], 1),
            ValueError,
            "exponential_moving_average: beta must be below 1 with debias",
        ),
        (
            lambda: exponential_moving_average([1.0], 0.5, start=1.0),
            ValueError,
            "exponential_moving_average: debias must be False where a start is given",
        ),
        (
            lambda: exponential_moving_average([1.0, 2.0, 3.0], 0.5, start=[1, 2], debias=False),
            ValueError,
            "exponential_moving_average: start must broadcast to the shape of one time, (), got shape (2,).",
        ),
        (
            lambda: exponential_moving_average(jnp.ones((4, 3)), 0.5, start=jnp.ones((4, 3)), debias=False),
            ValueError,
            "exponential_moving_average: start must broadcast to the shape of one time, (3,), got shape (4, 3).",
        ),
        (
            lambda: exponential_moving_average(VALUES, 0.5, start=1j, debias=False),
            TypeError,
            "exponential_moving_average: start must be real numbers, got complex128.",
        ),
        (lambda: exponential_weight_sums(3, 1.0), ValueError, "exponential_weight_sums: beta must be in [0, 1), got 1.0."),
        (lambda: simple_weight_sums(-1, 3), ValueError, "simple_weight_sums: steps must be at least 0, got -1."),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(call, error, message) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call()


@pytest.mark.parametrize("values", [np.ones(3), jnp.ones(3)], ids=["NumPy", "JAX"])
@pytest.mark.parametrize("window", [2**31, 10**20])
def test_a_window_wider_than_any_integer_type_is_one_that_never_fills(values: np.ndarray | jax.Array, window: int) -> None:
    np.testing.assert_allclose(simple_moving_average(values, window), 1.0, rtol=1e-6)
    raw = simple_moving_average(values, window, debias=False)
    np.testing.assert_allclose(raw, np.arange(1, 4) / window, rtol=1e-6)


@pytest.mark.parametrize("beta", [0.9, 0.99999, 0.99999999, 1 - 1e-15])
@pytest.mark.parametrize("debias", [True, False])
def test_in_float32_a_long_average_is_that_of_float64_at_any_decay(beta: float, debias: bool) -> None:
    values = np.float32(np.random.default_rng(2).normal(size=20_000) + np.linspace(0, 10, 20_000))
    exact = exponential_moving_average(np.float64(values), beta, debias=debias)
    averages = exponential_moving_average(jnp.asarray(values), beta, debias=debias)
    assert averages.dtype == np.float32
    np.testing.assert_allclose(averages, exact, rtol=1e-6, atol=1e-6 * np.abs(exact).max())


def test_the_sums_of_the_weights_keep_their_digits_next_to_a_decay_of_one() -> None:
    lacks = 1 - np.float64(1 - 1e-12)
    np.testing.assert_allclose(exponential_weight_sums(3, 1 - 1e-12), lacks * np.array([1, 2, 3]), rtol=1e-10)
