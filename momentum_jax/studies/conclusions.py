"""What the evidence supports, in plain words: a handful of sentences, each about numbers of the analysis.

A difference is claimed only where the 95% t interval of the paired differences leaves out zero, the exact signed-rank test
agrees and Holm's correction, over the arms or over the two parts of momentum's gain, leaves it standing. Where all pairs
differ by the same amount, which no t test can judge, the exact test alone does. What is not claimed is not denied: the
sentence says how large a difference could have stayed unseen.
"""

from __future__ import annotations

from collections.abc import Sequence

from momentum_jax.studies import jobs
from momentum_jax.studies.analysis import Analysis, ArmResult, Comparison, LadderResult, Rungs, Tuning
from momentum_jax.studies.statistics import FEWEST_PAIRS, PairedComparison, holm, lost_to_holm

_LEVEL = 0.05
# A share whose interval is wider is not known.
_WIDEST_SHARE = 1.0


def conclusions(analysis: Analysis) -> list[str]:
    """The sentences, the answer first; at least one, whatever there is."""
    said = []
    if analysis.missing:
        said.append(f"This is a part of the study: {analysis.missing} of {analysis.runs + analysis.missing} runs are missing.")
    own = [arm for arm in analysis.arms if not arm.rung]
    if not own:
        return [*said, "No arm has been run yet."]
    if len(own) == 1:
        said.append(f"{own[0].label} ended at {_score(own[0])}; with one arm there is nothing to compare it with.")
    said += _compared(analysis, own)
    if analysis.ladder is not None:
        said += _ladder(analysis, analysis.ladder)
    elif _has_no_ladder(analysis, own):
        said.append(
            "There is no ladder: no arm is gradient descent with momentum (heavy_ball, sgd, nesterov), both plain numbers."
        )
    said += [_tuning(tuning) for tuning in analysis.tunings]
    if analysis.noise is not None and analysis.noise.half_width is not None:
        said.append(f"The noise floor: {analysis.noise.sentence(own[0].label, form='.2%')}")
    said += [
        f"{arm.label} diverged in {arm.diverged} of {len(arm.seeds)} runs, which count with accuracy 0."
        for arm in own
        if arm.diverged
    ]
    if analysis.seeds_added:
        said.append(
            f"{len(analysis.seeds_added)} of {len(analysis.study.seeds)} seeds were added to the study: where that was "
            "decided after a look at its results, the p-values are too small."
        )
    return said


def _has_no_ladder(analysis: Analysis, own: Sequence[ArmResult]) -> bool:
    """Not where its runs, or those of an arm, are only missing."""
    study = analysis.study
    return (
        study.ladder and len(own) == len(study.arms) and jobs.ladder(study, {arm.label: arm.optimizer for arm in own}) is None
    )


def _compared(analysis: Analysis, own: Sequence[ArmResult]) -> list[str]:
    """Every arm against the first."""
    if not analysis.comparisons:
        return []
    said = []
    count = len(analysis.comparisons)
    for each in analysis.comparisons:
        arm, reference = analysis.arm(each.arm), analysis.arm(each.reference)
        difference = each.accuracy
        text = f"{arm.label} ended at {_score(arm)}, {reference.label} at {_score(reference)}: "
        if difference.t_interval is None:
            said.append(f"{text}{_seeds(difference.n)} too few to tell their difference from chance.")
            continue
        text += _amount(difference, steps=False)
        if each.pvalue is not None:
            text += f", p = {_p(each.pvalue)}" + f" (Holm, {count} comparisons)" * (count > 1)
        said.append(f"{text}: {_verdict(difference, each.pvalue, count)}.")
        if each.steps is not None and each.steps.n:
            never = all(steps is None for steps in (*arm.steps_to_target, *reference.steps_to_target))
            said.append(f"Neither {arm.label} nor {reference.label} reached the target." if never else _sooner(each))
    return said


def _verdict(difference: PairedComparison, pvalue: float | None, count: int) -> str:
    """The claim that a paired difference allows, or how large a difference could have stayed unseen."""
    if not _excludes_zero(difference) or pvalue is None:
        return f"no difference is shown{_unseen(difference)}"
    if difference.smallest_pvalue > _LEVEL:
        if pvalue > _LEVEL:
            return f"no difference is shown{_unseen(difference)}"
        return (
            f"more than the spread of these seeds, but with {difference.n_differing} pairs no test without the assumption of "
            f"normality can claim it (its p cannot fall below {difference.smallest_pvalue:.2g})"
        )
    if (lost := lost_to_holm(difference.pvalue, pvalue, count)) is not None:
        return lost
    if not _claimed(difference, pvalue):
        return "no difference is shown: the t test and the exact rank test do not agree"
    return "a difference" + (", higher" if difference.mean_difference > 0 else ", lower")


def _unseen(difference: PairedComparison) -> str:
    if difference.n < FEWEST_PAIRS:
        return f"; {difference.n} seeds can claim none of any size, it takes {FEWEST_PAIRS}"
    unseen = difference.detectable_difference
    # Accuracies differ by 100 points at most.
    if unseen is None or unseen >= 1:
        return ""
    return f"; a t test of these seeds, uncorrected, finds one of {100 * unseen:.2f} points in 80% of studies"


def _sooner(each: Comparison) -> str:
    steps = each.steps
    assert steps is not None
    text = f"{each.arm} reached the target before {each.reference} on {steps.a_sooner} of {steps.n} seeds"
    if steps.b_sooner:
        text += f" and after it on {steps.b_sooner}"
    return f"{text} (sign test, p = {_p(steps.sign_pvalue)})."


def _ladder(analysis: Analysis, ladder: LadderResult) -> list[str]:
    return [
        sentence
        for rungs in ladder.rungs
        for sentence in (_rungs(analysis, ladder, rungs), _tuned(analysis, ladder, rungs))
        if sentence
    ]


def _rungs(analysis: Analysis, ladder: LadderResult, rungs: Rungs) -> str:
    steps = rungs.measure == "steps"
    what = f"steps to a validation loss of {analysis.study.target:g}" if steps else "test accuracy"
    plain, control, momentum = (analysis.arm(label) for label in (ladder.plain, ladder.control, ladder.momentum))
    effective = ladder.learning_rate / (1 - ladder.mu)
    text = (
        f"The ladder by {what}: momentum {ladder.mu:g} at {ladder.learning_rate:g} against gradient descent at the same rate, "
        f"{_amount(rungs.gain, steps)}; gradient descent at the effective rate {effective:.4g} against that, "
        f"{_amount(rungs.larger_step, steps)}; momentum at equal effective rate, {_amount(rungs.momentum_itself, steps)}. "
    )
    if rungs.lower_bound:
        text += "Runs that never reached the target count with the whole budget. "
    if rungs.gain.t_interval is None:
        return f"{text}{_seeds(rungs.gain.n)} too few to say what explains it."
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
    claimed = {name: _claimed(parts[name], pvalue) for name, pvalue in pvalues.items()}
    if not _claimed(rungs.gain, own):
        if _excludes_zero(rungs.gain) and rungs.gain.smallest_pvalue > _LEVEL:
            return f"{text}{_seeds(rungs.gain.n)} too few to explain it without assuming normal differences."
        return f"{text}No gain of momentum at this learning rate is shown that could be explained."
    if rungs.gain.mean_difference < 0:
        return f"{text}At this learning rate momentum lost."
    if claimed.get("larger_step") and rungs.larger_step.mean_difference < 0:
        return f"{text}The larger step alone does harm here: what momentum gains is its own."
    share = rungs.share
    low, high = share.interval or (-float("inf"), float("inf"))
    if share.value is None or high - low > _WIDEST_SHARE or rungs.larger_step.mean_difference <= 0:
        return f"{text}These seeds do not tell how much of the gain the larger step explains."
    explained = f"The larger effective step explains {share.value:.0%} of momentum's gain (95%: {low:.0%} to {high:.0%})"
    rest = "the rest is momentum's own" if rungs.momentum_itself.mean_difference > 0 else "momentum itself was behind"
    if not claimed.get("momentum_itself"):
        rest = "nothing is shown to be left for momentum itself"
    return f"{text}{explained}; {rest}."


def _tuned(analysis: Analysis, ladder: LadderResult, rungs: Rungs) -> str:
    if rungs.tuned is None:
        return ""
    by = "steps to the target" if rungs.measure == "steps" else "test accuracy"
    text = f"Both tuned at equal budget, {ladder.tuned_momentum} against {ladder.tuned_plain} by {by}: "
    text += _amount(rungs.tuned, rungs.measure == "steps")
    if rungs.tuned.t_interval is None:
        return f"{text}; {_seeds(rungs.tuned.n)} too few for a claim."
    corrected = _corrected(analysis, rungs, ladder.tuned_momentum, ladder.tuned_plain)
    if not _claimed(rungs.tuned, corrected):
        if _excludes_zero(rungs.tuned) and rungs.tuned.smallest_pvalue > _LEVEL:
            return f"{text}; {_seeds(rungs.tuned.n)} too few for a claim without assuming normal differences."
        return f"{text}: momentum is not shown to help."
    return f"{text}: momentum {'helps' if rungs.tuned.mean_difference > 0 else 'does harm'} here."


def _corrected(analysis: Analysis, rungs: Rungs, one: str | None, other: str | None) -> float | None:
    """Where the pair is one of the comparisons, by accuracy, it is held to the same correction."""
    if rungs.measure != "accuracy":
        return None
    return next((each.pvalue for each in analysis.comparisons if {each.arm, each.reference} == {one, other}), None)


def _tuning(tuning: Tuning) -> str:
    trial = tuning.trials[tuning.chosen]
    if tuning.tuned is None or tuning.fresh is None or tuning.optimism is None:
        lost = f"diverged on {trial.diverged} of {len(trial.runs)} seeds of the search"
        why = lost if tuning.tuned is None else "has no score on fresh seeds"
        return f"{tuning.arm}: the best of {len(tuning.trials)} trials, {trial.optimizer}, {why}."
    by_accuracy = tuning.score == "accuracy"
    tuned, fresh = (f"{each:.2%}" if by_accuracy else f"{each:.4g}" for each in (tuning.tuned, tuning.fresh))
    optimism = f"{_points(tuning.optimism)} points" if by_accuracy else f"{tuning.optimism:+.4g}"
    if tuning.optimism_interval is not None:
        low, high = (_points(each) if by_accuracy else f"{each:+.4g}" for each in tuning.optimism_interval)
        optimism += f", 95% interval {low} to {high}"
    text = (
        f"{tuning.arm}: the best of {len(tuning.trials)} trials, {trial.optimizer}, had a validation {tuning.score} of "
        f"{tuned} when it was chosen and {fresh} on fresh seeds (optimism {optimism})"
    )
    if tuning.edges:
        text += f"; its {' and '.join(tuning.edges)} lies at the edge of the range, a better one may lie outside"
    return f"{text}."


def _excludes_zero(difference: PairedComparison) -> bool:
    if difference.t_interval is None:
        return False
    return not difference.t_interval[0] <= 0 <= difference.t_interval[1]


def _claimed(difference: PairedComparison, corrected: float | None) -> bool:
    """By the t interval, the exact rank test and the t test's p-value after correction (None: it is one of one)."""
    return _excludes_zero(difference) and max(difference.wilcoxon_pvalue, corrected or 0.0) <= _LEVEL


def _amount(difference: PairedComparison, steps: bool) -> str:
    mean = difference.mean_difference
    text = f"{abs(mean):,.0f} steps {'sooner' if mean >= 0 else 'later'}" if steps else f"{_points(mean)} points"
    if difference.t_interval is None:
        return text
    if difference.without_spread:
        return f"{text} on every seed" if mean else "no difference on any seed"
    low, high = difference.t_interval
    return text + (f" [{low:+,.0f}, {high:+,.0f}]" if steps else f" [{100 * low:+.2f}, {100 * high:+.2f}]")


def _score(arm: ArmResult) -> str:
    error = arm.accuracy.standard_error
    return f"{arm.accuracy.mean:.2%}" + (f" ± {100 * error:.2f}" if error is not None else "")


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f}"


def _seeds(count: int) -> str:
    return f"{count} seed{'s are' if count != 1 else ' is'}"


def _p(pvalue: float) -> str:
    return f"{pvalue:.2g}" if pvalue >= 1e-4 else "less than 0.0001"
