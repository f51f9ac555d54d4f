"""What every convention is: a frozen dataclass of named hyperparameters, with a way to and from the one-pole form."""

import dataclasses
import functools
import math
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, NamedTuple, get_args, get_origin, get_type_hints

from momentum_jax._hyperparameters import Interval, ScalarOrSchedule
from momentum_jax.conventions.one_pole import OnePole, Rule


class _Within(NamedTuple):
    """A rule for numbers that a half-open interval does not say."""

    text: str
    fits: Callable[[float], bool]

    def check(self, who: str, name: str, value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{who}: {name} must be {self.text}, got {value}.")
        value = Interval(-sys.float_info.max, math.inf).check(who, name, value)
        if isinstance(value, float) and not self.fits(value):
            raise ValueError(f"{who}: {name} must be {self.text}, got {value}.")
        return value


Real = Annotated[ScalarOrSchedule, _Within("finite", lambda x: True)]
AtLeastOne = Annotated[ScalarOrSchedule, _Within("finite and at least 1", lambda x: x >= 1)]
Share = Annotated[ScalarOrSchedule, _Within("in (0, 1]", lambda x: 0 < x <= 1)]
Dampening = Annotated[ScalarOrSchedule, _Within("finite and below 1", lambda x: x < 1)]
Fields = dict[str, Any]


@dataclasses.dataclass(frozen=True, repr=False)
class Convention:
    """Hyperparameters under the names of one framework or method.

    Attributes:
      note: what a translation does not reproduce at the start; empty where it is exact from the first step.
    """

    note: str = dataclasses.field(default="", kw_only=True, compare=False)
    rate: ClassVar[str] = "learning_rate"
    open: ClassVar[Mapping[str, float]] = MappingProxyType({})

    def __post_init__(self) -> None:
        for name, rule in _rules(type(self)).items():
            object.__setattr__(self, name, rule.check(type(self).__name__, name, getattr(self, name)))

    def __repr__(self) -> str:
        shown = {**self.hyperparameters(), **({"note": self.note} if self.note else {})}
        return f"{type(self).__name__}({', '.join(f'{name}={_show(value)}' for name, value in shown.items())})"

    def hyperparameters(self) -> Fields:
        """Name -> value, without the note."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "note"}

    def one_pole(self, h: Any, following: Any) -> OnePole:
        """The coefficients of a step, from the hyperparameters of that step and of the step after."""
        raise NotImplementedError

    @classmethod
    def read(cls, rule: Rule, **chosen: Any) -> Fields:
        """Name -> value or function of the step, of the hyperparameters that have these coefficients.

        Raises:
          ValueError: there are none.
        """
        raise NotImplementedError

    def start(self) -> str:
        """What its first steps have that its one-pole form has not."""
        return ""

    @classmethod
    def start_of(cls, fields: Fields) -> str:
        """The same of these hyperparameters as the result of a translation."""
        return cls(**fields).start()


@functools.cache
def _rules(form: type[Convention]) -> dict[str, Any]:
    hints = get_type_hints(form, include_extras=True)
    return {name: get_args(hint)[1] for name, hint in hints.items() if get_origin(hint) is Annotated}


def _show(value: Any) -> str:
    return "<schedule>" if callable(value) else repr(value)
