"""An optimizer or a problem as it is written, `"heavy_ball(0.01, 0.9)"`: read once, where it comes in, and from there a value.

An expression is one call. A function of the user's own is named with where it is, `"my_optimizers.py:my_momentum(0.01)"` (see
`own`); reading does not import it. `reader` knows what names and arguments mean, and `resolve` makes an optimizer of them.

A range to search (`log_uniform(0.001, 1)`, see `search`) may stand for a literal anywhere. `ranges` finds them, and `place`
puts values in their places, so that only expressions of literals are run.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from momentum_jax._text import cut, quoted
from momentum_jax.studies.errors import StudyError
from momentum_jax.studies.reader import Load, Reader
from momentum_jax.studies.search import RANGES, Range

_EXAMPLE = '"heavy_ball(0.01, 0.9)"'
# Of an expression: a network of a hundred layers, each with its own optimizer, has fewer.
MOST_CHARACTERS = 10_000
# A file of Python, or a module.
_PLACE = re.compile(r".*\.py|[^\W\d]\w*(\.[^\W\d]\w*)*")

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class Expression:
    """One call, as a value: expressions of the same canonical text are equal. `Expression.read` makes it of text.

    text: in canonical spelling. origin: where its function is, as written before the colon. It is empty for this library's and
    Optax's. call: its syntax tree, which nobody changes.
    """

    text: str = field(init=False)
    origin: str = field(compare=False, repr=False)
    call: ast.Call = field(compare=False, repr=False)

    def __post_init__(self):
        object.__setattr__(self, "text", f"{self.origin}:{self.call_text}" if self.origin else self.call_text)

    @classmethod
    def read(cls, text: str | Expression) -> Expression:
        """The expression that a text is; one that was read already is itself.

        Raises:
          StudyError: the text is too long, or not one call of a name.

        Example: `Expression.read("heavy_ball(1e-2,.9)").text` is `"heavy_ball(0.01, 0.9)"`.
        """
        if isinstance(text, Expression):
            return text
        if len(text) > MOST_CHARACTERS:
            raise StudyError(
                f"arm {quoted(text)}: an expression must have at most {MOST_CHARACTERS:,} characters, got {len(text):,}."
            )
        head, _, _ = text.partition("(")
        place, _, name = head.rpartition(":")
        origin = place.strip()
        if not _PLACE.fullmatch(origin):
            origin, name = "", head
        try:
            call = ast.parse(f"{name}{text[len(head) :]}".strip(), mode="eval").body
            # Its text gives up, as the parser does, on what is nested too deeply.
            made = cls(origin, cast(ast.Call, call))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else str(error)
            raise StudyError(
                f"arm {quoted(text)}: not an expression ({cut(reason)}); write an optimizer such as {_EXAMPLE}."
            ) from None
        if isinstance(call, ast.Name | ast.Attribute):
            raise StudyError(f"arm {quoted(text)}: give its arguments too, such as {_EXAMPLE}.")
        if not isinstance(call, ast.Call):
            raise StudyError(f"arm {quoted(text)}: must be the call of an optimizer such as {_EXAMPLE}.")
        if origin and not isinstance(call.func, ast.Name):
            raise StudyError(f"arm {quoted(text)}: write one name after {cut(origin)}: and its arguments.")
        return made

    def __str__(self) -> str:
        return self.text

    @functools.cached_property
    def call_text(self) -> str:
        """The text without the place of the function."""
        return ast.unparse(self.call)

    @property
    def name(self) -> str:
        """The function's, as it is written."""
        return ast.unparse(self.call.func)

    @functools.cached_property
    def ranges(self) -> Mapping[str, Range]:
        """The ranges, by what each stands for: `momentum`, or `heavy_ball.momentum` inside a further call.

        Raises `StudyError` for a range that is none, and for a name that would say what it stands for and does not exist.
        """
        return {name: meaning for name, _, meaning in self._places}

    @functools.cached_property
    def middle(self) -> Expression:
        """The expression with the middle of each range in its place. Errors are those of `ranges`."""
        return self.place({name: each.at(0.5) for name, each in self.ranges.items()})

    def place(self, values: Mapping[str, Any]) -> Expression:
        """The expression with literals in the places of its ranges, by the names that `ranges` gives them."""
        if not self._places:
            return self
        literals = {id(node): _literal(values[name]) for name, node, _ in self._places}

        def placed(node: Any) -> Any:
            if id(node) in literals:
                return literals[id(node)]
            if isinstance(node, ast.AST):
                return type(node)(**{name: placed(value) for name, value in ast.iter_fields(node)})
            return [placed(each) for each in node] if isinstance(node, list) else node

        return replace(self, call=placed(self.call))

    def read_back(self, placed: Expression) -> dict[str, Any]:
        """The values that `place` put into this expression, by name, from what it made. ValueError: it did not make that."""
        names = {id(node): name for name, node, _ in self._places}
        values: dict[str, Any] = {}

        def look(pattern: ast.AST, found: ast.AST) -> None:
            if id(pattern) in names:
                values[names[id(pattern)]] = ast.literal_eval(found)
                return
            for one, other in zip(ast.iter_child_nodes(pattern), ast.iter_child_nodes(found), strict=True):
                look(one, other)

        look(self.call, placed.call)
        return values

    def moved(self, origin: str) -> Expression:
        """The expression with its function in another place."""
        return replace(self, origin=origin)

    def with_arguments(self, arguments: Mapping[str, Any]) -> Expression:
        """The expression with these keyword arguments, literals, beside or in the place of its own."""
        kept = [each for each in self.call.keywords if each.arg not in arguments]
        added = [ast.keyword(name, _literal(value)) for name, value in arguments.items()]
        return replace(self, call=ast.Call(self.call.func, self.call.args, [*kept, *added]))

    def by_keywords(self, load: Load) -> Expression:
        """One of the user's own with every positional argument under its name; any other as it is.

        Then nobody need import it again to know what a range stands for. Raises `StudyError` as `load` does.
        """
        if not self.origin:
            return self
        call, parameters = self.call, inspect.signature(load(self.origin, self.name)).parameters.values()
        names = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
        if len(call.args) > len(names) or any(each.kind is each.POSITIONAL_ONLY for each in parameters):
            return self
        keywords = [ast.keyword(name, node) for name, node in zip(names, call.args, strict=False)]
        return replace(self, call=ast.Call(call.func, [], [*keywords, *call.keywords]))

    def literals(self) -> tuple[list[Any], dict[str, Any]]:
        """The positional and the keyword arguments, where all are literals. Raises `StudyError` where one is not."""
        try:
            positional = [ast.literal_eval(each) for each in self.call.args]
            return positional, {str(each.arg): ast.literal_eval(each.value) for each in self.call.keywords}
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            raise StudyError(f"{quoted(self.text)}: arguments must be literals, such as 'make(width=64)'.") from None

    @functools.cached_property
    def _places(self) -> list[tuple[str, ast.Call, Range]]:
        """Name, node and meaning of every range, from left to right."""
        found: list[tuple[str, ast.Call, Range]] = []
        # Asked for every arm that is made: without a range the optimizers need not be imported to answer.
        if not {node.id for node in ast.walk(self.call) if isinstance(node, ast.Name)} & RANGES.keys():
            return found
        reader = Reader(self.text)

        def look(name: str, node: ast.expr) -> None:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RANGES:
                number = sum(other.split("#")[0] == name for other, *_ in found)
                found.append((f"{name}#{number + 1}" if number else name, node, reader.range(node)))
            elif isinstance(node, ast.Call):
                inside(node, f"{ast.unparse(node.func)}.", reader.function(node.func))
            elif isinstance(node, ast.Tuple | ast.List):
                for index, item in enumerate(node.elts):
                    look(f"{name}[{index}]", item)
            elif isinstance(node, ast.Dict):
                for key, item in zip(node.keys, node.values, strict=True):
                    look(f"{name}[{ast.unparse(key) if key else '**'}]", item)

        def inside(node: ast.Call, prefix: str, function: Callable[..., Any] | None) -> None:
            # Of a function of the user's own, which is not imported here, the positions stand for the names.
            parameters = inspect.signature(function).parameters.values() if function else ()
            named = [each.name for each in itertools.takewhile(lambda each: each.kind in _BY_POSITION, parameters)]
            for index, argument in enumerate(node.args):
                look(f"{prefix}{named[index] if index < len(named) else index}", argument)
            for keyword in node.keywords:
                look(f"{prefix}{keyword.arg}", keyword.value)

        inside(self.call, "", None if self.origin else reader.constructor(self.call))
        return found


def _literal(value: Any) -> ast.expr:
    """The syntax tree of a literal."""
    match value:
        case tuple():
            return ast.Tuple([_literal(each) for each in value], ast.Load())
        case list():
            return ast.List([_literal(each) for each in value], ast.Load())
        case dict():
            return ast.Dict([_literal(each) for each in value], [_literal(each) for each in value.values()])
    return ast.Constant(value)


def split_label(text: str) -> tuple[str, str]:
    """`"LABEL=OPTIMIZER"` as (optimizer, label); the label is empty where the text is an optimizer alone.

    A label may hold any characters: it ends at the last equals sign outside the expression that follows it.
    """
    for start in (0, *(found.end() for found in re.finditer("=", text))):
        try:
            found = Expression.read(text[start:])
        except StudyError:
            continue
        if "=" not in found.origin:
            return text[start:], _checked_label(text, start)
    # Neither: whoever reads the optimizer says why.
    head, equals, tail = text.partition("=")
    return (tail, _checked_label(text, len(head) + 1)) if equals and "(" not in head else (text, "")


def _checked_label(text: str, start: int) -> str:
    label = text[: max(0, start - 1)].strip()
    if start and not label:
        raise StudyError(f"arm {quoted(text)}: the label before '=' is empty; write \"tuned=heavy_ball(0.01, 0.9)\".")
    return label
