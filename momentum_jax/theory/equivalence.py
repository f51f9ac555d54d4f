"""Whether two linear methods are the same: decided, with the first step at which they part.

Where a method stands after t steps is a linear function of the gradients so far and of theta_0. Two methods that have
settled, of n_a and n_b coefficients, agree for ever where they agree for n_a + n_b further steps (Cayley and Hamilton).
"""

from typing import Any, Literal, NamedTuple

import numpy as np

from momentum_jax.theory.dynamics import Dynamics
from momentum_jax.theory.reading import dynamics


class Difference(NamedTuple):
    """The first position that differs: after which step, because of which input, and its value in both methods.

    `cause` is the step of a gradient of 1, or "start": theta_0 = 1.
    """

    step: int
    cause: int | Literal["start"]
    a: float
    b: float


class Equivalence(NamedTuple):
    """What two methods have in common.

    Attributes:
      same: the same points for every sequence of gradients and every start.
      same_settled: the same once both have settled: the first steps and the start do not count.
      first_difference: None where they are the same.
      largest: the largest difference of a position, relative to the largest that a gradient, or theta_0, leads to.
      steps: how many steps were compared; None: for ever.
    """

    same: bool
    same_settled: bool
    first_difference: Difference | None
    largest: float
    steps: int | None


def equivalent(
    a: Any, b: Any, *, of: Literal["held", "iterate"] = "held", steps: int | None = None, tolerance: float = 1e-9
) -> Equivalence:
    """Whether two optimizers make the same points of the same gradients.

        >>> import momentum_jax as mj, optax
        >>> equivalent(mj.heavy_ball(0.1, 0.9), optax.sgd(0.1, 0.9)).same
        True
        >>> equivalent(mj.nesterov(0.1, 0.9), mj.heavy_ball(0.1, 0.9)).first_difference.step
        0

    Positions are compared, not updates: small differences add up.

    Args:
      a, b: optimizers, or their `Dynamics`.
      of: the points that the user holds, where the gradients are taken; or the evaluated iterates.
      steps: compare so many steps; None: for ever where both settle, else as many as were read.
      tolerance: of a difference, relative to the largest position that a gradient, or theta_0, leads to.

    Raises:
      NotLinear: an update is not linear. ValueError: `steps` is below 1, or beyond what was read of one that does not settle.
    """
    one, other = dynamics(a), dynamics(b)
    if of not in ("held", "iterate"):
        raise ValueError(f"equivalent: of must be 'held' or 'iterate', got {of!r}.")
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
        raise ValueError(f"equivalent: steps must be an int of at least 1 or None, got {steps}.")
    settled = None
    if one.settled is not None and other.settled is not None:
        settled = max(one.settled, other.settled)
    length, is_for_ever = steps, False
    if steps is None and settled is None:
        length = min(each.horizon for each in (one, other) if each.settled is None)
    elif steps is None and settled is not None:
        order = len(one.names) + len(other.names)
        length, is_for_ever = settled + int(np.lcm(one.period, other.period)) * (order + 1) + order, True
    assert length is not None
    first, second = _positions(one, length, of), _positions(other, length, of)
    difference, sizes = np.abs(first - second), np.maximum(np.abs(first), np.abs(second)).max(0)
    # A gradient of 1 may move by 1e-12, theta_0 = 1 stands at 1: each is held to its own.
    size = np.append(np.full(length, sizes[:-1].max()), sizes[-1])
    parted = difference > tolerance * size
    found = None
    if parted.any():
        t, k = (int(i) for i in np.argwhere(parted)[0])
        found = Difference(t, "start" if k == length else k, float(first[t, k]), float(second[t, k]))
    largest = (difference / np.where(size > 0, size, 1.0)).max()
    same_settled = settled is not None and settled < length and not parted[settled:, settled:-1].any()
    return Equivalence(found is None, same_settled, found, float(largest), None if is_for_ever else length)


def _positions(read: Dynamics, length: int, of: str) -> np.ndarray:
    """(length, length + 1): after each step, because of the gradient of each step and, last, of theta_0."""
    x = np.zeros((len(read.names), length + 1))
    x[:, length] = read.start
    found = np.empty((length, length + 1))
    for t in range(length):
        k = read.place(t)
        x = read.F[k] @ x
        x[:, t] += read.b[k]
        found[t] = x[0] if of == "held" else read.readout[k] @ x
    return found
