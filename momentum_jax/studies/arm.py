"""One contestant of a study: an optimizer, its label, and what else is its own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from momentum_jax.studies import own
from momentum_jax.studies.errors import fail, known_fields, require_whole
from momentum_jax.studies.expression import MOST_CHARACTERS, Expression
from momentum_jax.studies.search import Range, as_text

# What the trainer takes.
MOST_STEPS = 100_000_000
# What an arm may have of its own in every study.
BUDGET = ("batch", "steps")
_OWN = ("optimizer", "label")


@dataclass(frozen=True)
class Arm:
    """One contestant: an optimizer as it is written in Python, and the label that stands for it in tables and figures.

    `optimizer` is kept in canonical spelling (`"heavy_ball(1e-2,.9)"` becomes `"heavy_ball(0.01, 0.9)"`); without a
    label it is the label. A range in the place of an argument (`"heavy_ball(log_uniform(0.001, 1), 0.9)"`) is tuned; see
    `search`. A constructor of one's own is named with its file, `"my_optimizers.py:my_momentum(0.01)"`, or its module; in
    Python `Arm.of` takes the constructor itself.

    `factors` are what differs between arms besides the optimizer, in TOML further keys of the arm: `batch`, `steps`, and
    arguments of the study's `problem`. `{ optimizer = "sgd(0.1)", batch = 512, width = 64 }` has three.
    """

    optimizer: str
    label: str = ""
    factors: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self):
        if not isinstance(self.optimizer, str | Expression):
            raise fail("Arm", "optimizer", 'a call such as "heavy_ball(0.01, 0.9)"', self.optimizer)
        if not isinstance(self.label, str) or not self.label.isprintable() or len(self.label) > MOST_CHARACTERS:
            raise fail("Arm", "label", f"one line of printable text, at most {MOST_CHARACTERS:,} characters", self.label)
        object.__setattr__(self, "optimizer", self.expression.text)
        object.__setattr__(self, "factors", _checked_factors(self.factors))
        object.__setattr__(self, "label", self.label.strip() or self._short_label())

    @classmethod
    def of(
        cls, constructor: Callable[..., Any], *, label: str = "", factors: Mapping[str, Any] | None = None, **arguments: Any
    ) -> Arm:
        """The arm of a constructor that returns an Optax optimizer, of any name or none.

        Args:
          constructor: known by its name, with a number where a different one has that name already.
          label, factors: as in `Arm`.
          arguments: of the constructor: literals, or ranges such as `LogUniform(0.001, 1)`, which are tuned.

        Raises:
          StudyError: the constructor cannot be called, or an argument is neither.

        Example: `Arm.of(my_momentum, learning_rate=LogUniform(0.001, 1), momentum=0.9)`.
        """
        if not callable(constructor):
            raise fail("Arm.of", "constructor", "a function that returns an optimizer", constructor)
        place = own.given(own.name_of(constructor), constructor)
        written = (f"{name}={as_text('Arm.of', name, value)}" for name, value in arguments.items())
        return cls(f"{place}({', '.join(written)})", label, factors or {})

    @functools.cached_property
    def expression(self) -> Expression:
        """The optimizer as a value; it is read when the arm is made."""
        return Expression.read(self.optimizer)

    def _short_label(self) -> str:
        # An expression with ranges is no name: the constructor's own is.
        name = f"{self.expression.name}, tuned" if self.ranges else self.expression.call_text
        return name + "".join(f", {name} {'all' if value is None else value}" for name, value in self.factors.items())

    @property
    def ranges(self) -> Mapping[str, Range]:
        """What is tuned, by the name of its parameter."""
        return self.expression.ranges


def arm_of(content: object, *, of_problem: bool) -> Arm:
    """The arm that TOML or JSON describes, by its optimizer alone or in a table; keys beside its own are factors."""
    given: Any = {"optimizer": content} if isinstance(content, str | Expression) else content
    names = [*given] if isinstance(given, Mapping) else []
    factors = {str(name): given[name] for name in names if name in BUDGET or (of_problem and name not in _OWN)}
    own = {name: given[name] for name in names if name not in factors} if factors else given
    return Arm(**known_fields(Arm, "Study.arms", own, required=_OWN[:1], less=("factors",), more=BUDGET), factors=factors)


def _checked_factors(factors: object) -> dict[str, Any]:
    if not isinstance(factors, Mapping):
        raise fail("Arm", "factors", "values by name, such as {'batch': 512}", factors)
    checked = {}
    for name, value in factors.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise fail("Arm", "the name of a factor", "batch, steps or an argument of the problem", name)
        if name == "batch" and value in ("all", None):
            checked[name] = None
            continue
        if name in BUDGET:
            require_whole("Arm", name, value, 1)
            if name == "steps" and value > MOST_STEPS:
                raise fail("Arm", name, f"at most {MOST_STEPS:,}", value)
        elif not isinstance(value, bool | int | float | str):
            raise fail("Arm", name, "a number, a text, true or false", value)
        checked[name] = value
    return checked
