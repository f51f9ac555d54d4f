"""The contract: `hyperparameters` tells of every method what its next update takes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import numpy as np
import pytest
from contract_rows.row import Row
from contract_runs import a_matrix, every_build, every_row, gradients

import momentum_jax as mj

STEPS = 3


class AnotherState(NamedTuple):
    step: Any


def falling(value: float) -> Callable[[Any], Any]:
    """A schedule that is another at every step, and within what is allowed."""
    return lambda step: value * (1 - 0.01 * step)


def scheduled(row: Row) -> dict[str, Callable[[Any], Any]]:
    return {name: falling(value) for name, value in row.numbers.items() if name not in row.no_schedule}


def after(optimizer: Any, steps: int) -> Any:
    params = a_matrix()
    state = optimizer.init(params)
    for t in range(steps):
        _, state = optimizer.update(gradients(params, t), state, params)
    return state


def told_of(row: Row, optimizer: Any, state: Any) -> dict[str, Any]:
    """By the names of the row's numbers; a fallback's are not of the row."""
    found = mj.hyperparameters(optimizer, state)
    methods = {name: values for name, values in found.items() if not name.startswith("fallback/")}
    values: dict[str, Any] = {}
    for method in methods.values():
        assert method is not None
        assert not {*values} & {*method}
        values |= method
    names = {name: row.told.get(name, name) for name in row.numbers}
    return {name: values[told] for name, told in names.items() if told is not None}


@every_row
def test_numbers_are_told_as_they_were_given(row: Row) -> None:
    optimizer = row.build()
    told = told_of(row, optimizer, optimizer.init(a_matrix()))
    expected = {name: value for name, value in row.numbers.items() if name in told}
    chex.assert_trees_all_close({name: np.float64(value) for name, value in told.items()}, expected, rtol=1e-6)


@every_row
def test_schedules_are_told_at_the_step_of_the_next_update_under_jit_too(row: Row) -> None:
    optimizer = row.build(**scheduled(row))
    told = jax.jit(lambda state: told_of(row, optimizer, state))(after(optimizer, STEPS))
    expected = {name: falling(row.numbers[name])(STEPS) for name in told if name not in row.no_schedule}
    chex.assert_trees_all_close({name: np.float64(told[name]) for name in expected}, expected, rtol=1e-6)


@every_build
def test_the_next_update_is_that_of_the_values_told_and_of_no_step_beside(row: Row) -> None:
    optimizer = row.build(**scheduled(row))
    state, params = after(optimizer, STEPS), a_matrix()
    # What an update takes for the one behind it as well is left to its schedule.
    told = {name: value for name, value in told_of(row, optimizer, state).items() if name not in row.looks_ahead}

    def update(**constants: Any) -> Any:
        return row.build(**{**scheduled(row), **constants}).update(gradients(params, STEPS), state, params)[0]

    chex.assert_trees_all_close(update(**told), update(), rtol=1e-6)
    for beside in (STEPS - 1, STEPS + 1):
        others = {name: falling(row.numbers[name])(beside) for name in told if name in scheduled(row)}
        if others:
            with pytest.raises(AssertionError):
                chex.assert_trees_all_close(update(**others), update(), rtol=1e-6)


@every_row
def test_a_state_of_another_optimizer_is_refused_in_a_sentence(row: Row) -> None:
    optimizer = row.build()

    def is_ours(node: Any) -> bool:
        return hasattr(node, "reset_momentum")

    state = jax.tree.map(lambda node: AnotherState(0) if is_ours(node) else node, optimizer.init(a_matrix()), is_leaf=is_ours)
    for wrong in (state, (state,) * 9, AnotherState(0)):
        with pytest.raises(ValueError, match=r"^hyperparameters: opt_state must be that of the optimizer, whose \w+ keeps "):
            mj.hyperparameters(optimizer, wrong)
