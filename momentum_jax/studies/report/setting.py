"""A report as a page that opens offline, and as Markdown."""

import re
from collections.abc import Mapping, Sequence
from html import escape

from momentum_jax.studies.report.blocks import Block, Code, Content, Folded, Picture, Points, Table, Text, Words

PAGE, MARKDOWN, NUMBERS, FIGURES = "report.html", "report.md", "report.json", "figures"


def html(said: Content, pictures: Mapping[str, str]) -> str:
    """The page; text is escaped, pictures are not."""
    # Not an import for those who only train.
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    loader = PackageLoader("momentum_jax.studies.report", package_path="")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.tests["code"] = lambda cell: isinstance(cell, Code)
    environment.tests["words"] = lambda cell: isinstance(cell, Words)
    template = environment.get_template("page.html.jinja")
    return template.render(report=said, pictures={name: Markup(svg) for name, svg in pictures.items()}) + "\n"


def markdown(said: Content) -> str:
    """The same for GitHub; pictures are links."""
    lines = [f"# {_escaped(said.title)}", "", _escaped(said.subtitle), ""]
    for section in said.sections:
        lines += [f"## {_escaped(section.heading)}", ""]
        for block in section.blocks:
            lines += _block(block)
    return "\n".join(lines).rstrip() + "\n"


def _block(block: Block) -> list[str]:
    match block:
        case Text(text, warning):
            return [("> **Note:** " if warning else "") + _escaped(text), ""]
        case Points(items):
            return [*(f"- {_escaped(item)}" for item in items), ""]
        case Picture(name, alt):
            return [f"![{_escaped(alt)}]({FIGURES}/{name}.png)", ""]
        case Folded(summary, blocks):
            inner = [line for each in blocks for line in _block(each)]
            return ["<details>", f"<summary>{escape(summary)}</summary>", "", *inner, "</details>", ""]
        case Table(headings, rows, caption):
            lines = [_row(headings), _row(["---"] * len(headings), raw=True), *map(_row, rows), ""]
            return [*lines, _escaped(caption), ""] if caption else lines


def _row(cells: Sequence[str], *, raw: bool = False) -> str:
    return f"| {' | '.join(cell if raw else _cell(cell) for cell in cells)} |"


def _cell(cell: str) -> str:
    if not isinstance(cell, Code):
        return _escaped(cell)
    # A fence longer than any run of backticks inside; a bar would end the cell even in code.
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", cell)), default=0))
    space = " " * (len(fence) > 1)
    return f"{fence}{space}{cell}{space}{fence}".replace("|", "\\|")


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|~$&])", r"\\\1", text)
