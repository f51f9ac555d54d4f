"""What a prediction says of a study, as plain data; and at which shares of the budget it is held against training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from momentum_jax.studies.errors import fail

_MOST_SHARES = 20


@dataclass(frozen=True)
class PredictionAt:
    """The shares of the budget at which a study's linear arms are measured beside what was predicted, for its first seed.

    Each takes a training of that length of every linear arm, and 40 products with the Hessian. Example, in TOML:
    `[prediction]` with `at = [0, 0.1, 0.5]`.
    """

    at: tuple[float, ...] = (0.0, 0.1, 0.5)

    def __post_init__(self) -> None:
        allowed = f"increasing shares of the budget in [0, 1], at most {_MOST_SHARES}, such as 0, 0.1, 0.5"
        at: Any = self.at
        numbers = isinstance(at, tuple) and all(isinstance(x, int | float) and not isinstance(x, bool) for x in at)
        if not numbers or not 1 <= len(at) <= _MOST_SHARES or list(at) != sorted({*at}) or not 0 <= at[0] <= at[-1] <= 1:
            raise fail("Study.prediction", "at", allowed, at)
        object.__setattr__(self, "at", tuple(map(float, at)))


@dataclass(frozen=True)
class PredictedArm:
    """What is said of one arm: `theory.ArmPrediction` without its decrease, which is no prediction of a net.

    optimizer: the expression, of an arm with ranges the trial that is best by prediction; None: none can be compared.
    place: in the order, from 1; arms that are no different share it. None: it is not in the order.
    stable_trials: how many trials of an arm with ranges are stable, and of how many; stable_rates: their least and largest
    learning rate, where that is what is searched.
    steps, sharpness: where in its training the largest curvature was measured, and what it was (None: the run had diverged).
    """

    label: str
    optimizer: str | None
    limit: float | None
    ratio: float | None
    is_stable: bool | None
    rate: float | None
    noise_floor: int | None
    place: int | None
    refusal: str | None
    stable_trials: tuple[int, int] | None = None
    stable_rates: tuple[float, float] | None = None
    steps: tuple[int, ...] = ()
    sharpness: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class StudyPrediction:
    """What is said of a study's arms at the parameters of one seed.

    steps: the budget, the longest of the arms. sharpness: the largest curvature there. rows, training_rows, noise, noise_error:
    as in `QuadraticModel`. ties, refusal: as in `theory.Prediction`. at: shares of the budget at which arms were measured.
    """

    steps: int
    seed: int
    rows: int
    training_rows: int
    sharpness: float
    noise: float | None
    noise_error: float | None
    arms: tuple[PredictedArm, ...]
    ties: str
    refusal: str | None
    at: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON's types; infinite numbers are the text "inf"."""
        return _plain(asdict(self))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> StudyPrediction:
        """What `to_dict` made. Raises TypeError, ValueError, KeyError or AttributeError where it is something else."""
        made = cls(**{name: _tuple(value) for name, value in content.items() if name != "arms"}, arms=())
        arms = (PredictedArm(**{name: _tuple(value) for name, value in arm.items()}) for arm in content["arms"])
        return _typed(dataclasses.replace(made, arms=tuple(map(_typed, arms))))


# Of each field what JSON has for it, None apart.
_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("label", "optimizer", "refusal", "ties"), (str,)),
    **dict.fromkeys(("limit", "ratio", "rate", "sharpness", "noise", "noise_error"), (float, int)),
    **dict.fromkeys(("seed", "rows", "training_rows", "noise_floor", "place"), (int,)),
    "is_stable": (bool,),
}


def _typed(found: Any) -> Any:
    """The object itself. Raises TypeError where a field has a value of another kind."""
    for field in dataclasses.fields(found):
        value = getattr(found, field.name)
        if isinstance(value, tuple):
            right = field.name == "arms" or all(x is None or isinstance(x, int | float) for x in value)
        else:
            right = value is None or isinstance(value, _KINDS.get(field.name, (int,)))
        if not right or (isinstance(value, str) and not value.isprintable()):
            raise TypeError(f"{type(found).__name__}: {field.name} must not be {value!r}.")
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _tuple(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_tuple, value))
    return float(value) if value in ("inf", "-inf") else value
