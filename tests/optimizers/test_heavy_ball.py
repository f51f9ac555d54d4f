"""Heavy ball against Polyak's two-point form, and where it must not converge."""

import jax.numpy as jnp
import numpy as np
import pytest
from oracles import Problems, assert_same_path, descend, discounted_sums, join

import momentum_jax as mj


def rate(t):
    return 0.05 / (1 + 0.1 * t)


def momentum(t):
    return 0.3 + 0.6 * t / 50


def two_point_form(rates, momenta, gradient, start):
    """x' = x - eta g(x) + mu (x - x_prev), Polyak (1964)."""
    path = [start, start]
    for t, (eta, mu) in enumerate(zip(rates, momenta, strict=True)):
        x_prev, x = path[-2:]
        path.append(x - eta * gradient(t, x) + mu * (x - x_prev))
    return np.array(path[1:])


@pytest.mark.parametrize(
    ("eta", "mu"),
    [(0.05, 0.9), (rate, 0.9), (0.05, momentum), (rate, momentum), (0.05, mj.schedules.sutskever(0.95, period=10))],
    ids=["constant", "scheduled rate", "scheduled momentum", "both scheduled", "Sutskever's momentum"],
)
def test_heavy_ball_is_the_two_point_form(eta, mu, problem: Problems) -> None:
    steps = np.arange(50)
    rates = [float(eta(t)) if callable(eta) else eta for t in steps]
    momenta = [float(mu(t)) if callable(mu) else mu for t in steps]
    ours = descend(mj.heavy_ball(eta, mu), problem.bent, problem.theta0, 50).held
    assert_same_path(ours, two_point_form(rates, momenta, problem.bent, problem.theta0))


def test_the_velocity_is_the_last_step(problem: Problems) -> None:
    descent = descend(mj.heavy_ball(rate, momentum), problem.bent, problem.theta0, 10)
    velocity = descent.states[-1][1].velocity
    np.testing.assert_allclose(join(velocity), descent.held[-1] - descent.held[-2], atol=1e-15)


def test_the_core_sums_what_it_is_fed_each_term_discounted_by_the_momenta_since(problem: Problems) -> None:
    path = descend(mj.scale_by_heavy_ball(momentum), problem.seq, problem.theta0, 50).held
    assert_same_path(np.diff(path, axis=0), discounted_sums(momentum(np.arange(50)), problem.gseq))


def test_the_first_update_sees_step_0_of_the_learning_rate_and_the_second_sees_step_1_of_both(problem: Problems) -> None:
    optimizer = mj.heavy_ball(lambda t: jnp.where(t == 0, 1.0, 0.0), lambda t: jnp.where(t == 1, 0.25, 0.0))
    steps = np.diff(descend(optimizer, problem.seq, problem.theta0, 3).held, axis=0)
    np.testing.assert_allclose(steps[0], -problem.gseq[0], rtol=1e-12)
    np.testing.assert_allclose(steps[1], -0.25 * problem.gseq[0], rtol=1e-12)
    np.testing.assert_array_equal(steps[2], 0)


def lessard(t: int, x: np.ndarray) -> np.ndarray:
    """Gradient of the piecewise quadratic of Lessard, Recht and Packard (2016), curvatures 1 and 25, minimum at 0."""
    del t
    return np.where(x < 1, 25 * x, np.where(x < 2, x + 24, 25 * x - 24))


def test_heavy_ball_tuned_for_quadratics_cycles_on_a_convex_function_that_is_none() -> None:
    path = descend(mj.heavy_ball(1 / 9, 4 / 9), lessard, np.array([3.3]), 300).held
    np.testing.assert_allclose(np.sort(path[-3:, 0]), np.array([-2208, 792, 2592]) / 1225, rtol=1e-9)


@pytest.mark.parametrize(
    "optimizer", [mj.nesterov(1 / 25, 4 / 6), mj.gradient_descent(2 / 26)], ids=["nesterov", "gradient descent"]
)
def test_other_methods_converge_where_heavy_ball_cycles(optimizer) -> None:
    path = descend(optimizer, lessard, np.array([3.3]), 300).held
    assert abs(path[-1, 0]) < 1e-9
