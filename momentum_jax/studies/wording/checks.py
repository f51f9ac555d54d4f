"""Whether a study can be trusted: each thing that was looked at, whether it holds, and what it is read from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from momentum_jax._text import joined
from momentum_jax.studies.analysis.results import Analysis, ArmResult, Tuning
from momentum_jax.studies.wording.amounts import called

# From fewer seeds the spread of the differences is itself a guess.
FEW_SEEDS = 16


class Check(NamedTuple):
    """state: "yes", "no" or, where it should be looked at, "look". said: what holds or does not. detail: how it is known."""

    state: str
    said: str
    detail: str


def trust(analysis: Analysis) -> list[str]:
    """What a terminal is told: all that should be looked at, the searches, and the same arm twice."""
    found = [*_factors(analysis), *_at_once(analysis), *_searches(analysis), *_twice(analysis), *_lost(analysis)]
    return [check.detail for check in found]


def checks(analysis: Analysis, learned: tuple[str, float, float] | None = None) -> list[Check]:
    """All of it. `learned`: an arm, and its mean validation score before and after training."""
    whole = Check("yes", "No run diverged", f"All {analysis.runs} runs stayed finite.")
    lost = _lost(analysis) or [whole] * bool(analysis.runs)
    return [
        *_twice(analysis),
        *_not_twice(analysis),
        *_searches(analysis),
        *lost,
        *_learned(analysis, learned),
        *_seeds(analysis),
        *_factors(analysis),
        *_at_once(analysis),
    ]


def noise(analysis: Analysis) -> str | None:
    """The same arm twice, on seeds that have nothing in common: description."""
    found = analysis.noise
    if found is None or found.t_interval is None:
        return None
    primary = analysis.scores.primary
    low, high = (primary.difference(end) for end in found.t_interval)
    text = (
        f"The same arm twice: {called(analysis, analysis.study.arms[0].label)} on {found.n_a} seeds less itself on "
        f"{found.n_b} others, {primary.difference(found.mean_difference)}{primary.unit} (95% t interval {low} to {high})."
    )
    if analysis.control_diverged:
        text += f" There it diverged in {analysis.control_diverged} of {len(analysis.control_runs)} runs."
    return text


def _twice(analysis: Analysis) -> list[Check]:
    said, found = noise(analysis), analysis.noise
    if said is None or found is None or found.t_interval is None:
        return []
    low, high = found.t_interval
    if low <= 0 <= high:
        return [Check("yes", "The same arm twice shows no difference", said)]
    return [Check("look", "The same arm twice differs, as it does by chance in 5 of 100 studies", said)]


def _not_twice(analysis: Analysis) -> list[Check]:
    if _twice(analysis) or not analysis.arms:
        return []
    if not analysis.study.noise_floor:
        return [Check("no", "The same arm was not run twice", "The study was told to leave this control out.")]
    return [Check("no", "The same arm twice cannot be judged", "There are too few of its runs.")]


def _searches(analysis: Analysis) -> list[Check]:
    found = [_search(analysis, tuning) for tuning in analysis.tunings]
    known, there = {tuning.arm for tuning in analysis.tunings}, {each.label for each in analysis.arms}
    return found + [
        Check(
            "look",
            f"{called(analysis, arm.label)}: its search is not whole",
            f"{called(analysis, arm.label)}: the trial that was chosen is not among the runs of its search that can be read.",
        )
        for arm in analysis.study.tuned
        if arm.label not in known and arm.label in there
    ]


def _search(analysis: Analysis, tuning: Tuning) -> Check:
    who = called(analysis, tuning.arm)
    if not tuning.wide_enough:
        return Check("look", f"{who}: its search was too narrow", _tuning(analysis, tuning))
    if tuning.optimism_interval is None:
        return Check("no", f"{who}: luck of the choice is not known", _tuning(analysis, tuning))
    if tuning.optimism_interval[0] > 0:
        return Check("look", f"{who}: luck of the choice shows", _tuning(analysis, tuning))
    return Check("yes", f"{who}: luck of the choice does not show", _tuning(analysis, tuning))


def _tuning(analysis: Analysis, tuning: Tuning) -> str:
    trial = tuning.trials[tuning.chosen]
    which = f"the best of {len(tuning.trials)} trials" if len(tuning.trials) > 1 else "the only trial"
    said = f"{called(analysis, tuning.arm)}: {which} is {trial.optimizer}"
    score = analysis.scores[tuning.score]
    if trial.diverged:
        said += f"; it diverged on {trial.diverged} of {len(trial.runs)} seeds of the search"
    elif tuning.tuned is not None and tuning.fresh is not None:
        tuned, fresh = score.value(tuning.tuned), score.value(tuning.fresh)
        said += f". Its validation {tuning.score} was {tuned} when chosen, {fresh} on fresh seeds"
    return f"{said}. {narrow(tuning)}".strip()


def narrow(tuning: Tuning) -> str:
    """Why a search was not wide enough; empty where it was."""
    if tuning.edges:
        lie = "lies" if len(tuning.edges) == 1 else "lie"
        return f"Its {' and '.join(tuning.edges)} {lie} at the edge of what was searched: widen the range."
    return "" if tuning.wide_enough else "No trial lies beyond its learning rate on one side: widen the range."


def _lost(analysis: Analysis) -> list[Check]:
    primary = analysis.scores.primary
    counted = "rank below all others" if primary.worst is None else f"count with {primary.name} {primary.worst:g}"
    return [
        Check(
            "look",
            f"{called(analysis, arm.label)} diverged",
            f"{called(analysis, arm.label)} diverged in {arm.diverged} of {len(arm.runs)} runs, which {counted}.",
        )
        for arm in analysis.arms
        if arm.diverged
    ]


def _learned(analysis: Analysis, learned: tuple[str, float, float] | None) -> list[Check]:
    primary = analysis.scores.primary
    found = [
        Check(
            "look",
            f"{called(analysis, arm.label)} hardly learned",
            f"In more than half of its runs the last validation {primary.name} is no better than before training.",
        )
        for arm in analysis.arms
        if arm.hardly_learned and arm.diverged < len(arm.runs)
    ]
    if learned is not None and not found:
        label, first, last = learned
        found = [
            Check(
                "yes",
                "The arms learned something",
                f"{called(analysis, label)} took the mean validation {primary.name} from {primary.value(first)} to "
                f"{primary.value(last)}.",
            )
        ]
    return found


def _seeds(analysis: Analysis) -> list[Check]:
    claim = analysis.asked or next(iter(analysis.claims), None)
    if claim is None:
        return []
    evidence = claim.evidence
    n = f"{evidence.n} seed{'s' * (evidence.n != 1)}"
    if evidence.n < evidence.fewest:
        return [Check("look", f"{n}, {evidence.fewest} needed", "With fewer the exact test can claim no difference at all.")]
    if evidence.n < FEW_SEEDS:
        few = f"At least {FEW_SEEDS} tell how large a difference can be found; from fewer the spread is itself a guess."
        return [Check("yes", f"{n}, {evidence.fewest} needed for a claim", few)]
    return [Check("yes", f"{n}, {evidence.fewest} needed for a claim", "The spread of the differences is known well enough.")]


def _factors(analysis: Analysis) -> list[Check]:
    own = [arm for arm in analysis.arms if not arm.rung]
    names = joined([*dict.fromkeys(name for arm in own for name in arm.factors)])
    said = f"Arms differ in {names} besides the optimizer: a difference may be due to either."
    return [Check("look", "Arms differ in more than the optimizer", said)] if names else []


def _at_once(analysis: Analysis) -> list[Check]:
    if (first := _reached_at_once(analysis)) is None:
        return []
    harder = "lower" if analysis.scores[analysis.target_score].sign < 0 else "higher"
    said = (
        f"Every run reached the target by the first evaluation, step {first:,}. A {harder} target could tell their steps apart."
    )
    return [Check("look", "The target is too easy", said)]


def _reached_at_once(analysis: Analysis) -> int | None:
    """The first evaluation after the start, if every run had reached the target there."""
    first = min(analysis.study.evaluate_every, analysis.study.steps)
    reached = [steps for arm in analysis.arms for steps in arm.steps_to_target]
    return first if reached and all(steps is not None and steps <= first for steps in reached) else None


def is_off(arm: ArmResult) -> str:
    """Why an arm is off the scale of a figure."""
    return "all runs diverged" if arm.diverged == len(arm.runs) else "hardly learned"


def trusted(states: Sequence[str]) -> str:
    """What became of all that was looked at."""
    look, known = states.count("look"), states.count("yes")
    if look:
        are = "is" if look == 1 else "are"
        return f"{look} of {len(states)} checks {are} to be looked at."
    return f"{known} of {len(states)} checks hold, and none speaks against the study."
