"""Smoother losses: what is measured, and which net is said to be smoother."""

import math
from dataclasses import replace

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from momentum_jax import textbook
from momentum_jax.figures import textbook as figures
from momentum_jax.textbook import smoother_losses
from momentum_jax.textbook.experiment import Surroundings
from momentum_jax.textbook.smoother_losses import AT_LOSS, DEEP, HIGHEST, NETS, NORMALISED, PLAIN, RESIDUAL, SHALLOW, Settings

EXPERIMENT = textbook.find("smoother-losses")
TINY = Settings(depths=(SHALLOW, DEEP), width=3, examples=30, learning_rate=0.1, steps=(0, 4), products=40, seeds=(0,))


@pytest.fixture(scope="module")
def measured():
    return textbook.run(replace(EXPERIMENT, quick=TINY), quick=True)


@pytest.mark.slow
@pytest.mark.parametrize("net", NETS)
def test_the_sharpness_is_the_largest_eigenvalue_where_gradient_descent_has_come(measured, net):
    images, labels = smoother_losses._examples(TINY, Surroundings(), 0)
    params = smoother_losses._begin(TINY, SHALLOW, images.shape[1], 0)
    flat, tree = jax.flatten_util.ravel_pytree(params)

    def loss(flat):
        return smoother_losses.LOSSES[net](tree(flat), (images, labels))

    found = measured.data.trained[SHALLOW, net]
    for column in range(2):
        assert found.losses[0, column] == pytest.approx(float(loss(flat)), rel=1e-4)
        largest = np.linalg.eigvalsh(jax.jit(jax.hessian(loss))(flat)).max()
        assert found.sharpness[0, column] == pytest.approx(largest, rel=1e-2)
        for _ in range(4):
            flat = flat - 0.1 * jax.grad(loss)(flat)


@pytest.mark.slow
def test_both_depths_are_drawn_and_told(measured):
    (figure,) = figures.draw(measured).values()
    assert [axes.get_title() for axes in figure.axes[:2]] == ["8 hidden layers", "16 hidden layers"]
    assert [row[:2] for row in measured.outcome.tables[0].rows] == [(d, net) for d in ("8", "16") for net in NETS]


def test_the_nets_differ_in_what_their_names_say():
    images = jax.random.normal(jax.random.key(0), (20, 5))
    labels = jnp.zeros(20, int)
    params = smoother_losses._begin(Settings(width=4), 3, 5, 0)
    (w0, b0, s0), *rest = params
    scaled = [(7 * w0, b0, s0), *rest]

    def loss(net, params):
        return float(smoother_losses.LOSSES[net](params, (images, labels)))

    assert loss(NORMALISED, scaled) == pytest.approx(loss(NORMALISED, params), rel=1e-3)
    assert loss(PLAIN, scaled) != pytest.approx(loss(PLAIN, params), rel=1e-2)
    silent = [params[0], *((0 * w, b, s) for w, b, s in params[1:-1]), params[-1]]
    through = [params[0], params[-1]]
    assert loss(RESIDUAL, silent) == pytest.approx(loss(PLAIN, through), rel=1e-6)


def test_the_sharpness_at_a_loss_is_between_the_measurements_around_it():
    at = smoother_losses._at_level
    sharpness = np.array([1.0, 4.0, 16.0])
    assert at(sharpness, np.array([2.0, 1.0, 0.25])) == pytest.approx(8.0)
    assert at(sharpness, np.array([0.4, 0.2, 0.1])) == 1.0
    assert at(sharpness, np.array([2.0, 1.0, 0.6])) == math.inf


def test_the_smoother_net_is_claimed_to_be_so_and_a_run_that_diverges_is_the_sharpest():
    settings = Settings(seeds=tuple(range(10)))
    random = np.random.default_rng(0)

    def made(level):
        sharpness = level * np.exp(0.1 * random.standard_normal((10, 2)))
        return smoother_losses.Trained(sharpness, np.tile([1.0, 0.4], (10, 1)), 0.0)

    lost = smoother_losses.Trained(np.full((10, 2), np.inf), np.full((10, 2), np.inf), 0.0)
    trained = {(SHALLOW, PLAIN): made(2.0), (SHALLOW, NORMALISED): made(1.0), (SHALLOW, RESIDUAL): made(4.0)}
    trained |= {(DEEP, PLAIN): made(2.0), (DEEP, NORMALISED): lost, (DEEP, RESIDUAL): made(1.0)}
    found = smoother_losses._evidence(settings, trained)
    for measure in (HIGHEST, AT_LOSS):
        directions = [found[depth, net, measure].direction for depth in (SHALLOW, DEEP) for net in (NORMALISED, RESIDUAL)]
        assert directions == [1, -1, -1, 1]
