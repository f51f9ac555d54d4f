"""Best hyperparameters in closed form, for losses with curvatures in [m, L].

Each function has the name of its optimizer and returns what that takes, so that `mj.heavy_ball(**hyperparameters)` is tuned:

    tuned = theory.tunings.heavy_ball(m=1.0, L=100.0)
    optimizer = mj.heavy_ball(**tuned.hyperparameters)

`rate` is the worst rate on quadratics with curvatures in [m, L]. For gradient descent, triple momentum and robust momentum it
holds on every m-strongly convex, L-smooth function; for the others `theory.certified_rate` says what does.

m and L have the unit loss / params^2, kappa = L / m. All functions raise ValueError where m is not in (0, L].
"""

from typing import NamedTuple

import numpy as np

from momentum_jax.theory.rates import bounds

__all__ = [
    "Tuning",
    "ema_momentum",
    "gradient_descent",
    "heavy_ball",
    "nesterov",
    "nesterov_quadratic",
    "quasi_hyperbolic_momentum",
    "robust_momentum",
    "sgd",
    "triple_momentum",
]


class Tuning(NamedTuple):
    """Hyperparameters, and what they reach.

    Attributes:
      hyperparameters: by the names that the optimizer's constructor takes.
      rate: the factor by which the distance to the minimum shrinks a step, in the worst case and in the long run.
      source: the paper of a closed form; of a search its objective and ranges.
      loss: the expected loss, where that was what the search made small.
      at_end: the hyperparameters that a search left at an end of their ranges; a wider range may be better.
    """

    hyperparameters: dict[str, float]
    rate: float
    source: str
    loss: float | None = None
    at_end: tuple[str, ...] = ()


_POLYAK = "B. T. Polyak (1964), USSR Comput. Math. Math. Phys. 4(5), 1-17"
_LESSARD = "L. Lessard, B. Recht and A. Packard (2016), SIAM J. Optim. 26(1), 57-95, table 1"


def gradient_descent(m: float, L: float) -> Tuning:
    """eta = 2 / (m + L), rate (kappa - 1) / (kappa + 1).

        >>> gradient_descent(1.0, 9.0)[:2]
        ({'learning_rate': 0.2}, 0.8)

    Source: Yu. E. Nesterov (2004), Introductory Lectures on Convex Optimization, theorem 2.1.15.
    """
    m, L = _checked("gradient_descent", m, L)
    source = "Yu. E. Nesterov (2004), Introductory Lectures on Convex Optimization, theorem 2.1.15"
    return Tuning({"learning_rate": 2 / (m + L)}, (L - m) / (L + m), source)


def heavy_ball(m: float, L: float) -> Tuning:
    """eta = 4 / (sqrt L + sqrt m)^2, mu = rate^2, rate (sqrt kappa - 1) / (sqrt kappa + 1): the least on quadratics.

        >>> heavy_ball(1.0, 9.0)[:2]
        ({'learning_rate': 0.25, 'momentum': 0.25}, 0.5)

    From a kappa of 18 it may cycle on functions that are not quadratic.

    Source: B. T. Polyak (1964), USSR Comput. Math. Math. Phys. 4(5), 1-17.
    """
    m, L = _checked("heavy_ball", m, L)
    rate = _ratio(np.sqrt(L), np.sqrt(m))
    return Tuning({"learning_rate": 4 / float(np.sqrt(L) + np.sqrt(m)) ** 2, "momentum": rate**2}, rate, _POLYAK)


def sgd(m: float, L: float) -> Tuning:
    """As `heavy_ball`: at a constant learning rate both make the same steps."""
    _checked("sgd", m, L)
    return heavy_ball(m, L)


def ema_momentum(m: float, L: float) -> Tuning:
    """As `heavy_ball`, whose learning rate the average multiplies by 1 - mu: eta = 4 / ((sqrt L + sqrt m)^2 (1 - mu)).

    >>> tuned = ema_momentum(1.0, 9.0)
    >>> round(tuned.hyperparameters["learning_rate"], 12), tuned.rate
    (0.333333333333, 0.5)

    """
    m, L = _checked("ema_momentum", m, L)
    tuned = heavy_ball(m, L)
    # 1 - mu = 4 sqrt(m L) / (sqrt L + sqrt m)^2
    rate = 1 / float(np.sqrt(m) * np.sqrt(L))
    return tuned._replace(hyperparameters={"learning_rate": rate, "momentum": tuned.hyperparameters["momentum"]})


def quasi_hyperbolic_momentum(m: float, L: float) -> Tuning:
    """As `ema_momentum`, with nu = 1: no other share of the average is faster on quadratics."""
    _checked("quasi_hyperbolic_momentum", m, L)
    tuned = ema_momentum(m, L)
    return tuned._replace(hyperparameters={**tuned.hyperparameters, "nu": 1.0})


def nesterov(m: float, L: float) -> Tuning:
    """eta = 1 / L, mu = (sqrt kappa - 1) / (sqrt kappa + 1), rate on quadratics 1 - 1 / sqrt kappa: the standard pair.

        >>> round(nesterov(1.0, 9.0).rate, 12)
        0.666666666667

    On m-strongly convex, L-smooth functions the textbook's rate is sqrt(1 - 1 / sqrt kappa).

    Source: Yu. E. Nesterov (2004), Introductory Lectures on Convex Optimization, scheme 2.2.22.
    """
    m, L = _checked("nesterov", m, L)
    source = "Yu. E. Nesterov (2004), Introductory Lectures on Convex Optimization, scheme 2.2.22"
    rate = (L - m) / (np.sqrt(L) * (np.sqrt(L) + np.sqrt(m)))
    return Tuning({"learning_rate": 1 / L, "momentum": _ratio(np.sqrt(L), np.sqrt(m))}, float(rate), source)


def nesterov_quadratic(m: float, L: float) -> Tuning:
    """eta = 4 / (3 L + m), mu = (s - 2) / (s + 2), rate 1 - 2 / s with s = sqrt(3 kappa + 1): `nesterov`'s best on quadratics.

        >>> round(nesterov_quadratic(1.0, 5.0).rate, 12)
        0.5

    Source: L. Lessard, B. Recht and A. Packard (2016), SIAM J. Optim. 26(1), 57-95, table 1.
    """
    m, L = _checked("nesterov_quadratic", m, L)
    root = np.sqrt(3 * L + m)
    rate = 3 * (L - m) / (root * (root + 2 * np.sqrt(m)))
    return Tuning({"learning_rate": 4 / (3 * L + m), "momentum": _ratio(root, 2 * np.sqrt(m))}, float(rate), _LESSARD)


def triple_momentum(m: float, L: float) -> Tuning:
    """rate 1 - 1 / sqrt kappa, on every m-strongly convex, L-smooth function: the best of fixed coefficients.

        >>> round(triple_momentum(1.0, 4.0).rate, 12)
        0.5

    Source: B. Van Scoy, R. A. Freeman and K. M. Lynch (2018), IEEE Control Systems Letters 2(1), 49-54.
    """
    m, L = _checked("triple_momentum", m, L)
    source = "B. Van Scoy, R. A. Freeman and K. M. Lynch (2018), IEEE Control Systems Letters 2(1), 49-54"
    rate = (L - m) / (np.sqrt(L) * (np.sqrt(L) + np.sqrt(m)))
    return Tuning({"strong_convexity": m, "smoothness": L}, float(rate), source)


def robust_momentum(m: float, L: float, *, rate: float | None = None) -> Tuning:
    """The rate that is asked for, on every m-strongly convex, L-smooth function; a slower one bears more error.

    Args:
      rate: in [1 - 1 / sqrt kappa, 1 - 1 / kappa]; None: the middle between triple momentum's and gradient descent's.

    Raises:
      ValueError: the rate is outside; m is not in (0, L].

    Source: S. Cyrus, B. Hu, B. Van Scoy and L. Lessard (2018), American Control Conference, arXiv:1710.04753.
    """
    m, L = _checked("robust_momentum", m, L)
    fastest, slowest = triple_momentum(m, L).rate, (L - m) / L
    rate = (fastest + slowest) / 2 if rate is None else float(rate)
    if not fastest - 1e-9 <= rate <= slowest + 1e-9:
        raise ValueError(
            "tunings.robust_momentum: rate must be in [1 - sqrt(m / L), 1 - m / L] = "
            f"[{fastest:.6g}, {slowest:.6g}], got {rate:g}."
        )
    source = "S. Cyrus, B. Hu, B. Van Scoy and L. Lessard (2018), American Control Conference, arXiv:1710.04753"
    return Tuning({"strong_convexity": m, "smoothness": L, "rate": rate}, rate, source)


def _checked(who: str, m: float, L: float) -> tuple[float, float]:
    bounds(f"tunings.{who}", m, L)
    return float(m), float(L)


def _ratio(large: float, small: float) -> float:
    """(large - small) / (large + small)"""
    return float((large - small) / (large + small))


def __dir__() -> list[str]:
    return sorted(__all__)
