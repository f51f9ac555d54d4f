"""`momentum-jax optimizers`: every optimizer of the library, what it is and where it comes from."""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import dataclass

import momentum_jax
from momentum_jax.studies import arms


@dataclass(frozen=True)
class Entry:
    """One optimizer: how it is called, its first line of documentation and its source."""

    call: str
    line: str
    source: str


def entries() -> list[Entry]:
    """One entry for each optimizer, from its file: the first line of the docstring and what follows `Source:`."""
    found = []
    for name in arms.names():
        function = getattr(momentum_jax, name)
        text = inspect.getdoc(sys.modules[function.__module__]) or ""
        own = (inspect.getdoc(function) or "").partition("\n")[0]
        # A file that holds two optimizers is named after the first; the second speaks for itself.
        line = text.partition("\n")[0] if function.__module__.endswith(f".{name}") else own
        source = re.search(r"\bSource: (.*?)(?=\n\n|\Z)", text, re.DOTALL)
        parameters = inspect.signature(function).parameters.values()
        bare = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
        call = f"{name}{inspect.Signature(bare)}"
        found.append(Entry(call, line, " ".join(source[1].split()) if source else ""))
    return found


def list_optimizers() -> int:
    for entry in entries():
        print(f"{entry.call}\n    {entry.line}\n    Source: {entry.source}\n")
    print("Optax's own are written optax.NAME(...), such as optax.sgd(0.1, momentum=0.9).")
    return 0
