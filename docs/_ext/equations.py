"""Equations that stand in docstrings as plain text, shown without a network.

Names of Greek letters become the letters, `_t` and `^2` become small, `sqrt` a root.
"""

import html
import re
from collections.abc import Callable

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε",
    "zeta": "ζ", "eta": "η", "theta": "θ", "kappa": "κ", "lambda": "λ",
    "mu": "μ", "nu": "ν", "xi": "ξ", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "phi": "φ", "psi": "ψ", "omega": "ω",
}  # fmt: skip
_WORD = re.compile(rf"(?<![\w.])({'|'.join(GREEK)})(?=[\d_'^]|\b)(?!=)")
# A word of several letters is a name: its underline makes nothing small.
_SCRIPT = re.compile(
    r"(?<![A-Za-z]{2})([_^])(\{[^{}]*\}|\([^()]*\)|-?\d+|[A-Za-z]+\b(?!_)|\*)"
    r"|(?<=[\w)])(\^)(\{[^{}]*\}|\([^()]*\)|-?\d+|[A-Za-z]+\b)"
)
_SYMBOLS = (("<=", "≤"), (">=", "≥"), ("<-", "←"), ("->", "→"), (" - ", " − "))


def letters(text: str) -> str:
    """Greek letters and the signs of mathematics for their names."""
    text = _WORD.sub(lambda found: GREEK[found[1]], text)
    text = re.sub(r"\bsqrt\b ?", "√", text)
    text = re.sub(r"\b([a-z])(\d)\b", r"\1_\2", text)
    for plain, sign in _SYMBOLS:
        text = text.replace(plain, sign)
    # After a word of several letters it is an apostrophe.
    return re.sub(r"(?<![A-Za-z]{2})'", "′", text)


def as_html(text: str) -> str:
    """An equation with its lines and its columns, code in backticks."""
    lines = "\n".join(
        re.sub(
            r"`([^`]*)`",
            r"<code>\1</code>",
            _scripted(html.escape(letters(line), quote=False), str, "<{0}>{1}</{0}>"),
        )
        for line in text.splitlines()
    )
    return f'<div class="equation" role="math">{lines}</div>'


def in_text(text: str) -> str:
    """An equation within a sentence of reStructuredText."""
    return _scripted(letters(text), _escaped, "\\ :{0}:`{1}`\\ ")


def _scripted(text: str, plain: Callable[[str], str], pattern: str) -> str:
    """The text with its small parts in the pattern, the rest as `plain` makes it."""
    pieces, last = [], 0
    for found in _SCRIPT.finditer(text):
        sign, script = found[1] or found[3], found[2] or found[4]
        script = script[1:-1] if script.startswith("{") else script
        pieces += [
            plain(text[last : found.start()]),
            pattern.format("sub" if sign == "_" else "sup", script),
        ]
        last = found.end()
    return "".join([*pieces, plain(text[last:])])


def _escaped(text: str) -> str:
    return re.sub(r"([*|\\`])|_(?!\w)", lambda found: "\\" + found[0], text)
