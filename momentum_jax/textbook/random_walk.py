"""A random walk smoothed by momentum (T1, figure 4-8).

A particle takes steps r_i drawn uniformly from the integers -10 to 10. Smoothed, s_i = m s_{i-1} + (1 - m) r_i from s_0, a
fresh draw: the larger m, the smaller the volatility and the slower the response. In the long run the variance of the smoothed
steps is that of the steps, 110/3, times (1 - m) / (1 + m).
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax.smoothing import exponential_moving_average
from momentum_jax.textbook.experiment import Claim, Experiment, Outcome, Surroundings, Table

LARGEST = 10
VARIANCE = LARGEST * (LARGEST + 1) / 3
MOMENTA = (0.0, 0.5, 0.8, 0.9, 0.95, 1.0)
LONG = 1_000_000


@dataclass(frozen=True)
class Settings:
    """How many steps are drawn, how many the variances are measured over, and the seed of both."""

    steps: int = 100
    long: int = LONG
    momenta: tuple[float, ...] = MOMENTA
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Data:
    """The walk that is drawn: `steps` (n,), `smoothed` (n,) by m; the long walk's `variances` by m < 1, `theory` by m."""

    steps: np.ndarray
    smoothed: dict[float, np.ndarray]
    variances: dict[float, float]
    theory: dict[float, float]


def measure(settings: Settings, surroundings: Surroundings) -> Outcome:
    del surroundings
    draws = np.random.default_rng(settings.seed).integers(-LARGEST, LARGEST, settings.long + 1, endpoint=True)
    moving = [m for m in settings.momenta if m < 1]
    smoothed = {m: _smoothed(draws[: settings.steps + 1], m) for m in settings.momenta}
    variances = {m: float(np.var(_smoothed(draws, m))) for m in moving}
    quantities = {
        **{f"m = {m:g}: variance of the smoothed steps": value for m, value in variances.items()},
        **{f"m = {m:g}: updates until half of a sudden change is followed": _half_response(m) for m in moving},
        "m = 1: spread of the smoothed steps": np.ptp(smoothed[1.0]) if 1.0 in smoothed else math.nan,
    }
    theory = {m: VARIANCE * (1 - m) / (1 + m) for m in np.linspace(0, max(moving), 200).tolist()}
    return Outcome(quantities, Data(draws[1 : settings.steps + 1], smoothed, variances, theory), (FAULTS,))


def _smoothed(draws: np.ndarray, m: float) -> np.ndarray:
    """The steps after the first draw, smoothed from it."""
    with jax.enable_x64(True):
        steps = jnp.asarray(draws, jnp.float64)
        return np.asarray(exponential_moving_average(steps[1:], m, start=steps[0], debias=False))


def _half_response(m: float) -> int:
    return int(np.argmax(exponential_moving_average(np.ones(1000), m, debias=False) >= 0.5)) + 1


def _variance(m: float) -> Claim:
    """Within five standard errors, those of the variance of `LONG` values of which neighbours correlate by m."""
    value = VARIANCE * (1 - m) / (1 + m)
    error = value * math.sqrt(2 / LONG * (1 + m**2) / (1 - m**2))
    return Claim(f"m = {m:g}: variance of the smoothed steps", value, 5 * error, "s² (1 - m) / (1 + m) for T1, figure 4-8")


def _response(m: float, updates: int) -> Claim:
    source = "smallest n with 1 - mⁿ ≥ 1/2, for T1, figure 4-8"
    return Claim(f"m = {m:g}: updates until half of a sudden change is followed", updates, 0, source)


FAULTS = Table(
    "T1, what is wrong in its listing",
    ("where", "fault", "here"),
    (("listing of the random walk", "`append()` without an argument cannot run", "every step is kept"),),
)

EXPERIMENT = Experiment(
    name="random-walk",
    title="A random walk smoothed by momentum: less volatile and slower, the larger m",
    reproduces=("T1 figure 4-8", "T1 listing of the random walk"),
    claims=(
        _variance(0.0),
        _variance(0.5),
        _variance(0.8),
        _variance(0.9),
        _variance(0.95),
        Claim("m = 1: spread of the smoothed steps", 0.0, 0, "T1, figure 4-8: with m = 1 nothing moves"),
        _response(0.0, 1),
        _response(0.5, 1),
        _response(0.8, 4),
        _response(0.9, 7),
        _response(0.95, 14),
    ),
    full=Settings(),
    quick=Settings(),
    measure=measure,
    duration="3 s",
)
