"""Many methods of one constructor, read by one compiled program."""

from collections.abc import Callable
from typing import Any

import numpy as np

from momentum_jax.theory.dynamics import Dynamics
from momentum_jax.theory.families import family


def linearize_all(constructor: Callable[..., Any], **hyperparameters: Any) -> list[Dynamics]:
    """The settled `Dynamics` of a constructor's methods at arrays of hyperparameters, which are broadcast together.

        >>> import momentum_jax as mj
        >>> from momentum_jax import theory
        >>> methods = linearize_all(mj.heavy_ball, learning_rate=0.1, momentum=[0.0, 0.5, 0.9])
        >>> [round(theory.stability_limit(each), 6) for each in methods]
        [20.0, 30.0, 38.0]

    Linearity is proven at the first point; the others are read by the same program.

    Args:
      constructor: takes the hyperparameters by name, as arrays, and makes an optimizer.
      hyperparameters: numbers of any shapes that fit together.

    Returns:
      As many as there are points, in C order.

    Raises:
      NotLinear: the update is not linear.
      ValueError: there is no point; the coefficients have not settled at the last step that is read, or repeat after several.
    """
    names = list(hyperparameters)
    values = [np.ravel(each) for each in np.broadcast_arrays(*(np.asarray(v, np.float64) for v in hyperparameters.values()))]
    if not all(each.size for each in values):
        raise ValueError("linearize_all: hyperparameters must not be empty.")
    points = dict(zip(names, values, strict=True))
    methods = family(constructor, {name: float(each[0]) for name, each in points.items()})
    last = methods.settled_on_one("linearize_all")
    systems, before = methods.at(points, last), methods.at(points, max(0, last - 1))
    moved = systems.differ(before)
    if moved.any():
        at = ", ".join(f"{name}={each[moved.argmax()]:g}" for name, each in points.items())
        raise ValueError(f"linearize_all: at {at} the coefficients still change at step {last}.")
    return [
        Dynamics(F[None], b[None], readout[None], start, 0, 1, methods.names)
        for F, b, _, readout, start in zip(*systems, strict=True)
    ]
