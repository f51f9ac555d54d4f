"""Rates, limits and growth against closed forms, NumPy's eigenvalues and runs of the optimizers themselves."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings, strategies as st

import momentum_jax as mj
from momentum_jax import theory
from momentum_jax.theory.dynamics import Dynamics

CURVATURES = np.geomspace(1e-4, 30, 200)


def radius(matrices):
    return np.abs(np.linalg.eigvals(matrices)).max(-1)


def two_point(lam, eta, beta, gamma):
    """x' = (1 + beta) x - beta x_prev - eta lam y, y = (1 + gamma) x - gamma x_prev: the companion matrix of (x, x_prev)."""
    top = np.stack([1 + beta - eta * lam * (1 + gamma), -beta + eta * lam * gamma], -1)
    return np.stack([top, np.broadcast_to([1.0, 0.0], top.shape)], -2)


@pytest.mark.parametrize(
    ("optimizer", "eta", "beta", "gamma"),
    [
        (mj.heavy_ball(0.1, 0.9), 0.1, 0.9, 0.0),
        (mj.nesterov(0.1, 0.9), 0.1, 0.9, 0.9),
        (mj.ema_momentum(1.0, 0.9), 0.1, 0.9, 0.0),
        (optax.sgd(0.1, 0.7), 0.1, 0.7, 0.0),
        (mj.triple_momentum(strong_convexity=1.0, smoothness=25.0), 1.8 / 25, 0.64 / 1.2, 0.64 / (1.8 * 1.2)),
    ],
)
def test_rates_are_those_of_the_two_point_form(optimizer, eta, beta, gamma):
    expected = radius(two_point(CURVATURES, eta, beta, gamma))
    # A double root is accurate to the root of the rounding.
    np.testing.assert_allclose(theory.rate(optimizer, CURVATURES), expected, rtol=3e-8)
    assert np.median(np.abs(theory.rate(optimizer, CURVATURES) / expected - 1)) < 1e-14


LIMITS = [
    (lambda eta, mu: mj.gradient_descent(eta), lambda eta, mu: 2 / eta),
    (mj.heavy_ball, lambda eta, mu: 2 * (1 + mu) / eta),
    (mj.sgd, lambda eta, mu: 2 * (1 + mu) / eta),
    (mj.ema_momentum, lambda eta, mu: 2 * (1 + mu) / ((1 - mu) * eta)),
    (mj.nesterov, lambda eta, mu: 2 * (1 + mu) / ((1 + 2 * mu) * eta)),
    (lambda eta, mu: mj.quasi_hyperbolic_momentum(eta, mu, 0.7), lambda eta, mu: 2 * (1 + mu) / ((1 - 0.4 * mu) * eta)),
    (lambda eta, mu: mj.optimistic(eta), lambda eta, mu: 2 / (3 * eta)),
    (lambda eta, mu: mj.sgd(eta, mu, weight_decay=0.125), lambda eta, mu: 2 * (1 + mu) / eta - 0.125),
]


@pytest.mark.parametrize(("eta", "mu"), [(0.1, 0.9), (2.0, 0.5), (1e-4, 0.99), (0.01, 0.999)])
@pytest.mark.parametrize(("make", "limit"), LIMITS)
def test_stability_limits_are_the_closed_forms(make, limit, eta, mu):
    read = theory.linearize(make(eta, mu), horizon=8)
    found = theory.stability_limit(read)
    np.testing.assert_allclose(found, limit(eta, mu), rtol=1e-9)
    assert theory.rate(read, found * (1 - 1e-6)) < 1 < theory.rate(read, found * (1 + 1e-6))


def system(F, b, readout=None):
    F, b = np.asarray(F, float), np.asarray(b, float)
    n = len(b)
    row = np.eye(n)[0] if readout is None else np.asarray(readout, float)
    return Dynamics(F[None], b[None], row[None], np.eye(n)[0], 0, 1, ("params", *["memory"] * (n - 1)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_stable_intervals_are_those_of_a_fine_grid(seed, n):
    random = np.random.default_rng(seed)
    F = random.normal(size=(n, n))
    F *= random.uniform(0.5, 1.2) / radius(F)
    b = random.normal(size=n)
    read = system(F, b)
    intervals = theory.stable_intervals(read)
    grid = np.geomspace(1e-6, 1e3, 4000)
    rates = radius(F + grid[:, None, None] * np.outer(b, np.eye(n)[0]))
    inside = np.zeros(grid.shape, bool)
    for low, high in intervals:
        inside |= (grid > low) & (grid < high)
    clear = np.abs(rates - 1) > 1e-6
    np.testing.assert_array_equal(inside[clear], rates[clear] < 1)
    np.testing.assert_allclose(theory.rate(read, grid), rates, rtol=1e-7)


def test_a_method_that_climbs_is_never_stable():
    assert theory.stable_intervals(optax.scale(0.1)) == ()
    assert theory.stability_limit(optax.scale(0.1)) == 0
    np.testing.assert_allclose(theory.rate(optax.scale(0.1), 2.0), 1.2)
    assert theory.effective_learning_rate(optax.scale(0.1)) == pytest.approx(-0.1)
    np.testing.assert_allclose(theory.rate(mj.gradient_descent(0.1), -3.0), 1.3)


def test_a_method_that_does_not_move():
    still = mj.gradient_descent(0.0)
    assert theory.rate(still, 3.0) == 1
    assert theory.stability_limit(still) == np.inf
    assert theory.effective_learning_rate(still) == 0


def test_the_worst_rate_is_an_end_or_a_maximum_between():
    s, kappa = 10.0, 100.0
    best = mj.heavy_ball(4 / (1 + s) ** 2, ((s - 1) / (s + 1)) ** 2)
    assert theory.worst_rate(best, 1.0, kappa)[0] == pytest.approx((s - 1) / (s + 1), abs=1e-7)
    # Stable below 1 and beyond 2, and not between: the largest rate is within.
    humped = system([[0.2, 1.0, 0.0], [0.0, 0.3, 1.0], [0.1, -0.6, 0.5]], [0.3, -0.4, 0.5])
    grid = np.linspace(0.1, 3.0, 200_001)
    rates = radius(humped.closed_loop(grid))
    found, where = theory.worst_rate(humped, 0.1, 3.0)
    assert found >= rates.max() - 1e-12
    assert found == pytest.approx(rates.max(), abs=1e-8)
    assert found == pytest.approx(float(theory.rate(humped, where)), abs=1e-12)


@pytest.mark.parametrize(
    ("optimizer", "gain"),
    [
        (mj.gradient_descent(0.1), 0.1),
        (mj.heavy_ball(0.1, 0.9), 1.0),
        (mj.nesterov(0.1, 0.99), 10.0),
        (mj.ema_momentum(0.1, 0.9), 0.1),
        (mj.quasi_hyperbolic_momentum(0.3), 0.3),
        (mj.aggregated_momentum(0.1, (0.0, 0.9, 0.99)), 0.1 * (1 + 10 + 100) / 3),
        (mj.sgd(0.1, 0.9, dampening=0.5), 0.5),
        (mj.pid(0.1, 0.9, 5.0, 10.0), 0.1 * (1 + 5 * 10)),
        (mj.optimistic(0.1), 0.1),
        (optax.MultiSteps(mj.heavy_ball(0.1, 0.5), 4), 0.2 / 4),
        (mj.heavy_ball(lambda t: jnp.where(t % 2 == 0, 0.25, 0.75), 0.5), 1.0),
    ],
)
def test_effective_learning_rates_are_the_gains(optimizer, gain):
    assert theory.effective_learning_rate(optimizer) == pytest.approx(
        gain, rel=2e-7 if isinstance(optimizer, optax.MultiSteps) else 1e-11
    )


def test_an_effective_learning_rate_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="weight decay ends the motion"):
        theory.effective_learning_rate(mj.sgd(0.1, 0.9, weight_decay=0.1))
    with pytest.raises(ValueError, match="memory without decay moves the parameter faster for ever"):
        theory.effective_learning_rate(system([[1.0, 1.0], [0.0, 1.0]], [-0.1, -0.1]))


def products(read, lam):
    M = np.eye(len(read.names))
    for k in read.one_period("test", None):
        M = read.closed_loop(lam, k) @ M
    return M


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.MultiSteps(mj.heavy_ball(0.1, 0.9), 4),
        mj.nesterov(0.1, lambda t: jnp.where(t % 3 == 0, 0.9, 0.5)),
        mj.heavy_ball(lambda t: jnp.where(t % 2 == 0, 0.1, 0.02), 0.9),
    ],
)
def test_coefficients_that_repeat_are_taken_a_period_at_a_time(optimizer):
    read = theory.linearize(optimizer)
    period = read.period
    assert period > 1
    lams = np.linspace(0.01, 60, 500)
    expected = np.array([radius(products(read, lam)) ** (1 / period) for lam in lams])
    np.testing.assert_allclose(theory.rate(read, lams), expected, rtol=1e-7)
    intervals = theory.stable_intervals(read)
    inside = sum((lams > low) & (lams < high) for low, high in intervals)
    clear = np.abs(expected - 1) > 1e-9
    np.testing.assert_array_equal(inside[clear], expected[clear] < 1)
    for high in [high for _, high in intervals]:
        assert radius(products(read, high * (1 - 1e-7))) < 1 < radius(products(read, high * (1 + 1e-7)))
    with pytest.raises(ValueError, match="repeat after"):
        theory.frequency_response(read, 0.1)


def test_gradient_accumulation_slows_a_step_and_not_an_update():
    accumulated = optax.MultiSteps(mj.heavy_ball(0.1, 0.9), 4)
    assert float(theory.rate(accumulated, 1.0)) == pytest.approx(0.9 ** (1 / 8), abs=1e-8)


def test_growth_is_the_largest_distance_of_a_run():
    for optimizer in (mj.heavy_ball(0.05, 0.99), mj.nesterov(0.19, 0.95), mj.sgd(0.1, 0.9, dampening=0.5), mj.pid(0.02)):
        read = theory.linearize(optimizer)
        lams = np.array([[0.5, 1.0, 3.0], [4.0, 6.0, 7.0]])
        expected = np.ones(lams.shape)
        for place in np.ndindex(lams.shape):
            x = read.start
            for k in range(2_000):
                x = read.closed_loop(lams[place], k) @ x
                expected[place] = max(expected[place], abs(x[0]))
                if not expected[place] < 1e6:
                    break
        expected = np.where(expected > 1e6, np.inf, expected)
        np.testing.assert_allclose(theory.transient_growth(read, lams), expected, rtol=1e-9)


def test_growth_of_a_stable_method_may_be_large():
    # x' = 0.9 x + s, s' = 0.9 s from s = 0 does not grow; with s = 10 x at the start it does.
    read = system([[0.9, 1.0], [0.0, 0.9]], [0.0, 0.0])._replace(start=np.array([1.0, 10.0]))
    expected = max((0.9**k + 10 * k * 0.9 ** (k - 1)) for k in range(100))
    assert float(theory.transient_growth(read, 1.0)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda o: theory.rate(o, []), "rate: curvature must not be empty."),
        (lambda o: theory.rate(o, [1.0, np.nan]), "rate: curvature must be finite, got nan."),
        (lambda o: theory.worst_rate(o, 5.0, 2.0), r"worst_rate: m must be in \(0, L\], got m = 5 and L = 2."),
        (lambda o: theory.worst_rate(o, -1.0, 2.0), r"worst_rate: m must be in \(0, L\], got m = -1"),
        (lambda o: theory.rate(o, 1.0, step=-1), "step must be an int of at least 0, got -1"),
        (lambda o: theory.rate(o, 1.0, step=1.5), "step must be an int of at least 0, got 1.5"),
        (lambda o: theory.limit_cycle(o, lambda x: x, 1.0, steps=31), "steps must be an int of at least 32, got 31"),
        (lambda o: theory.steady_state_variance(o, 1.0, -2.0), "noise must be at least 0, got -2."),
        (lambda o: theory.steady_state_variance(o, 1.0, of="update"), "of must be 'iterate' or 'held', got 'update'"),
        (lambda o: theory.expected_loss(o, 1.0, 0.0, -1), "steps must be an int of at least 0, got -1"),
        (lambda o: theory.impulse_response(o, 0), "length must be an int of at least 1, got 0"),
        (lambda o: theory.frequency_response(o, np.inf), "frequencies must be finite, got inf"),
        (lambda o: theory.equivalent(o, o, steps=0), "steps must be an int of at least 1 or None, got 0"),
        (lambda o: theory.equivalent(o, o, of="update"), "of must be 'held' or 'iterate', got 'update'"),
        (lambda o: theory.limit_cycle(o, lambda x: x, 1.0, longest=0), "longest must be an int of at least 1, got 0"),
    ],
)
def test_bad_numbers_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call(mj.heavy_ball(0.1, 0.9))


MUTANTS = {
    "sign": lambda v, g: (-0.9 * v - 0.1 * g,) * 2,
    "order": lambda v, g: (v, 0.9 * v - 0.1 * g),
    "coefficient": lambda v, g: (0.9 * v - 0.11 * g,) * 2,
    "look ahead": lambda v, g: (0.9 * (0.9 * v - 0.1 * g) - 0.1 * g, 0.9 * v - 0.1 * g),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_changed_update_changes_the_rate(name):
    rule = MUTANTS[name]

    def update(gradients, state, params=None):
        return rule(state, gradients)

    changed = optax.GradientTransformation(lambda params: params * 0, update)
    difference = theory.rate(changed, CURVATURES) - theory.rate(mj.heavy_ball(0.1, 0.9), CURVATURES)
    assert np.abs(difference).max() > 1e-2
    assert not theory.equivalent(changed, mj.heavy_ball(0.1, 0.9)).same


@pytest.mark.parametrize("every", [2, 3, 5])
@pytest.mark.parametrize("rate", [1e-6, 0.1, 347.0])
def test_accumulated_gradients_leave_the_limit_where_it_is(every, rate):
    accumulated = theory.linearize(optax.MultiSteps(mj.heavy_ball(rate, 0.5), every), horizon=64)
    assert theory.stability_limit(accumulated) == pytest.approx(3 / rate, rel=1e-7)
