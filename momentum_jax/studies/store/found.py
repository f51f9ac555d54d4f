"""What runs.jsonl holds, held against the study that the manifest describes: its own runs, damage, and runs of others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from momentum_jax._text import listed
from momentum_jax.studies.jobs import TUNING, strangers
from momentum_jax.studies.spec import Study
from momentum_jax.studies.store.files import RUNS
from momentum_jax.studies.store.records import Line, Run, read_lines


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
    def of(cls, directory: Path, study: Study, environment: Mapping[str, Any]) -> Found:
        path = directory / RUNS
        lines = read_lines(path)
        strange = {id(run) for run in strangers(study, environment, [line.run for line in lines.sound])}
        foreign = [line for line in lines.sound if id(line.run) in strange]
        own, odd, damage = _of_one_size(path, [line for line in lines.sound if id(line.run) not in strange])
        others = lines.others + "".join(line.text for line in (*odd, *foreign)).encode()
        said = (f"{path} holds {not_of_this_study([line.run for line in foreign])}.",) if foreign else ()
        return cls(tuple(own), (*lines.damage, *damage), said, others)


def not_of_this_study(runs: Sequence[Run]) -> str:
    """Counts and names them."""
    count = f"{len(runs)} runs that are" if len(runs) > 1 else "1 run that is"
    return f"{count} not of this study ({listed([run.name for run in runs])})"


def _of_one_size(path: Path, lines: Sequence[Line]) -> tuple[list[Line], list[Line], list[str]]:
    """The lines whose confusion matrices are of as many classes as most, the others, and a sentence on each of these."""
    sizes = Counter(len(line.run.confusion) for line in lines if line.run.phase != TUNING)
    if len(sizes) < 2:
        return list(lines), [], []
    classes = sizes.most_common(1)[0][0]
    sound = [line for line in lines if line.run.phase == TUNING or len(line.run.confusion) == classes]
    odd = [line for line in lines if line not in sound]
    damage = [f"{path} is damaged: the confusion matrix of run {line.run.name} is not of {classes} classes." for line in odd]
    return sound, odd, damage
