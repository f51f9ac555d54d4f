"""Edge of stability: what is measured, and what a run is called."""

from dataclasses import replace

import jax
import jax.flatten_util
import numpy as np
import pytest

import momentum_jax as mj
from momentum_jax import textbook, theory
from momentum_jax.figures import textbook as figures
from momentum_jax.textbook import edge_of_stability
from momentum_jax.textbook.edge_of_stability import METHODS, Settings, Trained
from momentum_jax.textbook.experiment import Surroundings

EXPERIMENT = textbook.find("edge-of-stability")
TINY = Settings(limits=(7.0, 0.5), hidden=(4,), examples=40, steps=20, measurements=2, products=20)


@pytest.fixture(scope="module")
def measured():
    return textbook.run(replace(EXPERIMENT, quick=TINY), quick=True)


@pytest.mark.slow
def test_every_set_up_is_reported(measured):
    trained = measured.data.trained
    assert [(each.method, each.limit) for each in trained] == [(method, limit) for method in METHODS for limit in TINY.limits]
    (table,) = measured.outcome.tables
    assert [row[:2] for row in table.rows] == [(each.method, each.limit) for each in trained]
    assert any(each.diverged for each in trained)
    assert all(np.isfinite(each.ratios).all() for each in trained)


@pytest.mark.slow
def test_the_limit_of_a_set_up_is_that_of_its_optimizer(measured):
    for each in measured.data.trained:
        found = theory.stability_limit(METHODS[each.method](each.learning_rate))
        assert found == pytest.approx(each.limit, rel=1e-6)


@pytest.mark.slow
def test_the_sharpness_is_the_largest_eigenvalue_where_the_optimizer_has_come(measured):
    loss, params = edge_of_stability._problem(TINY, Surroundings())
    heavy_ball = next(each for each in measured.data.trained if each.method == "heavy ball 0.9" and each.limit == 7.0)
    optimizer = mj.heavy_ball(heavy_ball.learning_rate, 0.9)
    state = optimizer.init(params)

    @jax.jit
    def one(params, state):
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return jax.tree.map(lambda p, u: p + u, params, updates), state

    for step in range(1, TINY.steps + 1):
        params, state = one(params, state)
        if step in heavy_ball.steps:
            flat, tree = jax.flatten_util.ravel_pytree(params)
            largest = np.linalg.eigvalsh(jax.hessian(lambda flat, tree=tree: loss(tree(flat)))(flat)).max()
            ratio = heavy_ball.ratios[list(heavy_ball.steps).index(step)]
            assert ratio == pytest.approx(largest / 7.0, rel=1e-3)


@pytest.mark.parametrize(
    ("ratios", "diverged", "said"),
    [
        ([0.5, 0.9, 0.96], False, "stays below"),
        ([0.5, 1.0, 1.02], False, "from step 20"),
        ([0.98, 0.5, 0.6], False, "touches it at step 10, falls back"),
        ([0.98, 3.0], True, "diverged"),
    ],
)
def test_what_a_run_is_called(ratios, diverged, said):
    steps = 10 * np.arange(1, len(ratios) + 1)
    trained = Trained("a", 1.0, 0.1, steps, np.array(ratios), np.ones(len(ratios)), diverged)
    assert trained.said == said


@pytest.mark.slow
def test_a_limit_has_a_figure(measured):
    drawn = figures.draw(measured)
    assert set(drawn) == {"edge_of_stability_0.5", "edge_of_stability_7"}
    assert "diverged" in drawn["edge_of_stability_0.5"].get_suptitle().replace("\n", " ")
