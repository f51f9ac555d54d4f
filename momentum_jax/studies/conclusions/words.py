"""What may be claimed of a difference, and how the conclusions write numbers."""

from __future__ import annotations

from momentum_jax.studies.analysis import Analysis, ArmResult, LadderResult
from momentum_jax.studies.analysis.ladder import bound
from momentum_jax.studies.scores import RankedScore
from momentum_jax.studies.statistics import PairedComparison

LEVEL = 0.05


def count_reached(arm: ArmResult) -> int:
    """How many runs reached the target."""
    return sum(steps is not None for steps in arm.steps_to_target)


def excludes_zero(difference: PairedComparison) -> bool:
    if difference.t_interval is None:
        return False
    return not difference.t_interval[0] <= 0 <= difference.t_interval[1]


def is_claimed(difference: PairedComparison, corrected: float | None) -> bool:
    """By the t interval, the exact rank test and the t test's p-value after correction (None: it is one of one)."""
    return excludes_zero(difference) and max(difference.wilcoxon_pvalue, corrected or 0.0) <= LEVEL


def untuned(arm: str) -> str:
    """In the place of the tuned pair where the search of one arm found nothing."""
    why = f"every trial of {arm} diverged on every seed of the search"
    return f"Tuned momentum and tuned gradient descent are not compared: {why}."


def unmeasured(analysis: Analysis, ladder: LadderResult) -> str:
    """In the place of a ladder no seed of which has a score on every rung."""
    rungs = [analysis.arm(label) for label in dict.fromkeys((ladder.plain, ladder.control, ladder.momentum))]
    counts = ", ".join(f"{arm.label} in {arm.diverged} of {len(arm.runs)} runs" for arm in rungs if arm.diverged)
    return f"The ladder says nothing: on no seed do all its rungs have a score. Diverged: {counts or 'none'}."


def amount(difference: PairedComparison, score: RankedScore) -> str:
    """Of the primary score."""
    text = f"{score.difference(difference.mean_difference)}{score.unit}"
    if difference.t_interval is None:
        return text
    if difference.without_spread:
        return f"{text} on every seed" if difference.mean_difference else "no difference on any seed"
    low, high = difference.t_interval
    return f"{text} [{score.difference(low)}, {score.difference(high)}]"


def is_at_most(difference: PairedComparison, arm: ArmResult, other: ArmResult) -> bool:
    """The arm that was ahead is the one whose steps the budget cut off: without it, it may have been behind."""
    return bound(arm, other) == ("upper" if difference.mean_difference > 0 else "lower")


def steps_apart(difference: PairedComparison, arm: ArmResult, other: ArmResult) -> str:
    """By how many steps `arm` is the sooner, or the later: positive ends of the interval bear the word out."""
    mean, known = difference.mean_difference, bound(arm, other)
    if difference.without_spread and not mean:
        return "no difference on any seed" if known is None else "no difference that the budget lets be seen"
    sooner = mean > -0.5
    count = f"{abs(mean):,.0f}"
    limit = "" if known in (None, "none") else "at least " if (known == "lower") == sooner else "at most "
    text = f"{limit}{count} step{'s' * (count != '1')} {'sooner' if sooner else 'later'}"
    if known == "none":
        text += " up to the budget"
    if difference.t_interval is None:
        return text
    if difference.without_spread:
        return f"{text} on every seed"
    ends = difference.t_interval if sooner else [-end for end in reversed(difference.t_interval)]
    low, high = (f"{end:+z,.0f}" for end in ends)
    if limit:
        return f"{text} [{low} or more]" if limit == "at least " else f"{text} [{high} or less]"
    return f"{text} [{low}, {high}]"


def ended(arm: ArmResult, score: RankedScore) -> str:
    """The primary score of an arm with its standard error."""
    found = arm.described[score.name]
    if found is None:
        return "no score"
    error = found.standard_error
    return score.value(found.mean) + (f" ± {score.factor * error:{score.form(error=True)}}" if error is not None else "")


def unit_and_form(score: RankedScore) -> tuple[str, str]:
    """As the sentences of the statistics take them, for differences."""
    return score.unit, "z.2f" if score.percent else ".4g"


def seeds(count: int) -> str:
    return f"{count} seed{'s are' if count != 1 else ' is'}"


def differing(difference: PairedComparison) -> str:
    """What limits an exact test: the pairs that differ, which may be fewer than the seeds."""
    if difference.n_differing == difference.n:
        return seeds(difference.n)
    return "1 pair that differs is" if difference.n_differing == 1 else f"{difference.n_differing} pairs that differ are"


def p_shown(pvalue: float) -> str:
    return f"p = {pvalue:.2g}" if pvalue >= 1e-4 else "p < 0.0001"
