"""A study's TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from momentum_jax._files import open_regular
from momentum_jax._text import cut, cut_path
from momentum_jax.studies import own
from momentum_jax.studies.errors import StudyError
from momentum_jax.studies.expression import Expression

# Thousands of arms.
_MOST_BYTES = 2**20


def read_toml(path: str | Path) -> dict[str, Any]:
    """What a TOML file says; `seen_from` makes of it what `Study.from_dict` takes.

    Raises `StudyError` where the file cannot be read.
    """
    try:
        with open_regular(path) as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise StudyError(f"{path}: must have at most {_MOST_BYTES:,} bytes, as the TOML file of a study.")
        content = tomllib.loads(text.decode())
    except StudyError:
        raise
    except OSError as error:
        raise StudyError(f"{cut_path(path)}: cannot be read ({error.strerror}).") from None
    except RecursionError:
        raise StudyError(f"{path}: is not the TOML file of a study (nested too deeply).") from None
    except ValueError as error:
        # Not UTF-8, not TOML, or a number of more digits than Python reads.
        raise StudyError(f"{path}: is not TOML ({cut(str(error))}).") from None
    return content


def seen_from(directory: Path, content: dict[str, Any]) -> dict[str, Any]:
    """The fields of a study with the paths in them seen from a directory."""
    content = dict(content)
    dataset = content.get("dataset")
    if isinstance(dataset, str) and dataset.endswith(".npz"):
        content["dataset"] = str(directory / dataset)
    if "problem" in content:
        content["problem"] = _placed(directory, content["problem"])
    if isinstance(content.get("arms"), list):
        content["arms"] = [
            {**arm, "optimizer": _placed(directory, arm.get("optimizer"))} if isinstance(arm, dict) else _placed(directory, arm)
            for arm in content["arms"]
        ]
    return content


def _placed(directory: Path, text: Any) -> Any:
    """An expression whose file is looked for from a directory."""
    try:
        found = Expression.read(text) if isinstance(text, str) else text
    except StudyError:
        # What is no expression is refused where its field is checked.
        return text
    is_of_file = isinstance(found, Expression) and own.is_file(found.origin)
    return found.moved(str(directory / found.origin)) if is_of_file else found
