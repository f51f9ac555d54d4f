"""The contract in company: Optax's chains, wrappers and injected hyperparameters."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from contract_rows import rows
from contract_rows.row import Row
from contract_runs import every_build
from contract_walks import alone, gradients, optimizers_unlike, some_params, walk, walked

import momentum_jax as mj


@every_build
def test_chain_passes_what_each_link_makes(row: Row) -> None:
    alone, _ = walked(row)
    chained, _ = walk(optax.chain(optax.identity(), row.build(), optax.scale(1.0)))
    chex.assert_trees_all_close(chained, alone, rtol=1e-6)


@every_build
def test_unexpected_extra_arguments_are_left_alone(row: Row) -> None:
    optimizer, params = row.build(), some_params()
    state = optimizer.init(params)
    plain, _ = optimizer.update(gradients(params), state, params)
    more = {"value": jnp.asarray(1.0), "grad_fn": gradients, "unknown": 1} | row.extra
    extra, _ = optimizer.update(gradients(params), state, params, **more)
    chex.assert_trees_all_equal(extra, plain)


def without_programs(update: Any, *args: Any) -> Any:
    """An update with a `lax.cond` in it, run op by op."""
    with jax.disable_jit():
        return update(*args)


def assert_traces(update: Any, *args: Any) -> None:
    """Only traced have the branches of a `lax.cond` to be of one type."""
    chex.assert_trees_all_equal_shapes_and_dtypes(jax.eval_shape(update, *args)[1], args[1])


@optimizers_unlike
def test_multisteps_of_two_equal_gradients_is_one_step(row: Row) -> None:
    optimizer, params = optax.MultiSteps(row.build(), every_k_schedule=2), some_params()
    state = optimizer.init(params)
    g = gradients(params)
    assert_traces(optimizer.update, g, state, params)
    first, state = without_programs(optimizer.update, g, state, params)
    second, state = without_programs(optimizer.update, g, state, params)
    alone, _ = row.build().update(g, row.build().init(params), params)
    chex.assert_trees_all_close(first, jax.tree.map(jnp.zeros_like, params))
    chex.assert_trees_all_close(second, alone, rtol=1e-6)


@optimizers_unlike
def test_partition_gives_each_leaf_to_its_own(row: Row) -> None:
    parts = optax.partition({"x": row.build(), "y": optax.sgd(0.1)}, {"a": "x", "b": {"c": "y"}})
    params, _ = walk(parts)
    chex.assert_trees_all_close(params["a"], alone(row)["a"], rtol=1e-6)
    chex.assert_trees_all_close(params["b"], walk(optax.sgd(0.1))[0]["b"], rtol=1e-6)


@optimizers_unlike
def test_masked_leaves_are_not_touched(row: Row) -> None:
    masked = optax.chain(
        optax.masked(row.build(), {"a": True, "b": False}), optax.masked(optax.set_to_zero(), {"a": False, "b": True})
    )
    params, _ = walk(masked)
    chex.assert_trees_all_close(params["a"], alone(row)["a"], rtol=1e-6)
    chex.assert_trees_all_equal(params["b"], some_params()["b"])


@optimizers_unlike
def test_apply_if_finite_skips_a_bad_gradient_and_keeps_the_state(row: Row) -> None:
    optimizer, params = optax.apply_if_finite(row.build(), 5), some_params()
    state = optimizer.init(params)
    assert_traces(optimizer.update, gradients(params), state, params)
    _, state = without_programs(optimizer.update, gradients(params), state, params)
    bad = jax.tree.map(lambda p: jnp.full_like(p, jnp.nan), params)
    updates, after = without_programs(optimizer.update, bad, state, params)
    chex.assert_trees_all_equal(updates, jax.tree.map(jnp.zeros_like, params))
    chex.assert_trees_all_equal(after.inner_state, state.inner_state)


@optimizers_unlike
def test_inject_hyperparams_gives_the_same_numbers_and_state(row: Row) -> None:
    injected = optax.inject_hyperparams(row.supplied(row.make), (*row.static, *row.structure))(**row.numbers, **row.structure)
    plain, plain_state = walked(row)
    params, state = walk(injected)
    chex.assert_trees_all_close(params, plain, rtol=1e-4)
    # A basis of SOAP holds entries of 0, which are rounding.
    chex.assert_trees_all_close(state.inner_state, plain_state, rtol=1e-3, atol=1e-6 if row.file == "soap" else 1e-8)


# map_params hands init a placeholder without paths, which per_layer needs; optax.partition by a function of paths fares alike.
@pytest.mark.parametrize("row", rows(lambda row: row.file != "per_layer"))
def test_optax_can_map_over_the_parameters_in_a_state(row: Row) -> None:
    optimizer = row.build()
    state = optimizer.init(some_params())
    doubled = optax.tree.map_params(optimizer, lambda v: v + 1, state)
    for before, after in zip(jax.tree.leaves(state), jax.tree.leaves(doubled), strict=True):
        if before.shape not in row.other_shapes:
            np.testing.assert_allclose(after - before, 1.0 if before.shape else 0.0)


def test_an_int_that_inject_hyperparams_made_an_array_of_is_refused_with_the_remedy() -> None:
    with pytest.raises(
        TypeError, match=r"^demon: total_steps must be an int, got an array; .* needs static_args='total_steps'"
    ):
        optax.inject_hyperparams(mj.demon)(0.1, total_steps=10).init({"w": jnp.ones(2)})


def test_a_dtype_that_inject_hyperparams_made_an_array_of_is_refused_with_the_remedy() -> None:
    with pytest.raises(TypeError, match=r"optax\.inject_hyperparams needs static_args='accumulator_dtype'"):
        optax.inject_hyperparams(mj.heavy_ball)(0.1, accumulator_dtype=jnp.bfloat16).init({"w": jnp.ones(2)})
