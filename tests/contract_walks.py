"""What the tests of the contract in company share: parameters of two leaves, and any optimizer walked down a quadratic."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest
from contract_rows import rows
from contract_rows.row import Row

optimizers_unlike = pytest.mark.parametrize("row", rows(lambda row: row.descends, unlike=True))


def some_params() -> dict[str, Any]:
    return {"a": jnp.asarray([1.0, -2.0, 0.5]), "b": {"c": jnp.full((2, 3), 0.3)}}


def gradients(params: Any) -> Any:
    return jax.tree.map(lambda p: 0.7 * p - 0.1, params)


def walk(optimizer: Any, steps: int = 3, params: Any = None) -> tuple[Any, Any]:
    """Parameters and state after some steps down a quadratic, op by op: all optimizers share the few programs of the ops."""
    params = some_params() if params is None else params
    state = optimizer.init(params)
    for _ in range(steps):
        updates, state = optimizer.update(gradients(params), state, params)
        params = optax.apply_updates(params, updates)
    return params, state


@functools.cache
def walked(row: Row) -> tuple[Any, Any]:
    """`walk` of the row as it stands."""
    return walk(row.build())


@functools.cache
def alone(row: Row) -> Any:
    """Parameters after some steps without the other leaf."""
    return walk(row.build(), params={"a": some_params()["a"]})[0]
