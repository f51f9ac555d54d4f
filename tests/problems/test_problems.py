"""The problems that come with the library: what each is, and that it can be learned."""

import jax
import numpy as np
import optax
import pytest
import sklearn.datasets
import sklearn.linear_model

from momentum_jax.problems.diabetes import diabetes
from momentum_jax.problems.factorisation import factorisation
from momentum_jax.training import train_many

KEYS = jax.random.split(jax.random.key(0), 2)


def test_the_net_on_the_diabetes_table_does_about_as_well_as_least_squares():
    problem = diabetes()
    runs = train_many(KEYS, optax.sgd, {"learning_rate": 0.02, "momentum": 0.9}, problem, steps=300, batch_size=32).runs
    x, y = sklearn.datasets.load_diabetes(return_X_y=True)
    train, _, test = problem.data.split(0)
    linear = sklearn.linear_model.LinearRegression().fit(x[train], y[train]).score(x[test], y[test])
    assert all(abs(run.test["r2"] - linear) < 0.15 for run in runs)


def test_a_factorisation_comes_to_the_error_of_the_singular_values_beyond_its_rank():
    problem = factorisation(12, 8, 3, 0.6)
    (run,) = train_many(KEYS[:1], optax.sgd, {"learning_rate": 5.0, "momentum": 0.9}, problem, steps=400).runs
    product = run.params["u"] @ run.params["v"]
    # The best approximation is M in the directions of its own three largest singular values, so U V is known without M.
    values = 0.6 ** np.arange(8)
    values *= np.sqrt(96 / np.sum(values**2))
    np.testing.assert_allclose(np.linalg.svd(product)[1][:3], values[:3], rtol=1e-3)
    np.testing.assert_allclose(run.losses[-1], np.sum(values[3:] ** 2) / 96 / 2, rtol=1e-3)
    assert abs(run.validation["excess"][-1]) < 1e-3 < run.validation["excess"][0]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: diabetes(0), "diabetes: width must be a whole number of at least 1, got 0"),
        (lambda: factorisation(rank=41), r"factorisation: rank must be a whole number in \[1, 40\], got 41"),
        (lambda: factorisation(decay=0.0), r"factorisation: decay must be in \(0, 1\], got 0\.0"),
    ],
)
def test_a_problem_that_cannot_be_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
