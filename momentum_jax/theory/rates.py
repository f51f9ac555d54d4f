"""How fast a linear method converges on a quadratic, where it is stable, and how far it overshoots.

Everything follows from the matrices that `linearize` read. Curvatures have the unit loss / params^2.
"""

from typing import Any

import numpy as np

from momentum_jax.theory.dynamics import Dynamics
from momentum_jax.theory.lifted import Lifted, lifted
from momentum_jax.theory.reading import dynamics
from momentum_jax.theory.systems import System, borders, borders_of_matrices, spectral_radius, stationary

_GOLDEN = (np.sqrt(5) - 1) / 2
_LARGEST = 1e100


def rate(optimizer: Any, curvature: Any, *, step: int | None = None) -> np.ndarray:
    """The factor by which the distance to the minimum shrinks a step, in the long run: the spectral radius of M.

        >>> import momentum_jax as mj
        >>> round(float(rate(mj.heavy_ball(0.1, 0.81), 1.0)), 12)
        0.9

    Where the coefficients repeat after p steps it is rho(M_{p-1} ... M_0)^(1/p). On a negative curvature it is the rate of
    escape. At a double root it is accurate to 1e-8.

    Args:
      optimizer: an optimizer, or its `Dynamics`.
      curvature: numbers of any shape.
      step: freeze the coefficients of this step; None: the settled ones.

    Returns:
      float64 of the shape of `curvature`.

    Raises:
      NotLinear: the update is not linear. ValueError: a curvature is not finite, or there is none; the coefficients do not
      settle and `step` is None.
    """
    return _rate(system_of("rate", optimizer, step), curvatures("rate", curvature))


def roots(optimizer: Any, curvature: Any, *, step: int | None = None) -> np.ndarray:
    """The roots of the closed loop's characteristic polynomial, complex128 (..., n) for curvatures (...), by modulus.

    n counts what the gradient reaches and the parameters see. The largest modulus is the rate.

    Raises:
      As `rate`; ValueError: the coefficients repeat after several steps and `step` is None.
    """
    values = curvatures("roots", curvature)
    found = np.linalg.eigvals(one_system("roots", optimizer, step).closed_loop(values)).astype(complex)
    return np.take_along_axis(found, np.argsort(-np.abs(found), -1, stable=True), -1)


def worst_rate(optimizer: Any, m: float, L: float, *, step: int | None = None) -> tuple[float, float]:
    """The largest rate on curvatures in [m, L], and the curvature that has it: an end, or a maximum between them.

    Args:
      m, L: 0 < m <= L.

    Raises:
      As `rate`; ValueError: m is not in (0, L].
    """
    bounds("worst_rate", m, L)
    return worst_of(system_of("worst_rate", optimizer, step), m, L)


def worst_of(system: System | Lifted, m: float, L: float) -> tuple[float, float]:
    """As `worst_rate`, of a system."""
    grid = np.unique(np.concatenate([np.geomspace(m, L, 257), np.linspace(m, L, 257)]))
    values = _rate(system, grid)
    inner = np.flatnonzero((values[1:-1] >= values[:-2]) & (values[1:-1] >= values[2:])) + 1
    low, high = grid[inner - 1], grid[inner + 1]
    for _ in range(45 if inner.size else 0):
        one, two = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        is_left = _rate(system, one) >= _rate(system, two)
        low, high = np.where(is_left, low, one), np.where(is_left, two, high)
    candidates = np.concatenate([grid, (low + high) / 2])
    values = np.concatenate([values, _rate(system, (low + high) / 2)])
    best = int(values.argmax())
    return float(values[best]), float(candidates[best])


def stable_intervals(optimizer: Any, *, step: int | None = None) -> tuple[tuple[float, float], ...]:
    """The open intervals of curvature above 0 on which the rate is below 1, exactly: from the roots of a polynomial.

    A method that moves nothing, as at a learning rate of 0, never diverges either, and has (0, inf).

    Raises:
      As `rate`.
    """
    system = system_of("stable_intervals", optimizer, step)
    if isinstance(system, System):
        if not len(system.F):
            return ((0.0, np.inf),)
        edges = borders(system)
    elif np.any(system.delta) or np.ptp(system.gamma, axis=0).any():
        edges = borders_of_matrices(*_cycle(dynamics(optimizer)))
    else:
        # All gradients of a period are taken at one point: the curvature enters with rank one.
        edges = borders(System(system.phi, system.beta.sum(1), system.gamma[0], system.gamma[0]))
    edges = np.concatenate([[0.0], edges])
    middles = np.concatenate([(edges[:-1] + edges[1:]) / 2, [2 * edges[-1] + 1]])
    intervals: list[tuple[float, float]] = []
    for low, high, is_stable in zip(edges, [*edges[1:], np.inf], _rate(system, middles) < 1, strict=True):
        if is_stable and intervals and intervals[-1][1] == low:
            intervals[-1] = (intervals[-1][0], float(high))
        elif is_stable:
            intervals.append((float(low), float(high)))
    return tuple(intervals)


def stability_limit(optimizer: Any, *, step: int | None = None) -> float:
    """The least curvature above 0 at which the method stops being stable: inf if at none, 0 if it is never stable near 0.

        >>> import momentum_jax as mj
        >>> round(stability_limit(mj.heavy_ball(0.1, 0.9)), 9)
        38.0

    Raises:
      As `rate`.
    """
    first = next(iter(stable_intervals(optimizer, step=step)), (np.inf, 0.0))
    return first[1] if first[0] == 0 else 0.0


def effective_learning_rate(optimizer: Any, *, step: int | None = None) -> float:
    """How far the parameter moves a step under a constant gradient of 1, in the long run; its sign is that of descent.

        >>> import momentum_jax as mj
        >>> round(effective_learning_rate(mj.heavy_ball(0.1, 0.9)), 12)
        1.0

    Raises:
      As `rate`; ValueError: weight decay ends the motion, or memory without decay makes it faster for ever.
    """
    system = system_of("effective_learning_rate", optimizer, step)
    period = 1
    if isinstance(system, Lifted):
        period = system.beta.shape[1]
        system = System(system.phi, system.beta.sum(1), system.gamma[0], system.gamma[0])
    if not len(system.F):
        return 0.0
    p, q, _ = system.polynomials()
    # Gain of (z - 1) q / p at z = 1, where p has its root of the parameter itself.
    slope = np.polyval(np.polyder(p), 1.0)
    size = np.abs(p).sum()
    if abs(np.polyval(p, 1.0)) > 1e-10 * max(size, abs(slope)):
        raise ValueError("effective_learning_rate: weight decay ends the motion under a constant gradient.")
    if abs(slope) <= 1e-12 * size:
        raise ValueError("effective_learning_rate: memory without decay moves the parameter faster for ever.")
    return float(-np.polyval(q, 1.0) / slope / period)


def transient_growth(optimizer: Any, curvature: Any) -> np.ndarray:
    """The largest |theta_k| on the way from theta_0 = 1: a rate below 1 does not mean that the distance shrinks.

    The first steps count, as `init` begins them. inf where the method is unstable; at a rate of 1 the largest of 65,536 steps.

    Raises:
      As `rate`.
    """
    who = "transient_growth"
    read, values = dynamics(optimizer), curvatures(who, curvature)
    steps = read.one_period(who, None)
    x = np.broadcast_to(read.start, (*values.shape, len(read.start)))
    largest = np.ones(values.shape)
    for k in range(steps[0]):
        x = np.einsum("...ij,...j->...i", read.closed_loop(values, k), x)
        largest = np.maximum(largest, np.abs(x[..., 0]))
    loops = np.stack([read.closed_loop(values, k) for k in steps])
    rates, largest = _rate(system_of(who, read, None), values), np.array(largest)
    for place in np.ndindex(values.shape):
        if rates[place] > 1 + 1e-9:
            largest[place] = np.inf
        else:
            largest[place] = max(largest[place], _overshoot(loops[(slice(None), *place)], x[place], float(rates[place])))
    return largest


def _overshoot(loops: np.ndarray, x: np.ndarray, rate: float) -> float:
    """The largest |theta_k| of x' = M x, until what can come is smaller."""
    rows = []
    row = np.eye(len(x))
    while len(rows) < 256 or len(rows) % len(loops):
        row = loops[len(rows) % len(loops)] @ row
        rows.append(row[0])
    reads, largest = np.stack(rows), abs(x[0])
    # sum over k of theta_k^2 from here on is x^T O x.
    energy = stationary(row.T, reads.T @ reads) if rate < 1 - 1e-9 else None
    for _ in range(256):
        largest = max(largest, float(np.abs(reads @ x).max()))
        x = row @ x
        if energy is not None and x @ energy @ x <= largest**2:
            break
    return largest


def system_of(who: str, optimizer: Any, step: int | None) -> System | Lifted:
    """The settled system, or that of one step; of coefficients that repeat after several steps that of their period."""
    read: Dynamics = dynamics(optimizer)
    steps = read.one_period(who, step)
    if len(steps) == 1:
        return read.at(steps[0])
    place = slice(steps.start, steps.stop)
    return lifted(read.F[place], read.b[place], read.readout[place])


def one_system(who: str, optimizer: Any, step: int | None) -> System:
    """As `system_of`.

    Raises:
      ValueError: the coefficients repeat after several steps.
    """
    system = system_of(who, optimizer, step)
    if isinstance(system, Lifted):
        raise ValueError(f"{who}: its coefficients repeat after {system.beta.shape[1]} steps; give step=.")
    return system


def curvatures(who: str, values: Any, name: str = "curvature") -> np.ndarray:
    """Finite numbers of any shape as float64.

    Raises:
      ValueError: there is none; one is not finite, or so large that its square may not be.
    """
    found = np.asarray(values, np.float64)
    if not found.size:
        raise ValueError(f"{who}: {name} must not be empty.")
    if not np.isfinite(found).all():
        raise ValueError(f"{who}: {name} must be finite, got {found[~np.isfinite(found)].flat[0]}.")
    if (np.abs(found) > _LARGEST).any():
        raise ValueError(f"{who}: {name} must be at most {_LARGEST:g}, got {np.abs(found).max():g}.")
    return found


def bounds(who: str, m: float, L: float) -> None:
    """Raises ValueError unless 0 < m <= L <= 1e100."""
    if not (np.isfinite(L) and 0 < m <= L):
        raise ValueError(f"{who}: m must be in (0, L], got m = {m:g} and L = {L:g}.")
    curvatures(who, L, "L")


def _rate(system: System | Lifted, curvature: np.ndarray) -> np.ndarray:
    if isinstance(system, System):
        # Where nothing moves, nothing comes nearer.
        return spectral_radius(system.closed_loop(curvature)) if len(system.F) else np.ones(curvature.shape)
    if not len(system.phi):
        return np.ones(curvature.shape)
    return spectral_radius(system.closed_loop(curvature)) ** (1 / system.beta.shape[1])


def _cycle(read: Dynamics) -> tuple[np.ndarray, np.ndarray]:
    """F and E of F + lam E, one matrix that takes the steps of a period in turn: its eigenvalues are p-th roots."""
    p, n = read.period, len(read.names)
    F, E = np.zeros((p * n, p * n)), np.zeros((p * n, p * n))
    for k, step in enumerate(read.one_period("stable_intervals", None)):
        rows = slice((k + 1) % p * n, ((k + 1) % p + 1) * n)
        F[rows, k * n : (k + 1) * n] = read.F[step]
        E[rows, k * n] = read.b[step]
    return F, E
