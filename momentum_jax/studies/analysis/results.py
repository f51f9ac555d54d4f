"""What an analysis consists of: plain data, each with the names of the runs that it comes from."""

from __future__ import annotations

import functools
import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from momentum_jax.studies.evidence import Evidence
from momentum_jax.studies.expression import Expression
from momentum_jax.studies.jobs import Ladder
from momentum_jax.studies.predicted import StudyPrediction
from momentum_jax.studies.scores import Scores
from momentum_jax.studies.statistics import (
    Description,
    IndependentComparison,
    KaplanMeier,
    LogRank,
    PairedComparison,
    PairedSteps,
)
from momentum_jax.studies.study import Study

Measure = Literal["score", "steps"]


@dataclass(frozen=True)
class ArmResult:
    """One arm over its seeds. `runs`, `seeds`, each of `values` and `steps_to_target` have one entry a run.

    written: the optimizer as the study has it, with its ranges. optimizer: what was run. rung: it was added by the ladder.
    factors: what differs between arms besides the optimizer. budget: its steps.
    values: final scores by name, on the test set where there is one; at its worst value where the run diverged, None where the
      score has no such value. described: each over the runs that have it; None: none has.
    steps_to_target: first evaluation that meets the target on the validation set; None: never, or the run diverged; empty
      where the study has no target. reached: the same as a survival curve.
    hardly_learned: in more than half of the runs that did not diverge, the last validation score was no better than the first.
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
    hardly_learned: bool
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

    This is description: nothing is claimed by it. `independent` is the same difference as if the arms had seeds of their own,
    as the textbook has it: it does not see what pairing takes out. `steps` and `log_rank` compare steps to the target, the
    second as if seeds were independent.
    """

    arm: str
    reference: str
    score: PairedComparison
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
    edges: the ranges in whose outer tenth the chosen value lies, or of whose numbers it is the least or the greatest; 0 is no
      edge of a momentum or a decay.
    wide_enough: there is no such range, and the learning rate has worse trials on both sides of the chosen one.
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
    wide_enough: bool


@dataclass(frozen=True)
class Claim:
    """One hypothesis: that `first` and `second` differ by a measure, "score" (the primary one) or "steps" to the target.

    roles: its names (`analysis.claims`), the first of which is its own in the tree. differences: one for each of `seeds`,
    positive where `first` is better; infinite where a run diverged and the score has no worst value.
    """

    roles: tuple[str, ...]
    first: str
    second: str
    measure: Measure
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    resolution: float
    evidence: Evidence


@dataclass(frozen=True)
class Answer:
    """What a study answers to its question.

    kind: one of `analysis.answer.KINDS`. roles: of the claims that it is read from, the first of which is the one in its
    sentence; none where nothing is compared. first, second: the two arms of the question; None: there is none.
    """

    kind: str
    roles: tuple[str, ...] = ()
    first: str | None = None
    second: str | None = None


@dataclass(frozen=True)
class Analysis:
    """Everything that a report shows. `arms` are the study's, then the rungs that the ladder added.

    status: "complete" where all planned runs are there, or how the store says that the study stands. missing: how many are not.
    scores: those of the problem; target_score: the name of the one that the study's target is on. batches: what a step sees, in
      words that follow it.
    comparisons: description alone; what may be claimed stands in `claims`, the question first, and in `answer`.
    ladder: the arms that explain the gain of momentum; None: the study has none, or not all of their runs.
    noise: the A/A control by the primary score, the first arm less itself on other seeds. control_runs: those of its second
      half; control_diverged: how many of these diverged, and count with the worst score there, or not at all.
    prediction: of a quadratic model, and what was measured beside it; nothing else here depends on it. None: not asked for.
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
    ladder: Ladder | None
    claims: tuple[Claim, ...]
    answer: Answer
    noise: IndependentComparison | None
    control_runs: tuple[str, ...]
    control_diverged: int
    prediction: StudyPrediction | None = None

    def arm(self, label: str) -> ArmResult:
        """The arm or rung of that label."""
        return next(arm for arm in self.arms if arm.label == label)

    def claim(self, role: str) -> Claim | None:
        """The hypothesis of that role, if the study's runs can be asked it."""
        return next((claim for claim in self.claims if role in claim.roles), None)

    @property
    def asked(self) -> Claim | None:
        """The hypothesis that the answer's sentence is about, else the question."""
        return self.claim((*self.answer.roles, "question")[0])

    def by(self, role: str, measure: str) -> Claim | None:
        """The hypothesis of that role by a measure, primary or not."""
        return self.claim(role if measure == self.study.measure else by_other(role, measure))

    def to_json(self, sentence: str = "") -> str:
        """As JSON text, with the sentence of the answer as `verdict`; infinite numbers are the texts "inf" and "-inf"."""
        content = {**asdict(self), "study": self.study.to_dict(), "scores": self.scores.to_dict(), "verdict": sentence}
        if self.prediction is None:
            del content["prediction"]
        return json.dumps(_finite(content), indent=1, allow_nan=False) + "\n"


def by_other(role: str, measure: str) -> str:
    """The name of a hypothesis by the measure that is not the primary one."""
    return f"{measure} of {role}" if role.startswith("arm ") else f"{role}_{measure}"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value
