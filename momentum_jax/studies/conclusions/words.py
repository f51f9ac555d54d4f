"""What may be claimed of a difference, and how the conclusions write numbers."""

from __future__ import annotations

from momentum_jax.studies.analysis import ArmResult
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


def amount(difference: PairedComparison, steps: bool) -> str:
    mean = difference.mean_difference
    apart = "sooner" if mean >= 0.5 else "later" if mean <= -0.5 else "apart"
    text = f"{abs(mean):,.0f} steps {apart}" if steps else f"{points(mean)} points"
    if difference.t_interval is None:
        return text
    if difference.without_spread:
        return f"{text} on every seed" if mean else "no difference on any seed"
    low, high = difference.t_interval
    return text + (f" [{low:+,.0f}, {high:+,.0f}]" if steps else f" [{100 * low:+.2f}, {100 * high:+.2f}]")


def score(arm: ArmResult) -> str:
    error = arm.accuracy.standard_error
    return f"{arm.accuracy.mean:.2%}" + (f" ± {100 * error:.2f}" if error is not None else "")


def points(difference: float) -> str:
    return f"{100 * difference:+z.2f}"


def seeds(count: int) -> str:
    return f"{count} seed{'s are' if count != 1 else ' is'}"


def p_shown(pvalue: float) -> str:
    return f"p = {pvalue:.2g}" if pvalue >= 1e-4 else "p < 0.0001"
