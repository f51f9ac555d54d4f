"""Landscapes: their formulas, and that what they say of their minima is true to the last bit."""

import functools
import re
from decimal import Decimal, localcontext
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from momentum_jax import landscapes
from momentum_jax.landscapes import Landscape, landscape, ravine

pytestmark = pytest.mark.usefixtures("x64")
NAMED = [value for value in vars(landscapes).values() if isinstance(value, Landscape)]
ALL = [*NAMED, ravine(100.0), ravine(30.0, 0.7), ravine(8.0, -0.3, dimensions=5)]
each = pytest.mark.parametrize("surface", ALL, ids=lambda surface: surface.name)


@functools.cache
def derivatives(surface: Landscape) -> list[tuple[np.ndarray, np.ndarray]]:
    """Gradient and Hessian at each of its minima, saddles and maxima, in this order, by one program."""
    points = np.concatenate([surface.minima, surface.saddles, surface.maxima])
    both = jax.jit(jax.vmap(lambda x: (surface.gradient(x), surface.hessian(x))))
    return list(zip(*map(np.asarray, both(points)), strict=True))


def two_gaussians(x: float, y: float) -> float:
    near, far = np.exp(-((x + 1) ** 2 + (y - 1) ** 2) / 2), np.exp(-((x - 1) ** 2 + (y + 1) ** 2) / 2)
    return -2 * near - far


def test_the_module_holds_those_it_is_meant_to_hold() -> None:
    names = "parabola bowl trough two_gaussians rosenbrock beale himmelblau saddle lessard"
    assert [surface.name for surface in NAMED] == names.split()
    assert all(getattr(landscapes, surface.name) is surface for surface in NAMED)
    assert all(surface.source for surface in ALL)


@pytest.mark.parametrize(
    ("name", "point", "value"),
    [
        ("parabola", (-0.9,), 6 * 0.81 + 12 * 0.9 + 3),
        ("bowl", (-0.5, 2.9), 1.5 + 75.69 + 6 - 40.6 + 3),
        ("trough", (-0.5, 2.3), 1.5 + 211.6 + 6 - 69 + 3),
        ("two_gaussians", (0.7, -0.2), two_gaussians(0.7, -0.2)),
        ("rosenbrock", (-1.2, 1.0), 24.2),
        ("beale", (0.0, 0.0), 14.203125),
        ("beale", (1.0, 2.0), 2.5**2 + 5.25**2 + 9.625**2),
        ("himmelblau", (0.0, 0.0), 170.0),
        ("himmelblau", (1.0, 2.0), 68.0),
        ("saddle", (3.0, 2.0), 5.0),
        ("lessard", (-2.0,), 50.0),
        ("lessard", (1.5,), 25.125),
        ("lessard", (3.0,), 76.5),
    ],
)
def test_values_are_those_of_the_formula(name, point, value) -> None:
    np.testing.assert_allclose(getattr(landscapes, name)(np.array(point)), value, rtol=1e-14)


def test_the_gradients_of_the_sources_functions_are_theirs() -> None:
    x, y = 0.3, -1.1

    def gradient(surface: Landscape, *point: float) -> np.ndarray:
        return np.asarray(jax.jit(surface.gradient)(np.asarray(point)))

    np.testing.assert_allclose(gradient(landscapes.parabola, x), [12 * x - 12], rtol=1e-14)
    np.testing.assert_allclose(gradient(landscapes.bowl, x, y), [12 * x - 12, 18 * y - 14], rtol=1e-14)
    np.testing.assert_allclose(gradient(landscapes.trough, x, y), [12 * x - 12, 80 * y - 30], rtol=1e-14)
    near, far = 2 * np.exp(-((x + 1) ** 2 + (y - 1) ** 2) / 2), np.exp(-((x - 1) ** 2 + (y + 1) ** 2) / 2)
    expected = [(x + 1) * near + (x - 1) * far, (y - 1) * near + (y + 1) * far]
    np.testing.assert_allclose(gradient(landscapes.two_gaussians, x, y), expected, rtol=1e-14)
    np.testing.assert_allclose(jax.jit(landscapes.trough.hessian)([x, y]), [[12, 0], [0, 80]], rtol=1e-14)


@each
def test_at_every_stationary_point_there_is_no_slope_and_the_curvature_is_of_its_kind(surface) -> None:
    kinds = [(surface.minima, 0), (surface.saddles, None), (surface.maxima, surface.dimensions)]
    found = iter(derivatives(surface))
    for points, falling in kinds:
        assert points.shape[1:] == (surface.dimensions,)
        for point in points:
            gradient, hessian = next(found)
            curvatures = np.linalg.eigvalsh(hessian)
            slope = np.max(np.abs(gradient))
            # Half a unit in the last place of the coordinates, and the rounding of the gradient itself.
            assert slope <= 4 * np.max(np.abs(curvatures)) * np.spacing(np.max(np.abs(point)) + 1)
            negative = int(np.sum(curvatures < 0))
            assert negative == falling if falling is not None else 0 < negative < surface.dimensions


def test_where_the_two_gaussians_have_their_minima_the_gradient_is_below_1e_14() -> None:
    surface = landscapes.two_gaussians
    assert max(np.max(np.abs(gradient)) for gradient, _ in derivatives(surface)[: len(surface.minima)]) < 1e-14
    np.testing.assert_allclose(surface.minima, [[-0.980384, 0.980384], [0.893974, -0.893974]], atol=5e-7)


def test_no_float64_is_nearer_to_a_stationary_point_of_the_two_gaussians() -> None:
    """On y = -x the slope changes its sign within half a unit in the last place of what is stored."""
    surface = landscapes.two_gaussians

    def slope(t: Decimal) -> Decimal:
        return 2 * (t + 1) * (-((t + 1) ** 2)).exp() + (t - 1) * (-((t - 1) ** 2)).exp()

    with localcontext() as context:
        context.prec = 40
        for stored in [*surface.minima, *surface.saddles]:
            assert stored[0] == -stored[1]
            half = Decimal(float(np.spacing(np.abs(stored[0])))) / 2
            t = Decimal(float(stored[0]))
            assert slope(t - half) * slope(t + half) < 0


@pytest.mark.parametrize("name", ["himmelblau", "beale", "rosenbrock", "bowl", "trough", "parabola"])
def test_no_float64_is_nearer_to_a_stationary_point_of_a_polynomial(name) -> None:
    """Two of Newton's steps in rational numbers, with the curvatures of float64, go no further than half a unit."""
    surface = getattr(landscapes, name)

    def slope(x: Fraction, y: Fraction = Fraction(0)) -> list[Fraction]:
        a, b, c = [Fraction(v) - x + x * y**i for i, v in enumerate(("1.5", "2.25", "2.625"), 1)]
        return {
            "himmelblau": [4 * x * (x * x + y - 11) + 2 * (x + y * y - 7), 2 * (x * x + y - 11) + 4 * y * (x + y * y - 7)],
            "beale": [
                2 * a * (y - 1) + 2 * b * (y**2 - 1) + 2 * c * (y**3 - 1),
                2 * a * x + 4 * b * x * y + 6 * c * x * y**2,
            ],
            "rosenbrock": [-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)],
            "bowl": [12 * x - 12, 18 * y - 14],
            "trough": [12 * x - 12, 80 * y - 30],
            "parabola": [12 * x - 12],
        }[name]

    points = [*surface.minima, *surface.saddles, *surface.maxima]
    for stored, (_, hessian) in zip(points, derivatives(surface), strict=True):
        start = [Fraction(float(v)) for v in stored]
        inverse = np.linalg.inv(hessian)
        point = start
        for _ in range(2):
            g = slope(*point)
            steps = [sum(Fraction(float(w)) * v for w, v in zip(row, g, strict=True)) for row in inverse]
            point = [p - s for p, s in zip(point, steps, strict=True)]
        for p, s, spacing in zip(point, start, np.spacing(np.abs(stored)), strict=True):
            # Two steps leave 1e-16 times what one leaves: far below a hundredth of a unit.
            assert abs(p - s) <= Fraction(float(spacing)) * Fraction(51, 100)


@each
def test_the_error_of_a_minimum_is_none_where_it_is_exact_and_half_a_unit_elsewhere(surface) -> None:
    assert surface.minima_error.shape == surface.minima.shape
    for minimum, exact, error in zip(surface.minima, surface.exact, surface.minima_error, strict=True):
        np.testing.assert_array_equal(error, 0 if exact else np.spacing(np.abs(minimum)) / 2)
        if exact:
            np.testing.assert_array_equal(surface.gradient(minimum), 0)


@each
def test_minima_are_sorted_by_depth_and_lower_than_everything_about_them(surface) -> None:
    values = [float(surface(point)) for point in surface.minima]
    # Where minima are equally deep, only rounding tells them apart.
    np.testing.assert_allclose(values, sorted(values), rtol=0, atol=1e-25)
    offsets = np.random.default_rng(0).normal(size=(200, surface.dimensions)) * 0.05
    at_all = jax.jit(jax.vmap(surface))
    for point, value in zip(surface.minima, values, strict=True):
        assert np.min(at_all(point + offsets)) > value


@pytest.mark.parametrize("surface", [s for s in NAMED if s.dimensions == 2], ids=lambda surface: surface.name)
def test_newtons_method_from_all_over_the_domain_finds_no_stationary_point_that_is_not_listed(surface) -> None:
    rows, columns = (np.linspace(low, high, 40) for low, high in surface.domain)
    starts = np.stack(np.meshgrid(rows, columns), axis=-1).reshape(-1, 2)

    @jax.jit
    @jax.vmap
    def newton(start: jax.Array) -> tuple[jax.Array, jax.Array]:
        def step(_: int, x: jax.Array) -> jax.Array:
            return x - jnp.linalg.solve(surface.hessian(x), surface.gradient(x))

        end = jax.lax.fori_loop(0, 100, step, start)
        return end, jnp.max(jnp.abs(surface.gradient(end)))

    ends, slopes = (np.asarray(array) for array in newton(starts))
    inside = np.all((ends >= surface.domain[:, 0]) & (ends <= surface.domain[:, 1]), axis=1)
    found = ends[inside & (slopes < 1e-10)]
    listed = np.concatenate([surface.minima, surface.saddles, surface.maxima])
    distances = np.linalg.norm(found[:, None] - listed[None], axis=-1)
    assert np.max(np.min(distances, axis=1)) < 1e-6
    assert np.max(np.min(distances, axis=0)) < 1e-6


@pytest.mark.parametrize("dimensions", [2, 5])
def test_a_ravine_has_the_curvatures_from_one_to_its_condition_number(dimensions) -> None:
    surface = ravine(64.0, 0.4, dimensions)
    curvatures, axes = np.linalg.eigh(surface.hessian(np.ones(dimensions)))
    np.testing.assert_allclose(curvatures, 64 ** (np.arange(dimensions) / (dimensions - 1)), rtol=1e-12)
    floor, across = axes[:, 0] * np.sign(axes[0, 0]), axes[:, -1] * np.sign(axes[-1, -1])
    middle = [0.0] * (dimensions - 2)
    np.testing.assert_allclose(floor, [np.cos(0.4), *middle, np.sin(0.4)], atol=1e-12)
    np.testing.assert_allclose(across, [-np.sin(0.4), *middle, np.cos(0.4)], atol=1e-12)


def test_a_ravine_that_is_not_turned_is_half_the_sum_of_curvatures_times_squares() -> None:
    np.testing.assert_allclose(ravine(9.0)([2.0, 3.0]), 0.5 * 4 + 0.5 * 9 * 9, rtol=1e-14)


def test_the_saddle_has_no_minimum() -> None:
    assert landscapes.saddle.minima.shape == landscapes.saddle.minima_error.shape == (0, 2)
    assert "no minimum" in landscapes.saddle.source
    assert landscapes.saddle([0.0, 1e6]) < -1e11


@each
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_everything_is_in_the_dtype_of_the_point(surface, dtype) -> None:
    x = jnp.full(surface.dimensions, 0.3, dtype)
    shaped = [jax.eval_shape(of, x) for of in (surface, surface.gradient, surface.hessian)]
    assert {each.dtype for each in shaped} == {jnp.dtype(dtype)}
    assert [each.ndim for each in shaped] == [0, 1, 2]


def test_a_grid_of_values_comes_as_the_docstring_says() -> None:
    points = np.random.default_rng(0).normal(size=(3, 4, 2))
    values = jnp.vectorize(landscapes.himmelblau, signature="(d)->()")(points)
    x, y = points[..., 0], points[..., 1]
    np.testing.assert_allclose(values, (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2, rtol=1e-13)


def test_what_is_stored_cannot_be_written_over() -> None:
    with pytest.raises(ValueError, match="read-only"):
        landscapes.bowl.minima[0] = 0


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: landscapes.beale(np.zeros(3)), ValueError, "beale: x must be one point of shape (2,), got shape (3,)."),
        (lambda: landscapes.beale.gradient(np.zeros((4, 2))), ValueError, "beale: x must be one point of shape (2,)"),
        (lambda: landscapes.beale(np.ones(2) * 1j), TypeError, "beale: x must be real numbers, got complex"),
        (lambda: landscapes.beale.gradient(np.ones(2) * 1j), TypeError, "beale: x must be real numbers, got complex"),
        (lambda: landscapes.beale.hessian(np.ones(2) * 1j), TypeError, "beale: x must be real numbers, got complex"),
        (lambda: ravine(0.5), ValueError, "ravine: condition_number must be finite and at least 1, got 0.5."),
        (lambda: ravine(2.0, float("nan")), ValueError, "ravine: angle must be finite, got nan."),
        (lambda: ravine(2.0, dimensions=1), ValueError, "ravine: dimensions must be at least 2, got 1."),
        (lambda: ravine("10"), TypeError, "ravine: condition_number must be a number"),
        (
            lambda: landscape("own", jnp.sum, domain=[(0, 1)], minima=[[0, 0]]),
            ValueError,
            "own: minima must be points of 1 coordinates, got shape (1, 2).",
        ),
        (lambda: landscape("own", jnp.sum, domain=[(1, 0)]), ValueError, "own: domain must be pairs (low, high)"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(build, error, message) -> None:
    with pytest.raises(error, match=re.escape(message)):
        build()
