"""What a study's stored runs say: all numbers of its report, as plain data that name the runs they come from.

The score of a run is its accuracy on the test split after the last step; a diverged run has the worst, 0. Arms share seeds, so
they are compared in pairs; the first arm is what the others are compared with, and Holm's correction is over those.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from momentum_jax.studies import jobs
from momentum_jax.studies.arms import read_back
from momentum_jax.studies.jobs import CONTROL, LADDER, REPORT, TUNING
from momentum_jax.studies.search import Choice
from momentum_jax.studies.spec import Arm, Study
from momentum_jax.studies.statistics import (
    Description,
    IndependentComparison,
    KaplanMeier,
    LogRank,
    NoiseFloor,
    PairedComparison,
    PairedSteps,
    Ratio,
    describe,
    holm,
    independent,
    kaplan_meier,
    log_rank,
    noise_floor,
    paired,
    paired_steps,
    ratio_of_means,
)
from momentum_jax.studies.store import Run, Store
from momentum_jax.studies.summary import WORST_ACCURACY, WORST_MCC, steps_to_target

# A best trial in the outer tenth of a range may have better neighbours outside.
_EDGE = 0.1


@dataclass(frozen=True)
class ArmResult:
    """One arm over its seeds. `runs`, `seeds`, `accuracies`, `mccs` and `steps_to_target` have one entry a run.

    written: the optimizer as the study has it, with its ranges. optimizer: what was run. rung: it was added by the ladder.
    accuracies, mccs: on the test split, in [0, 1] and [-1, 1]; at their worst value where the run diverged.
    steps_to_target: first evaluation with a validation loss at or below the target; None: never, or the run diverged; empty
      where the study has no target. reached: the same as a survival curve.
    confusion: (classes, classes), the share of a true class (row) that was given each class (column), mean over the runs that
      did not diverge. confusion_half_width: half the width of the 95% t interval of each; None where there is but one run.
    """

    label: str
    written: str
    optimizer: str
    rung: bool
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    mccs: tuple[float, ...]
    accuracy: Description
    mcc: Description
    diverged: int
    steps_to_target: tuple[int | None, ...]
    reached: KaplanMeier | None
    confusion: tuple[tuple[float, ...], ...]
    confusion_half_width: tuple[tuple[float, ...], ...] | None
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """An arm against the first arm, seed by seed: `accuracy` is theirs less the first's.

    `pvalue` is that of the paired t test (of the exact signed-rank test where all differences are equal) after Holm's
    correction over all arms; None of a single pair. `independent` is the same difference as if the arms had seeds of their
    own, as the textbook has it: it does not see what pairing takes out.
    `steps` and `log_rank` compare steps to the target, the second as if seeds were independent.
    """

    arm: str
    reference: str
    accuracy: PairedComparison
    pvalue: float | None
    independent: IndependentComparison
    steps: PairedSteps | None
    log_rank: LogRank | None


@dataclass(frozen=True)
class Trial:
    """One point of a search. `values` by parameter; accuracies and losses on the validation split, one entry a seed.

    `accuracy` and `loss` are means over the runs that did not diverge; None: all did.
    """

    optimizer: str
    values: dict[str, Any]
    runs: tuple[str, ...]
    accuracies: tuple[float | None, ...]
    losses: tuple[float | None, ...]
    accuracy: float | None
    loss: float | None
    diverged: int


@dataclass(frozen=True)
class Tuning:
    """The search of one arm. `chosen` is the index of the trial that was reported.

    score: what it was chosen by on the validation split, "accuracy" or "loss".
    tuned: its mean score on the seeds of the search. fresh: that of the same optimizer on the study's own seeds; None where it
      has none, or diverged (a fresh run that diverged counts as an accuracy of 0).
    optimism: by how much the first is the better: what was selected for its score has less of it when it is measured again.
    optimism_interval: Welch's 95% interval for it, for the noise of both sets of seeds; None: too few seeds.
    learning_rate: the name of the range of the learning rate, for the curve of sensitivity; None: it was not searched.
    edges: the ranges in whose outer tenth the chosen value lies.
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
    """The ladder by one measure: "accuracy" (higher is better), or "steps" to the target (fewer are, so signs are turned:
    positive is a gain; a run that never got there counts with the whole budget, and `lower_bound` says that one did).

    gain: momentum over gradient descent at its learning rate. larger_step: gradient descent at eta/(1 - mu) over that at eta.
    momentum_itself: momentum over gradient descent at eta/(1 - mu). share: larger_step in units of gain; without a value where
      a run never got to the target.
    tuned: the tuned momentum arm over the tuned gradient descent; None where the study has not tuned both.
    """

    measure: str
    gain: PairedComparison
    larger_step: PairedComparison
    momentum_itself: PairedComparison
    share: Ratio
    tuned: PairedComparison | None
    lower_bound: bool


@dataclass(frozen=True)
class LadderResult:
    """What momentum's gain is made of. Labels of its arms, and of the tuned pair where there is one."""

    plain: str
    control: str
    momentum: str
    learning_rate: float
    mu: float
    tuned_plain: str | None
    tuned_momentum: str | None
    rungs: tuple[Rungs, ...]


@dataclass(frozen=True)
class Analysis:
    """Everything that a report shows. `arms` are the study's, then the rungs that the ladder added."""

    study: Study
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

    def arm(self, label: str) -> ArmResult:
        """The arm or rung of that label."""
        return next(arm for arm in self.arms if arm.label == label)

    def to_json(self) -> str:
        """As JSON text."""
        content = {**asdict(self), "study": self.study.to_dict()}
        return json.dumps(content, indent=1, allow_nan=False) + "\n"


def analyse(store: Store) -> Analysis:
    """Reads a store, finished or not; arms that have no runs yet are left out."""
    study = store.study
    arms = [_arm(store, arm.label, arm.optimizer) for arm in study.arms if store.of(arm.label)]
    rungs = dict.fromkeys(run.arm for run in store.runs if run.phase == LADDER)
    arms += [_arm(store, label, label, rung=True) for label in rungs]
    own = [arm for arm in arms if not arm.rung]
    again = store.of(study.arms[0].label, CONTROL)
    return Analysis(
        study=study,
        status=store.manifest["status"],
        environment=store.manifest["environment"],
        seconds=store.manifest.get("seconds", {}),
        runs=len(store.runs),
        missing=store.manifest.get("planned", len(store.runs)) - len(store.runs),
        seeds_added=tuple(store.manifest.get("seeds_added", ())),
        damage=tuple(store.damage),
        arms=tuple(arms),
        comparisons=_comparisons(study, own),
        tunings=tuple(_tuning(store, arm) for arm in study.tuned if store.of(arm.label, TUNING)),
        ladder=_ladder(study, {arm.label: arm for arm in arms}),
        noise=noise_floor(own[0].accuracies, [_accuracy(run) for run in again]) if own and again else None,
        control_runs=tuple(run.name for run in again),
    )


def write_analysis(path: Path, analysis: Analysis) -> None:
    """All numbers of the report, as JSON."""
    path.write_text(analysis.to_json(), encoding="utf-8")


def _accuracy(run: Run) -> float:
    return run.accuracy if run.diverged is None else WORST_ACCURACY


def _arm(store: Store, label: str, written: str, *, rung: bool = False) -> ArmResult:
    study, runs = store.study, store.of(label, REPORT, LADDER)
    accuracies = tuple(_accuracy(run) for run in runs)
    mccs = tuple(run.mcc if run.diverged is None else WORST_MCC for run in runs)
    steps = tuple(steps_to_target(run, store.curves(run), study.target) for run in runs) if study.target is not None else ()
    shares = [_shares(run) for run in runs if run.diverged is None]
    mean, half_width = _mean_matrix(shares)
    return ArmResult(
        label=label,
        written=written,
        optimizer=runs[0].optimizer,
        rung=rung,
        runs=tuple(run.name for run in runs),
        seeds=tuple(run.seed for run in runs),
        accuracies=accuracies,
        mccs=mccs,
        accuracy=describe(accuracies),
        mcc=describe(mccs),
        diverged=sum(run.diverged is not None for run in runs),
        steps_to_target=steps,
        reached=kaplan_meier(steps, study.steps) if study.target is not None else None,
        confusion=mean,
        confusion_half_width=half_width,
        seconds=sum(run.seconds for run in runs),
    )


def _shares(run: Run) -> np.ndarray:
    counts = np.array(run.confusion, np.float64)
    # A class that the test set lacks has no shares: zeros.
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _mean_matrix(shares: Sequence[np.ndarray]) -> tuple[Any, Any]:
    from scipy.special import stdtrit

    if not shares:
        return (), None
    stacked = np.stack(shares)
    mean, half = stacked.mean(axis=0), None
    if len(shares) > 1:
        errors = stacked.std(axis=0, ddof=1) / np.sqrt(len(shares))
        half = _nested(stdtrit(len(shares) - 1, 0.975) * errors)
    return _nested(mean), half


def _nested(matrix: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())


def _pairs(first: ArmResult, second: ArmResult, what: str) -> tuple[list[Any], list[Any]]:
    """The values of two arms at the seeds that both have run."""
    a, b = (dict(zip(arm.seeds, getattr(arm, what), strict=True)) for arm in (first, second))
    shared = [seed for seed in a if seed in b]
    return [a[seed] for seed in shared], [b[seed] for seed in shared]


def _comparisons(study: Study, arms: Sequence[ArmResult]) -> tuple[Comparison, ...]:
    if len(arms) < 2:
        return ()
    reference, *others = arms
    found = {arm.label: paired(*_pairs(arm, reference, "accuracies")) for arm in others if {*arm.seeds} & {*reference.seeds}}
    pvalues = holm({label: each.pvalue for label, each in found.items() if each.pvalue is not None})
    comparisons = []
    for arm in others:
        if arm.label not in found:
            continue
        apart = independent(*_pairs(arm, reference, "accuracies"))
        steps = ranks = None
        if study.target is not None:
            pair = _pairs(arm, reference, "steps_to_target")
            steps, ranks = paired_steps(*pair, study.steps), log_rank(*pair, study.steps)
        label = arm.label
        comparisons.append(Comparison(label, reference.label, found[label], pvalues.get(label), apart, steps, ranks))
    return tuple(comparisons)


def _tuning(store: Store, arm: Arm) -> Tuning:
    study = store.study
    tried = jobs.tried_for(arm.label, store.runs)
    trials = tuple(_trial(arm, optimizer, runs) for optimizer, runs in tried.items())
    chosen = list(tried).index(jobs.choose(study, store.runs)[arm.label])
    again = _trial(arm, trials[chosen].optimizer, store.of(arm.label))
    if study.search.score == "accuracy":
        tuned, fresh = (
            [WORST_ACCURACY if each is None else each for each in trial.accuracies] for trial in (trials[chosen], again)
        )
        if trials[chosen].diverged:
            tuned = []
    else:
        tuned = [] if trials[chosen].diverged else [each for each in trials[chosen].losses if each is not None]
        fresh = [] if again.diverged else [each for each in again.losses if each is not None]
    better_first = (tuned, fresh) if study.search.score == "accuracy" else (fresh, tuned)
    optimism = independent(*better_first) if tuned and fresh else None
    ranges = arm.ranges
    edges = (
        name
        for name, value in trials[chosen].values.items()
        if not isinstance(ranges[name], Choice) and not _EDGE <= ranges[name].position(value) <= 1 - _EDGE
    )
    return Tuning(
        arm=arm.label,
        written=arm.optimizer,
        trials=trials,
        chosen=chosen,
        score=study.search.score,
        tuned=_mean(tuned),
        fresh=_mean(fresh),
        optimism=None if optimism is None else optimism.mean_difference,
        optimism_interval=None if optimism is None else optimism.t_interval,
        learning_rate=next((name for name in ranges if name.split(".")[-1] == "learning_rate"), None),
        edges=tuple(edges),
    )


def _trial(arm: Arm, optimizer: str, runs: Sequence[Run]) -> Trial:
    accuracies = tuple(run.validation_accuracy if run.diverged is None else None for run in runs)
    losses = tuple(run.validation_loss if run.diverged is None else None for run in runs)
    return Trial(
        optimizer=optimizer,
        values=read_back(arm.optimizer, optimizer),
        runs=tuple(run.name for run in runs),
        accuracies=accuracies,
        losses=losses,
        accuracy=_mean(accuracies),
        loss=_mean(losses),
        diverged=sum(run.diverged is not None for run in runs),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _ladder(study: Study, arms: Mapping[str, ArmResult]) -> LadderResult | None:
    if not study.ladder or not all(arm.label in arms for arm in study.arms):
        return None
    found = jobs.ladder(study, {arm.label: arms[arm.label].optimizer for arm in study.arms})
    if found is None or not {found.plain, found.control} <= arms.keys():
        return None
    rungs = (arms[found.plain], arms[found.control], arms[found.momentum])
    tuned_plain, tuned_momentum = _tuned_pair(study, arms, found.momentum)
    tuned = (arms[tuned_momentum], arms[tuned_plain]) if tuned_plain and tuned_momentum else None
    measures = ["accuracy"] if study.target is None else ["accuracy", "steps"]
    return LadderResult(
        plain=found.plain,
        control=found.control,
        momentum=found.momentum,
        learning_rate=found.learning_rate,
        mu=found.mu,
        tuned_plain=tuned_plain,
        tuned_momentum=tuned_momentum,
        rungs=tuple(found for measure in measures if (found := _rungs(study, measure, rungs, tuned)) is not None),
    )


def _tuned_pair(study: Study, arms: Mapping[str, ArmResult], momentum: str) -> tuple[str | None, str | None]:
    """The labels of the tuned gradient descent and of the tuned momentum arm, if the study has both."""
    tuned = {arm.label for arm in study.tuned}
    plain = [
        label
        for label in (arm.label for arm in study.arms if arm.label in tuned)
        if (found := jobs.rate_and_momentum(arms[label].optimizer)) is not None and found[1] == 0
    ]
    return (plain[0], momentum) if plain and momentum in tuned else (None, None)


def _rungs(
    study: Study,
    measure: str,
    rungs: tuple[ArmResult, ArmResult, ArmResult],
    tuned: tuple[ArmResult, ArmResult] | None,
) -> Rungs | None:
    plain, control, momentum = rungs
    seeds = [seed for seed in momentum.seeds if seed in plain.seeds and seed in control.seeds]
    if not seeds:
        return None
    p, c, m = (_merits(study, measure, arm, seeds) for arm in (plain, control, momentum))
    censored = measure == "steps" and any(None in arm.steps_to_target for arm in rungs)
    pair = None
    if tuned is not None:
        shared = [seed for seed in tuned[0].seeds if seed in tuned[1].seeds]
        pair = paired(*(_merits(study, measure, arm, shared) for arm in tuned)) if shared else None
    return Rungs(
        measure=measure,
        gain=paired(m, p),
        larger_step=paired(c, p),
        momentum_itself=paired(m, c),
        # Of differences that the budget cut off the ratio is the budget's.
        share=Ratio(len(seeds), None, 0.95, None) if censored else ratio_of_means(c - p, m - p),
        tuned=pair,
        lower_bound=censored,
    )


def _merits(study: Study, measure: str, arm: ArmResult, seeds: Sequence[int]) -> np.ndarray:
    """What is the better the larger it is, in the order of the seeds."""
    if measure == "accuracy":
        by_seed: dict[int, float] = dict(zip(arm.seeds, arm.accuracies, strict=True))
    else:
        capped = (study.steps if steps is None else steps for steps in arm.steps_to_target)
        by_seed = {seed: -float(steps) for seed, steps in zip(arm.seeds, capped, strict=True)}
    return np.array([by_seed[seed] for seed in seeds])
