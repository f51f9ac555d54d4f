"""Holm's correction: the p-values of several arms, such that any false claim among them is as rare as alpha."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def holm(pvalues: Mapping[Key, float]) -> dict[Key, float]:
    """Each p-value adjusted for all of them, in the order given: claim where the adjusted one is at most alpha.

    The i-th smallest of m is multiplied by m - i + 1, no adjusted p-value is below one of a smaller p-value, none above 1.
    Holds whatever the p-values' dependence (arms share their control). Source: S. Holm (1979), Scand. J. Statist. 6, 65-70.
    """
    for key, pvalue in pvalues.items():
        if not 0 <= pvalue <= 1:
            raise ValueError(f"holm: every p-value must be in [0, 1], got {pvalue} for {key!r}.")
    adjusted: dict[Key, float] = {}
    largest = 0.0
    for rank, key in enumerate(sorted(pvalues, key=lambda key: pvalues[key])):
        largest = max(largest, min(1.0, (len(pvalues) - rank) * pvalues[key]))
        adjusted[key] = largest
    return {key: adjusted[key] for key in pvalues}


def lost_to_holm(pvalue: float | None, corrected: float | None, comparisons: int, *, alpha: float = 0.05) -> str | None:
    """Says that a p-value which alone would claim a difference does not bear the correction; None where it does, or is none."""
    if pvalue is None or corrected is None or not pvalue <= alpha < corrected:
        return None
    count = f" for {comparisons} comparisons" if comparisons > 1 else ""
    return f"no difference is shown: the p-value does not bear Holm's correction{count}, after which it is {corrected:.2g}"
