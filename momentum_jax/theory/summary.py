"""What the theory says of an optimizer on some curvatures, as plain data."""

import math
from typing import Any, NamedTuple

import numpy as np

from momentum_jax.theory.certificates import certified_rate
from momentum_jax.theory.rates import curvatures as checked, effective_learning_rate, rate, stable_intervals, worst_rate
from momentum_jax.theory.reading import dynamics
from momentum_jax.theory.responses import steady_state_variance


class Summary(NamedTuple):
    """Numbers of one optimizer. A number that does not exist is a sentence that says why.

    Attributes:
      memory: what the method remembers of each parameter.
      settled: the first step from which its coefficients repeat; None: they still change at the `horizon`.
      period: after how many steps they repeat.
      horizon: how many steps were read.
      step: the step whose coefficients all numbers are of; None: the settled ones.
      effective_learning_rate: the move a step under a constant gradient of 1.
      stable: the intervals of curvature above 0 on which it is stable.
      curvatures, rates, variances: as many numbers each; the variance is for gradient noise of variance `noise`.
      worst: the largest rate between the least and the largest curvature above 0; None for fewer than two.
      worst_at: the curvature that has it.
      certified: the rate that is proven for all functions with curvatures between them.
    """

    memory: tuple[str, ...]
    settled: int | None
    period: int
    horizon: int
    step: int | None
    effective_learning_rate: float | str
    stable: tuple[tuple[float, float], ...]
    curvatures: tuple[float, ...]
    rates: tuple[float, ...]
    noise: float
    variances: tuple[float, ...]
    worst: float | None
    worst_at: float | None
    certified: float | str | None

    @property
    def stability_limit(self) -> float:
        """The least curvature above 0 at which it stops being stable."""
        return self.stable[0][1] if self.stable and self.stable[0][0] == 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which has no infinity: that is the text "inf"."""
        plain = {**self._asdict(), "stability_limit": self.stability_limit}
        return {name: _finite(value) for name, value in plain.items()}


def summary(optimizer: Any, curvatures: Any = (), *, noise: float = 1.0, step: int | None = None) -> Summary:
    """What follows from an optimizer's own update on these curvatures.

        >>> import momentum_jax as mj
        >>> round(summary(mj.heavy_ball(0.1, 0.9), [1, 10]).stability_limit, 9)
        38.0

    Args:
      optimizer: an optimizer, or its `Dynamics`.
      curvatures: numbers; the least and the largest above 0 are those that the worst and the certified rate are between.
      noise: variance of the gradient along each direction.
      step: freeze the coefficients of this step; None: the settled ones.

    Raises:
      NotLinear: the update is not linear.
      ValueError: a number is not finite, noise is negative; the coefficients do not settle and `step` is None.
    """
    read = dynamics(optimizer)
    values = np.ravel(checked("theory", curvatures, "curvatures")) if np.size(curvatures) else np.zeros(0)
    positive = values[values > 0]
    worst, certified = (None, None), None
    if positive.size and positive.min() < positive.max():
        m, L = float(positive.min()), float(positive.max())
        worst = worst_rate(read, m, L, step=step)
        certified = _or_why(lambda: certified_rate(read, m, L, step=step).rate)
    return Summary(
        memory=read.names[1:],
        settled=read.settled,
        period=read.period,
        horizon=read.horizon,
        step=step,
        effective_learning_rate=_or_why(lambda: effective_learning_rate(read, step=step)),
        stable=stable_intervals(read, step=step),
        curvatures=tuple(values.tolist()),
        rates=tuple(rate(read, values, step=step).tolist()) if values.size else (),
        noise=float(noise),
        variances=tuple(steady_state_variance(read, values, noise, step=step).tolist()) if values.size else (),
        worst=worst[0],
        worst_at=worst[1],
        certified=certified,
    )


def _or_why(number: Any) -> float | str:
    """A number, or the sentence that refuses it, without the function's name."""
    try:
        return number()
    except ValueError as error:
        return str(error).partition(": ")[2]


def _finite(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_finite(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
