"""What goes between the coordinator and a worker: an order as plain JSON, an answer as JSON beside an archive of curves."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from momentum_jax.studies.expression import Expression
from momentum_jax.studies.jobs import Job
from momentum_jax.studies.store import Curves, Run
from momentum_jax.studies.store.records import Line, digest_of, loads


class Garbled(ValueError):
    """An answer that is not as a worker sent it."""


@dataclass(frozen=True)
class Order:
    """One chunk of jobs, with all that a worker needs to know.

    study: as `Study.to_dict`. files: the user's, as `sent_files.gathered`. data_directory: where data sets lie, if it is there.
    environment, canary: those of the coordinator, and whether a worker of another canary may work. jobs: of one budget and one
    problem, as `told` makes them. log_hyperparameters: as of `run_study`.
    """

    study: dict[str, Any]
    files: dict[str, dict[str, str]]
    data_directory: str | None
    environment: dict[str, Any]
    canary: str
    any_bits: bool
    jobs: list[dict[str, Any]]
    log_hyperparameters: bool = False

    @property
    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> Order:
        return cls(**json.loads(text))

    def for_jobs(self, jobs: Sequence[Job]) -> Order:
        return replace(
            self, jobs=[{**vars(job), "expression": job.expression.text, "factors": dict(job.factors)} for job in jobs]
        )

    def read_jobs(self) -> list[Job]:
        return [Job(**{**job, "expression": Expression.read(job["expression"])}) for job in self.jobs]


@dataclass(frozen=True)
class Answer:
    """What came of a chunk.

    host: the worker's name. canary: its own. rows: of the runs that were made. seconds: by what they went into. refused: why
    nothing was trained; empty where all was. notes: what an error of the user's carries.
    """

    host: str
    canary: str = ""
    rows: tuple[tuple[Run, Curves], ...] = ()
    seconds: Mapping[str, float] | None = None
    refused: str = ""
    notes: tuple[str, ...] = ()

    def pack(self) -> tuple[str, bytes]:
        lines = [Line(run, digest_of(curves)).text for run, curves in self.rows]
        archive = io.BytesIO()
        arrays = {f"{row}/{name}": each for row, (_, curves) in enumerate(self.rows) for name, each in curves.arrays().items()}
        np.savez(archive, **arrays)  # pyright: ignore[reportArgumentType]
        content = {**vars(self), "rows": lines, "seconds": dict(self.seconds or {})}
        return json.dumps(content), archive.getvalue()

    @classmethod
    def unpack(cls, packed: Any) -> Answer:
        """The answer of what `pack` made. Raises `Garbled`: rows or curves do not agree with their checksums, or are none."""
        try:
            text, archive = packed
            content = loads(text)
            rows = []
            with np.load(io.BytesIO(archive), allow_pickle=False) as arrays:
                for row, text in enumerate(content["rows"]):
                    own = {name.partition("/")[2]: arrays[name] for name in arrays.files if name.partition("/")[0] == str(row)}
                    line, curves = Line.of(text), Curves.of(own)
                    if digest_of(curves) != line.arrays:
                        raise Garbled(f"the curves of run {line.run.name} do not agree with their checksum")
                    rows.append((line.run, curves))
            return cls(**{**content, "rows": tuple(rows), "notes": tuple(content["notes"])})
        except Garbled:
            raise
        except Exception as error:
            # Whatever reads it trips over something else.
            raise Garbled(f"an answer cannot be read ({type(error).__name__}: {error})") from error
