"""What a translation notes of starts and ranges, and schedules that are tabulated, traced or cannot be."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from convention_methods import STEPS, at, momentum, path, path_on_seq, rate, show, tabulated, warm_up
from oracles import Problems, assert_same_path, descend, largest_difference

from momentum_jax.conventions import (
    EMA,
    PID,
    QHM,
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


@pytest.mark.parametrize("h", [PyTorch(0.3, 0.9, dampening=0.5), PyTorch(0.5, 0.9, dampening=0.9)])
@pytest.mark.parametrize("target", ["ema", "keras", "qhm", "triple_momentum", "optax"])
def test_dampening_is_translated_and_the_undamped_first_gradient_is_noted(h: PyTorch, target: str, problem: Problems) -> None:
    translated = convert(h, to=target)
    assert "multiply it by 1 / (1 - dampening)" in translated.note
    assert "note=" in repr(translated)
    expected, tau = path(h, problem, 20), h.dampening
    assert largest_difference(path(translated, problem, 20), expected) > 1e-2
    assert_same_path(path(translated, problem, 20, first=1 / (1 - tau)), expected)
    assert convert(PyTorch(0.3, 0.9), to=target).note == ""


def test_the_notes_say_how_much_the_first_steps_differ(problem: Problems) -> None:
    g = problem.seq(0, problem.theta0)
    t = np.arange(STEPS)[:, None]

    def steps_of(h: Convention) -> np.ndarray:
        return np.diff(path_on_seq(h, problem), axis=0)

    dampened = PyTorch(0.3, 0.9, dampening=0.5)
    np.testing.assert_allclose(
        steps_of(convert(dampened, to=HeavyBall)) - steps_of(dampened), 0.3 * 0.5 * 0.9**t * g, atol=1e-12
    )
    controller = PID(0.1, 0.8, 2.0, 0.5)
    expected = 0.1 * 0.5 * (1 - 0.8) * 0.8**t * g
    np.testing.assert_allclose(steps_of(controller) - steps_of(convert(controller, to=QHM)), expected, atol=1e-12)
    assert "derivative (1 - momentum) momentum^t g_0" in convert(controller, to=QHM).note
    slow = Grokfast(0.1, 0.9, 2.0)
    np.testing.assert_allclose(steps_of(slow) - steps_of(convert(slow, to=QHM)), -0.1 * 2.0 * 0.9 ** (t + 1) * g, atol=1e-12)
    assert "learning_rate lamb alpha^(t+1) g_0" in convert(QHM(0.1, 0.9, 0.5), to=Grokfast).note


def test_the_decay_of_an_average_needs_the_length_of_the_run_and_is_nan_after_it() -> None:
    with pytest.raises(ValueError, match="depends on all steps before: give steps, the length of the run"):
        convert(PyTorch(0.1, momentum), to="ema")
    translated = convert(PyTorch(0.1, momentum), to="ema", steps=STEPS - 2)
    assert at(translated.momentum, 9) == pytest.approx(0.9)
    assert np.isfinite([at(translated.momentum, t) for t in (48, 49)]).all()  # for the next translation to look ahead
    assert np.isnan(at(translated.momentum, STEPS))
    assert convert(PyTorch(rate, 0.9), to="ema").momentum == 0.9


@pytest.mark.parametrize("target", ["qhm", "triple_momentum", "keras", "ema"])
def test_traced_numbers_are_translated_under_vmap_and_have_derivatives(target: str) -> None:
    def read(eta: Any, mu: Any) -> list[Any]:
        translated = convert(PyTorch(eta, mu), to=target)
        return [v for v in translated.hyperparameters().values() if not isinstance(v, bool)]

    etas, mus = jnp.array([0.1, 0.2, 0.0]), jnp.array([0.9, 0.5, 0.3])
    swept = jax.vmap(lambda eta, mu: [jnp.asarray(v) for v in read(eta, mu)])(etas, mus)
    for i in range(3):
        np.testing.assert_allclose([v[i] for v in swept], read(float(etas[i]), float(mus[i])), rtol=1e-13)
    slope = jax.grad(lambda mu: jnp.asarray(convert(PyTorch(0.1, mu), to="ema").learning_rate))(0.9)
    assert slope == pytest.approx(0.1 / (1 - 0.9) ** 2)


@pytest.mark.parametrize(
    "source",
    [
        lambda m: QHM(0.1, m, 0.7),
        lambda m: QHM(0.1, 0.9, m),
        lambda m: EMANesterov(0.1, 0.6, m),
        lambda m: Grokfast(0.1, m, 2.0),
    ],
    ids=["QHM, momentum", "QHM, nu", "EMA Nesterov", "Grokfast"],
)
def test_traced_numbers_become_triple_momentum(source: Any) -> None:
    def read(m: Any) -> list[Any]:
        return [jnp.asarray(v) for v in convert(source(m), to="triple_momentum").hyperparameters().values()]

    np.testing.assert_allclose(jax.jit(read)(0.5), read(0.5), rtol=1e-13)


def test_the_schedules_of_a_translation_work_inside_jit() -> None:
    translated = convert(Keras(rate, momentum), to="ema", steps=STEPS)
    for schedule in (translated.learning_rate, translated.momentum):
        assert jax.jit(schedule)(jnp.int32(25)) == pytest.approx(at(schedule, 25), rel=1e-15)


def test_a_traced_number_that_would_have_to_be_known_is_refused() -> None:
    def read(nu: Any) -> Any:
        return convert(QHM(0.1, 0.9, nu), to="ema").learning_rate

    with pytest.raises(ValueError, match="which these schedules or traced numbers do not keep"):
        jax.vmap(read)(jnp.ones(2))


def test_what_only_the_last_update_reads_is_looked_at() -> None:
    def ends(t: Any) -> Any:
        return jnp.where(t < 12, 0.1, jnp.nan)

    for target in (TripleMomentum, EMANesterov):
        with pytest.raises(ValueError, match=r"its own momentum is nan at step 12"):
            convert(Nesterov(0.1, ends), to=target, steps=12)
        assert at(convert(Nesterov(0.1, ends), to=target, steps=11).hyperparameters()[target.ahead[0]], 11) > 0


@pytest.mark.slow
def test_a_translation_can_be_translated_again_for_the_same_steps(problem: Problems) -> None:
    source = Nesterov(0.05, momentum)
    there = convert(convert(source, to=QHM, steps=40), to=TripleMomentum, steps=30)
    assert_same_path(path(there, problem, 30), path(source, problem, 30))


@pytest.mark.slow
def test_a_schedule_that_is_not_finite_is_blamed_on_who_made_it() -> None:
    translated = convert(Nesterov(0.05, momentum), to=QHM, steps=STEPS)
    message = rf"its own learning_rate is nan at step {STEPS + 2}, as the schedule of a translation is after its steps\.$"
    with pytest.raises(ValueError, match=message):
        convert(translated, to=TripleMomentum, steps=STEPS + 10)

    def holed(t: Any) -> Any:
        return jnp.where(t == 7, jnp.inf, 0.1)

    with pytest.raises(ValueError, match=r"its own lr is inf at step 7\.$"):
        convert(PyTorch(holed, 0.9), to=HeavyBall, steps=STEPS)


@pytest.mark.parametrize("transform", [jax.jit, jax.grad])
def test_inside_a_transformation_known_schedules_are_tabulated_and_looked_at(transform: Any) -> None:
    eager = convert(Nesterov(1.0, momentum), to=QHM, steps=STEPS)

    def read(eta: Any) -> Any:
        assert convert(Nesterov(0.1, momentum), to=QHM, steps=STEPS).note == ""
        with pytest.raises(ValueError, match="momentum would be inf at step 1"):
            convert(PyTorch(warm_up, 0.9), to=Keras)
        return convert(Nesterov(eta, momentum), to=QHM, steps=STEPS).learning_rate(16)

    assert transform(read)(1.0) == pytest.approx(at(eager.learning_rate, 16), rel=1e-14)


def test_float32_schedules_are_translated_in_float64() -> None:
    single = optax.linear_schedule(0.1, 0.01, 30)
    assert jnp.asarray(single(jnp.int32(3))).dtype == jnp.float32
    translated = convert(PyTorch(single, 0.9), to=HeavyBall, steps=STEPS)
    expected = 0.9 * np.float64(single(jnp.int32(8))) / np.float64(single(jnp.int32(7)))
    assert float(translated.momentum(jnp.int32(8))) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize(
    ("value", "got"),
    [(None, "None"), ("a", "'a'"), (np.ones(1), r"an array of float64\[1\]"), (1j, r"an array of complex128\[\]")],
)
def test_a_schedule_that_gives_no_number_is_refused(value: Any, got: str) -> None:
    with pytest.raises(TypeError, match=rf"^convert: a schedule must return a real number or a 0-d array, got {got}\."):
        convert(PyTorch(lambda t: value, 0.9), to=Keras)


def test_a_translation_into_itself_looks_at_the_steps_too() -> None:
    source = PyTorch(lambda t: jnp.where(t == 3, jnp.nan, 0.1), 0.9)
    assert convert(source, to=PyTorch, steps=3) is source
    with pytest.raises(ValueError, match="its own lr is nan at step 3"):
        convert(source, to=PyTorch, steps=4)
    with pytest.raises(TypeError, match=r"must compute with jax\.numpy"):
        convert(PyTorch(branches, 0.9), to=PyTorch, steps=4)


def test_an_array_is_translated_as_the_number_that_it_holds() -> None:
    narrow = jnp.asarray(0.1, jnp.bfloat16)
    translated = convert(PyTorch(narrow, 0.9), to=EMA).learning_rate
    assert isinstance(translated, float)
    assert translated == pytest.approx(float(narrow) / (1 - 0.9), rel=1e-14)
    traced = jax.jit(lambda lr: convert(PyTorch(lr, 0.9), to=EMA).learning_rate)(narrow)
    assert traced == pytest.approx(float(narrow) / (1 - 0.9), rel=1e-14)


def test_a_schedule_that_is_copied_or_multiplied_was_not_divided_and_is_not_noted() -> None:
    for source, target in (
        (PyTorch(rate, 0.9), EMA),
        (PyTorch(rate, momentum), Optax),
        (PyTorch(rate, 0.8, nesterov=True), QHM),
        (EMA(0.1, momentum), QHM),
        (PyTorch(0.1, 0.9), HeavyBall),
    ):
        assert convert(source, to=target).note == ""


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (PyTorch(lambda t: jnp.where(t < 20, 0.01, 0.1), 0.9), HeavyBall, r"momentum is 9 at step 20, .* be in [0, 1)"),
        (PyTorch(lambda t: jnp.where(t < 20, 0.01, 0.1), 0.9, nesterov=True), TripleMomentum,
         "alpha is -0.071 at step 19, where a number would have to be finite and at least 0; the points are the same."),
        (TripleMomentum(0.1, lambda t: jnp.where(t < 9, 0.5, -0.5), 0.0), PyTorch, "momentum is -0.5 at step 9"),
    ],
    ids=show,
)  # fmt: skip
def test_a_schedule_out_of_its_range_is_noted_and_keeps_the_points(
    source: Convention, target: type[Convention], message: str, problem: Problems
) -> None:
    translated = convert(source, to=target, steps=STEPS)
    start, _, rest = message.partition(" .* ")
    assert start in translated.note
    assert rest in translated.note
    expected = path(source, problem)
    assert_same_path(path(translated, problem), expected)
    assert_same_path(descend(build(tabulated(translated)), problem.bent, problem.theta0, STEPS).held, expected)
    assert convert(source, to=target).note.count("at step") == 0


def test_a_schedule_of_traced_numbers_is_noted_as_not_looked_at() -> None:
    notes = []

    def read(eta: Any) -> Any:
        translated = convert(PyTorch(lambda t: eta * rate(t), 0.9), to=HeavyBall, steps=STEPS)
        notes.append(translated.note)
        return translated.momentum(3)

    jax.jit(read)(0.1)
    assert "momentum holds traced numbers, and was not looked at." in notes[0]


def branches(t: Any) -> Any:
    return 0.1 if t < 10 else 0.01


@pytest.mark.parametrize("schedule", [branches, lambda t: np.cos(t), lambda t: (0.1, 0.2)[t]])
@pytest.mark.parametrize("target", ["heavy_ball", "ema"])
def test_a_schedule_that_cannot_be_traced_is_refused_with_the_remedy(schedule: Any, target: str) -> None:
    with pytest.raises(TypeError, match=r"^convert: a schedule must compute with jax.numpy.*jnp\.where\(step < 10") as caught:
        convert(PyTorch(schedule, momentum), to=target, steps=STEPS)
    assert "\n" not in str(caught.value)


def test_what_rounding_alone_keeps_from_a_round_number_is_that_number() -> None:
    assert repr(convert(PyTorch(lr=0.1, momentum=0.9), to="ema")) == "EMA(learning_rate=1.0, momentum=0.9)"
    assert convert(convert(PyTorch(3e-17, 0.9), to="ema"), to="pytorch").lr == pytest.approx(3e-17, rel=1e-15)


def test_a_pid_from_a_pid_says_once_what_the_start_of_each_is(problem: Problems) -> None:
    source = PID(0.1, 0.8, 2.0, 0.5)
    assert convert(source, to="pid", derivative=0.5) is source
    translated = convert(source, to="pid", derivative=0.25)
    assert translated.note.count("PID's derivative is 0 at first") == 1
    assert "a PID is smaller by its own learning_rate derivative (1 - momentum) momentum^t g_0" in translated.note
    g, t = problem.seq(0, problem.theta0), np.arange(STEPS)[:, None]
    first, second = (np.diff(path_on_seq(h, problem), axis=0) for h in (source, translated))
    lost = [h.learning_rate * h.derivative * (1 - 0.8) * 0.8**t * g for h in (source, translated)]
    np.testing.assert_allclose(first - lost[0], second - lost[1], atol=1e-12)


def test_triple_momentum_is_built_in_the_widest_float() -> None:
    table = jnp.linspace(0.05, 0.01, 24, dtype=jnp.float32)
    source = Keras(lambda t: table[t], 0.9, nesterov=True)
    translated = convert(source, to=TripleMomentum, steps=40)
    start, flat = np.array([1.0, -2.0, 0.5]), np.array([1.0, 3.0, 6.0])
    ours, theirs = (descend(build(h), lambda t, x: flat * x, start, 20).held for h in (translated, source))
    assert_same_path(ours, theirs)
