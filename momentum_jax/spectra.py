"""Vectors seen in the eigenvectors of a Hessian, without an eigenvector: by Lanczos started at the vector.

The gradient shows what training can gain along each curvature, residuals of mini-batch gradients what noise costs there.
`theory.Spectrum` takes both. Losses, parameters, data and chunks are those of `curvature`.
"""

import functools
import math
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from momentum_jax._hessians import (
    ChunkSize,
    Loss,
    count_entries,
    flat_product,
    lanczos,
    like_params,
    mean_gradient,
    random_unit_vector,
    tridiagonal,
    widened,
)
from momentum_jax._hyperparameters import Count, checked
from momentum_jax._scaling import norm, power_of_two

__all__ = ["GradientNoise", "SpectralMeasure", "gradient_noise", "spectral_measure"]


class SpectralMeasure(NamedTuple):
    """A vector v seen in the eigenvectors u_i of a Hessian, Σ (u_i · v)^2 δ(λ - λ_i), as the nodes of a quadrature.

    Attributes:
      curvatures: (iterations,), ascending.
      weights: (iterations,), at least 0; they sum to |v|^2.
    """

    curvatures: jax.Array
    weights: jax.Array


class GradientNoise(NamedTuple):
    """The variance of one example's gradient, as spectral measures of samples whose mean it is.

    Attributes:
      curvatures, variances: (residuals, iterations), each row as in `SpectralMeasure`.
      total: the variance in all directions together, the mean over the samples.
      standard_error: of `total`, from the spread of the samples.
    """

    curvatures: jax.Array
    variances: jax.Array
    total: jax.Array
    standard_error: jax.Array


@checked
def spectral_measure(
    loss: Loss,
    params: Any,
    data: Any = None,
    *,
    vector: Any = None,
    iterations: Annotated[int, Count(1)] = 40,
    chunk_size: ChunkSize = None,
) -> SpectralMeasure:
    """How a vector lies in the eigenvectors of the Hessian, by Lanczos started at it: Gauss quadrature, v · f(H) v for any f.

        v · f(H) v = Σ_i (u_i · v)^2 f(λ_i) ≈ Σ_j weights_j f(curvatures_j)

    Exact for polynomials f of degree up to 2 `iterations` - 1, and for all f where `iterations` is P. 40 products give what
    500 steps of momentum gain from the gradient to 1e-4; take 80 beyond. Costs the memory of `iterations` vectors of P.

    Args:
      loss, params, data, chunk_size: as in `curvature.hessian_vector_product`.
      vector: v, a tree like `params`; None: the gradient.
      iterations: how many nodes, cut to P.

    Raises:
      ValueError, TypeError: as `curvature.hessian_vector_product`.

    Source: G. H. Golub and J. H. Welsch (1969), Calculation of Gauss quadrature rules, Math. Comp. 23, 221-230; G. Meurant and
    Z. Strakos (2006), The Lanczos and conjugate gradient algorithms in finite precision arithmetic, Acta Numerica 15, 471-542.

    Example: `spectral_measure(loss, params, (images, labels), iterations=40, chunk_size=1000).weights.sum()` is |gradient|^2.
    """
    wide = widened("spectral_measure", params, data, chunk_size)
    direction = None if vector is None else like_params("spectral_measure", params, wide, vector)
    return _jitted_measure(loss, wide, direction, data, min(iterations, count_entries(wide)), chunk_size)


@checked
def gradient_noise(
    loss: Loss,
    params: Any,
    data: Any,
    *,
    batch_size: Annotated[int, Count(1)],
    residuals: Annotated[int, Count(2)] = 20,
    iterations: Annotated[int, Count(1)] = 12,
    key: jax.Array,
    chunk_size: ChunkSize = None,
) -> GradientNoise:
    """How the noise of mini-batch gradients lies in the eigenvectors of the Hessian.

    A residual r is the gradient of a mini-batch of b of the n examples, drawn without replacement, less that of all. With
    Σ the covariance of one example's gradient, E r rᵀ = Σ (n - b) / (b (n - 1)); each sample is the measure of one r, scaled
    so that its mean is that of Σ. A mini-batch of b independent draws has variance Σ / b. Costs `residuals` x `iterations`
    products.

    Args:
      loss, params, chunk_size: as in `curvature.hessian_vector_product`.
      data: n examples.
      batch_size: b of the residuals, below n.
      residuals: how many samples; 20 give the total to about 20%.
      iterations: nodes of each sample, cut to P.
      key: of `jax.random.key`, for the mini-batches.

    Raises:
      ValueError, TypeError: as `curvature.hessian_vector_product`; no data, or a batch_size that is not below n.

    Source: as `spectral_measure`; the covariance without replacement W. G. Cochran (1977), Sampling Techniques, theorem 2.2.
    """
    who = "gradient_noise"
    if data is None:
        raise ValueError(f"{who}: data must hold the examples that mini-batches are drawn from, got None.")
    wide = widened(who, params, data, chunk_size)
    n = jnp.shape(jax.tree.leaves(data)[0])[0]
    if batch_size >= n:
        raise ValueError(f"{who}: batch_size must be below the number of examples ({n}), got {batch_size}.")
    return _jitted_noise(loss, wide, data, key, batch_size, residuals, min(iterations, count_entries(wide)), chunk_size)


@functools.partial(jax.jit, static_argnames=("loss", "iterations", "chunk_size"))
def _jitted_measure(
    loss: Loss, params: Any, vector: Any, data: Any, iterations: int, chunk_size: int | None
) -> SpectralMeasure:
    hessian, _ = flat_product(loss, params, data, chunk_size)
    v = mean_gradient(loss, params, data, chunk_size) if vector is None else vector
    return _measure(hessian, ravel_pytree(v)[0], iterations)


@functools.partial(jax.jit, static_argnames=("loss", "batch_size", "residuals", "iterations", "chunk_size"))
def _jitted_noise(
    loss: Loss,
    params: Any,
    data: Any,
    key: jax.Array,
    batch_size: int,
    residuals: int,
    iterations: int,
    chunk_size: int | None,
) -> GradientNoise:
    hessian, _ = flat_product(loss, params, data, chunk_size)
    mean, _ = ravel_pytree(mean_gradient(loss, params, data, chunk_size))
    n = jnp.shape(jax.tree.leaves(data)[0])[0]
    scale = math.sqrt(batch_size * (n - 1) / (n - batch_size))

    def sample(residual_key: jax.Array) -> SpectralMeasure:
        drawn = jax.random.permutation(residual_key, n)[:batch_size]
        batch = jax.tree.map(lambda leaf: jnp.asarray(leaf)[drawn], data)
        gradient, _ = ravel_pytree(mean_gradient(loss, params, batch, chunk_size))
        return _measure(hessian, scale * (gradient - mean), iterations)

    measures = jax.lax.map(sample, jax.random.split(key, residuals))
    totals = measures.weights.sum(1)
    return GradientNoise(
        measures.curvatures, measures.weights, jnp.mean(totals), jnp.std(totals, ddof=1) / math.sqrt(residuals)
    )


def _measure(hessian: Callable[[jax.Array], jax.Array], v: jax.Array, iterations: int) -> SpectralMeasure:
    length = norm(v)
    # Where Lanczos begins anew, and where v is 0, random vectors of no weight show further curvatures.
    key = jax.random.key(0)
    start = jnp.where(length > 0, v / jnp.where(length > 0, length, 1), random_unit_vector(key, v))
    size = power_of_two(jnp.max(jnp.abs(hessian(start))))
    _, diagonal, beside = lanczos(lambda w: hessian(w) / size, start, iterations, key)
    values, vectors = jnp.linalg.eigh(tridiagonal(diagonal, beside))
    return SpectralMeasure(size * values, (length * vectors[0]) ** 2)


def __dir__() -> list[str]:
    return sorted(__all__)
