"""The page of a textbook experiment: every claim beside what was measured, the pictures, the tables, the source."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import momentum_jax
from momentum_jax._files import atomic
from momentum_jax.report.answer import TONES
from momentum_jax.report.blocks import Command, Content, Facts, Figures, Section, Table, Text
from momentum_jax.report.setting import html
from momentum_jax.textbook import DOCUMENTS
from momentum_jax.textbook.experiment import Claim, Value
from momentum_jax.textbook.run import Result, Status, Verdict

PAGE = "report.html"
HEADINGS = ("claim", "source", "published", "ours", "tolerance", "verdict")
_BEFORE = {"equals": "", "at least": "≥ ", "at most": "≤ "}
_COUNTED: dict[Status, str] = {
    "holds": "{} of {} claims hold",
    "known fault": "{} of {} are known faults of their sources",
    "not confirmed": "{} of {} are claims of their sources that our measurement does not confirm",
    "does not hold": "{} of {} do not hold and should",
    "not checked": "{} of {} are not tested by the quick size",
}
# Characters that a cell may have beside others without a break.
_SHORT = 28
_TYPES = {".png": "image/png", ".gif": "image/gif"}


def write(result: Result, directory: Path, pictures: Sequence[Path]) -> Path:
    """Writes the page, with the pictures inside, and returns its path. It opens without a network."""
    path = directory / PAGE
    with atomic(path) as file:
        file.write(html(content(result, pictures)).encode())
    return path


def content(result: Result, pictures: Sequence[Path]) -> Content:
    """What the page says. `pictures`: files, PNG or GIF."""
    experiment = result.experiment
    found = {status: sum(verdict.status == status for verdict in result.verdicts) for status in _COUNTED}
    counts = [words.format(found[status], len(result.verdicts)) for status, words in _COUNTED.items() if found[status]]
    checked = len(result.verdicts) - found["not checked"]
    mark, shape = "Reproduced" if result.ok else "Not reproduced", "tick" if result.ok else "cross"
    if result.ok and found["not confirmed"]:
        mark, shape = "Reproduced in part", "ring"
    if not checked:
        mark, shape = "Not checked", "ring"
    return Content(
        name="textbook",
        banner=() if result.size == "full" else (f"This is the {result.size} size, not that of the source.",),
        asked=experiment.title,
        about=f"({', '.join(experiment.reproduces)})" if experiment.reproduces else "",
        mark=mark,
        shape=shape,
        tone=TONES[shape],
        verdict="; ".join(counts) + ".",
        lead="",
        effect=None,
        cards=(),
        lines=(),
        sections=tuple(section for section in _sections(result, pictures) if section is not None),
        arms=(),
        footer=f"Written by momentum-jax {momentum_jax.__version__}. One file, no network.",
    )


def _sections(result: Result, pictures: Sequence[Path]) -> list[Section | None]:
    experiment = result.experiment
    tables = tuple(
        _table(each.columns, [tuple(map(shown, row)) for row in each.rows], each.title) for each in result.outcome.tables
    )
    cited = {label: text for label, text in DOCUMENTS.items() if any(label in _cited(claim) for claim in experiment.claims)}
    command = f"momentum-jax reproduce {experiment.name}{'' if result.size == 'full' else ' --quick'}"
    facts = (("size", result.size), ("time", f"{result.seconds:.1f} s"), *cited.items())
    return [
        Section(
            "claims",
            "Claims",
            "What is claimed, and what was measured",
            Text(""),
            (_table(HEADINGS, [*map(row, result.verdicts)]),),
        ),
        Section("pictures", "Pictures", "Pictures", Text(""), (Figures(tuple(map(_image, pictures))),)) if pictures else None,
        Section("tables", "Tables", "Tables", Text(""), tables) if tables else None,
        Section("reproduce", "Reproduce", "Reproduce", Text(""), (Command(command), Facts(facts))),
    ]


def _table(headings: Sequence[str], rows: Sequence[tuple[str, ...]], caption: str = "") -> Table:
    sentences = any(len(cell) > _SHORT for row in rows for cell in row[1:])
    return Table(tuple(headings), tuple(rows), caption, layout="prose" if sentences else "scroll")


def row(verdict: Verdict) -> tuple[str, ...]:
    """A claim beside what was measured, under `HEADINGS`."""
    claim = verdict.claim
    published = f"{_BEFORE[claim.relation]}{shown(claim.value)}"
    return claim.quantity, claim.source, published, shown(verdict.ours), f"{claim.tolerance:.2g}", _said(verdict)


def shown(value: Value | str) -> str:
    """A number, a point or a word as tables have it."""
    if isinstance(value, str):
        return value
    return f"({', '.join(map(shown, value))})" if isinstance(value, tuple) else f"{value:.7g}"


def _said(verdict: Verdict) -> str:
    match verdict.status:
        case "holds":
            return "yes"
        case "known fault":
            return f"no, a known fault of the source: {verdict.reason}"
        case "not confirmed":
            return f"no, our measurement does not confirm it: {verdict.reason}"
        case "does not hold":
            return f"NO: {verdict.reason}"
    return f"not checked: {verdict.reason}"


def _cited(claim: Claim) -> list[str]:
    return claim.source.replace(",", " ").replace(":", " ").replace("'", " ").split()


def _image(path: Path):
    from markupsafe import Markup

    encoded = base64.b64encode(path.read_bytes()).decode()
    return Markup('<img class="picture" alt="{}" src="data:{};base64,{}">').format(
        path.stem.replace("_", " "), _TYPES[path.suffix], encoded
    )
