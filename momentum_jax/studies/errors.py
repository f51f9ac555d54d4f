"""What is wrong with a study, said in one line: the field, what is allowed, and what came."""

import dataclasses
import difflib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from momentum_jax._text import cut, quoted


class StudyError(ValueError):
    """A specification, an arm or a results directory that cannot be used. The message says what would be right."""


class StudyWarning(UserWarning):
    """What a study does not refuse, and whoever runs it should know."""


class DamageWarning(StudyWarning):
    """A stored file that is not as it was written; what it held is run again."""


def fail(where: str, what: str, allowed: str, value: object) -> StudyError:
    """The error of a value that is not allowed."""
    return StudyError(f"{where}: {what} must be {allowed}, got {quoted(value)}.")


def not_among(where: str, what: str, value: object, allowed: Sequence[str]) -> StudyError:
    """The error of a value that is none of some words; it names the nearest."""
    close = difflib.get_close_matches(cut(value), allowed, 1) if isinstance(value, str) else []
    hint = f" (perhaps {close[0]}?)" if close else ""
    return StudyError(f"{where}: {what} must be one of {', '.join(allowed)}, got {quoted(value)}{hint}.")


def is_whole(value: object, least: int) -> bool:
    """Whether the value is an integer, no bool, and not below `least`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def require_whole(where: str, what: str, value: object, least: int) -> None:
    if not is_whole(value, least):
        raise fail(where, what, f"a whole number >= {least}", value)


def require_choice(where: str, what: str, value: object, allowed: Sequence[str]) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise not_among(where, what, value, allowed)


def require_number(where: str, what: str, value: object, allowed: str, low: float, high: float) -> None:
    """Requires low <= value < high, and of a whole number that it fits into a float."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < high or value > sys.float_info.max:
        raise fail(where, what, allowed, value)


def known_fields(
    cls: type,
    where: str,
    data: object,
    required: tuple[str, ...] = (),
    less: tuple[str, ...] = (),
    more: tuple[str, ...] = (),
) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise fail(where, "it", "a table of keys and values", data)
    names = [*(f.name for f in dataclasses.fields(cls) if f.name not in less), *more]
    for key in data:
        if key not in names:
            close = difflib.get_close_matches(cut(str(key)), names, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(names)}."
            raise StudyError(f"{where}: unknown key {quoted(key)}; {hint}")
    for key in required:
        if key not in data:
            raise StudyError(f"{where}: the key {key!r} is missing.")
    return dict(data)
