"""What is wrong with a study, said in one line."""

import difflib
from collections.abc import Sequence

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
