"""A report as a page that opens offline, and as Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from momentum_jax.report.blocks import (
    Block,
    Checks,
    Chips,
    Code,
    Command,
    Content,
    Facts,
    Figures,
    Folded,
    Forest,
    Matrix,
    Picture,
    Table,
    Text,
    Value,
    Words,
)
from momentum_jax.studies.wording import WORDS

PAGE, MARKDOWN, NUMBERS, FIGURES = "report.html", "report.md", "report.json", "figures"

# Characters that turn the direction of what follows them: a label could rewrite the sentence around it.
_TURNS = {code: f"\\u{code:04x}" for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}
# Words that are read from the right: without an isolation of their own they take numbers beside them along.
_FROM_THE_RIGHT = re.compile(r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]+(?:\s+[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]+)*")
# A matrix's cells have so many shades.
_SHADES = 9


def html(said: Content) -> str:
    """The page: one file, complete without its script."""
    # Not an import for those who only train.
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    from momentum_jax.figures import page

    loader = PackageLoader("momentum_jax.report", package_path="")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.tests["code"] = lambda cell: isinstance(cell, Code)
    environment.tests["value"] = lambda cell: isinstance(cell, Value)
    words = _Words()
    environment.globals |= {
        "begin": words.begin,
        "plain": words.plain,
        "sentence": words.sentence,
        "result": _result,
        "text": _isolated,
        "key": page.key,
        "shade": lambda share: min(_SHADES, round(_SHADES * (share / 100) ** 0.5)),
    }
    data = embedded(said.data)
    style, script = Markup(asset("page.css")), Markup(asset("page.js", "theme.js"))
    text = environment.get_template("page.html.jinja").render(report=said, style=style, script=script, data=Markup(data))
    return text.translate(_TURNS) + "\n"


def embedded(data: Any) -> str:
    """JSON for a script element: nothing is escaped there, and a tag would end it."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def asset(*names: str) -> str:
    """The text of files beside this one, one after another."""
    return "\n".join((files("momentum_jax.report") / name).read_text(encoding="utf-8").strip() for name in names)


def _result(value: Value) -> Any:
    from markupsafe import Markup

    return Markup('<a class="v" href="#runs" data-src="{}">{}</a>').format(value.source, value.text)


def _isolated(text: str) -> Any:
    from markupsafe import Markup, escape

    return Markup(_FROM_THE_RIGHT.sub(lambda words: f"<bdi>{words[0]}</bdi>", str(escape(text))))


class _Words:
    """Sentences in which the first occurrence of each word that is explained leads to its explanation."""

    def __init__(self) -> None:
        spellings = {spelling: name for name, word in WORDS.items() for spelling in word.spellings}
        longest_first = sorted(map(re.escape, spellings), key=len, reverse=True)
        self._names = spellings
        self._pattern = re.compile(rf"(?<![\w-])({'|'.join(longest_first)})(?![\w-])", re.IGNORECASE)
        self._seen: set[str] = set()

    def begin(self) -> str:
        """A new section: every word may be explained again."""
        self._seen = set()
        return ""

    def sentence(self, said: Text) -> Any:
        """A text with the sources of its results."""
        from markupsafe import Markup

        parts: list[Any] = [said.text]
        for value in said.values:
            for index, part in enumerate(parts):
                before, found, after = ("", "", "") if isinstance(part, Markup) else part.partition(value.text)
                if found:
                    parts[index : index + 1] = [before, _result(value), after]
                    break
        return Markup("").join(part if isinstance(part, Markup) else self.plain(part) for part in parts)

    def plain(self, text: str) -> Any:
        from markupsafe import Markup

        made, end = Markup(""), 0
        for match in self._pattern.finditer(text):
            name = self._names[match[0].lower()]
            if name not in self._seen:
                self._seen.add(name)
                link = Markup('<a class="w" href="#w-{0}" data-def="{0}">{1}</a>').format(name, match[0])
                made += _isolated(text[end : match.start()]) + link
                end = match.end()
        return made + _isolated(text[end:])


def markdown(said: Content, drawn: Collection[str] = ()) -> str:
    """The same for GitHub. Pictures are links; `drawn`: the names of those that there are."""
    lines = [f"# {_escaped(said.asked)}", "", _escaped(said.about), ""]
    for each in said.banner:
        lines += [f"> **Note:** {_escaped(each)}", ""]
    lines += [f"## {_escaped(said.mark)}", "", f"**{_escaped(said.verdict)}**", ""]
    lines += [line for each in (said.lead,) if each for line in (_escaped(each), "")]
    if said.effect is not None:
        shown = f"{said.effect.value} {said.effect.measured}"
        within = f", {said.effect.confidence} interval {said.effect.interval}" if said.effect.interval else ""
        lines += [_escaped(f"{shown}{within}."), ""]
    for card in said.cards:
        lines += [f"### {_escaped(card.heading)}", "", *(line for block in card.blocks for line in _block(block, drawn))]
    lines += [*(f"- {_escaped(each.text)}" for each in said.lines), ""]
    for section in said.sections:
        lines += [f"## {_escaped(section.heading)}", ""]
        lines += [line for each in (section.take.text, *section.aside) if each for line in (_escaped(each), "")]
        for block in section.blocks:
            lines += _block(block, drawn)
    lines += [_escaped(said.footer)]
    return ("\n".join(lines).rstrip() + "\n").translate(_TURNS)


def _block(block: Block, drawn: Collection[str]) -> list[str]:
    match block:
        case Text(text):
            return [_escaped(text), ""] if text else []
        case Checks(items):
            signs = {"yes": "✓", "no": "○", "look": "⚠"}
            said = (f"{each.said.text}{': ' * bool(each.detail)}{each.detail}" for each in items)
            return [*(f"- {signs[each.state]} {_escaped(text)}" for each, text in zip(items, said, strict=True)), ""]
        case Picture(name, alt):
            return _picture(name, alt, drawn)
        case Matrix():
            return _picture(block.picture.name, block.picture.alt, drawn)
        case Figures():
            links = [line for each in block.pictures for line in _picture(*each, drawn)]
            return links + [line for each in block.checks for line in _block(each, drawn)]
        case Forest(rows, _, alt, picture):
            table = Table(("", "", "", ""), tuple((row.label, row.detail, row.value, row.note) for row in rows))
            return [*_picture(picture, f"{alt}.", drawn), *_block(table, drawn)]
        case Chips():
            return []
        case Command(text):
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
            return [fence, text, fence, ""]
        case Facts(rows):
            return _block(Table(("", ""), rows), drawn)
        case Words(rows):
            return [*(f"- **{_escaped(term)}**: {_escaped(meaning)}" for _, term, meaning in rows), ""]
        case Folded(summary, note, blocks):
            inner = [line for each in blocks for line in _block(each, drawn)]
            # GitHub looks for mathematics in HTML too.
            title = escape(f"{summary} ({note})").replace("$", "&#36;")
            return ["<details>", f"<summary>{title}</summary>", "", *inner, "</details>", ""]
        case Table(headings, rows, caption):
            width = len(rows[0]) if rows else len(headings)
            first = _row(headings or [""] * width)
            lines = [first, _row(["---"] * width, raw=True), *map(_row, rows), ""]
            return [*lines, _escaped(caption), ""] if caption else lines


def _picture(name: str, alt: str, drawn: Collection[str]) -> list[str]:
    return [f"![{_escaped(alt)}]({FIGURES}/{name}.png)", ""] if name in drawn else []


def _row(cells: Sequence[Any], *, raw: bool = False) -> str:
    return f"| {' | '.join(cell if raw else _cell(cell) for cell in cells)} |"


def _cell(cell: str | Value) -> str:
    if not isinstance(cell, Code):
        return _escaped(str(cell))
    # A fence longer than any run of backticks inside; a bar would end the cell even in code.
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", cell)), default=0))
    space = " " * (len(fence) > 1)
    return f"{fence}{space}{cell}{space}{fence}".replace("|", "\\|") if cell else ""


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|~$&])", r"\\\1", text)
