"""What an experiment of the sources is: what it reproduces, what they claim, at which settings, and how it is measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Value = float | tuple[float, ...]
Relation = Literal["equals", "at least", "at most"]


@dataclass(frozen=True)
class Claim:
    """What a source says of a measured quantity, checked whenever the experiment runs.

    Attributes:
      quantity: its name among those that the experiment measures.
      value: what the source gives: a number, or the coordinates of a point.
      tolerance: how far each number may be from it; 0 for counts and orders.
      source: document and figure or table, as "T4, table 11-2"; or the closed form that stands in the place of a source.
      relation: whether the quantity is claimed to equal the value, to be at least it, or at most.
      known_fault: why this claim of the source cannot hold, known before it is run; None: it should hold. What is true instead
        stands beside it as a claim of ours, which can fail.
      full_only: the claim is of the full size and not checked at the quick one.
      finding: the source says it in words and the measurement decides. Where it does not hold that is a finding, not a failure
        of the run.
      remark: what is worth knowing where the claim does not hold, said after the reason; None: nothing.
    """

    quantity: str
    value: Value
    tolerance: float
    source: str
    relation: Relation = "equals"
    known_fault: str | None = None
    full_only: bool = False
    finding: bool = False
    remark: str | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise ValueError(f"Claim: tolerance of {self.quantity!r} must be finite and at least 0, got {self.tolerance}.")
        if self.known_fault == "":
            raise ValueError(f"Claim: known_fault of {self.quantity!r} must be a reason or None, got ''.")


@dataclass(frozen=True)
class Surroundings:
    """Where an experiment runs.

    Attributes:
      directory: where it may leave files of its own (event files, stores), beside `result.json`; None: nowhere. It need not be
        there yet.
      data_directory: where data sets are; None: $MOMENTUM_JAX_DATA, else the cache, as `momentum_jax.data.load` has it.
    """

    directory: Path | None = None
    data_directory: Path | None = None


@dataclass(frozen=True)
class Table:
    """A table of a source, measured anew: printed after the claims, and kept in `result.json`."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | tuple[float, ...], ...], ...]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an experiment measured.

    Attributes:
      quantities: by name, all that is claimed of and whatever else is worth the keeping: numbers or points.
      data: what its figures draw, a frozen dataclass of arrays; no Matplotlib.
      tables: the tables that the source prints.
    """

    quantities: Mapping[str, Any]
    data: Any
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True, eq=False)
class Experiment:
    """One declaration of the textbook.

    Attributes:
      name: how it is asked for, and the name of its directory.
      title: what is to be seen, in a line.
      reproduces: figures and tables of the sources, each as "T4 figure 11-7"; "T2 listing" and the like where none is numbered;
        none of an experiment that no source has.
      claims: what the sources say, in the order of the printed table.
      full, quick: settings, frozen dataclasses of one type, at the size of the source and at one for a first look.
      measure: `measure(settings, surroundings)`; draws nothing and prints nothing.
      duration: about how long the full size takes, and the quick one, on two cores: "20 s, quick 2 s".
      datasets: those of `momentum_jax.data` that it needs.
    """

    name: str
    title: str
    reproduces: tuple[str, ...]
    claims: tuple[Claim, ...]
    full: Any
    quick: Any
    measure: Callable[[Any, Surroundings], Outcome]
    duration: str
    datasets: tuple[str, ...] = ()
