"""What the evidence supports, in plain words: a handful of sentences, each about numbers of the analysis.

A difference is claimed only where the 95% t interval of the paired differences leaves out zero, the exact signed-rank test
agrees and, among several arms, Holm's correction leaves it standing. What is not claimed is not denied: the sentence says
how large a difference could have stayed unseen.
"""

from __future__ import annotations

from collections.abc import Sequence

from momentum_jax.studies.analysis import Analysis, ArmResult, Comparison, LadderResult, Rungs, Tuning
from momentum_jax.studies.statistics import PairedComparison

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
    said += [_tuning(tuning) for tuning in analysis.tunings if tuning.optimism is not None]
    if analysis.noise is not None and analysis.noise.half_width is not None:
        said.append(
            f"The noise floor: {own[0].label} against itself on {analysis.noise.n_again} other seeds differs by "
            f"{_points(analysis.noise.difference)} points; independent sets of runs closer than "
            f"{100 * analysis.noise.half_width:.2f} points could be the same method."
        )
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
        text += f"{_points(difference.mean_difference)} points {_interval(difference)}"
        if each.pvalue is not None:
            text += f", p = {_p(each.pvalue)}" + f" (Holm, {count} comparisons)" * (count > 1)
        said.append(f"{text}: {_verdict(difference, each.pvalue)}.")
        if each.steps is not None and each.steps.n:
            said.append(_sooner(each))
    return said


def _verdict(difference: PairedComparison, pvalue: float | None) -> str:
    """The claim that a paired difference allows, or how large a difference could have stayed unseen."""
    if difference.t_pvalue is None or pvalue is None:
        return "all differences are equal, so no test can tell them from chance"
    if _excludes_zero(difference) and difference.smallest_pvalue > _LEVEL:
        return (
            f"more than the spread of these seeds, but with {difference.n_differing} pairs no test without the assumption of "
            f"normality can claim it (its p cannot fall below {difference.smallest_pvalue:.2g})"
        )
    if _excludes_zero(difference) and max(pvalue, difference.wilcoxon_pvalue) <= _LEVEL:
        return "a difference" + (", higher" if difference.mean_difference > 0 else ", lower")
    unseen = difference.detectable_difference
    room = "" if unseen is None else f"; these seeds would find {100 * unseen:.2f} points in 80% of studies"
    return f"no difference is shown{room}"


def _sooner(each: Comparison) -> str:
    steps = each.steps
    assert steps is not None
    text = f"{each.arm} reached the target before {each.reference} on {steps.a_sooner} of {steps.n} seeds"
    if steps.b_sooner:
        text += f" and after it on {steps.b_sooner}"
    return f"{text} (sign test, p = {_p(steps.sign_pvalue)})."


def _ladder(analysis: Analysis, ladder: LadderResult) -> list[str]:
    return [
        sentence for rungs in ladder.rungs for sentence in (_rungs(analysis, ladder, rungs), _tuned(ladder, rungs)) if sentence
    ]


def _rungs(analysis: Analysis, ladder: LadderResult, rungs: Rungs) -> str:
    steps = rungs.measure == "steps"
    what = f"steps to a validation loss of {analysis.study.target:g}" if steps else "test accuracy"
    control = analysis.arm(ladder.control)
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
    if control.diverged:
        return (
            f"{text}At momentum's effective rate gradient descent diverged in {control.diverged} of {len(control.seeds)} runs: "
            "momentum bears a step that gradient descent does not."
        )
    if not _excludes_zero(rungs.gain):
        return f"{text}No gain of momentum at this learning rate is shown that could be explained."
    if rungs.gain.mean_difference < 0:
        return f"{text}At this learning rate momentum lost."
    if _excludes_zero(rungs.larger_step) and rungs.larger_step.mean_difference < 0:
        return f"{text}The larger step alone does harm here: what momentum gains is its own."
    share = rungs.share
    low, high = share.interval or (-float("inf"), float("inf"))
    if share.value is None or high - low > _WIDEST_SHARE:
        return f"{text}These seeds do not tell how much of the gain the larger step explains."
    explained = f"The larger effective step explains {share.value:.0%} of momentum's gain (95%: {low:.0%} to {high:.0%})"
    rest = "the rest is momentum's own" if rungs.momentum_itself.mean_difference > 0 else "momentum itself was behind"
    if not _excludes_zero(rungs.momentum_itself):
        rest = "nothing is shown to be left for momentum itself"
    return f"{text}{explained}; {rest}."


def _tuned(ladder: LadderResult, rungs: Rungs) -> str:
    if rungs.tuned is None:
        return ""
    by = "steps to the target" if rungs.measure == "steps" else "test accuracy"
    text = f"Both tuned at equal budget, {ladder.tuned_momentum} against {ladder.tuned_plain} by {by}: "
    text += _amount(rungs.tuned, rungs.measure == "steps")
    if rungs.tuned.t_interval is None:
        return f"{text}; {_seeds(rungs.tuned.n)} too few for a claim."
    if not _excludes_zero(rungs.tuned):
        return f"{text}: momentum is not shown to help."
    helped = rungs.tuned.mean_difference > 0
    if rungs.tuned.smallest_pvalue > _LEVEL or rungs.tuned.wilcoxon_pvalue > _LEVEL:
        did = "helped" if helped else "did harm"
        return f"{text}: momentum {did}, if one assumes normal differences; ranks alone do not show it."
    return f"{text}: momentum {'helps' if helped else 'does harm'} here."


def _tuning(tuning: Tuning) -> str:
    trial = tuning.trials[tuning.chosen]
    assert tuning.tuned is not None
    assert tuning.fresh is not None
    assert tuning.optimism is not None
    text = (
        f"{tuning.arm}: the best of {len(tuning.trials)} trials, {trial.optimizer}, had {tuning.tuned:.2%} validation accuracy "
        f"when it was chosen and {tuning.fresh:.2%} on fresh seeds (optimism {_points(tuning.optimism)} points)"
    )
    if tuning.edges:
        text += f"; its {' and '.join(tuning.edges)} lies at the edge of the range, a better one may lie outside"
    return f"{text}."


def _excludes_zero(difference: PairedComparison) -> bool:
    return difference.t_interval is not None and not difference.t_interval[0] <= 0 <= difference.t_interval[1]


def _amount(difference: PairedComparison, steps: bool) -> str:
    if not steps:
        return f"{_points(difference.mean_difference)} points{f' {_interval(difference)}' if difference.t_interval else ''}"
    mean = difference.mean_difference
    text = f"{abs(mean):,.0f} steps {'sooner' if mean >= 0 else 'later'}"
    if difference.t_interval is not None:
        low, high = difference.t_interval
        text += f" [{low:+,.0f}, {high:+,.0f}]"
    return text


def _score(arm: ArmResult) -> str:
    error = arm.accuracy.standard_error
    return f"{arm.accuracy.mean:.2%}" + (f" ± {100 * error:.2f}" if error is not None else "")


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f}"


def _interval(difference: PairedComparison) -> str:
    assert difference.t_interval is not None
    low, high = difference.t_interval
    return f"[{100 * low:+.2f}, {100 * high:+.2f}]"


def _seeds(count: int) -> str:
    return f"{count} seed{'s are' if count != 1 else ' is'}"


def _p(pvalue: float) -> str:
    return f"{pvalue:.2g}" if pvalue >= 1e-4 else "less than 0.0001"
