"""8-bit buffers: the dynamic map and the rounding against bitsandbytes and brute force, bytes, and every kind of buffer."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import peer_file

import momentum_jax as mj
from momentum_jax.optimizers.quantized_state import Quantized, dequantize, quantize_new

SIGNS = pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])


@pytest.fixture(scope="module")
def peer() -> dict[str, np.ndarray]:
    return peer_file("normalised/bitsandbytes")[1]


def whole_map(signed: bool) -> np.ndarray:
    """What the 256 codes stand for in a block whose largest entry is 1."""
    codes = jnp.arange(256, dtype=jnp.uint8)
    return np.asarray(dequantize(Quantized(codes, jnp.ones(1), jnp.dtype("float64"), signed, 256)))


def is_quantized(node: Any) -> bool:
    return isinstance(node, Quantized)


@SIGNS
def test_the_map_is_that_of_bitsandbytes(signed: bool, peer: dict[str, np.ndarray]) -> None:
    ours = whole_map(signed)
    np.testing.assert_allclose(ours, peer["qmap_signed" if signed else "qmap_unsigned"], rtol=2e-6, atol=1e-9)
    assert np.all(np.diff(ours) > 0)
    assert {0.0, 1.0} <= set(ours)


@SIGNS
def test_codes_are_of_the_nearest_entries(signed: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=5000) * 10.0 ** rng.uniform(-8, 2, size=5000)
    x = x if signed else np.abs(x)
    q = quantize_new(jnp.asarray(x), signed, 100)
    scaled = x.reshape(-1, 100) / np.abs(x).reshape(-1, 100).max(1, keepdims=True)
    distances = np.abs(scaled.reshape(-1, 1) - whole_map(signed))
    np.testing.assert_allclose(distances[np.arange(5000), q.codes], distances.min(1), atol=1e-15)
    again = quantize_new(jnp.asarray(whole_map(signed)), signed, 256)
    np.testing.assert_array_equal(again.codes, np.arange(256))


def test_rounding_is_that_of_bitsandbytes_but_nearer(peer: dict[str, np.ndarray]) -> None:
    # Its CPU kernel looks up small entries in a coarse table.
    x = peer["q_in"]
    q = quantize_new(jnp.asarray(x), True, 256)
    np.testing.assert_array_equal(q.largest, peer["q_absmax"])
    plain = np.abs(x) > 0.005 * np.repeat(peer["q_absmax"], 256)[: len(x)]
    np.testing.assert_array_equal(q.codes[plain], peer["q_codes"][plain])
    assert plain.mean() > 0.4
    assert np.all(np.abs(dequantize(q) - x) <= np.abs(peer["q_out"] - x) + 1e-5)
    theirs = Quantized(jnp.asarray(peer["q_codes"]), jnp.asarray(peer["q_absmax"]), jnp.dtype("float32"), True, 256)
    np.testing.assert_allclose(dequantize(theirs), peer["q_out"], rtol=3e-6)


@pytest.mark.parametrize(
    ("name", "make"),
    [("sgd8", lambda: mj.sgd(0.05, 0.9)), ("adam8", lambda: mj.adam(0.01)), ("adam8", lambda: optax.adam(0.01))],
)
def test_the_path_keeps_as_close_to_the_exact_one_as_that_of_bitsandbytes(
    name: str, make: Any, peer: dict[str, np.ndarray]
) -> None:
    def path(optimizer: Any) -> list[Any]:
        params = {leaf: jnp.asarray(peer[f"p0_{leaf}"]) for leaf in ("w", "b")}
        state, seen = optimizer.init(params), []
        update = jax.jit(optimizer.update)
        for t in range(20):
            updates, state = update({leaf: jnp.asarray(peer[f"g_{leaf}"][t]) for leaf in ("w", "b")}, state, params)
            params = optax.apply_updates(params, updates)
            seen.append(params)
        return seen

    ours, exact = path(mj.quantized_state(make(), min_size=0)), path(make())
    for leaf in ("w", "b"):
        moved = np.abs(np.asarray(exact[-1][leaf]) - peer[f"p0_{leaf}"]).mean()
        theirs = np.mean([np.abs(peer[f"{name}_{leaf}"][t] - exact[t][leaf]).mean() for t in range(20)])
        mine = np.mean([np.abs(ours[t][leaf] - exact[t][leaf]).mean() for t in range(20)])
        between = np.abs(ours[-1][leaf] - peer[f"{name}_{leaf}"][-1]).mean()
        assert 0 < mine <= 1.05 * theirs
        assert between < 0.03 * moved
    np.testing.assert_allclose(ours[0]["w"], peer[f"{name}_w"][0], rtol=1e-5, atol=1e-6)


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
        updates, after = jax.eval_shape(mj.quantized_state(make()).update, params, narrow, params)
        assert jax.tree.structure(after) == jax.tree.structure(narrow)
        assert bytes_of(after) == bytes_of(narrow)
        assert bytes_of(updates) == bytes_of(params)


def test_only_large_buffers_are_quantised_and_second_moments_without_signs() -> None:
    params = {"large": jnp.ones((64, 64)), "small": jnp.ones(4095), "table": jnp.ones((64, 64), jnp.int32)}
    for optimizer in (mj.adam(0.1), optax.adam(0.1), mj.rmsprop(0.1, momentum=0.9), mj.adadelta(), mj.adagrad(0.1)):
        state = mj.quantized_state(optimizer).init(params)
        nodes = jax.tree.leaves_with_path(state, is_leaf=is_quantized)
        found = {jax.tree_util.keystr(path): node.signed for path, node in nodes if is_quantized(node)}
        assert found
        for path, signed in found.items():
            assert "large" in path
            assert signed is not any(word in path for word in ("second", "nu", "squared", "squares"))
        assert any(not node.shape or node.shape == (4095,) for _, node in nodes if not is_quantized(node))


def test_copies_of_the_parameters_are_not_quantised() -> None:
    params = {"w": jnp.ones((64, 64))}
    state = mj.quantized_state(optax.contrib.schedule_free_sgd(0.1)).init(params)
    assert not any(map(is_quantized, jax.tree.leaves(state, is_leaf=is_quantized)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("make", [mj.heavy_ball, mj.nesterov, mj.adam, lambda rate: optax.sgd(rate, 0.9)])
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
    assert any(map(is_quantized, jax.tree.leaves(state, is_leaf=is_quantized)))
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
    assert not np.any(dequantize(after.first_moment["w"]))
    chex.assert_trees_all_equal(after.second_moment, before.second_moment)
    assert int(after.momentum_step) == 0


def test_a_block_of_zeros_or_with_a_bad_entry_keeps_to_itself() -> None:
    x = jnp.concatenate([jnp.zeros(10), jnp.full(10, jnp.nan), jnp.ones(5)])
    back = np.asarray(dequantize(quantize_new(x, True, 10)))
    np.testing.assert_array_equal(back[:10], 0)
    assert np.isnan(back[10:20]).all()
    np.testing.assert_array_equal(back[20:], 1)


def test_a_block_has_an_entry_and_the_optimizer_is_one() -> None:
    with pytest.raises(ValueError, match=r"^quantized_state: block_size must be at least 1, got 0\.$"):
        mj.quantized_state(mj.heavy_ball(0.1), block_size=0)
    with pytest.raises(TypeError, match=r"^quantized_state: optimizer must be a gradient transformation, got str\.$"):
        mj.quantized_state("adam")
