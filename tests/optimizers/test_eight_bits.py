"""Blocks in 8 bits: the power maps, the random rounding and its mean, and how near bitsandbytes a path keeps."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings, strategies as st
from oracles import peer_file

import momentum_jax as mj
from momentum_jax.optimizers._eight_bits import dequantize, mixed, quantize, scales_shape

SIGNS = pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])


def entries(signed: bool) -> np.ndarray:
    """What the codes stand for in a block whose largest entry is 1, in their order."""
    return np.arange(-127, 128) ** 3 / 127**3 if signed else (np.arange(256) / 255) ** 8


def some_buffer(signed: bool) -> np.ndarray:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 100)) * 10.0 ** rng.uniform(-8, 2, size=(50, 100))
    return x if signed else np.abs(x)


@SIGNS
def test_codes_stand_for_the_powers_and_are_kept_by_every_rounding(signed: bool, x64: None) -> None:
    codes = jnp.arange(-127, 128).astype(jnp.int8) if signed else jnp.arange(256).astype(jnp.uint8)
    values = dequantize(codes, jnp.asarray(3.0))
    np.testing.assert_allclose(values, 3 * entries(signed), rtol=1e-14)
    for key in range(4):
        again, largest = quantize(values, signed, (), jnp.uint32(key))
        np.testing.assert_array_equal(again, codes)
        assert largest == 3.0


@SIGNS
def test_rounding_is_to_one_of_two_neighbours_and_its_mean_is_exact(signed: bool, x64: None) -> None:
    x, draws = some_buffer(signed), 2000
    largest = np.abs(x).max(1, keepdims=True)
    table = entries(signed)
    above = np.clip(np.searchsorted(table, x / largest), 1, len(table) - 1)
    low, high = table[above - 1] * largest, table[above] * largest

    def rounded(key: jax.Array) -> jax.Array:
        return dequantize(*quantize(jnp.asarray(x), signed, (50,), mixed(key)))

    seen = np.asarray(jax.jit(jax.vmap(rounded))(jnp.arange(draws, dtype=jnp.uint32)))
    nearer = np.minimum(np.abs(seen - low), np.abs(seen - high))
    assert np.all(nearer <= 1e-13 * np.abs(largest))
    if signed:
        kept = np.ones_like(x, bool)
    else:
        kept = x / largest >= table[1]  # below the first entry what is not 0 stays above it
        np.testing.assert_allclose(seen[:, ~kept], np.broadcast_to(high, x.shape)[~kept][None].repeat(draws, 0))
    deviation = (seen.mean(0) - x) / np.maximum(np.sqrt((x - low) * (high - x) / draws), 1e-12 * largest)
    chance = (x - low) / (high - low)
    often = kept & (np.minimum(chance, 1 - chance) * draws > 50)
    # Of some thousand means none is 5 standard errors off, and their spread is that of chance.
    assert often.sum() > 2000
    assert np.abs(deviation[often]).max() < 5
    assert deviation[kept].std() == pytest.approx(1, abs=0.1)


def test_draws_of_places_keys_and_leaves_are_independent() -> None:
    def up(key: int) -> np.ndarray:
        """Whether each of 2^16 equal entries, half way between two of the map, is rounded up."""
        x = jnp.full(2**16, (entries(True)[200] + entries(True)[201]) / 2).at[0].set(1.0)
        codes, _ = quantize(x, True, (), mixed(jnp.uint32(key)))
        return np.asarray(codes[1:], float) - np.asarray(codes[1:]).min() - 0.5

    first, second = up(0), up(1)
    bound = 5 / 2**8  # five standard errors of a mean of 2^16 signs
    assert abs(2 * first.mean()) < bound
    assert abs(4 * (first * second).mean()) < bound
    for lag in (1, 2, 64, 256):
        assert abs(4 * (first[lag:] * first[:-lag]).mean()) < bound
        assert abs(4 * (first[lag:] * second[:-lag]).mean()) < bound


@SIGNS
def test_what_decays_does_so_at_its_rate_and_comes_to_zero_with_signs(signed: bool) -> None:
    # Under rounding to the nearest entry 0.99 b becomes b again where entries lie more than 2% apart.
    start = jnp.linspace(0.01, 1.0, 4096)

    def step(b: jax.Array, t: jax.Array) -> Any:
        decayed = (0.99 * b).at[::256].set(1.0)  # a live neighbour in each block
        return dequantize(*quantize(decayed, signed, (16,), mixed(t))), None

    after = jax.jit(lambda: jax.lax.scan(step, start, jnp.arange(300, dtype=jnp.uint32))[0])()
    dead = np.ones(4096, bool)
    dead[::256] = False
    assert float(np.sum(after[dead])) == pytest.approx(0.99**300 * float(np.sum(start[dead])), rel=0.05)
    later = jax.jit(lambda: jax.lax.scan(step, after, jnp.arange(300, 1800, dtype=jnp.uint32))[0])()
    assert np.mean(later[dead] == 0) > 0.9 if signed else np.all(later > 0)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 700), min_size=0, max_size=4), st.integers(1, 600))
def test_blocks_have_at_least_block_size_entries_and_are_of_whole_trailing_axes(shape: list[int], block_size: int) -> None:
    scales = scales_shape(tuple(shape), block_size)
    size = int(np.prod(shape))
    assert np.prod(scales) <= max(size // block_size, 1)
    if scales:
        assert scales[:-1] == tuple(shape[: len(scales) - 1])
        assert np.prod(shape[len(scales) :]) <= block_size
    else:
        assert size <= block_size


@pytest.mark.parametrize(("shape", "scales"), [((7, 90), (7, 1)), ((9, 40, 3), (9, 2)), ((170,), (2,)), ((5, 2, 2), ())])
def test_a_block_has_the_scale_of_its_own_largest_entry(shape: tuple[int, ...], scales: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    assert scales_shape(shape, 60) == scales
    _, largest = quantize(jnp.asarray(x), True, scales, jnp.uint32(0))
    blocks = x.reshape(*scales, -1) if scales else x.reshape(-1)
    np.testing.assert_array_equal(largest, np.abs(blocks).max(-1))


@functools.cache
def peer() -> dict[str, np.ndarray]:
    return peer_file("normalised/bitsandbytes")[1]


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("sgd8", lambda: mj.sgd(0.05, 0.9)),
        ("adam8", lambda: mj.adam(0.01)),
        pytest.param("adam8", lambda: optax.adam(0.01), marks=pytest.mark.slow),
    ],
)
def test_the_path_keeps_about_as_close_to_the_exact_one_as_that_of_bitsandbytes(name: str, make: Any) -> None:
    def path(optimizer: Any) -> list[Any]:
        params = {leaf: jnp.asarray(peer()[f"p0_{leaf}"]) for leaf in ("w", "b")}
        state, seen = optimizer.init(params), []
        update = jax.jit(optimizer.update)
        for t in range(20):
            updates, state = update({leaf: jnp.asarray(peer()[f"g_{leaf}"][t]) for leaf in ("w", "b")}, state, params)
            params = optax.apply_updates(params, updates)
            seen.append(params)
        return seen

    ours, exact = path(mj.quantized_state(make(), min_size=0)), path(make())
    for leaf in ("w", "b"):
        moved = np.abs(np.asarray(exact[-1][leaf]) - peer()[f"p0_{leaf}"]).mean()
        theirs = np.mean([np.abs(peer()[f"{name}_{leaf}"][t] - exact[t][leaf]).mean() for t in range(20)])
        mine = np.mean([np.abs(ours[t][leaf] - exact[t][leaf]).mean() for t in range(20)])
        between = np.abs(ours[-1][leaf] - peer()[f"{name}_{leaf}"][-1]).mean()
        assert 0 < mine <= 1.2 * theirs  # a random rounding errs more in one step, and less in many
        assert between < 0.05 * moved
    np.testing.assert_allclose(ours[0]["w"], peer()[f"{name}_w"][0], rtol=1e-5, atol=1e-6)


def test_a_block_of_zeros_or_with_a_bad_entry_keeps_to_itself() -> None:
    x = jnp.concatenate([jnp.zeros(10), jnp.full(10, jnp.nan), jnp.ones(5)])
    back = np.asarray(dequantize(*quantize(x, True, (5,), jnp.uint32(0))))  # five blocks of five
    np.testing.assert_array_equal(back[:10], 0)
    assert np.isnan(back[10:20]).all()
    np.testing.assert_array_equal(back[20:], 1)
