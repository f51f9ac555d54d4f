"""What a hyperparameter may be: the types that signatures are written in, and the check that they ask for.

A signature says what it allows, `@checked` holds callers to it when the optimizer is built:

    @checked
    def heavy_ball(learning_rate: LearningRate, momentum: Decay = 0.9, *, accumulator_dtype: DType = None): ...

Python and NumPy numbers are checked for their value; of JAX arrays, traced ones included, only dtype and shape are
known; of schedules, that each value they give is a real number. Numbers of fewer than 32 bits round 0.999 to 1: the decay of
an average is refused in them, any other number where its value is known to have become the border that is not allowed.
"""

import functools
import inspect
import math
import numbers
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple, ParamSpec, TypeVar, get_args, get_origin, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

from momentum_jax._text import quoted


class Interval(NamedTuple):
    """Allowed values of a real number: finite ones in [low, high), or [low, high]; and whether a schedule may stand for it.

    `above` leaves `low` itself out. `average`: the number is the decay of an average, which weighs what is new by 1 - decay.
    """

    low: float
    high: float
    schedule: bool = True
    closed: bool = False
    above: bool = False
    average: bool = False

    def __str__(self) -> str:
        if math.isinf(self.high):
            at_least = "above" if self.above else "at least"
            return "finite" if math.isinf(self.low) else f"finite and {at_least} {self.low:g}"
        return f"in {'(' if self.above else '['}{self.low:g}, {self.high:g}{']' if self.closed else ')'}"

    def allows(self, number: float) -> bool:
        within = self.low <= number < self.high or (self.closed and number == self.high)
        return math.isfinite(number) and within and not (self.above and number == self.low)

    def check(self, who: str, name: str, value: Any) -> Any:
        kinds = "a number, a 0-d array or a schedule" if self.schedule else "a number or a 0-d array"
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value[()]
        if isinstance(value, jax.Array):
            if not _is_real_scalar(value):
                raise TypeError(f"{who}: {name} must be {kinds}, got an array of {value.dtype}{list(value.shape)}.")
            self.refuse_rounded(who, name, value)
            return value
        if _is_number(value):
            self.refuse_rounded(who, name, value)
            try:
                number = float(value)
            except OverflowError:
                number = math.inf
            if not self.allows(number):
                raise ValueError(f"{who}: {name} must be {self}, got {value}.")
            return number
        if callable(value) and not isinstance(value, type) and self.schedule:
            return value
        raise TypeError(f"{who}: {name} must be {kinds}, got {_show(value)}.")

    def refuse_rounded(self, who: str, name: str, value: Any) -> None:
        """Refuse a value of fewer than 32 bits that has, or as the decay of an average may have, rounded to an open border.

        Of a traced value only the dtype is known.
        """
        dtype = getattr(value, "dtype", None)
        if dtype is None or not jnp.issubdtype(dtype, jnp.floating) or jnp.finfo(dtype).bits >= 32:
            return
        remedy = "With optax.inject_hyperparams pass hyperparam_dtype=jnp.float32."
        if self.average:
            raise TypeError(
                f"{who}: {name} must be at least 32 bits wide, got {dtype}; a decay of an average can round to 1. {remedy}"
            )
        if isinstance(value, Tracer):
            return
        number = float(value)
        if (number == self.high and not self.closed) or (number == self.low and self.above):
            raise ValueError(f"{who}: {name} must be {self}, got {value} in {dtype}. {remedy}")


class Flag:
    def check(self, who: str, name: str, value: Any) -> bool:
        if not isinstance(value, (bool, np.bool)):
            raise TypeError(f"{who}: {name} must be True or False, got {_show(value)}.")
        return bool(value)


class FloatingDType:
    """A floating dtype or None; a complex one stands for its precision, as a real one does on complex leaves."""

    def check(self, who: str, name: str, value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, jax.Array):
            raise TypeError(
                f"{who}: {name} must be a floating dtype or None, got an array; "
                f"optax.inject_hyperparams needs static_args={name!r}."
            )
        try:
            dtype = jnp.result_type(float) if value is float else jnp.dtype(value)
        except TypeError:
            raise TypeError(f"{who}: {name} must be a floating dtype or None, got {_show(value)}.") from None
        if not jnp.issubdtype(dtype, jnp.inexact):
            raise TypeError(f"{who}: {name} must be a floating dtype or None, got {dtype}.")
        if jnp.finfo(dtype).dtype == jnp.float64 and not jax.config.read("jax_enable_x64"):
            raise ValueError(f"{who}: {name} {dtype} needs 64-bit JAX: set jax_enable_x64.")
        return dtype


class Count(NamedTuple):
    """A whole number that is never traced: steps, sizes, lengths."""

    least: int = 1
    most: int | None = None

    def check(self, who: str, name: str, value: Any) -> int:
        if isinstance(value, jax.Array):
            raise TypeError(f"{who}: {name} must be an int, got an array; optax.inject_hyperparams needs static_args={name!r}.")
        if not isinstance(value, numbers.Integral) or isinstance(value, (bool, np.bool)):
            raise TypeError(f"{who}: {name} must be an int, got {_show(value)}.")
        number = int(value)
        if number < self.least:
            raise ValueError(f"{who}: {name} must be at least {self.least}, got {value}.")
        if self.most is not None and number > self.most:
            raise ValueError(f"{who}: {name} must be at most {self.most}, got {value}.")
        return number


class Choice(NamedTuple):
    """One of some words."""

    words: tuple[str, ...]

    def check(self, who: str, name: str, value: Any) -> str:
        allowed = f"{', '.join(map(repr, self.words[:-1]))} or {self.words[-1]!r}"
        if not isinstance(value, str):
            raise TypeError(f"{who}: {name} must be {allowed}, got {_show(value)}.")
        if value not in self.words:
            raise ValueError(f"{who}: {name} must be {allowed}, got {value!r}.")
        return value


class NullOr(NamedTuple):
    """`None`, or what the other rule allows."""

    rule: Interval | Count | Choice

    def check(self, who: str, name: str, value: Any) -> Any:
        return None if value is None else self.rule.check(who, name, value)


class WordOr(NamedTuple):
    """One word, or what the other rule allows."""

    word: str
    rule: Interval

    def check(self, who: str, name: str, value: Any) -> Any:
        if not isinstance(value, str):
            return self.rule.check(who, name, value)
        if value != self.word:
            raise ValueError(f"{who}: {name} must be {self.word!r}, a number, a 0-d array or a schedule, got {value!r}.")
        return value


class Pair(NamedTuple):
    """A tuple or list of two numbers, each of which the rule of one allows."""

    rule: Interval

    def check(self, who: str, name: str, value: Any) -> tuple[Any, Any]:
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            raise TypeError(f"{who}: {name} must be a pair of numbers, got {_show(value)}.")
        first, second = (self.rule.check(who, f"{name}[{i}]", v) for i, v in enumerate(value))
        return first, second


class Several(NamedTuple):
    """A tuple or list of numbers, or an array of one axis: each is what the rule of one allows, and there is at least one."""

    rule: Interval

    def check(self, who: str, name: str, value: Any) -> tuple[Any, ...]:
        if isinstance(value, (np.ndarray, jax.Array)) and value.ndim == 1:
            value = tuple(value)
        if not isinstance(value, (tuple, list)):
            raise TypeError(f"{who}: {name} must be a tuple of numbers, 0-d arrays or schedules, got {_show(value)}.")
        if not value:
            raise ValueError(f"{who}: {name} must hold at least one number, got none.")
        return tuple(self.rule.check(who, f"{name}[{i}]", v) for i, v in enumerate(value))


# The counters in states are int32, and stay at its largest.
LAST_STEP = 2**31 - 1

Scalar = float | jax.Array
ScalarOrSchedule = optax.ScalarOrSchedule
NonNegative = Annotated[ScalarOrSchedule, Interval(0, math.inf)]
LearningRate = NonNegative
Positive = Annotated[ScalarOrSchedule, Interval(0, math.inf, above=True)]
OneOrMore = Annotated[ScalarOrSchedule, Interval(1, math.inf)]
Decay = Annotated[ScalarOrSchedule, Interval(0, 1)]
AverageDecay = Annotated[ScalarOrSchedule, Interval(0, 1, average=True)]
Decays = Annotated[Sequence[ScalarOrSchedule] | np.ndarray | jax.Array, Several(Interval(0, 1))]
Share = Annotated[ScalarOrSchedule, Interval(0, 1, closed=True)]
PositiveShare = Annotated[ScalarOrSchedule, Interval(0, 1, closed=True, above=True)]
Real = Annotated[ScalarOrSchedule, Interval(-math.inf, math.inf)]
OptionalDecay = Annotated[ScalarOrSchedule | None, NullOr(Interval(0, 1))]
NonNegativeNumber = Annotated[Scalar, Interval(0, math.inf, schedule=False)]
DecayNumber = Annotated[Scalar, Interval(0, 1, schedule=False)]
AverageDecayNumber = Annotated[Scalar, Interval(0, 1, schedule=False, average=True)]
AtLeastOne = Annotated[int, Count(1)]
AtLeastZero = Annotated[int, Count(0)]
Steps = Annotated[int, Count(1, LAST_STEP)]
StepsOrZero = Annotated[int, Count(0, LAST_STEP)]
StepsOrNone = Annotated[int | None, NullOr(Count(1, LAST_STEP))]
Bool = Annotated[bool, Flag()]
DType = Annotated[Any, FloatingDType()]

P = ParamSpec("P")
R = TypeVar("R")


def checked(build: Callable[P, R]) -> Callable[P, R]:
    """Hold the arguments of an optimizer to the types of its signature, when it is built.

    Raises (from the wrapped function):
      ValueError: a number outside its interval, NaN and infinity included.
      TypeError: a value of the wrong type; a bool is a wrong type for a number.
    """
    signature = inspect.signature(build)
    rules = {
        name: next(a for a in get_args(hint)[1:] if hasattr(a, "check"))
        for name, hint in get_type_hints(build, include_extras=True).items()
        if get_origin(hint) is Annotated
    }
    who = getattr(build, "__name__", repr(build))

    @functools.wraps(build)
    def checked_build(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{who}: {error}; its arguments are {bare(signature)}.") from None
        bound.apply_defaults()
        for name, rule in rules.items():
            bound.arguments[name] = held(who, name, rule, rule.check(who, name, bound.arguments[name]))
        return build(*bound.args, **bound.kwargs)

    checked_build.__signature__ = shown(signature)  # pyright: ignore[reportAttributeAccessIssue]
    return checked_build


class _Word(NamedTuple):
    """A type as `help` writes it."""

    text: str

    def __repr__(self) -> str:
        return self.text


def shown(signature: inspect.Signature) -> inspect.Signature:
    """`(learning_rate: ScalarOrSchedule, momentum: ScalarOrSchedule = 0.9)`: the rules of the types would bury the rest."""
    parameters = [p.replace(annotation=_word(p.annotation)) for p in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=_word(signature.return_annotation))


def _word(hint: Any) -> Any:
    """A type without its rule and without the modules that it comes from."""
    if hint is inspect.Parameter.empty or isinstance(hint, str):
        return hint
    if hint == DType:
        return _Word("DType | None")
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    scalar, parts = get_args(ScalarOrSchedule), get_args(hint)
    if all(each in parts for each in scalar):
        others = [str(_word(each)).replace("NoneType", "None") for each in parts if each not in scalar]
        return _Word(" | ".join(["ScalarOrSchedule", *others]))
    text = str(hint) if parts else inspect.formatannotation(hint)
    return _Word(re.sub(r"[\w.]*\.(\w+)", r"\1", text.replace(str(ScalarOrSchedule), "ScalarOrSchedule")))


def bare(signature: inspect.Signature) -> inspect.Signature:
    """`(learning_rate, momentum=0.9)`: names and defaults without the types."""
    return inspect.Signature([p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()])


class Schedule:
    """A schedule that says what is wrong where it gives no real number, or too short a one: for whom, and which argument."""

    def __init__(self, who: str, name: str, rule: Interval, schedule: Callable[[Any], Any]) -> None:
        self.who, self.name, self.rule, self.schedule = who, name, rule, schedule

    def __call__(self, step: Any) -> Any:
        value = self.schedule(step)
        if not isinstance(value, jax.Array) and hasattr(value, "__jax_array__"):
            # As of an `nnx.Variable`.
            value = value.__jax_array__()
        is_array = isinstance(value, (jax.Array, np.ndarray))
        if not (_is_real_scalar(value) if is_array else _is_number(value)):
            found = f"an array of {value.dtype}{list(value.shape)}" if is_array else _show(value)
            raise TypeError(f"{self.who}: the schedule of {self.name} must return a real number or a 0-d array, got {found}.")
        self.rule.refuse_rounded(self.who, f"the schedule of {self.name}", value)
        return value


def held(who: str, name: str, rule: Any, value: Any) -> Any:
    """A checked hyperparameter, its schedules held to its rule; within an optimizer the outermost constructor is named."""
    if isinstance(value, tuple):
        return tuple(held(who, f"{name}[{i}]", rule.rule, each) for i, each in enumerate(value))
    rule = rule.rule if isinstance(rule, (NullOr, WordOr)) else rule
    if not isinstance(rule, Interval) or not callable(value) or isinstance(value, Schedule):
        return value
    return Schedule(who, name, rule, value)


def is_zero(value: Any) -> bool:
    """Whether a hyperparameter is the plain number 0: arrays and schedules may be anything."""
    return isinstance(value, float) and value == 0.0


def value_at(hyperparameter: Any, step: jax.Array) -> Any:
    """The hyperparameter at this step: a schedule is called, a number or an array is itself."""
    return hyperparameter(step) if callable(hyperparameter) else hyperparameter


def _is_number(value: Any) -> bool:
    if isinstance(value, (bool, np.bool)):
        return False
    # ml_dtypes' bfloat16 scalars are NumPy numbers that Python's numeric tower does not know.
    narrow = isinstance(value, np.generic) and jnp.issubdtype(value.dtype, jnp.floating)
    return narrow or isinstance(value, numbers.Real)


def _is_real_scalar(array: Any) -> bool:
    return array.shape == () and (jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer))


def _show(value: Any) -> str:
    return f"{quoted(value)} ({type(value).__name__})"
