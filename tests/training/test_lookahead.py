"""Optax's Lookahead with the slow parameters in its state goes where Optax's goes, and through a study."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import momentum_jax as mj
from momentum_jax.studies import Arm, Network, Study
from momentum_jax.studies.run import run_study
from momentum_jax.training.lookahead import lookahead


@pytest.mark.parametrize("reset", [False, True])
def test_fast_and_slow_parameters_are_those_of_optax(reset):
    params = {"w": jnp.asarray([1.0, -2.0, 0.5])}
    optimizer, pair = lookahead(optax.adam(0.1), 3, 0.5, reset), optax.lookahead(optax.adam(0.1), 3, 0.5, reset)
    both = optax.LookaheadParams.init_synced(params)
    state, theirs = optimizer.init(params), pair.init(both)
    for _ in range(8):
        updates, state = optimizer.update(jax.tree.map(jnp.sin, params), state, params)
        params = optax.apply_updates(params, updates)
        steps, theirs = pair.update(jax.tree.map(jnp.sin, both.fast), theirs, both)
        both = optax.apply_updates(both, steps)
        np.testing.assert_array_equal(params["w"], both.fast["w"])
        np.testing.assert_array_equal(mj.evaluation_params(params, state)["w"], both.slow["w"])


def test_an_update_without_parameters_says_what_it_needs():
    optimizer = lookahead(optax.sgd(0.1), 3, 0.5)
    with pytest.raises(ValueError, match="lookahead: update needs the parameters"):
        optimizer.update({"w": jnp.ones(2)}, optimizer.init({"w": jnp.ones(2)}))


@pytest.mark.slow
def test_what_optax_has_and_has_right_is_trained_as_it_is(tmp_path):
    arms = (
        "optax.chain(optax.ema(0.9, debias=False), optax.sign_sgd(0.001))",
        "optax.contrib.schedule_free_sgd(0.1)",
        "optax.lookahead(optax.sgd(0.1), 5, 0.5)",
    )
    study = Study(network=Network(hidden=(16,)), steps=100, batch=32, seeds=(0,), arms=tuple(map(Arm, arms)), noise_floor=False)
    store = run_study(study, tmp_path / "study")
    for run in store.runs:
        losses = store.curves(run).validation["loss"]
        assert losses[-1] < 0.8 * losses[0], run.arm


def test_leaves_that_belong_to_another_optimizer_stay_and_a_reset_reaches_the_fast_one():
    params = {"a": jnp.ones(2), "b": jnp.full(3, 2.0)}
    optimizer = optax.partition({"x": lookahead(mj.heavy_ball(0.1), 2, 0.5), "y": optax.sgd(0.1)}, {"a": "x", "b": "y"})
    updates, state = optimizer.update(params, optimizer.init(params), params)
    held = optax.apply_updates(params, updates)
    read = mj.evaluation_params(held, state)
    np.testing.assert_array_equal(read["a"], params["a"])
    np.testing.assert_array_equal(read["b"], held["b"])
    alone = lookahead(optax.sgd(0.1, 0.9), 5, 0.5)
    _, moving = alone.update(params, alone.init(params), params)
    fresh = mj.reset_momentum(moving)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(fresh.inner.fast_state))
    assert any(np.any(leaf) for leaf in jax.tree.leaves(moving.inner.fast_state))
