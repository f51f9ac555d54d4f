"""The words that messages share: what came is quoted, but never at a length that hides what is said of it."""

import re
import reprlib
from collections.abc import Sequence
from typing import Any

# Of what came, in characters: enough to find the mistake in it.
MOST = 80


def cut(text: str, most: int = MOST) -> str:
    """The text on one line, cut to at most so many characters, of which the last three then are dots."""
    line = re.sub(r"\s*[\r\n]\s*", " ", text)
    return line if len(line) <= most else f"{line[: most - 3]}..."


def cut_path(path: object, most: int = MOST) -> str:
    """A path on one line, cut to its last characters: its name is at the end."""
    line = re.sub(r"\s*[\r\n]\s*", " ", str(path))
    return line if len(line) <= most else f"...{line[3 - most :]}"


def quoted(value: Any, most: int = MOST) -> str:
    """`repr` of a value, cut; of an array its kind and shape; also of those whose `repr` is long, or fails."""
    try:
        text = _Brief().repr(value)
    except Exception:
        # Objects may do anything when they are looked at.
        text = type(value).__name__
    return cut(text, most)


def listed(names: Sequence[str], most: int = 3) -> str:
    """The first of some names, with dots for the others."""
    return ", ".join([cut(name) for name in names[:most]] + ["..."] * (len(names) > most))


def joined(names: Sequence[str]) -> str:
    """`"a"`, `"a and b"`, `"a, b and c"`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def numbered(names: Sequence[str]) -> tuple[str, ...]:
    """Names that differ: those that stand several times are counted, `"a[0]"`, `"a[1]"`."""
    return tuple(f"{name}[{names[:i].count(name)}]" if names.count(name) > 1 else name for i, name in enumerate(names))


def with_article(noun: str) -> str:
    """`"an int"`, `"a list"`. No vowel is heard at the beginning of `"uint8"`."""
    return f"an {noun}" if noun[:1].lower() in {*"aeio"} else f"a {noun}"


class _Brief(reprlib.Repr):
    """Looks at no more of a value than a message has room for."""

    def __init__(self):
        super().__init__()
        self.maxstring = self.maxlong = self.maxother = MOST
        self.maxtuple = self.maxlist = self.maxdict = self.maxset = MOST // 3

    def repr1(self, x: Any, level: int) -> str:
        if getattr(x, "shape", ()) and hasattr(x, "dtype"):
            return f"{x.dtype}[{', '.join(map(str, x.shape))}]"
        return super().repr1(x, level)

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write out integers of more than 4,300 digits.
        long = x.bit_length() > 10_000
        return f"int of about {int(x.bit_length() * 0.30103) + 1:,} digits" if long else super().repr_int(x, level)
