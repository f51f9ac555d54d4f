"""The moving average against the sum of what each gradient still weighs, and its bias correction under a schedule."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import Problems, assert_same_path, averages, descend, weighted_means

import momentum_jax as mj

STEPS = np.arange(50)


def momentum(t):
    return 0.95 - 0.6 * t / 50


def jump(t):
    """Decay 0.5, from step 5 on 0.99."""
    return jnp.where(t < 5, 0.5, 0.99)


def ones(t, x):
    del t
    return np.ones_like(x)


def test_the_average_weighs_each_gradient_by_the_momenta_since(problem: Problems) -> None:
    path = descend(mj.scale_by_ema_momentum(momentum), problem.seq, problem.theta0, 50).held
    assert_same_path(np.diff(path, axis=0), averages(momentum(STEPS), problem.gseq))


def test_debiasing_divides_by_the_sum_of_the_weights(problem: Problems) -> None:
    path = descend(mj.scale_by_ema_momentum(momentum, debias=True), problem.seq, problem.theta0, 50).held
    assert_same_path(np.diff(path, axis=0), weighted_means(momentum(STEPS), problem.gseq))


@pytest.mark.parametrize("core", [mj.scale_by_ema_momentum(jump, debias=True), mj.scale_by_adam(jump, jump, eps=0.0)])
def test_a_debiased_average_of_ones_is_one_when_the_decay_jumps(core: optax.GradientTransformation) -> None:
    steps = np.diff(descend(core, ones, np.zeros(2), 100).held, axis=0)
    np.testing.assert_allclose(steps, 1.0, rtol=1e-12)


@pytest.mark.parametrize("beta", [0.9, 0.999, 0.99999])
def test_the_first_correction_is_accurate_in_float32(beta: float) -> None:
    params = jnp.ones(3, jnp.float32)
    optimizer = mj.scale_by_ema_momentum(lambda t: jnp.asarray(beta, jnp.float32), debias=True)
    state = optimizer.init(params)
    weight = -np.expm1(np.log(np.float64(np.float32(beta))))
    _, state = optimizer.update(jnp.ones(3, jnp.float32), state, params)
    assert state.log_product.dtype == jnp.float32
    np.testing.assert_allclose(-np.expm1(np.float64(state.log_product)), weight, rtol=1e-6)


def test_a_momentum_of_0_passes_the_gradient_on_and_needs_no_correction_ever_after(problem: Problems) -> None:
    optimizer = mj.scale_by_ema_momentum(lambda t: jnp.where(t == 0, 0.0, 0.9), debias=True)
    steps = np.diff(descend(optimizer, problem.seq, problem.theta0, 20).held, axis=0)
    expected = [problem.gseq[0]]
    for g in problem.gseq[1:20]:
        expected.append(0.9 * expected[-1] + 0.1 * g)
    assert_same_path(steps, np.array(expected))


def test_an_undebiased_average_starts_short(problem: Problems) -> None:
    steps = np.diff(descend(mj.ema_momentum(0.5, 0.9), problem.seq, problem.theta0, 1).held, axis=0)
    np.testing.assert_allclose(steps[0], -0.5 * 0.1 * problem.gseq[0], rtol=1e-12)
