"""The search for hyperparameters against closed forms and brute force; critical damping."""

import functools
from typing import Any

import jax
import numpy as np
import optax
import pytest

import momentum_jax as mj
from momentum_jax import theory
from momentum_jax.theory import tunings
from momentum_jax.theory.ranges import scales
from momentum_jax.theory.search import least, spread

RATES, MOMENTA = (1e-4, 10.0), (0.0, 0.9999)
ONE_MEMORY = {"learning_rate": RATES, "momentum": MOMENTA}


@pytest.mark.parametrize(
    "kappa", [pytest.param(4.0, marks=pytest.mark.slow), 100.0, pytest.param(1000.0, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    ("constructor", "closed_form"), [(mj.heavy_ball, tunings.heavy_ball), (mj.nesterov, tunings.nesterov_quadratic)]
)
def test_the_search_finds_the_best_pair_on_quadratics(constructor: Any, closed_form: Any, kappa: float) -> None:
    found, known = theory.tune(constructor, ONE_MEMORY, 1.0, kappa), closed_form(1.0, kappa)
    assert found.rate == pytest.approx(known.rate, abs=1e-9)
    assert found.hyperparameters == pytest.approx(known.hyperparameters, rel=1e-8)
    assert found.at_end == ()
    assert found.loss is None
    assert theory.tune(constructor, ONE_MEMORY, 1.0, kappa) == found


@pytest.mark.parametrize("nu", [pytest.param((0.0, 1.0), marks=pytest.mark.slow), (0.0, 2.0)])
def test_no_mixture_of_gradient_and_average_is_faster_than_the_average(nu: tuple[float, float]) -> None:
    ranges = {"learning_rate": (1e-3, 100.0), "momentum": MOMENTA, "nu": nu}
    found, known = theory.tune(mj.quasi_hyperbolic_momentum, ranges, 1.0, 100.0), tunings.heavy_ball(1.0, 100.0)
    assert found.rate == pytest.approx(known.rate, abs=1e-9)
    assert found.hyperparameters["nu"] == pytest.approx(1.0, abs=1e-8)
    assert found.hyperparameters["momentum"] == pytest.approx(known.hyperparameters["momentum"], abs=1e-8)
    assert found.at_end == (("nu",) if nu[1] == 1 else ())


def test_other_libraries_constructors_and_partial_ones_are_searched() -> None:
    found = theory.tune(functools.partial(optax.sgd, nesterov=True), ONE_MEMORY, 1.0, 30.0)
    assert found.hyperparameters == pytest.approx(tunings.nesterov_quadratic(1.0, 30.0).hyperparameters, rel=1e-8)
    only = theory.tune(functools.partial(mj.heavy_ball, 0.1), {"momentum": MOMENTA}, 1.0, 1.0)
    assert only.hyperparameters["momentum"] == pytest.approx((1 - 0.1**0.5) ** 2, abs=1e-8)


def resonant(learning_rate: Any) -> Any:
    """A pair of poles at 0.8 e^(i) that the curvature leads to zeros at 0.78 e^(1.04 i) on a detour outwards."""
    poles, zeros = (1.6 * np.cos(1.0), -0.64), (1.56 * np.cos(1.04), -(0.78**2))
    C = [-learning_rate * (pole - zero) for pole, zero in zip(poles, zeros, strict=True)]
    return mj.state_space_momentum([list(poles), [1.0, 0.0]], (1.0, 0.0), C, -learning_rate)


def test_a_worst_curvature_between_those_that_were_looked_at_is_seen() -> None:
    found = theory.tune(resonant, {"learning_rate": RATES}, 1.0, 5.0)
    best = found.hyperparameters["learning_rate"]
    rate, curvature = theory.worst_rate(resonant(best), 1.0, 5.0)
    assert 1.1 < curvature < 4.9
    assert found.rate == pytest.approx(rate, abs=1e-9)
    # Only curvature times learning rate counts: near the best the worst rate stays, up to rounding.
    for factor in (0.1, 1 - 1e-5, 1 + 1e-5, 10.0):
        assert theory.worst_rate(resonant(factor * best), 1.0, 5.0)[0] > rate - 1e-12


def test_the_certified_search_finds_the_best_rate_of_gradient_descent() -> None:
    found = theory.tune(mj.gradient_descent, {"learning_rate": (1e-3, 10.0)}, 1.0, 9.0, objective="certified")
    assert found.rate == pytest.approx(0.8, abs=1e-6)
    assert found.hyperparameters["learning_rate"] == pytest.approx(0.2, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("constructor", "rate", "standard"), [(mj.heavy_ball, 0.8545, np.inf), (mj.nesterov, 0.8226, 0.8496)])
def test_the_search_finds_a_pair_that_is_certified_faster(constructor: Any, rate: float, standard: float) -> None:
    found = theory.tune(constructor, ONE_MEMORY, 1.0, 25.0, objective="certified")
    assert found.rate <= rate + 5e-5 < standard
    assert found.rate == theory.certified_rate(constructor(**found.hyperparameters), 1.0, 25.0).rate


def test_the_expected_loss_is_least_where_a_grid_says() -> None:
    curvatures, noise, distances = np.array([1.0, 5.0, 20.0]), np.array([0.1, 0.2, 0.3]), np.array([3.0, 1.0, 2.0])
    found = theory.tune(
        mj.heavy_ball,
        ONE_MEMORY,
        1.0,
        20.0,
        objective="expected_loss",
        steps=25,
        curvatures=curvatures,
        noise=noise,
        distances=distances,
    )

    def loss(eta: np.ndarray, mu: np.ndarray) -> np.ndarray:
        """Mean and covariance of (theta, v), step by step."""
        total = np.zeros(eta.shape)
        for lam, variance, distance in zip(curvatures, noise, distances, strict=True):
            x, v, xx, xv, vv = distance + 0 * eta, 0 * eta, 0 * eta, 0 * eta, 0 * eta
            a = eta * lam
            for _ in range(25):
                v = mu * v - a * x
                x = x + v
                vv, xv, xx = (
                    mu**2 * vv - 2 * a * mu * xv + a**2 * xx + eta**2 * variance,
                    mu**2 * vv + (mu - 2 * a * mu) * xv + (a**2 - a) * xx + eta**2 * variance,
                    mu**2 * vv + 2 * mu * (1 - a) * xv + (1 - a) ** 2 * xx + eta**2 * variance,
                )
            total += lam / 2 * (x**2 + xx)
        return total

    eta, mu = np.meshgrid(np.geomspace(1e-3, 0.2, 200), np.linspace(0, 0.99, 200))
    here = {name: np.asarray(value) for name, value in found.hyperparameters.items()}
    assert found.loss == pytest.approx(float(loss(here["learning_rate"], here["momentum"])), rel=1e-9)
    assert 0.9 * loss(eta, mu).min() <= found.loss <= loss(eta, mu).min()
    near = np.linspace(0.99, 1.01, 41)
    assert found.loss <= loss(*np.meshgrid(here["learning_rate"] * near, here["momentum"] * near)).min() * (1 + 1e-12)
    read = mj.heavy_ball(**found.hyperparameters)
    assert found.loss == pytest.approx(theory.expected_loss(read, curvatures, noise, 25, distance=distances).sum(), rel=1e-9)
    assert found.rate == pytest.approx(theory.worst_rate(read, 1.0, 20.0)[0], abs=1e-7)


def test_first_steps_count_in_the_expected_loss() -> None:
    constructor = functools.partial(mj.sgd, dampening=0.5)
    given = {"steps": 3, "curvatures": [1.0, 4.0], "noise": 0.1}
    found = theory.tune(constructor, ONE_MEMORY, 1.0, 4.0, objective="expected_loss", **given)
    expected = theory.expected_loss(constructor(**found.hyperparameters), [1.0, 4.0], 0.1, 3).sum()
    assert found.loss == pytest.approx(expected, rel=1e-9)


def test_a_search_says_what_it_did_and_where_it_met_an_end() -> None:
    found = theory.tune(mj.heavy_ball, {"learning_rate": RATES, "momentum": (0.0, 0.5)}, 1.0, 100.0)
    assert found.at_end == ("momentum",)
    assert found.source == ("tune: quadratic on curvatures in [1, 100]; learning_rate in [0.0001, 10] and momentum in [0, 0.5]")


def test_the_users_precision_comes_back() -> None:
    before = jax.config.read("jax_enable_x64")
    theory.tune(mj.heavy_ball, ONE_MEMORY, 1.0, 4.0)
    assert jax.config.read("jax_enable_x64") == before


def test_scales_follow_the_signature_and_without_one_the_range() -> None:
    def kinds(constructor: Any, **ranges: Any) -> list[str]:
        return [each.kind for each in scales("tune", constructor, ranges)]

    assert kinds(mj.heavy_ball, learning_rate=(0.01, 0.02), momentum=(0.1, 0.2)) == ["log x", "log(1 - x)"]
    assert kinds(mj.heavy_ball, learning_rate=(0.0, 0.02)) == ["x"]
    assert kinds(mj.quasi_hyperbolic_momentum, nu=(0.001, 1.0)) == ["x"]
    assert kinds(lambda a, b, c: None, a=(1e-4, 1.0), b=(0.0, 0.95), c=(0.5, 2.0)) == ["log x", "log(1 - x)", "x"]
    (scale,) = scales("tune", mj.heavy_ball, {"momentum": (0.0, 0.99)})
    np.testing.assert_allclose(scale.at([0.0, 0.5, 1.0]), [0.0, 0.9, 0.99])


REFUSED: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    r"tune: heavy_ball has no hyperparameter 'mu'; it has learning_rate, momentum, accumulator_dtype\.": (
        mj.heavy_ball,
        {"mu": MOMENTA},
        {},
    ),
    r"tune: the range of momentum must be a pair \(low, high\) with low below high, got \(0\.9, 0\.1\)\.": (
        mj.heavy_ball,
        {"learning_rate": RATES, "momentum": (0.9, 0.1)},
        {},
    ),
    r"tune: the range of learning_rate must be a pair .*, got \(0\.1, 0\.1\)\.": (
        mj.heavy_ball,
        {"learning_rate": (0.1, 0.1)},
        {},
    ),
    r"tune: the range of learning_rate must be a pair .*, got 0\.1\.": (mj.heavy_ball, {"learning_rate": 0.1}, {}),
    r"tune: the range of learning_rate must be a pair .*, got \(0\.1, nan\)\.": (
        mj.heavy_ball,
        {"learning_rate": (0.1, np.nan)},
        {},
    ),
    r"tune: ranges must hold at least one hyperparameter, got none\.": (mj.heavy_ball, {}, {}),
    r"heavy_ball: momentum must be in \[0, 1\), got 1\.0\.": (mj.heavy_ball, {**ONE_MEMORY, "momentum": (0.0, 1.0)}, {}),
    r"tune: nesterov of sgd must be a number to be searched; fix it by functools\.partial\.": (
        mj.sgd,
        {**ONE_MEMORY, "nesterov": (0, 1)},
        {},
    ),
    r"tune: m must be in \(0, L\], got m = 5 and L = 2\.": (mj.heavy_ball, ONE_MEMORY, {"m": 5.0, "L": 2.0}),
    r"tune: objective must be 'quadratic', 'certified' or 'expected_loss', got 'best'\.": (
        mj.heavy_ball,
        ONE_MEMORY,
        {"objective": "best"},
    ),
    r"tune: steps must be an int of at least 1 with objective 'expected_loss', got None\.": (
        mj.heavy_ball,
        ONE_MEMORY,
        {"objective": "expected_loss"},
    ),
    r"tune: steps, curvatures, noise and distances go with objective 'expected_loss', got objective 'quadratic'\.": (
        mj.heavy_ball,
        ONE_MEMORY,
        {"steps": 3},
    ),
    r"tune: curvatures must be in \[m, L\] = \[1, 2\], got 1 to 3\.": (
        mj.heavy_ball,
        ONE_MEMORY,
        {"objective": "expected_loss", "steps": 3, "curvatures": [1.0, 3.0]},
    ),
    r"tune: noise must be at least 0, got -1\.": (
        mj.heavy_ball,
        ONE_MEMORY,
        {"objective": "expected_loss", "steps": 3, "noise": -1.0},
    ),
    r"linearize: update is not linear: .*": (mj.adam, {"learning_rate": RATES}, {}),
    r"tune: the coefficients of <lambda> still change at step 511\.": (
        lambda learning_rate: mj.heavy_ball(lambda step: learning_rate / (1 + step), 0.5),
        {"learning_rate": RATES},
        {},
    ),
    r"tune: the coefficients of <lambda> repeat after 2 steps\.": (
        lambda learning_rate: optax.MultiSteps(mj.heavy_ball(learning_rate), 2),
        {"learning_rate": RATES},
        {},
    ),
    r"tune: nothing in the ranges converges on curvatures in \[1, 2\]\.": (mj.heavy_ball, {"learning_rate": (10.0, 20.0)}, {}),
    r"tune: nothing in the ranges is certified on curvatures in \[1, 2\]\.": (
        mj.heavy_ball,
        {"learning_rate": (10.0, 20.0)},
        {"objective": "certified"},
    ),
    r"tune: weight decay moves the minimum; add the decay to m and L instead\.": (
        functools.partial(mj.sgd, weight_decay=0.1),
        {"learning_rate": RATES},
        {"objective": "certified"},
    ),
    r"tune: the coefficients still change at step \d+ at momentum 0\.9\d+; narrow the ranges\.": (
        functools.partial(mj.ema_momentum, 0.001, debias=True),
        {"momentum": (0.0, 0.99)},
        {},
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_searched_is_refused(message: str) -> None:
    constructor, ranges, given = REFUSED[message]
    with pytest.raises(ValueError, match=f"^{message}$"):
        theory.tune(constructor, ranges, **{"m": 1.0, "L": 2.0, **given})


def test_heavy_ball_is_critically_damped_where_its_roots_meet() -> None:
    curvature, rate = np.array([[1e-6], [1.0], [30.0]]), np.array([0.01, 0.1])
    found = theory.critical_damping(mj.heavy_ball, curvature, rate)
    assert found.shape == (3, 2)
    np.testing.assert_allclose(found, (1 - np.sqrt(curvature * rate)) ** 2, rtol=1e-12)


@pytest.mark.slow
def test_at_critical_damping_no_other_momentum_is_faster() -> None:
    for constructor in (mj.heavy_ball, mj.nesterov, mj.ema_momentum):
        momentum = float(theory.critical_damping(constructor, 2.0, 0.05))
        here = theory.rate(constructor(0.05, momentum), 2.0)
        for other in (momentum - 1e-3, momentum + 1e-3):
            assert theory.rate(constructor(0.05, other), 2.0) > here + 1e-5


NOT_DAMPED: dict[str, tuple[Any, Any, Any]] = {
    r"critical_damping: learning_rate must be above 0, got 0\.": (mj.heavy_ball, 1.0, 0.0),
    r"critical_damping: curvature must be finite, got nan\.": (mj.heavy_ball, np.nan, 0.1),
    r"critical_damping: the roots of heavy_ball must meet .* at curvature 100 and learning rate 1\.": (
        mj.heavy_ball,
        100.0,
        1.0,
    ),
    r"critical_damping: pid must have one memory, got Dynamics: 3 memories .*": (mj.pid, 1.0, 0.1),
}


@pytest.mark.parametrize("message", NOT_DAMPED)
def test_what_has_no_critical_damping_is_refused(message: str) -> None:
    constructor, curvature, rate = NOT_DAMPED[message]
    with pytest.raises(ValueError, match=f"^{message}$"):
        theory.critical_damping(constructor, curvature, rate)


def test_the_search_follows_a_narrow_valley_and_stops_at_ends() -> None:
    def bent(points: np.ndarray) -> np.ndarray:
        x, y = points.T
        return np.abs(y - x**2) + 0.1 * np.abs(x - 0.7)

    found = least(bent, spread(3, 2), width=0.2, finest=1e-12, most=400)
    np.testing.assert_allclose(found, [0.7, 0.49], atol=1e-8)
    np.testing.assert_array_equal(least(lambda z: z @ [1.0, -1.0], spread(2, 2), width=0.2, finest=1e-9, most=200), [0.0, 1.0])
    assert np.ptp(np.histogram(spread(1000, 1), 10, (0, 1))[0]) <= 2
