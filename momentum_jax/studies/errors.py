"""What is wrong with a study, said in one line."""

from momentum_jax._text import quoted


class StudyError(ValueError):
    """A specification, an arm or a results directory that cannot be used. The message says what would be right."""


class DamageWarning(UserWarning):
    """A stored file that is not as it was written; what it held is run again."""


def fail(where: str, what: str, allowed: str, value: object) -> StudyError:
    """The error of a value that is not allowed."""
    return StudyError(f"{where}: {what} must be {allowed}, got {quoted(value)}.")


def is_whole(value: object, least: int) -> bool:
    """Whether the value is an integer, no bool, and not below `least`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
