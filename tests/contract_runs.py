"""What the tests of the contract share: the rows to run, parameters, gradients, and some steps of any optimizer."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from contract_rows import ROWS, marks, rows
from contract_rows.row import Row

every_row = pytest.mark.parametrize("row", rows())
every_build = pytest.mark.parametrize("row", rows(unlike=True))
buffered_rows = pytest.mark.parametrize("row", rows(lambda row: row.buffered))


def numbers(keep: Callable[[Row, str], bool]) -> Any:
    """The hyperparameters of every row to parametrise a contract test with, as `row` and `name`."""
    names = [(row, name) for row in ROWS for name in row.numbers if keep(row, name)]
    return pytest.mark.parametrize(
        ("row", "name"), [pytest.param(row, name, id=f"{row.id}-{name}", marks=marks(row)) for row, name in names]
    )


every_number = numbers(lambda row, name: True)
every_schedulable_number = numbers(lambda row, name: name not in row.no_schedule)
every_unschedulable_number = numbers(lambda row, name: name in row.no_schedule)


def some_params(dtype: Any = jnp.float32) -> dict[str, Any]:
    w = jnp.linspace(-1.0, 2.0, 6).reshape(2, 3).astype(dtype)
    if jnp.issubdtype(dtype, jnp.complexfloating):
        w = w * (1 + 0.5j)
    return {"layer": {"w": w.astype(dtype)}, "scalar": jnp.asarray(0.7, dtype)}


def a_matrix() -> dict[str, Any]:
    """For what does not depend on the tree: an eager update takes as long as it has leaves."""
    return {"w": some_params()["layer"]["w"]}


def gradients(params: Any, t: int) -> Any:
    """A gradient for step t: off centre, signs mixed, no two steps alike."""
    return jax.tree.map(lambda p: (p * (0.3 + 0.1 * t) - jnp.asarray(0.05 * (t + 1), p.dtype)).astype(p.dtype), params)


def run(optimizer: Any, params: Any, steps: int = 4) -> list[Any]:
    """Updates of `steps` steps on fixed parameters, and the last state."""
    state = optimizer.init(params)
    seen = []
    for t in range(steps):
        updates, state = optimizer.update(gradients(params, t), state, params)
        seen.append(updates)
    return [*seen, state]


@functools.cache
def usual(row: Row, steps: int = 4) -> list[Any]:
    """`run` of the row as it stands."""
    return run(row.build(), some_params(), steps)


def types(tree: Any) -> Any:
    return jax.tree.map(lambda x: (jnp.shape(x), x.dtype, getattr(x, "weak_type", False)), tree)
