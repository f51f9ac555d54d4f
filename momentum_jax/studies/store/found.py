"""What runs.jsonl holds, held against the study that the manifest describes: its own runs, damage, and runs of others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from momentum_jax._text import listed
from momentum_jax.studies.jobs import TUNING, strangers
from momentum_jax.studies.scores import Scores
from momentum_jax.studies.store.files import RUNS
from momentum_jax.studies.store.records import Line, Run, faults, read_lines
from momentum_jax.studies.study import Study


@dataclass(frozen=True)
class Found:
    """The lines of a study's own runs; a sentence on each that is damaged, and one on runs of others.

    `others` are the lines that are not its own, as they stand.
    """

    own: tuple[Line, ...]
    damage: tuple[str, ...]
    foreign: tuple[str, ...]
    others: bytes

    @classmethod
    def of(cls, directory: Path, study: Study, scores: Scores, environment: Mapping[str, Any]) -> Found:
        path = directory / RUNS
        lines = read_lines(path)
        strange = {id(run) for run in strangers(study, scores, environment, [line.run for line in lines.sound])}
        foreign = [line for line in lines.sound if id(line.run) in strange]
        known = [line for line in lines.sound if id(line.run) not in strange]
        wrong = {id(line): said for line in known if (said := faults(line.run, scores, images=study.problem is None))}
        damage = [
            f"{path} is damaged: run {line.run.name} is not a stored run ({wrong[id(line)]})."
            for line in known
            if id(line) in wrong
        ]
        own, odd, more = _of_one_size(path, [line for line in known if id(line) not in wrong])
        odd += [line for line in known if id(line) in wrong]
        others = lines.others + "".join(line.text for line in (*odd, *foreign)).encode()
        said = (f"{path} holds {not_of_this_study([line.run for line in foreign])}.",) if foreign else ()
        return cls(tuple(own), (*lines.damage, *damage, *more), said, others)


def not_of_this_study(runs: Sequence[Run]) -> str:
    """Counts and names them."""
    count = f"{len(runs)} runs that are" if len(runs) > 1 else "1 run that is"
    return f"{count} not of this study ({listed([run.name for run in runs])})"


def _of_one_size(path: Path, lines: Sequence[Line]) -> tuple[list[Line], list[Line], list[str]]:
    """The lines whose kept arrays have the shapes that most have, the others, and a sentence on each of these."""
    alike: dict[str, list[Line]] = {}
    for line in lines:
        if line.run.phase != TUNING:
            # Other arguments of the problem may give other shapes.
            alike.setdefault(repr(sorted(line.run.factors.items())), []).append(line)
    odd: list[Line] = []
    for each in alike.values():
        usual = Counter(_shapes(line.run) for line in each).most_common(1)[0][0]
        odd += [line for line in each if _shapes(line.run) != usual]
    damage = [f"{path} is damaged: the arrays of run {line.run.name} have not the shapes of the other runs'." for line in odd]
    strange = {id(line) for line in odd}
    return [line for line in lines if id(line) not in strange], odd, damage


def _shapes(run: Run) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((name, np.shape(value)) for name, value in sorted(run.test.items()))
