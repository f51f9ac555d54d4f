"""What an analysis consists of: plain data, each with the names of the runs that it comes from."""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from momentum_jax.studies.expression import Expression
from momentum_jax.studies.scores import Scores
from momentum_jax.studies.statistics import (
    Description,
    IndependentComparison,
    KaplanMeier,
    LogRank,
    NoiseFloor,
    PairedComparison,
    PairedSteps,
    Ratio,
)
from momentum_jax.studies.study import Study

Bound = Literal["lower", "upper", "none"]


@dataclass(frozen=True)
class ArmResult:
    """One arm over its seeds. `runs`, `seeds`, each of `values` and `steps_to_target` have one entry a run.

    written: the optimizer as the study has it, with its ranges. optimizer: what was run. rung: it was added by the ladder.
    factors: what differs between arms besides the optimizer. budget: its steps.
    values: final scores by name, on the test set where there is one; at its worst value where the run diverged, None where the
      score has no such value. described: each over the runs that have it; None: none has.
    steps_to_target: first evaluation that meets the target on the validation set; None: never, or the run diverged; empty
      where the study has no target. reached: the same as a survival curve.
    confusion: (classes, classes), the share of a true class (row) that was given each class (column), mean over the runs that
      did not diverge. confusion_half_width: half the width of the 95% t interval of each; None where there is but one run.
    """

    label: str
    written: str
    optimizer: str
    rung: bool
    factors: dict[str, Any]
    budget: int
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    values: dict[str, tuple[float | None, ...]]
    described: dict[str, Description | None]
    diverged: int
    steps_to_target: tuple[int | None, ...]
    reached: KaplanMeier | None
    confusion: tuple[tuple[float, ...], ...]
    confusion_half_width: tuple[tuple[float, ...], ...] | None
    seconds: float

    @functools.cached_property
    def expression(self) -> Expression:
        """What was run, as a value."""
        return Expression.read(self.optimizer)


@dataclass(frozen=True)
class Comparison:
    """An arm against the first arm, seed by seed: `score` is the primary score of the arm less the first's.

    `pvalue` is that of the paired t test (of the exact signed-rank test where all differences are equal) after Holm's
    correction over all arms; None of a single pair. `independent` is the same difference as if the arms had seeds of their
    own, as the textbook has it: it does not see what pairing takes out.
    `steps` and `log_rank` compare steps to the target, the second as if seeds were independent.
    """

    arm: str
    reference: str
    score: PairedComparison
    pvalue: float | None
    independent: IndependentComparison
    steps: PairedSteps | None
    log_rank: LogRank | None


@dataclass(frozen=True)
class Trial:
    """One point of a search. `values` by parameter; `scores` by name on the validation set, one entry a seed.

    `means` are over the runs that did not diverge; None: all did.
    """

    optimizer: str
    values: dict[str, Any]
    runs: tuple[str, ...]
    scores: dict[str, tuple[float | None, ...]]
    means: dict[str, float | None]
    diverged: int


@dataclass(frozen=True)
class Tuning:
    """The search of one arm. `chosen` is the index of the trial that was reported.

    score: what it was chosen by on the validation set.
    tuned: its mean score on the seeds of the search. fresh: that of the same optimizer on the study's own seeds; None where it
      has none, or diverged (where the score has a worst value, a fresh run that diverged counts with that).
    optimism: by how much the first is the better: what was selected for its score has less of it when it is measured again.
    optimism_interval: Welch's 95% interval for it, for the noise of both sets of seeds; None: too few seeds.
    learning_rate: the name of the range of the learning rate, for the curve of sensitivity; None: it was not searched.
    edges: the ranges in whose outer tenth the chosen value lies, or of whose numbers it is the least or the greatest.
    """

    arm: str
    written: str
    trials: tuple[Trial, ...]
    chosen: int
    score: str
    tuned: float | None
    fresh: float | None
    optimism: float | None
    optimism_interval: tuple[float, float] | None
    learning_rate: str | None
    edges: tuple[str, ...]


@dataclass(frozen=True)
class Rungs:
    """The ladder by one measure: "score", the primary one, or "steps" to the target. Signs are turned so that positive is a
    gain; a run that never got to the target counts with the whole budget.

    gain: momentum over gradient descent at its learning rate. larger_step: gradient descent at eta/(1 - mu) over that at eta.
    momentum_itself: momentum over gradient descent at eta/(1 - mu). share: larger_step in units of gain; without a value where
      a run of the rungs never got to the target.
    tuned: the tuned momentum arm over the tuned gradient descent; None where the study has not tuned both.
    bounds: by the name of each of these four differences that the budget cut off, what it is then: a "lower" or an "upper"
      bound of the steps saved, or "none", where runs of both arms never got there.
    """

    measure: str
    gain: PairedComparison
    larger_step: PairedComparison
    momentum_itself: PairedComparison
    share: Ratio
    tuned: PairedComparison | None
    bounds: dict[str, Bound]


@dataclass(frozen=True)
class LadderResult:
    """What momentum's gain is made of. Labels of its arms, and of the tuned pair where there is one.

    diverged: how many runs of them all diverged, and count with the worst score, or not at all.
    untuned: the arm of the pair whose trials diverged on every seed of the search; then the rungs have no `tuned`.
    """

    plain: str
    control: str
    momentum: str
    learning_rate: float
    mu: float
    tuned_plain: str | None
    tuned_momentum: str | None
    untuned: str | None
    diverged: int
    rungs: tuple[Rungs, ...]


@dataclass(frozen=True)
class Analysis:
    """Everything that a report shows. `arms` are the study's, then the rungs that the ladder added.

    status: "complete" where all planned runs are there, or how the store says that the study stands. missing: how many are not.
    scores: those of the problem; target_score: the name of the one that the study's target is on. batches: what a step sees, in
      words that follow it.
    noise: the A/A control, by the primary score. control_runs: those of its second half; control_diverged: how many of these
      diverged, and count with the worst score there, or not at all.
    """

    study: Study
    scores: Scores
    target_score: str
    batches: str
    status: str
    environment: dict[str, Any]
    seconds: dict[str, float]
    runs: int
    missing: int
    seeds_added: tuple[int, ...]
    damage: tuple[str, ...]
    arms: tuple[ArmResult, ...]
    comparisons: tuple[Comparison, ...]
    tunings: tuple[Tuning, ...]
    ladder: LadderResult | None
    noise: NoiseFloor | None
    control_runs: tuple[str, ...]
    control_diverged: int

    def arm(self, label: str) -> ArmResult:
        """The arm or rung of that label."""
        return next(arm for arm in self.arms if arm.label == label)

    def to_json(self) -> str:
        """As JSON text."""
        content = {**asdict(self), "study": self.study.to_dict(), "scores": self.scores.to_dict()}
        return json.dumps(content, indent=1, allow_nan=False) + "\n"
