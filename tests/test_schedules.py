"""Schedules of momentum: exact values, the edges, and every way in which a step may arrive."""

import math
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from momentum_jax import schedules

SCHEDULES: dict[str, Callable[[], schedules.Schedule]] = {
    "constant": lambda: schedules.constant(0.7),
    "linear": lambda: schedules.linear(steps=40),
    "cosine": lambda: schedules.cosine(steps=40),
    "sutskever": lambda: schedules.sutskever(0.95, period=10),
    "fista": lambda: schedules.fista(60),
    "warmup_cooldown": lambda: schedules.warmup_cooldown(warmup_steps=20, cooldown_steps=30, total_steps=60),
    "warmup_cooldown, no lines": lambda: schedules.warmup_cooldown(warmup_steps=0, cooldown_steps=0, total_steps=60),
    "demon": lambda: schedules.demon(total_steps=40),
    "ademamix_alpha": lambda: schedules.ademamix_alpha(0.9, steps=40),
    "ademamix_b3": lambda: schedules.ademamix_b3(steps=40),
}
each_schedule = pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES.keys())


def exact(schedule: Callable[[Any], Any], steps: Any) -> np.ndarray:
    """Values in float64."""
    with jax.enable_x64(True):
        return np.asarray(jax.vmap(schedule)(np.array(steps)))


def fista_recursion(length: int) -> list[float]:
    """(t_k - 1) / t_{k+1} for k = 1, 2, ..."""
    t, momenta = 1.0, []
    for _ in range(length):
        t_next = (1 + math.sqrt(1 + 4 * t * t)) / 2
        momenta.append((t - 1) / t_next)
        t = t_next
    return momenta


def test_constant_is_the_same_at_every_step() -> None:
    np.testing.assert_array_equal(exact(schedules.constant(0.7), [0, 1, 10**6]), 0.7)


@pytest.mark.parametrize("make", [schedules.linear, schedules.cosine])
def test_annealing_goes_from_a_half_to_nine_tenths_by_default_and_stays_there(make) -> None:
    values = exact(make(steps=30), [0, 30, 31, 10**9])
    np.testing.assert_allclose(values, [0.5, 0.9, 0.9, 0.9], rtol=1e-15)


def test_linear_is_the_line_between_its_ends_upwards_and_downwards() -> None:
    steps = np.arange(31)
    np.testing.assert_allclose(exact(schedules.linear(steps=30), steps), 0.5 + 0.4 * steps / 30, rtol=1e-15)
    np.testing.assert_allclose(exact(schedules.linear(0.95, 0.2, steps=30), steps), 0.95 - 0.75 * steps / 30, rtol=1e-14)


def test_cosine_is_half_a_cosine_between_its_ends() -> None:
    steps = np.arange(41)
    expected = 0.3 + 0.6 * np.sin(np.pi * steps / 80) ** 2
    np.testing.assert_allclose(exact(schedules.cosine(0.3, 0.9, steps=40), steps), expected, rtol=1e-14)


def test_sutskever_is_the_formula_of_the_paper_with_its_logarithm() -> None:
    steps = np.unique(np.concatenate([np.arange(1000), np.geomspace(1000, 10**7, 200).astype(int)]))
    for maximum in (0.9, 0.99, 0.999):
        expected = [min(1 - 2 ** (-1 - math.log2(math.floor(t / 250) + 1)), maximum) for t in steps]
        np.testing.assert_allclose(exact(schedules.sutskever(maximum), steps), expected, rtol=1e-14)


def test_sutskever_climbs_one_level_a_period_and_stops_at_its_maximum() -> None:
    values = exact(schedules.sutskever(0.9), [0, 249, 250, 499, 500, 999, 1000, 10**9])
    np.testing.assert_allclose(values, [0.5, 0.5, 0.75, 0.75, 1 - 1 / 6, 0.875, 0.9, 0.9], rtol=1e-14)


def test_fista_is_the_recursion_one_step_late() -> None:
    """No step before the first update has left a velocity, so mu_0 = 0; mu_1 = (t_1 - 1) / t_2 = 0 as well."""
    values = exact(schedules.fista(500), range(501))
    np.testing.assert_allclose(values, [0.0, *fista_recursion(500)], rtol=1e-14)
    np.testing.assert_allclose(values[:4], [0, 0, 0.2817, 0.4340], atol=1e-4)


def test_fista_in_float32_is_the_float64_table_rounded_once() -> None:
    schedule = schedules.fista(100_000)
    steps = jnp.array([2, 1000, 99_999, 100_000])
    expected = np.array([0.0, *fista_recursion(100_000)])[np.asarray(steps)].astype(np.float32)
    np.testing.assert_array_equal(jax.vmap(schedule)(steps), expected)


def test_fista_holds_its_last_value_after_the_table() -> None:
    values = exact(schedules.fista(10), [10, 11, 10**9])
    np.testing.assert_array_equal(values, values[0])
    assert values[0] == pytest.approx(fista_recursion(10)[-1], rel=1e-14)


def test_warmup_and_cooldown_are_lines_about_a_plateau() -> None:
    schedule = schedules.warmup_cooldown(0.8, 0.96, warmup_steps=20, cooldown_steps=30, total_steps=60)
    values = exact(schedule, [0, 5, 20, 25, 30, 45, 60, 61, 10**9])
    np.testing.assert_allclose(values, [0.8, 0.84, 0.96, 0.96, 0.96, 0.88, 0.8, 0.8, 0.8], rtol=1e-14)


def test_warmup_and_cooldown_may_meet_without_a_plateau_or_be_left_out() -> None:
    peak = schedules.warmup_cooldown(0.8, 0.9, warmup_steps=10, cooldown_steps=10, total_steps=20)
    np.testing.assert_allclose(exact(peak, [9, 10, 11]), [0.89, 0.9, 0.89], rtol=1e-14)
    flat = schedules.warmup_cooldown(0.8, 0.9, warmup_steps=0, cooldown_steps=0, total_steps=20)
    np.testing.assert_allclose(exact(flat, [0, 20, 30]), 0.9, rtol=1e-14)


def test_demons_weight_of_a_gradient_in_all_later_steps_falls_along_a_line() -> None:
    beta = exact(schedules.demon(0.8, total_steps=40), range(60))
    np.testing.assert_allclose(beta / (1 - beta), 4 * np.maximum(1 - np.arange(60) / 40, 0), rtol=1e-14, atol=1e-15)
    np.testing.assert_array_equal(exact(schedules.demon(0.0, total_steps=1), [0, 1, 2]), 0.0)


def test_ademamix_warms_its_weight_up_along_a_line_and_the_half_life_of_its_slow_average_too() -> None:
    share = np.minimum(np.arange(1, 61) / 40, 1)
    np.testing.assert_allclose(exact(schedules.ademamix_alpha(8.0, steps=40), range(60)), 8 * share, rtol=1e-15)
    half_life = np.log(0.5) / np.log(exact(schedules.ademamix_b3(0.999, b1=0.8, steps=40), range(60)))
    start, end = np.log(0.5) / np.log([0.8, 0.999])
    np.testing.assert_allclose(half_life, start + (end - start) * share, rtol=1e-11)
    rising = exact(schedules.ademamix_b3(0.999, b1=0.0, steps=40), range(60))
    assert (np.diff(rising) >= 0).all()
    assert rising[-1] == 0.999


@each_schedule
def test_every_value_is_a_momentum(make) -> None:
    values = np.asarray(jax.vmap(make())(jnp.arange(200)))
    assert (values >= 0).all()
    assert (values < 1).all()


@each_schedule
def test_python_ints_traced_steps_scans_and_vmaps_give_the_same_values(make) -> None:
    schedule = make()
    steps = jnp.asarray([0, 1, 2, 9, 10, 11, 19, 20, 21, 30, 31, 39, 40, 41, 59, 60, 61, 69])
    one_by_one = [float(schedule(t)) for t in steps.tolist()]
    traced = jax.jit(schedule)
    _, scanned = jax.lax.scan(lambda carry, t: (carry, schedule(t)), 0, steps)
    for values in ([traced(t) for t in steps], scanned, jax.vmap(schedule)(steps)):
        np.testing.assert_allclose(np.asarray(values), one_by_one, rtol=3e-7, atol=1e-8)


@each_schedule
def test_a_value_is_a_scalar_of_the_default_float_dtype(make) -> None:
    for x64, dtype in ((False, jnp.float32), (True, jnp.float64)):
        with jax.enable_x64(x64):
            for step in (0, 69, np.int64(5), jnp.asarray(5, jnp.int32)):
                value = make()(step)
                assert isinstance(value, jax.Array)
                assert value.shape == ()
                assert value.dtype == dtype
                assert not value.weak_type
            assert jax.eval_shape(make(), jnp.int32(3)).dtype == dtype


@each_schedule
def test_a_schedule_traces_once_for_all_steps(make) -> None:
    traces = []

    @jax.jit
    def value(step):
        traces.append(step)
        return make()(step)

    for t in range(5):
        value(jnp.asarray(t, jnp.int32))
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.constant(1.0), "constant: value must be in [0, 1), got 1.0."),
        (lambda: schedules.linear(-0.1, steps=3), "linear: start must be in [0, 1), got -0.1."),
        (lambda: schedules.linear(0.5, math.nan, steps=3), "linear: end must be in [0, 1), got nan."),
        (lambda: schedules.linear(steps=0), "linear: steps must be at least 1, got 0."),
        (lambda: schedules.cosine(1.5, steps=3), "cosine: start must be in [0, 1), got 1.5."),
        (lambda: schedules.cosine(0.5, math.inf, steps=3), "cosine: end must be in [0, 1), got inf."),
        (lambda: schedules.cosine(steps=-1), "cosine: steps must be at least 1, got -1."),
        (lambda: schedules.sutskever(1), "sutskever: maximum must be in [0, 1), got 1."),
        (lambda: schedules.sutskever(period=0), "sutskever: period must be at least 1, got 0."),
        (lambda: schedules.demon(1.0, total_steps=3), "demon: momentum must be in [0, 1), got 1.0."),
        (lambda: schedules.demon(total_steps=0), "demon: total_steps must be at least 1, got 0."),
        (lambda: schedules.ademamix_alpha(-1.0, steps=3), "ademamix_alpha: alpha must be finite and at least 0, got -1.0."),
        (lambda: schedules.ademamix_b3(1.0, steps=3), "ademamix_b3: b3 must be in [0, 1), got 1.0."),
        (lambda: schedules.ademamix_b3(b1=1.0, steps=3), "ademamix_b3: b1 must be in [0, 1), got 1.0."),
        (lambda: schedules.fista(0), "fista: total_steps must be at least 1, got 0."),
        (
            lambda: schedules.warmup_cooldown(2.0, warmup_steps=1, cooldown_steps=1, total_steps=3),
            "warmup_cooldown: low must be in [0, 1), got 2.0.",
        ),
        (
            lambda: schedules.warmup_cooldown(high=-1.0, warmup_steps=1, cooldown_steps=1, total_steps=3),
            "warmup_cooldown: high must be in [0, 1), got -1.0.",
        ),
        (
            lambda: schedules.warmup_cooldown(warmup_steps=-1, cooldown_steps=1, total_steps=3),
            "warmup_cooldown: warmup_steps must be at least 0, got -1.",
        ),
        (
            lambda: schedules.warmup_cooldown(warmup_steps=1, cooldown_steps=-1, total_steps=3),
            "warmup_cooldown: cooldown_steps must be at least 0, got -1.",
        ),
        (
            lambda: schedules.warmup_cooldown(warmup_steps=2, cooldown_steps=2, total_steps=3),
            "warmup_cooldown: warmup_steps + cooldown_steps must be at most total_steps, got 2 + 2 > 3.",
        ),
    ],
)
def test_a_number_out_of_range_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.constant("0.9"), "constant: value must be a number or a 0-d array, got '0.9' (str)."),
        (lambda: schedules.constant(True), "constant: value must be a number or a 0-d array, got True (bool)."),
        (lambda: schedules.linear(None, steps=3), "linear: start must be a number or a 0-d array, got None (NoneType)."),
        (lambda: schedules.linear(steps=3.0), "linear: steps must be an int, got 3.0 (float)."),
        (lambda: schedules.cosine(steps=True), "cosine: steps must be an int, got True (bool)."),
        (lambda: schedules.fista(10.0), "fista: total_steps must be an int, got 10.0 (float)."),
        (lambda: schedules.sutskever(period="250"), "sutskever: period must be an int, got '250' (str)."),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(make, message: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        make()


def test_a_grid_of_momenta_runs_under_vmap_as_one_by_one() -> None:
    def last(maximum, schedule):
        return schedule(maximum)(jnp.int32(5000))

    grid = np.array([0.0, 0.5, 0.9], np.float32)
    for schedule in (
        schedules.constant,
        schedules.sutskever,
        lambda m: schedules.linear(m, 0.2, steps=7000),
        lambda m: schedules.cosine(0.2, m, steps=7000),
        lambda m: schedules.demon(m, total_steps=7000),
        lambda m: schedules.ademamix_alpha(m, steps=7000),
        lambda m: schedules.ademamix_b3(m, b1=0.3, steps=7000),
        lambda m: schedules.warmup_cooldown(m, 0.9, warmup_steps=2, cooldown_steps=9000, total_steps=10000),
    ):
        together = jax.vmap(lambda m, schedule=schedule: last(m, schedule))(grid)
        np.testing.assert_allclose(together, [last(m, schedule) for m in grid], rtol=1e-6)
        assert len(set(np.asarray(together).tolist())) > 1
