"""The contract at the ends of float32: finite gradients of any size move what normalises them as they do in float64."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compiled import as_users
from contract_rows import rows
from contract_rows.row import Row

import momentum_jax as mj
from momentum_jax._scaling import norm

MATRIX = np.asarray([[3.0, 4.0], [1.0, 2.0]])
NORMALISING = ("normalized_momentum", "nigt", "lars", "muon", "normuon")
SECOND_MOMENTS = (
    "rmsprop", "adagrad", "adadelta", "adam", "adamw", "quasi_hyperbolic_adam", "nadam", "adan", "laprop", "ademamix",
    "simplified_ademamix",
)  # fmt: skip


ONE_ENTRY = ("normalized_momentum", "nigt", "lars", "mars", "momo", "adaptive_restart-gradient", "adaptive_restart-speed")


@pytest.mark.parametrize("row", rows(lambda row: row.id in ONE_ENTRY))
def test_a_leaf_of_one_entry_is_moved_by_the_compiled_program_as_by_the_eager_one(row: Row) -> None:
    """Of one entry a sum is the entry, whose square XLA may compute in another order."""
    optimizer, params = row.build(), {"w": jnp.ones((1, 1)), "b": jnp.ones(())}
    state, update = optimizer.init(params), as_users(optimizer.update)
    for size in (0.0, 1e-22, 1.0, 1e20):
        g = jax.tree.map(lambda p: jnp.full_like(p, size), params)  # noqa: B023
        eager, _ = optimizer.update(g, state, params)
        chex.assert_tree_all_finite(eager)
        chex.assert_trees_all_close(update(g, state, params)[0], eager, rtol=1e-6)


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


@pytest.mark.parametrize("size", [1e20, 1e-22])
def test_momo_steps_as_far_as_in_float64(size: float) -> None:
    def steps(dtype: str) -> list[np.ndarray]:
        params, seen = {"w": jnp.asarray(MATRIX, dtype)}, []
        optimizer = mj.momo(1e30)
        state = optimizer.init(params)
        # A loss of the gradient's own size, so that Polyak's step is the shorter one.
        for g in (size * MATRIX, size * MATRIX.T):
            updates, state = optimizer.update({"w": jnp.asarray(g, dtype)}, state, params, value=jnp.asarray(30 * size, dtype))
            seen.append(np.asarray(updates["w"], np.float64))
        return seen

    narrow = steps("float32")
    with jax.enable_x64(True):
        exact = steps("float64")
    np.testing.assert_allclose(narrow, exact, rtol=1e-5)
    assert np.abs(exact[-1]).max() > 1


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@pytest.mark.parametrize("size", [1e25, 1e-25])
def test_caution_compares_signs_whatever_the_sizes(size: float, dtype: str) -> None:
    g = size * jnp.asarray([1.0, -2.0, 0.5], dtype)
    optimizer = mj.cautious(mj.gradient_descent(0.1))
    updates, _ = optimizer.update(g, optimizer.init(g), g)
    np.testing.assert_allclose(updates, -0.1 * g, rtol=1e-6)
    decay = mj.cautious_weight_decay(0.5)
    updates, _ = decay.update(-g, decay.init(g), g)
    np.testing.assert_array_equal(updates, -g)


@pytest.mark.parametrize(
    "make",
    [
        lambda: mj.rmsprop(0.1, centered=True),
        lambda: mj.quasi_hyperbolic_adam(0.1),
        lambda: mj.quasi_hyperbolic_adam(0.1, nu2=0.0),
        lambda: mj.mars(0.1),
    ],
    ids=["centred RMSprop", "QHAdam's default", "QHAdam of the present square", "MARS"],
)
def test_a_difference_or_a_share_of_infinite_squares_is_not_nan(make: Any) -> None:
    optimizer, params = make(), jnp.ones(3)
    state = optimizer.init(params)
    for huge in (1e25, 1.0, 1.0):
        updates, state = optimizer.update(jnp.asarray([huge, 1.0, -1.0]), state, params)
        chex.assert_tree_all_finite(updates)


@pytest.mark.parametrize("size", [0.0, 1e-37, 1e-22, 1e-10, 1.0, 1e10, 1e20, 1e37])
def test_a_norm_and_its_derivative_are_right_at_every_size(size: float) -> None:
    x = jnp.asarray(size * np.asarray([3.0, -4.0, 0.0]), jnp.float32)
    for arrays in ((x,), (x[:1], x[1:])):
        np.testing.assert_allclose(jax.jit(norm)(*arrays), 5 * size, rtol=1e-6)
    for derivative in (jax.grad(norm), jax.jit(jax.grad(norm))):
        np.testing.assert_allclose(derivative(x), np.asarray([0.6, -0.8, 0.0]) * (size > 0), rtol=1e-6)
    np.testing.assert_allclose(norm(jax.lax.complex(x, x)), 5 * 2**0.5 * size, rtol=1e-6)


@pytest.mark.parametrize("row", rows(lambda row: row.id in (*NORMALISING, "momo", "heavy_ball", "adam", "mars")))
def test_the_derivative_through_updates_of_small_and_large_gradients_is_finite(row: Row) -> None:
    def after(params: Any, size: Any) -> Any:
        optimizer, moved = row.build(), params
        state = optimizer.init(params)
        for scale in (1.0, -0.3):
            updates, state = optimizer.update(jax.tree.map(lambda p: size * scale * p, moved), state, moved)  # noqa: B023
            moved = optax.apply_updates(moved, updates)
        return jnp.sum(jnp.abs(moved["w"]))

    derivative, params = jax.jit(jax.grad(after)), {"w": jnp.asarray(MATRIX, jnp.float32)}
    for size in (1e-20, 1e-15, 1e-10, 1e10):
        chex.assert_tree_all_finite(derivative(params, jnp.float32(size)))
