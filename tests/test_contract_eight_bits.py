"""The contract of `quantized_state`: whatever optimizer it is around forgets, converges and stays bounded as in float32."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from contract_rows import FIRST, ROWS, UNLIKE
from contract_rows.row import Row

import momentum_jax as mj

# Around it a wrapper is what it wraps; a centred RMSprop and SOAP are refused, and weight decay alone has no state.
NOT_HELD = ("quantized_state", "learning_rate", "weight_decay", "cautious_weight_decay", "qk_clip", "soap")
HELD = [row for row in ROWS if row.file not in NOT_HELD]
TELLING = {"heavy_ball", "adam", "adadelta"}
slow, exhaustive = pytest.mark.slow, pytest.mark.exhaustive
every_method = pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row.id, marks=() if row.id in TELLING else slow if row.file in UNLIKE else exhaustive)
        for row in HELD
        if row in FIRST
    ],
)
SHAPE, STEPS = (8, 64), 3000
LONG = {"momentum": 0.99} | {"alpha": 0.99, "gamma": 0.99, "A": 0.99}


def with_long_memory(row: Row) -> Any:
    """The method with momentum 0.99 where it has one number for it: the decay at which rounding to the nearest fails."""
    return row.build(**{name: value for name, value in LONG.items() if name in row.numbers and row.file != "ademamix"})


@functools.cache
def noises() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(STEPS, *SHAPE)).astype(np.float32)


def gradient(kind: jax.Array, t: jax.Array, noise: jax.Array) -> jax.Array:
    """Constant, noisy, vanishing, and noisy of which a quarter of the columns dies after 100 steps."""
    base = jnp.asarray(np.random.default_rng(0).normal(size=SHAPE), jnp.float32)
    alive = (jnp.arange(SHAPE[1]) % 4 > 0) | (t < 100)
    return jnp.stack([base, base + noise, base * 0.99**t, (base + noise) * alive])[kind]


def walk(optimizer: Any) -> tuple[np.ndarray, np.ndarray]:
    """The largest update of each step, (kinds, steps), and the parameters after every 500 steps, (kinds, walks, *SHAPE)."""

    def one(kind: jax.Array, noise: jax.Array) -> Any:
        params = {"w": jnp.full(SHAPE, 0.1)}

        def step(carry: Any, now: Any) -> Any:
            params, state = carry
            g = {"w": gradient(kind, *now)}
            updates, state = optimizer.update(g, state, params, grad_fn=lambda _: g)
            return (optax.apply_updates(params, updates), state), jnp.max(jnp.abs(updates["w"]))

        def steps(carry: Any, times: Any) -> Any:
            carry, largest = jax.lax.scan(step, carry, times)
            return carry, (largest, carry[0]["w"])

        times = (jnp.arange(float(STEPS)).reshape(-1, 500), noise.reshape(-1, 500, *SHAPE))
        return jax.lax.scan(steps, (params, optimizer.init(params)), times)[1]

    largest, params = jax.jit(jax.vmap(one, (0, None)))(jnp.arange(4), noises())
    return np.asarray(largest).reshape(4, -1), np.asarray(params)


def of_the_dead(params: np.ndarray) -> float:
    """Movement of the columns that died over that of the others, in steps 1,000 to 1,500."""
    moved = np.abs(params[3, 2] - params[3, 1]).mean(0)
    return moved[::4].mean() / moved[np.arange(SHAPE[1]) % 4 > 0].mean()


@every_method
def test_dead_entries_come_to_rest_and_nothing_grows(row: Row) -> None:
    optimizer = with_long_memory(row)
    (exact, exact_path), (ours, path) = walk(optimizer), walk(mj.quantized_state(optimizer, min_size=0))
    assert of_the_dead(path) <= of_the_dead(exact_path) + 0.01
    assert np.all(np.isfinite(ours))
    # The largest of 512 entries may be some roundings above float32's.
    assert np.all(ours.max(1) <= 2.5 * exact.max(1))


@every_method
def test_the_loss_of_a_softmax_regression_is_that_of_float32(row: Row) -> None:
    rng = np.random.default_rng(3)
    x = jnp.asarray(rng.normal(size=(64, 128)) * np.exp(rng.normal(size=128)) / 6, jnp.float32).at[:, :16].set(0)
    labels = jnp.asarray(rng.integers(0, 8, 64))

    def loss_of(params: Any) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(x @ params["w"], labels).mean()

    def last(optimizer: Any) -> float:
        def step(carry: Any, _: None) -> Any:
            params, state = carry
            loss, g = jax.value_and_grad(loss_of)(params)
            updates, state = optimizer.update(g, state, params, value=loss, grad_fn=jax.grad(loss_of))
            return (optax.apply_updates(params, updates), state), None

        params = {"w": jnp.zeros((128, 8))}
        return float(loss_of(jax.jit(lambda: jax.lax.scan(step, (params, optimizer.init(params)), length=1500)[0][0])()))

    exact, ours = (last(o) for o in (with_long_memory(row), mj.quantized_state(with_long_memory(row), min_size=0)))
    assert ours == pytest.approx(exact, rel=0.1, abs=1e-6)


@pytest.mark.parametrize("make", [lambda: mj.rmsprop(0.1, centered=True), lambda: optax.rmsprop(0.1, centered=True)])
def test_a_centred_rmsprop_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="quantized_state: optimizer must not be a centred RMSprop"):
        mj.quantized_state(make()).init({"w": jnp.zeros(5000)})
    mj.quantized_state(make()).init({"w": jnp.zeros(50)})


def test_soap_is_refused_where_a_moment_would_be_rounded_outside_its_bases() -> None:
    for optimizer in (mj.soap(0.1), optax.chain(optax.clip(1.0), mj.scale_by_soap())):
        with pytest.raises(ValueError, match=r"^quantized_state: optimizer must not be soap, for the rounding of its first"):
            mj.quantized_state(optimizer).init({"w": jnp.zeros((64, 100))})
        mj.quantized_state(optimizer).init({"w": jnp.zeros((5, 10))})
