"""A donated state takes nothing of the user's with it, and gradients of another kind than their parameter are refused."""

import warnings
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from contract_rows.row import Row
from contract_runs import every_build, every_row, gradients, some_params
from contract_walks import optimizers_unlike

import momentum_jax as mj


@every_build
def test_donating_a_state_leaves_the_arrays_that_are_hyperparameters_alone(row: Row) -> None:
    numbers = {name: jnp.asarray(value) for name, value in row.numbers.items()}
    optimizer, params = row.build(**numbers), {"a": jnp.asarray(1.0), "b": jnp.asarray(2.0), "c": jnp.ones(3)}
    state = optimizer.init(params)
    step = jax.jit(lambda s: optimizer.update(params, s, params), donate_argnums=0)
    for _ in range(2):
        _, state = step(state)
    _, state = optimizer.update(params, state, params)
    step(state)
    assert not any(array.is_deleted() for array in numbers.values())


@optimizers_unlike
def test_a_state_of_inject_hyperparams_can_be_donated(row: Row) -> None:
    optimizer, params = (
        optax.inject_hyperparams(row.supplied(row.make), (*row.static, *row.structure))(**row.numbers, **row.structure),
        {"a": jnp.ones(2)},
    )
    jax.jit(optimizer.update, donate_argnums=1)(params, optimizer.init(params), params)


@optimizers_unlike
def test_an_integer_gradient_of_a_floating_point_parameter_is_refused(row: Row) -> None:
    optimizer, params = row.build(), {"x": jnp.ones(2)}
    with pytest.raises(ValueError, match="must be floating point"):
        optimizer.update({"x": jnp.array([1, 2])}, optimizer.init(params), params)


@every_row
def test_float64_leaves_of_numpy_are_taken_without_a_warning(row: Row) -> None:
    optimizer, params = row.build(), {"w": np.ones(3)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        updates, _ = optimizer.update({"w": np.ones(3)}, optimizer.init(params), params)
    assert updates["w"].dtype == jnp.float32


@pytest.mark.parametrize("where", ["momentum", "b1", "b2"])
def test_the_derivative_with_respect_to_a_decay_is_right_at_zero(where: str) -> None:
    def after(value: Any) -> Any:
        optimizer = mj.ema_momentum(0.1, value, debias=True) if where == "momentum" else mj.adam(0.1, **{where: value})
        params, state = jnp.asarray(2.0), optimizer.init(jnp.asarray(2.0))
        for t in range(3):
            updates, state = optimizer.update(jnp.sin(3 * params + t), state, params)
            params = optax.apply_updates(params, updates)
        return params

    with jax.enable_x64(True):
        step = 1e-6
        forward = (after(jnp.asarray(step)) - after(jnp.asarray(0.0))) / step
        np.testing.assert_allclose(jax.grad(after)(jnp.asarray(0.0)), forward, rtol=1e-3)


def test_stacked_states_are_read_out_under_vmap_only() -> None:
    runs = jnp.asarray([0.5, 0.7, 0.9])
    params = jnp.ones((3, 3))
    state = jax.vmap(lambda mu, p: mj.nesterov(0.1, mu).init(p))(runs, params)
    with pytest.raises(ValueError, match=r"jax\.vmap\(evaluation_params\)"):
        mj.evaluation_params(params, state)
    assert jax.vmap(mj.evaluation_params)(params, state).shape == (3, 3)


@every_build
def test_donated_parameters_and_state_give_the_same_numbers(row: Row) -> None:
    optimizer = row.build()

    def step(params: Any, state: Any) -> Any:
        updates, state = optimizer.update(gradients(params, 0), state, params)
        return optax.apply_updates(params, updates), state

    def twice(step: Any) -> Any:
        params = jax.tree.map(jnp.copy, some_params())
        state = optimizer.init(params)
        for _ in range(2):
            params, state = step(params, state)
        return params, state

    chex.assert_trees_all_close(twice(jax.jit(step, donate_argnums=(0, 1))), twice(step), rtol=1e-5, atol=1e-7)
