"""The contract at the ends of float32: finite gradients of any size move what normalises them as they do in float64."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from contract_rows import rows
from contract_rows.row import Row

import momentum_jax as mj

MATRIX = np.asarray([[3.0, 4.0], [1.0, 2.0]])
NORMALISING = ("normalized_momentum", "nigt", "lars", "muon", "normuon")
SECOND_MOMENTS = (
    "rmsprop", "adagrad", "adadelta", "adam", "adamw", "quasi_hyperbolic_adam", "nadam", "adan", "laprop", "ademamix",
    "simplified_ademamix",
)  # fmt: skip


def walk(optimizer: Any, dtype: str, gradients: list[np.ndarray], of_params: float = 1.0) -> list[np.ndarray]:
    params = {"w": jnp.asarray(of_params * MATRIX[::-1], dtype)}
    state, seen = optimizer.init(params), []
    for g in gradients:
        updates, state = optimizer.update({"w": jnp.asarray(g, dtype)}, state, params)
        seen.append(np.asarray(updates["w"], np.float64))
    return seen


@pytest.mark.parametrize("size", [1e20, 1e30, 1e-22])
@pytest.mark.parametrize("row", rows(lambda row: row.id in NORMALISING))
def test_a_gradient_of_any_size_is_normalised_as_in_float64(row: Row, size: float) -> None:
    def optimizer() -> Any:
        return row.build(eps=0.0, **({"weight_decay": 0.0} if "weight_decay" in row.numbers else {}))

    gradients = [size * MATRIX, size * MATRIX.T, -0.5 * size * MATRIX]
    narrow = walk(optimizer(), "float32", gradients)
    with jax.enable_x64(True):
        exact = walk(optimizer(), "float64", gradients)
    for a, b in zip(narrow, exact, strict=True):
        assert np.abs(b).max() > 0
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5 * np.abs(b).max())


@pytest.mark.parametrize("size", [1e20, 1e-22])
def test_lars_compares_parameters_and_gradients_of_any_size(size: float) -> None:
    optimizer = mj.lars(0.1, 0.0, weight_decay=0.0, trust_coefficient=1e-2, eps=0.0)
    narrow = walk(optimizer, "float32", [MATRIX], of_params=size)
    np.testing.assert_allclose(narrow[0], -0.1 * 1e-2 * size * MATRIX, rtol=1e-5)


@pytest.mark.parametrize("size", [1e18, 1e10, 1e-10, 1e-18])
def test_yellowfin_is_finite_where_the_square_of_its_gradient_is(size: float) -> None:
    gradients = [size * np.full((2, 2), 1.0 + 0.1 * t) for t in range(4)]
    optimizer = mj.yellowfin(1e-3)
    narrow = walk(optimizer, "float32", gradients)
    with jax.enable_x64(True):
        exact = walk(mj.yellowfin(1e-3), "float64", gradients)
    for a, b in zip(narrow, exact, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-2, atol=1e-12)


@pytest.mark.parametrize("size", [1e20, 1e-25])
@pytest.mark.parametrize("criterion", ["gradient", "speed"])
def test_a_restart_is_decided_as_in_float64(criterion: str, size: float) -> None:
    def restarted(dtype: str) -> list[int]:
        optimizer = mj.adaptive_restart(mj.heavy_ball(1.0, 0.9), criterion=criterion, min_steps=1)
        params = jnp.zeros(2, dtype)
        state, seen = optimizer.init(params), []
        for g in (1.0, 0.2, -0.1, -0.3, 0.5, 0.4):
            _, state = optimizer.update(jnp.asarray([g * size, 0.5 * g * size], dtype), state, params)
            seen.append(int(state.steps_since_restart))
        return seen

    narrow = restarted("float32")
    with jax.enable_x64(True):
        assert narrow == restarted("float64")
    assert 0 in narrow


@pytest.mark.parametrize("row", rows(lambda row: row.id in SECOND_MOMENTS))
def test_a_gradient_whose_square_overflows_stops_its_entry_for_good_unless_it_is_clipped(row: Row) -> None:
    def walked(optimizer: Any) -> tuple[np.ndarray, bool]:
        params = {"w": jnp.ones(2)}
        state = optimizer.init(params)
        for huge in (1e20, 1.0, 1.0):
            updates, state = optimizer.update({"w": jnp.asarray([huge, 1.0])}, state, params)
        infinite = any(bool(jnp.isinf(leaf).any()) for leaf in jax.tree.leaves(state) if leaf.shape == (2,))
        return np.asarray(updates["w"]), infinite

    no_decay = {"weight_decay": 0.0} if "weight_decay" in row.numbers else {}
    updates, infinite = walked(row.build(**no_decay))
    assert infinite
    assert np.all(np.isfinite(updates))
    clipped, infinite = walked(optax.chain(optax.clip(1.0), row.build(**no_decay)))
    assert not infinite
    assert clipped[0] != 0
    by_norm, _ = optax.clip_by_global_norm(1.0).update({"w": jnp.asarray([1e20, 1.0])}, optax.EmptyState())
    np.testing.assert_array_equal(by_norm["w"], 0)


@pytest.mark.parametrize("size", [1e-10, 1e10])
@pytest.mark.parametrize("row", rows(lambda row: row.id in (*NORMALISING, "momo", "heavy_ball", "adam", "mars")))
def test_the_derivative_through_updates_of_small_and_large_gradients_is_finite(row: Row, size: float) -> None:
    def after(params: Any) -> Any:
        optimizer, moved = row.build(), params
        state = optimizer.init(params)
        for scale in (1.0, -0.3, 2.0):
            updates, state = optimizer.update(jax.tree.map(lambda p: size * scale * p, moved), state, moved)  # noqa: B023
            moved = optax.apply_updates(moved, updates)
        return jnp.sum(jnp.abs(moved["w"]))

    chex.assert_tree_all_finite(jax.jit(jax.grad(after))({"w": jnp.asarray(MATRIX, jnp.float32)}))
