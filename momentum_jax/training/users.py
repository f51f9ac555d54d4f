"""Functions of the user: called as they are, and named where they raise."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

_HOUSE = Path(__file__).parent.parent


class UserFunction:
    """A user's function in its role; what it raises is raised as it is, with a note that names role, function and file.

    Equal to another of the same function and role, so that programs made of it are found again.
    """

    def __init__(self, role: str, function: Callable[..., Any]):
        self._role, self._function = role, function
        try:
            hash(function)
            self._key: Any = (role, function)
        except TypeError:
            self._key = (role, id(function))

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        try:
            return self._function(*arguments, **options)
        except Exception as error:
            note = f"The trainer called {self._role}{_place(self._function)}."
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)
            raise

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UserFunction) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def _place(function: Any) -> str:
    """Where a function is: its name, its file and its line; nothing of one that is the library's own."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    called = function if hasattr(function, "__code__") else inspect.unwrap(type(function).__call__)
    code = getattr(called, "__code__", None)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    if code is None:
        return f", {name}"
    if _HOUSE in Path(code.co_filename).parents:
        return ""
    return f", {name} in {code.co_filename}, line {code.co_firstlineno}"
