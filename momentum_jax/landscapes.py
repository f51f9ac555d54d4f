"""Test functions with known minima, to go down: values, gradients and Hessians of points of shape (d,).

    from momentum_jax import landscapes

    landscapes.rosenbrock(x)            landscapes.rosenbrock.gradient(x)            landscapes.rosenbrock.minima

All are pure functions of JAX, in the dtype of the point. For a grid of points, to draw contours:
`jax.numpy.vectorize(landscapes.himmelblau, signature="(d)->()")(points)` of points (..., d).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax._hyperparameters import Count, Interval, Scalar, checked

__all__ = [
    "Landscape",
    "beale",
    "bowl",
    "himmelblau",
    "landscape",
    "lessard",
    "parabola",
    "ravine",
    "rosenbrock",
    "saddle",
    "trough",
    "two_gaussians",
]


@dataclass(frozen=True, eq=False)
class Landscape:
    """A function of R^d with what is known of it; called, it is that function. `landscape` builds one.

    Coordinates that are no float64 are stored as the float64 next to them, so every stored coordinate is within half a unit in
    its last place of the true one: `minima_error` is that bound, 0 where the point is stored exactly.

    Attributes:
      name: what figures and errors call it.
      function: `function(x)`, a scalar of a point x of shape (d,), traceable by JAX.
      minima: (m, d) float64, all local minima, the deepest first; (0, d) of a function that has none.
      exact: (m,) bool, whether the minimum is stored exactly.
      domain: (d, 2) float64, from where to where to draw it.
      source: where it is from.
      maxima, saddles: (k, d) float64, the other points of no slope, all of them.
    """

    name: str
    function: Callable[[Any], jax.Array]
    minima: np.ndarray
    exact: np.ndarray
    domain: np.ndarray
    source: str
    maxima: np.ndarray
    saddles: np.ndarray

    @property
    def dimensions(self) -> int:
        """d."""
        return len(self.domain)

    @property
    def minima_error(self) -> np.ndarray:
        """(m, d) float64: the stored coordinates of the minima are at most so far from the true ones."""
        return np.where(self.exact[:, None], 0.0, np.spacing(np.abs(self.minima)) / 2)

    def __call__(self, x: Any) -> jax.Array:
        """The value at x, a point (d,) of floating point: a scalar in its dtype.

        Raises:
          ValueError: x is not one point of d coordinates.
          TypeError: x is not of real numbers, here and in the gradient and the Hessian.
        """
        x = self._floating(x)
        if x.shape != (self.dimensions,):
            raise ValueError(f"{self.name}: x must be one point of shape ({self.dimensions},), got shape {x.shape}.")
        return self.function(x)

    def gradient(self, x: Any) -> jax.Array:
        """The gradient at x (d,), by automatic differentiation: (d,)."""
        return jax.grad(self)(self._floating(x))

    def hessian(self, x: Any) -> jax.Array:
        """The matrix of second derivatives at x (d,), by automatic differentiation: (d, d)."""
        return jax.hessian(self)(self._floating(x))

    def _floating(self, x: Any) -> jax.Array:
        x = jnp.asarray(x)
        if jnp.issubdtype(x.dtype, jnp.complexfloating):
            raise TypeError(f"{self.name}: x must be real numbers, got {x.dtype}.")
        return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.result_type(float))


def landscape(
    name: str,
    function: Callable[[Any], Any],
    *,
    domain: Sequence[tuple[float, float]],
    source: str = "",
    minima: Any = (),
    exact: Any = True,
    maxima: Any = (),
    saddles: Any = (),
) -> Landscape:
    """A `Landscape` of one's own: its arrays from nested sequences, made read-only.

    Args:
      name, function, source: as in `Landscape`.
      domain: (low, high) of every coordinate; their number is d.
      minima, maxima, saddles: points of d coordinates each; none by default.
      exact: one bool for each minimum, or one for all.

    Raises:
      ValueError: points that have not d coordinates, a domain that is no list of pairs (low, high).
    """

    def points(what: str, rows: Any) -> np.ndarray:
        array = np.array(rows, np.float64)
        if array.size and array.shape[1:] != (len(domain),):
            raise ValueError(f"{name}: {what} must be points of {len(domain)} coordinates, got shape {array.shape}.")
        return _fixed(array.reshape(-1, len(domain)))

    edges = np.array(domain, np.float64)
    if edges.ndim != 2 or edges.shape[1] != 2 or not (edges[:, 0] < edges[:, 1]).all():
        raise ValueError(f"{name}: domain must be pairs (low, high), low below high, got {domain}.")
    lowest = points("minima", minima)
    return Landscape(
        name=name,
        function=function,
        minima=lowest,
        exact=_fixed(np.array(np.broadcast_to(exact, len(lowest)), bool)),
        domain=_fixed(edges),
        source=source,
        maxima=points("maxima", maxima),
        saddles=points("saddles", saddles),
    )


def _fixed(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _two_gaussians(p: jax.Array) -> jax.Array:
    x, y = p
    return -2 * jnp.exp(-0.5 * ((x + 1) ** 2 + (y - 1) ** 2)) - jnp.exp(-0.5 * ((x - 1) ** 2 + (y + 1) ** 2))


def _rosenbrock(p: jax.Array) -> jax.Array:
    x, y = p
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def _beale(p: jax.Array) -> jax.Array:
    x, y = p
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def _himmelblau(p: jax.Array) -> jax.Array:
    x, y = p
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


def _lessard(p: jax.Array) -> jax.Array:
    x = p[0]
    flat = jnp.where(x < 2, x**2 / 2 + 24 * x - 12, 25 * x**2 / 2 - 24 * x + 36)
    return jnp.where(x < 1, 25 * x**2 / 2, flat)


_CHAPTER = "a textbook's chapter on gradient descent, "

parabola = landscape(
    "parabola",
    lambda p: 6 * p[0] ** 2 - 12 * p[0] + 3,
    minima=[[1.0]],
    domain=[(-1, 3)],
    source=_CHAPTER + "figures 11-1, 11-2 and 11-6: 6x² - 12x + 3",
)
bowl = landscape(
    "bowl",
    lambda p: 6 * p[0] ** 2 + 9 * p[1] ** 2 - 12 * p[0] - 14 * p[1] + 3,
    minima=[[1.0, 7 / 9]],
    exact=False,
    domain=[(-1, 3), (-1, 3)],
    source=_CHAPTER + "figure 11-3: 6x² + 9y² - 12x - 14y + 3",
)
trough = landscape(
    "trough",
    lambda p: 6 * p[0] ** 2 + 40 * p[1] ** 2 - 12 * p[0] - 30 * p[1] + 3,
    minima=[[1.0, 0.375]],
    domain=[(-1, 3), (-1, 3)],
    source=_CHAPTER + "figure 11-4: 6x² + 40y² - 12x - 30y + 3, a ravine of condition number 20/3",
)
# Each Gaussian tilts the other, so that the minima are not where the source has them, at (-1, 1) and (1, -1). All points of no
# slope are on y = -x, at the roots of 2 (t + 1) exp(-(t + 1)²) + (t - 1) exp(-(t - 1)²), rounded from 30 digits.
two_gaussians = landscape(
    "two_gaussians",
    _two_gaussians,
    minima=[[-0.9803836355776621, 0.9803836355776621], [0.8939741041006756, -0.8939741041006756]],
    exact=False,
    saddles=[[0.3640740385517348, -0.3640740385517348]],
    domain=[(-2, 2), (-2, 2)],
    source=_CHAPTER + "figures 11-5, 11-7 and 11-10: -2 exp(-((x+1)² + (y-1)²) / 2) - exp(-((x-1)² + (y+1)²) / 2)",
)
rosenbrock = landscape(
    "rosenbrock",
    _rosenbrock,
    minima=[[1.0, 1.0]],
    domain=[(-2, 2), (-1, 3)],
    source="H. H. Rosenbrock (1960), The Computer Journal 3(3), 175-184: (1 - x)² + 100 (y - x²)²",
)
beale = landscape(
    "beale",
    _beale,
    minima=[[3.0, 0.5]],
    saddles=[[0.0, 1.0], [0.10053793732415836, -2.644513585023125]],
    domain=[(-4.5, 4.5), (-4.5, 4.5)],
    source="E. M. L. Beale (1958), in J. J. Moré, B. S. Garbow and K. E. Hillstrom (1981), ACM TOMS 7(1), problem 5",
)
# Coordinates with many digits are rounded from 30, here and in `beale`.
himmelblau = landscape(
    "himmelblau",
    _himmelblau,
    minima=[
        [3.0, 2.0],
        [-2.805118086952745, 3.131312518250573],
        [-3.779310253377747, -3.2831859912861696],
        [3.5844283403304917, -1.8481265269644036],
    ],
    exact=[True, False, False, False],
    maxima=[[-0.2708445906673476, -0.9230385564799815]],
    saddles=[
        [-3.0730257507643897, -0.08135304428796751],
        [-0.12796134673068008, -1.9537149802445763],
        [0.08667750455539636, 2.884254701174776],
        [3.385154183607021, 0.07385187983774928],
    ],
    domain=[(-5, 5), (-5, 5)],
    source="D. M. Himmelblau (1972), Applied Nonlinear Programming, McGraw-Hill: (x² + y - 11)² + (x + y² - 7)²",
)
saddle = landscape(
    "saddle",
    lambda p: p[0] ** 2 - p[1] ** 2,
    saddles=[[0.0, 0.0]],
    domain=[(-1, 1), (-1, 1)],
    source="x² - y²: no minimum, it falls for ever along y",
)

lessard = landscape(
    "lessard",
    _lessard,
    minima=[[0.0]],
    domain=[(-3, 4)],
    source="L. Lessard, B. Recht and A. Packard (2016), SIAM J. Optim. 26(1), 57-95: curvature 25, and 1 on [1, 2]",
)


@checked
def ravine(
    condition_number: Annotated[Scalar, Interval(1, math.inf, schedule=False)],
    angle: Annotated[Scalar, Interval(-math.inf, math.inf, schedule=False)] = 0.0,
    dimensions: Annotated[int, Count(2)] = 2,
) -> Landscape:
    """A quadratic with its minimum at 0: f(x) = Σ λ_i (u_i · x)² / 2, curvatures λ from 1 to `condition_number`.

    The curvatures are spaced evenly in their logarithm. The axes u_i are those of the coordinates, but the first (along the
    floor) and the last (across) are turned by the angle in their plane: u_1 = (cos, 0, ..., sin), u_d = (-sin, 0, ..., cos).

    Args:
      condition_number: the largest curvature over the least, at least 1.
      angle: in radians, counter-clockwise.
      dimensions: d, at least 2.

    Raises:
      ValueError: an argument out of range.
      TypeError: an argument of the wrong type.
    """
    curvatures = np.geomspace(1.0, float(condition_number), dimensions)
    axes = np.eye(dimensions)
    axes[0, [0, -1]] = np.cos(angle), np.sin(angle)
    axes[-1, [0, -1]] = -np.sin(angle), np.cos(angle)

    def function(x: jax.Array) -> jax.Array:
        return 0.5 * jnp.sum(jnp.asarray(curvatures, x.dtype) * (jnp.asarray(axes, x.dtype) @ x) ** 2)

    return landscape(
        "ravine",
        function,
        minima=[[0.0] * dimensions],
        domain=[(-2, 2)] * dimensions,
        source=f"a quadratic of condition number {float(condition_number):g}, turned by {float(angle):g}",
    )


def __dir__() -> list[str]:
    return sorted(__all__)
