"""Every cell of an atlas as an ordinary study in a store of its own; what is stored is not run again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from momentum_jax._text import quoted
from momentum_jax.studies.analysis import Analysis, analyse
from momentum_jax.studies.analysis.tuning import wider
from momentum_jax.studies.atlas.plan import Atlas, Cell
from momentum_jax.studies.errors import StudyError
from momentum_jax.studies.expression import Expression
from momentum_jax.studies.material import material
from momentum_jax.studies.resolve import resolve
from momentum_jax.studies.run import run_study
from momentum_jax.studies.store import Store
from momentum_jax.studies.study import Study
from momentum_jax.training.program import forget_programs

# How often the ranges of a cell may be made ten times wider, and how many more trials every arm has then.
MOST_WIDENED = 2
_MORE_TRIALS = 1.5


def run_atlas(
    atlas: Atlas,
    directory: str | Path,
    *,
    on_cell: Callable[[Cell, Study, Path, int], None] | None = None,
    on_store: Callable[[Store], Any] | None = None,
    **options: Any,
) -> None:
    """Runs what the directory does not hold yet, cell after cell. Compiled programs of this process are freed after each.

    A cell whose search stopped at the edge of a range runs again with that range ten times wider, at most twice. Every arm
    then has half as many more trials, so that the search is as dense as before. Each such study has a directory of its own,
    `<cell>-wider-1`, and the last of them has the cell's answer. A first look widens nothing.

    Args:
      directory: of the atlas; a cell's store lies in `<directory>/<study>/batch-<batch>-steps-<steps>`.
      on_cell: called with the cell, its study, the directory and how often it was widened, before each study.
      on_store: called with each store when all its runs are there, as `on_complete` of `run_study`.
      options: further ones of `run_study`, such as `executor`.

    Raises:
      StudyError: a problem or an optimizer that there is not, before anything is run; else as `run_study`.

    Example: `run_atlas(Atlas.from_toml("my_atlas.toml"), "my_atlas")`.
    """
    require_known(atlas, options.get("data_directory"))
    for cell in atlas.cells:
        study = cell.study
        for times in range(1 if atlas.is_quick else MOST_WIDENED + 1):
            place = store_of(directory, cell, times)
            if on_cell is not None:
                on_cell(cell, study, place, times)
            store = run_study(study, place, resume=True, on_complete=on_store, **options)
            # Or a process ends in the middle of an atlas.
            forget_programs()
            wide = with_wider_ranges(study, analyse(store))
            if wide is None:
                break
            study = wide


def store_of(directory: str | Path, cell: Cell, times: int = 0) -> Path:
    """Where the study of a cell lies that was widened so often."""
    return Path(directory) / (f"{cell.folder}-wider-{times}" if times else cell.folder)


def stores_of(directory: str | Path, cell: Cell) -> list[Path]:
    """The directories of a cell's studies that there are; the last has its answer."""
    found = [store_of(directory, cell, times) for times in range(MOST_WIDENED + 1)]
    return [place for place in found if Store.exists(place)]


def with_wider_ranges(study: Study, analysis: Analysis) -> Study | None:
    """The study with wider ranges where a search stopped at an edge; None: nowhere, or no range can be wider."""
    found = {search.arm: search for search in analysis.tunings if not search.wide_enough}
    new = {arm.label: wider(arm, found[arm.label]) for arm in study.arms if arm.label in found}
    arms = tuple(
        replace(arm, optimizer=Expression.read(text)) if (text := new.get(arm.label)) is not None else arm for arm in study.arms
    )
    if all(text is None for text in new.values()):
        return None
    search = replace(study.search, trials=math.ceil(_MORE_TRIALS * study.search.trials))
    return replace(study, arms=arms, search=search)


def require_known(atlas: Atlas, data_directory: str | Path | None = None) -> None:
    """Raises `StudyError` where a problem, its data or an optimizer of a cell cannot be used."""
    for entry in atlas.entries:
        # What is too large a batch is so for the largest.
        study = max((cell.study for cell in entry.cells), key=lambda study: study.batch or 0)
        try:
            for arm in study.arms:
                resolve(arm.expression.middle, study.load)
            material(study, data_directory=data_directory)
        except StudyError as error:
            raise StudyError(f"study {quoted(entry.name)}: {error}") from None
