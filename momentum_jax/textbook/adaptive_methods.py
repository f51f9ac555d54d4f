"""RMSprop, Adagrad and Adam as the sources write them, down a ravine along the coordinates and a turned one (T4 and T5).

Each equation is also computed by a loop in NumPy, as the source prints it, beside the optimizer of this library. T5 says of
RMSprop that it damps the direction in which gradients oscillate, that each parameter has a rate of its own, that it anneals
itself and that no learning rate need be chosen. Near the minimum g / sqrt(m) stays near 1 in size, whatever the gradient.
So at a constant rate it comes to within about the rate of the minimum, and no nearer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
import optax

from momentum_jax import adagrad, adam, gradient_descent, landscapes, rmsprop
from momentum_jax.descent import descend
from momentum_jax.textbook.experiment import Claim, Experiment, Outcome, Surroundings
from momentum_jax.textbook.surfaces import Surface, surface

ANGLES = {"aligned": 0.0, "turned": 0.4}
METHODS = ("gradient descent", "RMSprop", "Adam")
SLOWER = 10
DRAWN = ((-2.1, 0.3), (-0.4, 0.4))


@dataclass(frozen=True)
class Settings:
    """The ravine, the start on it (along, across), and the methods' hyperparameters; decays and `eps` are T5's.

    `compared` are the updates over which ways are summed, `steps` those of a descent, `goal` the share of the first value
    to come down to.
    """

    condition_number: float = 100.0
    start: tuple[float, float] = (-2.0, 0.3)
    gradient_rate: float = 0.0195
    learning_rate: float = 0.05
    momentum: float = 0.9
    first_decay: float = 0.9
    decay: float = 0.9
    second_decay: float = 0.99
    eps: float = 1e-10
    compared: int = 40
    steps: int = 2000
    goal: float = 1e-4


@dataclass(frozen=True, eq=False)
class Down:
    """A descent in the axes of its ravine, (along, across): `points` (n + 1, 2), `values` (n + 1,)."""

    points: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Data:
    """The ravine in its own axes, the descents by "aligned" and "turned" and by method, and the last values by rate."""

    surface: Surface
    descents: dict[str, dict[str, Down]]
    compared: int
    goal: float


def measure(settings: Settings, surroundings: Surroundings) -> Outcome:
    del surroundings
    with jax.enable_x64(True):
        descents = {name: _descents(settings, angle) for name, angle in ANGLES.items()}
        off = _equations(settings)
        drawn = surface(landscapes.ravine(settings.condition_number), DRAWN)
    ways = {
        (name, method): np.abs(np.diff(down.points[: settings.compared + 1], axis=0)).sum(axis=0)
        for name, by_method in descents.items()
        for method, down in by_method.items()
    }
    plain, corrected = (descents["turned"][method].points[1:] for method in (UNCORRECTED, "Adam"))
    first = [np.linalg.norm(np.diff(descents["aligned"][method].points[:2], axis=0)) for method in (UNCORRECTED, "Adam")]
    quantities: dict[str, object] = {
        **{_way(*key, axis): way[index] for key, way in ways.items() for index, axis in enumerate(("along", "across"))},
        **{
            _reached(name, method): _updates_to(down.values, settings.goal)
            for name, by_method in descents.items()
            for method, down in by_method.items()
        },
        _ACROSS: ways["aligned", "gradient descent"][1] / ways["aligned", "RMSprop"][1],
        _TURNED: ways["aligned", "RMSprop"][0] / ways["turned", "RMSprop"][0],
        _FLOOR: _floor(descents["aligned"]["RMSprop"]) / _floor(descents["aligned"][SLOW]),
        **{
            _BOTH[name]: min(
                ways[name, "gradient descent"][1] / ways[name, "Adam"][1],
                ways[name, "Adam"][0] / ways[name, "gradient descent"][0],
            )
            for name in ANGLES
        },
        _APART: np.max(np.linalg.norm(plain - corrected, axis=1)),
        _FIRST: first[0] / first[1],
        **off,
    }
    return Outcome(quantities, Data(drawn, descents, settings.compared, settings.goal))


def _descents(settings: Settings, angle: float) -> dict[str, Down]:
    cosine, sine = np.cos(angle), np.sin(angle)
    axes = np.array([[cosine, sine], [-sine, cosine]])
    valley = landscapes.ravine(settings.condition_number, angle)
    rate, eps = settings.learning_rate, settings.eps
    optimizers = {
        "gradient descent": gradient_descent(settings.gradient_rate),
        "RMSprop": rmsprop(rate, settings.decay, eps=eps, momentum=None),
        SLOW: rmsprop(rate / SLOWER, settings.decay, eps=eps, momentum=None),
        "Adam": adam(rate, settings.first_decay, settings.second_decay, eps=eps),
        UNCORRECTED: adam(rate, settings.first_decay, settings.second_decay, eps=eps, debias=False),
    }
    paths = {name: descend(valley, each, np.array(settings.start) @ axes, settings.steps) for name, each in optimizers.items()}
    return {name: Down(np.asarray(path.points) @ axes.T, np.asarray(path.values)) for name, path in paths.items()}


def _floor(down: Down) -> float:
    """How far from the minimum the last quarter of a descent stays: the largest distance there."""
    return float(np.max(np.linalg.norm(down.points[-len(down.points) // 4 :], axis=1)))


def _updates_to(values: np.ndarray, share: float) -> float:
    """The updates after which the value stays below this share of the first; infinity if it does not come to that."""
    above = np.flatnonzero(values > share * values[0])
    return float(above[-1] + 1) if above[-1] + 1 < len(values) else np.inf


def _equations(settings: Settings) -> dict[str, object]:
    """How far each optimizer is from the source's equation in NumPy, over `compared` updates down the turned ravine."""
    valley = landscapes.ravine(settings.condition_number, ANGLES["turned"])
    gradient = jax.jit(valley.gradient)
    start = np.array(settings.start)
    eta, mu, rho, eps = settings.learning_rate, settings.momentum, settings.decay, settings.eps
    b1, b2 = settings.first_decay, settings.second_decay

    def rms(x: np.ndarray, v: np.ndarray, m: np.ndarray, t: int) -> tuple[np.ndarray, ...]:
        g = gradient(x)
        m = rho * m + (1 - rho) * g**2
        return x - eta * g / np.sqrt(m), v, m

    def rms_nesterov(x: np.ndarray, v: np.ndarray, m: np.ndarray, t: int) -> tuple[np.ndarray, ...]:
        g = gradient(x + mu * v)
        m = rho * m + (1 - rho) * g**2
        v = mu * v - eta * g / np.sqrt(m)
        return x + v, v, m

    def ada(x: np.ndarray, v: np.ndarray, m: np.ndarray, t: int) -> tuple[np.ndarray, ...]:
        g = gradient(x)
        m = m + g**2
        return x - eta * g / np.sqrt(m), v, m

    def adam_of(b2: float, eps: float, *, corrected: bool) -> _Equation:
        def step(x: np.ndarray, v: np.ndarray, m: np.ndarray, t: int) -> tuple[np.ndarray, ...]:
            g = gradient(x)
            v, m = b1 * v + (1 - b1) * g, b2 * m + (1 - b2) * g**2
            c1, c2 = (1 - b1**t, 1 - b2**t) if corrected else (1.0, 1.0)
            return x - eta * (v / c1) / (np.sqrt(m / c2) + eps), v, m

        return step

    pairs: dict[str, tuple[_Equation, optax.GradientTransformation]] = {
        _OFF["11.7"]: (rms, rmsprop(eta, rho, eps=0.0, momentum=None)),
        _OFF["11.8"]: (rms_nesterov, rmsprop(eta, rho, eps=0.0, momentum=mu, nesterov=True, learning_rate_inside=True)),
        _OFF["11.9"]: (ada, adagrad(eta, eps=0.0)),
        _OFF["11.10"]: (adam_of(0.999, 1e-8, corrected=True), adam(eta, b1, 0.999, eps=1e-8)),
        _OFF["T5"]: (adam_of(b2, eps, corrected=False), adam(eta, b1, b2, eps=eps, debias=False)),
    }
    return {
        name: np.max(
            np.abs(_by_hand(step, start, settings.compared) - descend(valley, optimizer, start, settings.compared).points)
        )
        for name, (step, optimizer) in pairs.items()
    }


_Equation = Callable[[np.ndarray, np.ndarray, np.ndarray, int], tuple[np.ndarray, ...]]


def _by_hand(step: _Equation, start: np.ndarray, steps: int) -> np.ndarray:
    x, v, m = start, np.zeros_like(start), np.zeros_like(start)
    points = [x]
    for t in range(1, steps + 1):
        x, v, m = (np.asarray(each) for each in step(x, v, m, t))
        points.append(x)
    return np.stack(points)


def _way(ravine: str, method: str, axis: str) -> str:
    return f"{ravine}, {method}: way {axis} in the first 40 updates"


def _reached(ravine: str, method: str) -> str:
    return f"{ravine}, {method}: updates to 1e-4 of the first value"


SLOW, UNCORRECTED = "RMSprop at a tenth of the rate", "Adam without correction"
_ACROSS = "aligned: way across, gradient descent over RMSprop"
_TURNED = "RMSprop: way along, aligned ravine over turned one"
_FLOOR = "aligned, RMSprop: distance that is left, over that at a tenth of the rate"
_BOTH = {name: f"{name}: the smaller of Adam's gains, shorter across and longer along than gradient descent" for name in ANGLES}
_APART = "turned: largest distance between Adam with and without correction"
_FIRST = "aligned: first step of Adam without correction over that with it"
_OFF = {number: f"{number}: largest distance from the equation in NumPy" for number in ("11.7", "11.8", "11.9", "11.10")} | {
    "T5": "T5's Adam: largest distance from the text's form in NumPy"
}
_ANNEALS = (
    "at a constant rate a step stays near the rate in size, however small the gradient: it never stays below 1e-4 of the "
    "first value in 2,000 updates"
)

EXPERIMENT = Experiment(
    name="adaptive-methods",
    title="RMSprop, Adagrad and Adam as the sources write them: a ravine along the coordinates and a turned one",
    reproduces=("T4 equation 11.7", "T4 equation 11.8", "T4 equation 11.9", "T4 equation 11.10", "T5 RMSprop", "T5 Adam"),
    claims=(
        *(Claim(_OFF[number], 0.0, 1e-12, f"T4, equation {number}") for number in ("11.7", "11.8", "11.9", "11.10")),
        Claim(_OFF["T5"], 0.0, 1e-12, "T5: Adam as its text states it, without bias correction"),
        Claim(_ACROSS, 1.0, 0, "T5: RMSprop damps the direction that oscillates", "at least"),
        Claim(_way("aligned", "RMSprop", "across"), 0.3, 1e-3, "ours: it goes straight to the floor"),
        Claim(_TURNED, 1.0, 0, "T5: each parameter has its own rate, so that axes matter", "at least"),
        Claim(_reached("aligned", "RMSprop"), 2000, 0, "T5: RMSprop anneals itself", "at most", known_fault=_ANNEALS),
        Claim(_reached("turned", "RMSprop"), 2000, 0, "T5: RMSprop anneals itself", "at most", known_fault=_ANNEALS),
        Claim(
            _FLOOR,
            1.0,
            0.5,
            "T5: RMSprop needs no learning rate",
            known_fault="the distance that is left is in proportion to the rate, which has to be chosen",
        ),
        Claim(_FLOOR, float(SLOWER), 0.5, "ours: the distance that is left is in proportion to the rate"),
        Claim(_BOTH["aligned"], 1.0, 0, "T5: Adam combines RMSprop and momentum", "at least"),
        Claim(
            _BOTH["turned"],
            1.0,
            0,
            "T5: Adam combines RMSprop and momentum",
            "at least",
            known_fault="in a turned ravine no rate of a coordinate is that of the floor: Adam is damped along it too",
        ),
        Claim(_FIRST, 1.0, 0.5, "ours: the first step is (1 - b1) / sqrt(1 - b2) times the corrected one, here 1"),
        Claim(_APART, 0.01, 0, "ours: without correction the path is another one", "at least"),
    ),
    full=Settings(),
    quick=Settings(),
    measure=measure,
    duration="4 s",
)
