"""SGD against the closed form of its buffer, and PyTorch's transient of dampening."""

import jax.numpy as jnp
import numpy as np
import pytest
from oracles import Problems, assert_same_path, descend, discounted_sums

import momentum_jax as mj

STEPS = np.arange(50)


def rate(t):
    return 0.05 / (1 + 0.1 * t)


def momentum(t):
    return 0.9 - 0.5 * t / 50


def dampening(t):
    return 0.1 + 0.3 * t / 50


def buffers(gradients: np.ndarray) -> np.ndarray:
    """b_t under the schedules above: the first gradient whole, each later one times 1 - tau_t."""
    gains = np.where(STEPS == 0, 1.0, 1 - dampening(STEPS))
    return discounted_sums(momentum(STEPS), gains[:, None] * gradients)


def test_sgd_steps_along_its_discounted_gradients_under_schedules_of_everything(problem: Problems) -> None:
    path = descend(mj.sgd(rate, momentum, dampening=dampening), problem.seq, problem.theta0, 50).held
    assert_same_path(np.diff(path, axis=0), -rate(STEPS)[:, None] * buffers(problem.gseq))


def test_nesterov_steps_along_the_gradient_plus_the_discounted_buffer(problem: Problems) -> None:
    path = descend(mj.sgd(rate, momentum, nesterov=True), problem.seq, problem.theta0, 50).held
    buffer = discounted_sums(momentum(STEPS), problem.gseq)
    expected = -rate(STEPS)[:, None] * (problem.gseq + momentum(STEPS)[:, None] * buffer)
    assert_same_path(np.diff(path, axis=0), expected)


def test_weight_decay_joins_the_gradient_before_the_buffer(problem: Problems) -> None:
    def decay(t):
        return 0.2 / (1 + t)

    def gradient(t, x):
        return problem.bent(t, x) + decay(t) * x

    built_in = descend(mj.sgd(0.05, 0.9, weight_decay=decay), problem.bent, problem.theta0, 50).held
    by_hand = descend(mj.sgd(0.05, 0.9), gradient, problem.theta0, 50).held
    assert_same_path(built_in, by_hand)


def test_dampening_is_heavy_ball_at_a_smaller_rate_plus_a_transient_of_the_first_gradient(problem: Problems) -> None:
    eta, mu, tau = 0.1, 0.8, 0.3
    dampened = descend(mj.sgd(eta, mu, dampening=tau), problem.seq, problem.theta0, 50).held
    heavy_ball = descend(mj.heavy_ball(eta * (1 - tau), mu), problem.seq, problem.theta0, 50).held
    transient = -eta * tau * np.outer((1 - mu ** np.arange(51)) / (1 - mu), problem.gseq[0])
    assert_same_path(dampened, heavy_ball + transient)


def test_dampening_equal_to_momentum_is_an_average_that_starts_at_the_first_gradient(problem: Problems) -> None:
    eta, mu = 0.5, 0.9
    average, expected = problem.gseq[0], [problem.theta0]
    for t in range(50):
        average = mu * average + (1 - mu) * problem.gseq[t]
        expected.append(expected[-1] - eta * average)
    ours = descend(mj.sgd(eta, mu, dampening=mu), problem.seq, problem.theta0, 50).held
    assert_same_path(ours, np.array(expected))


@pytest.mark.parametrize("mu", [0.0, jnp.zeros(()), lambda t: 0.0 * t], ids=["number", "array", "schedule"])
def test_dampening_without_momentum_changes_nothing_as_in_pytorch(mu, problem: Problems) -> None:
    ours = descend(mj.sgd(0.05, mu, dampening=0.5), problem.bent, problem.theta0, 20).held
    plain = descend(mj.gradient_descent(0.05), problem.bent, problem.theta0, 20).held
    assert_same_path(ours, plain)


def test_a_constant_gradient_ends_in_steps_of_the_effective_learning_rate() -> None:
    path = descend(mj.sgd(0.01, 0.9), lambda t, x: np.ones(2), np.zeros(2), 400).held
    np.testing.assert_allclose(path[-1] - path[-2], -0.01 / (1 - 0.9), rtol=1e-12)
