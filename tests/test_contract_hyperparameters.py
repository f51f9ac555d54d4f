"""The contract: what a hyperparameter may be, and of which step its schedule is read."""

from collections.abc import Callable, Iterable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contract_rows.row import Row
from contract_runs import (
    a_matrix,
    every_build,
    every_number,
    every_row,
    every_schedulable_number,
    every_unschedulable_number,
    gradients,
    numbers,
    run,
    some_params,
    usual,
)

import momentum_jax as mj

KINDS: dict[str, Callable[[float], Any]] = {
    "numpy": np.float64,
    "array": jnp.asarray,
    # Where nothing is traced it may look at the number of its step.
    "schedule": lambda value: lambda step: jnp.asarray(value) if step < 100 else None,
}
every_kind = pytest.mark.parametrize("kind", [pytest.param("numpy", marks=pytest.mark.slow), "array", "schedule"])


def given(row: Row, names: Iterable[str], kind: str) -> dict[str, Any]:
    return {name: KINDS[kind](row.numbers[name]) for name in names if kind != "schedule" or name not in row.no_schedule}


@every_row
@every_kind
def test_hyperparameters_are_numbers_or_arrays_or_schedules(row: Row, kind: str) -> None:
    built = row.build(**given(row, row.numbers, kind))
    chex.assert_trees_all_close(run(built, some_params()), usual(row), rtol=2e-4, atol=1e-7)


@pytest.mark.slow
@every_number
@every_kind
def test_each_hyperparameter_alone_is_a_number_or_an_array_or_a_schedule(row: Row, name: str, kind: str) -> None:
    built = row.build(**given(row, [name], kind))
    chex.assert_trees_all_close(run(built, some_params()), usual(row), rtol=2e-4, atol=1e-7)


@every_unschedulable_number
def test_a_schedule_of_what_takes_none_is_refused(row: Row, name: str) -> None:
    with pytest.raises(TypeError, match=name):
        row.build(**{name: lambda step: row.numbers[name]})


@every_build
def test_vmap_over_hyperparameters_equals_one_run_for_each_of_their_values(row: Row) -> None:
    names, values = list(row.numbers), np.array(list(row.numbers.values()))
    # In every lane one of them differs from the usual.
    lanes = [values]
    for i in range(len(names)):
        lanes += [np.where(np.arange(len(names)) == i, values / by, values) for by in (2, 50)]

    @jax.jit
    @jax.vmap
    def go(values: Any) -> Any:
        return run(row.build(**dict(zip(names, values, strict=True))), a_matrix(), 2)

    def lane(found: Any, i: int) -> Any:
        return jax.tree.map(lambda x: np.asarray(x)[i], found)

    together = go(jnp.asarray(np.stack(lanes)))
    chex.assert_trees_all_close(lane(together, 0), run(row.build(), a_matrix(), 2), rtol=1e-4, atol=1e-6)
    for i, one in enumerate(lanes):
        alone = go(jnp.asarray(np.stack([one] * len(lanes))))
        chex.assert_trees_all_close(lane(together, i), lane(alone, i), rtol=1e-4, atol=1e-6)


@every_schedulable_number
def test_the_first_update_sees_step_zero_of_a_schedule(row: Row, name: str) -> None:
    here, later = row.numbers[name], row.numbers[name] / 3
    known = 1 if name in row.looks_ahead else 0
    scheduled = row.build(**{name: lambda step: here if step <= known else later})
    first, *_, last, _ = run(scheduled, some_params())
    expected, *_, constant, _ = usual(row)
    chex.assert_trees_all_close(first, expected, rtol=3e-5)
    if name != "eps":
        with pytest.raises(AssertionError):
            chex.assert_trees_all_close(last, constant, rtol=1e-4)


# State spaces are scheduled matrices, with messages of their own.
@numbers(lambda row, name: name not in row.no_schedule and row.file != "state_space_momentum")
def test_a_schedule_that_gives_no_real_number_is_refused_where_it_is_read(row: Row, name: str) -> None:
    who = r"\w+: the schedule of \w+(\[\d\])?" if row.wraps else f"{row.id.split('-')[0]}: the schedule of {name}"
    params = a_matrix()
    for value, found in [
        (jnp.zeros(3), r"an array of float32\[3\]"),  # broadcasts against every leaf of the parameters
        (jnp.asarray(True), r"an array of bool\[\]"),
        (None, r"None \(NoneType\)"),
    ]:
        optimizer = row.build(**{name: lambda step: value})  # noqa: B023
        with pytest.raises(TypeError, match=rf"^{who} must return a real number or a 0-d array, got {found}\.$"):
            optimizer.update(gradients(params, 0), optimizer.init(params), params)


def test_the_check_of_a_schedule_reads_shapes_alone_so_that_it_costs_nothing_once_compiled() -> None:
    params = some_params()

    def program(learning_rate: Any) -> str:
        optimizer = mj.scale_by_learning_rate(learning_rate)
        return str(jax.make_jaxpr(optimizer.update)(gradients(params, 0), optimizer.init(params), params))

    assert program(lambda step: 0.1) == program(0.1)


@pytest.mark.parametrize("value", [0.1, 1, np.float64(0.1), np.asarray(0.1), jnp.float32(0.1), jnp.asarray(0.1, jnp.bfloat16)])
def test_a_schedule_may_give_what_a_constant_may_be(value: Any) -> None:
    chex.assert_trees_all_close(
        run(mj.heavy_ball(lambda step: value), some_params()), run(mj.heavy_ball(value), some_params()), rtol=1e-6
    )


def test_products_of_decays_do_not_lose_the_first_step_to_float32() -> None:
    params = {"w": jnp.asarray(1.0)}
    optimizer = mj.ema_momentum(1.0, 0.999, debias=True)
    updates, _ = optimizer.update({"w": jnp.asarray(1.0)}, optimizer.init(params), params)
    np.testing.assert_allclose(updates["w"], -1.0, rtol=5e-7)


@pytest.mark.parametrize("zero", [0, jnp.asarray(0.0), lambda step: 0.0], ids=["number", "array", "schedule"])
def test_a_decay_of_zero_is_corrected_by_one(zero: Any) -> None:
    params = some_params()
    optimizer = mj.ema_momentum(1.0, zero, debias=True)
    updates = run(optimizer, params)[2]
    chex.assert_trees_all_close(updates, jax.tree.map(jnp.negative, gradients(params, 2)), rtol=1e-6)
