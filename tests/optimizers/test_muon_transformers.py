"""Transformers of NNX, linen and Equinox under Muon: each leaf is the matrix that Muon's authors would make of it, or none."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import momentum_jax as mj
from momentum_jax._trees import leaves_by_path
from momentum_jax.optimizers._axes import AxesRule, views
from momentum_jax.optimizers.per_layer import layer_path
from momentum_jax.training import of_equinox, of_linen, of_nnx

ALPHABET, WIDTH, HEADS, LENGTH = 11, 8, 2, 6
TOKENS = np.tile(np.arange(LENGTH + 1) % ALPHABET, (4, 1)) + np.arange(4)[:, None]


class NnxNet(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.embed = nnx.Embed(ALPHABET, WIDTH, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(HEADS, WIDTH, decode=False, rngs=rngs)
        self.norm = nnx.LayerNorm(WIDTH, rngs=rngs)
        self.up, self.down = nnx.Linear(WIDTH, 4 * WIDTH, rngs=rngs), nnx.Linear(4 * WIDTH, WIDTH, rngs=rngs)
        self.head = nnx.Linear(WIDTH, ALPHABET, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        x = self.embed(tokens)
        x = x + self.attention(x, mask=nnx.make_causal_mask(tokens))
        return self.head(x + self.down(nnx.gelu(self.up(self.norm(x)))))


class LinenBlock(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> tuple[jax.Array, None]:
        x = x + nn.MultiHeadDotProductAttention(HEADS)(x, mask=mask)
        return x + nn.Dense(WIDTH)(nn.gelu(nn.Dense(4 * WIDTH)(nn.LayerNorm()(x)))), None


class LinenNet(nn.Module):
    """Two layers under one `nn.scan`, whose leaves have the layers first."""

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        x = nn.Embed(ALPHABET, WIDTH)(tokens)
        axes, rngs = {"params": 0}, {"params": True}
        scanned = nn.scan(LinenBlock, variable_axes=axes, split_rngs=rngs, in_axes=nn.broadcast, length=2)
        x, _ = scanned(name="layers")(x, nn.make_causal_mask(tokens))
        return nn.Dense(ALPHABET, name="head")(x)


class EquinoxNet(eqx.Module):
    embed: eqx.nn.Embedding
    attention: eqx.nn.MultiheadAttention
    norm: eqx.nn.LayerNorm
    up: eqx.nn.Linear
    down: eqx.nn.Linear
    head: eqx.nn.Linear

    def __init__(self, key: jax.Array) -> None:
        keys = jax.random.split(key, 5)
        self.embed = eqx.nn.Embedding(ALPHABET, WIDTH, key=keys[0])
        self.attention = eqx.nn.MultiheadAttention(HEADS, WIDTH, use_query_bias=True, key=keys[1])
        self.norm = eqx.nn.LayerNorm(WIDTH)
        self.up = eqx.nn.Linear(WIDTH, 4 * WIDTH, key=keys[2])
        self.down = eqx.nn.Linear(4 * WIDTH, WIDTH, key=keys[3])
        self.head = eqx.nn.Linear(WIDTH, ALPHABET, key=keys[4])

    def __call__(self, tokens: jax.Array) -> jax.Array:
        x = jax.vmap(self.embed)(tokens)
        x = x + self.attention(x, x, x, mask=jnp.tril(jnp.ones((len(tokens), len(tokens)), bool)))
        hidden = jax.nn.gelu(jax.vmap(self.up)(jax.vmap(self.norm)(x)))
        return jax.vmap(self.head)(x + jax.vmap(self.down)(hidden))


ATTENTION = {"*/query/kernel": "in out out", "*/key/kernel": "in out out", "*/value/kernel": "in out out"}
# What makes the functions, the axes to name, and of each leaf that is a matrix its batch, inputs and outputs.
NETS: dict[str, tuple[Callable[[], Any], dict[str, Any], dict[str, tuple[int, int, int]]]] = {
    "nnx": (
        lambda: of_nnx(NnxNet),
        {f"attention/{name}/kernel": "in out out" for name in ("query", "key", "value")}
        | {"attention/out/kernel": "in in out", "head/*": None},
        {f"attention/{name}/kernel": (1, 8, 8) for name in ("query", "key", "value", "out")}
        | {"up/kernel": (1, 8, 32), "down/kernel": (1, 32, 8)},
    ),
    "linen": (
        lambda: of_linen(LinenNet(), jnp.asarray(TOKENS[:, :-1])),
        {pattern: f"batch {spec}" for pattern, spec in ATTENTION.items()}
        | {"*/out/kernel": "batch in in out", "layers/Dense_?/kernel": "batch in out", "layers/*": None, "head/*": None},
        {f"layers/MultiHeadDotProductAttention_0/{name}/kernel": (2, 8, 8) for name in ("query", "key", "value", "out")}
        | {"layers/Dense_0/kernel": (2, 32, 8), "layers/Dense_1/kernel": (2, 8, 32)},
    ),
    "equinox": (
        lambda: of_equinox(EquinoxNet),
        {"embed.*": None, "head.*": None},
        {f"attention.{name}_proj.weight": (1, 8, 8) for name in ("query", "key", "value", "output")}
        | {"up.weight": (1, 8, 32), "down.weight": (1, 32, 8)},
    ),
}


@pytest.mark.parametrize("framework", NETS)
def test_every_matrix_of_a_transformer_is_what_muons_authors_would_make_of_it(framework: str) -> None:
    make, axes, expected = NETS[framework]
    params, _ = jax.eval_shape(make().init, jax.random.key(0))
    optimizer = mj.muon(axes=axes)
    jax.eval_shape(optimizer.init, params)
    seen = views("muon", params, AxesRule().check("muon", "axes", axes), "auto")
    found = {}
    for path, view in seen.items():
        if view is not None:
            (sides,), shape = view.sides, leaves_by_path(params)[path].shape
            found[layer_path(path)] = (int(np.prod(shape)) // (sides[0] * sides[1]), *sides)
    assert found == expected


@pytest.mark.slow
@pytest.mark.parametrize("framework", NETS)
def test_a_transformer_trains_with_muon(framework: str) -> None:
    make, axes, expected = NETS[framework]
    init, apply = make()
    params, state = init(jax.random.key(0))
    optimizer, key = mj.muon(0.02, axes=axes), jax.random.key(1)

    def loss(params: Any) -> jax.Array:
        outputs, _ = apply(params, state, jnp.asarray(TOKENS[:, :-1] % ALPHABET), key=key, train=True)
        return optax.softmax_cross_entropy_with_integer_labels(outputs, jnp.asarray(TOKENS[:, 1:] % ALPHABET)).mean()

    @jax.jit
    def step(params: Any, held: Any) -> Any:
        value, gradient = jax.value_and_grad(loss)(params)
        updates, held = optimizer.update(gradient, held, params)
        return updates, optax.apply_updates(params, updates), held, value

    updates, held, values = None, optimizer.init(params), []
    for _ in range(30):
        updates, params, held, value = step(params, held)
        values.append(float(value))
    assert values[-1] < 0.5 * values[0]
    moved = {layer_path(path): u for path, u in leaves_by_path(updates).items()}
    for name, (batch, inputs, outputs) in expected.items():
        # Orthogonal up to the scale of the learning rate, whichever way the leaf is stored.
        of_rows = framework == "equinox"
        matrices = np.asarray(moved[name]).reshape(batch, *((outputs, inputs) if of_rows else (inputs, outputs)))
        largest = np.linalg.svd(matrices, compute_uv=False).max(-1) / (0.02 * max(1, outputs / inputs) ** 0.5)
        assert np.all((largest > 0.6) & (largest < 1.25)), name
