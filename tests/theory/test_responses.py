"""Responses, noise and expected losses against SciPy, closed forms and simulated runs."""

import math

import numpy as np
import optax
import pytest
from scipy import signal
from scipy.linalg import solve_discrete_lyapunov

import momentum_jax as mj
from momentum_jax import theory


def test_an_impulse_is_felt_as_the_memory_decays():
    k = np.arange(40)
    np.testing.assert_allclose(theory.impulse_response(mj.heavy_ball(0.1, 0.9), 40), -0.1 * 0.9**k, rtol=1e-12)
    np.testing.assert_allclose(
        theory.impulse_response(mj.heavy_ball(0.1, 0.9), 40, of="held"), -(1 - 0.9 ** (k + 1)), rtol=1e-12
    )
    ahead = np.concatenate([[1.9], 0.9 ** (k[1:] + 1)])
    np.testing.assert_allclose(theory.impulse_response(mj.nesterov(0.1, 0.9), 40), -0.1 * ahead, rtol=1e-12)
    np.testing.assert_allclose(
        theory.impulse_response(mj.nesterov(0.1, 0.9), 40, of="iterate"), -0.1 * np.cumsum(0.9**k), rtol=1e-12
    )


def test_the_first_steps_have_their_own_response():
    damped = mj.sgd(0.1, 0.9, dampening=0.5)
    assert theory.impulse_response(damped, 2).tolist() == pytest.approx([-0.1, -0.09])
    assert theory.impulse_response(damped, 2, at=1).tolist() == pytest.approx([-0.05, -0.045])
    with pytest.raises(ValueError, match="below the horizon"):
        theory.impulse_response(mj.fista(0.1), 4, at=510)


@pytest.mark.parametrize("optimizer", [mj.heavy_ball(0.1, 0.9), mj.nesterov(0.1, 0.9), mj.pid(0.1), optax.scale(-0.2)])
def test_the_frequency_response_is_that_of_the_impulse(optimizer):
    frequencies = np.linspace(0, math.pi, 7)
    impulse = theory.impulse_response(optimizer, 800, at=1)
    expected = np.exp(-1j * np.outer(frequencies, np.arange(800))) @ impulse
    np.testing.assert_allclose(theory.frequency_response(optimizer, frequencies), expected, atol=1e-11)


def test_momentum_is_a_low_pass_filter():
    frequencies = np.linspace(0.01, 3, 50)
    _, expected = signal.freqz([-0.1], [1, -0.9], frequencies)
    np.testing.assert_allclose(theory.frequency_response(mj.heavy_ball(0.1, 0.9), frequencies), expected, rtol=1e-12)
    decayed = theory.frequency_response(mj.sgd(0.1, 0.9, weight_decay=0.1), [0.0])
    np.testing.assert_allclose(decayed, 0, atol=1e-14)


@pytest.mark.parametrize(
    "optimizer",
    [
        mj.gradient_descent(0.1),
        mj.heavy_ball(0.1, 0.9),
        mj.nesterov(0.1, 0.9),
        mj.aggregated_momentum(0.05, (0.0, 0.9, 0.99)),
        mj.sgd(0.1, 0.9, weight_decay=0.1, nesterov=True),
        mj.triple_momentum(strong_convexity=1.0, smoothness=25.0),
    ],
)
@pytest.mark.parametrize("of", ["held", "iterate"])
def test_the_variance_is_that_of_lyapunovs_equation(optimizer, of):
    read = theory.linearize(optimizer, horizon=64)
    lams = np.geomspace(0.01, 60, 40)
    expected = []
    for lam in lams:
        system = read.at(32)
        M = system.closed_loop(np.array(lam))
        c = system.c_held if of == "held" else system.c_iterate
        is_stable = np.abs(np.linalg.eigvals(M)).max() < 1
        expected.append(c @ solve_discrete_lyapunov(M, np.outer(system.b, system.b)) @ c if is_stable else np.inf)
    assert np.isinf(expected).any() or of == "held"
    np.testing.assert_allclose(theory.steady_state_variance(read, lams, 3.0, of=of), 3 * np.array(expected), rtol=1e-8)


def test_momentum_halves_the_noise_at_most():
    # At equal effective learning rate, x = eta_eff lam: heavy ball over gradient descent.
    eta, mu, lam = 0.1, 0.9, np.linspace(0.1, 1.9, 7)
    x = eta / (1 - mu) * lam
    ratio = theory.steady_state_variance(mj.heavy_ball(eta, mu), lam) / theory.steady_state_variance(
        mj.gradient_descent(eta / (1 - mu)), lam
    )
    np.testing.assert_allclose(ratio, (2 - x) / (2 - x * (1 - mu) / (1 + mu)), rtol=1e-12)


def test_the_variance_of_accumulated_gradients_is_that_of_their_mean():
    accumulated = theory.steady_state_variance(optax.MultiSteps(mj.heavy_ball(0.1, 0.9), 4), [0.5, 2.0, 50.0])
    at_once = theory.steady_state_variance(mj.heavy_ball(0.1, 0.9), [0.5, 2.0, 50.0], 0.25)
    np.testing.assert_allclose(accumulated, at_once, rtol=1e-6)


def test_where_nothing_moves_noise_moves_nothing():
    assert theory.steady_state_variance(mj.gradient_descent(0.0), 1.0, 2.0) == 0


def simulated(read, lam, noise, steps, seeds=40_000):
    random = np.random.default_rng(3)
    x = np.multiply.outer(read.start, np.full(seeds, 2.0))
    for k in range(steps):
        t = read.place(k)
        gradient = lam * x[0] + math.sqrt(noise) * random.normal(size=seeds)
        x = read.F[t] @ x + np.outer(read.b[t], gradient)
    return lam / 2 * np.square(read.readout[read.place(steps - 1)] @ x)


@pytest.mark.parametrize("optimizer", [mj.nesterov(0.1, 0.9), mj.ema_momentum(0.3, 0.9, debias=True), mj.fista(0.1)])
def test_expected_losses_are_the_means_of_many_runs(optimizer):
    read = theory.linearize(optimizer, horizon=512)
    for steps in (1, 7, 30):
        losses = simulated(read, 2.0, 0.5, steps)
        expected = float(theory.expected_loss(read, 2.0, 0.5, steps, distance=2.0))
        assert abs(losses.mean() - expected) < 5 * losses.std() / math.sqrt(losses.size)


@pytest.mark.parametrize(
    "optimizer",
    [mj.heavy_ball(0.1, 0.9), mj.sgd(0.1, 0.9, dampening=0.5), optax.MultiSteps(mj.nesterov(0.1, 0.9), 3)],
)
@pytest.mark.parametrize("of", ["held", "iterate"])
def test_doubled_steps_are_steps(optimizer, of):
    read = theory.linearize(optimizer, horizon=64)
    for steps in (0, 1, 2, 5, 6, 7, 101):
        mean, spread = read.start, np.zeros((len(read.names),) * 2)
        for k in range(steps):
            M, b = read.closed_loop(1.5, k), read.b[read.place(k)]
            mean, spread = M @ mean, M @ spread @ M.T + np.outer(b, b)
        row = np.eye(len(read.names))[0] if of == "held" or not steps else read.readout[read.place(steps - 1)]
        expected = 0.75 * (9 * (row @ mean) ** 2 + 0.2 * row @ spread @ row)
        found = theory.expected_loss(read, [1.5], 0.2, steps, distance=3.0, of=of)
        np.testing.assert_allclose(found, [expected], rtol=1e-10)


def test_a_budget_beyond_what_was_read_is_refused():
    assert theory.expected_loss(mj.fista(0.1), 1.0, 0.0, 512) < 1e-3
    with pytest.raises(ValueError, match="longer horizon"):
        theory.expected_loss(mj.fista(0.1), 1.0, 0.0, 513)


def lessard(x):
    """The gradient of Lessard, Recht and Packard (2016), equation 4.11: 1-strongly convex and 25-smooth."""
    return 25 * x if x < 1 else x + 24 if x < 2 else 25 * x - 24


def test_heavy_ball_with_polyaks_tuning_cycles():
    polyak = mj.heavy_ball(4 / 36, (4 / 6) ** 2)
    cycle = theory.limit_cycle(polyak, lessard, 3.3)
    np.testing.assert_allclose(sorted(cycle), sorted(np.array([792, -2208, 2592]) / 1225), rtol=1e-12)
    assert cycle.argmax() == 0
    assert theory.worst_rate(polyak, 1, 25)[0] == pytest.approx(2 / 3, abs=1e-7)


def test_a_run_that_converges_stands_still_and_one_that_diverges_is_refused():
    assert theory.limit_cycle(mj.gradient_descent(0.01), lessard, 3.3).tolist() == pytest.approx([0.0], abs=1e-12)
    assert theory.limit_cycle(mj.gradient_descent(0.1), lambda x: np.sin(9 * x) + 30 * x, 0.3, longest=1, steps=50) is None
    with pytest.raises(ValueError, match="the run from 1 left the finite numbers at step"):
        theory.limit_cycle(mj.gradient_descent(1.0), lambda x: 5 * x, 1.0)


def test_what_has_no_cause_does_not_grow_and_what_is_unstable_does():
    for optimizer in (mj.heavy_ball(0.1, 0.9), mj.aggregated_momentum(0.1), optax.MultiSteps(mj.heavy_ball(0.1, 0.9), 3)):
        for noise in (0.0, 1.0):
            found = theory.steady_state_variance(optimizer, [1e-6, 0.0, -1.0, 1e4], noise)
            np.testing.assert_array_equal(np.isinf(found), [False, True, True, True])
    found = theory.expected_loss(mj.heavy_ball(0.1, 0.9), [1.0, 1e4], [[0.0], [1.0]], 10_000, distance=0.0)
    assert found[0].tolist() == [0, 0]
    assert np.isfinite(found[1, 0])
    assert found[1, 1] == np.inf
