"""Closed-form tunings against the worst rate that theory reads from the optimizers' own code."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import momentum_jax as mj
from momentum_jax import theory
from momentum_jax.theory import tunings

# Where two roots meet at an end of the range, rounding splits them by its square root.
SIMPLE, DOUBLE = 1e-9, 2e-7
FAMILIES = {
    "gradient_descent": (mj.gradient_descent, SIMPLE),
    "heavy_ball": (mj.heavy_ball, DOUBLE),
    "sgd": (mj.sgd, DOUBLE),
    "ema_momentum": (mj.ema_momentum, DOUBLE),
    "quasi_hyperbolic_momentum": (mj.quasi_hyperbolic_momentum, DOUBLE),
    "nesterov": (mj.nesterov, DOUBLE),
    "nesterov_quadratic": (mj.nesterov, DOUBLE),
    "triple_momentum": (mj.triple_momentum, SIMPLE),
    "robust_momentum": (mj.robust_momentum, SIMPLE),
}
BEYOND_QUADRATICS = ("gradient_descent", "triple_momentum", "robust_momentum")


@functools.cache
def tuned(name: str, m: float, L: float) -> tuple[tunings.Tuning, theory.Dynamics]:
    found = getattr(tunings, name)(m, L)
    return found, theory.linearize(FAMILIES[name][0](**found.hyperparameters))


@pytest.mark.parametrize("kappa", [1.0, 25.0, 1000.0])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_tuning_reaches_its_rate_by_the_optimizers_own_code(name: str, kappa: float) -> None:
    found, read = tuned(name, 0.3, 0.3 * kappa)
    worst, _ = theory.worst_rate(read, 0.3, 0.3 * kappa)
    assert worst == pytest.approx(found.rate, abs=FAMILIES[name][1])
    assert found.source


@pytest.mark.parametrize("name", BEYOND_QUADRATICS)
def test_the_rates_that_hold_beyond_quadratics_are_certified(name: str) -> None:
    found, read = tuned(name, 0.3, 7.5)
    assert theory.certified_rate(read, 0.3, 7.5).rate == pytest.approx(found.rate, abs=1e-7)


@pytest.mark.parametrize("name", ["gradient_descent", "heavy_ball", "ema_momentum", "nesterov_quadratic"])
@pytest.mark.parametrize("changed", [0.98, 1.02])
def test_another_learning_rate_is_slower(name: str, changed: float) -> None:
    found, _ = tuned(name, 0.3, 7.5)
    other = {**found.hyperparameters, "learning_rate": changed * found.hyperparameters["learning_rate"]}
    assert theory.worst_rate(FAMILIES[name][0](**other), 0.3, 7.5)[0] > found.rate + 1e-3


PUBLISHED: dict[str, tuple[Callable[..., tunings.Tuning], float, dict[str, float]]] = {
    # kappa = 25 and L = 25, in numbers that are rational.
    "gradient_descent": (tunings.gradient_descent, 12 / 13, {"learning_rate": 1 / 13}),
    "heavy_ball": (tunings.heavy_ball, 2 / 3, {"learning_rate": 1 / 9, "momentum": 4 / 9}),
    "sgd": (tunings.sgd, 2 / 3, {"learning_rate": 1 / 9, "momentum": 4 / 9}),
    "ema_momentum": (tunings.ema_momentum, 2 / 3, {"learning_rate": 1 / 5, "momentum": 4 / 9}),
    "quasi_hyperbolic_momentum": (
        tunings.quasi_hyperbolic_momentum,
        2 / 3,
        {"learning_rate": 1 / 5, "momentum": 4 / 9, "nu": 1.0},
    ),
    "nesterov": (tunings.nesterov, 4 / 5, {"learning_rate": 1 / 25, "momentum": 2 / 3}),
    "nesterov_quadratic": (
        tunings.nesterov_quadratic,
        1 - 2 / 76**0.5,
        {"learning_rate": 1 / 19, "momentum": (76**0.5 - 2) / (76**0.5 + 2)},
    ),
    "triple_momentum": (tunings.triple_momentum, 4 / 5, {"strong_convexity": 1.0, "smoothness": 25.0}),
    "robust_momentum": (
        functools.partial(tunings.robust_momentum, rate=0.9),
        0.9,
        {"strong_convexity": 1.0, "smoothness": 25.0, "rate": 0.9},
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_at_a_kappa_of_25_the_numbers_are_those_of_the_formula(name: str) -> None:
    tuning, rate, hyperparameters = PUBLISHED[name]
    found = tuning(1.0, 25.0)
    assert found.rate == pytest.approx(rate, abs=1e-14)
    assert found.hyperparameters == pytest.approx(hyperparameters, abs=1e-14)
    assert all(type(value) is float for value in [found.rate, *found.hyperparameters.values()])


def test_nesterovs_best_pair_on_quadratics_beats_the_standard_one() -> None:
    assert tunings.nesterov_quadratic(1.0, 100.0).rate < tunings.nesterov(1.0, 100.0).rate
    assert tunings.heavy_ball(1.0, 100.0).rate < tunings.nesterov_quadratic(1.0, 100.0).rate


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(("m", "L"), [(2.0, 1.0), (0.0, 1.0), (-1.0, 1.0), (1.0, np.inf), (np.nan, 1.0)])
def test_bounds_out_of_order_are_refused(name: str, m: float, L: float) -> None:
    with pytest.raises(ValueError, match=rf"^tunings\.{name}: m must be in \(0, L\], got m = "):
        getattr(tunings, name)(m, L)


@pytest.mark.parametrize("rate", [0.79, 0.97, np.nan])
def test_a_rate_that_robust_momentum_cannot_have_is_refused(rate: Any) -> None:
    with pytest.raises(ValueError, match=r"^tunings\.robust_momentum: rate must be in .* = \[0\.8, 0\.96\], got "):
        tunings.robust_momentum(1.0, 25.0, rate=rate)
