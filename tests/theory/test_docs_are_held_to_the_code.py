"""What docstrings and documents say of stability and of sameness, held to the optimizers' own code."""

import dataclasses
import inspect
import re

import numpy as np
import pytest
from contract_rows import constructor_of
from linear_files import LINEAR

import momentum_jax as mj
from momentum_jax import conventions, schedules, theory
from momentum_jax.conventions import EMA, PID, QHM, AcceleratedSGD, AggMo, EMANesterov, Grokfast, HeavyBall, Nesterov, PyTorch

QUASI_HYPERBOLIC = "where its quasi-hyperbolic form is"

# Of each linear optimizer: the constructor and the letters of its docstring, with values.
LETTERS = {
    "gradient_descent": (lambda eta: mj.gradient_descent(eta), {"eta": 0.3}),
    "heavy_ball": (lambda eta, mu: mj.heavy_ball(eta, mu), {"eta": 0.3, "mu": 0.7}),
    "sgd": (lambda eta, mu, tau: mj.sgd(eta, mu, dampening=tau), {"eta": 0.3, "mu": 0.7, "tau": 0.2}),
    "ema_momentum": (lambda eta, mu: mj.ema_momentum(eta, mu), {"eta": 0.3, "mu": 0.7}),
    "nesterov": (lambda eta, mu: mj.nesterov(eta, mu), {"eta": 0.3, "mu": 0.7}),
    "quasi_hyperbolic_momentum": (
        lambda eta, beta, nu: mj.quasi_hyperbolic_momentum(eta, beta, nu),
        {"eta": 0.3, "beta": 0.7, "nu": 0.6},
    ),
    "optimistic": (lambda eta: mj.optimistic(eta), {"eta": 0.3}),
    "demon": (lambda eta, mu: mj.demon(eta, mu, total_steps=20), {"eta": 0.3, "mu": 0.7}),
}
# Those that say so are stable where the method of this translation is.
FORMS = {
    "accelerated_sgd": (mj.accelerated_sgd(0.3, 50.0, 4.0, 0.7), AcceleratedSGD(0.3, 50.0, 4.0, 0.7)),
    "pid": (mj.pid(0.3, 0.7, 2.0, 1.5), PID(0.3, 0.7, 2.0, 1.5)),
    "ema_nesterov": (mj.ema_nesterov(0.3, 0.7, 0.4), EMANesterov(0.3, 0.7, 0.4)),
}
# They name the eigenvalues, or all functions of a class.
BY_NUMBER = {"aggregated_momentum", "robust_momentum", "state_space_momentum", "triple_momentum"}
# Links of a chain, and those whose rates are another optimizer's or never settle.
SILENT = {"fista", "grokfast", "learning_rate", "momentum_correction", "per_layer", "weight_decay"}


def stable_line(name):
    docstring = inspect.getdoc(constructor_of(name)) or ""
    found = re.search(r"^Stable (.*?)(?=^[A-Z]\w+: )", docstring, re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def value(text, letters):
    """Of an expression in a docstring: `2 (1 + mu) / ((1 + 2 mu) L)`, where a space multiplies."""
    names = "|".join([*letters, "L"])
    text = re.sub(rf"(?<=[\w)]) (?=\(|\b(?:{names})\b)", " * ", text)
    return eval(text, {"__builtins__": {}}, dict(letters))


@pytest.mark.parametrize("name", sorted(LETTERS))
def test_a_stability_line_is_the_limit_of_the_code(name):
    make, letters = LETTERS[name]
    found = re.search(r"0 < (eta[^<]*?) < ([^;:]*?)(?:[.;:]|, the|$)", stable_line(name))
    assert found, stable_line(name)
    limit = theory.stability_limit(theory.linearize(make(**letters), horizon=64))

    def slack(L):
        left, right = (value(side, {**letters, "L": L}) for side in found.groups())
        return right - left

    assert abs(slack(limit)) < 1e-9
    assert slack(limit * 0.9) > 1e-3
    assert slack(limit * 1.1) < -1e-3


@pytest.mark.parametrize("name", sorted(FORMS))
def test_a_method_is_stable_where_its_quasi_hyperbolic_form_is(name):
    assert QUASI_HYPERBOLIC in stable_line(name)
    optimizer, convention = FORMS[name]
    form = conventions.convert(convention, to="qhm")
    np.testing.assert_allclose(theory.stability_limit(optimizer), theory.stability_limit(conventions.build(form)), rtol=1e-9)


def test_the_stability_of_several_velocities_and_of_matrices():
    assert "0 < eta L sum_i 1 / (1 + beta_i) < 2 K" in stable_line("aggregated_momentum")
    momenta = (0.0, 0.5, 0.9, 0.99)
    expected = 2 * 4 / (0.3 * sum(1 / (1 + beta) for beta in momenta))
    np.testing.assert_allclose(theory.stability_limit(mj.aggregated_momentum(0.3, momenta)), expected, rtol=1e-9)
    A, B, C, D = np.array([[0.5, 0.2], [0.0, 0.8]]), np.array([1.0, 0.5]), np.array([-0.1, -0.05]), -0.2
    limit = theory.stability_limit(mj.state_space_momentum(A.tolist(), B.tolist(), C.tolist(), D))
    loop = np.block([[A, B[:, None] * limit], [C, 1 + D * limit]])
    np.testing.assert_allclose(np.abs(np.linalg.eigvals(loop)).max(), 1, rtol=1e-9)


@pytest.mark.parametrize("kappa", [2.0, 25.0, 1000.0])
def test_methods_made_for_a_class_are_stable_on_it(kappa):
    for optimizer in (
        mj.triple_momentum(strong_convexity=0.5, smoothness=0.5 * kappa),
        mj.robust_momentum(strong_convexity=0.5, smoothness=0.5 * kappa, rate=1 - (kappa**-0.5 + 1 / kappa) / 2),
    ):
        assert theory.worst_rate(optimizer, 0.5, 0.5 * kappa)[0] < 1


def test_every_linear_optimizer_is_held_to_its_line():
    said = {name for name in LINEAR if stable_line(name)}
    assert said == LINEAR - SILENT
    assert said == {*LETTERS, *FORMS, *BY_NUMBER}


eta, mu = 0.05, 0.8
# The rows of docs/conventions.md: a method, and the formulas that stand there. The third: but for the first steps.
FAMILY = {
    "gradient_descent": (mj.gradient_descent(eta), (eta, 0.5, 0.0), False),
    "ema_momentum": (mj.ema_momentum(eta, mu), (eta, mu, 1.0), False),
    "heavy_ball": (mj.heavy_ball(eta, mu), (eta / (1 - mu), mu, 1.0), False),
    "sgd": (mj.sgd(eta, mu), (eta / (1 - mu), mu, 1.0), False),
    "sgd damped": (mj.sgd(eta, mu, dampening=0.3), (eta * 0.7 / (1 - mu), mu, 1.0), True),
    "nesterov": (mj.nesterov(eta, mu), (eta / (1 - mu), mu, mu), False),
    "accelerated_sgd": (
        mj.accelerated_sgd(eta, 50.0, 4.0, 0.7),
        (eta * 0.7 * 5 / 1.7, (50 - 0.49 * 4) / (50 + 0.7 * 4), (0.7 * 4 - 1) / (0.7 * 5)),
        False,
    ),
    "pid": (
        mj.pid(eta, mu, 2.0, 1.5),
        (eta * (1 + 2 / (1 - mu)), mu, 1 - (1 + 1.5 * (1 - mu) / mu) / (1 + 2 / (1 - mu))),
        True,
    ),
    "ema_nesterov": (mj.ema_nesterov(eta, 0.6, 0.7), (eta / 0.4, 0.7 + 0.3 * 0.6, 0.6), False),
    "aggregated_momentum": (mj.aggregated_momentum(eta, (0, mu)), (eta * 3.0, mu, 5 / 6), False),
}


@pytest.mark.parametrize("name", sorted(FAMILY))
def test_a_method_of_the_family_table_is_the_quasi_hyperbolic_one_that_it_names(name):
    optimizer, numbers, but_for_the_start = FAMILY[name]
    found = theory.equivalent(optimizer, mj.quasi_hyperbolic_momentum(*numbers))
    assert found.same_settled, found
    assert found.same != but_for_the_start


def test_triple_momentum_is_quasi_hyperbolic_too():
    read = theory.linearize(mj.triple_momentum(strong_convexity=1.0, smoothness=25.0))
    alpha, beta, gamma = 1.8 / 25, 0.64 / 1.2, 0.64 / (1.8 * 1.2)
    form = mj.quasi_hyperbolic_momentum(alpha / (1 - beta), beta, 1 - gamma * (1 - beta) / beta)
    assert theory.equivalent(read, form).same


@pytest.mark.parametrize(
    "source", [PyTorch(0.05, 0.8), PyTorch(0.05, 0.8, nesterov=True), QHM(0.25, 0.8, 0.5), AggMo(0.05, 0.8)]
)
@pytest.mark.parametrize("name", conventions.NAMES)
def test_a_translation_is_the_same_method(source, name):
    try:
        translated = conventions.convert(source, to=name)
    except ValueError:
        # Not every method has an instance in every convention; what exists must be the same.
        return
    found = theory.equivalent(conventions.build(source), conventions.build(translated))
    assert found.same_settled
    assert found.same == (not translated.note)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (HeavyBall(0.05, 0.8), "ema"),
        (EMA(0.25, 0.8), "pytorch"),
        (Nesterov(0.05, 0.8), "qhm"),
        (Grokfast(0.02, 0.9, 2.0), "qhm"),
    ],
)
def test_a_translation_with_another_number_is_another_method(source, name):
    translated = conventions.convert(source, to=name)
    rate = next(each.name for each in dataclasses.fields(translated) if each.name in ("lr", "learning_rate"))
    changed = dataclasses.replace(translated, **{rate: getattr(translated, rate) * 1.001})
    assert not theory.equivalent(conventions.build(source), conventions.build(changed)).same_settled


def test_fista_is_nesterov_with_its_schedule_for_as_long_as_that_lasts():
    assert theory.equivalent(mj.fista(0.1), mj.nesterov(0.1, schedules.fista(512)), of="iterate").same
    short = theory.equivalent(mj.fista(0.1), mj.nesterov(0.1, schedules.fista(40)))
    assert 38 <= short.first_difference.step <= 41
