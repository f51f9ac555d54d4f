"""The contract: schedules that look at the number of their step, and what they give at the last step that is counted."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contract_runs import run, some_params

import momentum_jax as mj
from momentum_jax import schedules

LAST = 2**31 - 1
LATE: dict[str, tuple[Callable[[int], Any], float]] = {
    "constant": (lambda steps: schedules.constant(0.9), 0.9),
    "linear": (lambda steps: schedules.linear(0.5, 0.9, steps=steps), 0.9),
    "cosine": (lambda steps: schedules.cosine(0.5, 0.9, steps=steps), 0.9),
    "sutskever": (lambda steps: schedules.sutskever(0.99, period=steps), 0.99),
    "warmup_cooldown": (
        lambda steps: schedules.warmup_cooldown(0.85, warmup_steps=0, cooldown_steps=1, total_steps=steps),
        0.85,
    ),
    "demon": (lambda steps: schedules.demon(0.9, total_steps=steps), 0.0),
    "ademamix_alpha": (lambda steps: schedules.ademamix_alpha(5.0, steps=steps), 5.0),
    "ademamix_b3": (lambda steps: schedules.ademamix_b3(0.9999, steps=steps), 0.9999),
}


@pytest.mark.parametrize("name", LATE)
@pytest.mark.parametrize(
    "place", [lambda s, t: s(t), lambda s, t: s(int(t)), lambda s, t: jax.jit(s)(t), lambda s, t: s(t[None])[0]]
)
def test_at_the_last_step_that_is_counted_a_schedule_gives_its_last_value(name: str, place: Callable[..., Any]) -> None:
    make, expected = LATE[name]
    np.testing.assert_allclose(place(make(1), jnp.asarray(LAST, jnp.int32)), expected, rtol=1e-6)


def test_a_table_of_momenta_ends_with_its_last_entry() -> None:
    assert schedules.fista(5)(jnp.asarray(LAST, jnp.int32)) == schedules.fista(5)(5)


@pytest.mark.usefixtures("x64")
def test_the_levels_of_sutskever_go_on_to_the_last_step() -> None:
    schedule = schedules.sutskever(float(np.nextafter(1, 0)), period=1)
    assert schedule(jnp.asarray(LAST, jnp.int32)) == schedule(jnp.asarray(LAST - 1, jnp.int32)) == 1 - 0.5 / LAST


COUNTS: dict[str, Callable[[int], Any]] = {
    **{name: make for name, (make, _) in LATE.items() if name != "constant"},
    "fista": schedules.fista,
    "warmup_steps": lambda n: schedules.warmup_cooldown(warmup_steps=n, cooldown_steps=0, total_steps=LAST),
    "cooldown_steps": lambda n: schedules.warmup_cooldown(warmup_steps=0, cooldown_steps=n, total_steps=LAST),
    "demon, the optimizer": lambda n: mj.demon(0.1, total_steps=n),
    "adaptive_restart": lambda n: mj.adaptive_restart(mj.heavy_ball(0.1), min_steps=n),
    "yellowfin": lambda n: mj.yellowfin(curvature_window=n),
}
TOO_LARGE_TO_BUILD = {"fista"}


@pytest.mark.parametrize("name", COUNTS)
def test_more_steps_than_are_counted_are_refused_when_the_schedule_is_built(name: str) -> None:
    for steps in (LAST + 1, 10**20):
        with pytest.raises(ValueError, match=rf"(steps|period|window) must be at most {LAST}, got {steps}\.$"):
            COUNTS[name](steps)


@pytest.mark.parametrize("name", [name for name in COUNTS if name not in TOO_LARGE_TO_BUILD])
def test_as_many_steps_as_are_counted_are_taken(name: str) -> None:
    built = COUNTS[name](LAST)
    if hasattr(built, "init"):
        params = {"w": jnp.ones(2)}
        jax.eval_shape(lambda: built.update(params, built.init(params), params))
    else:
        assert np.isfinite(built(3))


def test_matrices_may_be_chosen_by_the_number_of_the_step() -> None:
    def rate(step: Any) -> float:
        return 0.1 if step < 2 else 0.01

    params = some_params()
    found = run(mj.state_space_momentum(0.0, 0.0, 0.0, lambda step: -rate(step)), params)[:-1]
    chex.assert_trees_all_close(found, run(mj.gradient_descent(rate), params)[:-1], rtol=1e-6)


def test_an_init_that_cannot_be_traced_is_refused_by_quantized_state_in_a_sentence() -> None:
    optimizer = mj.quantized_state(mj.nesterov(0.1, lambda step: 0.9 if step < 2 else 0.5))
    with pytest.raises(TypeError, match=r"^quantized_state: the init of optimizer must be traceable; a schedule"):
        optimizer.init(some_params())
