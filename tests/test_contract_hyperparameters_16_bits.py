"""The contract: in 16 bits the decay of an average is refused, and any other momentum that is known to have become 1."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from contract_rows.row import Row
from contract_runs import a_matrix, every_number, gradients, some_params
from contract_walks import optimizers_unlike
from decays_of_averages import averages_of

import momentum_jax as mj
from momentum_jax import schedules, smoothing

WIDTHS = pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
TOO_NARROW = "must be at least 32 bits wide, got "
ROUNDED = r"must be in \[0, 1\), got 1\.?0? in "
REMEDY = r"With optax\.inject_hyperparams pass hyperparam_dtype=jnp\.float32\."


def narrow(value: float, dtype: str) -> jax.Array:
    return jnp.asarray(value, dtype)


def step_of(optimizer: Any) -> Any:
    params = a_matrix()
    return optimizer.update(gradients(params, 0), optimizer.init(params), params)


@every_number
@WIDTHS
def test_only_decays_of_averages_must_be_32_bits_wide(row: Row, name: str, dtype: str) -> None:
    value = narrow(row.numbers[name] * 0.99, dtype)
    kinds = {
        "array": lambda: row.build(**{name: value}),
        "NumPy number": lambda: row.build(**{name: np.asarray(value)[()]}),
        "NumPy array": lambda: row.build(**{name: np.asarray(value)}),
        "traced": lambda: jax.eval_shape(lambda v: row.build(**{name: v}).init(a_matrix()), value),
        "schedule": lambda: jax.eval_shape(lambda: step_of(row.build(**{name: lambda step: value}))),
        "eager schedule": lambda: step_of(row.build(**{name: lambda step: value})),
    }
    for kind, build in kinds.items():
        if name not in averages_of(row):
            if "schedule" not in kind or name not in row.no_schedule:
                build()
            continue
        what = f"the schedule of {name}" if "schedule" in kind else name
        with pytest.raises(TypeError, match=f"^{row.id.split('-')[0]}: {what} {TOO_NARROW}{dtype}; .* {REMEDY}"):
            build()


VELOCITIES: dict[str, Callable[[Any], Any]] = {
    "aggregated_momentum": lambda mu: mj.aggregated_momentum(0.1, (0.0, mu)),
    "demon": lambda mu: mj.demon(0.1, mu, total_steps=10),
    "heavy_ball": lambda mu: mj.heavy_ball(0.1, mu),
    "lars": lambda mu: mj.lars(0.1, mu),
    "nesterov": lambda mu: mj.nesterov(0.1, mu),
    "rmsprop": lambda mu: mj.rmsprop(0.1, momentum=mu),
    "sgd": lambda mu: mj.sgd(0.1, mu),
    "simplified_ademamix": lambda mu: mj.simplified_ademamix(0.1, mu),
}


@pytest.mark.parametrize("make", VELOCITIES.values(), ids=VELOCITIES)
@WIDTHS
def test_the_momentum_of_a_velocity_is_refused_where_it_is_known_to_have_become_one(
    make: Callable[[Any], Any], dtype: str
) -> None:
    rounded, kept = narrow(0.9999, dtype), narrow(0.9, dtype)
    for given in (rounded, np.asarray(rounded), np.asarray(rounded)[()]):
        with pytest.raises(ValueError, match=f"{ROUNDED}{dtype}. {REMEDY}"):
            make(given)
    with pytest.raises(ValueError, match=rf"the schedule of \S+ {ROUNDED}{dtype}. {REMEDY}"):
        step_of(make(lambda step: rounded))
    jax.eval_shape(lambda v: step_of(make(v)), rounded)  # of a traced number nobody knows the value
    step_of(make(kept))
    step_of(make(lambda step: kept))
    step_of(make(jnp.float32(1.0)))  # arrays of 32 bits hold what the user meant


@optimizers_unlike
def test_inject_hyperparams_on_16_bit_parameters_is_refused_or_right(row: Row) -> None:
    params = jax.tree.map(lambda p: p.astype(jnp.bfloat16), some_params())
    make = optax.inject_hyperparams

    def injected(**options: Any) -> Any:
        factory = make(row.supplied(row.make), (*row.static, *row.structure), **options)
        return factory(**row.numbers, **row.structure)

    def updates_of(optimizer: Any) -> Any:
        return optimizer.update(gradients(params, 0), optimizer.init(params), params)[0]

    usual = updates_of(row.build())
    chex.assert_trees_all_close(updates_of(injected(hyperparam_dtype=jnp.float32)), usual, rtol=1e-2)
    if averages_of(row):
        with pytest.raises(TypeError, match=TOO_NARROW):
            injected().init(params)
    else:
        # The numbers themselves are rounded to 8 bits.
        chex.assert_trees_all_close(updates_of(injected()), usual, rtol=5e-2)


def test_what_rounds_to_an_excluded_zero_is_refused() -> None:
    for eps in (narrow(1e-9, "float16"), np.float16(1e-9)):
        with pytest.raises(ValueError, match=r"^yellowfin: eps must be finite and above 0, got 0\.0 in float16"):
            mj.yellowfin(eps=eps)
    mj.yellowfin(eps=narrow(1e-6, "float16"))


def test_a_momentum_that_inject_hyperparams_rounds_to_one_is_refused() -> None:
    params = {"w": jnp.ones(3, jnp.bfloat16)}
    with pytest.raises(ValueError, match=f"^heavy_ball: momentum {ROUNDED}bfloat16"):
        optax.inject_hyperparams(mj.heavy_ball)(0.1, 0.999).init(params)


@pytest.mark.parametrize(
    "build",
    [
        lambda decay: schedules.ademamix_b3(decay, steps=10),
        lambda decay: schedules.ademamix_b3(b1=decay, steps=10),
        lambda decay: smoothing.exponential_moving_average(jnp.ones(3), decay),
        lambda decay: smoothing.exponential_moving_average(np.ones(3), decay, debias=False),
        lambda decay: smoothing.exponential_weight_sums(3, decay),
    ],
)
def test_decays_of_averages_outside_optimizers_are_held_to_the_same(build: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=f"{TOO_NARROW}bfloat16"):
        build(narrow(0.999, "bfloat16"))
    build(0.999)
    build(jnp.float32(0.999))


def test_a_momentum_of_a_schedule_that_has_become_one_is_refused() -> None:
    for build in (schedules.constant, lambda v: schedules.linear(end=v, steps=3), lambda v: schedules.demon(v, total_steps=3)):
        with pytest.raises(ValueError, match=f"{ROUNDED}bfloat16"):
            build(narrow(0.999, "bfloat16"))
        build(narrow(0.9, "bfloat16"))
