"""The contract: traces, compilations and derivatives of an update, which are finite where a gradient is zero."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from contract_rows.row import Row
from contract_runs import every_build, every_row, gradients, some_params, types


@every_row
def test_one_trace_serves_all_calls_weakly_typed_parameters_included(row: Row) -> None:
    for params in (some_params(), {"w": jnp.asarray(1.0)}):
        chex.clear_trace_counter()
        optimizer = row.build(**{n: jnp.asarray(v) for n, v in row.numbers.items()})
        update = jax.jit(chex.assert_max_traces(optimizer.update, n=1))
        g = gradients(params, 0)
        state = optimizer.init(params)
        for _ in range(3):
            # Traces are counted; what is traced here is compiled in other tests.
            _, state = update.eval_shape(g, state, params)


COMPILATIONS = [0]
jax.monitoring.register_event_duration_secs_listener(
    lambda event, duration, **more: COMPILATIONS.__setitem__(
        0, COMPILATIONS[0] + (event == "/jax/core/compile/backend_compile_duration")
    )
)


@every_row
def test_an_eager_update_compiles_nothing_after_the_first_steps(row: Row) -> None:
    scheduled = {n: (lambda step, v=v: v / (1 + 0.01 * step)) for n, v in row.numbers.items() if n not in row.no_schedule}
    for optimizer in (row.build(), row.build(**scheduled)):
        params = some_params()
        g = gradients(params, 0)
        state = optimizer.init(params)
        first = types(state)
        for _ in range(2):
            _, state = optimizer.update(g, state, params)
        before = COMPILATIONS[0]
        _, state = optimizer.update(g, state, params)
        assert types(state) == first
        assert COMPILATIONS[0] == before
    jax.jit(lambda x: x + row.id.__hash__() % 7)(jnp.ones(3)).block_until_ready()
    assert COMPILATIONS[0] > before, "the counter counts nothing"


@every_row
def test_init_can_be_shaped_without_being_run(row: Row) -> None:
    params = some_params()
    state = row.build().init(params)
    shaped = jax.eval_shape(row.build().init, params)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), shaped) == jax.tree.map(lambda x: (x.shape, x.dtype), state)
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(state))


@every_row
def test_gradients_of_zero_from_the_first_step_on_give_finite_updates(row: Row) -> None:
    optimizer, params = row.build(), some_params()
    state = optimizer.init(params)
    for _ in range(2):
        updates, state = optimizer.update(jax.tree.map(jnp.zeros_like, params), state, params)
        chex.assert_tree_all_finite(updates)


@every_build
@pytest.mark.parametrize("dtype", ["float32", pytest.param("complex64", marks=pytest.mark.slow)])
def test_the_derivative_through_updates_is_finite_also_where_a_gradient_is_zero(row: Row, dtype: str) -> None:
    params = {"w": jnp.asarray([0.0, 1.0, -2.0], dtype)}

    def after(params: Any, numbers: Any) -> Any:
        optimizer = row.build(**numbers)
        state, moved = optimizer.init(params), params
        for scale in (1.0, 0.0):
            updates, state = optimizer.update(jax.tree.map(lambda p: scale * p, moved), state, moved)  # noqa: B023
            moved = optax.apply_updates(moved, updates)
        return jnp.sum(jnp.abs(moved["w"] - 5))

    numbers = {n: jnp.asarray(v) for n, v in row.numbers.items()}
    derivatives = jax.grad(after, argnums=(0, 1))(params, numbers)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(derivatives))
