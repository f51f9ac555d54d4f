"""The contract: dtypes of updates and states, and in which precision they are computed."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax
import pytest
from contract_rows.row import Row
from contract_runs import buffered_rows, every_build, every_row, gradients, run, some_params, types
from decays_of_averages import averages_of

KINDS, DTYPES = ("number", "array", "bfloat16", "schedule"), ("float16", "bfloat16", "float32", "complex64")
slow, exhaustive = pytest.mark.slow, pytest.mark.exhaustive
TELLING = {("number", "mixed"), ("array", "bfloat16"), ("schedule", "mixed"), ("bfloat16", "float16")}


@every_row
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        pytest.param(kind, dtype, marks=() if (kind, dtype) in TELLING else slow if dtype == "mixed" else exhaustive)
        for kind in KINDS
        for dtype in (*DTYPES, "mixed")
    ],
)
def test_a_state_goes_through_scan_and_updates_keep_the_dtype_of_their_parameter(row: Row, dtype: str, kind: str) -> None:
    leaves = {each: some_params(jnp.dtype(each))["layer"]["w"] for each in DTYPES}
    params = leaves if dtype == "mixed" else {"w": leaves[dtype], "scalar": leaves[dtype][0, 0]}
    wrap = {
        "number": lambda v: v,
        "array": jnp.float32,
        "bfloat16": lambda v: jnp.asarray(v * 0.99, jnp.bfloat16),
        "schedule": lambda v: lambda step: jnp.float32(v),
    }[kind]
    usual = {"schedule": row.no_schedule, "bfloat16": averages_of(row)}.get(kind, ())
    optimizer = row.build(**{n: wrap(v) for n, v in row.numbers.items() if n not in usual})

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
        *_, updates, state = jax.eval_shape(lambda: run(row.build(), some_params(jnp.dtype(dtype)), 2))
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
