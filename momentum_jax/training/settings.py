"""How runs are trained, apart from what is trained: the options of `train_many` that decide which programs there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from momentum_jax.training.sampling import SAMPLINGS

# The history of a run holds a float32 for each step: 400 MB then.
MOST_STEPS = 100_000_000


@dataclass(frozen=True)
class Settings:
    """Options of `train_many`, under its names and with its meanings, checked.

    Raises:
      ValueError: an option out of its range.
    """

    steps: int
    batch_size: int | None = None
    sampling: str = "shuffle"
    evaluate_at: int | Sequence[int] | None = None
    norms: bool = False
    lanes: int | None = None
    devices: Sequence[Any] | None = None
    log_hyperparameters: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "lanes"):
            value = getattr(self, name)
            if value is None and name != "steps":
                continue
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"train_many: {name} must be a whole number of at least 1, got {value!r}.")
        if self.steps > MOST_STEPS:
            raise ValueError(f"train_many: steps must be at most {MOST_STEPS:,}, got {self.steps:,}.")
        if self.sampling not in SAMPLINGS:
            raise ValueError(f"train_many: sampling must be 'shuffle' or 'replacement', got {self.sampling!r}.")

    def evaluations(self) -> tuple[int, ...]:
        """The steps at which runs are evaluated."""
        steps, given = self.steps, self.evaluate_at
        if given is None:
            return (0, steps)
        if isinstance(given, int | np.integer) and not isinstance(given, bool) and given >= 1:
            return tuple(sorted({*range(0, steps, int(given)), steps}))
        chosen = np.asarray(given)
        whole = chosen.ndim == 1 and (not chosen.size or np.issubdtype(chosen.dtype, np.integer))
        if not whole or not ((chosen >= 0) & (chosen <= steps)).all():
            raise ValueError(
                f"train_many: evaluate_at must be a whole number of at least 1 or steps in [0, {steps}], got {given!r}."
            )
        return tuple(sorted({0, steps, *chosen.astype(int).tolist()}))
