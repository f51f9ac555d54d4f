"""What theory says of quadratics: rates, stability borders, critical damping, steady-state variance.

On f = lambda x^2 / 2 a momentum method is a linear recurrence x'' = p x' + q x; p and q are read off the path that the
optimizer takes, and their characteristic roots compared with closed forms in u = eta lambda.
"""

from typing import NamedTuple

import numpy as np
import optax
import pytest
from oracles import descend

import momentum_jax as mj

m, L = 1.0, 100.0
kappa = L / m
CURVATURES = np.geomspace(m, L, 13)
S = np.sqrt(3 * kappa + 1)


def along(curvatures: np.ndarray, disturbance: float = 0.0):
    """Gradient of the quadratic with these curvatures, plus `disturbance` at step 0."""

    def gradient(t: int, x: np.ndarray) -> np.ndarray:
        return curvatures * x + (disturbance if t == 0 else 0.0)

    return gradient


def recurrence(path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p and q of x[t+2] = p x[t+1] + q x[t], one pair for each column of `path`, which has to obey it throughout."""
    pairs = []
    for x in path.T:
        # Each row divided by its own size, so that late ones count as much as early ones.
        rows = np.stack([x[1:-1], x[:-2]], axis=1)
        size = np.linalg.norm(rows, axis=1, keepdims=True)
        pair, *_ = np.linalg.lstsq(rows / size, x[2:] / size[:, 0], rcond=None)
        np.testing.assert_allclose(rows @ pair / size[:, 0], x[2:] / size[:, 0], atol=1e-9)
        pairs.append(pair)
    return np.array(pairs)[:, 0], np.array(pairs)[:, 1]


def spectral_radii(optimizer: optax.GradientTransformation, curvatures: np.ndarray) -> np.ndarray:
    p, q = recurrence(descend(optimizer, along(curvatures), np.ones_like(curvatures), 14).held)
    return np.array([np.max(np.abs(np.roots([1, -a, -b]))) for a, b in zip(p, q, strict=True)])


@pytest.mark.parametrize("mu", [0.3, 0.9])
def test_heavy_ball_is_the_recurrence_of_its_two_point_form(mu: float) -> None:
    u = 0.015 * CURVATURES
    p, q = recurrence(descend(mj.heavy_ball(0.015, mu), along(CURVATURES), np.ones(13), 14).held)
    np.testing.assert_allclose(p, 1 + mu - u, atol=1e-9)
    np.testing.assert_allclose(q, -mu, atol=1e-9)


@pytest.mark.parametrize("mu", [0.3, 0.9])
def test_nesterov_is_heavy_ball_with_a_momentum_that_falls_with_curvature(mu: float) -> None:
    u = 0.007 * CURVATURES
    p, q = recurrence(descend(mj.nesterov(0.007, mu), along(CURVATURES), np.ones(13), 14).held)
    np.testing.assert_allclose(p, (1 + mu) * (1 - u), atol=1e-9)
    np.testing.assert_allclose(q, -mu * (1 - u), atol=1e-9)


ROOT = np.sqrt(kappa)
TUNINGS = {
    "heavy ball": (mj.heavy_ball, 4 / (np.sqrt(L) + np.sqrt(m)) ** 2, ((ROOT - 1) / (ROOT + 1)) ** 2, (ROOT - 1) / (ROOT + 1)),
    "nesterov, standard": (mj.nesterov, 1 / L, (ROOT - 1) / (ROOT + 1), 1 - 1 / ROOT),
    "nesterov, best on quadratics": (mj.nesterov, 4 / (3 * L + m), (S - 2) / (S + 2), 1 - 2 / S),
}


@pytest.mark.parametrize(("make", "eta", "mu", "rate"), TUNINGS.values(), ids=TUNINGS.keys())
def test_a_tuned_method_has_the_rate_of_theory(make, eta: float, mu: float, rate: float) -> None:
    # Where u = 1 Nesterov arrives in one step and leaves nothing to fit.
    curvatures = CURVATURES[np.abs(eta * CURVATURES - 1) > 1e-9]
    # Double roots: rounding enters under a square root.
    assert spectral_radii(make(eta, mu), curvatures).max() == pytest.approx(rate, abs=1e-6)


def test_gradient_descent_has_the_rate_of_theory() -> None:
    path = descend(mj.gradient_descent(2 / (L + m)), along(CURVATURES), np.ones(13), 50).held
    assert np.abs(path[1:] / path[:-1]).max() == pytest.approx((kappa - 1) / (kappa + 1), rel=1e-9)


@pytest.mark.parametrize("u", [0.04, 0.25, 0.64])
def test_critical_damping_is_a_double_root(u: float) -> None:
    root = np.sqrt(u)
    radius = spectral_radii(mj.heavy_ball(u, (1 - root) ** 2), np.ones(1))
    np.testing.assert_allclose(radius, 1 - root, atol=1e-6)
    radius = spectral_radii(mj.nesterov(u, (1 - root) / (1 + root)), np.ones(1))
    np.testing.assert_allclose(radius, 1 - root, atol=1e-6)


class Border(NamedTuple):
    """An optimizer at learning rate eta and momentum mu, and the u = eta lambda up to which it is stable."""

    make: object
    u: object


BORDERS = {
    "gradient descent": Border(lambda eta, mu: mj.gradient_descent(eta), lambda mu: 2.0),
    "heavy ball": Border(mj.heavy_ball, lambda mu: 2 * (1 + mu)),
    "sgd": Border(mj.sgd, lambda mu: 2 * (1 + mu)),
    "dampened sgd": Border(lambda eta, mu: mj.sgd(eta, mu, dampening=0.4), lambda mu: 2 * (1 + mu) / (1 - 0.4)),
    "ema": Border(mj.ema_momentum, lambda mu: 2 * (1 + mu) / (1 - mu)),
    "nesterov": Border(mj.nesterov, lambda mu: 2 * (1 + mu) / (1 + 2 * mu)),
}


@pytest.mark.parametrize("mu", [0.5, 0.9])
@pytest.mark.parametrize(("make", "border"), BORDERS.values(), ids=BORDERS.keys())
def test_the_method_is_stable_up_to_its_border_and_not_beyond(make, border, mu: float) -> None:
    curvatures = border(mu) / 0.01 * np.array([0.99, 1.01])
    path = descend(make(0.01, mu), along(curvatures), np.full(2, 1e-3), 1500).held
    assert abs(path[-1, 0]) < 1e-6
    assert abs(path[-1, 1]) > 1


LAMBDA = np.array([0.2, 1.0, 5.0])


def variances(optimizer: optax.GradientTransformation, read: bool = False) -> np.ndarray:
    """Steady-state variance under white gradient noise of variance 1: the sum of squares of the response to one impulse."""
    descent = descend(optimizer, along(LAMBDA, disturbance=1.0), np.zeros(3), 900)
    path = descent.read if read else descent.held
    assert np.abs(path[-1]).max() < 1e-9
    return np.sum(path**2, axis=0)


@pytest.mark.parametrize(("eta", "mu"), [(0.3, 0.0), (0.3, 0.6), (0.25, 0.9)])
def test_the_steady_state_variance_is_that_of_theory(eta: float, mu: float) -> None:
    u = eta * LAMBDA
    heavy_ball = eta * (1 + mu) / (LAMBDA * (1 - mu) * (2 * (1 + mu) - u))
    np.testing.assert_allclose(variances(mj.heavy_ball(eta, mu)), heavy_ball, rtol=1e-9)

    ema = eta * (1 + mu) / (LAMBDA * (2 * (1 + mu) - (1 - mu) * u))
    np.testing.assert_allclose(variances(mj.ema_momentum(eta, mu)), ema, rtol=1e-9)


@pytest.mark.parametrize(("eta", "mu"), [(0.2, 0.0), (0.2, 0.6), (0.15, 0.9)])
def test_the_steady_state_variance_of_nesterovs_two_points_is_that_of_theory(eta: float, mu: float) -> None:
    u = eta * LAMBDA
    r = mu * (1 - u)
    denominator = (1 - r) * u * (2 * (1 + mu) - (1 + 2 * mu) * u)
    iterate = eta**2 * (1 + r) / denominator
    held = eta**2 * ((1 + r) * ((1 + mu) ** 2 + mu**2) - 2 * mu * (1 + mu) ** 2 * (1 - u)) / denominator
    np.testing.assert_allclose(variances(mj.nesterov(eta, mu), read=True), iterate, rtol=1e-9)
    np.testing.assert_allclose(variances(mj.nesterov(eta, mu)), held, rtol=1e-9)
