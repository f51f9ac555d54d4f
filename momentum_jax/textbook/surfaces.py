"""A landscape on a grid, as figures draw it."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax.landscapes import Landscape

POINTS = {1: 401, 2: 161}


@dataclass(frozen=True, eq=False)
class Surface:
    """A function of one or two coordinates: `x` (n,), `y` (n,) (None of one coordinate), `values` (n,) or (n, n) by row y."""

    x: np.ndarray
    y: np.ndarray | None
    values: np.ndarray
    minima: np.ndarray


def surface(landscape: Landscape, domain: tuple[tuple[float, float], ...] | None = None) -> Surface:
    """The values of a landscape over its domain, or another, in float64."""
    edges = landscape.domain if domain is None else np.asarray(domain)
    axes = [np.linspace(low, high, POINTS[len(edges)]) for low, high in edges]
    points = np.stack(np.meshgrid(*axes), axis=-1)
    with jax.enable_x64(True):
        values = np.asarray(jax.jit(jnp.vectorize(landscape, signature="(d)->()"))(points))
    return Surface(axes[0], axes[1] if len(axes) == 2 else None, values, landscape.minima)
