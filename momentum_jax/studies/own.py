"""Functions of the user's own, which an expression names with the place that they are in.

    my_problem.py:make(width=64)        a file, seen from the study's TOML file or from the working directory
    package.module:make()               a module that Python can import
    python:make()                       handed over in Python by `given`

Only what runs a study calls this: reports and lists of studies import no file of the user's.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib
import importlib.util
import itertools
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from momentum_jax._text import cut, cut_path, quoted
from momentum_jax.studies.errors import StudyError

PYTHON = "python"
_given: dict[str, Callable[..., Any]] = {}
_files: dict[tuple[str, int, int], ModuleType] = {}


def given(name: str, function: Callable[..., Any]) -> str:
    """Makes a function known to expressions of this process, and returns its place and name, `python:NAME`."""
    _given[name] = function
    return f"{PYTHON}:{name}"


def name_of(function: Callable[..., Any]) -> str:
    """A function's own name for `given`, with a number where a different function has that name already."""
    own = getattr(function, "__name__", "")
    name = own if own.isidentifier() else "optimizer"
    numbered = (f"{name}_{count}" for count in itertools.count(2))
    names = itertools.chain([name], numbered)
    return next(each for each in names if each not in _given or _made_of(_given[each]) == _made_of(function))


def _made_of(function: Any) -> Any:
    """Equal for functions that the same code makes of the same values, as when a cell of a notebook is run again."""
    if isinstance(function, functools.partial):
        return _made_of(function.func), repr(function.args), repr(sorted(function.keywords.items()))
    if not isinstance(function, FunctionType):
        return function
    cells = [repr(cell.cell_contents) for cell in function.__closure__ or ()]
    return function.__code__, repr(function.__defaults__), repr(function.__kwdefaults__), cells


def is_file(origin: str) -> bool:
    return origin.endswith(".py")


def load(origin: str, name: str, paths: Mapping[str, str]) -> Callable[..., Any]:
    """The function of that name; `paths` are the files behind the names that expressions have for them.

    Raises:
      StudyError: there is no such file, module or function, or the file is not Python.
      Exception: whatever the file raises when it is imported, with a note that names it.
    """
    if origin == PYTHON:
        if name not in _given:
            raise StudyError(f"{origin}:{name} was handed over in another Python process; hand it over again.")
        return _given[name]
    module = _of_file(Path(paths.get(origin, origin))) if is_file(origin) else _of_name(origin)
    found = getattr(module, name, None)
    if not callable(found):
        known = [each for each, value in vars(module).items() if callable(value) and not each.startswith("_")]
        close = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {close[0]}?" if close else "."
        raise StudyError(f"{cut(origin)} has no function {quoted(name)}{hint}")
    return found


def _of_file(path: Path) -> ModuleType:
    try:
        state = path.stat() if path.is_file() else None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else cut(str(error))
        raise StudyError(f"{cut_path(path)}: cannot be read ({reason}).") from None
    if state is None:
        what = "it is no regular file" if path.exists() else "there is no such file"
        raise StudyError(f"{cut_path(path)}: {what}.")
    key = (os.path.realpath(path), state.st_mtime_ns, state.st_size)
    if key not in _files:
        name = f"{path.stem}_{hashlib.sha256(repr(key).encode()).hexdigest()[:12]}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise StudyError(f"{cut_path(path)}: cannot be imported.")
        module = importlib.util.module_from_spec(spec)
        # Found by what looks a class up in its module; files beside it can be imported from it.
        sys.modules[name] = module
        sys.path.insert(0, str(path.parent))
        try:
            spec.loader.exec_module(module)
        except SyntaxError as error:
            del sys.modules[name]
            line = f", line {error.lineno}" if error.lineno else ""
            raise StudyError(f"{cut_path(path)}: is not Python ({error.msg}{line}).") from None
        except Exception as error:
            del sys.modules[name]
            error.add_note(f"It was raised by the import of {path}.")
            raise
        finally:
            sys.path.remove(str(path.parent))
        if str(path.parent) not in sys.path:
            # Behind all others: its functions may import what lies beside it when they are called.
            sys.path.append(str(path.parent))
        _files[key] = module
    return _files[key]


def _of_name(name: str) -> ModuleType:
    # As `python -m` does: what lies in the working directory can be imported.
    sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise StudyError(
            f"there is no module {quoted(name)}; a file is named with its ending, such as my_problem.py."
        ) from None
    except (ValueError, TypeError):
        raise StudyError(
            f"{quoted(name)} is no name of a module; a file is named with its ending, such as my_problem.py."
        ) from None
    finally:
        sys.path.remove(os.getcwd())
