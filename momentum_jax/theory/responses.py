"""What a linear method does to a gradient, to a sequence of gradients and to their noise.

Variances: with gradient = curvature theta + noise, noise independent between steps, E theta_t^2 tends to the steady-state
variance. Its unit is that of params^2 for noise in (loss / params)^2.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from momentum_jax.theory.dynamics import Dynamics
from momentum_jax.theory.rates import curvatures, one_system, system_of
from momentum_jax.theory.reading import dynamics
from momentum_jax.theory.systems import System, spectral_radius, stationary, variance

Of = Literal["update", "held", "iterate"]


def impulse_response(optimizer: Any, length: int, *, at: int = 0, of: Of = "update") -> np.ndarray:
    """What one gradient of 1 at a step does to that step and to those that follow.

        >>> import momentum_jax as mj
        >>> impulse_response(mj.heavy_ball(0.1, 0.5), 3).round(9).tolist()
        [-0.1, -0.05, -0.025]

    Args:
      length: of how many steps.
      at: the step of the gradient; the coefficients are those of each step, first steps included.
      of: "update": of the held point's change; "held", "iterate": of the point itself, behind each step.

    Returns:
      (length,)

    Raises:
      NotLinear: the update is not linear. ValueError: a step lies beyond the horizon of a method that does not settle.
    """
    who = "impulse_response"
    read = dynamics(optimizer)
    _one_of(who, of, ("update", "held", "iterate"))
    _at_least(who, "length", length, 1)
    x, before, found = np.zeros(len(read.names)), 0.0, []
    for k in range(length):
        t = read.place(at + k)
        x = read.F[t] @ x + (read.b[t] if k == 0 else 0.0)
        found.append(x[0] - before if of == "update" else x[0] if of == "held" else read.readout[t] @ x)
        before = x[0]
    return np.array(found)


def frequency_response(optimizer: Any, frequencies: Any, *, step: int | None = None) -> np.ndarray:
    """The gain from the gradient to the update at frequencies in radians a step; at 0 minus the effective learning rate.

    Momentum is a low-pass filter: the gain falls with frequency, and the phase is its delay.

    Returns:
      complex128 of the shape of `frequencies`.

    Raises:
      NotLinear: the update is not linear.
      ValueError: a frequency is not finite; the coefficients do not settle or repeat after several steps, and `step` is None.
    """
    who = "frequency_response"
    system = one_system(who, optimizer, step)
    z = np.exp(1j * curvatures(who, frequencies, "frequencies"))
    p, q, _ = system.polynomials()
    moves = np.array([1.0, -1.0])
    if len(p) > 1 and abs(p.sum()) < 1e-10 * np.abs(p).sum():
        # The parameter's own root z = 1 is that of the difference too.
        p, moves = np.polydiv(p, moves)[0], np.ones(1)
    return np.polyval(np.polymul(moves, q), z) / np.polyval(p, z)


def steady_state_variance(
    optimizer: Any, curvature: Any, noise: Any = 1.0, *, of: Literal["iterate", "held"] = "iterate", step: int | None = None
) -> np.ndarray:
    """The variance in which the parameter ends along a direction; inf where the method is not stable.

        >>> import momentum_jax as mj
        >>> round(float(steady_state_variance(mj.gradient_descent(0.1), 1.0)), 12)
        0.052631578947

    Where the coefficients repeat after several steps it is the mean over them.

    Args:
      curvature: numbers of any shape.
      noise: variance of the gradient along that direction, at least 0; broadcast with `curvature`.
      of: of the evaluated iterate, or of the point that the user holds.
      step: freeze the coefficients of this step; None: the settled ones.

    Returns:
      float64 of the shape of both.

    Raises:
      NotLinear: the update is not linear.
      ValueError: a number is not finite, noise is negative; the coefficients do not settle.
    """
    who = "steady_state_variance"
    _one_of(who, of, ("iterate", "held"))
    place = 0 if of == "held" else 1
    values, noise = np.broadcast_arrays(curvatures(who, curvature), _noise(who, noise))
    system = system_of(who, optimizer, step)
    if isinstance(system, System):
        if not len(system.F):
            return np.zeros(values.shape)
        p, held, iterate = system.polynomials()
        found = variance(p - values[..., None] * held, (held, iterate)[place])
        return np.where(np.isinf(found), np.inf, found * np.where(np.isinf(found), 1.0, noise))
    M, driven = system.closed_loop(values), system.noise(values)
    reads, feeds = system.outputs(values, place)
    stable = spectral_radius(M) < 1 - 1e-14
    P = stationary(np.where(stable[..., None, None], M, 0.0), driven @ driven.swapaxes(-1, -2))
    spread = np.einsum("...pi,...ij,...pj->...p", reads, P, reads) + (feeds**2).sum(-1)
    return np.where(stable, spread.mean(-1) * noise, np.inf)


def expected_loss(
    optimizer: Any, curvature: Any, noise: Any, steps: int, *, distance: Any = 1.0, of: Literal["iterate", "held"] = "iterate"
) -> np.ndarray:
    """curvature / 2 E theta_T^2 after T steps from theta_0 = distance, the state as `init` begins it.

        >>> import momentum_jax as mj
        >>> round(float(expected_loss(mj.gradient_descent(0.1), 1.0, 0.0, 2)), 12)
        0.32805

    First steps count as they are. Settled steps are doubled: a million of them cost twenty.

    Args:
      curvature, noise, distance: numbers, broadcast together; noise is the variance of the gradient, at least 0.
      steps: T >= 0.
      of: of the evaluated iterate, or of the point that the user holds.

    Returns:
      float64 of their shape; inf where it is beyond the largest float.

    Raises:
      NotLinear: the update is not linear. ValueError: a number is not finite, noise is negative; T lies beyond the horizon of a
      method that does not settle.
    """
    who = "expected_loss"
    _one_of(who, of, ("iterate", "held"))
    _at_least(who, "steps", steps, 0)
    values, noise, distance = np.broadcast_arrays(
        curvatures(who, curvature), _noise(who, noise), curvatures(who, distance, "distance")
    )
    with np.errstate(over="ignore", invalid="ignore"):
        mean, spread = (np.where(np.isfinite(each), each, np.inf) for each in moments(dynamics(optimizer), values, steps, of))
        # What has no cause does not grow, however unstable the method is.
        return values / 2 * (np.where(distance == 0, 0.0, distance * mean) ** 2 + np.where(noise == 0, 0.0, noise * spread))


def moments(read: Dynamics, values: np.ndarray, steps: int, of: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean of theta_T from theta_0 = 1, and its variance under noise of variance 1, for curvatures of any shape."""
    n = len(read.names)
    if not steps:
        return np.ones(values.shape), np.zeros(values.shape)
    first = steps if read.settled is None else min(steps, read.settled)
    periods = (steps - first) // read.period
    stepped = Affine(np.broadcast_to(np.eye(n), (*values.shape, n, n)), np.zeros((*values.shape, n, n)))
    for k in range(first):
        stepped = stepped.then(Affine.of(read, values, k))
    if periods:
        period = Affine.of(read, values, first)
        for k in range(first + 1, first + read.period):
            period = period.then(Affine.of(read, values, k))
        stepped = stepped.then(period.repeated(periods))
    for k in range(first + periods * read.period, steps):
        stepped = stepped.then(Affine.of(read, values, k))
    row = read.readout[read.place(steps - 1)] if of == "iterate" else np.eye(n)[0]
    return stepped.M @ read.start @ row, np.einsum("i,...ij,j->...", row, stepped.P, row)


class Affine:
    """x' = M x + noise of covariance P, for many curvatures."""

    def __init__(self, M: np.ndarray, P: np.ndarray) -> None:
        self.M, self.P = M, P

    @classmethod
    def of(cls, read: Dynamics, values: np.ndarray, step: int) -> "Affine":
        M, b = read.closed_loop(values, step), read.b[read.place(step)]
        return cls(M, np.broadcast_to(np.outer(b, b), M.shape))

    def then(self, later: "Affine") -> "Affine":
        return Affine(later.M @ self.M, later.M @ self.P @ later.M.swapaxes(-1, -2) + later.P)

    def repeated(self, times: int) -> "Affine":
        found, power = None, self
        while times:
            if times & 1:
                found = power if found is None else found.then(power)
            times >>= 1
            power = power.then(power) if times else power
        assert found is not None
        return found


def limit_cycle(
    optimizer: Any, gradient: Callable[[np.ndarray], Any], start: float, *, longest: int = 8, steps: int = 20_000
) -> np.ndarray | None:
    """The cycle of the held point in which a one-dimensional loss ends, (period,), its largest point first; None for none.

    On a loss that is no quadratic a method may cycle though every quadratic between its curvatures is safe. The method is run
    for `steps` steps; the cycle is what its last points repeat, to 1e-9 of their size.

    Args:
      gradient: of the loss at one point, an array (1,); a number or an array of one.
      start: theta_0.
      longest: the longest period that is looked for.
      steps: of how many steps, at least 4 `longest`; more where the cycle attracts slowly.

    Raises:
      NotLinear: the update is not linear. ValueError: the run leaves the finite numbers; the method does not settle.
    """
    who = "limit_cycle"
    read = dynamics(optimizer)
    read.one_period(who, None)
    _at_least(who, "longest", longest, 1)
    _at_least(who, "steps", steps, 4 * longest)
    x, points = start * read.start, []
    for k in range(steps):
        t = read.place(k)
        with np.errstate(over="ignore", invalid="ignore"):
            x = read.F[t] @ x + read.b[t] * np.asarray(gradient(x[:1]), np.float64).item()
        points.append(x[0])
        if not np.isfinite(x[0]):
            raise ValueError(f"{who}: the run from {start:g} left the finite numbers at step {k}.")
    tail = np.array(points[-4 * longest :])
    size = np.abs(tail).max()
    for period in range(1, longest + 1):
        if np.abs(tail[period:] - tail[:-period]).max() <= 1e-9 * size:
            cycle = tail[-period:]
            return np.roll(cycle, -int(cycle.argmax()))
    return None


def _noise(who: str, noise: Any) -> np.ndarray:
    found = curvatures(who, noise, "noise")
    if (found < 0).any():
        raise ValueError(f"{who}: noise must be at least 0, got {found[found < 0].flat[0]:g}.")
    return found


def _at_least(who: str, name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{who}: {name} must be an int of at least {least}, got {value}.")


def _one_of(who: str, of: str, allowed: tuple[str, ...]) -> None:
    if of not in allowed:
        raise ValueError(f"{who}: of must be {' or '.join(map(repr, allowed))}, got {of!r}.")
