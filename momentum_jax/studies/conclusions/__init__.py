"""What the evidence supports, in plain words: a handful of sentences, each about numbers of the analysis.

A difference is claimed only where the 95% t interval of the paired differences leaves out zero, the exact signed-rank test
agrees and Holm's correction, over the arms or over the two parts of momentum's gain, leaves it standing. Differences of
steps, a second measure of the same runs, and of scores of two arms neither of which is the first are not corrected: what
is claimed of those is called uncorrected, and the gain whose parts the ladder explains may be one of them. Where all pairs
differ by the same amount, which no t test can judge, the exact test alone does. What is not claimed is not denied: of an arm
against the first the sentence says how large a difference could have stayed unseen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from momentum_jax._text import joined
from momentum_jax.studies import jobs
from momentum_jax.studies.analysis import Analysis, ArmResult, Comparison, Tuning
from momentum_jax.studies.conclusions.ladder import ladder_sentences
from momentum_jax.studies.conclusions.words import (
    LEVEL,
    amount,
    count_reached,
    differing,
    ended,
    excludes_zero,
    is_claimed,
    p_shown,
    seeds,
    unit_and_form,
)
from momentum_jax.studies.scores import RankedScore
from momentum_jax.studies.statistics import FEWEST_PAIRS, PairedComparison, lost_to_holm

# Seeds of the search below which optimism has no interval worth reading.
_FEWEST_OF_THE_SEARCH = 3


def conclusions(analysis: Analysis) -> list[str]:
    """The sentences, the answer first; at least one, whatever there is."""
    said = []
    if analysis.missing:
        lacking = f"{analysis.missing} of {analysis.runs + analysis.missing} runs {'is' if analysis.missing == 1 else 'are'}"
        said.append(f"This is a part of the study: {lacking} missing.")
    own = [arm for arm in analysis.arms if not arm.rung]
    if not own:
        return [*said, "No arm has been run yet."]
    if len(own) == 1:
        beside = "only its ladder" if analysis.ladder is not None else "nothing"
        said.append(
            f"{own[0].label} ended at {ended(own[0], analysis.scores.primary)}; "
            f"with one arm there is {beside} to compare it with."
        )
    first_arm = analysis.study.arms[0].label
    if analysis.comparisons and own[0].label != first_arm:
        absent = f"No run of {first_arm}, the study's first arm, can be read"
        said.append(f"{absent}: the others are compared with {own[0].label}.")
    primary = analysis.scores.primary
    if factors := [*dict.fromkeys(name for arm in own for name in arm.factors)]:
        said.append(f"Arms differ in {joined(factors)} besides the optimizer: a difference may be due to either.")
    said += _compared(analysis, own)
    if first := _reached_at_once(analysis):
        harder = "a lower target" if analysis.scores[analysis.target_score].sign < 0 else "a higher target"
        finer = first > 1 and any(arm.steps_to_target != (0,) * len(arm.runs) for arm in analysis.arms)
        earlier = f", or an evaluate_every below {first:,}," if finer else ""
        said.append(
            f"Every run reached the target by the first evaluation, step {first:,}: {harder}{earlier} could tell their "
            "steps apart."
        )
    if analysis.ladder is not None:
        said += ladder_sentences(analysis, analysis.ladder)
    elif _has_no_ladder(analysis, own):
        said.append(
            "There is no ladder: no arm is gradient descent with momentum (heavy_ball, sgd or nesterov) whose learning rate "
            "and momentum are plain numbers."
        )
    said += [_tuning(analysis, tuning) for tuning in analysis.tunings]
    known = {tuning.arm for tuning in analysis.tunings}
    said += [
        f"{arm.label}: the trial that was chosen is not among the runs of its search that can be read, so what selection cost "
        "is not known."
        for arm in analysis.study.tuned
        if arm.label not in known and arm.label in {each.label for each in own}
    ]
    if analysis.noise is not None and analysis.noise.half_width is not None:
        said.append(f"The noise floor: {analysis.noise.sentence(first_arm, *unit_and_form(primary), scale=primary.factor)}")
        if any(_half_width(each.score) < analysis.noise.half_width for each in analysis.comparisons):
            said.append(
                "Arms share their seeds: what is shown of a difference between two of them may be finer than that floor."
            )
    if analysis.noise is not None and analysis.control_diverged:
        said.append(
            f"In the A/A control {first_arm} diverged in {analysis.control_diverged} of {len(analysis.control_runs)} runs; "
            + (
                "they have no score there."
                if primary.worst is None
                else f"counted with {primary.name} {primary.worst:g}, they make the noise floor one of divergence."
            )
        )
    said += [
        f"{arm.label} diverged in {arm.diverged} of {len(arm.seeds)} runs, which {primary.if_diverged}."
        for arm in own
        if arm.diverged and not (analysis.comparisons and arm.diverged == len(arm.runs))
    ]
    if analysis.seeds_added:
        said.append(
            f"{len(analysis.seeds_added)} of {len(analysis.study.seeds)} seeds "
            f"{'was' if len(analysis.seeds_added) == 1 else 'were'} added to the study: where that was "
            "decided after a look at its results, the p-values are too small."
        )
    return said


def _half_width(difference: PairedComparison) -> float:
    low, high = difference.t_interval or (-math.inf, math.inf)
    return (high - low) / 2


def _reached_at_once(analysis: Analysis) -> int | None:
    """The first evaluation after the start, if every run had reached the target there."""
    first = min(analysis.study.evaluate_every, analysis.study.steps)
    reached = [steps for arm in analysis.arms for steps in arm.steps_to_target]
    return first if reached and all(steps is not None and steps <= first for steps in reached) else None


def _has_no_ladder(analysis: Analysis, own: Sequence[ArmResult]) -> bool:
    """Not where its runs, or those of an arm, are only missing."""
    study = analysis.study
    return (
        study.ladder and len(own) == len(study.arms) and jobs.ladder(study, {arm.label: arm.expression for arm in own}) is None
    )


def _compared(analysis: Analysis, own: Sequence[ArmResult]) -> list[str]:
    """Every arm against the first."""
    if not analysis.comparisons:
        return []
    said, primary = [], analysis.scores.primary
    count = len(analysis.comparisons)
    for each in analysis.comparisons:
        arm, reference = analysis.arm(each.arm), analysis.arm(each.reference)
        difference = each.score
        if lost := [one for one in (arm, reference) if one.diverged == len(one.runs)]:
            said.append(_lost(primary, lost, [one for one in (arm, reference) if one.diverged < len(one.runs)]))
            continue
        text = f"{arm.label} ended at {ended(arm, primary)}, {reference.label} at {ended(reference, primary)}: "
        if difference.t_interval is None:
            said.append(f"{text}{seeds(difference.n)} too few to tell their difference from chance.")
            continue
        text += _without(primary, arm, reference) + amount(difference, primary)
        if each.pvalue is not None:
            text += f", {p_shown(each.pvalue)}" + f" (Holm, {count} comparisons)" * (count > 1)
        said.append(f"{text}: {_verdict(primary, difference, each.pvalue, count)}.")
        if each.steps is not None and each.steps.n:
            said.append(_sooner(each, arm, reference, count))
    return said


def _without(primary: RankedScore, *arms: ArmResult) -> str:
    """What a difference leaves out where a diverged run has no score."""
    count = sum(arm.diverged for arm in arms)
    return (
        f"{count} of their runs diverged and {'is' if count == 1 else 'are'} left out; "
        if count and primary.worst is None
        else ""
    )


def _lost(primary: RankedScore, lost: Sequence[ArmResult], whole: Sequence[ArmResult]) -> str:
    """Of arms that always diverged there is no score to compare."""
    said = " and ".join(f"{arm.label} diverged in all of its {len(arm.runs)} runs" for arm in lost)
    return said + "".join(f"; {arm.label} ended at {ended(arm, primary)}" for arm in whole) + "."


def _verdict(primary: RankedScore, difference: PairedComparison, pvalue: float | None, count: int) -> str:
    """The claim that a paired difference allows, or how large a difference could have stayed unseen."""
    if not excludes_zero(difference) or pvalue is None:
        return f"no difference is shown{_unseen(primary, difference)}"
    if difference.smallest_pvalue > LEVEL:
        if pvalue > LEVEL:
            return f"no difference is shown{_unseen(primary, difference)}"
        return (
            f"more than the spread of these seeds, but {differing(difference)} too few for a test without the assumption of "
            f"normality (its p cannot fall below {difference.smallest_pvalue:.2g})"
        )
    if (lost := lost_to_holm(difference.pvalue, pvalue, count)) is not None:
        return lost
    if not is_claimed(difference, pvalue):
        return "no difference is shown: the t test and the exact rank test do not agree"
    is_higher = difference.mean_difference > 0
    # Of a score that is better the lower it is, the direction alone does not say which arm is ahead.
    which = "" if primary.sign > 0 else ", which is worse" if is_higher else ", which is better"
    return f"a {'higher' if is_higher else 'lower'} {primary.name} is shown{which}"


def _unseen(primary: RankedScore, difference: PairedComparison) -> str:
    if difference.n < FEWEST_PAIRS:
        return f"; {difference.n} seeds can claim none of any size, it takes {FEWEST_PAIRS}"
    unseen = difference.detectable_difference
    # Shares differ by 100 points at most.
    if unseen is None or (primary.percent and unseen >= 1):
        return ""
    size = f"{primary.factor * unseen:{primary.form()}}{primary.unit}"
    return f"; a t test of these seeds, uncorrected, finds one of {size} in 80% of studies"


def _sooner(each: Comparison, arm: ArmResult, reference: ArmResult, count: int) -> str:
    steps = each.steps
    assert steps is not None
    reached, reached_by_it = count_reached(arm), count_reached(reference)
    test = f" (sign test, {p_shown(steps.sign_pvalue)}{', uncorrected' * (count > 1)})"
    if not reached and not reached_by_it:
        return f"Neither {arm.label} nor {reference.label} reached the target."
    if not reached:
        return f"{arm.label} never reached the target, {reference.label} did on {steps.b_sooner} of {steps.n} seeds{test}."
    if not reached_by_it:
        return f"{arm.label} reached the target on {steps.a_sooner} of {steps.n} seeds, {reference.label} never{test}."
    text = f"{arm.label} reached the target before {reference.label} on {steps.a_sooner} of {steps.n} seeds"
    if steps.b_sooner:
        text += f", later or not at all on {steps.b_sooner}"
    if steps.tied:
        text += f", and {steps.tied} {'is a tie' if steps.tied == 1 else 'are ties'}"
    return f"{text}{test}."


def _tuning(analysis: Analysis, tuning: Tuning) -> str:
    trial = tuning.trials[tuning.chosen]
    fresh_runs = next((arm for arm in analysis.arms if arm.label == tuning.arm), None)
    lost_fresh = (
        f"diverged on {fresh_runs.diverged} of {len(fresh_runs.runs)} fresh seeds" if fresh_runs and fresh_runs.diverged else ""
    )
    which = f"the best of {len(tuning.trials)} trials" if len(tuning.trials) > 1 else "the only trial"
    if tuning.tuned is None or tuning.fresh is None or tuning.optimism is None:
        lost = f"diverged on {trial.diverged} of {len(trial.runs)} seeds of the search"
        why = lost if tuning.tuned is None else lost_fresh or "has no score on fresh seeds"
        return f"{tuning.arm}: {which}, {trial.optimizer}, {why}."
    at_the_edge = ""
    if tuning.edges:
        verb = "lies" if len(tuning.edges) == 1 else "lie"
        at_the_edge = (
            f"; its {' and '.join(tuning.edges)} {verb} at the edge of what was searched, a better one may lie outside"
        )
    if lost_fresh:
        sound = "did not diverge on the seeds of the search"
        return f"{tuning.arm}: {which}, {trial.optimizer}, {sound}, but {lost_fresh}{at_the_edge}."
    score = analysis.scores[tuning.score]
    tuned, fresh = (score.value(each) for each in (tuning.tuned, tuning.fresh))
    optimism = f"{score.difference(tuning.optimism)}{score.unit}"
    if len(trial.runs) < _FEWEST_OF_THE_SEARCH:
        # Welch's interval of one or two is so wide that it tells nothing.
        optimism += f"; {len(trial.runs)} seed{'s' * (len(trial.runs) > 1)} of the search cannot tell it from chance"
    elif tuning.optimism_interval is not None:
        low, high = (score.difference(each) for each in tuning.optimism_interval)
        optimism += f", 95% interval {low} to {high}"
    text = (
        f"{tuning.arm}: {which}, {trial.optimizer}, had a validation {tuning.score} of "
        f"{tuned} when it was chosen and {fresh} on fresh seeds (optimism {optimism})"
    )
    return f"{text}{at_the_edge}."
