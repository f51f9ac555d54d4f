"""The curvature of a loss: products with its Hessian, its extreme eigenvalues, its trace, and Newton's step.

`spectra` sees its gradient and the noise of mini-batches in its eigenvectors.

    def loss(params, batch):  # the mean over the examples of the batch
        images, labels = batch
        outputs, _ = model.apply(params, model_state, images, key=key, train=False)
        return jnp.mean(model.loss(outputs, labels))

    extreme_eigenvalues(loss, params, (images, labels), k=1, iterations=40, key=key, chunk_size=1000).largest

`params` is any pytree of real floating-point arrays, an NNX state too; P is their number of entries. `data` is any pytree of
arrays with a leading axis of n examples; without it the loss is `loss(params)`, so that a `Landscape` serves. With
`chunk_size` the examples are taken in chunks of that many, at last those that remain, so that memory does not grow with n,
and the result is that of all n at once, for a loss that is the mean over its batch. Units: loss over parameters squared.

16-bit parameters are taken to float32. Everything is jitted and compiled once for each loss: pass the same function object
again, not a new lambda.
"""

import functools
import math
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from momentum_jax._hessians import (
    ChunkSize,
    Loss,
    count_entries,
    flat_product,
    hessian_product,
    lanczos,
    like_params,
    mean_gradient,
    random_unit_vector,
    tridiagonal,
    unit_vector,
    widened,
)
from momentum_jax._hyperparameters import Count, Interval, Scalar, checked
from momentum_jax._scaling import power_of_two
from momentum_jax._trees import dtype_of

__all__ = [
    "ExtremeEigenvalues",
    "TraceEstimate",
    "dense_hessian",
    "extreme_eigenvalues",
    "hessian_vector_product",
    "newton_step",
    "trace",
]

_ROWS_AT_ONCE = 64


class ExtremeEigenvalues(NamedTuple):
    """The ends of a spectrum.

    Attributes:
      largest: (k,), the largest found, descending.
      smallest: (k,), the smallest found, ascending; below 0 where the loss bends down.
      largest_residuals, smallest_residuals: (k,), |H y - λ y| of each with its unit vector y, measured after the
        iteration: an eigenvalue of H is at most so far from λ. That it is the outermost is what more iterations make likely.
    """

    largest: jax.Array
    smallest: jax.Array
    largest_residuals: jax.Array
    smallest_residuals: jax.Array


class TraceEstimate(NamedTuple):
    """A trace, the mean of `samples`, and its standard error; samples are (probes,)."""

    trace: jax.Array
    standard_error: jax.Array
    samples: jax.Array


@checked
def hessian_vector_product(loss: Loss, params: Any, vector: Any, data: Any = None, *, chunk_size: ChunkSize = None) -> Any:
    """H v at the parameters, forward over reverse: the derivative of the gradient along v, at the cost of a few gradients.

    Args:
      loss: `loss(params, batch)`, the mean over the examples of the batch, or `loss(params)` where there is no data.
      params: where the Hessian is taken.
      vector: v, a tree like `params`.
      data: n examples, or None.
      chunk_size: how many examples are taken at once; None: all.

    Returns:
      A tree like `params`, 16-bit leaves in float32.

    Raises:
      ValueError: a loss that is no real scalar, parameters that are not real floating point, a vector or data that do not fit.
      TypeError: a chunk_size that is no int.

    Source: B. A. Pearlmutter (1994), Fast exact multiplication by the Hessian, Neural Computation 6(1), 147-160.
    """
    who = "hessian_vector_product"
    wide = widened(who, params, data, chunk_size)
    direction = like_params(who, params, wide, vector)
    return _jitted_product(loss, wide, direction, data, chunk_size)


@checked
def extreme_eigenvalues(
    loss: Loss,
    params: Any,
    data: Any = None,
    *,
    k: Annotated[int, Count(1)] = 1,
    iterations: Annotated[int, Count(1)] = 50,
    key: jax.Array,
    chunk_size: ChunkSize = None,
) -> ExtremeEigenvalues:
    """The k largest and the k smallest eigenvalues of the Hessian, by Lanczos with full reorthogonalisation.

    Every new vector is made orthogonal to all before it, more than once, so no eigenvalue appears twice by rounding. Where
    the vectors come to span an invariant subspace, the iteration goes on from a random vector orthogonal to it: P iterations
    find the whole spectrum, repeated eigenvalues too, fewer may find a repeated one once. Costs `iterations` + 2 k products,
    and the memory of `iterations` vectors of P.

    Args:
      loss, params, data, chunk_size: as in `hessian_vector_product`.
      k: how many at each end; at most P and `iterations`.
      iterations: dimension of the Krylov space, cut to P.
      key: of `jax.random.key`, for the first vector.

    Raises:
      ValueError, TypeError: as `hessian_vector_product`; k above P or `iterations`.

    Source: C. Lanczos (1950), J. Res. Natl. Bur. Stand. 45(4), 255-282; residual bound and reorthogonalisation B. N. Parlett
    (1998), The Symmetric Eigenvalue Problem, SIAM, sections 4.5 and 13.
    """
    who = "extreme_eigenvalues"
    wide = widened(who, params, data, chunk_size)
    size = count_entries(wide)
    if k > min(size, iterations):
        raise ValueError(f"{who}: k must be at most iterations ({iterations}) and the number of parameters ({size}), got {k}.")
    return _jitted_extremes(loss, wide, data, key, k, min(iterations, size), chunk_size)


@checked
def trace(
    loss: Loss,
    params: Any,
    data: Any = None,
    *,
    probes: Annotated[int, Count(2)] = 100,
    key: jax.Array,
    chunk_size: ChunkSize = None,
) -> TraceEstimate:
    """The trace of the Hessian, the sum of all curvatures, by Hutchinson: the mean of z · H z over random vectors z of ±1.

    Each sample is unbiased, with variance twice the sum of the squares off the diagonal of H; a diagonal H needs but one.

    Args:
      loss, params, data, chunk_size: as in `hessian_vector_product`.
      probes: how many vectors, at least 2; each costs a product.
      key: of `jax.random.key`.

    Returns:
      The estimate and its standard error, from the spread of the samples.

    Raises:
      ValueError, TypeError: as `hessian_vector_product`; probes below 2.

    Source: M. F. Hutchinson (1990), Commun. Stat. Simul. Comput. 19(2), 433-450.
    """
    return _jitted_trace(loss, widened("trace", params, data, chunk_size), data, key, probes, chunk_size)


@checked
def dense_hessian(loss: Loss, params: Any, data: Any = None, *, chunk_size: ChunkSize = None) -> jax.Array:
    """The whole Hessian, (P, P), rows and columns in the order of `jax.flatten_util.ravel_pytree`; for small nets.

    Arguments and errors as `hessian_vector_product`, of which it takes P.
    """
    return _jitted_dense(loss, widened("dense_hessian", params, data, chunk_size), data, chunk_size)


@checked
def newton_step(
    loss: Loss,
    params: Any,
    data: Any = None,
    *,
    damping: Annotated[Scalar, Interval(0, math.inf, schedule=False)],
    chunk_size: ChunkSize = None,
) -> Any:
    """Newton's step, turned round where the loss bends down: - Σ u_i (u_i · g) / max(|λ_i|, damping), to be added to `params`.

    λ_i and u_i are the eigenvalues and eigenvectors of the Hessian, g is the gradient. On curvatures of at least `damping` it
    is Newton's step. Where the curvature is negative that would climb to the saddle or the maximum; |λ| goes as far the other
    way, as saddle-free Newton does. A shift of the whole spectrum above 0, the other remedy, would shorten the step in every
    direction for the sake of the most negative one. Where the curvature is near 0 the step is at most |u · g| / damping. It is
    a step of the quadratic model and may be too long for the loss itself; there is no line search.

    Args:
      loss, params, data, chunk_size: as in `hessian_vector_product`.
      damping: the least curvature that is believed, at least 0, in units of the Hessian; 0 for a regular Hessian only, a
        singular one then gives infinities or NaN.

    Returns:
      A tree like `params`, in their dtypes. Takes the memory of a (P, P) matrix and time of order P^3.

    Raises:
      ValueError, TypeError: as `hessian_vector_product`; damping out of range.

    Source: Y. Dauphin et al. (2014), Identifying and attacking the saddle point problem in high-dimensional non-convex
    optimization, NIPS, arXiv:1406.2572; the floor J. Nocedal and S. J. Wright (2006), Numerical Optimization, section 3.4.
    """
    step = _jitted_newton(loss, widened("newton_step", params, data, chunk_size), data, damping, chunk_size)
    return jax.tree.map(lambda s, p: s.astype(dtype_of(p)), step, params)


def _dense(loss: Loss, params: Any, data: Any, chunk_size: int | None) -> jax.Array:
    product, flat = flat_product(loss, params, data, chunk_size)
    return jax.lax.map(product, jnp.eye(flat.size, dtype=flat.dtype), batch_size=_ROWS_AT_ONCE)


_jitted_product = jax.jit(hessian_product, static_argnames=("loss", "chunk_size"))
_jitted_dense = jax.jit(_dense, static_argnames=("loss", "chunk_size"))


@functools.partial(jax.jit, static_argnames=("loss", "probes", "chunk_size"))
def _jitted_trace(loss: Loss, params: Any, data: Any, key: jax.Array, probes: int, chunk_size: int | None) -> TraceEstimate:
    product, flat = flat_product(loss, params, data, chunk_size)

    def sample(probe_key: jax.Array) -> jax.Array:
        z = jax.random.rademacher(probe_key, flat.shape, flat.dtype)
        return z @ product(z)

    samples = jax.lax.map(sample, jax.random.split(key, probes))
    unit = power_of_two(jnp.max(jnp.abs(samples)))
    error = unit * jnp.std(samples / unit, ddof=1) / math.sqrt(probes)
    return TraceEstimate(unit * jnp.mean(samples / unit), error, samples)


@functools.partial(jax.jit, static_argnames=("loss", "chunk_size"))
def _jitted_newton(loss: Loss, params: Any, data: Any, damping: Any, chunk_size: int | None) -> Any:
    hessian = _dense(loss, params, data, chunk_size)
    unit = power_of_two(jnp.max(jnp.abs(hessian)))
    eigenvalues, vectors = jnp.linalg.eigh(hessian / unit)
    gradient, unravel = ravel_pytree(mean_gradient(loss, params, data, chunk_size))
    floor = jnp.asarray(damping, gradient.dtype) / unit
    return unravel(-vectors @ ((gradient @ vectors) / unit / jnp.maximum(jnp.abs(eigenvalues), floor)))


@functools.partial(jax.jit, static_argnames=("loss", "k", "iterations", "chunk_size"))
def _jitted_extremes(
    loss: Loss, params: Any, data: Any, key: jax.Array, k: int, iterations: int, chunk_size: int | None
) -> ExtremeEigenvalues:
    hessian, flat = flat_product(loss, params, data, chunk_size)
    start = random_unit_vector(jax.random.fold_in(key, iterations), flat)
    # In units of its own size, H has norms that neither overflow nor underflow.
    unit = power_of_two(jnp.max(jnp.abs(hessian(start))))

    def product(v: jax.Array) -> jax.Array:
        return hessian(v) / unit

    basis, diagonal, beside = lanczos(product, start, iterations, key)
    values, vectors = jnp.linalg.eigh(tridiagonal(diagonal, beside))
    ends = jnp.concatenate([jnp.arange(iterations - 1, iterations - 1 - k, -1), jnp.arange(k)])

    def residual(end: jax.Array) -> jax.Array:
        y = unit_vector(vectors[:, end] @ basis)
        return jnp.linalg.norm(product(y) - values[end] * y)

    residuals, values = unit * jax.lax.map(residual, ends), unit * values
    return ExtremeEigenvalues(values[ends[:k]], values[ends[k:]], residuals[:k], residuals[k:])


def __dir__() -> list[str]:
    return sorted(__all__)
