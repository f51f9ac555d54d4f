"""A translation under XLA's optimizations: schedules of float32, as Optax's are, whose ratios it may compute more than once."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compiled import as_users
from convention_methods import show

from momentum_jax.conventions import PID, QHM, AggMo, Convention, Keras, PyTorch, build, convert

UPDATES = 12
slow, exhaustive = pytest.mark.slow, pytest.mark.exhaustive
SCHEDULES = {
    "linear from 0": optax.linear_schedule(0.0, 0.05, 5),
    "piecewise": optax.piecewise_constant_schedule(0.05, {8: 0.1}),
    "linear decay": optax.linear_schedule(0.05, 0.01, 10),
}


def compiled_path(h: Convention) -> np.ndarray:
    """Down a quadratic, each update compiled as a user's is."""
    optimizer = build(h)
    update = as_users(optimizer.update)
    x = jnp.array([1.0, -2.0, 0.5])
    state, held = optimizer.init(x), [x]
    for _ in range(UPDATES):
        updates, state = update(jnp.array([1.0, 3.0, 6.0]) * x, state, x)
        x = x + updates
        held.append(x)
    return np.stack(held)


def rows() -> list[Any]:
    telling = {
        ("piecewise", QHM, "triple_momentum", True),
        ("piecewise", PyTorch, "qhm", True),
        ("linear from 0", QHM, "triple_momentum", False),
    }
    every = [
        (name, source, to, x64)
        for x64 in (True, False)
        for name, rate in SCHEDULES.items()
        for source in (
            PyTorch(rate, 0.8, nesterov=True),
            QHM(rate, 0.9, 0.7),
            PID(rate, 0.75, 2.0, 0.0),
            AggMo(rate, 0.85),
            Keras(rate, 0.82, nesterov=True),
        )
        for to in ("triple_momentum", "qhm", "pid")
        if to != type(source).__name__.lower()
    ]
    return [
        pytest.param(source, to, x64, marks=() if (name, type(source), to, x64) in telling else exhaustive if i % 6 else slow)
        for i, (name, source, to, x64) in enumerate(every)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("source", "to", "x64"), rows(), ids=show)
def test_a_compiled_translation_goes_where_its_compiled_source_goes(source: Convention, to: str, x64: bool) -> None:
    with jax.enable_x64(x64):
        ours, theirs = compiled_path(convert(source, to=to, steps=UPDATES)), compiled_path(source)
    assert ours.dtype == (np.float64 if x64 else np.float32)
    # Of float64 too: XLA rounds a schedule's float32 products one way in one program and another way in the other.
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())
