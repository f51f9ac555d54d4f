"""Linear regression whose Hessian has a chosen condition number: the quadratic on which momentum's theory is exact.

    minimise  mean (x.w - y)^2 / 2        Hessian X^T X / n with eigenvalues from 1 / condition to 1, evenly in their logarithm

Its eigenvectors lie along no coordinate axis. With the whole data as a batch the gradient is exact. A smaller batch adds
noise, as the targets carry a part that no w explains.
Source: B. T. Polyak (1964), Some methods of speeding up the convergence of iteration methods, USSR Computational Mathematics
and Mathematical Physics 4(5), 1-17.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax._text import quoted
from momentum_jax.problems._arguments import require_whole
from momentum_jax.problems.factorisation import cosines
from momentum_jax.training import Problem, Table, fixed_split, lower


def linear_regression(condition: float = 100.0, features: int = 20, examples: int = 512, noise: float = 0.5) -> Problem:
    """Least squares with `examples` rows for training, on which the best w has all coordinates 1 in the Hessian's basis.

    Score: excess, the loss above the least one: sum_k eigenvalue_k error_k^2 / 2. Validation and test are both of it.
    Weights begin normally distributed with variance 1. Gradient descent is stable up to a learning rate of 2.

    Args:
      condition: the largest eigenvalue over the smallest.
      noise: the standard deviation of what no w explains; its projection on the columns of X is taken out.

    Raises:
      ValueError: a size is no whole number from 1 to 4,096, `features` is not below `examples`, `condition` is not in
        [1, 1e6], or `noise` not in [0, 1000].

    Example: `train_many(keys, optax.sgd, {"learning_rate": 1.0}, linear_regression(1000.0), steps=500, batch_size=512)`.
    """
    require_whole("linear_regression", 4096, examples=examples)
    require_whole("linear_regression", examples - 1, features=features)
    for name, value, least, most in (("condition", condition, 1, 1e6), ("noise", noise, 0, 1000)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise ValueError(f"linear_regression: {name} must be in [{least}, {most:,.0f}], got {quoted(value)}.")
    eigenvalues = np.geomspace(1, 1 / condition, features)
    columns = cosines(examples)[:, :features] * np.sqrt(examples)
    basis = cosines(features)
    x = columns * np.sqrt(eigenvalues) @ basis.T
    explained = x @ basis.sum(1)
    # Uniform numbers from the raw outputs of PCG64, which NumPy promises to keep.
    free = np.random.PCG64(0).random_raw(examples) / 2.0**64 - 0.5
    free -= columns @ (columns.T @ free) / examples
    y = explained + noise * free / np.sqrt(np.mean(free**2))
    # Without the noise, the mean square error of the same rows is twice the excess.
    table = np.concatenate([x, x, x]).astype(np.float32), np.concatenate([y, explained, explained]).astype(np.float32)

    def residual(params: Any, batch: Any) -> jax.Array:
        return batch[0] @ params["w"] - batch[1]

    return Problem(
        init=lambda key: ({"w": jax.random.normal(key, (features,))}, {}),
        loss=lambda params, state, batch, key: (jnp.mean(residual(params, batch) ** 2) / 2, state),
        measure=lambda params, state, batch, key: {"excess": residual(params, batch) ** 2 / 2},
        scores={"excess": lower("excess")},
        data=Table(table, fixed_split(*np.split(np.arange(3 * examples), 3))),
    )
