"""How methods translate into one another, at constant hyperparameters and under schedules."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from linear_schedules import inside, momentum, outside, rate
from oracles import Problems, assert_same_path, descend, largest_difference

import momentum_jax as mj


def path(optimizer, problem: Problems) -> np.ndarray:
    return descend(optimizer, problem.bent, problem.theta0, 50).held


@pytest.mark.parametrize("core", [mj.scale_by_heavy_ball, mj.scale_by_sgd, mj.scale_by_nesterov, mj.scale_by_ema_momentum])
def test_inside_and_outside_agree_at_constant_rate_and_differ_under_a_schedule_of_it(core, problem: Problems) -> None:
    for mu in (0.8, momentum):
        assert_same_path(path(inside(core(mu), 0.05), problem), path(outside(core(mu), 0.05), problem))
    assert largest_difference(path(inside(core(0.8), rate), problem), path(outside(core(0.8), rate), problem)) > 1e-2


@pytest.mark.parametrize("mu", [0.8, momentum], ids=["constant momentum", "scheduled momentum"])
def test_the_two_orders_of_a_chain_are_the_two_conventions(mu, problem: Problems) -> None:
    assert_same_path(path(inside(mj.scale_by_heavy_ball(mu), rate), problem), path(mj.heavy_ball(rate, mu), problem))
    assert_same_path(path(outside(mj.scale_by_heavy_ball(mu), rate), problem), path(mj.sgd(rate, mu), problem))
    assert_same_path(path(inside(mj.scale_by_nesterov(mu), rate), problem), path(mj.nesterov(rate, mu), problem))
    core = mj.scale_by_sgd(mu, nesterov=True)
    assert_same_path(path(outside(core, rate), problem), path(mj.sgd(rate, mu, nesterov=True), problem))


def test_goyals_momentum_correction_turns_inside_into_outside(problem: Problems) -> None:
    def corrected(t):
        return momentum(t) * rate(t) / rate(jnp.maximum(t - 1, 0))

    assert_same_path(path(mj.heavy_ball(rate, corrected), problem), path(mj.sgd(rate, momentum), problem))


def test_an_average_is_an_accumulator_at_a_larger_rate_under_schedules_of_the_rate(problem: Problems) -> None:
    averaged = path(mj.ema_momentum(lambda t: rate(t) / (1 - 0.8), 0.8), problem)
    assert_same_path(averaged, path(mj.sgd(rate, 0.8), problem))


def test_an_average_is_another_accumulator_under_schedules_of_the_momentum(problem: Problems) -> None:
    def translated_rate(t):
        return rate(t) * (1 - momentum(t))

    def translated_momentum(t):
        return momentum(t) * (1 - momentum(jnp.maximum(t - 1, 0))) / (1 - momentum(t))

    averaged = path(mj.ema_momentum(rate, momentum), problem)
    assert_same_path(averaged, path(mj.sgd(translated_rate, translated_momentum), problem))
    assert largest_difference(averaged, path(mj.sgd(translated_rate, momentum), problem)) > 1e-2


def test_a_debiased_average_is_an_average_at_a_rate_that_starts_large(problem: Problems) -> None:
    def translated_rate(t):
        return 0.3 / (1 - 0.8 ** (t + 1.0))

    debiased = path(mj.ema_momentum(0.3, 0.8, debias=True), problem)
    assert_same_path(debiased, path(mj.ema_momentum(translated_rate, 0.8), problem))


def test_nesterov_in_its_two_forms_agrees_under_schedules_of_the_rate(problem: Problems) -> None:
    reformulated = inside(mj.scale_by_sgd(0.8, nesterov=True), rate)
    assert_same_path(path(mj.nesterov(rate, 0.8), problem), path(reformulated, problem))


def test_nesterov_is_a_mixture_of_gradient_and_average(problem: Problems) -> None:
    """Quasi-hyperbolic momentum with nu = mu, rate eta / (1 - mu): L [(1 - nu) g + nu m']."""
    eta, mu = 0.05, 0.8
    average, x, expected = np.zeros(17), problem.theta0, [problem.theta0]
    for t in range(50):
        g = problem.bent(t, x)
        average = mu * average + (1 - mu) * g
        x = x - eta / (1 - mu) * ((1 - mu) * g + mu * average)
        expected.append(x)
    assert_same_path(path(mj.nesterov(eta, mu), problem), np.array(expected))


MEMORYLESS = {
    "heavy_ball": lambda: mj.heavy_ball(rate, 0.0),
    "nesterov": lambda: mj.nesterov(rate, 0.0),
    "sgd": lambda: mj.sgd(rate, 0.0),
    "sgd without a buffer": lambda: mj.sgd(rate, None),
    "ema": lambda: mj.ema_momentum(rate, 0.0),
    "debiased ema": lambda: mj.ema_momentum(rate, 0.0, debias=True),
}


@pytest.mark.parametrize("make", MEMORYLESS.values(), ids=MEMORYLESS.keys())
def test_without_momentum_every_method_is_gradient_descent(make, problem: Problems) -> None:
    assert_same_path(path(make(), problem), path(mj.gradient_descent(rate), problem))


@pytest.mark.parametrize(
    ("optimizer", "gain"),
    [
        (mj.gradient_descent(0.01), 0.01),
        (mj.heavy_ball(0.01, 0.9), 0.01 / (1 - 0.9)),
        (mj.nesterov(0.01, 0.9), 0.01 / (1 - 0.9)),
        (mj.sgd(0.01, 0.9, dampening=0.3), 0.01 * 0.7 / (1 - 0.9)),
        (mj.ema_momentum(0.01, 0.9), 0.01),
    ],
    ids=["gradient descent", "heavy ball", "nesterov", "dampened sgd", "ema"],
)
def test_on_a_slope_the_method_ends_in_steps_of_its_effective_learning_rate(optimizer, gain: float) -> None:
    held = descend(optimizer, lambda t, x: np.ones(2), np.zeros(2), 400).held
    np.testing.assert_allclose(held[-1] - held[-2], -gain, rtol=1e-10)


def test_rmsprop_without_memory_is_sign_descent(problem: Problems) -> None:
    """At decay 0 and without eps the scaled gradient is g / |g|."""
    steps = np.diff(descend(mj.rmsprop(0.1, 0.0, eps=0.0), problem.seq, problem.theta0, 50).held, axis=0)
    np.testing.assert_allclose(steps, -0.1 * np.sign(problem.gseq), rtol=1e-9)


def test_adam_without_memory_is_rmsprop_without_memory(problem: Problems) -> None:
    assert_same_path(path(mj.adam(rate, 0.0, 0.0, eps=1e-3), problem), path(mj.rmsprop(rate, 0.0, eps=1e-3), problem))


def test_weight_decay_before_the_core_is_coupled_and_after_it_decoupled(problem: Problems) -> None:
    coupled = optax.chain(mj.add_weight_decay(0.1), mj.scale_by_sgd(0.9), mj.scale_by_learning_rate(0.05))
    assert_same_path(path(coupled, problem), path(mj.sgd(0.05, 0.9, weight_decay=0.1), problem))
    decoupled = optax.chain(mj.scale_by_adam(), mj.add_weight_decay(0.1), mj.scale_by_learning_rate(rate))
    assert_same_path(path(decoupled, problem), path(mj.adamw(rate, weight_decay=0.1), problem))
