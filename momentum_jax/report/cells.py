"""How a report writes numbers and names."""

from collections.abc import Sequence

from momentum_jax.studies.scores import RankedScore
from momentum_jax.studies.statistics import Description

NONE = "–"


def numbers(values: Sequence[int]) -> str:
    """Of a run of neighbours its ends."""
    if len(values) > 3 and list(values) == list(range(values[0], values[0] + len(values))):
        return f"{values[0]} to {values[-1]}"
    return ", ".join(map(str, values))


def counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def seconds(spent: float) -> str:
    return f"{spent / 60:.1f} min" if spent >= 120 else f"{spent:.1f} s"


def mean(found: Description | None, score: RankedScore) -> str:
    if found is None:
        return NONE
    text = f"{score.factor * found.mean:{score.form()}}"
    return text if found.standard_error is None else f"{text} ± {score.factor * found.standard_error:{score.form(error=True)}}"


def two_digits(value: float) -> str:
    return f"{value:#.2g}".removesuffix(".")


def interval(ends: tuple[float, float] | None, factor: float, form: str) -> str:
    return NONE if ends is None else f"[{factor * ends[0]:{form}}, {factor * ends[1]:{form}}]"


def limits(ends: tuple[float | None, float | None] | None) -> str:
    if ends is None:
        return NONE
    low, high = (number(end, ",.0f", "never") for end in ends)
    return f"[{low}, {high}]"


def number(found: float | int | None, form: str, none: str = NONE) -> str:
    return none if found is None else f"{found:{form}}"


def value(given: object) -> str:
    return f"{given:.4g}" if isinstance(given, float) else str(given)
