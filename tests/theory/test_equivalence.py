"""Which methods are the same: the pairs that the documents name, and where others part."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import momentum_jax as mj
from momentum_jax import schedules, theory

SAME = {
    "heavy ball, sgd": (mj.heavy_ball(0.1, 0.9), mj.sgd(0.1, 0.9)),
    "heavy ball, Optax's sgd": (mj.heavy_ball(0.1, 0.9), optax.sgd(0.1, 0.9)),
    "heavy ball, average": (mj.heavy_ball(0.1, 0.9), mj.ema_momentum(1.0, 0.9)),
    "held Nesterov, sgd": (mj.nesterov(0.1, 0.9), mj.sgd(0.1, 0.9, nesterov=True)),
    "held Nesterov, Optax's": (mj.nesterov(0.1, 0.9), optax.sgd(0.1, 0.9, nesterov=True)),
    "quasi-hyperbolic, 0": (mj.quasi_hyperbolic_momentum(0.1, 0.9, 0.0), mj.gradient_descent(0.1)),
    "quasi-hyperbolic, 1": (mj.quasi_hyperbolic_momentum(0.1, 0.9, 1.0), mj.ema_momentum(0.1, 0.9)),
    "quasi-hyperbolic, Nesterov": (mj.quasi_hyperbolic_momentum(1.0, 0.9, 0.9), mj.nesterov(0.1, 0.9)),
    "one velocity": (mj.aggregated_momentum(0.1, (0.9,)), mj.heavy_ball(0.1, 0.9)),
    "state space": (mj.state_space_momentum(((0.9,),), (1.0,), (-0.09,), -0.1), mj.heavy_ball(0.1, 0.9)),
    "Optax's average": (optax.chain(optax.ema(0.9, debias=False), optax.scale(-0.1)), mj.ema_momentum(0.1, 0.9)),
    "every layer": (mj.per_layer({"*": mj.heavy_ball(0.1, 0.9)}), mj.heavy_ball(0.1, 0.9)),
    "injected": (optax.inject_hyperparams(optax.sgd)(learning_rate=0.5, momentum=0.5), mj.sgd(0.5, 0.5)),
    "FISTA": (mj.fista(0.1), mj.nesterov(0.1, schedules.fista(512))),
}


@pytest.mark.parametrize("name", SAME)
def test_methods_that_are_the_same(name):
    found = theory.equivalent(*SAME[name])
    assert found.same, found
    assert found.first_difference is None
    assert (found.steps is None) == (name != "FISTA")


DIFFERENT = {
    "Nesterov, heavy ball": (mj.nesterov(0.1, 0.9), mj.heavy_ball(0.1, 0.9), 0, 0, False),
    "correction": (mj.ema_momentum(0.1, 0.9, debias=True), mj.ema_momentum(0.1, 0.9), 0, 0, True),
    "dampening": (mj.sgd(0.1, 0.9, dampening=0.5), mj.sgd(0.05, 0.9), 0, 0, True),
    "optimism": (mj.optimistic(0.1), mj.gradient_descent(0.1), 1, 0, False),
    "decay": (mj.sgd(0.1, 0.9, weight_decay=0.01), mj.sgd(0.1, 0.9), 0, "start", False),
    "accumulation": (optax.MultiSteps(mj.gradient_descent(0.4), 4), mj.gradient_descent(0.1), 0, 0, False),
    "a later momentum": (
        mj.heavy_ball(0.1, lambda t: jnp.where(t < 5, 0.9, 0.8)), mj.heavy_ball(0.1, 0.9), 5, 0, False
    ),
    "scheduled rates": (
        mj.heavy_ball(optax.piecewise_constant_schedule(1.0, {3: 0.5}), 0.5),
        mj.sgd(optax.piecewise_constant_schedule(1.0, {3: 0.5}), 0.5),
        3,
        0,
        True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENT)
def test_methods_that_part_say_where_and_why(name):
    a, b, step, cause, same_settled = DIFFERENT[name]
    found = theory.equivalent(a, b)
    assert not found.same
    assert (found.first_difference.step, found.first_difference.cause) == (step, cause)
    assert found.same_settled == same_settled
    assert found.largest > 1e-4


def test_the_evaluated_iterate_may_differ_where_the_held_point_does_not():
    assert theory.equivalent(mj.nesterov(0.1, 0.9), optax.sgd(0.1, 0.9, nesterov=True)).same
    assert not theory.equivalent(mj.nesterov(0.1, 0.9), optax.sgd(0.1, 0.9, nesterov=True), of="iterate").same
    assert theory.equivalent(mj.nesterov(0.1, 0.9), mj.sgd(0.1, 0.9, nesterov=True), of="iterate").same


def test_a_difference_that_starts_late_is_found_and_a_number_of_steps_is_kept_to():
    # A memory of long delay: the same impulse until the last of its eight places.
    shift = np.eye(8, k=1)
    late = mj.state_space_momentum(tuple(map(tuple, shift)), (0.0,) * 7 + (1.0,), (1e-3,) + (0.0,) * 7, -0.1)
    found = theory.equivalent(late, mj.gradient_descent(0.1))
    assert (found.same, found.first_difference.step, found.first_difference.cause) == (False, 8, 0)
    early = theory.equivalent(late, mj.gradient_descent(0.1), steps=8)
    assert (early.same, early.steps) == (True, 8)


def test_the_size_of_a_difference_is_that_of_positions():
    found = theory.equivalent(mj.gradient_descent(0.1), mj.gradient_descent(0.1 + 1e-11))
    assert found.same
    assert not theory.equivalent(mj.gradient_descent(0.1), mj.gradient_descent(0.1 + 1e-11), tolerance=1e-13).same


@pytest.mark.parametrize("rate", [1e-12, 1e-3, 1e6])
def test_the_unit_of_the_learning_rate_hides_no_difference(rate):
    assert theory.equivalent(mj.heavy_ball(rate, 0.9), mj.sgd(rate, 0.9)).same
    for other in (mj.heavy_ball(1.5 * rate, 0.9), mj.nesterov(rate, 0.9)):
        found = theory.equivalent(mj.heavy_ball(rate, 0.9), other)
        assert not found.same
        assert found.first_difference.cause == 0
        assert found.largest > 0.1
