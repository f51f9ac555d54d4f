"""Every optimizer comes to the minimum: Optax's own alias test, parabola and Rosenbrock, in float32 and complex64."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from contract_rows import rows
from contract_rows.row import Row
from contract_walks import optimizers_unlike


def parabola(dtype: Any) -> tuple[jax.Array, jax.Array, Callable[[jax.Array], jax.Array]]:
    goal = jnp.asarray([1.0, -1.0, 1.0], dtype)
    goal = goal * (1 + 1j) if jnp.iscomplexobj(goal) else goal
    return jnp.asarray([-1.0, 10.0, 1.0], dtype), goal, lambda x: jnp.sum(jnp.abs(x - goal) ** 2)


def rosenbrock(dtype: Any) -> tuple[jax.Array, jax.Array, Callable[[jax.Array], jax.Array]]:
    a = jnp.asarray(1.0, dtype)
    a = a * (1 + 1j) if jnp.iscomplexobj(a) else a

    def square(z: jax.Array) -> jax.Array:
        return jnp.real(z) ** 2 + jnp.imag(z) ** 2  # differentiable at 0, as abs() is not

    return jnp.zeros(2, dtype), jnp.stack([a, a**2]), lambda x: square(a - x[0]) + 100 * square(x[1] - x[0] ** 2)


@pytest.mark.parametrize("row", rows(lambda row: row.descends))
@pytest.mark.parametrize("dtype", ["float32", pytest.param("complex64", marks=pytest.mark.exhaustive)])
def test_it_comes_to_the_minimum_of_a_parabola(row: Row, dtype: str) -> None:
    assert_comes_to_the_minimum(row, parabola, dtype)


@optimizers_unlike
@pytest.mark.parametrize("dtype", ["complex64", pytest.param("float32", marks=pytest.mark.exhaustive)])
def test_it_comes_to_the_minimum_of_rosenbrocks_function(row: Row, dtype: str) -> None:
    assert_comes_to_the_minimum(row, rosenbrock, dtype)


def assert_comes_to_the_minimum(row: Row, target: Callable[..., Any], dtype: str) -> None:
    start, goal, objective = target(jnp.dtype(dtype))
    optimizer = row.build(**getattr(row, target.__name__))

    @jax.jit
    def descend(params: jax.Array) -> jax.Array:
        def step(carry: Any, _: Any) -> Any:
            params, state = carry
            gradient = jnp.conj(jax.grad(objective)(params))
            updates, state = optimizer.update(gradient, state, params, value=objective(params))
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), length=row.steps)[0][0]

    np.testing.assert_allclose(descend(start), goal, rtol=3e-2, atol=3e-2)
