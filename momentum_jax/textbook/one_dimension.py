"""Gradient descent in one dimension, down 6x² - 12x + 3 (T4, figures 11-1, 11-2 and 11-6).

Gradient descent multiplies the distance to the minimum at x = 1 by 1 - 12 η at every update, so that the first two figures
have closed forms; classical momentum overshoots, rings and settles.
"""

from dataclasses import dataclass

import numpy as np

from momentum_jax import landscapes
from momentum_jax.textbook.descents import Descent, Trace, trace
from momentum_jax.textbook.experiment import Claim, Experiment, Outcome, Surroundings
from momentum_jax.textbook.surfaces import Surface, surface

MINIMUM = 1.0
CREEPING = Descent((-0.9,), 0.03, 15)
SWINGING = Descent((0.75,), 0.15, 15)
RINGING = Descent((0.75,), 0.09, 50, "classical", 0.8)
NEAR_THE_MINIMUM = ((0.65, 1.35),)
END_OF_11_1 = 0.997648


@dataclass(frozen=True)
class Settings:
    """The descent of each figure; of the last, `drawn` updates are drawn and the others only made."""

    figure_11_1: Descent = CREEPING
    figure_11_2: Descent = SWINGING
    figure_11_6: Descent = RINGING
    drawn: int = 10


@dataclass(frozen=True, eq=False)
class Drawn:
    """The parabola, the descent, and how many of its updates are drawn on it."""

    surface: Surface
    trace: Trace
    drawn: int


@dataclass(frozen=True, eq=False)
class Data:
    """What each figure shows."""

    figure_11_1: Drawn
    figure_11_2: Drawn
    figure_11_6: Drawn


def measure(settings: Settings, surroundings: Surroundings) -> Outcome:
    del surroundings
    descents = (settings.figure_11_1, settings.figure_11_2, settings.figure_11_6)
    traces = [trace(landscapes.parabola, descent) for descent in descents]
    creeping, swinging, ringing = (each.points[:, 0] for each in traces)
    quantities = {
        "figure 11-1: x at the end": creeping[-1],
        "figure 11-1: updates until x = 0.997648": int(np.argmax(np.abs(creeping - END_OF_11_1) < 5e-7)),
        "figure 11-2: factor of the distance to the minimum": np.mean((swinging[1:] - MINIMUM) / (swinging[:-1] - MINIMUM)),
        "figure 11-2: times it changed sides": _changes_of_side(swinging),
        "figure 11-2: distance to the minimum at the end": abs(swinging[-1] - MINIMUM),
        "figure 11-6: farthest point reached": ringing.max(),
        "figure 11-6: times it changed sides": _changes_of_side(ringing),
        "figure 11-6: x after 50 updates": ringing[-1],
    }
    wide, near = surface(landscapes.parabola), surface(landscapes.parabola, NEAR_THE_MINIMUM)
    first, second, third = traces
    data = Data(
        Drawn(wide, first, settings.figure_11_1.steps),
        Drawn(near, second, settings.figure_11_2.steps),
        Drawn(near, third, settings.drawn),
    )
    return Outcome(quantities, data)


def _changes_of_side(x: np.ndarray) -> int:
    return int(np.sum(np.diff(np.sign(x - MINIMUM)) != 0))


EXPERIMENT = Experiment(
    name="one-dimension",
    title="Descent down a parabola: creeping, swinging about the minimum, and momentum ringing",
    reproduces=(
        "T4 figure 11-1",
        "T4 figure 11-2",
        "T4 figure 11-6",
        "T4 equation 11.2",
        "T4 equation 11.3",
        "T4 listing 11-2",
        "T4 file gd_1d",
        "T4 file gd_1d_momentum",
    ),
    claims=(
        Claim("figure 11-1: x at the end", END_OF_11_1, 1e-6, "T4, figure 11-1"),
        Claim("figure 11-1: x at the end", 1 - 1.9 * 0.64**15, 1e-14, "closed form, 1 + (x₀ - 1)(1 - 12 η)¹⁵"),
        Claim(
            "figure 11-1: updates until x = 0.997648",
            14,
            0,
            "T4, figure 11-1",
            known_fault="the source draws a point before it steps: of 15 updates it shows 14, and ends one further on",
        ),
        Claim("figure 11-2: factor of the distance to the minimum", -0.8, 1e-12, "T4, figure 11-2: 1 - 12 η"),
        Claim("figure 11-2: times it changed sides", 15, 0, "T4, figure 11-2: at every update"),
        Claim("figure 11-2: distance to the minimum at the end", 0.25 * 0.8**15, 1e-12, "closed form, 0.25 · 0.8¹⁵"),
        Claim("figure 11-6: farthest point reached", 1.0, 0, "T4, figure 11-6: it overshoots", relation="at least"),
        Claim("figure 11-6: times it changed sides", 2, 0, "T4, figure 11-6: it rings", relation="at least"),
        Claim("figure 11-6: x after 50 updates", 1.000214667736666, 1e-12, "T4, figure 11-6, the listing run in float64"),
    ),
    full=Settings(),
    quick=Settings(),
    measure=measure,
    duration="1 s",
)
