"""Does momentum carry a descent past a poor minimum? Every start of a grid on the surface of figure 11-5 (T4).

A descent that is small in its steps follows the negative gradient, with momentum or without, and ends in the minimum of its
basin. Momentum passes a minimum when its velocity is worth something against the depth of the well. That takes a step
η / (1 - μ) that is not small, so the same is tried of gradient descent at that step, as far as it is stable.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from momentum_jax import gradient_descent, heavy_ball, landscapes
from momentum_jax.descent import descend
from momentum_jax.textbook.experiment import Claim, Experiment, Outcome, Surroundings, Table
from momentum_jax.textbook.surfaces import Surface, surface

LANDSCAPE = landscapes.two_gaussians
REACHED = 0.01


@dataclass(frozen=True)
class Settings:
    """`side` times `side` starts over [-edge, edge]², `steps` updates from each, and the methods' learning rates."""

    side: int = 41
    edge: float = 2.5
    steps: int = 2000
    momentum: float = 0.9
    rates: tuple[float, ...] = (0.02, 0.1, 0.4)
    gradient_rates: tuple[float, ...] = (0.2, 0.4, 1.0)


@dataclass(frozen=True, eq=False)
class Data:
    """The surface, the `starts` (side, side, 2), and by method which are (side, side) that end in the shallower minimum."""

    surface: Surface
    starts: np.ndarray
    shallow: dict[str, np.ndarray]


def measure(settings: Settings, surroundings: Surroundings) -> Outcome:
    del surroundings
    axis = np.linspace(-settings.edge, settings.edge, settings.side)
    starts = np.stack(np.meshgrid(axis, axis), axis=-1)
    methods = {
        **{_gradient(rate): gradient_descent(rate) for rate in settings.gradient_rates},
        **{_momentum(rate): heavy_ball(rate, settings.momentum) for rate in settings.rates},
    }
    shallow, far = {}, {}
    with jax.enable_x64(True):
        for name, optimizer in methods.items():
            ends = np.asarray(descend(LANDSCAPE, optimizer, starts.reshape(-1, 2), settings.steps).points[:, -1])
            distances = np.linalg.norm(ends[:, None] - LANDSCAPE.minima, axis=-1).reshape(*starts.shape[:2], 2)
            shallow[name] = np.argmin(distances, axis=-1) == 1
            far[name] = float(np.mean(np.min(distances, axis=-1) > REACHED))
    share = {name: float(np.mean(each)) for name, each in shallow.items()}
    quantities = {
        **{_share(name): value for name, value in share.items()},
        **{_gain(rate): share[_gradient(0.4)] - share[_momentum(rate)] for rate in settings.rates},
    }
    rows = tuple((name, share[name], far[name]) for name in methods)
    edge = ((-settings.edge, settings.edge),) * 2
    table = Table(
        f"T4: {starts[..., 0].size:,} starts on the surface of figure 11-5",
        ("method", "share that ends in the shallower minimum", f"share farther than {REACHED} from both"),
        rows,
    )
    return Outcome(quantities, Data(surface(LANDSCAPE, edge), starts, shallow), (table,))


def _gradient(rate: float) -> str:
    return f"gradient descent, η = {rate:g}"


def _momentum(rate: float) -> str:
    return f"momentum 0.9, η = {rate:g}"


def _share(method: str) -> str:
    return f"{method}: share that ends in the shallower minimum"


def _gain(rate: float) -> str:
    return f"share in the shallower minimum, gradient descent less momentum at η = {rate:g}"


_SOURCE = "T4: momentum carries past poor minima"

EXPERIMENT = Experiment(
    name="poor-minima",
    title="Does momentum carry past poor minima? 1,681 starts between two minima",
    reproduces=("T4 poor minima",),
    claims=(
        Claim(_gain(0.4), 0.01, 0, f"{_SOURCE}, here 1% of starts", "at least"),
        Claim(_gain(0.1), 0.01, 0, f"{_SOURCE}, here 1% of starts", "at least"),
        Claim(
            _gain(0.02),
            0.01,
            0,
            f"{_SOURCE}, here 1% of starts",
            "at least",
            known_fault="at η = 0.02 both follow the negative gradient closely and end in the minimum of their basin",
        ),
        Claim(_gain(0.02), 0.0, 1e-12, "ours: at small steps not one start of the grid changes its share"),
        Claim(_share(_gradient(1.0)), 0.375, 0.002, "ours: larger steps alone do not carry past it"),
    ),
    full=Settings(),
    quick=Settings(),
    measure=measure,
    duration="3 s",
)
