"""Simple and exponential moving averages of a noisy series, and what their first values lack (T3).

    SMA_t = (S_t + ... + S_{t-n+1}) / n        V_t = b V_{t-1} + (1 - b) S_t,  V_0 = 0

The weight of S_i in V_t is (1 - b) b^(t-i). The weights of the values so far add up to 1 - b^t: the start-up bias, which
dividing by that sum takes away. The source's series is not known; this one is a cosine in noise.
"""

from dataclasses import dataclass

import numpy as np

from momentum_jax.smoothing import exponential_moving_average, simple_moving_average
from momentum_jax.textbook.experiment import Claim, Experiment, Outcome, Surroundings

DECAYS = (0.5, 0.9, 0.98)
WINDOWS = (5, 19)
LONG = 200_000


@dataclass(frozen=True)
class Settings:
    """A cosine of unit height over `values` values, `periods` of it, in Gaussian noise of standard deviation `noise`."""

    values: int = 200
    periods: float = 2.0
    noise: float = 0.5
    long: int = LONG
    seed: int = 1


@dataclass(frozen=True, eq=False)
class Data:
    """All of shape (t,): the `signal`, the `series` about it, its averages by window and by decay, these also uncorrected."""

    signal: np.ndarray
    series: np.ndarray
    simple: dict[int, np.ndarray]
    exponential: dict[float, np.ndarray]
    uncorrected: dict[float, np.ndarray]


def measure(settings: Settings, surroundings: Surroundings) -> Outcome:
    del surroundings
    random = np.random.default_rng(settings.seed)
    signal = np.cos(np.linspace(0, 2 * np.pi * settings.periods, settings.values))
    series = signal + settings.noise * random.standard_normal(settings.values)
    noise = random.standard_normal(settings.long)
    impulse = np.zeros(50)
    impulse[0] = 1.0
    weights = exponential_moving_average(impulse, 0.9, debias=False)
    ramp = np.arange(2000.0)
    quantities = {
        "b = 0.9: weights of the last three values": weights[:3],
        "b = 0.9: first average of a constant 1, uncorrected": exponential_moving_average(np.ones(1), 0.9, debias=False)[0],
        "b = 0.9: 10th average of a constant 1, uncorrected": exponential_moving_average(np.ones(10), 0.9, debias=False)[-1],
        "b = 0.9: first average of a constant 1, corrected": exponential_moving_average(np.ones(1), 0.9)[0],
        "b = 0.98: uncorrected over corrected at the 20th value": (
            exponential_moving_average(series, 0.98, debias=False)[19] / exponential_moving_average(series, 0.98)[19]
        ),
        "b = 0.9: values that it lags behind a ramp": ramp[-1] - exponential_moving_average(ramp, 0.9, debias=False)[-1],
        "window 19: values that it lags behind a ramp": ramp[-1] - simple_moving_average(ramp, 19)[-1],
        "b = 0.9: variance left of noise of variance 1": np.var(exponential_moving_average(noise, 0.9)[200:]),
        "window 19: variance left of noise of variance 1": np.var(simple_moving_average(noise, 19)[200:]),
    }
    data = Data(
        signal,
        series,
        {window: simple_moving_average(series, window) for window in WINDOWS},
        {decay: exponential_moving_average(series, decay) for decay in DECAYS},
        {decay: exponential_moving_average(series, decay, debias=False) for decay in DECAYS},
    )
    return Outcome(quantities, data)


# Five standard errors of a variance over LONG values of which neighbours correlate as these do: about 19 to 20 a free one.
_NOISE_TOLERANCE = 5 / 19 * float(np.sqrt(2 * 19 / LONG))

EXPERIMENT = Experiment(
    name="moving-averages",
    title="Simple and exponential moving averages, their lag and their start-up bias",
    reproduces=("T3 moving averages",),
    claims=(
        Claim("b = 0.9: weights of the last three values", (0.1, 0.09, 0.081), 1e-12, "T3: (1 - b) b^(t-i)"),
        Claim("b = 0.9: first average of a constant 1, uncorrected", 0.1, 1e-12, "T3: V₀ = 0, so V₁ = (1 - b) S₁"),
        Claim("b = 0.9: 10th average of a constant 1, uncorrected", 1 - 0.9**10, 1e-12, "closed form, 1 - bᵗ"),
        Claim("b = 0.9: first average of a constant 1, corrected", 1.0, 1e-12, "closed form"),
        Claim(
            "b = 0.98: uncorrected over corrected at the 20th value",
            1 - 0.98**20,
            1e-12,
            "closed form, 1 - bᵗ",
        ),
        Claim("b = 0.9: values that it lags behind a ramp", 9.0, 1e-9, "closed form, b / (1 - b)"),
        Claim("window 19: values that it lags behind a ramp", 9.0, 1e-9, "closed form, (n - 1) / 2"),
        Claim("b = 0.9: variance left of noise of variance 1", 0.1 / 1.9, _NOISE_TOLERANCE, "closed form, (1 - b) / (1 + b)"),
        Claim("window 19: variance left of noise of variance 1", 1 / 19, _NOISE_TOLERANCE, "closed form, 1 / n"),
    ),
    full=Settings(),
    quick=Settings(),
    measure=measure,
    duration="1 s",
)
