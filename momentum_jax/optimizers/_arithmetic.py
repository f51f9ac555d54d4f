"""Squares, roots, quotients and sums of leaves and trees, with finite derivatives where a gradient is 0."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from momentum_jax._scaling import is_acute, magnitude, norm, power_of_two, sum_of_products
from momentum_jax._trees import is_inexact
from momentum_jax.optimizers._precision import scalar_dtype, widen, working_precision

# A denominator of at least this has a finite square of its inverse in float32, which the derivative of a quotient needs.
_SAFE_EPS = float(np.finfo(np.float32).tiny) ** 0.5


def squared(x: jax.Array) -> jax.Array:
    """|x|^2, real."""
    return jnp.real(x * jnp.conj(x)) if jnp.iscomplexobj(x) else x * x


def root(x: jax.Array) -> jax.Array:
    """sqrt(x) with derivative 0 at 0, so that `jax.grad` through an update is finite where a gradient is 0."""
    # Outside a trace there is no derivative, and a function with one of its own costs more than the root.
    return _root(x) if isinstance(x, Tracer) else jnp.sqrt(x)


@jax.custom_jvp
def _root(x: jax.Array) -> jax.Array:
    """As `root`.

    The guard stands in the derivative only: in the update it would double what XLA has to compile, and its selects would keep
    a root and a division apart that XLA otherwise turns into one rsqrt.
    """
    return jnp.sqrt(x)


@_root.defjvp
def _root_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    (x,), (dx,) = primals, tangents
    y = _root(x)
    zero = x == 0
    return y, jnp.where(zero, 0.0, 0.5 / jnp.where(zero, 1.0, y)) * dx


def ratio(numerator: jax.Array, denominator: jax.Array, eps: Any) -> jax.Array:
    """numerator / denominator, 0 where the denominator is 0 (a gradient that was always 0, and eps = 0).

    `eps` is what the denominator, or the square in its root, has been given against that: where it is a plain number well
    above 0 no guard is needed, and none is compiled.
    """
    if isinstance(eps, float) and eps >= _SAFE_EPS:
        return numerator / denominator
    zero = denominator == 0
    return jnp.where(zero, 0.0, numerator / jnp.where(zero, 1.0, denominator))


def total(sums: Any, like: jax.Array) -> jax.Array:
    """Sum over a tree in which `each` has put an array of the shape of `like` in the place of every inexact leaf."""
    return sum((jnp.asarray(x, like.dtype) for x in jax.tree.leaves(sums) if is_inexact(x)), start=jnp.zeros_like(like))


def inner_product(a: Any, b: Any) -> jax.Array:
    """Re <a, b> over the inexact leaves of two trees of the same structure, in the widest working precision of theirs."""
    pairs = _pairs(a, b)
    product = sum_of_products([x for x, _ in pairs], [y for _, y in pairs]) if pairs else jnp.zeros(())
    return product.astype(scalar_dtype((a, b)))


def makes_acute_angle(a: Any, b: Any) -> jax.Array:
    """Whether Re <a, b> > 0 over the inexact leaves of two trees of the same structure, also where the product overflows."""
    pairs = _pairs(a, b)
    return is_acute([x for x, _ in pairs], [y for _, y in pairs])


def global_norm(tree: Any) -> jax.Array:
    """The Euclidean norm of a tree, with derivative 0 at 0."""
    return norm(*(widen(x, working_precision(x)) for x in jax.tree.leaves(tree) if is_inexact(x)))


def _pairs(a: Any, b: Any) -> list[tuple[jax.Array, jax.Array]]:
    """The leaves of two trees that are both inexact, each pair in its working precision."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    wide = [[widen(z, working_precision(x, y)) for z in (x, y)] for x, y in pairs if is_inexact(x) and is_inexact(y)]
    return [(x, y) for x, y in wide]


def sign_of_product(a: jax.Array, b: jax.Array) -> jax.Array:
    """The sign of Re(conj(a) b), entry by entry, also where the product itself would overflow or underflow."""
    if not (jnp.iscomplexobj(a) or jnp.iscomplexobj(b)):
        return jnp.sign(a) * jnp.sign(b)
    a, b = (z * (1 / power_of_two(magnitude(z))).astype(z.dtype) for z in (a, b))
    return jnp.sign(jnp.real(jnp.conj(a) * b))
