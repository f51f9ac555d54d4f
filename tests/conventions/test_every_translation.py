"""Every translation takes its gradients where the original takes them, step by step, and exists where it is said to."""

from typing import Any

import numpy as np
import pytest
from convention_methods import METHODS, STEPS, exact, library, momentum, path, rate, share, show, tabulated
from hypothesis import assume, given, settings, strategies as st
from oracles import Problems, assert_same_path, descend

from momentum_jax.conventions import (
    EMA,
    PID,
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
    ReformulatedNesterov,
    TripleMomentum,
    convert,
)

PLAIN = [PyTorch(0.05, 0.8), Optax(0.05, 0.8), Keras(0.05, 0.8), HeavyBall(0.05, 0.8), EMA(0.25, 0.8), QHM(0.25, 0.8, 1.0)]
NESTEROV = [
    PyTorch(0.05, 0.8, nesterov=True),
    Optax(0.05, 0.8, nesterov=True),
    Keras(0.05, 0.8, nesterov=True),
    Nesterov(0.05, 0.8),
    ReformulatedNesterov(0.05, 0.8),
    QHM(0.25, 0.8, 0.8),
    EMANesterov(0.05, 0.8, 0.0),
]
MIXED = [
    QHM(0.25, 0.8, 0.5),
    QHM(0.25, 0.8, -0.3),
    QHM(0.1, 0.8, 1.3),
    AcceleratedSGD(0.02, 100.0, 5.0),
    TripleMomentum(0.05, 0.7, 0.3),
    PID(0.01, 0.8, 2.0, 0.5),
    PID(0.01, 0.8, 2.0, 0.0),
    Grokfast(0.02, 0.9, 2.0),
    EMANesterov(0.02, 0.6, 0.7),
    AggMo(0.05, 0.8),
]
MEMORYLESS = [
    PyTorch(0.05),
    Keras(0.05, nesterov=True),
    QHM(0.05, 0.9, 0.0),
    QHM(0.05, 0.0, 0.4),
    TripleMomentum(0.05, 0.0, 0.0),
]
SCHEDULED = [
    PyTorch(rate, momentum),
    PyTorch(rate, 0.8),
    PyTorch(0.05, momentum),
    PyTorch(rate, 0.8, nesterov=True),
    PyTorch(0.05, momentum, nesterov=True),
    PyTorch(rate, momentum, nesterov=True),
    Keras(rate, momentum),
    Keras(rate, 0.8),
    Keras(rate, 0.8, nesterov=True),
    Keras(0.05, momentum, nesterov=True),
    Keras(rate, momentum, nesterov=True),
    Nesterov(rate, 0.8),
    Nesterov(rate, momentum),
    EMA(rate, momentum),
    QHM(rate, momentum, share),
    QHM(rate, 0.8, 0.8),
    QHM(rate, momentum, momentum),
    QHM(0.1, momentum, 1.0),
    AcceleratedSGD(lambda t: rate(t) / 5, 100.0, 5.0),
    AcceleratedSGD(0.01, lambda t: 100.0 + t, lambda t: 5.0 + momentum(t), 0.7),
    TripleMomentum(rate, momentum, share),
    PID(lambda t: rate(t) / 5, 0.8, 2.0, 0.5),
    PID(0.01, 0.8, lambda t: 2.0 + share(t), share),
    PID(0.01, momentum, 2.0, 0.5),
    Grokfast(rate, momentum, share),
    EMANesterov(rate, momentum, share),
    EMANesterov(rate, 0.6, 0.7),
    AggMo(rate, momentum),
]


def oracle_path(h: Convention, problem: Problems) -> np.ndarray:
    """Started as the one-pole form starts; the methods' own starts have tests of their own."""
    return path(h, problem, **({"starts_at_zero": True} if type(h) in (PID, Grokfast) else {}))


@pytest.mark.parametrize(
    "h",
    [
        pytest.param(h, marks=(pytest.mark.exhaustive if i % 3 else pytest.mark.slow) if i % 10 else ())
        for i, h in enumerate([*PLAIN, *NESTEROV, *MIXED, *MEMORYLESS, *SCHEDULED])
    ],
    ids=show,
)
def test_every_translation_takes_its_gradients_at_the_same_points(h: Convention, problem: Problems) -> None:
    expected = oracle_path(h, problem)
    for target in METHODS:
        translated = exact(h, target)
        if translated is not None:
            assert type(translated) is target
            assert_same_path(oracle_path(translated, problem), expected)
            # Optax's and Keras's plain form are the same optimizers again.
            optimizer = None if target in (Optax, HeavyBall, ReformulatedNesterov) else library(tabulated(translated))
            if optimizer is not None:
                assert_same_path(descend(optimizer, problem.bent, problem.theta0, STEPS).held, expected)


EVERY = {QHM, TripleMomentum}
WITH_GRADIENT = {PID, Grokfast, EMANesterov, AcceleratedSGD}
IS_PLAIN = {PyTorch, Optax, Keras, HeavyBall, EMA, QHM, TripleMomentum}
IS_NESTEROV = {PyTorch, Optax, Keras, Nesterov, ReformulatedNesterov, *EVERY, *WITH_GRADIENT}
REACHED: list[tuple[Convention, set[Any]]] = [
    *((h, IS_PLAIN) for h in PLAIN),
    *((h, IS_NESTEROV) for h in NESTEROV),
    *((h, set(METHODS)) for h in MEMORYLESS),
    (QHM(0.25, 0.8, 0.5), {*EVERY, *WITH_GRADIENT}),
    (QHM(0.25, 0.8, 0.9), {*EVERY, PID, Grokfast, AcceleratedSGD}),
    (QHM(0.25, 0.8, -0.3), {*EVERY, AcceleratedSGD}),
    (QHM(0.1, 0.8, 1.3), EVERY),
    (AggMo(0.05, 0.8), {*EVERY, PID, Grokfast, AcceleratedSGD, AggMo}),
    (PyTorch(rate, momentum), IS_PLAIN),
    (Keras(rate, momentum), IS_PLAIN),
    (EMA(rate, momentum), IS_PLAIN),
    (PyTorch(rate, 0.8, nesterov=True), {PyTorch, Optax, *EVERY, PID, Grokfast}),
    (PyTorch(0.05, momentum, nesterov=True), {PyTorch, Optax, Keras, ReformulatedNesterov, *EVERY, PID, Grokfast}),
    (Keras(rate, 0.8, nesterov=True), {Keras, Nesterov, ReformulatedNesterov, *EVERY, *WITH_GRADIENT}),
    (Keras(rate, momentum, nesterov=True), {Keras, ReformulatedNesterov, *EVERY, PID, Grokfast}),
    (Nesterov(rate, momentum), {Nesterov, *EVERY, PID, Grokfast, EMANesterov}),
    (EMANesterov(rate, 0.6, 0.7), {*EVERY, *WITH_GRADIENT}),
    (AggMo(rate, momentum), {*EVERY, PID, Grokfast, AggMo}),
    (QHM(rate, momentum, share), {*EVERY, PID, Grokfast}),
]


@pytest.mark.parametrize(("h", "reached"), REACHED, ids=show)
def test_a_form_is_reached_from_where_it_exists_and_from_nowhere_else(h: Convention, reached: set[Any]) -> None:
    assert {target for target in METHODS if exact(h, target) is not None} == reached


def test_the_published_formulas() -> None:
    eta, mu, b, nu, kappa, xi, c = 0.1, 0.9, 0.8, 0.3, 50.0, 4.0, 0.6

    def same(translated: Convention, expected: Convention) -> None:
        assert type(translated) is type(expected)
        for name, value in expected.hyperparameters().items():
            assert getattr(translated, name) == pytest.approx(value, rel=1e-13), name

    same(convert(PyTorch(eta, mu), to="ema"), EMA(eta / (1 - mu), mu))
    same(convert(HeavyBall(eta, mu), to="qhm"), QHM(eta / (1 - mu), mu, 1.0))
    same(convert(PyTorch(eta, mu, dampening=0.4), to="heavy_ball"), HeavyBall(eta * 0.6, mu))
    same(convert(Nesterov(eta, mu), to="qhm"), QHM(eta / (1 - mu), mu, mu))
    same(convert(TripleMomentum(eta, b, 0.3), to="qhm"), QHM(eta / (1 - b), b, 1 - 0.3 * (1 - b) / b))
    same(convert(QHM(eta, b, nu), to="triple_momentum"), TripleMomentum(eta * (1 - b), b, b * (1 - nu) / (1 - b)))
    accelerated = QHM(eta * c * (1 + xi) / (1 + c), (kappa - c * c * xi) / (kappa + c * xi), (c * xi - 1) / (c * (1 + xi)))
    same(convert(AcceleratedSGD(eta, kappa, xi, c), to="qhm"), accelerated)
    same(convert(accelerated, to="accelerated_sgd", small_const=c), AcceleratedSGD(eta, kappa, xi, c))
    same(convert(Grokfast(eta, b, 2.0), to="qhm"), QHM(eta * 3, b, 2 / 3))
    ki, kd = 5.0, 2.0
    controlled = QHM(eta * (1 + ki / (1 - mu)), mu, 1 - (1 + kd * (1 - mu) / mu) / (1 + ki / (1 - mu)))
    same(convert(PID(eta, mu, ki, kd), to="qhm"), controlled)
    same(convert(controlled, to="pid", derivative=kd), PID(eta, mu, ki, kd))
    same(convert(EMANesterov(eta, 0.6, 0.7), to="qhm"), QHM(eta / (1 - 0.6), 0.7 + 0.3 * 0.6, 0.6))
    total = 1 + 1 / (1 - b)
    same(convert(AggMo(eta, b), to="qhm"), QHM(eta / 2 * total, b, 1 / (1 - b) / total))


unit = st.floats(0.05, 0.95)
RATE = st.floats(1e-3, 10)
GENERATED = st.one_of(
    st.builds(PyTorch, RATE, unit, nesterov=st.booleans()),
    st.builds(Keras, RATE, unit, st.booleans()),
    st.builds(EMA, RATE, unit),
    st.builds(Nesterov, RATE, unit),
    st.builds(QHM, RATE, unit, st.sampled_from([-0.7, -0.1, 0.1, 0.45, 0.93, 1.0, 1.2])),
    st.builds(AcceleratedSGD, RATE, st.floats(20, 1000), st.floats(2.0, 10), st.floats(0.3, 1.0)),
    st.builds(TripleMomentum, RATE, unit, st.floats(0, 2)),
    st.builds(PID, RATE, unit, st.floats(0.1, 5), st.floats(0, 0.01)),
    st.builds(Grokfast, RATE, unit, st.floats(0.01, 5)),
    st.builds(EMANesterov, RATE, unit, unit),
    st.builds(AggMo, RATE, unit),
)


@settings(deadline=None, max_examples=60)
@given(h=GENERATED)
def test_there_and_back_is_where_it_began(h: Convention) -> None:
    chosen = {name: getattr(h, name) for name in h.open}
    plain = exact(h, HeavyBall)
    assume(plain is None or plain.momentum > 0)
    for target in METHODS:
        there = exact(h, target)
        if there is None:
            continue
        # What the intermediate form cannot hold is chosen as it was.
        back = convert(there, to=type(h), **({} if type(there) is type(h) else chosen))
        for name, value in h.hyperparameters().items():
            assert getattr(back, name) == pytest.approx(value, rel=1e-7, abs=1e-9), f"{name} by way of {there}"
