"""What the attribution ladder says: of what momentum's gain is made, and whether momentum helps when both are tuned."""

from __future__ import annotations

from collections.abc import Sequence

from momentum_jax.studies import jobs
from momentum_jax.studies.analysis import Analysis, ArmResult, LadderResult, Rungs
from momentum_jax.studies.analysis.ladder import over
from momentum_jax.studies.conclusions.words import (
    LEVEL,
    amount,
    count_reached,
    differing,
    excludes_zero,
    is_at_most,
    is_claimed,
    p_shown,
    seeds,
    steps_apart,
    unmeasured,
    untuned,
)
from momentum_jax.studies.expression import Expression
from momentum_jax.studies.search import Choice
from momentum_jax.studies.statistics import FEWEST_PAIRS, PairedComparison, Ratio, holm

# A share whose interval is wider is not known.
_WIDEST_SHARE = 1.0
_UNCORRECTED = " (uncorrected)"


def final(analysis: Analysis) -> str:
    """The name of the primary score where arms are compared by it; signs are turned so that more is better."""
    turned = ", sign turned" if analysis.scores.primary.sign < 0 else ""
    return f"{analysis.scores.where}{analysis.scores.primary.name}{turned}"


def ladder_sentences(analysis: Analysis, ladder: LadderResult) -> list[str]:
    if not ladder.rungs:
        return [unmeasured(analysis, ladder)]
    return [
        sentence
        for rungs in ladder.rungs
        for sentence in (_rungs(analysis, ladder, rungs), _tuned(analysis, ladder, rungs))
        if sentence
    ]


def _rungs(analysis: Analysis, ladder: LadderResult, rungs: Rungs) -> str:
    steps = rungs.measure == "steps"
    primary = analysis.scores.primary
    what = f"steps to a validation {analysis.target_score} of {analysis.study.target:g}" if steps else final(analysis)
    plain, control, momentum = (analysis.arm(label) for label in (ladder.plain, ladder.control, ladder.momentum))
    if steps and (nothing := _nothing(analysis, rungs, (plain, control, momentum))):
        return f"The ladder by {what} says nothing: {nothing}."
    cut_off = steps and any(None in arm.steps_to_target for arm in (plain, control, momentum))
    said = {
        name: steps_apart(found, *arms) if steps else amount(found, primary)
        for name, found, arms in (
            ("gain", rungs.gain, (momentum, plain)),
            ("larger step", rungs.larger_step, (control, plain)),
            ("momentum itself", rungs.momentum_itself, (momentum, control)),
        )
    }
    effective = ladder.learning_rate / (1 - ladder.mu)
    text = (
        f"The ladder by {what}: momentum {ladder.mu:g} at {ladder.learning_rate:g} against gradient descent at the same rate, "
        f"{said['gain']}; gradient descent at the effective rate {effective:.4g} against that, "
        f"{said['larger step']}; momentum at equal effective rate, {said['momentum itself']}. "
    )
    if cut_off:
        there = [count_reached(arm) for arm in (momentum, plain, control)]
        text += (
            f"{there[0]} of {len(momentum.runs)} runs of momentum got there, {there[1]} of gradient descent at the same rate "
            f"and {there[2]} at the effective rate; the others count with the whole budget. "
        )
    if rungs.gain.t_interval is None:
        return f"{text}{seeds(rungs.gain.n)} too few to say what explains it."
    if plain.diverged:
        counts = f"gradient descent at the same rate diverged in {plain.diverged} of {len(plain.seeds)} runs"
        return f"{text}There {counts}: scores of diverged runs explain nothing."
    if control.diverged or momentum.diverged:
        counts = f"gradient descent diverged in {control.diverged} of {len(control.seeds)} runs"
        if momentum.diverged:
            return f"{text}There {counts}, momentum in {momentum.diverged}: scores of diverged runs explain nothing."
        # As many seeds on which one diverged and the other did not an exact sign test claims.
        bears = control.diverged >= FEWEST_PAIRS
        why = "momentum bears a step that gradient descent does not" if bears else "scores of diverged runs explain nothing"
        return f"{text}At momentum's effective rate {counts}, momentum in none: {why}."
    # The gain first, held to what it is held to among the comparisons; only of one that is shown the two parts, corrected.
    own = _corrected(analysis, rungs, ladder.momentum, ladder.plain)
    parts = {name: getattr(rungs, name) for name in ("larger_step", "momentum_itself")}
    pvalues = holm({name: each.pvalue for name, each in parts.items() if each.pvalue is not None})
    claimed = {name: is_claimed(parts[name], pvalue) for name, pvalue in pvalues.items()}
    if not is_claimed(rungs.gain, own) or (steps and is_at_most(rungs.gain, momentum, plain)):
        if excludes_zero(rungs.gain) and rungs.gain.smallest_pvalue > LEVEL:
            return f"{text}{differing(rungs.gain)} too few to explain it without assuming normal differences."
        gain = "Counted so, no gain" if cut_off else "No gain"
        return f"{text}{gain} of momentum at this learning rate is shown that could be explained."
    if rungs.gain.mean_difference < 0:
        return f"{text}At this learning rate momentum lost{_UNCORRECTED * (own is None)}."
    uncorrected = _UNCORRECTED * (own is None)
    harms = claimed.get("larger_step") and rungs.larger_step.mean_difference < 0
    if harms and not (steps and is_at_most(rungs.larger_step, control, plain)):
        return f"{text}The larger step alone does harm here: what momentum gains is its own{uncorrected}."
    if (explained := _explained(rungs.share)) is None:
        who = "Runs that never got there do" if cut_off else "These seeds do"
        return f"{text}{who} not tell how much of the gain the larger step explains."
    own_part = "it is all momentum's own" if explained.startswith("nothing") else "the rest is momentum's own"
    rest = own_part if rungs.momentum_itself.mean_difference > 0 else "momentum itself was behind"
    if not claimed.get("momentum_itself"):
        rest = _nothing_left(rungs.momentum_itself, pvalues.get("momentum_itself"))
    return f"{text}The larger effective step explains {explained}{uncorrected}; {rest}."


def _explained(share: Ratio) -> str | None:
    """How much of the gain; None where these seeds do not tell."""
    gain = "of momentum's gain"
    if share.value is None:
        return None
    if share.without_spread:
        return f"{share.value:.0%} {gain} on every seed" if share.value > 0 else f"nothing {gain} on any seed"
    if share.interval is None or share.interval[1] - share.interval[0] > _WIDEST_SHARE:
        return None
    low, high = share.interval
    if high <= 0:
        return f"nothing {gain} (95%: {low:.0%} to {high:.0%})"
    return f"{f'at most {high:.0%}' if share.value <= 0 else f'{share.value:.0%}'} {gain} (95%: {low:.0%} to {high:.0%})"


def _nothing_left(itself: PairedComparison, corrected: float | None) -> str:
    """Why nothing is claimed for momentum itself, where its interval leaves out zero."""
    nothing = "nothing is shown to be left for momentum itself"
    if not excludes_zero(itself):
        return nothing
    if itself.smallest_pvalue > LEVEL:
        return f"{nothing}: {differing(itself)} too few for a claim without assuming normal differences"
    if corrected is not None and corrected > LEVEL:
        return f"{nothing} that bears Holm's correction for the two parts ({p_shown(corrected)})"
    return f"{nothing}: its t test and its exact rank test do not agree"


def _nothing(analysis: Analysis, rungs: Rungs, arms: Sequence[ArmResult]) -> str | None:
    """Why steps to the target tell the rungs not apart, where on no seed they do."""
    if not any(map(count_reached, arms)):
        return "no run of it reached the target"
    if any(each.mean_difference or not each.without_spread for each in (rungs.gain, rungs.larger_step, rungs.momentum_itself)):
        return None
    if any(None in arm.steps_to_target for arm in arms):
        return f"runs that never got there count with {arms[0].budget:,} steps, and the others took as many"
    return "on every seed its arms got there at the same evaluation"


def _tuned(analysis: Analysis, ladder: LadderResult, rungs: Rungs) -> str:
    if ladder.untuned is not None:
        # Said once, not again by steps.
        return "" if rungs.measure == "steps" else untuned(ladder.untuned)
    if rungs.tuned is None or ladder.tuned_momentum is None or ladder.tuned_plain is None:
        return ""
    pair = momentum, plain = analysis.arm(ladder.tuned_momentum), analysis.arm(ladder.tuned_plain)
    by, steps = final(analysis), rungs.measure == "steps"
    if steps:
        capped = any(None in arm.steps_to_target for arm in pair)
        by = "steps to the target" + " (the whole budget where a run never got there)" * capped
    text = f"Both tuned at equal budget{_budget(analysis)}, {ladder.tuned_momentum} against {ladder.tuned_plain} by {by}: "
    text += steps_apart(rungs.tuned, momentum, plain) if steps else amount(rungs.tuned, analysis.scores.primary)
    if rungs.tuned.t_interval is None:
        return f"{text}; {seeds(rungs.tuned.n)} too few for a claim."
    if lost := " and ".join(f"{arm.label} diverged in {arm.diverged} of {len(arm.seeds)} runs" for arm in pair if arm.diverged):
        return f"{text}; {lost}: scores of diverged runs say nothing of momentum."
    corrected = _corrected(analysis, rungs, ladder.tuned_momentum, ladder.tuned_plain)
    if not is_claimed(rungs.tuned, corrected) or (steps and is_at_most(rungs.tuned, momentum, plain)):
        if excludes_zero(rungs.tuned) and rungs.tuned.smallest_pvalue > LEVEL:
            return f"{text}; {differing(rungs.tuned)} too few for a claim without assuming normal differences."
        return f"{text}: momentum is not shown to help."
    uncorrected = _UNCORRECTED * (corrected is None)
    if rungs.tuned.mean_difference <= 0:
        if better := _better_momentum(analysis, momentum, rungs.measure):
            text += f"; but {better} did better than {momentum.label}{_UNCORRECTED}"
            return f"{text}, so whether momentum does harm is not known."
        return f"{text}: momentum does harm here, within the ranges that were searched{uncorrected}."
    if better := _better_rung(analysis, ladder, rungs.measure):
        return f"{text}; but {better}, so whether momentum helps is not known."
    return f"{text}: momentum helps here, within the ranges that were searched{uncorrected}."


def _better_momentum(analysis: Analysis, tuned: ArmResult, measure: str) -> str | None:
    """Another arm with momentum that is shown to beat the tuned one."""
    for arm in analysis.arms:
        known = jobs.rate_and_momentum(arm.expression)
        if arm is tuned or known is None or not known[1]:
            continue
        found = over(analysis.study, analysis.scores, measure, arm, tuned)
        if found is None or not is_claimed(found, None) or found.mean_difference <= 0:
            continue
        if measure != "steps" or not is_at_most(found, arm, tuned):
            return arm.label
    return None


def _better_rung(analysis: Analysis, ladder: LadderResult, measure: str) -> str | None:
    """A gradient descent of the ladder that beats the tuned one, and what that says of the search."""
    assert ladder.tuned_plain is not None
    plain = analysis.arm(ladder.tuned_plain)
    for label in (ladder.control, ladder.plain):
        rung = analysis.arm(label)
        for each in dict.fromkeys((measure, "score")):
            found = over(analysis.study, analysis.scores, each, rung, plain)
            if found is None or not is_claimed(found, None) or found.mean_difference < 0:
                continue
            if each == "steps" and is_at_most(found, rung, plain):
                continue
            by = (
                f"got there {steps_apart(found, rung, plain)}"
                if each == "steps"
                else f"is better in {final(analysis)} by {amount(found, analysis.scores.primary)}"
            )
            why = "missed that learning rate" if _was_searched(rung, plain) else "was of too narrow a range"
            return f"{label}, of the ladder, {by}{_UNCORRECTED}: the search of {ladder.tuned_plain} {why}"
    return None


def _was_searched(rung: ArmResult, plain: ArmResult) -> bool:
    """Whether the rung's learning rate lies within what was searched for the tuned gradient descent."""
    found = jobs.rate_and_momentum(rung.expression)
    searched = Expression.read(plain.written).ranges.get("learning_rate")
    if found is None or searched is None:
        return False
    return found[0] in searched.values if isinstance(searched, Choice) else searched.low <= found[0] <= searched.high


def _budget(analysis: Analysis) -> str:
    """Where choices repeat themselves, an arm has fewer different trials than points of the search."""
    points = analysis.study.search.trials
    fewer = [f"{each.arm} has {len(each.trials)} different ones" for each in analysis.tunings if len(each.trials) < points]
    # Of a damaged store it is not known.
    return f" ({points} points of the search each, of which {' and '.join(fewer)})" if fewer and not analysis.damage else ""


def _corrected(analysis: Analysis, rungs: Rungs, one: str | None, other: str | None) -> float | None:
    """Where the pair is one of the comparisons, by score, it is held to the same correction; None: to none."""
    if rungs.measure != "score":
        return None
    return next((each.pvalue for each in analysis.comparisons if {each.arm, each.reference} == {one, other}), None)
