"""Descents: the numbers of the sources, closed forms, and every kind of optimizer against a loop of plain Python."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import momentum_jax as mj
from momentum_jax import landscapes
from momentum_jax.descent import descend
from momentum_jax.landscapes import ravine


def gradient_of_two_gaussians(p: np.ndarray) -> np.ndarray:
    x, y = p
    near, far = 2 * np.exp(-((x + 1) ** 2 + (y - 1) ** 2) / 2), np.exp(-((x - 1) ** 2 + (y + 1) ** 2) / 2)
    return np.array([(x + 1) * near + (x - 1) * far, (y - 1) * near + (y + 1) * far])


@pytest.mark.usefixtures("x64")
def test_figure_11_1_ends_where_the_closed_form_does() -> None:
    path = descend(landscapes.parabola, mj.gradient_descent(0.03), [-0.9], 15)
    np.testing.assert_allclose(path.points[:, 0], 1 - 1.9 * 0.64 ** np.arange(16), rtol=1e-13)
    assert path.points[-1, 0] == pytest.approx(0.997648, abs=5e-7)


@pytest.mark.usefixtures("x64")
def test_figure_11_2_swings_about_the_minimum_by_the_factor_of_the_source() -> None:
    path = descend(landscapes.parabola, mj.gradient_descent(0.15), [0.75], 15)
    np.testing.assert_allclose(path.points[:, 0] - 1, -0.25 * (-0.8) ** np.arange(16), rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_figure_11_6_settles_to_the_last_digit_of_the_computed_value() -> None:
    path = descend(landscapes.parabola, mj.heavy_ball(0.09, 0.8), [0.75], 50)
    assert path.points[-1, 0] == pytest.approx(1.000214667736666, abs=2e-15)
    # x - 1 is a vector's first entry under powers of the matrix of (x - 1, v).
    step = np.array([[1 - 12 * 0.09, 0.8], [-12 * 0.09, 0.8]])
    expected = [np.linalg.matrix_power(step, t) @ [-0.25, 0] for t in range(51)]
    np.testing.assert_allclose(path.points[:, 0] - 1, np.array(expected)[:, 0], atol=1e-14)
    np.testing.assert_allclose(path.velocities[:, 0], np.array(expected)[1:, 1], atol=1e-14)


FIGURE_11_5 = [
    ((-1.5, 1.2), 9, (-0.980386, 0.980386)),
    ((1.5, -1.8), 9, (0.934347, -0.938517)),
    ((0.0, 0.0), 20, (-0.980384, 0.980384)),
    ((0.7, -0.2), 20, (0.884720, -0.884705)),
    ((1.5, 1.5), 30, (-0.980384, 0.980384)),
]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("start", "steps", "end"), FIGURE_11_5)
def test_figure_11_5s_paths_end_where_they_should(start, steps, end) -> None:
    path = descend(landscapes.two_gaussians, mj.gradient_descent(0.4), np.array(start), steps)
    np.testing.assert_allclose(path.points[-1], end, atol=5e-7)


TABLE_11_2 = [
    ((1.5, 1.5), 0.02, 90, (-0.949632, 0.980921), (-0.971728, 0.980436)),
    ((0.7, -0.2), 0.1, 25, (0.880716, -0.906319), (0.899001, -0.898292)),
]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("start", "rate", "steps", "classical", "nesterov"), TABLE_11_2)
def test_table_11_2_as_classical_momentum_and_as_true_nesterov_compute_it(start, rate, steps, classical, nesterov) -> None:
    start = np.array(start)
    ball = descend(landscapes.two_gaussians, mj.heavy_ball(rate, 0.9), start, steps)
    ahead = descend(landscapes.two_gaussians, mj.nesterov(rate, 0.9), start, steps)
    np.testing.assert_allclose(ball.points[-1], classical, atol=5e-7)
    np.testing.assert_allclose(ahead.points[-1], nesterov, atol=5e-7)


@pytest.mark.usefixtures("x64")
def test_from_the_second_start_true_nesterov_ends_nearer_to_the_true_minimum() -> None:
    ends = [
        descend(landscapes.two_gaussians, optimizer, [0.7, -0.2], 25).points[-1]
        for optimizer in (mj.heavy_ball(0.1, 0.9), mj.nesterov(0.1, 0.9))
    ]
    classical, nesterov = (np.linalg.norm(end - landscapes.two_gaussians.minima[1]) for end in ends)
    assert nesterov < classical


@pytest.mark.usefixtures("x64")
def test_of_heavy_ball_every_array_is_that_of_a_loop() -> None:
    x, v = np.array([0.7, -0.2]), np.zeros(2)
    points, gradients, velocities = [x], [], []
    for _ in range(25):
        g = gradient_of_two_gaussians(x)
        v = 0.9 * v - 0.1 * g
        x = x + v
        points.append(x)
        gradients.append(g)
        velocities.append(v)
    path = descend(landscapes.two_gaussians, mj.heavy_ball(0.1, 0.9), points[0], 25)
    assert all(array.dtype == np.float64 for array in path)
    np.testing.assert_allclose(path.points, points, atol=1e-13)
    np.testing.assert_array_equal(path.gradient_points, path.points[:-1])
    np.testing.assert_allclose(path.gradients, gradients, atol=1e-13)
    np.testing.assert_allclose(path.velocities, velocities, atol=1e-13)
    x, y = np.array(points).T
    values = -2 * np.exp(-((x + 1) ** 2 + (y - 1) ** 2) / 2) - np.exp(-((x - 1) ** 2 + (y + 1) ** 2) / 2)
    np.testing.assert_allclose(path.values, values, atol=1e-13)


@pytest.mark.usefixtures("x64")
def test_of_nesterov_points_are_the_iterates_and_gradients_are_taken_ahead_of_them() -> None:
    momentum = mj.schedules.linear(0.5, 0.9, steps=10)
    x, v = np.array([1.5, 1.5]), np.zeros(2)
    points, ahead = [x], []
    for t in range(20):
        mu = 0.5 + 0.4 * min(t / 10, 1)
        y = x + mu * v
        v = mu * v - 0.05 * gradient_of_two_gaussians(y)
        x = x + v
        points.append(x)
        ahead.append(y)
    path = descend(landscapes.two_gaussians, mj.nesterov(0.05, momentum), points[0], 20)
    np.testing.assert_allclose(path.points, points, atol=1e-13)
    np.testing.assert_allclose(path.gradient_points, ahead, atol=1e-13)
    np.testing.assert_allclose(path.gradients, [gradient_of_two_gaussians(y) for y in ahead], atol=1e-13)
    np.testing.assert_allclose(path.velocities, np.diff(points, axis=0), atol=1e-13)
    np.testing.assert_allclose(path.values[-1], landscapes.two_gaussians(points[-1]), rtol=1e-13)


@pytest.mark.usefixtures("x64")
def test_of_triple_momentum_points_are_the_outputs_for_which_its_rate_is_proved() -> None:
    curvatures, start = np.array([1.0, 50.0]), np.array([2.0, -1.0])
    rho = 1 - np.sqrt(1 / 50)
    alpha, beta = (1 + rho) / 50, rho**2 / (2 - rho)
    gamma, delta = rho**2 / ((1 + rho) * (2 - rho)), rho**2 / (1 - rho**2)
    xi = before = start
    queries, outputs = [], [start]
    for _ in range(40):
        y = xi + gamma * (xi - before)
        xi, before = xi + beta * (xi - before) - alpha * curvatures * y, xi
        queries.append(y)
        outputs.append(xi + delta * (xi - before))
    path = descend(ravine(50.0), mj.triple_momentum(strong_convexity=1.0, smoothness=50.0), start, 40)
    np.testing.assert_allclose(path.gradient_points, queries, atol=1e-12)
    np.testing.assert_allclose(path.points, outputs, atol=1e-12)
    np.testing.assert_allclose(path.values, 0.5 * np.square(outputs) @ curvatures, atol=1e-12)


OPTIMIZERS = {
    "adam": lambda: mj.adam(0.02),
    "momo, by value": lambda: mj.momo(0.01),
    "storm, by grad_fn": lambda: mj.storm(0.05, c=1.0),
    "restart, by value": lambda: mj.adaptive_restart(mj.heavy_ball(1e-3, 0.9), criterion="function"),
    "Optax's Polyak step, by value": lambda: optax.polyak_sgd(0.01),
    "Optax's line search, by value, grad and value_fn": lambda: optax.chain(
        optax.sgd(1.0), optax.scale_by_backtracking_linesearch(15)
    ),
    "Optax's LBFGS, by value, grad and value_fn": lambda: optax.lbfgs(
        linesearch=optax.scale_by_backtracking_linesearch(15, store_grad=True)
    ),
    "Optax's schedule-free": lambda: optax.contrib.schedule_free_adamw(0.05, warmup_steps=5),
    "clipping before Nesterov": lambda: optax.chain(optax.clip_by_global_norm(5.0), mj.nesterov(1e-2, 0.9)),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_any_optimizer_goes_the_way_of_a_plain_loop(name) -> None:
    def value(x: jax.Array) -> jax.Array:
        return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2

    arguments = {"value": value, "grad": jax.grad(value), "value_fn": lambda _: value, "grad_fn": lambda _: jax.grad(value)}
    # Each optimizer is handed what its own documentation asks for, and no more.
    asked = {key: make for key, make in arguments.items() if re.search(rf"\b{key}\b", name)}
    optimizer, held = OPTIMIZERS[name](), jnp.array([-1.2, 1.0])
    state = optimizer.init(held)
    points, gradient_points = [mj.evaluation_params(held, state)], []

    @jax.jit
    def step(held, state):
        extra = {key: make(held) for key, make in asked.items()}
        updates, state = optimizer.update(jax.grad(value)(held), state, held, **extra)
        return optax.apply_updates(held, updates), state

    for _ in range(12):
        gradient_points.append(held)
        held, state = step(held, state)
        points.append(mj.evaluation_params(held, state))
    path = descend(landscapes.rosenbrock, optimizer, [-1.2, 1.0], 12)
    np.testing.assert_allclose(path.points, np.array(points), rtol=1e-7)
    np.testing.assert_allclose(path.gradient_points, np.array(gradient_points), rtol=1e-7)
    assert np.linalg.norm(path.points[-1] - path.points[0]) > 1e-2


@pytest.mark.usefixtures("x64")
def test_several_starts_go_their_ways_as_if_each_were_alone() -> None:
    starts = np.array([start for start, _, _ in FIGURE_11_5])
    together = descend(landscapes.two_gaussians, mj.nesterov(0.1, 0.9), starts, 30)
    shapes = [array.shape for array in together]
    assert shapes == [(5, 31, 2), (5, 31), (5, 30, 2), (5, 30, 2), (5, 30, 2)]
    for i, start in enumerate(starts):
        alone = descend(landscapes.two_gaussians, mj.nesterov(0.1, 0.9), start, 30)
        for many, one in zip(together, alone, strict=True):
            np.testing.assert_allclose(many[i], one, atol=1e-13)


@pytest.mark.usefixtures("x64")
def test_a_grid_of_hyperparameters_may_be_traced() -> None:
    rates = jnp.array([0.01, 0.03, 0.05])

    @jax.jit
    @jax.vmap
    def ends(rate: jax.Array) -> jax.Array:
        return descend(landscapes.parabola, mj.gradient_descent(rate), [-0.9], 15).points[-1, 0]

    np.testing.assert_allclose(ends(rates), 1 - 1.9 * (1 - 12 * rates) ** 15, rtol=1e-12)


def test_a_derivative_goes_through_the_whole_descent() -> None:
    def end(rate: jax.Array) -> jax.Array:
        return descend(landscapes.parabola, mj.gradient_descent(rate), [-0.9], 5).points[-1, 0]

    np.testing.assert_allclose(jax.grad(end)(jnp.asarray(0.03)), 1.9 * 5 * 12 * 0.64**4, rtol=1e-5)


@pytest.mark.parametrize("start", [[-1, 1], np.array([-1.0, 1.0]), np.array([-1.0, 1.0], np.float32), jnp.array([-1, 1])])
def test_without_64_bit_jax_everything_is_float32(start) -> None:
    path = descend(landscapes.rosenbrock, mj.nesterov(1e-3, 0.9), start, 3)
    assert all(array.dtype == np.float32 for array in path)
    np.testing.assert_array_equal(path.points[0], [-1, 1])


@pytest.mark.usefixtures("x64")
def test_a_float32_start_stays_so_with_64_bit_jax() -> None:
    path = descend(landscapes.rosenbrock, mj.adam(1e-3), np.array([-1, 1], np.float32), 3)
    assert all(array.dtype == np.float32 for array in path)
    assert descend(landscapes.rosenbrock, mj.adam(1e-3), [-1, 1], 3).points.dtype == np.float64


def test_of_no_steps_there_is_the_start_alone() -> None:
    path = descend(landscapes.parabola, mj.nesterov(0.1), [0.5], 0)
    assert [array.shape for array in path] == [(1, 1), (1,), (0, 1), (0, 1), (0, 1)]
    np.testing.assert_array_equal(path.points, [[0.5]])
    assert path.values[0] == pytest.approx(-1.5)


def test_a_descent_that_diverges_goes_on_to_its_last_step() -> None:
    path = descend(landscapes.parabola, mj.gradient_descent(1.0), [0.0], 200)
    assert path.points.shape == (201, 1)
    assert not np.isfinite(path.values[-1])


def test_the_same_function_and_optimizer_are_compiled_once() -> None:
    traces = []

    def function(x: jax.Array) -> jax.Array:
        traces.append(x.shape)
        return jnp.sum(x**2)

    optimizer = mj.heavy_ball(0.1)
    descend(function, optimizer, [1.0, 2.0], 5)
    first = len(traces)
    descend(function, optimizer, [3.0, 4.0], 5)
    assert len(traces) == first


SQUARE, DESCENT = (lambda x: jnp.sum(x**2)), mj.gradient_descent(0.1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((SQUARE, DESCENT, 1.0, 3), ValueError, "descend: start must have shape (d,) or (n, d), got ()."),
        ((SQUARE, DESCENT, np.ones((2, 2, 2)), 3), ValueError, "descend: start must have shape (d,) or (n, d), got (2, 2, 2)."),
        ((SQUARE, DESCENT, [], 3), ValueError, "descend: start must have shape (d,) or (n, d), got (0,)."),
        ((SQUARE, DESCENT, [1j], 3), TypeError, "descend: start must be an array of real numbers, got complex64."),
        ((SQUARE, DESCENT, "here", 3), TypeError, "descend: start must be an array of real numbers, got str."),
        ((SQUARE, DESCENT, [1.0], -1), ValueError, "descend: steps must be at least 0, got -1."),
        ((SQUARE, DESCENT, [1.0], 2.0), TypeError, "descend: steps must be an int, got 2.0 (float)."),
        ((SQUARE, 0.1, [1.0], 3), TypeError, "descend: optimizer must be a gradient transformation, got float."),
        ((None, DESCENT, [1.0], 3), TypeError, "descend: function must be a function of a point, got NoneType."),
        (
            (lambda x: x**2, DESCENT, [1.0, 2.0], 3),
            ValueError,
            "descend: function must return a real scalar, got float32 of shape (2,).",
        ),
        ((lambda x: (x[0], x), DESCENT, [1.0], 3), ValueError, "descend: function must return a real scalar, got tuple."),
        ((landscapes.beale, DESCENT, [1.0], 3), ValueError, "beale: x must be one point of shape (2,), got shape (1,)."),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(arguments, error, message) -> None:
    with pytest.raises(error, match=re.escape(message)):
        descend(*arguments)


def test_what_takes_other_arguments_than_a_descent_has_is_refused_in_one_sentence() -> None:
    needing = optax.GradientTransformationExtraArgs(lambda p: (), lambda u, s, p=None, *, hessian: (u, s))
    for optimizer, message in {
        optax.lookahead(optax.sgd(0.1), 5, 0.5): r"optimizer must take the parameters alone, got optax\.lookahead",
        optax.chain(optax.clip(1.0), optax.lookahead(optax.sgd(0.1), 5, 0.5)): "the parameters alone, got optax",
        optax.MultiSteps(optax.sgd(0.1), 2): r"optimizer is an optax\.MultiSteps; give its \.gradient_transformation",
        needing: "extra arguments but value, .*, got one that needs hessian",
    }.items():
        with pytest.raises(TypeError, match=f"^descend: .*{message}"):
            descend(lambda x: jnp.sum(x**2), optimizer, [1.0, -2.0], 2)


@pytest.mark.parametrize("opaque", [True, False])
def test_extra_arguments_that_an_optimizer_does_not_take_are_not_given(opaque: bool) -> None:
    optimizer = optax.contrib.sam(optax.sgd(0.1), optax.sgd(0.05), opaque_mode=opaque)
    points = descend(lambda x: jnp.sum(x**2), optimizer, [1.0, -2.0], 4).points
    assert jnp.sum(points[-1] ** 2) < jnp.sum(points[0] ** 2)
