"""SGD against the closed form of its buffer, and PyTorch's transient of dampening."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import Problems, assert_same_path, descend, discounted_sums, largest_difference

import momentum_jax as mj
from momentum_jax.optimizers._transformation import chain

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


def sutskever(eta: float, mu: float, gradient: Any, start: np.ndarray, steps: int) -> np.ndarray:
    """Iterates of heavy ball with its gradient at theta + mu v, which no buffer of gradients enters."""
    theta, v, iterates = start, np.zeros_like(start), [start]
    for t in range(steps):
        v = mu * v - eta * gradient(t, theta + mu * v)
        theta = theta + v
        iterates.append(theta)
    return np.array(iterates)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_with_nesterov_the_readout_is_the_iterate_of_the_look_ahead_form(decay: float, problem: Problems) -> None:
    optimizer = mj.sgd(0.05, 0.9, nesterov=True, weight_decay=decay)
    descent = descend(optimizer, problem.bent, problem.theta0, 50)
    expected = sutskever(0.05, 0.9, lambda t, x: problem.bent(t, x) + decay * x, problem.theta0, 50)
    assert_same_path(descent.read, expected)
    assert largest_difference(descent.read, descent.held) > 0.1


RMSPROP = {"momentum": momentum, "nesterov": True, "eps": 0.1}


@pytest.mark.parametrize(
    ("make", "direction"),
    [
        (lambda eta: mj.sgd(eta, momentum, nesterov=True), optax.identity()),
        (lambda eta: mj.rmsprop(eta, **RMSPROP), mj.scale_by_rmsprop(eps=0.1)),
        (lambda eta: mj.rmsprop(eta, **RMSPROP, learning_rate_inside=True), mj.scale_by_rmsprop(eps=0.1)),
        (
            lambda eta: mj.rmsprop(eta, **RMSPROP, centered=True, eps_inside_sqrt=True),
            mj.scale_by_rmsprop(eps=0.1, centered=True, eps_inside_sqrt=True),
        ),
    ],
    ids=["sgd", "rmsprop", "rmsprop, rate inside", "rmsprop, centred"],
)
def test_under_schedules_the_iterate_is_the_held_point_before_it_less_the_rate_times_the_direction_there(
    make: Any, direction: Any, problem: Problems
) -> None:
    def steep_rate(t: Any) -> Any:
        return jnp.where(t < 20, 0.04, 0.004)

    descent = descend(make(steep_rate), problem.bent, problem.theta0, 50)
    state = direction.init(problem.theta0)
    for t, (held, read) in enumerate(zip(descent.held[:-1], descent.read[1:], strict=True)):
        u, state = direction.update(jnp.asarray(problem.bent(t, held)), state)
        np.testing.assert_allclose(read, held - float(steep_rate(t)) * np.asarray(u), rtol=1e-12, atol=1e-12)
    assert largest_difference(descent.read, descent.held) > 1e-2


@pytest.mark.parametrize("criterion", ["gradient", "speed", "function"])
def test_restarts_judge_its_iterates_as_those_of_nesterov(criterion: str, problem: Problems) -> None:
    def value(t: int, x: np.ndarray) -> float:
        return float(np.linalg.norm(problem.bent(t, x)))

    paths = [
        descend(mj.adaptive_restart(optimizer, criterion=criterion), problem.bent, problem.theta0, 60, value=value)
        for optimizer in (mj.sgd(0.05, 0.95, nesterov=True), mj.nesterov(0.05, 0.95))
    ]
    restarts = np.diff([int(state.steps_since_restart) for state in paths[1].states]) < 0
    assert restarts.sum() >= 2
    assert_same_path(paths[0].held, paths[1].held)
    assert_same_path(paths[0].read, paths[1].read)


def test_a_bare_core_with_nesterov_refuses_to_guess_the_rate_of_its_look_ahead() -> None:
    params = {"w": jnp.ones(3)}
    for optimizer in (
        mj.scale_by_sgd(0.9, nesterov=True),
        optax.chain(mj.scale_by_sgd(0.9, nesterov=True), mj.scale_by_learning_rate(0.1)),
    ):
        with pytest.raises(ValueError, match=r"^evaluation_params: opt_state must say how far .* a bare scale_by_sgd\("):
            mj.evaluation_params(params, optimizer.init(params))
    plain = mj.scale_by_sgd(0.9)
    assert mj.evaluation_params(params, plain.init(params)) is params


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_that_the_state_tells_the_iterate_changes_no_bit_of_the_steps(dtype: Any) -> None:
    """The same links, chained by hand around a core that does not tell it."""

    def end(optimizer: Any) -> Any:
        params = jnp.linspace(-1, 2, 32).astype(dtype)
        state, update = optimizer.init(params), jax.jit(optimizer.update)
        for t in range(8):
            updates, state = update(jnp.cos(7.3 * params.astype(jnp.float32) + t).astype(dtype), state, params)
            params = optax.apply_updates(params, updates)
        return np.asarray(params.astype(jnp.float32))

    links = (mj.add_weight_decay(0.0), mj.scale_by_sgd(0.9, nesterov=True), mj.scale_by_learning_rate(0.1))
    np.testing.assert_array_equal(end(mj.sgd(0.1, 0.9, nesterov=True)), end(chain("sgd", *links)))
