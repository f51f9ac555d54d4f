"""What the names and the arguments of an expression mean: read from its syntax tree, never evaluated.

A bare name is looked up in this library (`heavy_ball`, and inside an argument the schedules too); Optax's names are written
`optax.NAME`. Arguments are literals (numbers, strings, booleans, None, tuples, lists, dicts) or further calls. Names that begin
with an underscore, other modules, operators and attributes of results do not exist here.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from momentum_jax._text import cut, quoted, with_article
from momentum_jax.studies.errors import StudyError
from momentum_jax.studies.search import RANGES, Range

# From the place and the name of a function of the user's own to the function.
Load = Callable[[str, str], Callable[..., Any]]

# Functions of the face that are links of a chain: alone they would climb.
_FILTERS = ("cautious_weight_decay", "grokfast")
# Functions of the face whose update reads what no trainer hands it.
_PARTS = ("qk_clip",)


def names() -> list[str]:
    """The optimizers of this library: the functions of `momentum_jax/optimizers` in its face, less the cores and parts."""
    import momentum_jax
    from momentum_jax import optimizers

    return sorted(
        name
        for name in momentum_jax.__all__
        if inspect.isfunction(value := getattr(momentum_jax, name))
        and value.__module__.startswith(f"{optimizers.__name__}.")
        and not name.startswith(("scale_by_", "add_"))
        and name not in _PARTS
    )


def _schedules() -> dict[str, Callable]:
    from momentum_jax import schedules

    return {
        name: value
        for name, value in vars(schedules).items()
        if inspect.isfunction(value) and not name.startswith("_") and value.__module__ == schedules.__name__
    }


class Reader:
    """Reads one expression; keeps its text for the messages. `load` finds functions of the user's own.

    `axes` are the problem's. Every function that has an argument `axes` and was given none receives them, however deep its call
    stands. `gave_axes` tells whether one did.
    """

    def __init__(self, text: str, origin: str = "", load: Load | None = None, axes: Any = None):
        self.text, self._origin, self._load, self._axes = text, origin, load, axes
        self.gave_axes = False

    def error(self, what: str) -> StudyError:
        return StudyError(f"arm {quoted(self.text)}: {what}")

    def constructor(self, call: ast.Call) -> Callable:
        """The function that the outermost call names."""
        if self._origin and isinstance(call.func, ast.Name):
            if self._load is None:
                raise self.error(f"{cut(self._origin)} is not imported here; `run_study` imports it.")
            return self._load(self._origin, call.func.id)
        known = names()
        if isinstance(call.func, ast.Name) and call.func.id not in known:
            raise self.error(self._unknown("optimizer", call.func.id, known, "`momentum-jax optimizers` lists them"))
        if isinstance(call.func, ast.Name) and call.func.id in _FILTERS:
            raise self.error(f"{call.func.id} only filters gradients; write optax.chain({call.func.id}(...), sgd(0.1)).")
        return self.function(call.func, optimizer=True)

    def function(self, node: ast.expr, *, optimizer: bool = False) -> Callable:
        """What a name means; `optimizer`: not the schedule that shares it."""
        import momentum_jax

        path = list(_dotted(node))
        if not path:
            raise self.error(f"{cut(ast.unparse(node))} cannot be called here; only names of this library and optax.NAME can.")
        if path[0] == "momentum_jax":
            path, optimizer = path[1:], True
        if path[:1] == ["optax"] and len(path) > 1:
            return self._in_optax(path)
        schedules = _schedules()
        value = None
        if path[:1] == ["schedules"] and len(path) == 2:
            value = schedules.get(path[1])
        elif len(path) == 1 and not path[0].startswith("_"):
            value = getattr(momentum_jax, path[0], None)
            if not optimizer:
                value = schedules.get(path[0]) or value
        if inspect.isfunction(value):
            return value
        known = sorted({*names(), *schedules, *RANGES})
        raise self.error(self._unknown("name", ".".join(path), known, f"known names: {', '.join(known)}, optax.NAME"))

    def _in_optax(self, path: list[str]) -> Callable:
        value: Any = importlib.import_module("optax")
        for name in path[1:]:
            value = getattr(value, name, None) if inspect.ismodule(value) and not name.startswith("_") else None
            if inspect.ismodule(value) and not value.__name__.startswith("optax."):
                value = None
        if path == ["optax", "lookahead"]:
            from momentum_jax.training.lookahead import lookahead

            return lookahead
        if not callable(value):
            import optax

            known = [f"optax.{name}" for name in dir(optax) if callable(getattr(optax, name)) and name[0] != "_"]
            raise self.error(self._unknown("name", ".".join(path), known, "Optax has no public function of this name"))
        return value

    def _unknown(self, kind: str, name: str, known: list[str], otherwise: str) -> str:
        import optax

        close = difflib.get_close_matches(name, known, 3) or difflib.get_close_matches(name.split(".")[-1].lower(), known, 3)
        if "." not in name and callable(getattr(optax, name, None)):
            close = [f"optax.{name}", *close]
        return f"unknown {kind} {quoted(name)}; " + (f"did you mean {' or '.join(close)}?" if close else f"{otherwise}.")

    def bind(self, function: Callable, call: ast.Call) -> inspect.BoundArguments:
        if any(isinstance(arg, ast.Starred) for arg in call.args) or any(key.arg is None for key in call.keywords):
            raise self.error("* and ** cannot be used; write the arguments out.")
        given = [str(key.arg) for key in call.keywords]
        if repeated := [name for name, times in Counter(given).items() if times > 1]:
            raise self.error(f"the argument {cut(repeated[0])} is given twice.")
        positional = [self.value(arg) for arg in call.args]
        keywords = {str(key.arg): self.value(key.value) for key in call.keywords}
        signature = inspect.signature(function)
        try:
            bound = signature.bind(*positional, **keywords)
        except TypeError as error:
            taken = [name for name, p in signature.parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
            unknown = next((name for name in keywords if name not in taken), None)
            close = difflib.get_close_matches(unknown, taken, 1) if unknown else []
            hint = f"; did you mean {close[0]}?" if close else "."
            takes = f"{ast.unparse(call.func)} takes {', '.join(taken) or 'no arguments'}{hint}"
            raise self.error(f"{cut(str(error))}; {takes}") from None
        asks = "axes" in signature.parameters and signature.parameters["axes"].default is None
        if self._axes is not None and asks and bound.arguments.get("axes") is None:
            self.gave_axes = True
            bound.arguments["axes"] = self._axes
        return bound

    def build(self, function: Callable, bound: inspect.BoundArguments, *, must_be_optimizer: bool = False) -> Any:
        import optax

        try:
            value = function(*bound.args, **bound.kwargs)
        except Exception as error:
            # Whatever a constructor raises, it raises at what the user wrote.
            raise self.error(one_line(error)) from error
        if must_be_optimizer and not isinstance(value, optax.GradientTransformation):
            raise self.error(f"must make an optimizer, but {function.__name__} makes {with_article(type(value).__name__)}.")
        return value

    def value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None):
                return node.value
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=int() | float() as number)) if (
                not isinstance(number, bool)
            ):
                return -number if isinstance(sign, ast.USub) else number
            case ast.Tuple():
                return tuple(self.value(item) for item in node.elts)
            case ast.List():
                return [self.value(item) for item in node.elts]
            case ast.Dict():
                if None in node.keys:
                    raise self.error("** cannot be used; write the entries out.")
                return {self.value(key): self.value(item) for key, item in zip(node.keys, node.values, strict=True) if key}
            case ast.Call(func=ast.Name(id=name)) if name in RANGES:
                raise self.error(f"{name} is a range to search and no value; `momentum-jax study` tunes it.")
            case ast.Call():
                function = self.function(node.func)
                return self.build(function, self.bind(function, node))
        raise self.error(
            f"an argument must be a literal or a call of a schedule or an optimizer, got {cut(ast.unparse(node))}"
            + (f"; a string is written {quoted(node.id)}." if isinstance(node, ast.Name) else ".")
        )

    def range(self, call: ast.Call) -> Range:
        """What a call of `log_uniform` and its like means."""
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        for argument in (*call.args, *(keyword.value for keyword in call.keywords)):
            if made := next((node for node in ast.walk(argument) if isinstance(node, ast.Call)), None):
                got = cut(ast.unparse(made))
                raise self.error(f"{name} takes literals, got {got}; put the range inside it, or make two arms.")
        positional = [self.value(argument) for argument in call.args]
        keywords = {str(keyword.arg): self.value(keyword.value) for keyword in call.keywords}
        try:
            return RANGES[name](*positional, **keywords)
        except TypeError:
            takes = "literals, as in choice(True, False)" if name == "choice" else "low and high"
            raise self.error(f"{name} takes {takes}, got {cut(ast.unparse(call))}.") from None
        except StudyError as error:
            raise self.error(str(error)) from None

    def written(self, bound: inspect.BoundArguments, call: ast.Call) -> dict[str, str]:
        """Each argument as it is written, by the name of its parameter: what tells two structures apart."""
        texts = bound.signature.bind(
            *(ast.unparse(arg) for arg in call.args), **{str(key.arg): ast.unparse(key.value) for key in call.keywords}
        )
        return {name: str(value) for name, value in texts.arguments.items()}


def _dotted(node: ast.expr) -> Iterator[str]:
    """The names of `a.b.c` from left to right; nothing for any other expression."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        yield from (node.id, *reversed(parts))


def one_line(error: BaseException) -> str:
    """The first line of what a library says, which may be long, and may quote what it was given."""
    return cut(next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__), 400)
