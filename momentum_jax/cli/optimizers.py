"""`momentum-jax optimizers`: every optimizer of the library, what it does, what it holds and needs, where it comes from."""

from __future__ import annotations

import difflib
import inspect
import json
import re
import sys
from dataclasses import asdict, dataclass

import momentum_jax
from momentum_jax._hyperparameters import bare
from momentum_jax._text import cut, quoted
from momentum_jax.cli.arguments import ArgumentError, Optimizers
from momentum_jax.studies.reader import names


@dataclass(frozen=True)
class Entry:
    """One optimizer: its name, its call, the first line of its documentation, its equations, memory and needs, and source."""

    name: str
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
        found.append(Entry(name, call, line.partition("\n")[0], equations, held, known))
    return found


def run(command: Optimizers) -> int:
    """Lists all, or shows one with the whole of its documentation."""
    found = entries()
    if command.name is not None:
        known = [entry.name for entry in found]
        if command.name not in known:
            close = difflib.get_close_matches(cut(command.name), known, 3)
            hint = f"; did you mean {', '.join(close)}?" if close else ". `momentum-jax optimizers` lists them."
            raise ArgumentError(f"there is no optimizer {quoted(command.name)}{hint}")
        found = [entry for entry in found if entry.name == command.name]
    if command.json:
        print(json.dumps([asdict(entry) for entry in found], indent=2))
    elif command.name is not None:
        print(f"{found[0].call}\n\n{inspect.getdoc(getattr(momentum_jax, command.name))}")
    else:
        for entry in found:
            print(f"{entry.call}\n    {entry.line}")
            for equation in entry.equations:
                print(f"        {equation}")
            print(f"    Memory: {entry.memory}\n    Source: {entry.source}\n")
        print("Optax's own are written optax.NAME(...), such as optax.sgd(0.1, momentum=0.9).")
    return 0
