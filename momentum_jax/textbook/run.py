"""Running an experiment: measure, hold every claim against what was measured, write `result.json`."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from momentum_jax.textbook.experiment import Claim, Experiment, Outcome, Surroundings, Value

RESULT = "result.json"

Size = Literal["full", "quick"]
Status = Literal["holds", "does not hold", "known fault", "not confirmed", "not checked"]


@dataclass(frozen=True)
class Verdict:
    """A claim beside what was measured.

    Attributes:
      claim: what the source says.
      ours: what was measured.
      status: "known fault" is a claim that does not hold and was declared so; "not confirmed" a `finding` that does not hold;
        "not checked" one of another size. What was measured as NaN "does not hold".
      reason: why it does not hold, or was not checked; "" of one that holds.
    """

    claim: Claim
    ours: Value
    status: Status
    reason: str

    @property
    def acceptable(self) -> bool:
        """Whether the run may count as a success: anything but a claim that does not hold and should."""
        return self.status != "does not hold"


@dataclass(frozen=True, eq=False)
class Result:
    """A run of an experiment: its verdicts in the order of the claims, what it measured, and the data of its figures."""

    experiment: Experiment
    size: Size
    verdicts: tuple[Verdict, ...]
    outcome: Outcome
    seconds: float

    @property
    def data(self) -> Any:
        """What the figures draw."""
        return self.outcome.data

    @property
    def settings(self) -> Any:
        return getattr(self.experiment, self.size)

    @property
    def ok(self) -> bool:
        """Whether every claim that was checked holds, is a known fault of its source, or is a finding."""
        return all(verdict.acceptable for verdict in self.verdicts)

    def as_dict(self) -> dict[str, Any]:
        """What `result.json` holds: plain JSON, numbers that are not finite as "nan", "inf" or "-inf"."""
        return {
            "experiment": self.experiment.name,
            "title": self.experiment.title,
            "reproduces": list(self.experiment.reproduces),
            "size": self.size,
            "settings": _settings(self.settings),
            "seconds": self.seconds,
            "ok": self.ok,
            "claims": [
                {
                    "quantity": verdict.claim.quantity,
                    "published": _plain(verdict.claim.value),
                    "relation": verdict.claim.relation,
                    "tolerance": verdict.claim.tolerance,
                    "ours": _plain(verdict.ours),
                    "holds": None if verdict.status == "not checked" else verdict.status == "holds",
                    "status": verdict.status,
                    "reason": verdict.reason,
                    "source": verdict.claim.source,
                }
                for verdict in self.verdicts
            ],
            "quantities": {name: _plain(value) for name, value in self.outcome.quantities.items()},
            "tables": [_plain(dataclasses.asdict(table)) for table in self.outcome.tables],
            "versions": {name: version(name) for name in ("momentum_jax", "jax", "numpy")},
        }


def _settings(settings: Any) -> dict[str, Any]:
    content, study = _plain(dataclasses.asdict(settings)), getattr(settings, "study", None)
    # In the form that `Study.from_dict` reads.
    return content if study is None else {**content, "study": study.to_dict()}


def run(
    experiment: Experiment,
    directory: str | Path | None = None,
    *,
    quick: bool = False,
    data_directory: str | Path | None = None,
) -> Result:
    """Run one experiment and check its claims. Its figures are drawn from the result by `momentum_jax.figures.textbook`.

    Args:
      experiment: one of `EXPERIMENTS`, or one's own.
      directory: where `result.json` is written, and what files the experiment leaves beside it; None: nothing is written.
      quick: at the size for a first look.
      data_directory: as in `momentum_jax.data.load`.

    Raises:
      ValueError: the experiment did not measure what it has a claim about.
      momentum_jax.data.DataError: a data set is missing.
    """
    size: Size = "quick" if quick else "full"
    directory = None if directory is None else Path(directory)
    surroundings = Surroundings(directory, None if data_directory is None else Path(data_directory))
    began = time.perf_counter()
    outcome = experiment.measure(getattr(experiment, size), surroundings)
    seconds = time.perf_counter() - began
    for claim in experiment.claims:
        if claim.quantity not in outcome.quantities:
            raise ValueError(f"run: {experiment.name} must measure {claim.quantity!r}, of which it has a claim.")
    verdicts = tuple(check(claim, outcome.quantities[claim.quantity], size=size) for claim in experiment.claims)
    result = Result(experiment, size, verdicts, outcome, seconds)
    if directory is not None:
        # Only now: where data are missing no directory is left behind.
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(result.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        (directory / RESULT).write_text(text + "\n", encoding="utf-8")
    return result


def check(claim: Claim, measured: Any, *, size: Size = "full") -> Verdict:
    """Hold a claim against the number or point that was measured at that size. What is not a number holds nowhere.

    Raises:
      ValueError: a number where a point is claimed, or the other way round.
    """
    ours = np.asarray(measured, np.float64)
    published = np.asarray(claim.value, np.float64)
    if ours.shape != published.shape:
        raise ValueError(f"check: {claim.quantity!r} must be of shape {published.shape}, as is claimed, got {ours.shape}.")
    value: Value = tuple(map(float, ours)) if ours.ndim else float(ours)
    if claim.full_only and size != "full":
        return Verdict(claim, value, "not checked", "the quick size does not test it")
    excess = {
        "equals": np.abs(ours - published),
        "at least": published - ours,
        "at most": ours - published,
    }[claim.relation]
    if np.all(excess <= claim.tolerance):
        return Verdict(claim, value, "holds", "")
    if np.isnan(ours).any():
        return Verdict(claim, value, "does not hold", "nothing was measured: not a number")
    if claim.known_fault is not None:
        return Verdict(claim, value, "known fault", claim.known_fault)
    reason = f"off by {np.max(excess):.3g}, allowed are {claim.tolerance:.3g}"
    reason = reason if claim.remark is None else f"{reason}; {claim.remark}"
    return Verdict(claim, value, "not confirmed" if claim.finding else "does not hold", reason)


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | bool):
        return value
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
