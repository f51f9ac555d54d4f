"""A loss without data: a matrix written as the product of two thin ones.

    minimise  mean (U V - M)^2 / 2  over U (rows, rank) and V (rank, columns)

It is not convex, yet no local minimum is a bad one: at the best the error is that of the singular values beyond `rank`. The
singular values of M fall off geometrically, so that some directions are learned long before others.
Source: C. Eckart and G. Young (1936), The approximation of one matrix by another of lower rank, Psychometrika 1(3), 211-218.
"""

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax._text import quoted
from momentum_jax.problems._arguments import require_whole
from momentum_jax.training import Problem, lower


def factorisation(rows: int = 60, columns: int = 40, rank: int = 5, decay: float = 0.7) -> Problem:
    """The factorisation of a (rows, columns) matrix with singular values decay^k, times a factor that makes its mean square 1.

    Score: excess, the mean square of U V - M above the least that this rank allows.

    Raises:
      ValueError: a size is no whole number from 1 to 4,096, `rank` to min(rows, columns); or `decay` is not in (0, 1].

    Example: `train_many(keys, optax.sgd, {"learning_rate": 20.0, "momentum": 0.9}, factorisation(), steps=1000)`.
    """
    require_whole("factorisation", 4096, rows=rows, columns=columns)
    least = min(rows, columns)
    require_whole("factorisation", least, rank=rank)
    if not isinstance(decay, int | float) or not 0 < decay <= 1:
        raise ValueError(f"factorisation: decay must be in (0, 1], got {quoted(decay)}.")
    values = decay ** np.arange(least)
    values *= np.sqrt(rows * columns / np.sum(values**2))
    matrix = (cosines(rows)[:, :least] * values @ cosines(columns)[:, :least].T).astype(np.float32)
    best = float(np.sum(values[rank:] ** 2) / (rows * columns))

    def init(key: jax.Array) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
        of_u, of_v = jax.random.split(key)
        return {"u": 0.1 * jax.random.normal(of_u, (rows, rank)), "v": 0.1 * jax.random.normal(of_v, (rank, columns))}, {}

    def squares(params: dict[str, jax.Array]) -> jax.Array:
        return (params["u"] @ params["v"] - matrix) ** 2

    return Problem(
        init=init,
        loss=lambda params, state, batch, key: (jnp.mean(squares(params)) / 2, state),
        measure=lambda params, state, batch, key: {"squared": squares(params)},
        scores={"excess": lower(lambda values: jnp.mean(values["squared"]) - best)},
    )


def cosines(n: int) -> np.ndarray:
    """The orthonormal columns of the discrete cosine transform."""
    basis = np.cos(np.pi * (np.arange(n)[:, None] + 0.5) * np.arange(n) / n)
    return basis / np.linalg.norm(basis, axis=0)
