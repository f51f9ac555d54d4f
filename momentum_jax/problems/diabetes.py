"""Regression on a table: the progression of diabetes in 442 patients, predicted by a small net of Flax NNX.

Ten measurements of each patient (age, sex, body mass index, blood pressure, six of the serum) and the progression a year later.
Source: B. Efron, T. Hastie, I. Johnstone and R. Tibshirani (2004), Least Angle Regression, Annals of Statistics 32(2), 407-499;
the table is scikit-learn's.
"""

from typing import Any

import numpy as np
from flax import nnx

from momentum_jax.problems._arguments import require_whole
from momentum_jax.training import Problem, of_nnx, random_split, regression


def diabetes(width: int = 32) -> Problem:
    """Least squares of a net with one hidden layer of `width` tanh units; scores r2, mse and mae of the standardised target.

    Measurements and target have mean 0 and variance 1 over the table. A fifth of the patients is held out for the test, the
    same for every seed.

    Raises:
      ValueError: `width` is no whole number from 1 to 1,000,000.

    Example: `train_many(keys, optax.sgd, {"learning_rate": 0.1}, diabetes(), steps=500, batch_size=32)`.
    """
    from sklearn.datasets import load_diabetes

    require_whole("diabetes", 1_000_000, width=width)
    table: Any = load_diabetes(return_X_y=True)
    x, y = (((each - each.mean(0)) / each.std(0)).astype(np.float32) for each in table)

    def net(rngs: nnx.Rngs) -> nnx.Module:
        return nnx.Sequential(nnx.Linear(10, width, rngs=rngs), nnx.tanh, nnx.Linear(width, 1, rngs=rngs))

    return regression(*of_nnx(net), x, y, split=random_split(len(x)))
