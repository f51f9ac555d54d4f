"""Blocks in 8 bits: the dynamic map and the rounding against bitsandbytes and brute force."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import peer_file

import momentum_jax as mj
from momentum_jax.optimizers._eight_bits import dequantize, quantize

SIGNS = pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])


@pytest.fixture(scope="module")
def peer() -> dict[str, np.ndarray]:
    return peer_file("normalised/bitsandbytes")[1]


def whole_map(signed: bool) -> np.ndarray:
    """What the 256 codes stand for in a block whose largest entry is 1."""
    codes = jnp.arange(-128, 128).astype(jnp.int8) if signed else jnp.arange(256).astype(jnp.uint8)
    return np.asarray(dequantize(codes, jnp.ones(1)))


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
    codes, _ = quantize(jnp.asarray(x), signed, 50)
    scaled = x.reshape(-1, 100) / np.abs(x).reshape(-1, 100).max(1, keepdims=True)
    entries, zero = whole_map(signed), 128 if signed else 0
    # Without signs nothing but 0 becomes 0.
    allowed = np.abs(scaled.reshape(-1, 1) - (entries if signed else entries[1:]))
    distances = np.abs(scaled.reshape(-1) - entries[np.asarray(codes, int) + zero])
    np.testing.assert_allclose(distances, allowed.min(1), atol=1e-15)
    again, _ = quantize(jnp.asarray(entries), signed, 1)
    np.testing.assert_array_equal(np.asarray(again, int) + zero, np.arange(256))


def test_rounding_is_that_of_bitsandbytes_but_nearer(peer: dict[str, np.ndarray]) -> None:
    # Its CPU kernel looks up small entries in a coarse table.
    x = peer["q_in"]
    whole = jnp.pad(jnp.asarray(x), (0, -len(x) % 256))
    ours, largest = quantize(whole, True, len(whole) // 256)
    codes = np.asarray(ours, int)[: len(x)] + 128
    np.testing.assert_array_equal(largest, peer["q_absmax"])
    plain = np.abs(x) > 0.005 * np.repeat(peer["q_absmax"], 256)[: len(x)]
    # Their code 127 + rank is ours plus 128.
    np.testing.assert_array_equal(codes[plain], peer["q_codes"][plain])
    assert plain.mean() > 0.4
    assert np.all(np.abs(dequantize(ours, largest)[: len(x)] - x) <= np.abs(peer["q_out"] - x) + 1e-5)
    theirs = np.pad(np.asarray(peer["q_codes"], int) - 128, (0, -len(x) % 256)).astype(np.int8)
    back = dequantize(jnp.asarray(theirs), jnp.asarray(peer["q_absmax"]))[: len(x)]
    np.testing.assert_allclose(back, peer["q_out"], rtol=3e-6)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("sgd8", lambda: mj.sgd(0.05, 0.9)),
        ("adam8", lambda: mj.adam(0.01)),
        pytest.param("adam8", lambda: optax.adam(0.01), marks=pytest.mark.slow),
    ],
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
        assert between < 0.05 * moved  # second moments near 0 are rounded to 0 there
    np.testing.assert_allclose(ours[0]["w"], peer[f"{name}_w"][0], rtol=1e-5, atol=1e-6)


def test_a_block_of_zeros_or_with_a_bad_entry_keeps_to_itself() -> None:
    x = jnp.concatenate([jnp.zeros(10), jnp.full(10, jnp.nan), jnp.ones(5)])
    back = np.asarray(dequantize(*quantize(x, True, 5)))  # five blocks of five
    np.testing.assert_array_equal(back[:10], 0)
    assert np.isnan(back[10:20]).all()
    np.testing.assert_array_equal(back[20:], 1)
