"""What the search of an arm tried, what it chose, and what choosing cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from momentum_jax.studies import jobs
from momentum_jax.studies.analysis.arms import known
from momentum_jax.studies.analysis.results import Trial, Tuning
from momentum_jax.studies.arm import Arm
from momentum_jax.studies.expression import Expression
from momentum_jax.studies.scores import Scores
from momentum_jax.studies.search import Choice, LogUniform, OneMinusLogUniform, Range, Uniform, as_text
from momentum_jax.studies.statistics import independent
from momentum_jax.studies.store import Run, Store

# A best trial in the outer tenth of a range may have better neighbours outside.
_EDGE = 0.1


def tuning(store: Store, arm: Arm) -> Tuning | None:
    """None where the trial that was run from fresh seeds is not among those that can be read: it was chosen by other scores."""
    study = store.study
    tried = jobs.tried_for(arm.label, store.runs)
    scores = store.scores
    score = scores[study.selected_by(scores)]
    trials = tuple(_trial(arm, scores, optimizer, runs) for optimizer, runs in tried.items())
    fresh_runs = store.of(arm.label)
    best = fresh_runs[0].optimizer if fresh_runs else jobs.choose(study, scores, store.runs)[arm.label].text
    if best not in tried:
        return None
    chosen = list(tried).index(best)
    again = _trial(arm, scores, best, fresh_runs)
    tuned, fresh = (
        known(score.worst if value is None else value for value in trial.scores[score.name])
        for trial in (trials[chosen], again)
    )
    if trials[chosen].diverged:
        tuned = []
    if again.diverged and score.worst is None:
        fresh = []
    better_first = (tuned, fresh) if score.sign > 0 else (fresh, tuned)
    optimism = independent(*better_first) if tuned and fresh else None
    ranges = arm.ranges
    edges = tuple(name for name, value in trials[chosen].values.items() if is_at_the_edge(ranges[name], value))
    rate = next((name for name in ranges if name.split(".")[-1] == "learning_rate"), None)
    return Tuning(
        arm=arm.label,
        written=arm.optimizer,
        trials=trials,
        chosen=chosen,
        score=score.name,
        tuned=_mean(tuned),
        fresh=_mean(fresh),
        optimism=None if optimism is None else optimism.mean_difference,
        optimism_interval=None if optimism is None else optimism.t_interval,
        learning_rate=rate,
        edges=edges,
        wide_enough=not edges and (rate is None or _is_inside(trials, chosen, rate)),
    )


def wider(arm: Arm, tuning: Tuning) -> str | None:
    """The arm with ten times wider ranges on the sides to which its search stopped short; None: it has none that could be."""
    made = arm.optimizer
    beyond = () if tuning.edges or tuning.wide_enough else (tuning.learning_rate,)
    for name, searched in arm.ranges.items():
        value = tuning.trials[tuning.chosen].values[name]
        if name not in (*tuning.edges, *beyond) or isinstance(searched, Choice):
            continue
        tried = min(trial.values[name] for trial in tuning.trials)
        is_low = value == tried if name in beyond else searched.position(value) < 0.5
        old, new = (as_text("wider", name, each) for each in (searched, _widened(searched, is_low)))
        if made.count(old) != 1:
            return None
        made = made.replace(old, new)
    return made if made != arm.optimizer else None


def _widened(searched: LogUniform | OneMinusLogUniform | Uniform, is_low: bool) -> Range:
    low, high = float(searched.low), float(searched.high)
    if isinstance(searched, LogUniform):
        low, high = (low / 10, high) if is_low else (low, high * 10)
    elif low >= 0 and high < 1:
        # Of a momentum or a decay.
        low, high = (0.0, high) if is_low else (low, round(1 - (1 - high) / 10, 12))
    else:
        low, high = (10 * low - 9 * high, high) if is_low else (low, min(10 * high - 9 * low, 1 - (1 - high) / 10))
    ends = (float(f"{end:.6g}") for end in (low, high))
    return type(searched)(*(int(end) if end.is_integer() else end for end in ends))


def _is_inside(trials: Sequence[Trial], chosen: int, rate: str) -> bool:
    """Whether trials with a smaller and with a larger rate were tried: the chosen one is the best of all."""
    rates = [trial.values[rate] for trial in trials]
    return min(rates) < rates[chosen] < max(rates)


def is_at_the_edge(searched: Range, value: Any) -> bool:
    """In the outer tenth of a range of numbers, or the least or the greatest of three numbers or more.

    A momentum or a decay has nothing below 0, so a range that begins there has no lower edge.
    """
    if not isinstance(searched, Choice):
        is_low = searched.position(value) < _EDGE and searched.low != 0
        return is_low or searched.position(value) > 1 - _EDGE
    numbers = [each for each in searched.values if isinstance(each, int | float) and not isinstance(each, bool)]
    return 2 < len(numbers) == len(searched.values) and value in (min(numbers), max(numbers))


def _trial(arm: Arm, scores: Scores, optimizer: str, runs: Sequence[Run]) -> Trial:
    # Stores of before have not all of them.
    names = [name for name in scores.names if all(name in run.validation for run in runs)]
    found = {name: tuple(run.validation[name] if run.diverged is None else None for run in runs) for name in names}
    return Trial(
        optimizer=optimizer,
        values=arm.expression.read_back(Expression.read(optimizer)),
        runs=tuple(run.name for run in runs),
        scores=found,
        means={name: _mean(values) for name, values in found.items()},
        diverged=sum(run.diverged is not None for run in runs),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    own = known(values)
    return sum(own) / len(own) if own else None
