"""What training hands back, and what it says while it works."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class RunResult:
    """One finished run. Losses are per-example means; all arrays are on the host.

    run: its position among the keys.
    losses: (steps,) float32, that of step t at the held point on batch t, before the update; NaN after `diverged`.
    evaluation_steps, evaluation_losses, evaluation_accuracies: (evaluations,), on the validation split after that many
      updates, at `evaluation_params`; NaN after `diverged`; empty without validation examples.
    gradient_norms, update_norms: (steps,) global 2-norms, when asked for.
    diverged: first step whose loss was not finite (`steps`: the last update did it), or -1. From there the run was frozen, and
      what follows is of the frozen parameters: rank a diverged run last, whatever they score.
    test_loss, accuracy, mcc: on the test split at `evaluation_params`; NaN without test examples.
    confusion: (classes, classes) int32 counts on the test split, row = true class; None without test examples.
    params, model_state: trees of NumPy arrays, typed PRNG keys as such, the iterate that was evaluated; None when not kept.
    seconds: training time of the run's wave (compilation and evaluation apart) divided by the runs in it.
    """

    run: int
    losses: np.ndarray
    evaluation_steps: np.ndarray
    evaluation_losses: np.ndarray
    evaluation_accuracies: np.ndarray
    gradient_norms: np.ndarray | None
    update_norms: np.ndarray | None
    diverged: int
    test_loss: float
    accuracy: float
    mcc: float
    confusion: np.ndarray | None
    params: Any
    model_state: Any
    seconds: float


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


class Interrupted(KeyboardInterrupt):
    """Ctrl-C between two chunks. `result` holds the finished runs; `on_wave` has seen each of them."""

    def __init__(self, result: TrainingResult):
        super().__init__(f"training interrupted; {len(result.runs)} runs were finished")
        self.result = result
