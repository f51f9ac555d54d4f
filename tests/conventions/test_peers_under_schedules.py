"""Trajectories that PyTorch and Keras went through, while learning rate and momentum changed, are those of the translations."""

from typing import Any

import numpy as np
import pytest
from convention_methods import (
    BOTH,
    METHODS,
    STEPS,
    at,
    library,
    momentum,
    rate,
    show,
    tabulated,
)
from oracles import Problems, assert_same_path, descend, peer_file
from peer_rows import annealed_momentum, stepped_rate

from momentum_jax.conventions import (
    EMA,
    QHM,
    Convention,
    HeavyBall,
    Keras,
    Nesterov,
    Optax,
    PyTorch,
    TripleMomentum,
    convert,
)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("form", [PyTorch, Optax, QHM, TripleMomentum], ids=show)
def test_pytorchs_trajectory_through_a_change_of_both_is_that_of_its_translations(
    name: str, form: type[Convention], problem: Problems
) -> None:
    assert_translated(PyTorch(rate, momentum, nesterov=BOTH[name]), form, "conventions/torch", name, problem)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("form", [Keras, QHM, TripleMomentum], ids=show)
def test_keras_trajectory_through_a_change_of_both_is_that_of_its_translations(
    name: str, form: type[Convention], problem: Problems
) -> None:
    assert_translated(Keras(rate, momentum, BOTH[name]), form, "conventions/keras", name, problem)


@pytest.mark.parametrize("form", [PyTorch, Optax, Keras, HeavyBall, EMA], ids=show)
@pytest.mark.parametrize(("peer", "source"), [("torch", PyTorch), ("keras", Keras)])
def test_a_change_of_both_crosses_from_framework_to_framework(
    peer: str, source: Any, form: type[Convention], problem: Problems
) -> None:
    assert_translated(source(rate, momentum), form, f"conventions/{peer}", "momentum_both", problem)


def assert_translated(source: Convention, form: type[Convention], peer: str, name: str, problem: Problems) -> None:
    """Into `form`, as the method and as this library's optimizer, it goes the peer's two trajectories of this name."""
    translated = convert(source, to=form, steps=STEPS)
    optimizer = library(tabulated(translated))
    for on, gradient in (("quad", problem.quad), ("seq", problem.seq)):
        theirs = peer_file(peer)[1][f"{name}/{on}"]
        if optimizer is not None:
            assert_same_path(descend(optimizer, gradient, problem.theta0, STEPS).held, theirs)
        method = METHODS[form](translated, problem.theta0)
        points = [next(method)]
        for t in range(STEPS):
            points.append(method.send(gradient(t, points[-1])))
        assert_same_path(np.array(points), theirs)


@pytest.mark.parametrize(
    ("trajectory", "source", "form"),
    [
        ("torch/momentum_lrsched", PyTorch(stepped_rate, 0.9), Keras),
        ("torch/momentum_lrsched", PyTorch(stepped_rate, 0.9), EMA),
        ("torch/momentum_musched", PyTorch(0.05, annealed_momentum), EMA),
        ("torch/momentum_musched", PyTorch(0.05, annealed_momentum), Keras),
        ("torch/nesterov_musched", PyTorch(0.05, annealed_momentum, nesterov=True), Keras),
        ("keras/momentum_lrsched", Keras(stepped_rate, 0.9), PyTorch),
        ("keras/momentum_lrsched", Keras(stepped_rate, 0.9), EMA),
        ("keras/nesterov_lrsched", Keras(stepped_rate, 0.9, nesterov=True), Nesterov),
    ],
    ids=show,
)
def test_a_change_of_one_crosses_from_framework_to_framework(
    trajectory: str, source: Convention, form: type[Convention], problem: Problems
) -> None:
    assert_translated(source, form, *trajectory.split("/"), problem)


def test_goyals_factor_is_what_turns_outside_into_inside() -> None:
    translated = convert(PyTorch(rate, 0.9), to=HeavyBall)
    assert translated.learning_rate is rate
    for t in (0, 19, 20, 34, 35, 49):
        expected = 0.9 * at(rate, t) / at(rate, max(t - 1, 0))
        assert at(translated.momentum, t) == pytest.approx(expected, rel=1e-14)


def test_an_average_under_schedules_is_an_accumulator_by_the_published_formula() -> None:
    translated = convert(EMA(rate, momentum), to="pytorch")
    for t in range(1, STEPS):
        b, b_before = at(momentum, t), at(momentum, t - 1)
        assert at(translated.lr, t) == pytest.approx(at(rate, t) * (1 - b), rel=1e-14)
        assert at(translated.momentum, t) == pytest.approx(b * (1 - b_before) / (1 - b), rel=1e-14)


def test_what_a_translation_leaves_as_it_is_stays_the_same_object() -> None:
    translated = convert(PyTorch(rate, 0.9), to="optax")
    assert translated == Optax(rate, 0.9)
    assert translated.learning_rate is rate
    translated = convert(Keras(rate, momentum), to="heavy_ball")
    assert (translated.learning_rate, translated.momentum) == (rate, momentum)
    assert convert(EMA(0.2, momentum), to="qhm") == QHM(0.2, momentum, 1.0)
    assert convert(translated, to=HeavyBall) is translated
