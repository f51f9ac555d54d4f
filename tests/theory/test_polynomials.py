"""Polynomials in the hyperparameters: exact, equal to what is read, or refused."""

import functools

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import momentum_jax as mj
from momentum_jax import theory
from momentum_jax.theory.polynomials import NotPolynomial, fitted

UNIT = {"learning_rate": (0, 4), "momentum": (0, 1)}


def close(a, b):
    for name in ("F", "b", "readout"):
        np.testing.assert_allclose(getattr(a, name)[0], getattr(b, name)[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(a.start, b.start, rtol=1e-12)


@pytest.mark.parametrize(
    ("constructor", "ranges"),
    [
        (mj.ema_momentum, UNIT),
        (functools.partial(mj.quasi_hyperbolic_momentum, nu=0.3), UNIT),
        (mj.quasi_hyperbolic_momentum, {**UNIT, "nu": (-1, 2)}),
        (functools.partial(optax.sgd, momentum=0.9, nesterov=True), {"learning_rate": (0.01, 0.3)}),
    ],
)
def test_polynomials_are_what_linearize_reads_also_outside_of_the_ranges(constructor, ranges):
    found = fitted(constructor, ranges)
    values = dict(zip(ranges, (7.3, 0.977, 3.1), strict=False))
    close(found.at(**values), theory.linearize(constructor(**values), horizon=8))


def test_polynomials_are_exact_and_without_dust():
    assert fitted(mj.nesterov, UNIT).to_dict() == {
        "hyperparameters": ["learning_rate", "momentum"],
        "names": ["params", "velocity"],
        "F": [[[[1, 0, 0]], [[1, 0, 2]]], [[], [[1, 0, 1]]]],
        "b": [[[-1, 1, 0], [-1, 1, 1]], [[-1, 1, 0]]],
        "readout": [[[1, 0, 0]], [[-1, 0, 1]]],
        "start": [[[1, 0, 0]], []],
    }


@pytest.mark.slow
def test_constants_that_are_no_dyadic_numbers_are_fitted_to_rounding():
    found = fitted(functools.partial(mj.sgd, momentum=0.7, weight_decay=0.1), {"learning_rate": (0, 1)})
    close(found.at(learning_rate=0.37), theory.linearize(mj.sgd(0.37, 0.7, weight_decay=0.1), horizon=8))
    assert len(found.exponents) == 2


def exponential(learning_rate):
    def scale(step):
        return -jnp.exp(learning_rate(step) if callable(learning_rate) else learning_rate)

    return optax.scale_by_schedule(scale)


@pytest.mark.parametrize(
    ("constructor", "ranges", "error", "message"),
    [
        (exponential, {"learning_rate": (0, 1)}, NotPolynomial, r"b\[0\] of exponential is no polynomial of degree 3"),
        (functools.partial(mj.ema_momentum, debias=True), UNIT, NotPolynomial, "ema_momentum changes its coefficients over"),
        (mj.adam, {"learning_rate": (0, 1)}, theory.NotLinear, "not linear"),
        (mj.heavy_ball, {}, ValueError, "ranges must hold intervals"),
        (mj.heavy_ball, {"learning_rate": (1, 1)}, ValueError, "ranges must hold intervals"),
    ],
)
def test_a_method_without_polynomials_is_refused(constructor, ranges, error, message):
    with pytest.raises(error, match=message):
        fitted(constructor, ranges)


def test_values_must_be_those_of_the_hyperparameters():
    with pytest.raises(TypeError, match=r"takes learning_rate, momentum; got learning_rate\."):
        fitted(mj.heavy_ball, UNIT).at(learning_rate=0.1)
