"""Which linear methods are the same method in different clothes, and that each is an instance of the general form."""

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from linear_schedules import inside, momentum, rate
from oracles import Problems, assert_same_path, descend, largest_difference

import momentum_jax as mj


def path(optimizer: optax.GradientTransformation, problem: Problems, steps: int = 50) -> np.ndarray:
    return descend(optimizer, problem.bent, problem.theta0, steps).held


def test_robust_momentum_runs_from_triple_momentum_to_gradient_descent(problem: Problems) -> None:
    m, L = 0.1, 11.0
    fast = mj.robust_momentum(strong_convexity=m, smoothness=L, rate=1 - 1 / math.sqrt(L / m))
    triple = mj.triple_momentum(strong_convexity=m, smoothness=L)
    assert_same_path(path(fast, problem), path(triple, problem))
    slow = mj.robust_momentum(strong_convexity=m, smoothness=L, rate=1 - m / L)
    assert_same_path(path(slow, problem), path(mj.gradient_descent(1 / L), problem))


def test_with_one_curvature_both_are_gradient_descent(problem: Problems) -> None:
    descent = path(mj.gradient_descent(1 / 11), problem)
    assert_same_path(path(mj.triple_momentum(strong_convexity=11, smoothness=11), problem), descent)
    assert_same_path(path(mj.robust_momentum(strong_convexity=11, smoothness=11, rate=0), problem), descent)


# What the same method is called elsewhere: (left, right), equal on every step from zero buffers.
ETA, MU, TAU = 0.02, 0.8, 0.3
QHM = mj.quasi_hyperbolic_momentum
K, XI, C = 40.0, 4.0, 0.7


def three_parameters(a: float, b: float, gm: float) -> optax.GradientTransformation:
    """x' = x + v', v' = b v - a g(y), in the point y = x + gm v that the user holds."""
    return mj.state_space_momentum([[b]], [-a], [b + gm * b - gm], -a * (1 + gm))


def from_three_parameters(a: float, b: float, gm: float) -> optax.GradientTransformation:
    return QHM(a / (1 - b), b, 1 - gm * (1 - b) / b)


def triple_coefficients(m: float, L: float) -> tuple[float, float, float]:
    rho = 1 - math.sqrt(m / L)
    return (1 + rho) / L, rho**2 / (2 - rho), rho**2 / ((1 + rho) * (2 - rho))


def robust_coefficients(m: float, L: float, rho: float) -> tuple[float, float, float]:
    k = L / m
    pull = (1 - rho) ** 2 * (1 + rho)
    return k * pull / L, k * rho**3 / (k - 1), rho**3 / ((k - 1) * pull)


SAME = {
    "an average is an accumulator at eta / (1 - beta)": (mj.ema_momentum(ETA / (1 - MU), MU), mj.sgd(ETA, MU)),
    "heavy ball is QHM(eta / (1 - mu), mu, 1)": (mj.heavy_ball(ETA, MU), QHM(ETA / (1 - MU), MU, 1.0)),
    "an average is QHM(eta, mu, 1)": (mj.ema_momentum(ETA, MU), QHM(ETA, MU, 1)),
    "gradient descent is QHM(eta, mu, 0)": (mj.gradient_descent(ETA), QHM(ETA, MU, 0)),
    "nesterov is QHM(eta / (1 - mu), mu, mu)": (mj.nesterov(ETA, MU), QHM(ETA / (1 - MU), MU, MU)),
    "PyTorch's nesterov is too": (mj.sgd(ETA, MU, nesterov=True), QHM(ETA / (1 - MU), MU, MU)),
    "(a, b, gm) is QHM": (three_parameters(0.05, 0.7, 0.4), from_three_parameters(0.05, 0.7, 0.4)),
    "QHM is (a, b, gm)": (QHM(0.3, 0.7, 0.6), three_parameters(0.3 * 0.3, 0.7, 0.7 * (1 - 0.6) / (1 - 0.7))),
    "triple momentum is QHM": (
        mj.triple_momentum(strong_convexity=0.1, smoothness=11.0),
        from_three_parameters(*triple_coefficients(0.1, 11.0)),
    ),
    "robust momentum is QHM": (
        mj.robust_momentum(strong_convexity=0.1, smoothness=11.0, rate=0.95),
        from_three_parameters(*robust_coefficients(0.1, 11.0, 0.95)),
    ),
    "AccSGD is QHM": (
        mj.accelerated_sgd(ETA, K, XI, C),
        QHM(ETA * C * (1 + XI) / (1 + C), (K - C * C * XI) / (K + C * XI), (C * XI - 1) / (C * (1 + XI))),
    ),
    "AccSGD without advantage is QHM with a negative nu": (
        mj.accelerated_sgd(ETA, K, 0.5, C),
        QHM(ETA * C * 1.5 / (1 + C), (K - C * C * 0.5) / (K + C * 0.5), (C * 0.5 - 1) / (C * 1.5)),
    ),
    "EMA-Nesterov is QHM": (mj.ema_nesterov(ETA, 0.6, 0.7), QHM(ETA / (1 - 0.6), 0.7 + 0.3 * 0.6, 0.6)),
    "EMA-Nesterov with gamma = 0 is nesterov": (mj.ema_nesterov(ETA, MU, 0.0), mj.nesterov(ETA, MU)),
    "AggMo with one beta is an accumulator": (mj.aggregated_momentum(ETA, (MU,)), mj.sgd(ETA, MU)),
    "AggMo with equal betas is an accumulator": (mj.aggregated_momentum(ETA, (MU, MU, MU)), mj.sgd(ETA, MU)),
    "AggMo([0, b]) is QHM": (mj.aggregated_momentum(ETA, (0, MU)), QHM(ETA / 2 * (1 + 1 / (1 - MU)), MU, 1 / (2 - MU))),
    "Grokfast without amplification is nothing": (
        optax.chain(mj.grokfast(0.9, 0.0), mj.heavy_ball(ETA, MU)),
        mj.heavy_ball(ETA, MU),
    ),
    "PID with the integral alone is a step and an accumulator": (
        mj.pid(ETA, MU, 3.0, 0.0),
        QHM(ETA * (1 + 3 / (1 - MU)), MU, 1 - 1 / (1 + 3 / (1 - MU))),
    ),
    "FISTA is nesterov with the schedule": (mj.fista(ETA), mj.nesterov(ETA, mj.schedules.fista(50))),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME.keys())
def test_two_names_of_one_method(pair: tuple[Any, Any], problem: Problems) -> None:
    for gradient in (problem.quad, problem.bent, problem.seq):
        left, right = (descend(optimizer, gradient, problem.theta0, 50).held for optimizer in pair)
        assert_same_path(left, right)


def silent_at_first(problem: Problems) -> Callable[[int, np.ndarray], np.ndarray]:
    """The quadratic, but a gradient of 0 at the first step: methods that treat the first gradient apart start from 0."""
    return lambda t, x: problem.bent(t, x) if t else np.zeros(17)


SAME_BUT_FOR_THE_FIRST_GRADIENT = {
    "dampened by tau is heavy ball at eta (1 - tau)": (
        mj.sgd(ETA, MU, dampening=TAU),
        mj.heavy_ball(ETA * (1 - TAU), MU),
    ),
    "dampened by mu is an average": (mj.sgd(ETA, MU, dampening=MU), mj.ema_momentum(ETA, MU)),
    "Grokfast is QHM": (
        optax.chain(mj.grokfast(0.9, 2.0), mj.gradient_descent(ETA)),
        QHM(ETA * (1 + 2.0), 0.9, 2.0 / (1 + 2.0)),
    ),
    "PID is QHM": (
        mj.pid(0.1 * ETA, MU, 5.0, 10.0),
        QHM(0.1 * ETA * (1 + 5 / (1 - MU)), MU, 1 - (1 + 10 * (1 - MU) / MU) / (1 + 5 / (1 - MU))),
    ),
    "optimistic is a filter with one pole at 0": (
        mj.optimistic(ETA),
        mj.state_space_momentum(0.0, 1.0, ETA, -2 * ETA),
    ),
}


@pytest.mark.parametrize("pair", SAME_BUT_FOR_THE_FIRST_GRADIENT.values(), ids=SAME_BUT_FOR_THE_FIRST_GRADIENT.keys())
def test_two_names_of_one_method_but_for_the_first_gradient(pair: tuple[Any, Any], problem: Problems) -> None:
    left, right = (descend(optimizer, silent_at_first(problem), problem.theta0, 50).held for optimizer in pair)
    assert_same_path(left, right)
    left, right = (descend(optimizer, problem.bent, problem.theta0, 50).held for optimizer in pair)
    assert largest_difference(left, right) > 1e-4


def test_dampening_leaves_a_known_trace_of_the_first_gradient(problem: Problems) -> None:
    """PyTorch's first buffer is undamped: -eta tau (1 - mu^t) / (1 - mu) g_1 against heavy ball at eta (1 - tau)."""
    dampened = descend(mj.sgd(ETA, MU, dampening=TAU), problem.seq, problem.theta0, 50).held
    heavy = descend(mj.heavy_ball(ETA * (1 - TAU), MU), problem.seq, problem.theta0, 50).held
    trace = np.outer(-ETA * TAU * (1 - MU ** np.arange(51)) / (1 - MU), problem.gseq[0])
    assert_same_path(dampened, heavy + trace)


def first(at_first: Any, later: Any) -> Callable[[Any], Any]:
    """A schedule that has its own value at step 0."""
    return lambda t: jnp.where(t == 0, jnp.asarray(at_first), jnp.asarray(later))


def accelerated(eta: float) -> tuple[Any, ...]:
    a = C * C * XI / K
    zeta = C / (C + a)
    return zeta * (1 - a), zeta * eta * (1 - C * XI), (1 - zeta) * (1 - a), -eta * (zeta + (1 - zeta) * C * XI)


def pid_matrices(eta: float, k_i: float, k_d: float) -> tuple[Any, ...]:
    return (
        [[MU, 0, 0], [0, MU, MU - 1], [0, 0, 0]],
        first([1, 0, 1], [1, 1 - MU, 1]),
        -eta * np.array([k_i * MU, k_d * MU, -k_d * (1 - MU)]),
        first(-eta * (1 + k_i), -eta * (1 + k_i + k_d * (1 - MU))),
    )


def look_ahead(a: float, b: float, gm: float) -> tuple[Any, ...]:
    return b, -a, b + gm * (b - 1), -a * (1 + gm)


def scheduled_nesterov(eta: float, mu: Callable[[Any], Any]) -> tuple[Any, ...]:
    return mu, -eta, lambda t: mu(t + 1) * mu(t), lambda t: -eta * (1 + mu(t + 1))


Q = 0.7 + 0.3 * 0.6
STATE_SPACE = {
    "gradient_descent": (mj.gradient_descent(ETA), (np.zeros((0, 0)), np.zeros(0), np.zeros(0), -ETA)),
    "heavy_ball": (mj.heavy_ball(ETA, MU), (MU, -ETA, MU, -ETA)),
    "sgd": (mj.sgd(ETA, MU), (MU, 1, -ETA * MU, -ETA)),
    "sgd, dampened": (
        mj.sgd(ETA, MU, dampening=TAU),
        (MU, first(1, 1 - TAU), -ETA * MU, first(-ETA, -ETA * (1 - TAU))),
    ),
    "sgd with nesterov": (mj.sgd(ETA, MU, nesterov=True), (MU, 1, -ETA * MU**2, -ETA * (1 + MU))),
    "ema_momentum": (mj.ema_momentum(ETA, MU), (MU, 1 - MU, -ETA * MU, -ETA * (1 - MU))),
    "nesterov": (mj.nesterov(ETA, MU), (MU, -ETA, MU**2, -ETA * (1 + MU))),
    "nesterov, scheduled": (mj.nesterov(ETA, momentum), scheduled_nesterov(ETA, momentum)),
    "fista": (mj.fista(ETA), scheduled_nesterov(ETA, mj.schedules.fista(50))),
    "quasi_hyperbolic_momentum": (QHM(0.1, MU, 0.7), (MU, 1 - MU, -0.1 * 0.7 * MU, -0.1 * (1 - 0.7 * MU))),
    "aggregated_momentum": (
        mj.aggregated_momentum(ETA, (0.0, 0.9, 0.99)),
        (np.diag([0, 0.9, 0.99]), np.ones(3), -ETA / 3 * np.array([0, 0.9, 0.99]), -ETA),
    ),
    "accelerated_sgd": (mj.accelerated_sgd(ETA, K, XI, C), accelerated(ETA)),
    "triple_momentum": (
        mj.triple_momentum(strong_convexity=0.1, smoothness=11.0),
        look_ahead(*triple_coefficients(0.1, 11.0)),
    ),
    "robust_momentum": (
        mj.robust_momentum(strong_convexity=0.1, smoothness=11.0, rate=0.95),
        look_ahead(*robust_coefficients(0.1, 11.0, 0.95)),
    ),
    "ema_nesterov": (mj.ema_nesterov(ETA, 0.6, 0.7), (Q, -0.3 * ETA, 0.6 * Q, -ETA * (1 + 0.6 * 0.3))),
    "optimistic": (mj.optimistic(ETA), (0, 1, ETA, first(-ETA, -2 * ETA))),
    "grokfast": (
        optax.chain(mj.grokfast(0.9, 2.0), mj.gradient_descent(ETA)),
        (0.9, first(1, 0.1), -ETA * 2 * 0.9, first(-ETA * 3, -ETA * (1 + 2 * 0.1))),
    ),
    "pid": (mj.pid(0.1 * ETA, MU), pid_matrices(0.1 * ETA, 5.0, 10.0)),
}


@pytest.mark.parametrize("pair", STATE_SPACE.values(), ids=STATE_SPACE.keys())
def test_every_linear_method_is_an_instance_of_the_general_form(pair: tuple[Any, Any], problem: Problems) -> None:
    method, (A, B, C, D) = pair
    general = mj.state_space_momentum(A, B, C, D)
    for gradient in (problem.bent, problem.seq):
        left, right = (descend(o, gradient, problem.theta0, 50).held for o in (method, general))
        assert_same_path(left, right)


def test_the_general_form_with_traced_matrices_and_as_a_core_on_either_side_of_the_rate(problem: Problems) -> None:
    matrices = (np.diag([0.5, 0.9]), np.ones(2), np.array([0.5, 0.9]), 2.0)
    plain = mj.state_space_momentum(*matrices)
    traced = mj.state_space_momentum(*(jnp.asarray(m) for m in matrices))
    for optimizer in (plain, traced):
        assert_same_path(path(inside(optimizer, ETA), problem), path(mj.aggregated_momentum(2 * ETA, (0.5, 0.9)), problem))
    outside = optax.chain(plain, mj.scale_by_learning_rate(rate))
    assert_same_path(path(outside, problem), path(mj.aggregated_momentum(lambda t: 2 * rate(t), (0.5, 0.9)), problem))
    assert largest_difference(path(outside, problem), path(inside(plain, rate), problem)) > 1e-3
