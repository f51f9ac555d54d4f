"""What no convention has, and what is no convention, is refused with the reason."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from convention_methods import METHODS, momentum, rate, share, show

from momentum_jax.conventions import (
    NAMES,
    PID,
    QHM,
    AcceleratedSGD,
    Convention,
    HeavyBall,
    Keras,
    Nesterov,
    PyTorch,
    TripleMomentum,
    convert,
)

REFUSED = [
    (QHM(1.0, 0.9, 0.7), "ema", "no EMA equals QHM(learning_rate=1.0, momentum=0.9, nu=0.7): a step along the memory alone is "
     "in terms of QHM nu = 1, here nu = 0.7 and momentum = 0.9."),
    (QHM(1.0, 0.9, 0.7), "keras", "in terms of QHM nu = momentum, here nu = 0.7 and momentum = 0.9."),
    (QHM(1.0, 0.9, 0.7), "aggmo", "AggMo([0, momentum]) is in terms of QHM nu = 1 / (2 - momentum), here nu = 0.7"),
    (QHM(1.0, 0.9, -0.5), "grokfast", "lamb must be finite and at least 0, got -0.33"),
    (QHM(1.0, 0.5, 0.7), "ema_nesterov", "gamma must be in [0, 1), got -0.6"),
    (HeavyBall(0.1, 0.9), "nesterov", "its steps contain the gradient beside the memory, these do not"),
    (Nesterov(0.1, momentum), "pytorch", "at every step, which these schedules or traced numbers do not keep."),
    (Keras(rate, 0.9, nesterov=True), "pytorch", "its momentum must be the decay and the factor of the memory at once"),
    (TripleMomentum(0.1, 0.0, 0.5), "qhm", "it remembers one gradient and no more"),
    (PID(0.1, 0.0, 5.0, 1.0), "qhm", "without momentum PID remembers one gradient and no more"),
    (PID(0.1, momentum, share, 1.0), "qhm", "under a schedule of momentum and of a gain PID needs two memories."),
    (PyTorch(0.1, momentum, nesterov=True), "accelerated_sgd", "its kappa and xi at a step would depend on all steps before"),
]  # fmt: skip


@pytest.mark.parametrize(("h", "target", "message"), REFUSED, ids=show)
def test_what_does_not_exist_is_refused_with_the_reason(h: Convention, target: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^convert: no ") as caught:
        convert(h, to=target)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_arguments_of_convert_are_refused() -> None:
    h = PyTorch(0.1, 0.9)
    with pytest.raises(ValueError, match=r"convert: to must be one of pytorch, keras, .*got 'torch'"):
        convert(h, to="torch")
    with pytest.raises(TypeError, match=r"convert: hyperparameters must be one of PyTorch, .*got dict"):
        convert({"lr": 0.1}, to="ema")
    with pytest.raises(ValueError, match="convert: steps must be an int of at least 1 or None, got 0"):
        convert(h, to="ema", steps=0)
    with pytest.raises(TypeError, match=r"convert: steps must be an int of at least 1 or None, got 5\.0"):
        convert(h, to="ema", steps=5.0)  # pyright: ignore[reportArgumentType]
    assert convert(h, to="ema", steps=np.int64(5)) == convert(h, to="ema")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="convert: PID leaves only derivative to choose, got small_const"):
        convert(h, to="pid", small_const=0.5)
    with pytest.raises(ValueError, match=r"small_const must be in \(0, 1\], got 2"):
        convert(Nesterov(0.1, 0.9), to="accelerated_sgd", small_const=2.0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PyTorch(-0.1), "PyTorch: lr must be finite and at least 0, got -0.1."),
        (lambda: Keras(0.1, 1.0), r"Keras: momentum must be in \[0, 1\), got 1.0."),
        (lambda: QHM(0.1, 0.9, float("nan")), "QHM: nu must be finite, got nan."),
        (lambda: AcceleratedSGD(0.1, 0.5), "AcceleratedSGD: kappa must be finite and at least 1, got 0.5."),
        (lambda: PyTorch(0.1, 0.0, nesterov=True), "PyTorch: nesterov=True needs momentum above 0 and dampening 0."),
        (lambda: PyTorch(0.1, 0.9, 1.0), r"PyTorch: dampening must be in \[0, 1\), got 1.0."),
        (lambda: PyTorch(0.1, 0.9, -1.0), r"PyTorch: dampening must be in \[0, 1\), got -1.0."),
        (lambda: AcceleratedSGD(0.1, small_const=0.0), r"AcceleratedSGD: small_const must be in \(0, 1\], got 0.0."),
        (lambda: AcceleratedSGD(0.1, small_const=jnp.array(0.0)), r"small_const must be in \(0, 1\], got 0.0."),
        (lambda: PyTorch(0.1, jnp.array(1.0)), r"PyTorch: momentum must be in \[0, 1\), got 1.0."),
    ],
)
def test_a_convention_is_checked_when_it_is_made(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("h", "target", "chosen"),
    [
        (TripleMomentum(0.1, 1.0, 0.5), "qhm", {}),
        (TripleMomentum(0.1, -0.7, 0.5), "accelerated_sgd", {}),
        (TripleMomentum(0.1, -1.0, 0.3), "pid", {"derivative": 0.5}),
        (QHM(1.0, 0.9, 1e308), "triple_momentum", {}),
    ],
    ids=show,
)
def test_numbers_whose_translation_divides_by_zero_are_refused(h: Convention, target: str, chosen: Any) -> None:
    with pytest.raises(ValueError, match=r"^convert: no .*: one of its hyperparameters would be infinite\.$") as caught:
        convert(h, to=target, **chosen)
    assert repr(h) in str(caught.value)


def test_a_schedule_of_zeros_is_refused_where_it_divides() -> None:
    with pytest.raises(ValueError, match="learning_rate would be nan at step 0"):
        convert(TripleMomentum(0.1, lambda t: 0.0, 0.4), to="qhm", steps=10)


@pytest.mark.parametrize(
    ("chosen", "error", "message"),
    [
        (jnp.array(-1.0), ValueError, r"convert: derivative must be finite and at least 0, got -1.0"),
        (None, TypeError, r"convert: derivative must be a number or a 0-d array, got None"),
        ("a", TypeError, r"convert: derivative must be a number or a 0-d array, got 'a'"),
        (-1.0, ValueError, r"convert: derivative must be finite and at least 0, got -1.0"),
        (float("nan"), ValueError, r"convert: derivative must be finite and at least 0, got nan"),
        (rate, TypeError, r"convert: derivative must be a number or a 0-d array, got <function"),
    ],
)
def test_a_derivative_that_is_no_number_is_refused(chosen: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        convert(QHM(0.1, 0.9, 0.5), to="pid", derivative=chosen)


def test_a_traced_derivative_is_refused() -> None:
    with pytest.raises(TypeError, match="convert: derivative must be a number, got a traced array"):
        jax.jit(lambda kd: convert(QHM(0.1, 0.9, 0.5), to="pid", derivative=kd).learning_rate)(0.5)


def test_the_base_of_conventions_is_no_convention() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Convention()  # pyright: ignore[reportAbstractUsage]


def test_every_convention_has_a_name_and_an_oracle() -> None:
    assert set(NAMES.values()) == set(METHODS)
    assert all(form.__doc__ for form in METHODS)
