"""The contract that every optimizer keeps, row by row: hyperparameters, dtypes, trees, compilation, validation.

What it keeps in the company of other libraries is in test_contract_company.py, that it minimises in test_contract_descent.py.
"""

import functools
import importlib
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from contract_rows import ROWS, Row, marks, rows

import momentum_jax as mj

every_row = pytest.mark.parametrize("row", rows())
every_build = pytest.mark.parametrize("row", rows(unlike=True))
buffered_rows = pytest.mark.parametrize("row", rows(lambda row: row.buffered))
every_number = pytest.mark.parametrize(
    ("row", "name"),
    [pytest.param(row, name, id=f"{row.id}-{name}", marks=marks(row)) for row in ROWS for name in row.numbers],
)


def some_params(dtype: Any = jnp.float32) -> dict[str, Any]:
    w = jnp.linspace(-1.0, 2.0, 6).reshape(2, 3).astype(dtype)
    if jnp.issubdtype(dtype, jnp.complexfloating):
        w = w * (1 + 0.5j)
    return {"layer": {"w": w.astype(dtype), "b": jnp.full((3,), 0.3, dtype)}, "scalar": jnp.asarray(0.7, dtype)}


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


@every_number
@pytest.mark.parametrize("kind", [pytest.param("numpy", marks=pytest.mark.slow), "array", "schedule"])
def test_a_hyperparameter_is_a_number_an_array_or_a_schedule(row: Row, name: str, kind: str) -> None:
    value = row.numbers[name]
    if kind == "schedule" and name in row.no_schedule:
        with pytest.raises(TypeError, match=name):
            row.build(**{name: lambda step: value})
        return
    given = {"numpy": np.float64(value), "array": jnp.asarray(value), "schedule": lambda step: jnp.asarray(value)}[kind]
    chex.assert_trees_all_close(run(row.build(**{name: given}), some_params()), usual(row), rtol=2e-4, atol=1e-7)


@every_build
def test_vmap_over_hyperparameters_equals_one_run_for_each_of_their_values(row: Row) -> None:
    names, usual = list(row.numbers), np.array(list(row.numbers.values()))
    # In every lane one of them differs from the usual.
    lanes = [usual]
    for i in range(len(names)):
        lanes += [np.where(np.arange(len(names)) == i, usual / by, usual) for by in (2, 50)]
    params = some_params()

    def go(values: Any) -> Any:
        return run(row.build(**dict(zip(names, values, strict=True))), params)

    together = jax.jit(jax.vmap(go))(jnp.asarray(np.stack(lanes)))
    for i, values in enumerate(lanes):
        chex.assert_trees_all_close(jax.tree.map(lambda x: x[i], together), go(jnp.asarray(values)), rtol=1e-4, atol=1e-6)  # noqa: B023


@every_number
def test_the_first_update_sees_step_zero_of_a_schedule(row: Row, name: str) -> None:
    if name in row.no_schedule:
        return
    here, later = row.numbers[name], row.numbers[name] / 3
    known = 1 if name in row.looks_ahead else 0
    scheduled = row.build(**{name: lambda step: jnp.where(step <= known, here, later)})
    params = some_params()
    constant, changed = usual(row, 8), run(scheduled, params, 8)
    chex.assert_trees_all_close(changed[0], constant[0], rtol=1e-5)
    constant, changed = constant[-2], changed[-2]
    if name != "eps":
        with pytest.raises(AssertionError):
            chex.assert_trees_all_close(constant, changed, rtol=1e-4)


KINDS, DTYPES = ("number", "array", "bfloat16", "schedule"), ("float16", "bfloat16", "float32", "complex64")
TELLING = {
    ("number", "float32"),
    ("array", "bfloat16"),
    ("schedule", "bfloat16"),
    ("bfloat16", "float16"),
    ("schedule", "complex64"),
}


@every_row
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        pytest.param(kind, dtype, marks=() if (kind, dtype) in TELLING else pytest.mark.slow)
        for kind in KINDS
        for dtype in DTYPES
    ],
)
def test_a_state_goes_through_scan_and_updates_keep_the_dtype_of_their_parameter(row: Row, dtype: str, kind: str) -> None:
    params = some_params(jnp.dtype(dtype))
    wrap = {
        "number": lambda v: v,
        "array": jnp.float32,
        "bfloat16": lambda v: jnp.asarray(v * 0.99, jnp.bfloat16),
        "schedule": lambda v: lambda step: jnp.float32(v),
    }[kind]
    optimizer = row.build(**{n: wrap(v) for n, v in row.numbers.items() if kind != "schedule" or n not in row.no_schedule})

    def step(carry: Any, t: Any) -> Any:
        params, state = carry
        updates, state = optimizer.update(gradients(params, 1), state, params)
        assert types(updates) == types(params)
        return (optax.apply_updates(params, updates), state), t

    state = optimizer.init(params)
    (_, after), _ = jax.eval_shape(lambda: jax.lax.scan(step, (params, state), jnp.arange(3)))
    assert types(after) == types(jax.eval_shape(lambda: state))


@every_build
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_wide_leaves_make_wide_states(row: Row, dtype: str) -> None:
    with jax.enable_x64(True):
        *_, updates, state = run(row.build(), some_params(jnp.dtype(dtype)))
        for leaf in jax.tree.leaves(state):
            assert leaf.dtype == jnp.int32 or jnp.finfo(leaf.dtype).bits == 64
        assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {jnp.dtype(dtype)}


@every_row
def test_sixteen_bit_arithmetic_is_float32_and_is_rounded_once(row: Row) -> None:
    params = some_params(jnp.bfloat16)
    wide = jax.tree.map(lambda p: p.astype(jnp.float32), params)
    g = gradients(params, 0)
    optimizer = row.build()
    narrow, _ = optimizer.update(g, optimizer.init(params), params)
    exact, _ = optimizer.update(jax.tree.map(lambda x: x.astype(jnp.float32), g), optimizer.init(wide), wide)
    chex.assert_trees_all_equal(narrow, jax.tree.map(lambda x: x.astype(jnp.bfloat16), exact))


@buffered_rows
def test_by_default_averages_of_sixteen_bit_leaves_are_float32_and_velocities_follow_the_parameter(row: Row) -> None:
    state = row.build().init(some_params(jnp.bfloat16))
    kinds = {}
    for path, leaf in jax.tree.leaves_with_path(state):
        fields = [key.name for key in path if hasattr(key, "name")]
        kinds[next((f for f in reversed(fields) if f not in ("inner_state", "inner_states")), "")] = leaf.dtype
    follow = ("velocity", "previous_params")
    for field, dtype in kinds.items():
        expected = jnp.int32 if "step" in field else jnp.bfloat16 if field in follow else jnp.float32
        assert dtype == expected, field


@buffered_rows
@pytest.mark.parametrize(
    ("accumulator", "leaf", "expected"),
    [
        ("bfloat16", "float32", "bfloat16"),
        ("float32", "bfloat16", "float32"),
        ("float32", "complex64", "complex64"),
        ("complex64", "float32", "float32"),
    ],
)
def test_accumulator_dtype_sets_the_precision_of_every_buffer(row: Row, accumulator: str, leaf: str, expected: str) -> None:
    params = {"w": jnp.ones((2, 3), leaf)}
    state = row.build(accumulator_dtype=accumulator).init(params)
    copies = ".previous_params"
    paths = jax.tree.leaves_with_path(state)
    paths = [(path, x) for path, x in paths if copies not in jax.tree_util.keystr(path)]
    buffers = [x for _, x in paths if x.ndim and x.shape not in row.other_shapes]
    assert buffers
    allowed = {jnp.dtype(expected), jnp.finfo(expected).dtype}
    assert {b.dtype for b in buffers} <= allowed


@buffered_rows
@pytest.mark.parametrize("dtype", [jnp.int8, bool, "a word"])
def test_an_accumulator_dtype_that_is_not_floating_is_refused(row: Row, dtype: Any) -> None:
    with pytest.raises(TypeError, match="accumulator_dtype must be a floating dtype or None"):
        row.build(accumulator_dtype=dtype)


@buffered_rows
def test_a_float64_accumulator_without_64_bit_jax_is_refused_rather_than_narrowed(row: Row) -> None:
    with pytest.raises(ValueError, match="accumulator_dtype float64 needs 64-bit JAX: set jax_enable_x64"):
        row.build(accumulator_dtype="float64")


@every_row
def test_second_moments_of_complex_leaves_are_real(row: Row) -> None:
    state = row.build().init(some_params(jnp.complex64))
    for path, leaf in jax.tree.leaves_with_path(state):
        if any(
            getattr(key, "name", "") in ("second_moment", "max_second_moment", "sum_of_squares", "squared_update")
            for key in path
        ):
            assert leaf.dtype == jnp.float32


@every_row
def test_leaves_that_are_not_inexact_get_no_buffer_and_a_zero_update_of_their_own_dtype(row: Row) -> None:
    params = {"w": jnp.ones((2, 3)), "table": jnp.arange(4), "mask": jnp.ones(2, bool)}
    optimizer = row.build()
    state = optimizer.init(params)
    assert all(leaf.shape in ((2, 3), (), *row.other_shapes) for leaf in jax.tree.leaves(state))
    g = jax.grad(lambda p: jnp.sum(p["w"] ** 2), allow_int=True)(params)
    assert g["table"].dtype == jax.dtypes.float0
    updates, after = jax.jit(optimizer.update)(g, state, params)
    assert updates["table"].dtype == jnp.int32
    assert not np.any(updates["table"])
    assert updates["mask"].dtype == jnp.bool
    assert not np.any(updates["mask"])
    assert types(after) == types(state)
    moved = optax.apply_updates(params, updates)
    np.testing.assert_array_equal(moved["table"], params["table"])
    if not row.needs_params:
        ints = {"w": g["w"], "table": jnp.ones(4, jnp.int32), "mask": g["mask"]}
        updates, _ = optimizer.update(ints, state)
        assert updates["table"].dtype == jnp.int32
        assert not np.any(updates["table"])


TREES = {
    "none leaves": {"a": jnp.ones(2), "b": None},
    "masked": {"a": jnp.ones(2), "b": optax.MaskedNode()},
    "empty": {},
    "empty tuple": (),
    "a bare array": jnp.ones((2, 2)),
    "a bare scalar": jnp.asarray(1.0),
    "zero size": {"a": jnp.zeros((0, 3)), "b": jnp.ones(1)},
    "nested": [{"a": (jnp.ones(1), [jnp.ones(2)])}, (jnp.ones(()),)],
    "a numpy array": {"a": np.ones(3, np.float32)},
}


@every_row
@pytest.mark.parametrize("tree", TREES)
def test_every_tree_of_parameters_is_taken(row: Row, tree: str) -> None:
    params = TREES[tree]
    optimizer = row.build()
    state = optimizer.init(params)
    updates, after = optimizer.update(jax.tree.map(lambda p: 0.5 * p, params), state, params)
    assert jax.tree.structure(updates) == jax.tree.structure(params)
    assert types(after) == types(state)
    chex.assert_trees_all_equal_shapes(updates, params)


MISFITS = {
    "a wrong shape": ({"w": jnp.ones((2, 3))}, {"w": jnp.ones((3,))}, r"\['w'\].*\(2, 3\).*\(3,\)"),
    "a scalar for a vector": ({"w": jnp.ones(())}, {"w": jnp.ones((1,))}, r"\['w'\].*\(\).*\(1,\)"),
    "a leaf too many": ({"w": jnp.ones(1), "x": jnp.ones(1)}, {"w": jnp.ones(1)}, r"\['x'\]"),
    "a leaf too few": ({"w": jnp.ones(1)}, {"w": jnp.ones(1), "y": jnp.ones(1)}, r"\['y'\]"),
    "none for an array": ({"w": None}, {"w": jnp.ones(1)}, r"\['w'\].*None"),
    "an array for none": ({"w": jnp.ones(1)}, {"w": None}, r"\['w'\].*None"),
}


@every_row
@pytest.mark.parametrize("with_params", [True, False])
@pytest.mark.parametrize("misfit", MISFITS)
def test_a_gradient_that_does_not_fit_is_refused_by_the_name_of_its_leaf(row: Row, misfit: str, with_params: bool) -> None:
    g, params, message = MISFITS[misfit]
    if not with_params and (row.needs_params or not row.buffered or row.wraps):
        return  # nothing there to compare with; a partition compares its own masks first
    optimizer = row.build()
    state = optimizer.init(params)
    with pytest.raises(ValueError, match=message):
        optimizer.update(g, state, params if with_params else None)


@every_row
def test_one_trace_serves_all_calls_weakly_typed_parameters_included(row: Row) -> None:
    for params in (some_params(), {"w": jnp.asarray(1.0)}):
        chex.clear_trace_counter()
        optimizer = row.build(**{n: jnp.asarray(v) for n, v in row.numbers.items()})
        update = jax.jit(chex.assert_max_traces(optimizer.update, n=1))
        g = gradients(params, 0)
        state = optimizer.init(params)
        for _ in range(3):
            _, state = update(g, state, params)


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
        for _ in range(3):
            _, state = optimizer.update(g, state, params)
            assert types(state) == first
        assert COMPILATIONS[0] == before
    jax.jit(lambda x: x + row.id.__hash__() % 7)(jnp.ones(3)).block_until_ready()
    assert COMPILATIONS[0] > before, "the counter counts nothing"


@every_build
def test_donated_parameters_and_state_give_the_same_numbers(row: Row) -> None:
    optimizer = row.build()

    def step(params: Any, state: Any) -> Any:
        updates, state = optimizer.update(gradients(params, 0), state, params)
        return optax.apply_updates(params, updates), state

    def three(step: Any) -> Any:
        params = jax.tree.map(jnp.copy, some_params())
        state = optimizer.init(params)
        for _ in range(3):
            params, state = step(params, state)
        return params, state

    chex.assert_trees_all_close(three(jax.jit(step, donate_argnums=(0, 1))), three(jax.jit(step)))


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
    for _ in range(3):
        updates, state = optimizer.update(jax.tree.map(jnp.zeros_like, params), state, params)
        chex.assert_tree_all_finite(updates)


@every_build
@pytest.mark.parametrize("dtype", ["float32", pytest.param("complex64", marks=pytest.mark.slow)])
def test_the_derivative_through_updates_is_finite_also_where_a_gradient_is_zero(row: Row, dtype: str) -> None:
    params = {"w": jnp.asarray([0.0, 1.0, -2.0], dtype)}

    def after(params: Any, numbers: Any) -> Any:
        optimizer = row.build(**numbers)
        state, moved = optimizer.init(params), params
        for scale in (1.0, 0.0, 2.0):
            updates, state = optimizer.update(jax.tree.map(lambda p: scale * p, moved), state, moved)  # noqa: B023
            moved = optax.apply_updates(moved, updates)
        return jnp.sum(jnp.abs(moved["w"] - 5))

    numbers = {n: jnp.asarray(v) for n, v in row.numbers.items()}
    derivatives = jax.grad(after, argnums=(0, 1))(params, numbers)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(derivatives))


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


@pytest.mark.parametrize("row", rows(lambda row: not row.wraps))
def test_the_listing_says_that_the_iterate_is_to_be_read_where_the_parameters_are_another_point(row: Row) -> None:
    optimizer, params = row.build(), some_params()
    state = optimizer.init(params)
    for t in range(3):
        updates, state = optimizer.update(gradients(params, t), state, params)
        params = optax.apply_updates(params, updates)
    read = jax.tree.leaves(mj.evaluation_params(params, state))
    shifted = any(not jnp.array_equal(a, b) for a, b in zip(read, jax.tree.leaves(params), strict=True))
    about = importlib.import_module(f"momentum_jax.optimizers.{row.file}").__doc__
    assert ("Needs: evaluation_params, to read the iterate." in about) == shifted


@pytest.mark.parametrize("make", [mj.muon, mj.normuon])
def test_without_weight_decay_the_matrix_methods_need_no_parameters(make: Any) -> None:
    tree = {"w": jnp.eye(3, 4), "b": jnp.ones(3)}
    optimizer = make(0.1)
    updates, _ = optimizer.update(tree, optimizer.init(tree))
    assert all(leaf.any() for leaf in jax.tree.leaves(updates))
    with pytest.raises(ValueError, match="needs the parameters"):
        make(0.1, weight_decay=0.1).update(tree, optimizer.init(tree))
