"""The adaptive relatives' rules a second time, in NumPy, with hyperparameters that follow schedules; and when they are Adam."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from adaptive_problems import START, STEPS, G, b1, b2, column, eps, rate, sequence, steps_of
from oracles import Problems, assert_same_path, averages, descend, discounted_sums, weighted_means

import momentum_jax as mj


def share(t: Any) -> Any:
    return 0.9 - 0.5 * t / 60


def spread(decay: Callable[[Any], Any] = b2) -> np.ndarray:
    return np.sqrt(weighted_means(decay(STEPS), G**2)) + column(eps(STEPS))


def test_qhadam_mixes_each_mean_with_its_newest_member() -> None:
    nu1, nu2 = column(share(STEPS)), column(b1(STEPS))
    top = (1 - nu1) * G + nu1 * weighted_means(b1(STEPS), G)
    bottom = np.sqrt((1 - nu2) * G**2 + nu2 * weighted_means(b2(STEPS), G**2)) + column(eps(STEPS))
    optimizer = mj.quasi_hyperbolic_adam(rate, b1, b2, share, b1, eps=eps)
    assert_same_path(steps_of(optimizer), -column(rate(STEPS)) * top / bottom)


def test_qhadam_with_whole_shares_is_adam() -> None:
    assert_same_path(steps_of(mj.quasi_hyperbolic_adam(rate, b1, b2, 1.0, 1.0)), steps_of(mj.adam(rate, b1, b2)))


@pytest.mark.parametrize("variant", ["torch", "keras", "optax"])
def test_nadam_weighs_the_gradient_and_the_average_by_products_of_its_momenta(variant: str) -> None:
    def psi(t: Any) -> Any:
        return 0.01 + 0.002 * t

    after = np.arange(61)
    shrink = {"torch": 0.96 ** (psi(after) * (after + 1)), "keras": 0.96 ** (after + 1.0), "optax": np.zeros(61)}[variant]
    mu = b1(after) * (1 - 0.5 * shrink)
    product = np.cumprod(mu)
    top = column((1 - mu[:-1]) / (1 - product[:-1])) * G + column(mu[1:] / (1 - product[1:])) * averages(b1(STEPS), G)
    options = {"momentum_decay": psi} if variant == "torch" else {}
    optimizer = mj.nadam(rate, b1, b2, eps=eps, variant=variant, **options)
    assert_same_path(steps_of(optimizer), -column(rate(STEPS)) * top / spread())


def test_adan_adds_the_mean_of_the_changes_of_the_gradient() -> None:
    changes = np.diff(G, axis=0, prepend=G[:1])
    weight = column(share(STEPS))
    top = weighted_means(b1(STEPS), G) + weight * weighted_means(share(STEPS), changes)
    bottom = np.sqrt(weighted_means(b2(STEPS), (G + weight * changes) ** 2)) + column(eps(STEPS))
    assert_same_path(steps_of(mj.adan(rate, b1, share, b2, eps=eps)), -column(rate(STEPS)) * top / bottom)


def test_adans_weight_decay_is_proximal() -> None:
    def decay(t: Any) -> Any:
        return 0.4 / (1 + 0.2 * t)

    x, expected = START, [START]
    for t, step in enumerate(steps_of(mj.adan(rate, b1, share, b2, eps=eps))):
        x = (x + step) / (1 + rate(t) * decay(t))
        expected.append(x)
    optimizer = mj.adan(rate, b1, share, b2, eps=eps, weight_decay=decay)
    assert_same_path(descend(optimizer, sequence, START, 60).held, np.array(expected))


def test_adan_without_memory_of_changes_is_adam() -> None:
    assert_same_path(steps_of(mj.adan(rate, b1, 0.0, b2)), steps_of(mj.adam(rate, b1, b2)))


def test_laprop_averages_normalised_gradients_with_the_learning_rate_in_the_weights() -> None:
    inside = column(rate(STEPS)) * G / spread()
    correction = rate(STEPS) / averages(b1(STEPS), rate(STEPS))
    assert_same_path(steps_of(mj.laprop(rate, b1, b2, eps=eps)), -column(correction) * averages(b1(STEPS), inside))


def test_laprop_without_momentum_is_adam_without_momentum() -> None:
    assert_same_path(steps_of(mj.laprop(rate, 0.0, b2)), steps_of(mj.adam(rate, 0.0, b2, eps=1e-15)))


def test_laprop_moves_nothing_while_the_learning_rate_is_zero() -> None:
    steps = steps_of(mj.laprop(lambda t: jnp.where((t < 3) | (t == 10), 0.0, 0.1)))
    np.testing.assert_array_equal(steps[[0, 1, 2, 10]], 0.0)
    assert np.abs(steps[[3, 9, 11]]).max(axis=1).min() > 0.01


def test_ademamix_adds_the_slow_average_uncorrected() -> None:
    top = weighted_means(b1(STEPS), G) + column(rate(STEPS)) * averages(share(STEPS), G)
    optimizer = mj.ademamix(rate, b1, b2, share, alpha=rate, eps=eps)
    assert_same_path(steps_of(optimizer), -column(rate(STEPS)) * top / spread())


def test_ademamix_without_the_slow_average_is_adam() -> None:
    assert_same_path(steps_of(mj.ademamix(rate, b1, b2, alpha=0.0)), steps_of(mj.adam(rate, b1, b2)))


def test_simplified_ademamix_sums_gradients_and_adds_the_newest_again() -> None:
    top = discounted_sums(b1(STEPS), G) + column(share(STEPS)) * G
    optimizer = mj.simplified_ademamix(rate, b1, b2, alpha=share, eps=eps)
    assert_same_path(steps_of(optimizer), -column(rate(STEPS)) * top / spread())


def test_demon_is_polyaks_two_point_form_with_its_momentum(problem: Problems) -> None:
    path = [problem.theta0, problem.theta0 - rate(0) * problem.quad(0, problem.theta0) / 10]
    for t in range(1, 50):
        left = 0.8 * max(1 - t / 30, 0)
        step = -rate(t) / 10 * problem.quad(t, path[-1]) + left / (0.2 + left) * (path[-1] - path[-2])
        path.append(path[-1] + step)
    optimizer = mj.demon(lambda t: rate(t) / 10, 0.8, total_steps=30)
    assert_same_path(descend(optimizer, problem.quad, problem.theta0, 50).held, np.array(path))


def test_mars_is_adamw_on_gradients_with_their_last_change_and_of_norm_at_most_one() -> None:
    def gamma(t: Any) -> Any:
        return 0.1 + 0.02 * t

    weight = column(gamma(STEPS) * b1(STEPS) / (1 - b1(STEPS)))
    raw = G / 50
    corrected = raw + weight * np.diff(raw, axis=0, prepend=0.0)
    for tensor in (slice(0, 3), slice(3, 6)):
        corrected[:, tensor] /= np.maximum(np.linalg.norm(corrected[:, tensor], axis=1, keepdims=True), 1)
    norms = np.linalg.norm(corrected[:, :3], axis=1)
    assert norms.min() < 0.9
    assert np.linalg.norm(corrected[:, 3:], axis=1).max() > 1 - 1e-12
    optimizer = mj.mars(rate, b1, b2, gamma=gamma, eps=eps, weight_decay=share)
    ours = descend(optimizer, lambda t, x: raw[t], START, 60, cut=3).held
    adamw = descend(mj.adamw(rate, b1, b2, eps=eps, weight_decay=share), lambda t, x: corrected[t], START, 60).held
    assert_same_path(ours, adamw)
