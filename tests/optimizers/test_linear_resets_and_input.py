"""The linear family from outside: steps after a reset, grids under vmap, what it refuses, what it keeps and computes."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from linear_schedules import momentum, rate
from oracles import Problems, assert_same_path, descend

import momentum_jax as mj

STARTS_ANEW = {
    "quasi_hyperbolic_momentum": mj.quasi_hyperbolic_momentum(rate, momentum, 0.7),
    "aggregated_momentum": mj.aggregated_momentum(rate, (momentum, 0.99)),
    "accelerated_sgd": mj.accelerated_sgd(rate, 40.0, 4.0),
    "ema_nesterov": mj.ema_nesterov(rate, momentum, 0.7),
    "grokfast": optax.chain(mj.grokfast(), mj.gradient_descent(rate)),
    "optimistic": mj.optimistic(rate),
    "pid": mj.pid(lambda t: 0.1 * rate(t), momentum),
    "fista": mj.fista(rate),
    "triple_momentum": mj.triple_momentum(strong_convexity=0.1, smoothness=lambda t: 0.5 / rate(t)),
    "state_space_momentum": mj.state_space_momentum(0.9, 1.0, -0.09, -0.1),
}


@pytest.mark.parametrize("name", STARTS_ANEW)
def test_after_a_reset_the_first_steps_are_those_of_a_run_that_starts_there(name: str, problem: Problems) -> None:
    """The learning rate goes on: rates are constant over the steps that are compared, 16 to 20 and 36 to 40."""
    optimizer = STARTS_ANEW[name]
    run = descend(optimizer, problem.bent, problem.theta0, 36)
    fresh = mj.reset_momentum(run.states[-1])
    assert jax.tree.map(lambda x: (x.shape, x.dtype), fresh) == jax.tree.map(lambda x: (x.shape, x.dtype), run.states[-1])
    kept = [np.max(np.abs(leaf)) for leaf in jax.tree.leaves(fresh) if leaf.ndim]
    assert kept == [0.0] * len(kept)
    again = descend(optimizer, problem.bent, run.read[-1], 5, fresh)
    alone = descend(at_rate(name), problem.bent, run.read[-1], 5)
    assert_same_path(again.held, alone.held)


def at_rate(name: str) -> optax.GradientTransformation:
    """The same methods with the rate that `rate` ends in."""
    return {
        "quasi_hyperbolic_momentum": mj.quasi_hyperbolic_momentum(0.02, momentum, 0.7),
        "aggregated_momentum": mj.aggregated_momentum(0.02, (momentum, 0.99)),
        "accelerated_sgd": mj.accelerated_sgd(0.02, 40.0, 4.0),
        "ema_nesterov": mj.ema_nesterov(0.02, momentum, 0.7),
        "grokfast": optax.chain(mj.grokfast(), mj.gradient_descent(0.02)),
        "optimistic": mj.optimistic(0.02),
        "pid": mj.pid(0.002, momentum),
        "fista": mj.fista(0.02),
        "triple_momentum": mj.triple_momentum(strong_convexity=0.1, smoothness=25.0),
        "state_space_momentum": mj.state_space_momentum(0.9, 1.0, -0.09, -0.1),
    }[name]


def test_a_reset_restarts_fista_at_its_first_momentum(problem: Problems) -> None:
    optimizer = mj.fista(0.08)
    first = descend(optimizer, problem.bent, problem.theta0, 20)
    fresh = mj.reset_momentum(first.states[-1])
    again = descend(optimizer, problem.bent, first.read[-1], 20, fresh)
    assert_same_path(again.held, descend(optimizer, problem.bent, first.read[-1], 20).held)
    types = [[(x.dtype, x.weak_type) for x in jax.tree.leaves(state)] for state in (first.states[0], fresh)]
    assert types[0] == types[1]


def test_a_grid_of_matrices_runs_under_vmap() -> None:
    def last(beta: Any) -> Any:
        optimizer = mj.state_space_momentum([[beta]], [1.0], [-0.1 * beta], -0.1)
        state, x = optimizer.init(jnp.ones(2)), jnp.ones(2)
        for _ in range(3):
            update, state = optimizer.update(x, state, x)
            x = x + update
        return x

    grid = jnp.asarray([0.1, 0.5, 0.9])
    np.testing.assert_allclose(jax.vmap(last)(grid), [last(b) for b in grid], rtol=1e-12)


def test_a_grid_of_momenta_runs_under_vmap() -> None:
    grid = jnp.asarray([[0.0, 0.9], [0.5, 0.99]])

    def first_velocity(betas: Any) -> Any:
        optimizer = mj.aggregated_momentum(0.1, betas)
        _, state = optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)))
        updates, _ = optimizer.update(jnp.ones(2), state)
        return updates

    np.testing.assert_allclose(jax.vmap(first_velocity)(grid)[:, 0], -0.1 * (1 + grid.mean(axis=1)), rtol=1e-12)


BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no betas": (
        lambda: mj.aggregated_momentum(0.1, ()),
        ValueError,
        "aggregated_momentum: momenta must hold at least one number, got none.",
    ),
    "a beta of 1": (
        lambda: mj.scale_by_aggregated_momentum((0.0, 1.0)),
        ValueError,
        "scale_by_aggregated_momentum: momenta[1] must be in [0, 1), got 1.0.",
    ),
    "a number for betas": (
        lambda: mj.aggregated_momentum(0.1, 0.9),
        TypeError,
        "aggregated_momentum: momenta must be a tuple of numbers, 0-d arrays or schedules, got 0.9 (float).",
    ),
    "a word for a beta": (
        lambda: mj.aggregated_momentum(0.1, (0.9, "x")),
        TypeError,
        "aggregated_momentum: momenta[1] must be a number, a 0-d array or a schedule, got 'x' (str).",
    ),
    "curvatures in the wrong order": (
        lambda: mj.triple_momentum(strong_convexity=2, smoothness=1),
        ValueError,
        "triple_momentum: strong_convexity must be at most smoothness, got strong_convexity=2.0, smoothness=1.0.",
    ),
    "curvatures in the wrong order, robust": (
        lambda: mj.robust_momentum(strong_convexity=2, smoothness=1, rate=0.5),
        ValueError,
        "robust_momentum: strong_convexity must be at most smoothness, got strong_convexity=2.0, smoothness=1.0.",
    ),
    "too fast a rate": (
        lambda: mj.robust_momentum(strong_convexity=1, smoothness=100, rate=0.8),
        ValueError,
        "robust_momentum: rate must be in [1 - sqrt(m / L), 1 - m / L] = [0.9, 0.99] for strong_convexity m = 1.0 and "
        "smoothness L = 100.0, got 0.8.",
    ),
    "A of another shape": (
        lambda: mj.state_space_momentum(np.ones((2, 3)), np.ones(2), np.ones(2), 1.0),
        ValueError,
        "state_space_momentum: A must be a number or a square array, got shape (2, 3).",
    ),
    "B that does not fit": (
        lambda: mj.state_space_momentum(np.eye(2), np.ones(3), np.ones(2), 1.0),
        ValueError,
        "state_space_momentum: B must have shape (2,) beside A of shape (2, 2), got shape (3,).",
    ),
    "C, of a schedule, that does not fit": (
        lambda: mj.state_space_momentum(np.eye(2), np.ones(2), lambda t: jnp.ones(1), 1.0),
        ValueError,
        "state_space_momentum: C must have shape (2,) beside A of shape (2, 2), got shape (1,).",
    ),
    "D that is no number": (
        lambda: mj.state_space_momentum(np.eye(2), np.ones(2), np.ones(2), np.ones(2)),
        ValueError,
        "state_space_momentum: D must have shape () beside A of shape (2, 2), got shape (2,).",
    ),
    "a complex A": (
        lambda: mj.state_space_momentum(1j, 1.0, 1.0, 1.0),
        TypeError,
        "state_space_momentum: A must be a real array or a schedule, got complex128.",
    ),
    "a word": (
        lambda: mj.state_space_momentum("a", 1.0, 1.0, 1.0),
        TypeError,
        "state_space_momentum: A must be a real array or a schedule, got <U1.",
    ),
    "nothing": (
        lambda: mj.state_space_momentum(0.9, None, 1.0, 1.0),
        TypeError,
        "state_space_momentum: B must be a real array or a schedule, got NoneType.",
    ),
    "a ragged B": (
        lambda: mj.state_space_momentum(np.eye(2), [1, [2, 3]], np.ones(2), 1.0),
        TypeError,
        "state_space_momentum: B must be a real array or a schedule, got list.",
    ),
    "a schedule of nothing": (
        lambda: mj.state_space_momentum(lambda t: None, 1.0, 1.0, 1.0),
        TypeError,
        "state_space_momentum: the schedule of A must return a real array, got NoneType.",
    ),
    "a complex schedule": (
        lambda: mj.state_space_momentum(0.9, lambda t: [1j], 1.0, 1.0),
        TypeError,
        "state_space_momentum: the schedule of B must return a real array, got complex128.",
    ),
    "a D that is not finite": (
        lambda: mj.state_space_momentum(0.9, 1.0, 1.0, math.nan),
        ValueError,
        "state_space_momentum: D must be finite, got nan.",
    ),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_bad_input_is_answered_with_what_is_allowed(bad: tuple[Callable[[], Any], type[Exception], str]) -> None:
    build, kind, message = bad
    with pytest.raises(kind) as caught:
        build()
    assert str(caught.value) == message


def test_a_gradient_that_does_not_fit_names_the_buffer() -> None:
    optimizer = mj.aggregated_momentum(0.1, (0.5, 0.9))
    with pytest.raises(ValueError, match=r"^aggregated_momentum: leaf \['w'\] .* but in the state's velocity\[0\] "):
        optimizer.update({"w": jnp.ones(3)}, optimizer.init({"w": jnp.ones(2)}))


def test_equal_betas_keep_a_velocity_each_and_zeros_of_plain_matrices_are_not_computed() -> None:
    params = jnp.ones(2)
    assert len(mj.aggregated_momentum(0.1, (0.9, 0.9, 0.0)).init(params)[0].velocity) == 3
    optimizer = mj.state_space_momentum(np.diag([0.5, 0.9]), np.ones(2), np.ones(2), 0.0)
    jaxpr = str(jax.make_jaxpr(optimizer.update)(params, optimizer.init(params)))
    assert jaxpr.count("mul") == 2 + 2 + 2
