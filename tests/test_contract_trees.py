"""The contract: trees of parameters and gradients, and what is said of those that do not fit."""

import inspect
from dataclasses import dataclass
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from contract_rows import constructor_of, rows
from contract_rows.row import Row
from contract_runs import every_row, gradients, some_params, types

import momentum_jax as mj


@every_row
def test_leaves_that_are_not_inexact_get_no_buffer_and_a_zero_update_of_their_own_dtype(row: Row) -> None:
    params = {"w": jnp.ones((2, 3)), "table": jnp.arange(4), "mask": jnp.ones(2, bool)}
    optimizer = row.build()
    state = optimizer.init(params)
    assert all(leaf.shape in ((2, 3), (), *row.other_shapes) for leaf in jax.tree.leaves(state))
    g = jax.grad(lambda p: jnp.sum(p["w"] ** 2), allow_int=True)(params)
    assert g["table"].dtype == jax.dtypes.float0
    updates, after = optimizer.update(g, state, params)
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
    "empty": {},
    "empty tuple": (),
    "a bare array": jnp.ones((2, 2)),
    "a bare scalar": jnp.asarray(1.0),
    "nested, with holes, without entries, of NumPy": [
        {"a": (jnp.ones(1), [np.ones(2, np.float32)]), "none": None},
        (jnp.ones(()), optax.MaskedNode()),
        jnp.zeros((0, 3)),
    ],
}


@every_row
@pytest.mark.parametrize("tree", TREES)
def test_every_tree_of_parameters_is_taken(row: Row, tree: str) -> None:
    params = TREES[tree]
    optimizer = row.build()
    state = jax.eval_shape(optimizer.init, params)
    updates, after = jax.eval_shape(optimizer.update, params, state, params)
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
@pytest.mark.parametrize("misfit", MISFITS)
def test_a_gradient_that_does_not_fit_is_refused_by_the_name_of_its_leaf(row: Row, misfit: str) -> None:
    g, params, message = MISFITS[misfit]
    optimizer = row.build()
    state = optimizer.init(params)
    with pytest.raises(ValueError, match=message):
        optimizer.update(g, state, params)


# The others have nothing to compare with; a partition compares its own masks first.
@pytest.mark.parametrize("row", rows(lambda row: row.buffered and not row.needs_params and not row.wraps))
@pytest.mark.parametrize("misfit", MISFITS)
def test_a_gradient_that_does_not_fit_the_state_is_refused_by_the_name_of_its_leaf(row: Row, misfit: str) -> None:
    g, params, message = MISFITS[misfit]
    optimizer = row.build()
    state = optimizer.init(params)
    with pytest.raises(ValueError, match=message):
        optimizer.update(g, state)


@pytest.mark.parametrize("row", rows(lambda row: not row.wraps))
def test_the_listing_says_that_the_iterate_is_to_be_read_where_the_parameters_are_another_point(row: Row) -> None:
    optimizer, params = row.build(), some_params()
    state = optimizer.init(params)
    for t in range(3):
        updates, state = optimizer.update(gradients(params, t), state, params)
        params = optax.apply_updates(params, updates)
    read = jax.tree.leaves(mj.evaluation_params(params, state))
    shifted = any(not jnp.array_equal(a, b) for a, b in zip(read, jax.tree.leaves(params), strict=True))
    about = inspect.getdoc(constructor_of(row.file)) or ""
    sometimes = row.structure.get("nesterov", False) and "evaluation_params with Nesterov." in about
    assert ("Needs: evaluation_params, to read the iterate." in about or sometimes) == shifted


@pytest.mark.parametrize("make", [mj.muon, mj.normuon])
def test_without_weight_decay_the_matrix_methods_need_no_parameters(make: Any) -> None:
    tree = {"w": jnp.eye(3, 4), "b": jnp.ones(3)}
    optimizer = make(0.1)
    updates, _ = optimizer.update(tree, optimizer.init(tree))
    assert all(leaf.any() for leaf in jax.tree.leaves(updates))
    with pytest.raises(ValueError, match="needs the parameters"):
        make(0.1, weight_decay=0.1).update(tree, optimizer.init(tree))


@every_row
def test_fields_named_value_are_leaves_of_their_own(row: Row) -> None:
    @jax.tree_util.register_dataclass
    @dataclass
    class Pair:
        value: jax.Array
        raw_value: jax.Array

    optimizer = row.build()
    params = Pair(jnp.ones(2), jnp.zeros(3))
    updates, _ = optimizer.update(Pair(jnp.ones(2), jnp.ones(3)), optimizer.init(params), params)
    assert (updates.value.shape, updates.raw_value.shape) == ((2,), (3,))
    with pytest.raises(
        ValueError, match=r"leaf \.raw_value of the gradient is float32 of shape \(2,\), but in .* shape \(3,\)"
    ):
        optimizer.update(Pair(jnp.ones(2), jnp.ones(2)), optimizer.init(params), params)


@every_row
def test_a_complex_gradient_of_a_real_parameter_is_refused_by_name(row: Row) -> None:
    optimizer = row.build()
    params = {"w": jnp.ones(2)}
    with pytest.raises(ValueError, match=r": leaf \['w'\] of the gradient must be real as its parameter is, got complex64"):
        optimizer.update({"w": jnp.ones(2, jnp.complex64)}, optimizer.init(params), params)


def test_errors_of_an_update_name_the_optimizer_that_the_user_called() -> None:
    for who in ("heavy_ball", "nesterov", "sgd", "adam", "rmsprop", "scale_by_adam"):
        optimizer = getattr(mj, who)(0.1)
        state = optimizer.init({"w": jnp.ones(2)})
        for gradient in ({"w": jnp.ones(3)}, {"v": jnp.ones(2)}, {"w": jnp.ones(2, jnp.complex64)}):
            with pytest.raises(ValueError, match=f"^{who}: leaf "):
                optimizer.update(gradient, state)
