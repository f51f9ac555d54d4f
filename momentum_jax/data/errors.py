"""What goes wrong with data, said in one line."""

from collections.abc import Iterator
from contextlib import contextmanager


class DataError(ValueError):
    """The data asked for cannot be had.

    The message is one line: who says it, which file or argument, what is wrong, and what to do about it.
    """


@contextmanager
def required_by(caller: str, purpose: str) -> Iterator[None]:
    """Turns a missing optional package into a DataError that says how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise DataError(
            f"{caller}: {purpose} needs {error.name}, which is not installed; "
            "install it by `pip install 'momentum_jax[experiments]'`."
        ) from error
