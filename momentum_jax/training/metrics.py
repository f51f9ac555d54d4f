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

        (c - sum_k p_k t_k) / sqrt((1 - sum_k p_k^2) (1 - sum_k t_k^2))

    with c the share that is right, t_k that of true class k, p_k that of predicted class k. Shares, because products of
    counts pass 2^31 from 46,341 examples on. 0 where one class is all that was predicted or all that was there; NaN of an
    empty matrix. Source: J. Gorodkin (2004), Comput. Biol. Chem. 28, 367-374.
    """
    total = jnp.sum(confusion)
    right, true, predicted = (counts / total for counts in (jnp.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)))
    covariance = jnp.sum(right - true * predicted)
    # 1 - sum p_k^2 = sum (p_k - p_k^2): exactly 0 where one class has all, and the covariance to the bit where all is right.
    spread = jnp.sum(true - true * true) * jnp.sum(predicted - predicted * predicted)
    return jnp.where(spread == 0, jnp.zeros_like(spread), covariance / jnp.sqrt(jnp.where(spread == 0, 1, spread)))
