"""What a report is made of: an answer, then sections of sentences, figures and tables, whatever they are set in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True)
class Value:
    """A result as it is written, and the key of its source."""

    text: str
    source: str

    def __str__(self) -> str:
        return self.text


class Code(str):
    """Text that is set as it would be typed."""

    __slots__ = ()


Cell = str | Value


class Sources:
    """What each result is, unrounded, and which runs it comes from, by a short key."""

    def __init__(self) -> None:
        self._keys: dict[tuple[tuple[str, ...], str, str], str] = {}

    def value(
        self, text: str, what: tuple[str, ...], exact: float | None, runs: Sequence[str], less: Sequence[str] = ()
    ) -> Value:
        """A written result with its source: `what` it is, in parts that other sources share; `less`: the runs subtracted."""
        behind = runs_of(runs) + (f" - {runs_of(less)}" if less else "")
        source = what, "none" if exact is None else repr(float(exact)), behind
        return Value(text, self._keys.setdefault(source, f"s{len(self._keys)}"))

    def to_dict(self) -> dict[str, Any]:
        """All of them as `sources`: what each is, as the places of its parts among `parts`, its exact value and its runs."""
        places: dict[str, int] = {}
        found = {
            name: ([places.setdefault(part, len(places)) for part in what], exact, runs)
            for (what, exact, runs), name in self._keys.items()
        }
        return {"sources": found, "parts": [*places]}


def runs_of(names: Sequence[str]) -> str:
    """Names of runs, with what they have in common once: arm-0/seed-{0, 1, 2}."""
    found: dict[str, list[str]] = {}
    for name in names:
        head, dash, seed = name.rpartition("-")
        found.setdefault(head + dash, []).append(seed)
    return ", ".join(f"{head}{ends[0]}" if len(ends) == 1 else f"{head}{{{_seeds(ends)}}}" for head, ends in found.items())


def _seeds(ends: Sequence[str]) -> str:
    if len(ends) > 3 and all(each.isdigit() for each in ends):
        numbers = [int(each) for each in ends]
        if numbers == [*range(numbers[0], numbers[0] + len(numbers))]:
            return f"{ends[0]} to {ends[-1]}"
    return ", ".join(ends)


@dataclass(frozen=True)
class Text:
    """A paragraph; of the results in it, `values` are to be found by their text. tone: how it is set."""

    text: str
    values: tuple[Value, ...] = ()
    tone: str = ""
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Check:
    """Something that holds or does not: "yes", "no" or, where it should be looked at, "look"."""

    state: str
    said: Text
    detail: str = ""


@dataclass(frozen=True)
class Checks:
    """A list of them."""

    items: tuple[Check, ...]
    wide: bool = False
    kind: ClassVar[str] = "checks"


@dataclass(frozen=True)
class Table:
    """Rows of cells under their headings; the first column names the row.

    layout: on a phone rows are a "stack", or the table is a "scroll"; cells of "prose" wrap, and stack too; or "plain".
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    layout: str = "stack"
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Facts:
    """Names, each with what it is."""

    rows: tuple[tuple[str, str], ...]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Row:
    """A row of a `Forest`: what it is of, its drawing and its number; `href`: the page of what it is of.

    facets: by the name of each filter of the forest the value of this row.
    """

    arm: int
    label: str
    detail: str
    drawn: Markup
    value: Cell
    note: str
    is_code: bool = False
    has_key: bool = False
    href: str = ""
    facets: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Forest:
    """Rows that share an axis. `picture`: the name of the file that shows the same; `filters`: facets to choose rows by."""

    rows: tuple[Row, ...]
    axis: Markup
    alt: str
    picture: str = ""
    filters: tuple[str, ...] = ()
    kind: ClassVar[str] = "forest"

    def values(self, name: str) -> list[str]:
        """The values of a facet, in the order of the rows."""
        return [*dict.fromkeys(dict(row.facets)[name] for row in self.rows)]


@dataclass(frozen=True)
class Figures:
    """Figures side by side, each with the name of its file (or none) and what it shows in words."""

    drawn: tuple[Markup, ...]
    pictures: tuple[tuple[str, str], ...] = ()
    checks: tuple[Checks, ...] = ()
    kind: ClassVar[str] = "figures"


@dataclass(frozen=True)
class Picture:
    """A figure that is not on the page: Markdown links to its file."""

    name: str
    alt: str
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix in percent; Markdown links to its file."""

    labels: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]
    picture: Picture
    kind: ClassVar[str] = "matrix"


@dataclass(frozen=True)
class Chips:
    """The arms, to be shown and hidden in all figures."""

    kind: ClassVar[str] = "chips"


@dataclass(frozen=True)
class Command:
    """What is to be typed, or the content of a file."""

    text: str
    kind: ClassVar[str] = "command"


@dataclass(frozen=True)
class Words:
    """The glossary."""

    rows: tuple[tuple[str, str, str], ...]
    kind: ClassVar[str] = "words"


@dataclass(frozen=True)
class Folded:
    """Blocks that show when asked for."""

    summary: str
    note: str
    blocks: tuple[Block, ...]
    key: str = ""
    kind: ClassVar[str] = "folded"


Block = Text | Checks | Table | Facts | Forest | Figures | Picture | Matrix | Chips | Command | Words | Folded


@dataclass(frozen=True)
class Section:
    """A question or a heading, the sentence that is its finding, and what it is found in. nav: its short name."""

    key: str
    nav: str
    heading: str
    take: Text
    blocks: tuple[Block, ...]
    aside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Effect:
    """The difference that the answer is about: written, with its interval and drawn."""

    value: Value
    measured: str
    confidence: str
    interval: str
    drawn: Markup
    note: str


@dataclass(frozen=True)
class Card:
    """A question beside the answer."""

    heading: str
    blocks: tuple[Block, ...]
    link: tuple[str, str] | None = None


@dataclass(frozen=True)
class Content:
    """A whole report.

    banner: what is not as it was planned. asked: the question, and in `about` of what. shape, tone: of the mark.
    """

    name: str
    banner: tuple[str, ...]
    asked: str
    about: str
    mark: str
    shape: str
    tone: str
    verdict: str
    lead: str
    effect: Effect | None
    cards: tuple[Card, ...]
    lines: tuple[Text, ...]
    sections: tuple[Section, ...]
    arms: tuple[str, ...]
    footer: str
    data: dict[str, Any] = field(default_factory=dict)
