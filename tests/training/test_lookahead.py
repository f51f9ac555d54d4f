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
        "optax.lion(0.001)",
        "optax.chain(optax.ema(0.9, debias=False), optax.sign_sgd(0.001))",
        "optax.adabelief(0.01)",
        "optax.contrib.schedule_free_sgd(0.1)",
        "optax.lookahead(optax.sgd(0.1), 5, 0.5)",
    )
    study = Study(network=Network(hidden=(16,)), steps=100, batch=32, seeds=(0,), arms=tuple(map(Arm, arms)), noise_floor=False)
    store = run_study(study, tmp_path / "study")
    for run in store.runs:
        losses = store.curves(run).validation_loss
        assert losses[-1] < 0.8 * losses[0], run.arm
