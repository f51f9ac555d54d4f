"""MoMo and YellowFin, which choose their own steps: from the loss and its models, from a tuner's cubic, each again in NumPy."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from adaptive_problems import START, G, Parabola
from oracles import assert_same_path, descend

import momentum_jax as mj
from momentum_jax.optimizers._transformation import chain
from momentum_jax.optimizers.yellowfin import _root_of_cubic


@pytest.mark.parametrize("weight_decay", [0.0, 0.2])
def test_momo_stops_where_the_average_of_its_linear_models_meets_the_bound(parabola: Parabola, weight_decay: float) -> None:
    def beta(t: Any) -> Any:
        return 0.9 - 0.5 * t / 60

    def cap(t: Any) -> Any:
        return 0.02 + 0.01 * t

    def bound(t: Any) -> Any:
        return 0.2 + 0.001 * t

    # The models f_i + <g_i, x - x_i> themselves, each with the weight that it still has.
    x, path, models, capped = START, [START], [], 0
    for t in range(60):
        keep = beta(t) if t else 0.0
        g, f = parabola.gradient(t, x), parabola.loss(t, x)
        models = [(keep * w, *model) for w, *model in models] + [(1 - keep, g, f - g @ x)]
        d = sum(w * g for w, g, _ in models)
        constant = sum(w * c for w, _, c in models)
        shrink = 1 + cap(t) * weight_decay
        # tau where the model, at the point that the step leads to, is at the bound.
        tau = (d @ x / shrink + constant - bound(t)) / (d @ d / shrink)
        capped += tau > cap(t)
        x = (x - np.clip(tau, 0, cap(t)) * d) / shrink
        path.append(x)
    assert 0 < capped < 60
    optimizer = mj.momo(cap, beta, lower_bound=bound, weight_decay=weight_decay)

    # Gradients and losses of the expected path: these steps amplify a rounding a hundred thousand times.
    def gradient(t: int, x: np.ndarray) -> np.ndarray:
        return parabola.gradient(t, path[t])

    def loss(t: int, x: np.ndarray) -> float:
        return parabola.loss(t, path[t])

    assert_same_path(descend(optimizer, gradient, START, 60, value=loss, cut=2).held, np.array(path))


def test_momo_with_a_bound_out_of_reach_is_a_plain_average_of_gradients(parabola: Parabola) -> None:
    ours = descend(mj.momo(0.01, 0.9, lower_bound=-1e6), parabola.gradient, START, 60, value=parabola.loss).held
    average = optax.chain(mj.scale_by_sgd(0.9, dampening=0.9), mj.scale_by_learning_rate(0.01))
    assert_same_path(ours, descend(average, parabola.gradient, START, 60).held)


@pytest.mark.parametrize("loss", [0.0, 1.0], ids=["at the bound", "above it"])
def test_where_the_average_gradient_is_zero_momo_only_decays(loss: float) -> None:
    optimizer = mj.momo(0.1, weight_decay=0.2)
    held = descend(optimizer, lambda t, x: np.zeros_like(x), START, 3, value=lambda t, x: loss).held
    assert_same_path(held, START / np.array([[1.02**t] for t in range(4)]))


def test_the_loss_reaches_momo_through_chains_and_wrappers(parabola: Parabola) -> None:
    alone = descend(mj.momo(), parabola.gradient, START, 5, value=parabola.loss).held
    for wrapped in (
        optax.chain(optax.identity(), mj.momo()),
        chain("ours", mj.add_weight_decay(0.0), mj.momo()),
        optax.MultiSteps(mj.momo(), 1),
        mj.per_layer({"*": mj.momo()}),
    ):
        assert_same_path(descend(wrapped, parabola.gradient, START, 5, value=parabola.loss).held, alone)


def test_yellowfin_is_the_published_tuner_with_a_cubic_solved_by_eigenvalues() -> None:
    beta, window, eps = 0.99, 7, 1e-6
    b, x, path = np.zeros(6), START, [START]
    average = np.zeros(6)
    squares = []
    square_average = norm_average = distance_average = low = high = 0.0
    gains = np.random.default_rng(2).uniform(0.5, 2, 60)[:, None] * (G / np.array([0.01, 0.1, 1, 10, 100, 1000]))
    for t, g in enumerate(gains):
        weight = 1 - beta ** (t + 1)
        squares.append(g @ g)
        average = beta * average + (1 - beta) * g
        square_average = beta * square_average + (1 - beta) * squares[-1]
        norm_average = beta * norm_average + (1 - beta) * np.sqrt(squares[-1])
        distance_average = beta * distance_average + (1 - beta) * norm_average / (square_average + eps)
        low = beta * low + (1 - beta) * np.log(min(squares[-window:]) + eps)
        high = beta * high + (1 - beta) * np.log(max(squares[-window:]) + eps)
        smallest, largest = np.exp(low / weight), np.exp(high / weight)
        variance = max(square_average / weight - average @ average / weight**2, eps)
        p = (distance_average / weight + eps) ** 2 * (smallest + eps) ** 2 / 2 / (variance + eps)
        roots = np.roots([-1.0, 3.0, -(3 + p), 1.0])
        (real,) = [r.real for r in roots if abs(r.imag) < 1e-9]
        r = np.sqrt((largest + eps) / (smallest + eps))
        mu = max(real, (r - 1) / (r + 1)) ** 2
        rate = (1 - np.sqrt(mu)) ** 2 / (smallest + eps) * min(1, (t + 1) / (10 * window))
        b = (mu if t > 1 else 0.0) * b + g
        x = x - 0.7 * (rate if t else 0.02) * b
        path.append(x)
    optimizer = mj.yellowfin(0.02, decay=beta, curvature_window=window, factor=0.7)
    assert_same_path(descend(optimizer, lambda t, x: gains[t], START, 60, cut=2).held, np.array(path), 1e-10)


@pytest.mark.parametrize("p", [1e-60, 1e-25, 1e-12, 1e-3, 1.0, 1e3, 1e9, 1e20, 1e60])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_yellowfins_cubic_is_solved_in_float32_at_any_size(p: float, dtype: Any) -> None:
    y = np.float64(_root_of_cubic(*jnp.asarray([p**0.5 * 1e4, 1e-4, 0.5], dtype)))
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if middle**3 > p * (1 - middle) else (middle, high)
    np.testing.assert_allclose(y, low, rtol=1e-6 if dtype == np.float32 else 1e-14)
