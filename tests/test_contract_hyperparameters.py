"""The contract: what a hyperparameter may be, and of which step its schedule is read."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contract_rows import ROWS
from contract_rows.row import Row
from contract_runs import (
    every_build,
    every_number,
    every_schedulable_number,
    every_unschedulable_number,
    gradients,
    run,
    some_params,
    usual,
)

import momentum_jax as mj


@every_number
@pytest.mark.parametrize("kind", [pytest.param("numpy", marks=pytest.mark.slow), "array"])
def test_a_hyperparameter_is_a_number_or_an_array(row: Row, name: str, kind: str) -> None:
    given = {"numpy": np.float64, "array": jnp.asarray}[kind](row.numbers[name])
    chex.assert_trees_all_close(run(row.build(**{name: given}), some_params()), usual(row), rtol=2e-4, atol=1e-7)


@every_schedulable_number
def test_a_hyperparameter_may_be_a_schedule(row: Row, name: str) -> None:
    scheduled = row.build(**{name: lambda step: jnp.asarray(row.numbers[name])})
    chex.assert_trees_all_close(run(scheduled, some_params()), usual(row), rtol=2e-4, atol=1e-7)


@every_unschedulable_number
def test_a_schedule_of_what_takes_none_is_refused(row: Row, name: str) -> None:
    with pytest.raises(TypeError, match=name):
        row.build(**{name: lambda step: row.numbers[name]})


@every_build
def test_vmap_over_hyperparameters_equals_one_run_for_each_of_their_values(row: Row) -> None:
    names, usual = list(row.numbers), np.array(list(row.numbers.values()))
    # In every lane one of them differs from the usual.
    lanes = [usual]
    for i in range(len(names)):
        lanes += [np.where(np.arange(len(names)) == i, usual / by, usual) for by in (2, 50)]
    params = {"w": some_params()["layer"]["w"]}

    def go(values: Any) -> Any:
        return run(row.build(**dict(zip(names, values, strict=True))), params)

    together, alone = jax.jit(jax.vmap(go))(jnp.asarray(np.stack(lanes))), jax.jit(go)
    for i, values in enumerate(lanes):
        expected = alone(jnp.asarray(values))
        chex.assert_trees_all_close(jax.tree.map(lambda x: x[i], together), expected, rtol=1e-4, atol=1e-6)  # noqa: B023


@every_schedulable_number
def test_the_first_update_sees_step_zero_of_a_schedule(row: Row, name: str) -> None:
    here, later = row.numbers[name], row.numbers[name] / 3
    known = 1 if name in row.looks_ahead else 0
    scheduled = row.build(**{name: lambda step: jnp.where(step <= known, here, later)})
    params = some_params()
    constant, changed = usual(row, 8), run(scheduled, params, 8)
    chex.assert_trees_all_close(changed[0], constant[0], rtol=3e-5)
    constant, changed = constant[-2], changed[-2]
    if name != "eps":
        with pytest.raises(AssertionError):
            chex.assert_trees_all_close(constant, changed, rtol=1e-4)


# State spaces are scheduled matrices, with messages of their own.
@pytest.mark.parametrize(
    ("row", "name"),
    [
        pytest.param(row, name, id=f"{row.id}-{name}")
        for row in ROWS
        for name in row.numbers
        if name not in row.no_schedule and row.file != "state_space_momentum"
    ],
)
def test_a_schedule_that_gives_no_real_number_is_refused_where_it_is_read(row: Row, name: str) -> None:
    who = r"\w+: the schedule of \w+(\[\d\])?" if row.wraps else f"{row.id.split('-')[0]}: the schedule of {name}"
    params = some_params()
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
