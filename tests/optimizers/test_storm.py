"""STORM: its paper's algorithm in NumPy, where it is gradient descent, and the extra arguments that reach it or are refused."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from normalised_walk import flat, tree
from oracles import Gradient, Problems, assert_same_path

import momentum_jax as mj


def storm_walk(optimizer: Any, gradient: Gradient, start: np.ndarray, steps: int) -> np.ndarray:
    held, state = [start], optimizer.init(tree(start))
    for t in range(steps):
        updates, state = optimizer.update(
            tree(gradient(t, held[-1])),
            state,
            tree(held[-1]),
            grad_fn=lambda p, t=t: tree(gradient(t, flat(p))),
        )
        held.append(held[-1] + flat(updates))
    return np.array(held)


@pytest.mark.parametrize("c", [3.0, 100.0])
def test_storm_goes_where_the_papers_algorithm_goes(c: float, problem: Problems) -> None:
    def sample(t: int, x: np.ndarray) -> np.ndarray:
        return problem.bent(t, x) + problem.gseq[t] * (1 + 0.3 * x)

    held = storm_walk(mj.storm(0.5, c=c, w=8.0), sample, problem.theta0, 50)
    x, x_prev, total, below = problem.theta0, problem.theta0, 0.0, 0
    d, eta = np.zeros(17), 0.0
    for t in range(50):
        g = sample(t, x)
        a = min(1.0, c * eta**2) if t else 1.0
        below += a < 1
        d = g + (1 - a) * (d - sample(t, x_prev))
        total += g @ g
        eta = 0.5 / (8.0 + total) ** (1 / 3)
        x_prev, x = x, x - eta * d
        np.testing.assert_allclose(held[t + 1], x, rtol=1e-9, atol=1e-12)
    assert below > 20


def test_without_noise_storm_is_gradient_descent_at_its_rates(problem: Problems) -> None:
    held = storm_walk(mj.storm(0.5, c=3.0), problem.bent, problem.theta0, 30)
    x, total = problem.theta0, 0.0
    for t in range(30):
        g = problem.bent(t, x)
        total += g @ g
        x = x - 0.5 / (10 + total) ** (1 / 3) * g
    np.testing.assert_allclose(held[-1], x, rtol=1e-11)


def test_storm_from_a_sum_of_zero_stands_still_until_a_gradient_is_not_zero(problem: Problems) -> None:
    def late(t: int, x: np.ndarray) -> np.ndarray:
        return problem.quad(t, x) * (t >= 3)

    held = storm_walk(mj.storm(0.5, w=0.0), late, problem.theta0, 6)
    np.testing.assert_array_equal(held[:4], [problem.theta0] * 4)
    assert np.all(np.isfinite(held))
    assert np.any(held[6] != problem.theta0)


def test_storm_says_what_it_needs(problem: Problems) -> None:
    params = tree(problem.theta0)
    optimizer = mj.storm()
    state = optimizer.init(params)
    with pytest.raises(ValueError, match=r"^storm: it needs the gradient of this step's sample .*grad_fn=grad_fn\)\.$"):
        optimizer.update(params, state, params)
    with pytest.raises(ValueError, match=r"^storm: it needs the parameters"):
        optimizer.update(params, state, grad_fn=lambda p: p)
    with pytest.raises(ValueError, match=r"^storm: leaf \['b'\] of the gradient, .*, is not in what grad_fn returned"):
        optimizer.update(params, state, params, grad_fn=lambda p: {"w": p["w"]})


def test_extra_arguments_reach_storm_through_chains_and_wrappers(problem: Problems) -> None:
    def sample(t: int, x: np.ndarray) -> np.ndarray:
        return problem.quad(t, x) + problem.gseq[t]

    alone = storm_walk(mj.storm(0.1), sample, problem.theta0, 10)
    for optimizer in (
        optax.chain(optax.identity(), mj.storm(0.1)),
        optax.apply_if_finite(mj.storm(0.1), 3),
        mj.quantized_state(mj.storm(0.1)),
        mj.adaptive_restart(mj.storm(0.1), min_steps=1000),
    ):
        assert_same_path(storm_walk(optimizer, sample, problem.theta0, 10), alone)


def test_restart_by_the_loss_and_storm_say_what_their_extra_arguments_must_be() -> None:
    params = {"w": jnp.ones(2), "b": jnp.ones(2)}
    restart = mj.adaptive_restart(mj.heavy_ball(0.1), criterion="function")
    for value, message in ((None, "got None"), ("x", r"got str\."), (jnp.ones(2), r"got an array of float\d\d\[2\]")):
        with pytest.raises((ValueError, TypeError), match=f"^adaptive_restart: value must be the loss at params.*{message}"):
            restart.update(params, restart.init(params), params, value=value)
    storm = mj.storm()
    state = storm.init(params)
    with pytest.raises(ValueError, match=r"^storm: it needs the gradient of this step's sample"):
        storm.update(params, state, params, grad_fn=None)
    with pytest.raises(ValueError, match=r"^storm: grad_fn must return the gradient alone, got a tuple of 2\.$"):
        storm.update(params, state, params, grad_fn=jax.value_and_grad(lambda p: p["w"] @ p["b"]))
    with pytest.raises(TypeError, match=r"^storm: grad_fn must be a function params -> gradient, got int\.$"):
        storm.update(params, state, params, grad_fn=3)
    part = optax.masked(storm, {"w": True, "b": False})
    with pytest.raises(ValueError, match="put storm around the whole tree"):
        part.update(params, part.init(params), params, grad_fn=jax.grad(lambda p: p["w"] @ p["b"]))
