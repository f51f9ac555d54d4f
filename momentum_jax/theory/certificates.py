"""Rates that hold on every function with curvatures in [m, L], quadratic or not: a test at frequencies, without a solver.

Let G(z) = q(z) / p(z) be the gain from the gradient to the held point. A rate rho is certified for m-strongly convex,
L-smooth functions of any dimension under two conditions. The closed loop has a radius below rho on [m, L], and some h in
[0, rho^2] gives

    Re conj(1 - m G(z)) (1 - h / z) (L G(z) - 1) <= 0        on |z| = rho

This is the weighted off-by-one quadratic constraint. Times |p|^2 it has no poles, and it is linear in h: each frequency
bounds h from one side, and rho is certified when an interval is left.

Source: L. Lessard, B. Recht and A. Packard (2016), Analysis and design of optimization algorithms via integral quadratic
constraints, SIAM J. Optim. 26(1), 57-95.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from momentum_jax.theory.rates import bounds, one_system, worst_of

FREQUENCIES = 4001
# Below these a rate and a margin, relative to the product whose real part it is, cannot be told from rounding.
RESOLUTION = 1e-10
MARGIN = 1e-11
# No rate closer to 1 is certified.
LARGEST = 1 - 1e-9
_GOLDEN = (np.sqrt(5) - 1) / 2


class Certificate(NamedTuple):
    """What is proven of a method on all m-strongly convex, L-smooth functions.

    Attributes:
      rate: the distance to the minimum shrinks by at least this factor a step, in the long run; inf: nothing is proven.
      quadratic_rate: the worst rate on quadratics, which no certificate can be below.
      multiplier: h of the constraint that proves it, in [0, rate^2]; nan where nothing is proven.
    """

    rate: float
    quadratic_rate: float
    multiplier: float


def certified_rate(optimizer: Any, m: float, L: float, *, step: int | None = None) -> Certificate:
    """The least rate that the weighted off-by-one constraint proves on all m-strongly convex, L-smooth functions.

        >>> import momentum_jax as mj
        >>> round(certified_rate(mj.gradient_descent(0.1), 1.0, 10.0).rate, 7)
        0.9

    inf does not mean that the method diverges somewhere, only that this constraint does not prove the opposite.

    Args:
      optimizer: an optimizer, or its `Dynamics`.
      m, L: strong convexity and smoothness, 0 < m <= L, in loss / params^2.
      step: freeze the coefficients of this step; None: the settled ones.

    Returns:
      The certificate, to about 1e-9.

    Raises:
      NotLinear: the update is not linear.
      ValueError: m is not in (0, L]; the method decays weights; its coefficients do not settle, or repeat after several steps.
    """
    who = "certified_rate"
    bounds(who, m, L)
    system = one_system(who, optimizer, step)
    if not len(system.F):
        return Certificate(np.inf, 1.0, np.nan)
    p, q, _ = system.polynomials()
    if moves_the_minimum(p):
        raise ValueError(f"{who}: weight decay moves the minimum; add the decay to m and L instead.")
    quadratic, _ = worst_of(system, m, L)
    found = certified(p[None], q[None], m, L, np.array([quadratic]))
    return Certificate(float(found[0][0]), quadratic, float(found[1][0]))


def moves_the_minimum(p: np.ndarray) -> bool:
    """Whether the parameter itself, which should be a root of p at 1, decays or grows without a gradient."""
    return bool(abs(p.sum()) > 1e-10 * np.abs(p).sum())


def certified(
    p: np.ndarray,
    q: np.ndarray,
    m: float,
    L: float,
    quadratic: np.ndarray,
    *,
    count: int = FREQUENCIES,
    peaks: int = 8,
    resolution: float = RESOLUTION,
) -> tuple[np.ndarray, np.ndarray]:
    """Rates and multipliers (k,) of k methods with polynomials p, q (k, n + 1) and quadratic rates (k,).

    Args:
      count: how many frequencies are tested.
      peaks: how many places between frequencies are searched for a tighter bound, on each side of h.
      resolution: of the rates.
    """
    frequencies = _frequencies(count)
    slow, fast = p - m * q, L * q - p
    low, high = quadratic + resolution, np.full(len(p), LARGEST)
    multipliers = np.full(len(p), np.nan)

    def test(these: np.ndarray, rho: np.ndarray) -> np.ndarray:
        least, most = _multipliers(slow[these], fast[these], rho[these], frequencies, peaks)
        is_proven = least <= most
        multipliers[these[is_proven]] = ((least + most) / 2 * rho[these])[is_proven]
        return is_proven

    these = np.flatnonzero(low < high)
    these = these[test(these, high)]
    is_at_once = test(these, low)
    high[these[is_at_once]] = low[these[is_at_once]]
    these = these[~is_at_once]
    while these.size:
        middle = (low + high) / 2
        is_proven = test(these, middle)
        high[these[is_proven]] = middle[these[is_proven]]
        low[these[~is_proven]] = middle[these[~is_proven]]
        these = these[(high - low)[these] > resolution / 2]
    return np.where(np.isnan(multipliers), np.inf, high), multipliers


def _frequencies(count: int) -> np.ndarray:
    """In [0, pi]: half evenly, a quarter ever closer to each end, where slow modes and large curvatures show."""
    close = np.geomspace(1e-7, np.pi, count // 4, endpoint=False)
    return np.unique(np.concatenate([np.linspace(0, np.pi, count - 2 * len(close)), close, np.pi - close]))


def _multipliers(
    slow: np.ndarray, fast: np.ndarray, rho: np.ndarray, frequencies: np.ndarray, peaks: int
) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest h / rho (k,) that all frequencies allow; least > largest where none is allowed."""
    found = _bounds(slow, fast, rho, np.broadcast_to(frequencies, (len(rho), len(frequencies))))
    tightest = found.max(-1)
    open_ = np.flatnonzero(np.maximum(tightest[0], 0) <= np.minimum(-tightest[1], rho))
    if peaks and open_.size:
        closer = _refined(functools.partial(_bounds, slow[open_], fast[open_], rho[open_]), frequencies, found[:, open_], peaks)
        tightest[:, open_] = np.maximum(tightest[:, open_], closer)
    return np.maximum(tightest[0], 0), np.minimum(-tightest[1], rho)


def _bounds(slow: np.ndarray, fast: np.ndarray, rho: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(2, k, ...): what frequencies w (k, ...) demand h / rho to be at least, and -h / rho; -inf where nothing."""
    turn = np.exp(1j * w)
    z = rho[:, None] * turn
    one, other = _values(slow, z), _values(fast, z)
    product = one.conj() * other
    product /= np.abs(product) + 1e-300
    needed, delayed = np.real(product) - MARGIN, np.real(product * turn.conj())
    size = np.abs(delayed)
    bound = np.where(size > 1e-14, needed / np.maximum(size, 1e-14), np.where(needed > 0, np.inf, -np.inf))
    return np.stack([np.where(delayed >= -1e-14, bound, -np.inf), np.where(delayed <= 1e-14, bound, -np.inf)])


def _refined(
    bounds_at: Callable[[np.ndarray], np.ndarray], frequencies: np.ndarray, found: np.ndarray, peaks: int
) -> np.ndarray:
    """(2, k): the tightest bounds near the highest of those that were found (2, k, frequencies), by golden section."""
    edge = np.full((*found.shape[:2], 1), -np.inf)
    padded = np.concatenate([edge, found, edge], -1)
    is_peak = (found >= padded[..., :-2]) & (found >= padded[..., 2:])
    places = np.argpartition(np.where(is_peak, found, -np.inf), -peaks, -1)[..., -peaks:]
    places = np.concatenate(list(places), -1)
    low = frequencies[np.maximum(places - 1, 0)]
    high = frequencies[np.minimum(places + 1, len(frequencies) - 1)]

    def at(w: np.ndarray) -> np.ndarray:
        both = bounds_at(w)
        return np.concatenate([both[0, :, :peaks], both[1, :, peaks:]], -1)

    best = np.full(low.shape, -np.inf)
    for _ in range(35):
        one, two = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        left, right = at(one), at(two)
        best = np.maximum(best, np.maximum(left, right))
        low, high = np.where(left >= right, low, one), np.where(left >= right, two, high)
    return np.stack([best[:, :peaks].max(-1), best[:, peaks:].max(-1)])


def _values(coefficients: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Polynomials (k, n + 1) at points (k, ...)."""
    total = np.zeros_like(z)
    for k in range(coefficients.shape[1]):
        total = total * z + coefficients[:, k, None]
    return total
