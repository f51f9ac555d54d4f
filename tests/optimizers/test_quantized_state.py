"""Any optimizer with 8-bit buffers: which are quantised, their bytes, and how near the path keeps."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx

import momentum_jax as mj


def is_quantized(leaf: Any) -> bool:
    return leaf.dtype in (jnp.int8, jnp.uint8)


def resnet50() -> dict[str, Any]:
    """Shapes of ResNet-50: convolutions, normalisations, the last layer; 25.6 million entries."""
    shapes, width = [(7, 7, 3, 64), (64,), (64,), (2048, 1000), (1000,)], 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        inner = 64 * 2**stage
        for block in range(blocks):
            shapes += [(1, 1, width, inner), (3, 3, inner, inner), (1, 1, inner, 4 * inner)]
            shapes += [(inner,)] * 4 + [(4 * inner,)] * 2
            if block == 0:
                shapes += [(1, 1, width, 4 * inner), (4 * inner,), (4 * inner,)]
            width = 4 * inner
    return {str(i): jax.ShapeDtypeStruct(shape, jnp.float32) for i, shape in enumerate(shapes)}


def bytes_of(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("make", [lambda: mj.heavy_ball(0.1), lambda: mj.adam(0.1), lambda: optax.adamw(0.1)])
def test_the_state_of_a_resnet50_has_at_most_27_percent_of_its_bytes(make: Any) -> None:
    with jax.enable_x64(False):
        params = resnet50()
        assert bytes_of(params) == pytest.approx(4 * 25.6e6, rel=0.005)
        plain, narrow = (jax.eval_shape(o.init, params) for o in (make(), mj.quantized_state(make())))
        assert bytes_of(narrow) / bytes_of(plain) <= 0.27
        few = dict(list(params.items())[:9])
        narrow = jax.eval_shape(mj.quantized_state(make()).init, few)
        updates, after = jax.eval_shape(mj.quantized_state(make()).update, few, narrow, few)
        assert jax.tree.structure(after) == jax.tree.structure(narrow)
        assert bytes_of(after) == bytes_of(narrow)
        assert bytes_of(updates) == bytes_of(few)


def test_only_large_buffers_are_quantised_and_second_moments_without_signs() -> None:
    params = {"large": jnp.ones((64, 64)), "small": jnp.ones(4095), "table": jnp.ones((64, 64), jnp.int32)}
    for optimizer in (mj.adam(0.1), optax.adam(0.1), mj.rmsprop(0.1, momentum=0.9), mj.adadelta(), mj.adagrad(0.1)):
        state = jax.eval_shape(mj.quantized_state(optimizer).init, params)
        nodes = jax.tree.leaves_with_path(state.inner_state)
        found = {jax.tree_util.keystr(path): node.dtype == jnp.int8 for path, node in nodes if is_quantized(node)}
        assert found
        for path, signed in found.items():
            assert "large" in path
            assert signed is not any(word in path for word in ("second", "nu", "squared", "squares"))
        assert any(not node.shape or node.shape == (4095,) for _, node in nodes if not is_quantized(node))


def test_copies_of_the_parameters_are_not_quantised() -> None:
    params = {"w": jnp.ones((64, 64))}
    state = jax.eval_shape(mj.quantized_state(optax.contrib.schedule_free_sgd(0.1)).init, params)
    assert not any(map(is_quantized, jax.tree.leaves(state)))


# Each dtype with an optimizer, each optimizer with a dtype; the rest is slow.
OPTIMIZERS = {"heavy_ball": mj.heavy_ball, "nesterov": mj.nesterov, "adam": mj.adam, "optax": lambda rate: optax.sgd(rate, 0.9)}
WIDTHS = ("bfloat16", "float16", "float32", "float64", "complex64", "complex128")
TELLING = {
    ("heavy_ball", "bfloat16"), ("adam", "float16"), ("optax", "float32"), ("heavy_ball", "float64"), ("adam", "complex64"),
    ("nesterov", "complex128"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("make", "dtype"),
    [
        pytest.param(make, dtype, id=f"{name}-{dtype}", marks=() if (name, dtype) in TELLING else pytest.mark.slow)
        for name, make in OPTIMIZERS.items()
        for dtype in WIDTHS
    ],
)
def test_every_dtype_goes_through_a_donated_scan_and_keeps_near_the_exact_path(make: Any, dtype: str) -> None:
    x = jax.random.normal(jax.random.key(0), (65, 64), jnp.float32)
    params = {"w": (x * (1 + 0.5j) if "complex" in dtype else x).astype(dtype)}

    def path(optimizer: Any) -> Any:
        def step(carry: Any, t: Any) -> Any:
            params, state = carry
            gradient = jax.tree.map(lambda p: (jnp.cos(t) * p + 0.1).astype(p.dtype), params)
            updates, state = optimizer.update(gradient, state, params)
            return (jax.tree.map(lambda p, u: (p + u).astype(p.dtype), params, updates), state), None

        start = (jax.tree.map(jnp.copy, params), optimizer.init(params))
        return jax.jit(lambda c: jax.lax.scan(step, c, jnp.arange(8.0))[0], donate_argnums=0)(start)

    (exact, _), (ours, state) = path(make(0.01)), path(mj.quantized_state(make(0.01)))
    assert any(map(is_quantized, jax.tree.leaves(state)))
    error = jnp.abs(ours["w"] - exact["w"]).mean() / jnp.abs(exact["w"] - params["w"]).mean()
    assert 0 < error < 0.04


def test_runs_side_by_side_are_those_one_by_one() -> None:
    params = {"w": jnp.linspace(-1, 1, 4100)}

    def go(rate: Any) -> Any:
        optimizer = mj.quantized_state(mj.heavy_ball(rate, 0.9))
        state, held = optimizer.init(params), params
        for _ in range(3):
            updates, state = optimizer.update(jax.tree.map(jnp.sin, held), state, held)
            held = optax.apply_updates(held, updates)
        return held

    rates = jnp.asarray([0.1, 0.01])
    chex.assert_trees_all_close(jax.vmap(go)(rates)["w"][1], go(rates[1])["w"], rtol=1e-12)


def test_the_iterate_is_read_and_momentum_is_reset_through_the_codes() -> None:
    params = {"w": jnp.linspace(-1, 1, 5000)}
    optimizer = mj.quantized_state(mj.nesterov(0.1, 0.9))
    updates, state = optimizer.update(params, optimizer.init(params), params)
    held = optax.apply_updates(params, updates)
    read = mj.evaluation_params(held, state)
    np.testing.assert_allclose(read["w"], 0.9 * params["w"], atol=2e-3)
    adam = mj.quantized_state(mj.adam(0.1))
    _, state = adam.update(params, adam.init(params), params)
    fresh = mj.reset_momentum(state)
    before, after = state.inner_state[0], fresh.inner_state[0]
    assert jax.tree.structure(fresh) == jax.tree.structure(state)
    assert np.all(np.asarray(after.first_moment["w"]) == 0)
    chex.assert_trees_all_equal(after.second_moment, before.second_moment)
    assert int(after.momentum_step) == 0


def test_each_step_rounds_anew_and_equal_states_round_equally() -> None:
    params = {"w": jnp.linspace(-1, 1, 5000)}
    optimizer = mj.quantized_state(mj.heavy_ball(0.1, 0.0))
    _, first = optimizer.update(params, optimizer.init(params), params)
    _, again = optimizer.update(params, optimizer.init(params), params)
    _, second = optimizer.update(params, first, params)
    chex.assert_trees_all_equal(first, again)
    assert int(second.key) == int(first.key) + 1
    difference = np.asarray(second.inner_state[1].velocity["w"], int) - np.asarray(first.inner_state[1].velocity["w"], int)
    assert set(np.unique(difference)) == {-1, 0, 1}
    _, wrapped = jax.jit(optimizer.update)(params, first._replace(key=jnp.uint32(2**32 - 1)), params)
    assert int(wrapped.key) == 0


def test_a_state_without_codes_has_no_key() -> None:
    params = {"w": jnp.ones(10)}
    optimizer = mj.quantized_state(mj.adam(0.1))
    _, state = optimizer.update(params, optimizer.init(params), params)
    assert state.key is None
    assert not state.largest


def test_a_state_from_before_there_were_keys_is_refused() -> None:
    params = {"w": jnp.linspace(-1, 1, 5000)}
    optimizer = mj.quantized_state(mj.nesterov(0.1))
    state = optimizer.init(params)
    old = type(state)(state.inner_state, state.largest)
    for read in (lambda: optimizer.update(params, old, params), lambda: mj.evaluation_params(params, old)):
        with pytest.raises(ValueError, match=r"^quantized_state: opt_state must have a key, got one from before"):
            read()


def test_a_block_has_an_entry_and_the_optimizer_is_one() -> None:
    with pytest.raises(ValueError, match=r"^quantized_state: block_size must be at least 1, got 0\.$"):
        mj.quantized_state(mj.heavy_ball(0.1), block_size=0)
    with pytest.raises(TypeError, match=r"^quantized_state: optimizer must be a gradient transformation, got str\.$"):
        mj.quantized_state("adam")


def test_a_small_second_moment_does_not_become_zero_and_its_step_not_huge() -> None:
    params = {"w": jnp.zeros(4096)}
    gradients = [jnp.zeros(4096).at[0].set(1.0).at[1].set(1e-4 if t == 0 else 0.0) for t in range(6)]
    for make in (mj.adam, optax.adam, mj.adan, mj.ademamix):
        seen = []
        for optimizer in (make(1e-3), mj.quantized_state(make(1e-3))):
            state, largest = optimizer.init(params), 0.0
            for g in gradients:
                updates, state = optimizer.update({"w": g}, state, params)
                largest = max(largest, float(jnp.abs(updates["w"]).max()))
            seen.append(largest)
        assert seen[1] <= 1.1 * seen[0]


class Awkward(NamedTuple):
    nu: jax.Array
    z: jax.Array
    previous_params: jax.Array


def test_the_names_of_parameters_decide_nothing() -> None:
    params = Awkward(*(jnp.zeros(8192) for _ in range(3)))
    moments = jax.eval_shape(mj.quantized_state(mj.adam(0.1)).init, params).inner_state[0]
    assert {leaf.dtype for leaf in moments.first_moment} == {jnp.dtype(jnp.int8)}
    assert {leaf.dtype for leaf in moments.second_moment} == {jnp.dtype(jnp.uint8)}


@pytest.mark.parametrize(
    "make", [optax.contrib.cocob, lambda: optax.contrib.dog(1.0), optax.contrib.prodigy, mj.storm, lambda: optax.lbfgs(0.1)]
)
def test_no_copy_of_the_parameters_is_quantised_whatever_it_is_called(make: Any) -> None:
    params = {"w": jnp.linspace(1.0, 2.0, 5000)}
    plain, narrow = make().init(params), mj.quantized_state(make()).init(params)
    for before, after in zip(jax.tree.leaves(plain), jax.tree.leaves(narrow.inner_state), strict=True):
        # Whatever was quantised began the same everywhere; a copy does not.
        assert after.dtype == before.dtype or np.unique(before).size == 1


@pytest.mark.parametrize(
    "make", [mj.adam, pytest.param(lambda rate: optax.sgd(rate, 0.9), marks=pytest.mark.slow)], ids=["adam", "optax.sgd"]
)
def test_it_goes_through_an_nnx_optimizer(make: Any) -> None:
    class Net(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.first = nnx.Linear(64, 128, rngs=rngs)
            self.second = nnx.Linear(128, 64, rngs=rngs)

    x = jnp.ones((8, 64))
    model = Net(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, mj.quantized_state(make(0.01)), wrt=nnx.Param)

    @nnx.jit
    def step(model: Net, optimizer: nnx.Optimizer) -> jax.Array:
        loss, grads = nnx.value_and_grad(lambda m: jnp.mean((m.second(jnp.tanh(m.first(x))) - 1) ** 2))(model)
        optimizer.update(model, grads)
        return loss

    losses = [float(step(model, optimizer)) for _ in range(4)]
    assert losses[-1] < losses[0]
    assert any(is_quantized(leaf) for leaf in jax.tree.leaves(nnx.state(optimizer)))


def test_a_quantised_state_survives_an_orbax_save_and_restore(tmp_path: Any) -> None:
    params = {"w": jnp.linspace(-1, 1, 5000), "b": jnp.ones(3)}
    optimizer = mj.quantized_state(mj.adam(0.1))
    _, state = optimizer.update(params, optimizer.init(params), params)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "state", jax.eval_shape(optimizer.init, params))
    chex.assert_trees_all_equal(restored, state)


@pytest.mark.parametrize(("shape", "axes"), [((64, 128), (None, "x")), ((66, 100), ("x", None))])
def test_codes_lie_as_their_parameters_on_explicit_meshes(axes: Any, shape: Any) -> None:
    mesh = jax.make_mesh((1,), ("x",), axis_types=(jax.sharding.AxisType.Explicit,))
    home = jax.sharding.NamedSharding(mesh, jax.P(*axes))
    with jax.set_mesh(mesh):
        params = {"w": jax.device_put(jnp.ones(shape), home)}
        optimizer = mj.quantized_state(mj.nesterov(0.1), min_size=0)
        for init in (optimizer.init, jax.jit(optimizer.init)):
            state = init(params)
            _, state = jax.jit(optimizer.update)(params, state, params)
            (codes,) = [leaf for leaf in jax.tree.leaves(state) if is_quantized(leaf)]
            assert codes.sharding.is_equivalent_to(home, 2)
            assert jax.typeof(codes).sharding.spec == home.spec


def test_stacked_states_are_read_out_under_vmap_only() -> None:
    optimizer = mj.quantized_state(mj.nesterov(0.1))
    params = {"w": jnp.ones((2, 5000))}
    states = jax.vmap(optimizer.init)(params)
    _, states = jax.vmap(optimizer.update)(params, states, params)
    with pytest.raises(ValueError, match=r"opt_state must be that of one run, .* use jax\.vmap"):
        mj.evaluation_params(params, states)
    read = jax.vmap(mj.evaluation_params)(params, states)
    np.testing.assert_allclose(read["w"], 1.09, rtol=1e-2)


def test_optax_maps_over_the_parameters_in_a_quantised_state() -> None:
    params = {"w": jnp.ones((64, 64)), "b": jnp.ones(3)}
    optimizer = mj.quantized_state(mj.scale_by_adam())
    state = optimizer.init(params)
    assert list(state.largest)
    names = optax.tree_map_params(
        optimizer, lambda _, name: name, state, {"w": "weights", "b": "bias"}, transform_non_params=lambda _: "other"
    )
    assert names.largest == "other"
    assert names.inner_state.first_moment == names.inner_state.second_moment == {"w": "weights", "b": "bias"}
    mesh = jax.make_mesh((1,), ("model",), axis_types=(jax.sharding.AxisType.Auto,))
    split, whole = (jax.sharding.NamedSharding(mesh, jax.P(*axes)) for axes in (("model",), ()))
    shardings = optax.tree_map_params(
        optimizer,
        lambda _, sharding: sharding,
        jax.eval_shape(optimizer.init, params),
        {"w": split, "b": whole},
        transform_non_params=lambda _: whole,
    )
    placed = jax.jit(optimizer.init, out_shardings=shardings)(params)
    assert placed.inner_state.first_moment["w"].sharding == split
    chex.assert_trees_all_equal(placed, state)
