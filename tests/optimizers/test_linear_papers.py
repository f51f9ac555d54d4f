"""What each method of the linear family is by its own paper: its algorithm in NumPy, under schedules, and what it promises."""

import math
from typing import Any

import numpy as np
import optax
import pytest
from linear_schedules import momentum, rate
from oracles import Problems, assert_same_path, descend, join, split

import momentum_jax as mj


def at(hyperparameter: Any, t: int) -> float:
    return float(hyperparameter(t)) if callable(hyperparameter) else hyperparameter


class Loop:
    """The algorithm of a paper in NumPy: query points and iterates of 50 steps on the bent quadratic."""

    def __init__(self, problem: Problems) -> None:
        self.gradient, self.x = problem.bent, problem.theta0
        self.queries: list[np.ndarray] = []
        self.iterates: list[np.ndarray] = [self.x]

    def ask(self, y: np.ndarray) -> np.ndarray:
        self.queries.append(y)
        return self.gradient(len(self.queries) - 1, y)

    def go(self, x: np.ndarray) -> None:
        self.x = x
        self.iterates.append(x)

    def equals(self, optimizer: optax.GradientTransformation) -> None:
        descent = descend(optimizer, self.gradient, self.iterates[0], 50)
        assert_same_path(descent.held[:-1], np.array(self.queries))
        assert_same_path(descent.read, np.array(self.iterates))


@pytest.mark.parametrize("eta", [0.05, rate], ids=["constant", "scheduled"])
def test_quasi_hyperbolic_momentum_is_its_papers_algorithm_under_schedules(eta: Any, problem: Problems) -> None:
    def nu(t: Any) -> Any:
        return 0.2 + 0.6 * t / 50

    loop, average = Loop(problem), np.zeros(17)
    for t in range(50):
        g = loop.ask(loop.x)
        average = at(momentum, t) * average + (1 - at(momentum, t)) * g
        loop.go(loop.x - at(eta, t) * ((1 - at(nu, t)) * g + at(nu, t) * average))
    loop.equals(mj.quasi_hyperbolic_momentum(eta, momentum, nu))


def test_aggregated_momentum_is_its_papers_algorithm_under_schedules(problem: Problems) -> None:
    betas = (0.0, momentum, 0.99, 0.99)
    loop, velocities = Loop(problem), [np.zeros(17)] * 4
    for t in range(50):
        g = loop.ask(loop.x)
        velocities = [at(beta, t) * v - g for beta, v in zip(betas, velocities, strict=True)]
        loop.go(loop.x + at(rate, t) / 4 * sum(velocities))
    loop.equals(mj.aggregated_momentum(rate, betas))


def test_accelerated_sgd_is_its_papers_algorithm_under_schedules_of_everything(problem: Problems) -> None:
    def kappa(t: Any) -> Any:
        return 40.0 + t

    def xi(t: Any) -> Any:
        return 3.0 + 0.05 * t

    def small(t: Any) -> Any:
        return 0.5 + 0.005 * t

    loop, b = Loop(problem), problem.theta0
    for t in range(50):
        eta, k, x, c = (at(h, t) for h in (rate, kappa, xi, small))
        g = loop.ask(loop.x)
        a = c * c * x / k
        b = (1 - a) * b + a * (loop.x - eta * k / c * g)
        loop.go(c / (c + a) * (loop.x - eta * g) + a / (c + a) * b)
    loop.equals(mj.accelerated_sgd(rate, kappa, xi, small))


@pytest.mark.parametrize("eta", [0.02, rate], ids=["constant", "scheduled"])
def test_ema_nesterov_is_its_papers_algorithm_under_schedules_and_around_adam(eta: Any, problem: Problems) -> None:
    def beta(t: Any) -> Any:
        return 0.9 - 0.01 * t

    loop, m = Loop(problem), np.zeros(17)
    for t in range(50):
        y = loop.x + at(beta, t) * m
        theta = y - at(eta, t) * loop.ask(y)
        m = at(momentum, t) * m + (1 - at(momentum, t)) * (theta - loop.x)
        loop.go(theta)
    loop.equals(mj.ema_nesterov(eta, beta, momentum))

    loop, m, adam = Loop(problem), np.zeros(17), mj.adam(eta)
    state = adam.init(split(problem.theta0))
    for t in range(50):
        y = loop.x + at(beta, t) * m
        step, state = adam.update(split(loop.ask(y)), state)
        theta = y + join(step)
        m = at(momentum, t) * m + (1 - at(momentum, t)) * (theta - loop.x)
        loop.go(theta)
    loop.equals(optax.chain(mj.adam(eta), mj.scale_by_ema_nesterov(beta, momentum)))


def test_grokfast_is_its_papers_filter_and_goes_before_any_optimizer(problem: Problems) -> None:
    loop, average = Loop(problem), None
    for t in range(50):
        g = loop.ask(loop.x)
        average = g if average is None else at(momentum, t) * average + (1 - at(momentum, t)) * g
        loop.go(loop.x - at(rate, t) * (g + (1 + 0.02 * t) * average))
    loop.equals(optax.chain(mj.grokfast(momentum, lambda t: 1 + 0.02 * t), mj.gradient_descent(rate)))


def test_optimistic_takes_its_guess_back_under_schedules(problem: Problems) -> None:
    """Optimistic mirror descent: x = z - eta M, z' = z - eta g(x), where the hint M is the last gradient."""
    loop = Loop(problem)
    # The first gradient is its own hint: z_0 lies where x_0 = z_0 - eta g(x_0).
    z = problem.theta0 + at(rate, 0) * problem.bent(0, problem.theta0)
    for t in range(50):
        g = loop.ask(loop.x)
        z = z - at(rate, t) * g
        loop.go(z - at(rate, t + 1) * g)
    loop.equals(mj.optimistic(rate))


def test_optimistic_at_a_constant_rate_is_twice_the_gradient_less_the_last(problem: Problems) -> None:
    loop, before = Loop(problem), None
    for _ in range(50):
        g = loop.ask(loop.x)
        loop.go(loop.x - 0.05 * (2 * g - (g if before is None else before)))
        before = g
    loop.equals(mj.optimistic(0.05))


def test_optimistic_solves_the_game_that_descent_circles() -> None:
    """min over x, max over y of x y."""

    def game(t: int, z: np.ndarray) -> np.ndarray:
        return np.array([z[1], -z[0]])

    start = np.array([1.0, 1.0])
    assert np.linalg.norm(descend(mj.optimistic(0.3), game, start, 400).held[-1]) < 1e-6
    assert np.linalg.norm(descend(mj.gradient_descent(0.3), game, start, 400).held[-1]) > 10


def test_pid_is_its_papers_controller_under_schedules(problem: Problems) -> None:
    loop, i, d, before = Loop(problem), np.zeros(17), np.zeros(17), None
    for t in range(50):
        g, mu = loop.ask(loop.x), at(momentum, t)
        i = mu * i + g
        d = mu * d + (1 - mu) * (g - (g if before is None else before))
        before = g
        loop.go(loop.x - 0.1 * at(rate, t) * (g + (5 - 0.02 * t) * i + (10 + 0.02 * t) * d))
    loop.equals(mj.pid(lambda t: 0.1 * rate(t), momentum, lambda t: 5 - 0.02 * t, lambda t: 10 + 0.02 * t))


@pytest.mark.parametrize("eta", [0.08, rate], ids=["constant", "scheduled"])
def test_fista_is_its_papers_recursion_and_nesterov_with_the_schedule_of_that_name(eta: Any, problem: Problems) -> None:
    loop, y, t = Loop(problem), problem.theta0, 1.0
    for step in range(50):
        x, t_next = y - at(eta, step) * loop.ask(y), (1 + math.sqrt(1 + 4 * t * t)) / 2
        y, t = x + (t - 1) / t_next * (x - loop.x), t_next
        loop.go(x)
    loop.equals(mj.fista(eta))
    loop.equals(mj.nesterov(eta, mj.schedules.fista(50)))


def test_fista_keeps_its_promise_on_convex_functions(problem: Problems) -> None:
    """f(x_k) - f* <= 2 |x_0 - x*|^2 / (eta (k + 1)^2)."""
    read = descend(mj.fista(0.1), problem.quad, problem.theta0, 200).read[1:] - problem.center
    gap = np.einsum("ki,ij,kj->k", read, problem.H, read) / 2
    bound = 2 * np.sum((problem.theta0 - problem.center) ** 2) / (0.1 * np.arange(2, 202) ** 2)
    assert (gap <= bound).all()


def test_triple_momentum_is_its_papers_recursion_under_schedules(problem: Problems) -> None:
    def curvatures(t: int) -> tuple[float, float]:
        return 0.1 + 0.002 * t, 11.0 - 0.01 * t

    loop, before = Loop(problem), problem.theta0
    xi = problem.theta0
    for t in range(50):
        rho = 1 - math.sqrt(curvatures(t)[0] / curvatures(t)[1])
        y = xi + rho**2 / ((1 + rho) * (2 - rho)) * (xi - before)
        moved = rho**2 / (2 - rho) * (xi - before) - (1 + rho) / curvatures(t)[1] * loop.ask(y)
        xi, before = xi + moved, xi
        rho = 1 - math.sqrt(curvatures(t + 1)[0] / curvatures(t + 1)[1])
        loop.go(xi + rho**2 / (1 - rho**2) * (xi - before))
    loop.equals(mj.triple_momentum(strong_convexity=lambda t: curvatures(t)[0], smoothness=lambda t: curvatures(t)[1]))


def test_robust_momentum_is_its_papers_recursion_under_schedules(problem: Problems) -> None:
    def rho_at(t: Any) -> Any:
        return 0.92 + 0.001 * t

    m, L, x, before = 0.1, 11.0, problem.theta0, problem.theta0
    kappa, loop = L / m, Loop(problem)
    for t in range(50):
        rho = rho_at(t)
        y = x + rho**3 / ((kappa - 1) * (1 - rho) ** 2 * (1 + rho)) * (x - before)
        moved = kappa * rho**3 / (kappa - 1) * (x - before) - kappa * (1 - rho) ** 2 * (1 + rho) / L * loop.ask(y)
        x, before = x + moved, x
        loop.go(x)
    loop.equals(mj.robust_momentum(strong_convexity=m, smoothness=L, rate=rho_at))


@pytest.mark.parametrize(
    "optimizer",
    [
        mj.triple_momentum(strong_convexity=0.1, smoothness=11.0),
        mj.robust_momentum(strong_convexity=0.1, smoothness=11.0, rate=0.95),
    ],
    ids=["triple", "robust"],
)
def test_the_rate_is_the_promised_one(optimizer: optax.GradientTransformation, problem: Problems) -> None:
    rho = 0.95 if optimizer.init(split(problem.theta0)).readout < 0 else 1 - math.sqrt(0.1 / 11)
    goal = problem.center
    for _ in range(30):  # Newton's method
        goal = goal - np.linalg.solve(problem.H + np.diag(1 - np.tanh(goal) ** 2), problem.bent(0, goal))
    error = np.linalg.norm(descend(optimizer, problem.bent, problem.theta0, 300).read - goal, axis=1)
    assert (error <= 30 * error[0] * rho ** np.arange(301) + 1e-11).all()
