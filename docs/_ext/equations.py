"""Equations that stand in docstrings as plain text, set as mathematics without a network.

Names of Greek letters become the letters, `_t` and `^2` become small, `sqrt` a root.
"""

import html
import re

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "rho": "ρ",
    "sigma": "σ", "tau": "τ", "phi": "φ", "omega": "ω",
}  # fmt: skip
_WORD = re.compile(rf"(?<![\w.])({'|'.join(GREEK)})(?=[\d_'^]|\b)(?!=)")
_SCRIPT = re.compile(r"([_^])(\{[^{}]*\}|\([^()]*\)|-?\d+|[a-z]+\b|\*)")
_SYMBOLS = (("<=", "≤"), (">=", "≥"), ("<-", "←"), ("->", "→"), (" - ", " − "))


def letters(text: str) -> str:
    """Greek letters and the signs of mathematics for their names."""
    text = _WORD.sub(lambda found: GREEK[found[1]], text)
    text = re.sub(r"\bsqrt\b ?", "√", text)
    for plain, sign in _SYMBOLS:
        text = text.replace(plain, sign)
    return text.replace("'", "′")


def as_html(text: str) -> str:
    """An equation with its lines and its columns."""
    lines = "\n".join(_scripts(html.escape(letters(line), quote=False), "<{0}>{1}</{0}>") for line in text.splitlines())
    return f'<div class="equation" role="math">{lines}</div>'


def in_text(text: str) -> str:
    """An equation within a sentence of reStructuredText."""
    text, pieces, last = letters(text), [], 0
    for found in _SCRIPT.finditer(text):
        pieces.append(_escaped(text[last : found.start()]))
        kind = "sub" if found[1] == "_" else "sup"
        pieces.append(f"\\ :{kind}:`{_inside(found[2])}`\\ ")
        last = found.end()
    pieces.append(_escaped(text[last:]))
    return "".join(pieces)


def _scripts(text: str, pattern: str) -> str:
    return _SCRIPT.sub(lambda found: pattern.format("sub" if found[1] == "_" else "sup", _inside(found[2])), text)


def _inside(script: str) -> str:
    return script[1:-1] if script.startswith("{") else script


def _escaped(text: str) -> str:
    return re.sub(r"([*|\\`])|_(?!\w)", lambda found: "\\" + found[0], text)
