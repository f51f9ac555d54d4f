"""Pathological curvature: a ravine, its gradients along its axes, momentum annealed, Newton's method (T3 and T5).

f(x) = (a² + κ b²) / 2, a along the floor, b across, both axes turned against the coordinates. Gradient descent bounces
between the walls and creeps along the floor. Momentum μ weighs a gradient that stays by 1 / (1 - μ) in the long run, and one
that changes its sign at every update by 1 / (1 + μ): it adds up along the floor and cancels across. Newton's step divides by
the curvature and is at the minimum after one update; where the curvature is negative it climbs, unless its sign is dropped.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax

from momentum_jax import gradient_descent, heavy_ball, landscapes, schedules
from momentum_jax.curvature import newton_step
from momentum_jax.descent import Path, descend
from momentum_jax.textbook.experiment import Claim, Experiment, Outcome, Surroundings
from momentum_jax.textbook.surfaces import Surface, surface

METHODS = ("gradient descent", "momentum", "annealed momentum", "Newton")
BENT_DOWN = (0.3, -0.3)
LEAST_CURVATURE = 0.5


@dataclass(frozen=True)
class Settings:
    """The ravine, where the descents start on it (along, across), and how.

    The momentum is annealed from `first_momentum` to `momentum` over `annealed_over` updates. `goal` is the share of the first
    value to come down to, `compared` the updates over which gradients are summed.
    """

    condition_number: float = 100.0
    angle: float = 0.4
    start: tuple[float, float] = (-2.0, 0.3)
    learning_rate: float = 0.0195
    momentum: float = 0.9
    first_momentum: float = 0.5
    annealed_over: int = 50
    steps: int = 400
    compared: int = 40
    goal: float = 1e-4


@dataclass(frozen=True, eq=False)
class AlongAxes:
    """A descent in the ravine's axes, (along, across): `points` (n + 1, 2), `values` (n + 1,), the others (n, 2).

    `pushes` are -η g: what each gradient by itself would add.
    """

    points: np.ndarray
    values: np.ndarray
    gradients: np.ndarray
    pushes: np.ndarray
    velocities: np.ndarray


@dataclass(frozen=True, eq=False)
class Data:
    """The ravine in its own axes, and the descents by method."""

    surface: Surface
    descents: dict[str, AlongAxes]
    momenta: np.ndarray
    goal: float


def measure(settings: Settings, surroundings: Surroundings) -> Outcome:
    del surroundings
    with jax.enable_x64(True):
        cosine, sine = np.cos(settings.angle), np.sin(settings.angle)
        axes = np.array([[cosine, sine], [-sine, cosine]])
        valley = landscapes.ravine(settings.condition_number, settings.angle)
        start = np.array(settings.start) @ axes
        annealing = schedules.linear(settings.first_momentum, settings.momentum, steps=settings.annealed_over)
        optimizers = {
            "gradient descent": gradient_descent(settings.learning_rate),
            "momentum": heavy_ball(settings.learning_rate, settings.momentum),
            "annealed momentum": heavy_ball(settings.learning_rate, annealing),
        }
        descents = {
            name: _along_axes(descend(valley, optimizer, start, settings.steps), axes, settings.learning_rate)
            for name, optimizer in optimizers.items()
        }
        descents["Newton"] = _newton(valley, start, axes)
        momenta = np.asarray(annealing(jnp.arange(settings.steps)))
        weights = _weights(settings.momentum)
        saddle, escaped = _from_where_it_bends_down()
    bouncing = descents["gradient descent"].gradients[: settings.compared]
    strides = {name: np.abs(each.velocities[: settings.compared]).sum(axis=0) for name, each in descents.items()}
    lengthened = strides["momentum"] / strides["gradient descent"]
    kept = np.abs(bouncing.sum(axis=0)) / np.abs(bouncing).sum(axis=0)
    reached = {name: _updates_to(each.values, settings.goal) for name, each in descents.items()}
    quantities = {
        "gradient descent: times it crossed the floor in the first 40 updates": int(
            np.sum(np.diff(np.sign(descents["gradient descent"].points[: settings.compared + 1, 1])) != 0)
        ),
        "gradient descent: share of its gradients along that adds up": kept[0],
        "gradient descent: share of its gradients across that adds up": kept[1],
        "momentum over gradient descent: way made across in the first 40 updates": lengthened[1],
        "momentum over gradient descent: way made along in the first 40 updates": lengthened[0],
        "momentum: weight of a gradient that stays": weights[0],
        "momentum: weight of a gradient that changes its sign": weights[1],
        **{f"{name}: updates to 1e-4 of the first value": updates for name, updates in reached.items()},
        "gradient descent over momentum: updates to 1e-4 of the first value": reached["gradient descent"] / reached["momentum"],
        "annealed over constant momentum: updates to 1e-4 of the first value": reached["annealed momentum"]
        / reached["momentum"],
        "momentum: overshoot along the floor": descents["momentum"].points[:, 0].max(),
        "annealed momentum: overshoot along the floor": descents["annealed momentum"].points[:, 0].max(),
        "annealed less constant momentum: overshoot along the floor": (
            descents["annealed momentum"].points[:, 0].max() - descents["momentum"].points[:, 0].max()
        ),
        "annealed over constant momentum: sum of distances across": (
            np.abs(descents["annealed momentum"].points[:, 1]).sum() / np.abs(descents["momentum"].points[:, 1]).sum()
        ),
        "Newton: distance to the minimum after one update": np.linalg.norm(descents["Newton"].points[1]),
        "Newton with negative curvature: where it ends": saddle,
        "Newton with the curvature's sign dropped: where it ends": escaped,
    }
    reach = 1.1 * np.abs(settings.start)
    domain = ((-reach[0], reach[0]), (-1.6 * reach[1], 1.6 * reach[1]))
    drawn = surface(landscapes.ravine(settings.condition_number), domain)
    return Outcome(quantities, Data(drawn, descents, momenta, settings.goal))


def _along_axes(path: Path, axes: np.ndarray, learning_rate: float) -> AlongAxes:
    points, gradients, velocities = (np.asarray(each) @ axes.T for each in (path.points, path.gradients, path.velocities))
    return AlongAxes(points, np.asarray(path.values), gradients, -learning_rate * gradients, velocities)


def _newton(valley: landscapes.Landscape, start: np.ndarray, axes: np.ndarray) -> AlongAxes:
    step = np.asarray(newton_step(valley, jnp.asarray(start), damping=0.0))
    points = np.stack([start, start + step])
    values = np.array([valley(point) for point in points])
    gradients = np.asarray(valley.gradient(start))[None] @ axes.T
    return AlongAxes(points @ axes.T, values, gradients, step[None] @ axes.T, step[None] @ axes.T)


def _weights(momentum: float) -> tuple[float, float]:
    """How long heavy ball's steps become under a gradient of 1 that stays, and one that changes its sign, after 400 updates."""
    optimizer = heavy_ball(1.0, momentum)

    def step(state: optax.OptState, gradient: jax.Array) -> tuple[optax.OptState, jax.Array]:
        update, state = optimizer.update(gradient, state)
        return state, jnp.abs(jnp.asarray(update))

    signs = (jnp.ones(400), (-1.0) ** jnp.arange(400))
    lengths = [float(jax.lax.scan(step, optimizer.init(jnp.zeros(())), each)[1][-1]) for each in signs]
    return lengths[0], lengths[1]


def _from_where_it_bends_down() -> tuple[np.ndarray, np.ndarray]:
    """Where Newton's method as it stands, and with the signs of the curvatures dropped, end from between two minima."""
    landscape, start = landscapes.two_gaussians, jnp.asarray(BENT_DOWN)

    def plain(_: int, x: jax.Array) -> jax.Array:
        return x - jnp.linalg.solve(landscape.hessian(x), landscape.gradient(x))

    def damped(_: int, x: jax.Array) -> jax.Array:
        return x + newton_step(landscape, x, damping=LEAST_CURVATURE)

    first, second = (jax.jit(lambda x, step=step: jax.lax.fori_loop(0, 30, step, x))(start) for step in (plain, damped))
    return np.asarray(first), np.asarray(second)


def _updates_to(values: np.ndarray, share: float) -> float:
    """The updates after which the value stays below this share of the first; infinity if it does not come to that."""
    above = np.flatnonzero(values > share * values[0])
    return float(above[-1] + 1) if above[-1] + 1 < len(values) else np.inf


EXPERIMENT = Experiment(
    name="ravine",
    title="Pathological curvature: gradients along and across a ravine, momentum annealed, Newton's method",
    reproduces=("T3 pathological curvature", "T3 annealing", "T5 pathological curvature", "T5 annealing", "T5 Newton"),
    claims=(
        Claim(
            "gradient descent: times it crossed the floor in the first 40 updates", 40, 0, "T5: it bounces between the walls"
        ),
        Claim("gradient descent: share of its gradients along that adds up", 1.0, 1e-12, "T3 and T5: along they add up"),
        Claim(
            "gradient descent: share of its gradients across that adds up",
            0.05,
            0,
            "T3 and T5: across they cancel",
            relation="at most",
        ),
        Claim(
            "momentum over gradient descent: way made across in the first 40 updates",
            1.0,
            0,
            "T3 and T5: across they cancel",
            relation="at most",
        ),
        Claim(
            "momentum over gradient descent: way made along in the first 40 updates",
            1.0,
            0,
            "T3 and T5: along they add up",
            relation="at least",
        ),
        Claim("momentum: weight of a gradient that stays", 10.0, 1e-9, "closed form, 1 / (1 - μ)"),
        Claim("momentum: weight of a gradient that changes its sign", 1 / 1.9, 1e-9, "closed form, 1 / (1 + μ)"),
        Claim(
            "gradient descent over momentum: updates to 1e-4 of the first value",
            1.0,
            0,
            "T3 and T5: momentum is the faster",
            relation="at least",
        ),
        Claim(
            "annealed over constant momentum: updates to 1e-4 of the first value",
            1.0,
            0,
            "T3 and T5: momentum is to be annealed",
            relation="at most",
        ),
        Claim(
            "annealed less constant momentum: overshoot along the floor",
            0.0,
            0,
            "T3 and T5: momentum is to be annealed",
            relation="at most",
        ),
        Claim("Newton: distance to the minimum after one update", 0.0, 1e-12, "T5: the ideal; exact on a quadratic"),
        Claim(
            "Newton with negative curvature: where it ends",
            tuple(map(float, landscapes.two_gaussians.saddles[0])),
            1e-9,
            "T5's step as it stands, on T4's surface: it ends in the saddle",
        ),
        Claim(
            "Newton with the curvature's sign dropped: where it ends",
            (-0.980384, 0.980384),
            1e-6,
            "T5: negative curvature must be handled",
        ),
    ),
    full=Settings(),
    quick=Settings(),
    measure=measure,
    duration="4 s",
)
