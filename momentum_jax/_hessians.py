"""What stands under every measurement of curvature: products with a Hessian, over chunks of data, and Lanczos."""

import math
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from momentum_jax._hyperparameters import Count, NullOr
from momentum_jax._trees import dtype_of, leaves_by_path, path_name

Loss = Callable[..., Any]
ChunkSize = Annotated[int | None, NullOr(Count(1))]


def widened(who: str, params: Any, data: Any, chunk_size: int | None) -> Any:
    """`params` as arrays of at least 32 bits, after a check that all arguments fit together."""
    for path, leaf in leaves_by_path(params).items():
        if leaf is not None and not jnp.issubdtype(dtype_of(leaf), jnp.floating):
            raise ValueError(f"{who}: params must be real floating-point arrays, got {dtype_of(leaf)} at {path_name(path)}.")
    if not jax.tree.leaves(params):
        raise ValueError(f"{who}: params must hold at least one array, got none.")
    if data is None and chunk_size is not None:
        raise ValueError(f"{who}: chunk_size must be None where there is no data, got {chunk_size}.")
    if data is not None:
        lengths = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(data)}
        if len(lengths) != 1 or lengths <= {(), (0,)}:
            shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(data)]
            raise ValueError(f"{who}: data must be arrays with one leading axis of examples in common, got shapes {shapes}.")
    return jax.tree.map(lambda p: jnp.asarray(p, jnp.promote_types(dtype_of(p), jnp.float32)), params)


def value(loss: Loss, params: Any, batch: Any) -> Any:
    """The loss of a batch, after a check that it is a real scalar."""
    found = loss(params) if batch is None else loss(params, batch)
    if not hasattr(found, "dtype") or found.shape != () or not jnp.issubdtype(found.dtype, jnp.floating):
        what = f"{found.dtype} of shape {found.shape}" if hasattr(found, "dtype") else type(found).__name__
        raise ValueError(f"curvature: loss must return a real scalar, the mean over its batch, got {what}.")
    return found


def mean_over_chunks(of_batch: Callable[[Any], Any], data: Any, chunk_size: int | None) -> Any:
    """The mean over all examples of what is a mean over those of a batch; a pytree of arrays."""
    n = 0 if data is None else jnp.shape(jax.tree.leaves(data)[0])[0]
    if chunk_size is None or chunk_size >= n:
        return of_batch(data)
    chunks, rest = divmod(n, chunk_size)

    def chunk(first: Any, length: int) -> Any:
        return jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, first, length), data)

    def add(i: jax.Array, total: Any) -> Any:
        return jax.tree.map(jnp.add, total, of_batch(chunk(i * chunk_size, chunk_size)))

    shapes = jax.eval_shape(lambda: of_batch(chunk(0, chunk_size)))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    total = jax.lax.fori_loop(0, chunks, add, zeros)
    mean = jax.tree.map(lambda leaf: leaf * (chunk_size / n), total)
    if rest == 0:
        return mean
    return jax.tree.map(lambda a, b: a + b * (rest / n), mean, of_batch(chunk(n - rest, rest)))


def mean_gradient(loss: Loss, params: Any, data: Any, chunk_size: int | None) -> Any:
    """The gradient of the mean over all examples, a tree like `params`."""
    return mean_over_chunks(lambda batch: jax.grad(lambda p: value(loss, p, batch))(params), data, chunk_size)


def hessian_product(loss: Loss, params: Any, vector: Any, data: Any, chunk_size: int | None) -> Any:
    """H v of the mean over all examples, forward over reverse."""

    def of_batch(batch: Any) -> Any:
        return jax.jvp(jax.grad(lambda p: value(loss, p, batch)), (params,), (vector,))[1]

    return mean_over_chunks(of_batch, data, chunk_size)


def flat_product(loss: Loss, params: Any, data: Any, chunk_size: int | None) -> tuple[Callable[..., jax.Array], jax.Array]:
    """`v -> H v` of vectors (P,), and the parameters as such a vector."""
    flat, unravel = ravel_pytree(params)
    return lambda v: ravel_pytree(hessian_product(loss, params, unravel(v), data, chunk_size))[0], flat


def lanczos(
    product: Callable[[jax.Array], jax.Array], start: jax.Array, iterations: int, key: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """An orthonormal basis (iterations, P) from `start`, and the diagonal and the off-diagonal of H in it, (iterations,) each.

    The last off-diagonal entry leads out of the basis.
    """
    epsilon = jnp.finfo(start.dtype).eps

    def away_from(basis: jax.Array, w: jax.Array) -> jax.Array:
        # Twice: what cancellation leaves of the basis after once, goes with the second time. Rows to come are 0.
        for _ in range(2):
            w = w - (basis @ w) @ basis
        return w

    def step(j: jax.Array, carry: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        basis, diagonal, beside = carry
        w = product(basis[j])
        diagonal = diagonal.at[j].set(basis[j] @ w)
        w = away_from(basis, w)
        length = jnp.linalg.norm(w)
        size = jnp.maximum(jnp.max(jnp.abs(diagonal)), jnp.max(beside))
        invariant = length <= 10 * epsilon * size
        fresh = random_unit_vector(jax.random.fold_in(key, j), start)
        following = unit_vector(away_from(basis, jnp.where(invariant, fresh, w / length)))
        basis = basis.at[j + 1].set(following, mode="drop")
        return basis, diagonal, beside.at[j].set(jnp.where(invariant, 0, length))

    basis = jnp.zeros((iterations, start.size), start.dtype).at[0].set(start)
    zeros = jnp.zeros((iterations,), start.dtype)
    return jax.lax.fori_loop(0, iterations, step, (basis, zeros, zeros))


def unit_vector(v: jax.Array) -> jax.Array:
    return v / jnp.linalg.norm(v)


def random_unit_vector(key: jax.Array, like: jax.Array) -> jax.Array:
    return unit_vector(jax.random.normal(key, like.shape, like.dtype))


def tridiagonal(diagonal: jax.Array, beside: jax.Array) -> jax.Array:
    return jnp.diag(diagonal) + jnp.diag(beside[:-1], 1) + jnp.diag(beside[:-1], -1)


def like_params(who: str, params: Any, wide: Any, vector: Any) -> Any:
    """A vector as a tree like `wide`, after a check that it fits `params`."""
    ours, theirs = leaves_by_path(params), leaves_by_path(vector)
    for path in ours | theirs:
        shapes = [jnp.shape(leaves[path]) if leaves.get(path) is not None else None for leaves in (ours, theirs)]
        if shapes[0] != shapes[1]:
            found = "no such leaf" if shapes[1] is None else f"shape {shapes[1]}"
            wanted = "no such leaf" if shapes[0] is None else f"shape {shapes[0]}"
            raise ValueError(f"{who}: vector must be a tree like params, with {wanted} at {path_name(path)}, got {found}.")
    directions = [jnp.asarray(theirs[path], dtype_of(p)) for path, p in leaves_by_path(wide).items() if p is not None]
    return jax.tree.unflatten(jax.tree.structure(wide), directions)


def count_entries(params: Any) -> int:
    return sum(math.prod(jnp.shape(leaf)) for leaf in jax.tree.leaves(params))
