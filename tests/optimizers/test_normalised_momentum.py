"""Normalised momentum, LARS and NIGT against the papers' formulas in NumPy, and at gradients and parameters of zero."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest
from normalised_walk import decay, flat, lars, rate, tree, walk
from oracles import Problems, assert_same_path

import momentum_jax as mj


def paper_average(g: np.ndarray, beta: Callable[[int], float]) -> np.ndarray:
    """m_1 = g_1, then m = beta m + (1 - beta) g."""
    m = [g[0]]
    for t in range(1, len(g)):
        m.append(beta(t) * m[-1] + (1 - beta(t)) * g[t])
    return np.array(m)


def test_normalized_momentum_goes_the_length_of_the_rate_along_the_papers_average(problem: Problems) -> None:
    held, _ = walk(mj.normalized_momentum(rate, decay, eps=0), problem.seq, problem.theta0)
    m = paper_average(problem.gseq, decay)
    steps = -rate(np.arange(50))[:, None] * m / np.linalg.norm(m, axis=1, keepdims=True)
    assert_same_path(held, problem.theta0 + np.vstack([np.zeros(17), np.cumsum(steps, axis=0)]))


def test_the_scale_of_the_loss_does_not_move_normalized_momentum(problem: Problems) -> None:
    optimizer = mj.normalized_momentum(rate, 0.9, eps=0)
    plain, _ = walk(optimizer, problem.seq, problem.theta0)
    scaled, _ = walk(optimizer, lambda t, x: 1e5 * problem.seq(t, x), problem.theta0)
    assert_same_path(scaled, plain)


def test_a_gradient_that_was_always_zero_gets_no_normalized_step() -> None:
    params = {"w": jnp.zeros(3)}
    for eps in (0, 1e-8, jnp.asarray(0.0)):
        optimizer = mj.normalized_momentum(0.1, eps=eps)
        updates, _ = optimizer.update(params, optimizer.init(params), params)
        np.testing.assert_array_equal(updates["w"], 0)


def test_lars_keeps_the_rate_of_each_step_inside_its_velocity(problem: Problems) -> None:
    held, _ = walk(lars(rate), problem.seq, problem.theta0)
    x, v = problem.theta0.copy(), np.zeros(17)
    for t in range(50):
        for part in (slice(12), slice(12, 17)):
            g, norm = problem.gseq[t][part], np.linalg.norm(x[part])
            trust = 0.02 * norm / (np.linalg.norm(g) + 0.01 * norm)
            v[part] = 0.9 * v[part] + rate(t) * trust * (g + 0.01 * x[part])
        x = x - v
        np.testing.assert_allclose(held[t + 1], x, rtol=1e-11)


def test_lars_moves_leaves_of_zeros_at_the_plain_rate_and_needs_the_parameters() -> None:
    params, g = {"w": jnp.zeros(3)}, {"w": jnp.ones(3)}
    optimizer = mj.lars(0.1)
    updates, _ = optimizer.update(g, optimizer.init(params), params)
    np.testing.assert_allclose(updates["w"], -0.1)
    with pytest.raises(ValueError, match=r"^lars: its ratios need the parameters: call update\(gradients, state, params\)"):
        optimizer.update(g, optimizer.init(params))


def test_nigt_goes_where_the_papers_algorithm_goes(problem: Problems) -> None:
    held, state = walk(mj.nigt(rate, decay, eps=0), problem.bent, problem.theta0)
    w = w_prev = problem.theta0
    m = np.zeros(17)
    points = []
    for t in range(51):
        beta = decay(t)
        points.append(w + beta / (1 - beta) * (w - w_prev))
        if t == 50:
            break
        g = problem.bent(t, points[-1])
        m = g if t == 0 else beta * m + (1 - beta) * g
        w_prev, w = w, w - rate(t) * m / np.linalg.norm(m)
    assert_same_path(held, np.array(points))
    np.testing.assert_allclose(flat(mj.evaluation_params(tree(held[-1]), state)), w, rtol=1e-12)


def test_on_a_quadratic_the_iterate_of_nigt_is_normalised_gradient_descent_without_momentum(problem: Problems) -> None:
    optimizer, state, held = mj.nigt(0.1, 0.9, eps=0), None, problem.theta0
    state, w = optimizer.init(tree(held)), problem.theta0
    for t in range(50):
        read = flat(mj.evaluation_params(tree(held), state))
        np.testing.assert_allclose(read, w, rtol=0, atol=1e-9)
        updates, state = optimizer.update(tree(problem.quad(t, held)), state)
        held = held + flat(updates)
        g = problem.quad(t, w)
        w = w - 0.1 * g / np.linalg.norm(g)
    fresh = mj.reset_momentum(state)
    np.testing.assert_array_equal(flat(mj.evaluation_params(tree(held), fresh)), held)
    updates, _ = optimizer.update(tree(problem.gseq[0]), fresh)
    np.testing.assert_allclose(flat(updates), -0.1 * 10 * problem.gseq[0] / np.linalg.norm(problem.gseq[0]), rtol=1e-12)
