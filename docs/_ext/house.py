"""What the pages need beside Sphinx: docstrings, sections of optimizers, notebooks.

A docstring is plain text, with equations set off by indentation and code in backticks.
Here it becomes reStructuredText. `Args:`, `Returns:` and `Raises:` are napoleon's.
"""

import ast
import re
import textwrap
from collections.abc import Callable
from typing import Any

from equations import as_html, in_text
from sphinx.application import Sphinx

import momentum_jax

_LABEL = re.compile(
    r"\A(Convention|State|Memory|Needs|Range|Sharp edge|Stable|Source|Example|Raises"
    r"|Equivalent form|See also)\b"
)
_FIELD = re.compile(r"[a-z]\w*(, [a-z]\w*)*: ")
_OPTIMIZERS = "momentum_jax.optimizers."
_SECTION = re.compile(r"(Args|Returns|Raises):$")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", _rewrite, priority=100)
    app.connect("autodoc-skip-member", _skip)
    app.connect("source-read", _add_files)
    app.connect("source-read", _link_notebooks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _rewrite(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    equations = what in ("module", "function") and name.startswith(_OPTIMIZERS)
    lines[:] = as_rst("\n".join(lines), equations).split("\n")


def as_rst(text: str, equations: bool = False) -> str:
    """A docstring as reStructuredText, its equations as mathematics if they are."""
    plain = in_text if equations else _escaped
    paragraphs = []
    in_section = False
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        if not paragraph.startswith(" "):
            in_section = bool(_SECTION.match(paragraph.partition("\n")[0]))
        if paragraph.startswith("Attributes:\n"):
            paragraph = textwrap.dedent(paragraph.partition("\n")[2])
        if in_section:
            # Napoleon reads its names, which are those of the code.
            paragraphs.append(_inline(paragraph, _escaped))
        elif paragraph.startswith("    ") or re.search(r"\S {3,}\S", paragraph):
            paragraphs.append(_set_off(paragraph, equations))
        elif _FIELD.match(paragraph) and not _LABEL.match(paragraph):
            paragraphs.append(_fields(paragraph, plain))
        else:
            paragraphs.extend(_labelled(paragraph.split("\n"), plain))
    return "\n\n".join(paragraphs) + "\n"


def _set_off(paragraph: str, equations: bool) -> str:
    """Python in its colours, equations as mathematics or as they are."""
    text = textwrap.dedent(paragraph)
    if text.startswith(">>> "):
        return ".. code-block:: pycon\n\n" + textwrap.indent(text, "    ")
    try:
        ast.parse(text)
    except SyntaxError:
        if equations:
            return ".. raw:: html\n\n" + textwrap.indent(as_html(text), "    ")
        language = "text"
    else:
        language = "python"
    return f".. code-block:: {language}\n\n" + textwrap.indent(paragraph, "    ")


def _fields(paragraph: str, plain: Callable[[str], str]) -> str:
    """A list of `name: what it is`, whose further lines are indented."""
    lines = []
    for line in _inline(paragraph, plain).split("\n"):
        name, colon, what = line.partition(": ")
        lines.append(f"- **{name}**{colon}{what}" if not line.startswith(" ") else line)
    return "\n".join(lines)


def _labelled(lines: list[str], plain: Callable[[str], str]) -> list[str]:
    """Paragraphs: each line that begins with a label begins one."""
    parts: list[list[str]] = [[]]
    for line in lines:
        if _LABEL.match(line) and parts[-1]:
            parts.append([])
        parts[-1].append(line)
    return [
        _LABEL.sub(r"**\1**", _inline("\n".join(part), plain), count=1)
        for part in parts
    ]


def _inline(text: str, plain: Callable[[str], str]) -> str:
    """Code in double backticks; outside of it no character has a meaning of its own."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return plain(text.replace("`", "'"))
    return "``".join(
        part if place % 2 else plain(part) for place, part in enumerate(parts)
    )


def _escaped(text: str) -> str:
    return re.sub(r"([*|\\])|_(?!\w)", lambda found: "\\" + found[0], text)


def _skip(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leaves out fields that tell their number, and optimizers' parts without a name.

    Those parts are states, which the docstring of their file describes.
    """
    is_field = str(getattr(obj, "__doc__", "")).startswith("Alias for field number")
    is_of_optimizers = getattr(obj, "__module__", "").startswith(_OPTIMIZERS)
    is_part = is_of_optimizers and not hasattr(momentum_jax, name.rpartition(".")[2])
    return True if is_field or is_part else None


_FILE = """
## {name}

```{{eval-rst}}
.. automodule:: momentum_jax.{room}.{name}
   :members: {members}
```
"""


def _add_files(app: Sphinx, docname: str, source: list[str]) -> None:
    """The page of problems has a section for each file."""
    folder, _, room = docname.partition("/")
    if folder == "api" and room == "problems":
        files = (app.srcdir.parent / "momentum_jax" / room).glob("[!_]*.py")
        for name in sorted(file.stem for file in files):
            source[0] += _FILE.format(name=name, room=room, members=name)


def _link_notebooks(app: Sphinx, docname: str, source: list[str]) -> None:
    """A link to a notebook's file leads to its page.

    The pages stand behind a symbolic link, which MyST would follow.
    """
    source[0] = re.sub(
        r"\[([^\]]*)\]\(\.\./notebooks/(\w+)\.ipynb\)",
        r"{doc}`\1 </notebooks/\2>`",
        source[0],
    )
