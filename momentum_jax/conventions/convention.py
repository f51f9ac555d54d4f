"""What every convention is: a frozen dataclass of named hyperparameters, with a way to and from the one-pole form."""

import abc
import dataclasses
import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, get_args, get_origin, get_type_hints

import jax
from jax.core import Tracer

from momentum_jax.conventions.one_pole import OnePole
from momentum_jax.conventions.rule import Rule

Fields = dict[str, Any]


@dataclasses.dataclass(frozen=True, repr=False)
class Convention(abc.ABC):
    """Hyperparameters under the names of one framework or method.

    Attributes:
      note: of the result of a translation: what it does not reproduce at the start, where a schedule leaves the range that its
        numbers have, and what was not looked at. Empty where there is nothing of that. Of a start under schedules, rates and
        gains are those of step t, the power is the product of the decays, and the rest is of step 0.
      rate: the hyperparameter that scales every step.
      open: hyperparameter that a translation leaves to the caller -> what it is by default.
      ahead: hyperparameters that an update reads at the step after its own.
    """

    note: str = dataclasses.field(default="", kw_only=True, compare=False)
    rate: ClassVar[str] = "learning_rate"
    open: ClassVar[Mapping[str, float]] = MappingProxyType({})
    ahead: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name, rule in rules(type(self)).items():
            value = rule.check(type(self).__name__, name, getattr(self, name))
            # Elsewhere the values of arrays are trusted. A translation computes with them: as numbers, not in their precision.
            if isinstance(value, jax.Array) and not isinstance(value, Tracer):
                value = rule.check(type(self).__name__, name, float(value))
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        shown = {**self.hyperparameters(), **({"note": self.note} if self.note else {})}
        return f"{type(self).__name__}({', '.join(f'{name}={_show(value)}' for name, value in shown.items())})"

    def hyperparameters(self) -> Fields:
        """Name -> value, without the note."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "note"}

    @abc.abstractmethod
    def one_pole(self, h: Any, following: Any) -> OnePole:
        """The coefficients of a step, from the hyperparameters of that step and of the step after."""

    @classmethod
    @abc.abstractmethod
    def read(cls, rule: Rule, **chosen: Any) -> Fields:
        """Name -> value or function of the step, of the hyperparameters that have these coefficients.

        Raises:
          ValueError: there are none.
        """

    def start(self) -> str:
        """What its first steps have that its one-pole form has not."""
        return ""


@functools.cache
def rules(form: type[Convention]) -> dict[str, Any]:
    """Hyperparameter -> what it may be."""
    hints = get_type_hints(form, include_extras=True)
    return {name: get_args(hint)[1] for name, hint in hints.items() if get_origin(hint) is Annotated}


def _show(value: Any) -> str:
    return "<schedule>" if callable(value) else repr(value)
