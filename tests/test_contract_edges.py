"""The contract at its edges: what the state says decides, not how a number was given."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contract_rows import rows
from contract_rows.row import Row
from contract_runs import gradients, some_params

CHANGES_AT, STEPS = 3, 6

Numbers = dict[str, Any]


def other_numbers(row: Row) -> Numbers:
    """Other allowed values of all that a schedule could change."""
    names = [name for name in row.numbers if name not in row.no_schedule]
    return {name: (0.99 if name in row.related else 0.5) * row.numbers[name] for name in names}


def walk(row: Row, numbers_at: Callable[[int], Numbers]) -> list[Any]:
    """Updates of an optimizer that is rebuilt at every step, with these numbers, on the old state."""
    params = some_params(jnp.float64)
    state, seen = row.build(**numbers_at(0)).init(params), []
    for t in range(STEPS):
        updates, state = row.build(**numbers_at(t)).update(gradients(params, t), state, params)
        seen.append(updates)
    return seen


def rebuilt(row: Row) -> list[Any]:
    usual, other = row.numbers, {**row.numbers, **other_numbers(row)}
    return walk(row, lambda t: usual if t < CHANGES_AT else other)


def assert_same_updates(ours: list[Any], theirs: list[Any]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12), mine, other)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("row", rows(lambda row: not row.looks_ahead))
def test_an_optimizer_rebuilt_with_other_numbers_on_the_old_state_is_one_with_a_schedule(row: Row) -> None:
    other = other_numbers(row)

    def schedule(name: str) -> Callable[[Any], Any]:
        return lambda step: jnp.where(step < CHANGES_AT, row.numbers[name], other[name])

    scheduled = {**row.numbers, **{name: schedule(name) for name in other}}
    assert_same_updates(rebuilt(row), walk(row, lambda t: scheduled))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("row", rows(lambda row: bool(row.looks_ahead)))
def test_rebuilt_on_the_old_state_a_method_that_looks_ahead_starts_from_where_its_old_numbers_put_it(row: Row) -> None:
    """From the change on the schedule says the new values, whatever step it is asked for: before it nobody knew them."""
    other = other_numbers(row)

    def numbers_at(t: int) -> Numbers:
        known = row.numbers if t < CHANGES_AT else {**row.numbers, **other}
        return {name: (lambda step, v=v: jnp.asarray(v)) if name in other else v for name, v in known.items()}

    assert_same_updates(rebuilt(row), walk(row, numbers_at))
