"""What training hands back, and what it says while it works."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class RunResult:
    """One finished run. Losses are those of the problem; all arrays are on the host.

    run: its position among the keys.
    losses: (steps,) float32, that of step t at the held point on batch t, before the update; NaN after `diverged`.
    evaluation_steps: (evaluations,) updates done before each evaluation; empty without validation rows.
    validation: by score, (evaluations,) float32 on the validation rows at `evaluation_params`, ranked scores alone; NaN after
      `diverged`. Without data: on the problem itself.
    validation_kept: by score, what `kept` scores gave at the last evaluation.
    test: by score, a scalar or an array on the test rows at `evaluation_params`; empty without test rows.
    gradient_norms, update_norms: (steps,) global 2-norms, when asked for.
    hyperparameters: when asked for, as `momentum_jax.hyperparameters` gives them, in the place of each value a float32 array
      (steps, ...) of what the update of each step took; NaN after `diverged`.
    diverged: first step whose loss was not finite, or -1. `steps`: the last update did it, and a ranked score of the last
      evaluation is not finite. From there the run was frozen, and what follows is of the frozen parameters: rank a diverged
      run last, whatever it scores.
    params, model_state: trees of NumPy arrays, typed PRNG keys as such, the iterate that was evaluated; None when not kept.
    seconds: training time of the run's wave (compilation and evaluation apart) divided by the runs in it.

    For problems whose scores have these names there are short forms, NaN or None where there is no such score:
    `evaluation_losses` and `evaluation_accuracies` of `validation`; `test_loss`, `accuracy`, `mcc` and `confusion` of `test`.
    """

    run: int
    losses: np.ndarray
    evaluation_steps: np.ndarray
    validation: dict[str, np.ndarray]
    validation_kept: dict[str, np.ndarray]
    test: dict[str, np.ndarray]
    gradient_norms: np.ndarray | None
    update_norms: np.ndarray | None
    diverged: int
    params: Any
    model_state: Any
    seconds: float
    hyperparameters: dict[str, Any] | None = None

    @property
    def evaluation_losses(self) -> np.ndarray:
        return self._curve("loss")

    @property
    def evaluation_accuracies(self) -> np.ndarray:
        return self._curve("accuracy")

    @property
    def test_loss(self) -> float:
        return float(self.test.get("loss", np.nan))

    @property
    def accuracy(self) -> float:
        return float(self.test.get("accuracy", np.nan))

    @property
    def mcc(self) -> float:
        return float(self.test.get("mcc", np.nan))

    @property
    def confusion(self) -> np.ndarray | None:
        return self.test.get("confusion")

    def _curve(self, name: str) -> np.ndarray:
        return self.validation.get(name, np.full(self.evaluation_steps.shape, np.nan, np.float32))


@dataclass(frozen=True, eq=False)
class WaveResult:
    """The runs that were trained side by side, and what it took in seconds; `compile_seconds` is 0 where nothing compiled."""

    runs: tuple[RunResult, ...]
    wave: int
    waves: int
    training_seconds: float
    evaluation_seconds: float
    compile_seconds: float


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """All finished runs in the order of their keys, and what they took in seconds."""

    runs: tuple[RunResult, ...]
    training_seconds: float
    evaluation_seconds: float
    compile_seconds: float


@dataclass(frozen=True, eq=False)
class Progress:
    """Where the work is: handed to `on_progress` between chunks.

    phase: "compile", "train", "evaluate" or "done" (with a wave).
    step: steps done in this wave, of `steps`. wave: of `waves`, from 0. runs: positions of this wave's runs.
    model_steps: steps done over all runs, of `total_model_steps`.
    steps_per_second: steps over all runs of the wave per second of training lately; 0 before the first chunk.
    seconds_left: training time left at that rate; None before the first chunk.
    losses: (runs in the wave,) the latest loss of each.
    part: of a study, what the runs are for: "tuning", or "report" with its ladder and control; else empty.
    """

    phase: str
    step: int
    steps: int
    wave: int
    waves: int
    runs: tuple[int, ...]
    model_steps: int
    total_model_steps: int
    steps_per_second: float
    seconds_left: float | None
    losses: np.ndarray
    part: str = ""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C between two chunks. `result` holds the finished runs; `on_wave` has seen each of them."""

    def __init__(self, result: TrainingResult):
        super().__init__(f"training interrupted; {len(result.runs)} runs were finished")
        self.result = result
