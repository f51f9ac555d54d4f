"""`momentum-jax optimizers`: every optimizer of the library, what it does, what it holds and needs, where it comes from."""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import dataclass

import momentum_jax
from momentum_jax._hyperparameters import bare
from momentum_jax.studies.reader import names


@dataclass(frozen=True)
class Entry:
    """One optimizer: how it is called, its first line of documentation, its equations, its memory and needs, its source."""

    call: str
    line: str
    equations: tuple[str, ...]
    memory: str
    source: str


def entries() -> list[Entry]:
    """One entry for each optimizer, from its docstring: indented equations, `Memory:` and `Source:`."""
    found = []
    for name in names():
        function = getattr(momentum_jax, name)
        file = sys.modules[function.__module__]
        text = inspect.getdoc(function) or ""
        # A file that holds two optimizers is named after the first; the second speaks for itself.
        line = (inspect.getdoc(file) if function.__module__.endswith(f".{name}") else text) or ""
        said = text.partition("\nArgs:\n")[0]
        equations = tuple(line.strip() for line in said.splitlines() if line.startswith("    ") and ">>>" not in line)
        memory = re.search(r"^Memory: (.*?)(?=^(?:Stable|Source|Sharp edge)\b|\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
        source = re.search(r"\bSource: (.*?)(?=\n\n|\Z)", text, re.DOTALL)
        call = f"{name}{bare(inspect.signature(function))}"
        held, known = (" ".join(each[1].split()) if each else "" for each in (memory, source))
        found.append(Entry(call, line.partition("\n")[0], equations, held, known))
    return found


def list_optimizers() -> int:
    for entry in entries():
        print(f"{entry.call}\n    {entry.line}")
        for equation in entry.equations:
            print(f"        {equation}")
        print(f"    Memory: {entry.memory}\n    Source: {entry.source}\n")
    print("Optax's own are written optax.NAME(...), such as optax.sgd(0.1, momentum=0.9).")
    return 0
