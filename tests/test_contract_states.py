"""The contract: optimizers copied and replaced, states read back and counted to the end, leaves that are no arrays."""

import copy
import functools
import pickle
from collections.abc import Callable
from typing import Any

import chex
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from contract_rows.row import Row
from contract_runs import every_row, gradients, some_params, types

import momentum_jax as mj

LAST = 2**31 - 1

COPIES: dict[str, Callable[[Any], Any]] = {
    "_replace": lambda o: o._replace(init=o.init),
    "_make": lambda o: o._make(tuple(o)),
    "tree.map": lambda o: jax.tree.map(lambda function: function, o),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}
WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "cautious": mj.cautious,
    "quantized_state": lambda o: mj.quantized_state(o, min_size=1),
    "adaptive_restart": mj.adaptive_restart,
    "momentum_correction": lambda o: mj.momentum_correction(o, 0.1),
    "muon": lambda o: mj.muon(0.1, fallback=o),
    "normuon": lambda o: mj.normuon(0.1, fallback=o),
    "per_layer": lambda o: mj.per_layer({"*": o}),
}
every_wrapper = pytest.mark.parametrize("wrapper", WRAPPERS)


def narrow_params() -> dict[str, Any]:
    """Of 16 bits, so that an update that is rounded before it is wrapped shows."""
    return jax.tree.map(lambda p: p.astype(jnp.bfloat16), some_params())


def after_a_step(optimizer: Any, params: Any) -> Any:
    _, state = optimizer.update(gradients(params, 0), optimizer.init(params), params)
    return state


@every_row
def test_a_copied_optimizer_is_wrapped_as_the_original_is(row: Row) -> None:
    """Copied in every way at once, one copy of the other; one by one they are below."""
    optimizer, params = row.build(), narrow_params()
    copied = functools.reduce(lambda o, change: change(o), COPIES.values(), optimizer)
    g, state = gradients(params, 1), after_a_step(mj.cautious(optimizer), params)
    expected = mj.cautious(optimizer).update(g, state, params)
    chex.assert_trees_all_equal(mj.cautious(copied).update(g, state, params), expected)


@every_wrapper
def test_every_wrapper_takes_a_copied_optimizer_as_it_takes_the_original(wrapper: str) -> None:
    wrap, optimizer, params = WRAPPERS[wrapper], mj.scale_by_heavy_ball(0.7), narrow_params()
    g, state = gradients(params, 1), after_a_step(wrap(optimizer), params)
    expected = wrap(optimizer).update(g, state, params)
    for change in COPIES.values():
        for copied in (wrap(change(optimizer)), change(wrap(optimizer))):
            chex.assert_trees_all_equal(copied.init(params), wrap(optimizer).init(params))
            chex.assert_trees_all_equal(copied.update(g, state, params), expected)


def test_an_update_that_a_wrapper_takes_from_a_copy_is_still_not_rounded() -> None:
    params, optimizer = {"w": jnp.ones(60, jnp.bfloat16)}, mj.heavy_ball(0.1, 0.7)
    # Where the gradient has turned the step is masked, and the rest is lengthened.
    later = {"w": jnp.linspace(-0.5, 1.0, 60).astype(jnp.bfloat16)}

    def masked(optimizer: Any) -> Any:
        optimizer = mj.cautious(optimizer)
        _, state = optimizer.update(params, optimizer.init(params), params)
        return optimizer.update(later, state, params)[0]

    rounded = optimizer._replace(update=lambda *args, **more: optimizer.update(*args, **more))
    chex.assert_trees_all_equal(masked(copy.copy(optimizer)), masked(optimizer))
    with pytest.raises(AssertionError):
        chex.assert_trees_all_equal(masked(rounded), masked(optimizer))


def doubled(optimizer: Any) -> Any:
    @functools.wraps(optimizer.update)
    def update(*args: Any, **more: Any) -> Any:
        updates, state = optimizer.update(*args, **more)
        return jax.tree.map(lambda u: 2 * u, updates), state

    return update


@every_wrapper
@pytest.mark.parametrize(
    "put",
    [lambda f: f, jax.jit, lambda f: functools.wraps(f)(jax.jit(f)), functools.partial],
    ids=["plain", "jit", "wraps", "partial"],
)
def test_a_replaced_update_is_the_one_that_is_called(wrapper: str, put: Callable[[Any], Any]) -> None:
    wrap, optimizer, params = WRAPPERS[wrapper], mj.scale_by_heavy_ball(0.7), {"b": jnp.asarray([1.0, -2.0])}

    def first(optimizer: Any) -> Any:
        optimizer = wrap(optimizer)
        return optimizer.update(gradients(params, 0), optimizer.init(params), params)[0]

    expected = jax.tree.map(lambda u: 2 * u, first(optimizer))
    chex.assert_trees_all_equal(first(optimizer._replace(update=put(doubled(optimizer)))), expected)


@every_wrapper
def test_a_replaced_init_is_the_one_that_is_called(wrapper: str) -> None:
    optimizer, params = mj.scale_by_heavy_ball(0.7), {"b": jnp.ones(300)}

    def init(params: Any) -> Any:
        return optimizer.init(params)._replace(step=jnp.asarray(41, jnp.int32))

    wrapped = WRAPPERS[wrapper](optimizer._replace(init=init))
    assert 41 in [int(leaf) for leaf in jax.tree.leaves(wrapped.init(params)) if leaf.shape == ()]


@every_row
def test_a_state_read_back_goes_on_as_the_one_that_was_saved(row: Row) -> None:
    optimizer, params = row.build(), some_params()
    fresh = optimizer.init(params)
    _, state = optimizer.update(gradients(params, 0), fresh, params)
    for same in (pickle.loads(pickle.dumps(state)), copy.deepcopy(state)):
        assert types(same) == types(state)
        chex.assert_trees_all_equal(same, state)
    # From msgpack the leaves are NumPy's.
    restored = flax.serialization.from_bytes(fresh, flax.serialization.to_bytes(state))
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(restored))
    g = gradients(params, 1)
    expected, found = optimizer.update(g, state, params), optimizer.update(g, restored, params)
    chex.assert_trees_all_equal(found, expected)
    # Compiled it is the same program, as it is traced with the same types.
    traced = jax.eval_shape(optimizer.update, g, restored, params)
    assert types(found) == types(traced) == types(expected)
    chex.assert_trees_all_equal(mj.evaluation_params(params, restored), mj.evaluation_params(params, state))
    chex.assert_trees_all_equal(mj.reset_momentum(restored), mj.reset_momentum(state))


@every_row
def test_everything_beside_the_state_may_be_of_numpy_too(row: Row) -> None:
    optimizer, params = row.build(), some_params()
    _, state = optimizer.update(gradients(params, 0), optimizer.init(params), params)
    g = gradients(params, 1)
    plain = jax.tree.map(np.asarray, (g, state, params))
    chex.assert_trees_all_equal(optimizer.update(*plain), optimizer.update(g, state, params))
    chex.assert_trees_all_equal(optimizer.init(plain[2]), optimizer.init(params))
    chex.assert_trees_all_equal(mj.evaluation_params(plain[2], plain[1]), mj.evaluation_params(params, state))


@every_row
def test_every_counter_stays_at_the_largest_int32(row: Row) -> None:
    optimizer, params = row.build(), some_params()
    state = jax.tree.map(
        lambda leaf: jnp.full_like(leaf, LAST) if leaf.dtype == jnp.int32 and leaf.shape == () else leaf, optimizer.init(params)
    )
    for t in range(3):
        updates, state = optimizer.update(gradients(params, t), state, params)
        chex.assert_tree_all_finite((updates, state))
        for path, leaf in jax.tree.leaves_with_path(state):
            if leaf.dtype == jnp.int32 and leaf.shape == ():
                restarted = "steps_since_restart" in jax.tree_util.keystr(path) and 0 <= leaf <= t + 1
                assert leaf == LAST or restarted, path


@pytest.mark.parametrize("criterion", ["gradient", "function", "speed"])
def test_steps_since_the_last_restart_are_counted_to_the_largest_int32(criterion: str) -> None:
    optimizer, params = mj.adaptive_restart(mj.nesterov(0.01, 0.9), criterion=criterion), jnp.ones(3)
    state = optimizer.init(params)._replace(steps_since_restart=jnp.asarray(LAST, jnp.int32))
    _, state = optimizer.update(jnp.ones(3), state, params, value=1.0)
    assert state.steps_since_restart == LAST


NO_ARRAYS: dict[str, Any] = {
    "function": jax.nn.relu,
    "lambda": lambda x: x,
    "string": "relu",
    "name of a dtype": "float32",
    "class": np.float32,
    "object": object(),
    "array of objects": np.array([None, "a"]),
    "array of strings": np.array(["a"]),
}


@every_row
def test_a_leaf_that_is_no_array_is_refused_by_constructor_and_path(row: Row) -> None:
    optimizer, params = row.build(), {"layer": {"w": jnp.ones((2, 2))}, "act": jnp.ones(())}
    state, who = optimizer.init(params), row.id.split("-")[0]
    for leaf in NO_ARRAYS.values():
        bad = {**params, "act": leaf}
        message = rf"^{who}: leaf \['act'\] of %s must be an array or a number, got \w.*; pass the arrays only\.$"
        with pytest.raises(TypeError, match=message % "params"):
            optimizer.init(bad)
        with pytest.raises(TypeError, match=message % "the gradient"):
            optimizer.update(bad, state, params)
        with pytest.raises(TypeError, match=message % "params"):
            optimizer.update(params, state, bad)


@every_wrapper
def test_around_a_foreign_optimizer_too_a_leaf_that_is_no_array_is_refused(wrapper: str) -> None:
    with pytest.raises(TypeError, match=rf"^{wrapper}: leaf \['act'\] of params must be an array or a number"):
        WRAPPERS[wrapper](optax.trace(0.9)).init({"w": jnp.ones((2, 2)), "act": jax.nn.relu})


@every_row
def test_a_number_is_a_leaf_as_the_array_of_it_is(row: Row) -> None:
    optimizer = row.build()
    numbers = {"a": 1.5, "b": 2, "c": True, "d": 0.5 + 1j, "e": np.float32(1.5), "f": np.int32(2)}

    def go(params: Any) -> Any:
        return optimizer.update(params, optimizer.init(params), params)

    found, expected = go({"w": jnp.ones((2, 3)), **numbers}), go({"w": jnp.ones((2, 3)), **jax.tree.map(jnp.asarray, numbers)})
    chex.assert_trees_all_equal(found, expected)
    assert types(found[1]) == types(expected[1])


@every_row
def test_keys_stay_where_they_are_and_shapes_can_stand_for_arrays(row: Row) -> None:
    optimizer, params = row.build(), {"w": jnp.ones((2, 3)), "key": jax.random.key(0), "none": None, "hole": optax.MaskedNode()}
    g = jax.grad(lambda p: jnp.sum(p["w"] ** 2), allow_int=True)(params)
    extra = {"grad_fn": lambda p: g} if row.file == "storm" else {}
    state = optimizer.init(params)
    _, after = optimizer.update(g, state, params, **extra)
    assert types(after) == types(state)
    assert types(jax.eval_shape(optimizer.init, params)) == types(state)
    shaped = jax.eval_shape(lambda p: p, params)
    assert types(jax.eval_shape(optimizer.init, shaped)) == types(state)
