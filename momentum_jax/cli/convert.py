"""`momentum-jax convert`: hyperparameters of one convention in another."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from momentum_jax.cli.arguments import ArgumentError, Convert
from momentum_jax.conventions import NAMES, Convention, convert


def run(command: Convert) -> int:
    form = NAMES[command.source]
    fields = dataclasses.fields(form)
    names = [field.name for field in fields if field.name != "note"]
    values, chosen = _values(command.hyperparameters), _values(command.choose)
    if unknown := [name for name in values if name not in names]:
        raise ArgumentError(f"{command.source} has no hyperparameter {unknown[0]!r}; it has {', '.join(names)}.")
    if missing := [f.name for f in fields if f.default is dataclasses.MISSING and f.name not in values]:
        raise ArgumentError(f"{command.source} needs {' and '.join(missing)}, as {missing[0]}=0.1.")
    try:
        result = convert(form(**values), to=command.to, steps=None, **chosen)
    except (ValueError, TypeError) as error:
        raise ArgumentError(str(error)) from error
    print(_shown(result))
    if result.note:
        print(f"note: {result.note}")
    return 0


def _values(pairs: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals):
            raise ArgumentError(f"hyperparameters are written name=value, as lr=0.1; got {pair!r}.")
        if name in values:
            raise ArgumentError(f"{name} is given twice.")
        values[name] = _value(name, text)
    return values


def _value(name: str, text: str) -> float | bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return float(text)
    except ValueError:
        raise ArgumentError(f"{name} must be a number, true or false, got {text!r}.") from None


def _shown(result: Convention) -> str:
    values = result.hyperparameters().items()
    return " ".join(f"{name}={str(v).lower() if isinstance(v, bool) else _digits(float(v))}" for name, v in values)


def _digits(value: float) -> str:
    """In full, but for the last rounding of the translation: 1 for 0.1 / (1 - 0.9)."""
    short = f"{value:.15g}"
    return short if math.isclose(float(short), value, rel_tol=1e-15) else repr(value)
