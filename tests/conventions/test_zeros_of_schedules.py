"""Translations of schedules that are 0 at a step, or nearly, or make a hyperparameter of the result so."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from convention_methods import STEPS, at, momentum, path, rate, share, show, tabulated, warm_up
from oracles import Problems, assert_same_path, descend

from momentum_jax.conventions import (
    EMA,
    QHM,
    AcceleratedSGD,
    AggMo,
    Convention,
    EMANesterov,
    Grokfast,
    HeavyBall,
    Keras,
    Nesterov,
    Optax,
    PyTorch,
    TripleMomentum,
    build,
    convert,
)


def late_zero(t: Any) -> Any:
    return jnp.where(t == 30, 0.0, 0.1)


def cosine_to_zero(t: Any, end: int = STEPS) -> Any:
    return 0.025 * (1 + jnp.cos(jnp.pi * jnp.minimum(t, end) / end))


@pytest.mark.parametrize("schedule", [warm_up, functools.partial(cosine_to_zero, end=40)])
def test_a_learning_rate_of_zero_keeps_what_it_can(schedule: Any, problem: Problems) -> None:
    for source, form in (
        (Keras(schedule, momentum), HeavyBall),
        (Keras(schedule, 0.9), TripleMomentum),
        (Keras(schedule, 0.9, nesterov=True), Nesterov),
        (PyTorch(schedule, momentum), EMA),
        (PyTorch(schedule, momentum), QHM),
    ):
        translated = convert(source, to=form, steps=STEPS)
        assert_same_path(path(translated, problem), path(source, problem))
    translated = convert(Keras(warm_up, 0.9), to=EMA, steps=STEPS)
    assert_same_path(path(translated, problem), path(Keras(warm_up, 0.9), problem))


def test_a_learning_rate_of_zero_is_refused_where_the_other_form_forgets_a_gradient() -> None:
    with pytest.raises(
        ValueError,
        match=r"momentum would be inf at step 1: .* has weight 0 in the memory of the other, as .* learning_rate is 0\.",
    ):
        convert(PyTorch(warm_up, 0.9), to=Keras)
    with pytest.raises(ValueError, match="momentum would be inf at step 31"):
        convert(PyTorch(late_zero, 0.9), to=Keras, steps=STEPS)
    assert convert(PyTorch(0.0, 0.9), to=QHM) == QHM(0.0, 0.9, 1.0)


def to_zero_at_the_last(t: Any) -> Any:
    return 0.1 * jnp.clip(1 - jnp.asarray(t, float) / (STEPS - 1), 0.0, 1.0)


@pytest.mark.parametrize(
    "source",
    [
        PyTorch(to_zero_at_the_last, 0.9, nesterov=True),
        AggMo(to_zero_at_the_last, 0.9),
        QHM(to_zero_at_the_last, 0.9, 0.5),
    ],
    ids=show,
)
def test_the_last_update_reads_a_step_further_and_is_finite_after_a_decay_to_zero(
    source: Convention, problem: Problems
) -> None:
    translated = convert(source, to=TripleMomentum, steps=STEPS)
    expected = path(source, problem)
    assert_same_path(descend(build(tabulated(translated)), problem.bent, problem.theta0, STEPS).held, expected)


@pytest.mark.parametrize("form", [PyTorch, Keras])
def test_a_momentum_that_pauses_at_zero_is_noted_for_the_frameworks_do_not_follow_it(form: Any) -> None:
    def pauses(t: Any) -> Any:
        return jnp.where((t > 3) & (t < 6), 0.0, 0.9)

    def ends(t: Any) -> Any:
        return jnp.where(t > 3, 0.0, 0.9)

    said = f"{form.__name__}'s momentum is 0 at step 5 and not after it: the framework itself leaves its velocity as it is"
    assert said in convert(form(0.1, pauses), to=Optax if form is PyTorch else HeavyBall, steps=STEPS).note
    assert said in convert((Optax if form is PyTorch else HeavyBall)(0.1, pauses), to=form, steps=STEPS).note
    assert convert(form(0.1, ends), to=Optax if form is PyTorch else HeavyBall, steps=STEPS).note == ""


@pytest.mark.parametrize("target", [Optax, EMA, QHM, Keras, TripleMomentum])
def test_pytorch_does_not_dampen_where_a_schedule_of_momentum_has_come_to_zero(
    target: type[Convention], problem: Problems
) -> None:
    def ends(t: Any) -> Any:
        return jnp.where(t > 3, 0.0, 0.9)

    source = PyTorch(0.1, ends, dampening=0.5)
    translated = convert(source, to=target, steps=STEPS)
    assert_same_path(path(translated, problem, first=2.0), path(source, problem))
    assert "while momentum is 0" not in translated.note


def test_a_schedule_of_momentum_that_comes_to_zero_is_built_as_pytorch_dampens(problem: Problems) -> None:
    source = PyTorch(0.1, lambda t: jnp.where(t > 3, 0.0, 0.9), dampening=0.5)
    optimizer = descend(build(source), problem.bent, problem.theta0, STEPS).held
    assert_same_path(path(source, problem), optimizer)


def test_where_momentum_is_0_from_the_start_there_is_nothing_to_undo_at_the_start(problem: Problems) -> None:
    source = PyTorch(0.1, lambda t: jnp.zeros(()), dampening=0.5)
    translated = convert(source, to=Keras, steps=STEPS)
    assert translated.note == ""
    assert_same_path(path(translated, problem), path(source, problem))


def test_without_steps_it_is_noted_that_dampening_ends_where_momentum_does() -> None:
    note = "PyTorch does not dampen while momentum is 0, the translation does where it was not looked at: give steps."
    dampened = PyTorch(0.1, momentum, dampening=0.5)
    assert note in convert(dampened, to=Optax).note
    assert note not in convert(dampened, to=Optax, steps=STEPS).note
    assert note not in convert(PyTorch(0.1, momentum), to=Optax).note


@pytest.mark.parametrize("zero", [0.0, np.float32(0), jnp.zeros(())])
def test_dampening_without_momentum_does_nothing(zero: Any) -> None:
    assert convert(PyTorch(0.1, zero, dampening=0.5), to=Optax) == Optax(0.1, 0.0)
    assert convert(PyTorch(0.1, zero, dampening=0.5), to=Optax).note == ""
    lr = jax.jit(lambda mu: convert(PyTorch(0.1, mu, dampening=0.5), to=Optax).learning_rate)
    assert lr(jnp.asarray(zero)) == pytest.approx(0.1)
    assert lr(0.9) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("source", "target", "ratios"),
    [
        (PyTorch(late_zero, 0.9), HeavyBall, "momentum"),
        (Keras(late_zero, 0.9), PyTorch, "momentum"),
        (PyTorch(late_zero, 0.9, nesterov=True), TripleMomentum, "alpha, beta, gamma"),
        (QHM(rate, momentum, share), Grokfast, "learning_rate, lamb"),
    ],
    ids=show,
)
def test_without_steps_the_note_says_that_ratios_of_schedules_were_hardly_looked_at(
    source: Convention, target: type[Convention], ratios: str
) -> None:
    assert f"Of {ratios} only steps 0 and 1 were looked at" in convert(source, to=target).note


def test_an_alpha_of_zero_is_named_where_it_makes_beta_infinite() -> None:
    # Nesterov's alpha_t is r_t (1 + mu) - r_(t+1) mu: exactly 0 at step 29.
    source = PyTorch(lambda t: jnp.where(t == 30, 0.375, 0.125), 0.5, nesterov=True)
    assert at(convert(source, to=TripleMomentum).alpha, 29) == 0.0
    with pytest.raises(ValueError, match=r"would be -?(inf|nan) at step 30: .*, as it does where alpha is 0") as caught:
        convert(source, to=TripleMomentum, steps=STEPS)
    assert "learning_rate is 0" not in str(caught.value)


def freeze(t: Any) -> Any:
    return jnp.where(t == 10, 0.0, 0.025)


@pytest.mark.parametrize(
    ("source", "steps"),
    [
        (AcceleratedSGD(cosine_to_zero, 40.0, 4.0), None),
        (EMANesterov(cosine_to_zero, 0.6, 0.7), STEPS),
        pytest.param(AcceleratedSGD(freeze, 40.0, 4.0), STEPS, marks=pytest.mark.slow),
        pytest.param(EMANesterov(freeze, 0.6, 0.7), None, marks=pytest.mark.slow),
    ],
    ids=show,
)
def test_a_multiple_of_a_learning_rate_is_finite_where_that_is_zero(
    source: Convention, steps: int | None, problem: Problems
) -> None:
    translated = convert(source, to=TripleMomentum, steps=steps)
    assert translated.note == ""
    assert_same_path(descend(build(tabulated(translated)), problem.bent, problem.theta0, STEPS).held, path(source, problem))


def to_nothing(t: Any) -> Any:
    return jnp.clip(0.9 - 0.0186 * jnp.asarray(t, float), 0.0, 0.9)  # 0 from step 49 on


@pytest.mark.parametrize(
    "source",
    [
        Keras(cosine_to_zero, momentum, nesterov=True),
        EMANesterov(cosine_to_zero, to_nothing, 0.7),
        pytest.param(EMANesterov(cosine_to_zero, 0.6, share), marks=pytest.mark.slow),
        pytest.param(EMANesterov(freeze, share, momentum), marks=pytest.mark.slow),
        pytest.param(AcceleratedSGD(freeze, lambda t: 40.0 + t, 4.0), marks=pytest.mark.slow),
        pytest.param(Nesterov(cosine_to_zero, to_nothing), marks=pytest.mark.slow),
    ],
    ids=show,
)
def test_where_a_rate_inside_the_memory_is_zero_triple_momentum_is_finite(source: Convention, problem: Problems) -> None:
    translated = convert(source, to=TripleMomentum, steps=STEPS)
    assert_same_path(descend(build(tabulated(translated)), problem.bent, problem.theta0, STEPS).held, path(source, problem))


FORGETS = TripleMomentum(0.05, to_nothing, lambda t: to_nothing(t) / 2)


@pytest.mark.parametrize(
    ("source", "target", "options"),
    [
        (TripleMomentum(0.05, to_nothing, 0.0), QHM, {}),
        (FORGETS, QHM, {}),
        pytest.param(FORGETS, Grokfast, {"starts_at_zero": True}, marks=pytest.mark.slow),
    ],
    ids=show,
)
def test_a_triple_momentum_that_forgets_all_is_translated(
    source: Convention, target: type[Convention], options: Any, problem: Problems
) -> None:
    translated = convert(source, to=target, steps=STEPS)
    assert_same_path(path(translated, problem, **options), path(source, problem))


@pytest.mark.parametrize("steps", [3, STEPS])  # gamma at step 3 is read by the last of three updates
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_an_alpha_that_only_rounding_keeps_from_zero_is_refused(dtype: Any, steps: int) -> None:
    # alpha_t is 0.6 r_t - 0.4 r_(t+1): 0 at step 2 of this warm-up.
    source = QHM(lambda t: 0.05 * jnp.minimum(jnp.asarray(t, dtype) / 5, 1), 0.8, 0.5)
    with pytest.raises(ValueError, match=r"would be .* at step 3: .*, as it does where alpha is 0"):
        convert(source, to=TripleMomentum, steps=steps)


def nearly_off(t: Any) -> Any:
    return jnp.where((t > 5) & (t < 12), 1e-7, 0.05)


def from_nearly_nothing(t: Any) -> Any:
    return jnp.maximum(1e-8, 0.01 * jnp.minimum(t, 5))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (QHM(nearly_off, 0.9, 0.7), TripleMomentum),
        (EMA(from_nearly_nothing, momentum), HeavyBall),
        pytest.param(PyTorch(nearly_off, 0.9, nesterov=True), TripleMomentum, marks=pytest.mark.slow),
        pytest.param(EMA(optax.linear_schedule(1e-8, 0.05, 5), momentum), Keras, marks=pytest.mark.slow),
    ],
    ids=show,
)
def test_a_learning_rate_that_is_small_is_no_rounding_of_zero(
    source: Convention, target: type[Convention], problem: Problems
) -> None:
    translated = convert(source, to=target, steps=STEPS)
    # What is left of float64 where a momentum of a million takes back what a rate of a millionth gave.
    np.testing.assert_allclose(path(translated, problem), path(source, problem), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("form", [Optax, Keras])
def test_nesterov_without_momentum_is_built_as_gradient_descent(form: Any, problem: Problems) -> None:
    ours = descend(build(form(0.1, 0.0, nesterov=True)), problem.bent, problem.theta0, 5).held
    assert_same_path(ours, path(form(0.1), problem, 5))
