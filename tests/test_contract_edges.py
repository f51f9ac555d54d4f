"""The contract at its edges: what the state says decides, not how a number was given."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from contract_rows import ROWS, constructor_of, rows
from contract_rows.row import Row
from contract_runs import gradients, some_params

import momentum_jax as mj

CHANGES_AT, STEPS = 2, 4

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


def steps_around_a_stop(optimizer: Any, gradients: int, after: int, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of the steps while gradients of 1 come, and after they have stopped."""
    one = jnp.ones(1, dtype)

    def step(state: Any, t: jax.Array) -> tuple[Any, jax.Array]:
        updates, state = optimizer.update(jnp.where(t < gradients, one, 0), state, one)
        return state, jnp.abs(updates[0])

    _, lengths = jax.lax.scan(step, optimizer.init(one), jnp.arange(gradients + after))
    return np.asarray(lengths[:gradients]), np.asarray(lengths[gradients:])


# Longest step after 100 gradients, how many steps after the last of them, and the factor between two steps.
GROWING = {
    "adam": (mj.adam(1.0, 0.99, 0.95), 2.382e4, 735, 0.99),
    "adamw": (mj.adamw(1.0, 0.99, 0.95, weight_decay=0.0), 2.382e4, 735, 0.99),
    "nadam": (mj.nadam(1.0, 0.99, 0.95), 1.329e4, 736, 0.99),
    "adan": (mj.adan(1.0, b1=0.99, b3=0.95), 2.361e4, 736, 0.99),
    "adan, differences": (mj.adan(1.0, b1=0.5, b2=0.99, b3=0.95), 372.0, 736, 0.99),
    "quasi_hyperbolic_adam": (mj.quasi_hyperbolic_adam(1.0, 0.99, 0.95), 1.667e4, 735, 0.99),
    "mars": (mj.mars(1.0, 0.99, 0.95), 2.320e4, 736, 0.99),
    "simplified_ademamix": (mj.simplified_ademamix(1e-5), 23.81, 735, 0.99),
    "ademamix": (mj.ademamix(1.0, b2=0.95, b3=0.99), 1.191e5, 735, 0.99),
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize(("optimizer", "longest", "steps", "decay"), GROWING.values(), ids=GROWING.keys())
def test_with_a_first_decay_above_the_root_of_the_second_steps_grow_after_the_gradients_have_stopped(
    optimizer: Any, longest: float, steps: int, decay: float, dtype: Any, x64: None
) -> None:
    before, after = steps_around_a_stop(optimizer, 100, 1200, dtype)
    np.testing.assert_allclose(after[301:450] / after[300:449], decay / 0.95**0.5, rtol=1e-3)
    np.testing.assert_allclose(after.max(), longest, rtol=5e-3)
    assert after.argmax() + 1 == pytest.approx(steps, abs=1)
    assert after.max() > 100 * before.max()


def test_ademamix_grows_at_its_own_defaults(x64: None) -> None:
    before, after = steps_around_a_stop(mj.ademamix(1.0), 1000, 45_000, jnp.float64)
    np.testing.assert_allclose(after.max(), 7.6e5, rtol=5e-3)
    assert after.argmax() + 1 == pytest.approx(39_137, abs=1)
    assert before.max() < 2


SHRINKING = {
    "adam": mj.adam(1.0),
    "adam, amsgrad": mj.adam(1.0, 0.99, 0.95, amsgrad=True),
    "nadam": mj.nadam(1.0),
    "adan": mj.adan(1.0),
    "quasi_hyperbolic_adam": mj.quasi_hyperbolic_adam(1.0),
    "mars": mj.mars(1.0),
    "laprop": mj.laprop(1.0, 0.99, 0.95),
    "rmsprop with momentum": mj.rmsprop(1.0, 0.9, momentum=0.99),
    "simplified_ademamix": mj.simplified_ademamix(1.0, 0.97, 0.95),
    "ademamix": mj.ademamix(1.0, b3=0.9995),
}


@pytest.mark.parametrize("optimizer", SHRINKING.values(), ids=SHRINKING.keys())
def test_otherwise_no_step_is_longer_once_the_gradients_have_stopped(optimizer: Any) -> None:
    before, after = steps_around_a_stop(optimizer, 100, 2000, jnp.float32)
    assert after.max() <= before.max()


CONDITIONAL = {
    "apply_if_finite": lambda optimizer: optax.apply_if_finite(optimizer, 3),
    "conditionally_mask": lambda optimizer: optax.conditionally_mask(optimizer, lambda step: step % 2 == 0),
    "conditionally_transform": lambda optimizer: optax.conditionally_transform(optimizer, lambda step: step % 2 == 0),
}


@pytest.mark.parametrize("make", [lambda: mj.heavy_ball(0.1), lambda: mj.adam(0.1)], ids=["heavy_ball", "adam"])
@pytest.mark.parametrize("wrap", CONDITIONAL.values(), ids=CONDITIONAL.keys())
def test_what_optax_applies_on_a_condition_needs_gradients_of_the_dtype_of_their_updates(wrap: Any, make: Any) -> None:
    params, wide = {"w": jnp.ones(3, jnp.bfloat16)}, {"w": jnp.full(3, 0.3, jnp.float32)}
    optimizer = wrap(make())
    state = optimizer.init(params)
    with pytest.raises(TypeError, match="cond branches must have equal output types"):
        optimizer.update(wide, state, params)
    narrow = optax.tree.cast_like(wide, params)
    expected, _ = make().update(narrow, make().init(params), params)
    cast, _ = optimizer.update(narrow, state, params)
    np.testing.assert_array_equal(cast["w"], expected["w"])
    alone, after = optimizer.update(wide, state)
    assert alone["w"].dtype == jnp.float32
    assert jax.tree.map(lambda x: x.dtype, after) == jax.tree.map(lambda x: x.dtype, state)
    np.testing.assert_allclose(alone["w"], np.asarray(cast["w"], np.float32), rtol=1e-2)


def test_the_files_of_the_methods_whose_steps_grow_say_so() -> None:
    docstrings = {row.file: inspect.getdoc(constructor_of(row.file)) or "" for row in ROWS}
    files = {file for file, docstring in docstrings.items() if "\nSharp edge: " in docstring}
    assert files == {"adam", "nadam", "adan", "quasi_hyperbolic_adam", "mars", "simplified_ademamix", "ademamix"}
