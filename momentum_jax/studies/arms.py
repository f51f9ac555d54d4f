"""From the text of an arm, `"heavy_ball(0.01, 0.9)"`, to an optimizer: read from its syntax tree, never evaluated.

A constructor of the user's own is named with where it is: `"my_optimizers.py:my_momentum(0.01)"` (see `own`). Reading such an
expression does not import the file; `resolve` does.

An expression is one call; its arguments are literals (numbers, strings, booleans, None, tuples, lists, dicts) or
further calls. A bare name is looked up in this library (`heavy_ball`, and inside an argument the schedules too),
anything of Optax's is written `optax.NAME`. Names that begin with an underscore, other modules, operators and
attributes of results do not exist here.

A range to search (`log_uniform(0.001, 1)`, see `search`) may stand for a literal anywhere; `ranges` finds them and
`place` puts values in their places, so that what is run is always an expression of literals.

The real numbers among an arm's own arguments are kept apart as `numbers`, so that runs that differ in them alone
share one compiled program; all else (bools, strings, sizes, schedules and what is inside them) is structure.
"""

from __future__ import annotations

import ast
import difflib
import functools
import importlib
import inspect
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from momentum_jax._text import cut, quoted
from momentum_jax.studies.errors import StudyError
from momentum_jax.studies.search import RANGES, Range

_EXAMPLE = '"heavy_ball(0.01, 0.9)"'
# Of an expression: a network of a hundred layers, each with its own optimizer, has fewer.
MOST_CHARACTERS = 10_000


# A file of Python, or a module.
_PLACE = re.compile(r".*\.py|[^\W\d]\w*(\.[^\W\d]\w*)*")


def canonical(text: str) -> str:
    """The expression in its canonical spelling; raises `StudyError` where it is not one call of a name."""
    return _read(text).text


def origin(text: str) -> str:
    """Where an expression's function is, as it is written before the colon; empty for this library's and Optax's."""
    return _read(text).origin


def moved(text: str, origin: str) -> str:
    """The expression with its function in another place."""
    return f"{origin}:{call_text(text)}"


def call_text(text: str) -> str:
    """The expression without the place of its function."""
    return ast.unparse(_read(text).call)


def with_arguments(text: str, arguments: Mapping[str, Any]) -> str:
    """The expression with these keyword arguments, literals, beside or in the place of its own."""
    expression = _read(text)
    call = expression.call
    kept = [each for each in call.keywords if each.arg not in arguments]
    added = [ast.keyword(name, ast.parse(repr(value), mode="eval").body) for name, value in arguments.items()]
    made = ast.unparse(ast.Call(call.func, call.args, [*kept, *added]))
    return f"{expression.origin}:{made}" if expression.origin else made


def by_keywords(text: str, load: Load) -> str:
    """An expression of the user's own with every positional argument under its name, so that nobody need import it again to
    know what a range stands for. Raises `StudyError` as `resolve` does.
    """
    expression = _read(text)
    reader = _Reader(expression.text, expression.origin, load)
    function = reader.constructor(expression.call)
    parameters = inspect.signature(function).parameters.values()
    names = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    call = expression.call
    if len(call.args) > len(names) or any(each.kind is each.POSITIONAL_ONLY for each in parameters):
        return expression.text
    keywords = [ast.keyword(name, node) for name, node in zip(names, call.args, strict=False)]
    return moved(f"{expression.origin}:{ast.unparse(ast.Call(call.func, [], [*keywords, *call.keywords]))}", expression.origin)


def literals(text: str) -> tuple[str, str, list[Any], dict[str, Any]]:
    """Place, name and arguments of an expression whose arguments are all literals. Raises `StudyError` where one is not."""
    expression = _read(text)
    try:
        positional = [ast.literal_eval(each) for each in expression.call.args]
        keywords = {str(each.arg): ast.literal_eval(each.value) for each in expression.call.keywords}
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise StudyError(f"{quoted(text)}: arguments must be literals, such as {quoted('make(width=64)')}.") from None
    return expression.origin, ast.unparse(expression.call.func), positional, keywords


def split_label(text: str) -> tuple[str, str]:
    """`"LABEL=OPTIMIZER"` as (optimizer, label); the label is empty where the text is an optimizer alone."""
    head, equals, tail = text.partition("=")
    # An equals sign inside a call is that of a keyword argument.
    if not equals or head.count("(") != head.count(")"):
        return text, ""
    if not head.strip():
        raise StudyError(f"arm {quoted(text)}: the label before '=' is empty; write \"tuned=heavy_ball(0.01, 0.9)\".")
    return tail, head.strip()


def ranges(text: str) -> dict[str, Range]:
    """The ranges in an expression, by what each stands for: `momentum`, or `heavy_ball.momentum` inside a further call."""
    return dict(_read(text).ranges)


def middle(text: str) -> str:
    """The expression with the middle of each range in its place."""
    found = ranges(text)
    return place(text, {name: each.at(0.5) for name, each in found.items()}) if found else text


def check(text: str, load: Load | None = None) -> None:
    """Builds the optimizer of an expression, with the middle of each range in its place. Errors are those of `resolve`."""
    resolve(middle(text), load)


def place(text: str, values: Mapping[str, Any]) -> str:
    """The expression with literals in the places of its ranges, by the names that `ranges` gives them."""
    expression = _read(text)
    literals = {id(node): ast.parse(repr(values[name]), mode="eval").body for name, node, _ in expression.places}

    def placed(node: Any) -> Any:
        if id(node) in literals:
            return literals[id(node)]
        if isinstance(node, ast.AST):
            return type(node)(**{name: placed(value) for name, value in ast.iter_fields(node)})
        return [placed(each) for each in node] if isinstance(node, list) else node

    made = ast.unparse(placed(expression.call))
    return f"{expression.origin}:{made}" if expression.origin else made


def read_back(text: str, placed: str) -> dict[str, Any]:
    """The values that `place` put into an expression with ranges, by name, from what it made."""
    expression = _read(text)
    names = {id(node): name for name, node, _ in expression.places}
    values: dict[str, Any] = {}

    def look(pattern: ast.AST, found: ast.AST) -> None:
        if id(pattern) in names:
            values[names[id(pattern)]] = ast.literal_eval(found)
            return
        for one, other in zip(ast.iter_child_nodes(pattern), ast.iter_child_nodes(found), strict=True):
            look(one, other)

    look(expression.call, _read(placed).call)
    return values


@dataclass(frozen=True)
class _Expression:
    """An expression that was read: its canonical text, its syntax tree, which nobody changes, and what the two mean."""

    text: str
    call: ast.Call
    origin: str

    @functools.cached_property
    def places(self) -> list[tuple[str, ast.Call, Range]]:
        """Name, node and meaning of every range."""
        found = {node.id for node in ast.walk(self.call) if isinstance(node, ast.Name)}
        # Asked for every arm that is made: without a range the optimizers need not be imported to answer.
        return _Reader(self.text, self.origin).ranges(self.call) if found & RANGES.keys() else []

    @functools.cached_property
    def ranges(self) -> dict[str, Range]:
        return {name: found for name, _, found in self.places}

    @functools.cached_property
    def optimizer(self) -> Optimizer:
        return _resolve(self)


# A study asks for the meaning of the same texts at every turn: of as many as a large one tries, it is known.
@functools.lru_cache(maxsize=4096)
def _read(text: str) -> _Expression:
    head, _, _ = text.partition("(")
    place, _, name = head.rpartition(":")
    origin = place.strip()
    if not _PLACE.fullmatch(origin):
        origin, name = "", head
    call = _call(text, f"{name}{text[len(head) :]}")
    written = ast.unparse(call)
    if origin and not isinstance(call.func, ast.Name):
        raise StudyError(f"arm {quoted(text)}: write one name after {cut(origin)}: and its arguments.")
    return _Expression(f"{origin}:{written}" if origin else written, call, origin)


def _call(text: str, call: str) -> ast.Call:
    if len(text) > MOST_CHARACTERS:
        raise StudyError(
            f"arm {quoted(text)}: an expression must have at most {MOST_CHARACTERS:,} characters, got {len(text):,}."
        )
    try:
        tree = ast.parse(call.strip(), mode="eval").body
        ast.unparse(tree)  # Gives up, as the parser does, on what is nested too deeply.
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise StudyError(
            f"arm {quoted(text)}: not an expression ({cut(reason)}); write an optimizer such as {_EXAMPLE}."
        ) from None
    if isinstance(tree, ast.Name | ast.Attribute):
        raise StudyError(f"arm {quoted(text)}: give its arguments too, such as {_EXAMPLE}.")
    if not isinstance(tree, ast.Call):
        raise StudyError(f"arm {quoted(text)}: must be the call of an optimizer such as {_EXAMPLE}.")
    return tree


@dataclass(frozen=True)
class Optimizer:
    """An arm's optimizer, ready to build.

    `make(**numbers)` builds it, with Python numbers or with traced scalars in their place; `numbers` are its real
    hyperparameters by name and `group` is equal for two optimizers that differ in the values of `numbers` only.
    """

    text: str
    name: str
    make: Callable[..., Any]
    numbers: dict[str, float]
    group: tuple[str, ...]
    arguments: dict[str, Any]


# From the place and the name of a function of the user's own to the function.
Load = Callable[[str, str], Callable[..., Any]]


def resolve(text: str, load: Load | None = None) -> Optimizer:
    """The optimizer that an expression means, built once so that its constructor has checked its arguments.

    `load` finds functions of the user's own. Raises `StudyError`: unknown names with their nearest neighbours, wrong arguments
    with the right ones, and what the constructor itself says.
    """
    expression = _read(text)
    # A file of the user's may have changed since it was read.
    return _resolve(expression, load) if expression.origin else expression.optimizer


def _resolve(expression: _Expression, load: Load | None = None) -> Optimizer:
    text, call = expression.text, expression.call
    reader = _Reader(text, expression.origin, load)
    constructor = reader.constructor(call)
    bound = reader.bind(constructor, call)
    reader.build(constructor, bound, must_be_optimizer=True)
    numbers = _real_numbers(bound)

    def make(**values):
        arguments = inspect.BoundArguments(bound.signature, OrderedDict({**bound.arguments, **values}))
        return constructor(*arguments.args, **arguments.kwargs)

    structure = (f"{name}={value}" for name, value in reader.written(bound, call).items() if name not in numbers)
    group = (expression.origin, ast.unparse(call.func), *sorted(structure), *sorted(numbers))
    return Optimizer(text, ast.unparse(call.func), make, numbers, group, dict(bound.arguments))


def settle(optimizer: Optimizer, params: Any) -> Optimizer:
    """The optimizer as it can be trained on these parameters (arrays, or `jax.ShapeDtypeStruct`s), by a trial without data.

    Optax has optimizers that cannot be built from traced numbers; theirs become structure. Raises `StudyError` where the
    optimizer does not fit the parameters, or wants more than the trainer hands it (params, value, grad_fn).
    """
    import jax
    import jax.numpy as jnp
    import optax

    from momentum_jax.protocol import evaluation_params

    def once(numbers, params):
        built = optax.with_extra_args_support(optimizer.make(**numbers))
        updates, state = built.update(params, built.init(params), params, value=jnp.float32(1.0), grad_fn=lambda at: at)
        return updates, evaluation_params(params, state)

    traced = {name: jax.ShapeDtypeStruct((), jnp.float32) for name in optimizer.numbers}
    try:
        jax.eval_shape(once, traced, params)
        return optimizer
    except Exception:
        # Whatever it is, the trial with the numbers themselves says it.
        pass
    try:
        jax.eval_shape(lambda params: once(optimizer.numbers, params), params)
    except Exception as error:
        raise StudyError(f"arm {quoted(optimizer.text)} cannot train this problem: {_one_line(error)}") from error
    return replace(optimizer, make=functools.partial(optimizer.make, **optimizer.numbers), numbers={}, group=(optimizer.text,))


# Functions of the face that are links of a chain: alone they would climb.
_FILTERS = ("cautious_weight_decay", "grokfast")


def names() -> list[str]:
    """The optimizers of this library: the functions of `momentum_jax/optimizers` in its face, less the cores and parts."""
    import momentum_jax
    from momentum_jax import optimizers

    return sorted(
        name
        for name, value in vars(momentum_jax).items()
        if inspect.isfunction(value)
        and value.__module__.startswith(f"{optimizers.__name__}.")
        and not name.startswith(("scale_by_", "add_"))
    )


def _schedules() -> dict[str, Callable]:
    from momentum_jax import schedules

    return {
        name: value
        for name, value in vars(schedules).items()
        if inspect.isfunction(value) and not name.startswith("_") and value.__module__ == schedules.__name__
    }


def _real_numbers(bound: inspect.BoundArguments) -> dict[str, float]:
    """The arguments that vary without changing the program: floats, and ints given where a real number is meant."""
    numbers = {}
    for name, value in bound.arguments.items():
        parameter = bound.signature.parameters[name]
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            continue
        real = isinstance(parameter.default, float) or name == "learning_rate"
        if isinstance(value, float) or (real and isinstance(value, int) and not isinstance(value, bool)):
            numbers[name] = float(value)
    return numbers


class _Reader:
    """Reads one expression; keeps its text for the messages."""

    def __init__(self, text: str, origin: str = "", load: Load | None = None):
        self.text, self._origin, self._load = text, origin, load

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

    def ranges(self, call: ast.Call) -> list[tuple[str, ast.Call, Range]]:
        """Name, node and meaning of every range, from left to right."""
        found: list[tuple[str, ast.Call, Range]] = []

        def look(name: str, node: ast.expr) -> None:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RANGES:
                taken = [other for other, *_ in found]
                number = sum(other.split("#")[0] == name for other in taken)
                found.append((f"{name}#{number + 1}" if number else name, node, self.range(node)))
            elif isinstance(node, ast.Call):
                inside(node, f"{ast.unparse(node.func)}.", self.function(node.func))
            elif isinstance(node, ast.Tuple | ast.List):
                for index, item in enumerate(node.elts):
                    look(f"{name}[{index}]", item)
            elif isinstance(node, ast.Dict):
                for key, item in zip(node.keys, node.values, strict=True):
                    look(f"{name}[{ast.unparse(key) if key else '**'}]", item)

        def inside(node: ast.Call, prefix: str, function: Callable) -> None:
            parameters = list(inspect.signature(function).parameters.values())
            for index, argument in enumerate(node.args):
                parameter = parameters[index] if index < len(parameters) else None
                several = parameter is None or parameter.kind is parameter.VAR_POSITIONAL
                look(f"{prefix}{index if parameter is None or several else parameter.name}", argument)
            for keyword in node.keywords:
                look(f"{prefix}{keyword.arg}", keyword.value)

        if self._origin and self._load is None:
            for index, argument in enumerate(call.args):
                look(str(index), argument)
            for keyword in call.keywords:
                look(str(keyword.arg), keyword.value)
        else:
            inside(call, "", self.constructor(call))
        return found

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
            return signature.bind(*positional, **keywords)
        except TypeError as error:
            taken = [name for name, p in signature.parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
            unknown = next((name for name in keywords if name not in taken), None)
            close = difflib.get_close_matches(unknown, taken, 1) if unknown else []
            hint = f"; did you mean {close[0]}?" if close else "."
            takes = f"{ast.unparse(call.func)} takes {', '.join(taken) or 'no arguments'}{hint}"
            raise self.error(f"{cut(str(error))}; {takes}") from None

    def build(self, function: Callable, bound: inspect.BoundArguments, *, must_be_optimizer: bool = False) -> Any:
        import optax

        try:
            value = function(*bound.args, **bound.kwargs)
        except Exception as error:
            # Whatever a constructor raises, it raises at what the user wrote.
            raise self.error(_one_line(error)) from error
        if must_be_optimizer and not isinstance(value, optax.GradientTransformation):
            raise self.error(f"must make an optimizer, but {function.__name__} makes a {type(value).__name__}.")
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


def _one_line(error: BaseException) -> str:
    """The first line of what a library says, which may be long, and may quote what it was given."""
    return cut(next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__), 400)
