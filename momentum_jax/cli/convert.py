"""`momentum-jax convert`: hyperparameters of one convention in another."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

from momentum_jax._text import cut, joined, quoted
from momentum_jax.cli.arguments import ArgumentError, Convert
from momentum_jax.conventions import NAMES, Convention, convert

_WORDS = {"true": True, "1": True, "false": False, "0": False}


def run(command: Convert) -> int:
    form = NAMES[command.source]
    fields = dataclasses.fields(form)
    names = [field.name for field in fields if field.name != "note"]
    given, choice = _pairs(command.hyperparameters), _pairs(command.choose)
    if unknown := [name for name in given if name not in names]:
        raise ArgumentError(f"{command.source} has no hyperparameter {quoted(unknown[0])}; it has {', '.join(names)}.")
    if missing := [f.name for f in fields if f.default is dataclasses.MISSING and f.name not in given]:
        raise ArgumentError(f"{command.source} needs {joined(missing)}, as {missing[0]}=0.1.")
    open_names = NAMES[command.to].open
    if closed := [name for name in choice if name not in open_names]:
        leaves = f"only {', '.join(open_names)}" if open_names else "nothing"
        raise ArgumentError(f"{command.to} leaves {leaves} to choose, got {cut(closed[0])}.")
    flags = {field.name for field in fields if field.default is False}
    values: dict[str, Any] = {name: (_flag if name in flags else _number)(name, text) for name, text in given.items()}
    chosen = {name: _number(name, text) for name, text in choice.items()}
    try:
        result = convert(form(**values), to=command.to, steps=None, **chosen)
    except (ValueError, TypeError) as error:
        raise ArgumentError(str(error)) from error
    if command.json:
        content = {"convention": command.to, "hyperparameters": result.hyperparameters(), "note": result.note or None}
        print(json.dumps(content, indent=2, allow_nan=False))
        return 0
    print(_shown(result))
    if result.note:
        print(f"note: {result.note}")
    return 0


def _pairs(pairs: Sequence[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals):
            raise ArgumentError(f"hyperparameters are written name=value, as lr=0.1; got {quoted(pair)}.")
        if name in texts:
            raise ArgumentError(f"{cut(name)} is given twice.")
        texts[name] = text
    return texts


def _flag(name: str, text: str) -> bool:
    if text.lower() not in _WORDS:
        raise ArgumentError(f"{cut(name)} must be true or false, got {quoted(text)}.")
    return _WORDS[text.lower()]


def _number(name: str, text: str) -> float:
    try:
        # Python reads 1_0 as 10.
        return float(text.replace("_", "?"))
    except ValueError:
        raise ArgumentError(f"{cut(name)} must be a number, got {quoted(text)}.") from None


def _shown(result: Convention) -> str:
    values = result.hyperparameters().items()
    return " ".join(f"{name}={str(v).lower() if isinstance(v, bool) else _digits(float(v))}" for name, v in values)


def _digits(value: float) -> str:
    """In full, but for the last rounding of the translation, 1 for 0.1 / (1 - 0.9), and for the sign of 0."""
    value += 0.0
    short = f"{value:.15g}"
    return short if math.isclose(float(short), value, rel_tol=1e-15) else repr(value)
