"""One page a method, written when the pages are built, from what the code knows.

A page takes the method's own docstring, its row in the table of docs/optimizers.md, its
line in docs/choosing.md, translations of `momentum_jax.conventions`, and a descent.
The pages stand in docs/api/methods/, which git ignores.
"""

import dataclasses
import inspect
import re
import sys
from collections import Counter
from pathlib import Path

from equations import in_text
from paths import write_pictures
from sphinx.application import Sphinx

import momentum_jax
from momentum_jax import conventions
from momentum_jax.studies.reader import names

# Where a method is a convention of that name with other parameters.
_SAME = {
    "sgd": conventions.PyTorch,
    "heavy_ball": conventions.HeavyBall,
    "ema_momentum": conventions.EMA,
    "nesterov": conventions.Nesterov,
    "quasi_hyperbolic_momentum": conventions.QHM,
    "accelerated_sgd": conventions.AcceleratedSGD,
    "pid": conventions.PID,
    "ema_nesterov": conventions.EMANesterov,
}
_SETTINGS = {
    conventions.PyTorch: {"lr": 0.1, "momentum": 0.9},
    conventions.HeavyBall: {"learning_rate": 0.1, "momentum": 0.9},
    conventions.EMA: {"learning_rate": 1.0, "momentum": 0.9},
    conventions.Nesterov: {"learning_rate": 0.1, "momentum": 0.9},
    conventions.QHM: {"learning_rate": 1.0, "momentum": 0.9, "nu": 0.9},
    conventions.AcceleratedSGD: {"learning_rate": 0.1, "kappa": 1000.0, "xi": 10.0},
    conventions.PID: {"learning_rate": 0.1, "momentum": 0.9, "integral": 5.0},
    conventions.EMANesterov: {"learning_rate": 0.1, "beta": 0.9, "gamma": 0.9},
}
_PEERS = (
    "pytorch",
    "keras",
    "optax",
    "heavy_ball",
    "nesterov",
    "ema",
    "qhm",
)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table of methods."""

    family: str
    rule: str
    source: str
    memory: str


def write_pages(app: Sphinx) -> None:
    docs = Path(app.srcdir)
    folder = docs / "api" / "methods"
    folder.mkdir(exist_ok=True)
    rows = table((docs / "optimizers.md").read_text())
    uses = chosen((docs / "choosing.md").read_text())
    peers = peers_of((docs / "migration.md").read_text())
    methods = names()
    write_pictures(folder, methods)
    pages = {
        name: page(name, rows, uses[name], peers.get(name, [])) for name in methods
    }
    for name, text in pages.items():
        file = folder / f"{name}.rst"
        # Sphinx reads again only what has changed.
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
    for file in folder.glob("*.*"):
        if file.stem not in pages:
            file.unlink()


def table(text: str) -> dict[str, Row]:
    """The rows of the table of methods, by the file that each links to."""
    found: dict[str, Row] = {}
    family = ""
    for line in text.splitlines():
        if line.startswith("### "):
            family = line[4:]
        row = re.match(r"\| \[`\w+\(.*?`\]\(#momentum_jax\.optimizers\.(\w+)\.", line)
        if row:
            cells = [
                cell.strip().replace("\\|", "|")
                for cell in re.split(r"(?<!\\)\|", line)
            ]
            found[row[1]] = Row(family, cells[2], cells[3], cells[4])
    return found


def chosen(text: str) -> dict[str, str]:
    """When to use each method, from the list of the page that compares them."""
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \|$", text, re.MULTILINE))


def peers_of(text: str) -> dict[str, list[tuple[str, str, str, str]]]:
    """By method the rows of other frameworks: whose, there, here, mind."""
    found: dict[str, list[tuple[str, str, str, str]]] = {}
    framework = ""
    for line in text.splitlines():
        if line.startswith("## "):
            framework = line[3:]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 3 and framework:
            there, here, mind = cells
            for name in re.findall(r"\b(\w+)\(", here):
                row = (framework, there, here, mind)
                if row not in found.setdefault(name, []):
                    found[name].append(row)
    return found


def page(
    name: str,
    rows: dict[str, Row],
    use: str,
    peers: list[tuple[str, str, str, str]],
) -> str:
    """The page of one method, reStructuredText."""
    function = getattr(momentum_jax, name)
    module = function.__module__
    stem = module.rpartition(".")[2]
    row = rows[stem]
    text = inspect.getdoc(sys.modules[module]) or ""
    others = [
        other
        for other in momentum_jax.__all__
        if getattr(getattr(momentum_jax, other), "__module__", "") == module
    ]
    # Of two methods in one file the second points to the page of the first.
    owns = stem == name
    parts = [_index(name, row), f"{name}\n{'=' * len(name)}"]
    if owns:
        parts.append(_plain(text.partition("\n")[0]))
    parts.append(f".. autofunction:: {module}.{name}")
    facts = {
        "Family": f"{row.family}, of the :doc:`table of all methods </optimizers>`",
        "Rule": in_text(row.rule),
        "Source": _plain(row.source),
        "Buffers; needs": _markdown(row.memory),
    }
    body = "\n".join(
        f"   * - {key}\n     - {what}" for key, what in facts.items() if what
    )
    parts.append(
        ".. rubric:: At a glance\n\n.. list-table::\n   :stub-columns: 1\n"
        f"   :widths: 20 80\n\n{body}"
    )
    parts.append(f"When to use it\n--------------\n\nUse it {_markdown(use)}")
    parts.append(
        "Its path down a ravine\n----------------------\n\n"
        f".. figure:: {name}.png\n   :width: 560px\n"
        f"   :alt: Path of {name} down a ravine, beside that of gradient descent\n\n"
        "   Forty updates on a quadratic whose curvatures are 1 and 30. Each rate is\n"
        "   the best of fifteen by the mean of the last 20 values."
        + (
            " The point is a matrix of one column."
            if "axes" in inspect.signature(function).parameters
            else ""
        )
    )
    elsewhere = same_elsewhere(name, peers)
    if elsewhere:
        parts.append(
            "In other frameworks and methods\n-------------------------------\n\n"
            + elsewhere
        )
    shown = [other for other in others if owns and other not in names()]
    if shown:
        calls = "\n\n".join(f".. autofunction:: {module}.{other}" for other in shown)
        parts.append(f"Its parts\n---------\n\n{calls}")
    if not text:
        raise ValueError(f"{module} has no docstring.")
    return "\n\n".join(parts) + "\n"


def _index(name: str, row: Row) -> str:
    """What the search finds the page by: its name in words, arguments that few have."""
    used = Counter(
        parameter
        for other in names()
        for parameter in inspect.signature(getattr(momentum_jax, other)).parameters
    )
    parameters = inspect.signature(getattr(momentum_jax, name)).parameters
    entries = [
        name.replace("_", " "),
        *(each for each in parameters if used[each] <= 3),
    ]
    if "evaluation_params" in row.memory:
        entries.append("look-ahead point")
    return ".. index::\n" + "\n".join(f"   single: {entry}" for entry in entries)


def same_elsewhere(name: str, peers: list[tuple[str, str, str, str]]) -> str:
    """Translations of one setting, computed, and what the tables of frameworks say."""
    parts = []
    if name in _SAME:
        one = _SAME[name]
        here = one(**_SETTINGS[one])
        lines = []
        for target in _PEERS:
            if conventions.NAMES[target] is one:
                continue
            try:
                there = conventions.convert(here, to=target)
            except ValueError as error:
                lines.append(f"   * - {target}\n     - none: {_plain(_reason(error))}")
            else:
                lines.append(f"   * - {target}\n     - ``{there!r}``")
        parts.append(
            f"``{here!r}`` takes its gradients at the same points as these. They are\n"
            "computed by ``conventions.convert``; see :doc:`/conventions`.\n\n"
            ".. list-table::\n   :widths: 20 80\n\n" + "\n".join(lines)
        )
    if peers:
        body = "\n".join(
            "   * - " + "\n     - ".join(_markdown(cell) or "\\" for cell in row)
            for row in peers
        )
        parts.append(
            ".. list-table::\n   :header-rows: 1\n\n"
            "   * - framework\n     - there\n     - here\n     - mind\n" + body
        )
    return "\n\n".join(parts)


def _reason(error: ValueError) -> str:
    """Why there is no translation, without the part that the page says already."""
    return str(error).partition(": ")[2].partition(": ")[2] or str(error)


def _plain(text: str) -> str:
    return re.sub(r"([*|\\`])|_(?!\w)", lambda found: "\\" + found[0], text)


def _markdown(text: str) -> str:
    """A sentence of Markdown: code and links, nothing else."""
    parts = text.split("`")
    text = "``".join(
        part if place % 2 else re.sub(r"([*|\\])", r"\\\1", part)
        for place, part in enumerate(parts)
    )
    return re.sub(r"\[([^\]]+)\]\((\w+)\.md\)", r":doc:`\1 </\2>`", text)
