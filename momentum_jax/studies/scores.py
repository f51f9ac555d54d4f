"""The scores that judge the runs of a study: their names, which way is better, and how they are written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True)
class RankedScore:
    """A score by which runs are compared.

    name: as the problem has it. better: "higher" or "lower". worst: what a diverged run counts as; None: such a run has no
      score. percent: whether the score is a share, written in percent.
    """

    name: str
    better: Literal["higher", "lower"]
    worst: float | None = None
    percent: bool = False

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 where lower is: what turns a difference into a gain."""
        return 1 if self.better == "higher" else -1

    @property
    def factor(self) -> int:
        """What a value is multiplied by before it is written."""
        return 100 if self.percent else 1

    @property
    def unit(self) -> str:
        """Of a difference: " pp", percentage points, where the score is written in percent."""
        return " pp" if self.percent else ""

    @property
    def heading(self) -> str:
        """The name, with its unit where it has one."""
        return f"{self.name}, %" if self.percent else self.name

    @property
    def if_diverged(self) -> str:
        """What becomes of diverged runs, as a predicate of several."""
        return f"have no {self.name} and are left out" if self.worst is None else f"count with {self.name} {self.worst:g}"

    def form(self, *, signed: bool = False, error: bool = False) -> str:
        """The format of a value that has been multiplied by `factor`: of a difference its sign, of an error fewer digits."""
        return f"{'+' * signed}z.2f" if self.percent else f"{'+' * signed}.{2 if error else 4}g"

    def value(self, value: float) -> str:
        """A value as it is written: 97.25%, 0.4512."""
        if not math.isfinite(value):
            return "no score"
        return f"{self.factor * value:{self.form()}}" + "%" * self.percent

    def difference(self, value: float) -> str:
        """A difference as it is written, without its unit: +1.20, -0.03120."""
        return f"{self.factor * value:{self.form(signed=True)}}"

    def of(self, values: Mapping[str, Any], diverged: int | None) -> float:
        """The score of a run, given those that were measured: its worst value where the run diverged, NaN without one."""
        if diverged is None:
            return float(values[self.name])
        return math.nan if self.worst is None else self.worst


@dataclass(frozen=True)
class Scores:
    """All ranked scores of a study; the first is the primary one.

    tested: whether runs are measured on a test set of their own after the last step. Without data there is one measurement.
    """

    ranked: tuple[RankedScore, ...]
    tested: bool = True

    @property
    def primary(self) -> RankedScore:
        return self.ranked[0]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(score.name for score in self.ranked)

    @property
    def where(self) -> str:
        """What stands before the name of a final score: "test ", or nothing where there is no test set."""
        return "test " * self.tested

    def __getitem__(self, name: str) -> RankedScore:
        """Raises KeyError where no ranked score has that name."""
        found = next((score for score in self.ranked if score.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def led_by(self, name: str) -> Scores:
        """The same scores with that one as the primary. Raises KeyError where no ranked score has that name."""
        return replace(self, ranked=(self[name], *(each for each in self.ranked if each.name != name)))

    def to_dict(self) -> dict[str, Any]:
        """As JSON's types."""
        ranked = {each.name: {"better": each.better, "worst": each.worst, "percent": each.percent} for each in self.ranked}
        return {"ranked": ranked, "tested": self.tested}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Scores:
        """What `to_dict` made. Raises ValueError, TypeError, KeyError or AttributeError where it did not."""
        ranked = []
        for name, each in content["ranked"].items():
            worst = each["worst"]
            is_number = isinstance(worst, int | float) and not isinstance(worst, bool) and math.isfinite(worst)
            if each["better"] not in ("higher", "lower") or not (worst is None or is_number) or not is_name(name):
                raise ValueError("score")
            ranked.append(RankedScore(name, each["better"], worst, bool(each["percent"])))
        if not ranked:
            raise ValueError("no score")
        return cls(tuple(ranked), bool(content["tested"]))


def is_name(name: object) -> bool:
    """Whether a text can name a score: it stands in tables, figures and names of arrays."""
    return (
        isinstance(name, str)
        and name.isprintable()
        and 0 < len(name) <= 60
        and not {"/", "\\"} & {*name}
        and name.strip() == name
    )


# Of images with class labels; `training.classification` computes them.
IMAGES = Scores(
    (
        RankedScore("accuracy", "higher", worst=0.0, percent=True),
        RankedScore("loss", "lower"),
        RankedScore("mcc", "higher", worst=-1.0),
    )
)
