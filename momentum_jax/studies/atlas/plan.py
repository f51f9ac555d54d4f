"""What an atlas is: studies on axes of batch sizes and budgets, read from a TOML file.

    title = "Where does momentum help?"

    [defaults]                    # fields of every study
    arms = ["gradient_descent(log_uniform(0.001, 10))", "heavy_ball(log_uniform(0.001, 1), one_minus_log_uniform(0.5, 0.99))"]

    [[study]]
    name = "diabetes"
    why = "A small table with much noise."
    expects = "No more than a larger step."
    problem = "diabetes()"
    batch = [16, 64, "all"]       # each with each of steps: six cells
    steps = [100, 400]
    more_arms = ["muon(log_uniform(0.001, 1))"]

A cell is an ordinary study: one batch size, one budget.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from momentum_jax._text import quoted
from momentum_jax.studies.errors import StudyError, fail, known_fields
from momentum_jax.studies.evidence import fewest_pairs
from momentum_jax.studies.study import Study
from momentum_jax.studies.toml import read_toml, seen_from

SHIPPED = "atlas.toml"
# The axes of a study, of each of which a list may be given.
AXES = ("batch", "steps")
# At a first look: the shortest budget, the smallest and the largest batch, and of seeds and trials at most so many.
QUICK_SEEDS, QUICK_TRIALS = fewest_pairs(0.05), 6
# An evaluation on the validation set after each such share of the budget.
_EVALUATIONS = 10
_TITLE = "Where does momentum help?"
_OWN_NAMES = ("name", "why", "expects", "more_arms")


@dataclass(frozen=True)
class Cell:
    """A study of the atlas at one batch size (None: all examples, or a problem without data) and one budget.

    folder: its directory below that of the atlas.
    """

    entry: str
    batch: int | None
    steps: int
    folder: str
    study: Study


@dataclass(frozen=True)
class Entry:
    """A problem of the atlas: why it is there, what theory expects of momentum there, and its cells."""

    name: str
    why: str
    expects: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Atlas:
    """Problems with their cells. is_quick: at the size for a first look."""

    title: str
    entries: tuple[Entry, ...]
    is_quick: bool = False

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(cell for entry in self.entries for cell in entry.cells)

    @classmethod
    def from_toml(cls, path: str | Path | None = None) -> Atlas:
        """The atlas of a file; None: the one that comes with the library.

        Raises:
          StudyError: the file cannot be read, or names no study, a study twice, an unknown key or what no study can have.
        """
        path = Path(str(files("momentum_jax.studies.atlas") / SHIPPED)) if path is None else Path(path)
        try:
            return cls.from_dict(read_toml(path), path.parent)
        except StudyError as error:
            raise StudyError(str(error) if str(error).startswith(str(path)) else f"{path.name}: {error}") from None

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], directory: Path = Path()) -> Atlas:
        """The atlas that a file says, whose paths are seen from `directory`. Raises as `from_toml`."""
        for key in content:
            if key not in ("title", "defaults", "study"):
                raise StudyError(f"atlas: unknown key {quoted(key)}; known keys: title, defaults, study.")
        title, defaults, listed = content.get("title", _TITLE), content.get("defaults", {}), content.get("study", [])
        if not isinstance(title, str) or not title.isprintable() or not title:
            raise fail("atlas", "title", "one line of printable text", title)
        if not isinstance(defaults, Mapping):
            raise fail("atlas", "defaults", "a table of a study's fields", defaults)
        if not isinstance(listed, list) or not listed:
            raise StudyError("atlas: it must list at least one study, under [[study]], got none.")
        entries = tuple(_entry(defaults, each, directory) for each in listed)
        _refuse_doubles(entries)
        return cls(title, entries)

    def only(self, names: tuple[str, ...]) -> Atlas:
        """The atlas of these studies alone. Raises `StudyError` where there is no such study."""
        known = [entry.name for entry in self.entries]
        if unknown := next((name for name in names if name not in known), None):
            raise StudyError(f"atlas: only must be among {', '.join(known)}, got {quoted(unknown)}.")
        return replace(self, entries=tuple(entry for entry in self.entries if entry.name in names)) if names else self

    def quick(self) -> Atlas:
        """The same at the size for a first look."""
        return replace(self, entries=tuple(map(_quick, self.entries)), is_quick=True)


def _entry(defaults: Mapping[str, Any], given: object, directory: Path) -> Entry:
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str) or not _slug(given["name"]):
        raise fail("atlas", "every [[study]]", "a table with a name", given)
    name = given["name"]
    try:
        fields = known_fields(Study, f"study {quoted(name)}", given, less=("title", "paths"), more=_OWN_NAMES)
        own = {key: fields.pop(key) for key in _OWN_NAMES if key in fields}
        for key in ("why", "expects"):
            if not isinstance(own.get(key, ""), str):
                raise fail(f"study {quoted(name)}", key, "text", own[key])
        merged = {**defaults, **fields}
        for table in ("search", "network", "prediction"):
            if isinstance(defaults.get(table), Mapping) and isinstance(fields.get(table), Mapping):
                merged[table] = {**defaults[table], **fields[table]}
        arms, more = merged.get("arms", []), own.get("more_arms", [])
        if isinstance(arms, list) and isinstance(more, list):
            merged["arms"] = [*arms, *more]
        elif not isinstance(more, list):
            raise fail(f"study {quoted(name)}", "more_arms", "a list of arms", more)
        merged = seen_from(directory, merged)
        cells = tuple(
            _cell(name, merged, batch, steps)
            for batch in _axis(name, merged, "batch", Study.batch)
            for steps in _axis(name, merged, "steps", Study.steps)
        )
    except StudyError as error:
        said = str(error)
        raise StudyError(said if said.startswith("study ") else f"study {quoted(name)}: {said}") from None
    return Entry(name, own.get("why", ""), own.get("expects", ""), cells)


def _axis(name: str, fields: Mapping[str, Any], axis: str, default: Any) -> list[Any]:
    given = fields.get(axis, default)
    if not isinstance(given, list):
        return [given]
    if not given or len({*map(str, given)}) < len(given):
        raise fail(f"study {quoted(name)}", axis, "a value, or a list of different ones", given)
    return given


def _cell(name: str, fields: Mapping[str, Any], batch: Any, steps: Any) -> Cell:
    # What is no number is refused by `Study`.
    every = max(1, steps // _EVALUATIONS) if isinstance(steps, int) else 1
    asked = {"evaluate_every": every, **fields, "batch": batch, "steps": steps, "title": f"Does momentum help on {name}?"}
    study = Study.from_dict(asked)
    words = f"batch-{'all' if study.batch is None else study.batch}-steps-{study.steps}"
    return Cell(name, study.batch, study.steps, f"{_slug(name)}/{words}", study)


def _refuse_doubles(entries: tuple[Entry, ...]) -> None:
    seen: dict[str, str] = {}
    for entry in entries:
        slug = _slug(entry.name)
        if slug in seen:
            raise StudyError(f"atlas: every study must occur once, {quoted(entry.name)} is there twice.")
        seen[slug] = entry.name
    cells = [cell for entry in entries for cell in entry.cells]
    for index, cell in enumerate(cells):
        if (twin := next((each for each in cells[:index] if each.study == cell.study), None)) is not None:
            raise StudyError(
                f"atlas: every study must occur once, {quoted(cell.entry)} is {quoted(twin.entry)} under another name."
            )


def _quick(entry: Entry) -> Entry:
    least = min(cell.steps for cell in entry.cells)
    shortest = sorted((cell for cell in entry.cells if cell.steps == least), key=lambda cell: cell.batch or 2**62)
    return replace(entry, cells=tuple(map(_smaller, dict.fromkeys((shortest[0], shortest[-1])))))


def _smaller(cell: Cell) -> Cell:
    study = cell.study
    search = dataclasses.replace(study.search, trials=min(QUICK_TRIALS, study.search.trials), seeds=study.search.seeds[:1])
    small = dataclasses.replace(study, seeds=study.seeds[:QUICK_SEEDS], search=search, looks=(), prediction=None)
    return replace(cell, study=small)


def _slug(name: str) -> str:
    """A name of letters, digits and hyphens, for a directory."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
