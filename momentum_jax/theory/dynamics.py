"""An optimizer's own update, read as a linear system.

    x' = F_t x + b_t g          iterate = r_t x'          x = (theta, memory)

theta is one parameter as the user holds it, g its gradient, the memory what gradients reach in the state. On curvature
lam, g = lam theta: x' = M_t x with M_t = F_t + lam b_t e_0^T. The curvature enters by one number and with rank one, so that
one reading serves every curvature.

That the update is linear is proven from its program (`linear_structure`), for every number; the coefficients are its
Jacobian at each step, in float64. Both are held against the update's own values.
"""

from typing import Any, NamedTuple

import numpy as np

from momentum_jax.theory.systems import System, minimal


class NotLinear(ValueError):
    """The update is no linear rule that treats each coordinate by itself."""


class Dynamics(NamedTuple):
    """The coefficients of a linear method, one entry a step of its clock.

    Attributes:
      F: (steps, n, n); b: (steps, n); readout: (steps, n), of the iterate after the step.
      start: (n,), the state in which `init` begins, for theta = 1.
      settled: the first step from which the coefficients repeat, as far as was read; None: they still change.
      period: after how many steps they repeat then.
      names: (n,), what the entries of x are; the first is "params".
    """

    F: np.ndarray
    b: np.ndarray
    readout: np.ndarray
    start: np.ndarray
    settled: int | None
    period: int
    names: tuple[str, ...]

    @property
    def horizon(self) -> int:
        """How many steps were read."""
        return len(self.F)

    @property
    def A(self) -> np.ndarray:
        """Memory to memory, settled: memory' = A memory + B g (+ what theta adds), update = C memory + D g."""
        return self.F[self._one()][1:, 1:]

    @property
    def B(self) -> np.ndarray:
        return self.b[self._one()][1:]

    @property
    def C(self) -> np.ndarray:
        return self.F[self._one()][0, 1:]

    @property
    def D(self) -> float:
        return float(self.b[self._one()][0])

    def place(self, step: int) -> int:
        """Where the coefficients of a step stand; of steps after the horizon those that they repeat.

        Raises:
          ValueError: the step is beyond the horizon, and the coefficients have not settled; it is no step.
        """
        if isinstance(step, bool) or not isinstance(step, (int, np.integer)) or step < 0:
            raise ValueError(f"theory: step must be an int of at least 0, got {step}.")
        if step < self.horizon:
            return step
        if self.settled is None:
            raise ValueError(
                f"theory: step must be below the horizon of {self.horizon} that was read, got {step}; "
                "give linearize a longer horizon."
            )
        return self.horizon - self.period + (step - self.horizon) % self.period

    def at(self, step: int) -> System:
        """What the gradient reaches and the parameters see, with the coefficients of one step."""
        t = self.place(step)
        return minimal(System(self.F[t], self.b[t], np.eye(len(self.names))[0], self.readout[t]))

    def closed_loop(self, curvature: Any, step: int | None = None) -> np.ndarray:
        """M = F + curvature b e_0^T, (..., n, n) for curvatures (...), settled or at a step."""
        t = self._one() if step is None else self.place(step)
        feedback = np.outer(self.b[t], np.eye(len(self.names))[0])
        return self.F[t] + np.asarray(curvature, np.float64)[..., None, None] * feedback

    def one_period(self, who: str, step: int | None) -> range:
        """The last period that was read, which all later ones repeat; of a step that is given that one.

        Raises:
          ValueError: no step is given, and the coefficients still change at the horizon.
        """
        if step is not None:
            return range(self.place(step), self.place(step) + 1)
        if self.settled is None:
            raise ValueError(
                f"{who}: its coefficients still change at step {self.horizon - 1}{self._change()}; give step=, or linearize a "
                "longer horizon."
            )
        return range(self.horizon - self.period, self.horizon)

    def _one(self) -> int:
        steps = self.one_period("theory", None)
        if len(steps) > 1:
            raise ValueError(f"theory: its coefficients repeat after {self.period} steps; give step=.")
        return steps[0]

    def _change(self) -> str:
        last = self.b[-1, 0]
        return f" (the gradient moves the parameter by {last:.2g})" if last else ""

    def __repr__(self) -> str:
        memory = self.names[1:]
        said = f"{len(memory)} memor{'y' if len(memory) == 1 else 'ies'}" + (f" ({', '.join(memory)})" if memory else "")
        if self.settled is None:
            return f"Dynamics: {said}, still changing at step {self.horizon - 1}"
        period = f", period {self.period}" if self.period > 1 else ""
        return f"Dynamics: {said}, settled at step {self.settled} of {self.horizon} read{period}"
