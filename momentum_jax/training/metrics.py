"""What a classifier got right: confusion matrix, accuracy and Matthews correlation, computed where the predictions are."""

import jax
import jax.numpy as jnp


def confusion_matrix(labels: jax.Array, predictions: jax.Array, classes: int, mask: jax.Array | None = None) -> jax.Array:
    """Counts, (classes, classes) int32: row = true class, column = predicted class.

    Args:
      labels, predictions: (n,) integers in [0, classes).
      classes: how many classes there are.
      mask: (n,) bool; examples where it is False are not counted.
    """
    weights = jnp.ones(jnp.shape(labels), jnp.int32) if mask is None else mask.astype(jnp.int32)
    return jnp.zeros((classes, classes), jnp.int32).at[labels, predictions].add(weights)


def accuracy(confusion: jax.Array) -> jax.Array:
    """The share of examples on the diagonal of a confusion matrix, float32; NaN of an empty one."""
    return (jnp.trace(confusion) / jnp.sum(confusion)).astype(jnp.float32)


def matthews_correlation(confusion: jax.Array) -> jax.Array:
    """Matthews correlation coefficient of any number of classes, in [-1, 1], float32.

        (n c - sum_k p_k t_k) / sqrt((n^2 - sum_k p_k^2) (n^2 - sum_k t_k^2))

    of n examples with c right, t_k of true class k, p_k predicted as class k. The sums are exact, in 64-bit integers: products
    of counts pass 2^31 from 46,341 examples on, and rounded shares differ in the last bit from one program to another. 0 where
    one class is all that was predicted or all that was there; NaN of an empty matrix.
    Source: J. Gorodkin (2004), Comput. Biol. Chem. 28, 367-374.

    Args:
      confusion: (classes, classes) integer counts.
    """
    with jax.enable_x64(True):
        counts = jnp.asarray(confusion).astype(jnp.int64)
        n, right, true, predicted = counts.sum(), jnp.trace(counts), counts.sum(axis=1), counts.sum(axis=0)
        covariance = (n * right - jnp.sum(true * predicted)).astype(jnp.float64)
        variances = [(n * n - jnp.sum(side * side)).astype(jnp.float64) for side in (true, predicted)]
        # The root of each variance by itself: of equal ones the product is exact, so that a perfect score is 1.
        spread = jnp.sqrt(variances[0]) * jnp.sqrt(variances[1])
        undefined = jnp.where(n == 0, jnp.nan, 0.0)
        return jnp.where(spread == 0, undefined, covariance / jnp.where(spread == 0, 1.0, spread)).astype(jnp.float32)
