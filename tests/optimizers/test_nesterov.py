"""Nesterov against its look-ahead form, which takes the gradient at theta + mu v, and against FISTA's recursion."""

import math

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import Problems, assert_same_path, descend, largest_difference

import momentum_jax as mj


def rate(t):
    return 0.06 / (1 + 0.05 * t)


def momentum(t):
    return 0.3 + 0.6 * t / 60


def look_ahead_form(rates, momenta, gradient, start):
    """v' = mu v - eta g(theta + mu v), theta' = theta + v': the query points and the iterates."""
    theta, v = start, np.zeros_like(start)
    queries, iterates = [], [start]
    for t, (eta, mu) in enumerate(zip(rates, momenta, strict=True)):
        queries.append(theta + mu * v)
        v = mu * v - eta * gradient(t, queries[-1])
        theta = theta + v
        iterates.append(theta)
    return np.array(queries), np.array(iterates)


@pytest.mark.parametrize(
    ("eta", "mu"),
    [(0.06, 0.9), (rate, 0.9), (0.06, momentum), (rate, momentum), (rate, mj.schedules.warmup_cooldown)],
    ids=["constant", "scheduled rate", "scheduled momentum", "both scheduled", "momentum up and down"],
)
def test_nesterov_is_the_look_ahead_form_and_reads_out_its_iterate(eta, mu, problem: Problems) -> None:
    if mu is mj.schedules.warmup_cooldown:
        mu = mu(0.2, 0.95, warmup_steps=20, cooldown_steps=20, total_steps=50)
    steps = np.arange(50)
    rates = [float(eta(t)) if callable(eta) else eta for t in steps]
    momenta = [float(mu(t)) if callable(mu) else mu for t in steps]
    queries, iterates = look_ahead_form(rates, momenta, problem.bent, problem.theta0)
    descent = descend(mj.nesterov(eta, mu), problem.bent, problem.theta0, 50)
    assert_same_path(descent.held[:-1], queries)
    assert_same_path(descent.read, iterates)


def test_with_the_fista_schedule_nesterov_is_fista_without_a_proximal_step(problem: Problems) -> None:
    t, x, y = 1.0, problem.theta0, problem.theta0
    queries, iterates = [y], [x]
    for step in range(60):
        x_next = y - 0.08 * problem.bent(step, y)
        t_next = (1 + math.sqrt(1 + 4 * t * t)) / 2
        y = x_next + (t - 1) / t_next * (x_next - x)
        t, x = t_next, x_next
        queries.append(y)
        iterates.append(x)
    descent = descend(mj.nesterov(0.08, mj.schedules.fista(60)), problem.bent, problem.theta0, 60)
    assert_same_path(descent.held, np.array(queries))
    assert_same_path(descent.read, np.array(iterates))


def test_the_first_readout_uses_the_momentum_of_step_1(problem: Problems) -> None:
    optimizer = mj.nesterov(0.1, lambda t: jnp.where(t == 1, 0.5, 0.0))
    step = np.diff(descend(optimizer, problem.seq, problem.theta0, 1).held, axis=0)[0]
    np.testing.assert_allclose(step, -0.1 * 1.5 * problem.gseq[0], rtol=1e-12)


def test_the_core_applied_before_the_rate_is_exact_while_the_rate_is_constant(problem: Problems) -> None:
    momenta = [float(momentum(t)) for t in range(50)]
    queries, _ = look_ahead_form([0.06] * 50, momenta, problem.bent, problem.theta0)
    core = mj.scale_by_nesterov(momentum)
    path = descend(optax.chain(core, mj.scale_by_learning_rate(0.06)), problem.bent, problem.theta0, 49)
    assert_same_path(path.held, queries)


def test_a_momentum_that_is_changed_from_outside_between_two_steps_leaves_the_method_exact(problem: Problems) -> None:
    optimizer = optax.inject_hyperparams(mj.nesterov)(learning_rate=0.06, momentum=0.9)
    first = descend(optimizer, problem.bent, problem.theta0, 20)
    changed = first.states[-1]._replace(hyperparams={**first.states[-1].hyperparams, "momentum": jnp.asarray(0.5)})
    second = descend(optimizer, lambda t, x: problem.bent(t + 20, x), first.held[-1], 20, changed)
    # The point of step 20 was left with the old momentum, and its gradient was taken there.
    queries, iterates = look_ahead_form([0.06] * 40, [0.9] * 21 + [0.5] * 19, problem.bent, problem.theta0)
    assert_same_path(np.concatenate([first.held, second.held[1:-1]]), queries)
    assert_same_path(np.concatenate([first.read[:-1], second.read[1:]]), np.delete(iterates, 20, axis=0))


def test_momentum_in_both_places_at_the_same_step_is_not_the_method_under_a_schedule(problem: Problems) -> None:
    exact = descend(mj.nesterov(0.06, momentum), problem.bent, problem.theta0, 50).held
    common = descend(mj.sgd(0.06, momentum, nesterov=True), problem.bent, problem.theta0, 50).held
    assert largest_difference(exact, common) > 1e-3


def test_the_readout_of_another_optimizer_is_what_the_user_holds(problem: Problems) -> None:
    descent = descend(mj.sgd(0.06, momentum), problem.bent, problem.theta0, 10)
    np.testing.assert_array_equal(descent.read, descent.held)
