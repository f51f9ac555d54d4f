"""QK-clip: which heads shrink and by how much, in attention of any kind, and what it refuses."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import peer_file

import momentum_jax as mj


def clipped(optimizer: Any, params: Any, logits: Any, updates: Any = None) -> Any:
    """The parameters after a step of `updates`, by default zeros."""
    updates = jax.tree.map(jnp.zeros_like, params) if updates is None else updates
    updates, _ = optimizer.update(updates, optimizer.init(params), params, max_logits=logits)
    return optax.apply_updates(params, updates)


def test_queries_and_keys_of_large_heads_shrink_as_in_megatron() -> None:
    names = ("weight", "max_logits", "clipped", "tau", "alpha")
    weight, logits, expected, tau, alpha = (peer_file("muon/peers")[1][f"qk_clip_mha/{name}"] for name in names)
    fused = weight.reshape(3, 3, 4, 5)  # groups, of one query, key and value each, of 4 dimensions, and 5 inputs
    params = {"query": fused[:, 0], "key": fused[:, 1], "value": fused[:, 2]}
    after = clipped(mj.qk_clip({"query": ("key", 0)}, tau=float(tau), balance=float(alpha)), params, logits)
    ours = np.stack([after["query"], after["key"], after["value"]], 1).reshape(36, 5)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)
    assert not np.array_equal(ours, weight)


def attention(heads: int = 4, keys: int = 4) -> Any:
    rng = np.random.default_rng(0)
    shapes = {"query": (5, heads, 3), "key": (5, keys, 3), "value": (5, keys, 3)}
    return {"layer": {name: {"kernel": rng.normal(size=shape)} for name, shape in shapes.items()}}


FLAX = {"*/query/kernel": ("*/key/kernel", 1)}


def products(params: Any) -> np.ndarray:
    """q.k of each head for some inputs, (heads, n, n); query heads of a group are side by side."""
    x = np.random.default_rng(1).normal(size=(6, 5))
    q, k = (np.einsum("nd,dhe->hne", x, params["layer"][name]["kernel"]) for name in ("query", "key"))
    return np.einsum("hne,hme->hnm", q, np.repeat(k, len(q) // len(k), axis=0))


@pytest.mark.parametrize("balance", [0.0, 0.3, 1.0])
def test_after_the_step_the_logits_of_large_heads_have_the_limit_and_the_others_stay(balance: float) -> None:
    params, step = attention(), jax.tree.map(lambda x: 0.01 * x[::-1], attention())
    moved = optax.apply_updates(params, step)
    before = products(moved)
    largest = np.abs(before).max((1, 2))
    tau = float(np.sort(largest)[1]) * 1.01
    after = clipped(mj.qk_clip(FLAX, tau=tau, balance=balance), params, {"layer/query/kernel": largest}, step)
    eta = np.minimum(1, tau / largest)
    assert sorted(eta < 1) == [False, False, True, True]
    np.testing.assert_allclose(products(after), eta[:, None, None] * before, rtol=1e-12)
    for h in np.flatnonzero(eta == 1):
        np.testing.assert_array_equal(after["layer"]["query"]["kernel"][:, h], moved["layer"]["query"]["kernel"][:, h])
    np.testing.assert_array_equal(after["layer"]["value"]["kernel"], moved["layer"]["value"]["kernel"])


def test_query_heads_that_share_a_key_take_the_eta_of_the_largest_among_them() -> None:
    params = attention(heads=4, keys=2)
    logits = {"layer": {"query": {"kernel": jnp.array([50.0, 400.0, 10.0, 20.0])}}}
    after = clipped(mj.qk_clip(FLAX), params, logits)
    eta = np.array([0.25, 0.25, 1, 1])
    np.testing.assert_allclose(products(after), eta[:, None, None] * products(params), rtol=1e-12)


def test_in_latent_attention_the_rotary_queries_take_all_of_eta_and_their_shared_key_stays() -> None:
    rng = np.random.default_rng(0)
    names = {"q_c": (5, 2, 3), "k_c": (5, 2, 3), "q_r": (5, 2, 1), "k_r": (5, 1)}
    params = {name: rng.normal(size=shape) for name, shape in names.items()}
    s = jnp.array([400.0, 50.0])
    after = clipped(mj.qk_clip({"q_c": ("k_c", 1), "q_r": (None, 1)}), params, {"q_c": s, "q_r": s})
    for name, first in (("q_c", 0.5), ("k_c", 0.5), ("q_r", 0.25), ("k_r", None)):
        eta = 1.0 if first is None else np.array([first, 1.0])[:, None]
        np.testing.assert_allclose(after[name], eta * params[name], rtol=1e-12)


def test_scanned_layers_have_logits_of_their_own() -> None:
    rng = np.random.default_rng(0)
    params = {name: rng.normal(size=(2, 5, 3, 4)) for name in ("query", "key")}
    s = np.array([[50.0, 400.0, 100.0], [900.0, 1.0, 100.0]])
    after = clipped(mj.qk_clip({"query": ("key", 2)}), params, {"query": s[:, None, :, None]})
    factor = np.sqrt(np.minimum(1, 100 / s))[:, None, :, None]
    for name, p in params.items():
        np.testing.assert_allclose(after[name], factor * p, rtol=1e-12)


def test_muon_with_qk_clip_is_a_chain_whose_state_is_muons_and_a_step() -> None:
    axes = {"*/value/kernel": "in out out", "*": "in out out"}
    optimizer = optax.chain(
        mj.muon(0.02, axes=axes), mj.qk_clip(FLAX, tau=lambda step: 100.0 - step, balance=lambda step: 0.5 + step)
    )
    params = attention()
    state = optimizer.init(params)
    step = jax.jit(lambda u, s, p, logits: optimizer.update(u, s, p, max_logits=logits))
    updates, state = step(params, state, params, 400.0)
    alone, _ = mj.muon(0.02, axes=axes).update(params, mj.muon(0.02, axes=axes).init(params), params)
    moved = optax.apply_updates(params, alone)
    after = optax.apply_updates(params, updates)
    np.testing.assert_allclose(after["layer"]["key"]["kernel"], 0.5 * moved["layer"]["key"]["kernel"], rtol=1e-12)
    np.testing.assert_allclose(after["layer"]["value"]["kernel"], moved["layer"]["value"]["kernel"], rtol=1e-12)
    assert state[-1].step == 1


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        ([1], TypeError, r"pairs must be a dict query -> \(key, axis of heads\), got list\."),
        ({}, ValueError, r"pairs must name at least one query, got an empty dict\."),
        ({"q": "k"}, TypeError, r"pairs must be query -> \(key, axis of heads\), got 'q': 'k'\."),
        ({"q": ("k", 1.0)}, TypeError, r"pairs\['q'\] must be \(a pattern or None, an axis or None\)"),
        ({"*/q": ("k", 1)}, ValueError, r"pairs must have as many \* and \? in a key as in its query, got '\*/q' and 'k'\."),
    ],
)
def test_pairs_that_are_none_are_refused_when_it_is_built(pairs: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^qk_clip: {message}"):
        mj.qk_clip(pairs)


def test_what_does_not_fit_the_parameters_is_named() -> None:
    params = attention(heads=4, keys=3)
    for pairs, message in [
        ({"*/q/kernel": ("*/key/kernel", 1)}, r"'\*/q/kernel' fits none of layer/key/kernel, layer/query/kernel, layer/value"),
        ({"*/query/kernel": ("*/keys/kernel", 1)}, r"'layer/query/kernel' has none at 'layer/keys/kernel'\."),
        ({"*/query/kernel": ("*/key/kernel", 3)}, r"leaf \['layer'\]\['query'\]\['kernel'\] must have the axis of heads, 3"),
        (FLAX, r"the heads of leaf \['layer'\]\['key'\]\['kernel'\] must divide those of its query, got 3 and 4\."),
    ]:
        with pytest.raises(ValueError, match=f"^qk_clip: .*{message}"):
            mj.qk_clip(pairs).init(params)
    params, optimizer = attention(), mj.qk_clip(FLAX)
    state = optimizer.init(params)
    with pytest.raises(ValueError, match=r"^qk_clip: it needs the largest logit of each head: call update\(.*max_logits="):
        optimizer.update(params, state, params)
    with pytest.raises(
        ValueError, match=r"^qk_clip: max_logits must have a leaf for each query leaf, got none for 'layer/query"
    ):
        optimizer.update(params, state, params, max_logits={"query": 1.0})
    with pytest.raises(ValueError, match=r"must have 4 heads, got shape \(3,\)\.$"):
        optimizer.update(params, state, params, max_logits=jnp.ones(3))
