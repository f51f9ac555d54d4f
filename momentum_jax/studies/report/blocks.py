"""What a report is made of: sections of paragraphs, lists, tables and pictures, whatever they are set in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class Code(str):
    """Text that is set as it would be typed."""

    __slots__ = ()


class Words(str):
    """Text that may take several lines of its cell."""

    __slots__ = ()


@dataclass(frozen=True)
class Table:
    """Rows of cells under their headings; the first column names the row. Headings may all be empty."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Picture:
    """A figure by its name, and what it shows in words for those who cannot see it."""

    name: str
    alt: str
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True)
class Text:
    """A paragraph; one that warns stands out."""

    text: str
    warning: bool = False
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    items: tuple[str, ...]
    kind: ClassVar[str] = "points"


@dataclass(frozen=True)
class Folded:
    """Blocks that show when asked for."""

    summary: str
    blocks: tuple[Block, ...]
    kind: ClassVar[str] = "folded"


Block = Table | Picture | Text | Points | Folded


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Content:
    """A whole report."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]


def pictures(drawn: set[str], **alts: str) -> tuple[Picture, ...]:
    """Those that were drawn, each with what it shows."""
    return tuple(Picture(name, alt) for name, alt in alts.items() if name in drawn)
