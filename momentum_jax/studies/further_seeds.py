"""A study with more seeds than it began with: which come next, and which its directory has got already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from momentum_jax.studies import jobs
from momentum_jax.studies.errors import StudyError, fail, require_whole
from momentum_jax.studies.scores import Scores
from momentum_jax.studies.store import Damaged, Store, stored_runs
from momentum_jax.studies.study import MOST_SEEDS, Study


def with_more_seeds(directory: str | Path, count: int | None = None, *, until_told: bool = False) -> Study:
    """The study that a directory holds, with `count` seeds more; where adding seeds was interrupted, those that were meant.

    None: as many as the next declared look has more. Errors are those of `add_seeds`.
    """
    if count is not None:
        require_whole("add_seeds", "count", count, 1)
    store = Store.read(directory)
    study = store.study
    if until_told and not study.looks:
        raise StudyError(f"add_seeds: until_told needs looks that were declared before the first run; {directory} has none.")
    if adding := store.manifest.get("adding"):
        # Stopped on its way: the seeds are in the study already.
        if count not in (len(adding), None):
            meant = f"{len(adding)} seed{'s' * (len(adding) > 1)}"
            raise StudyError(
                f"add_seeds: {directory} was stopped while it got {meant}; finish that first, with count = {len(adding)}."
            )
        return study
    if store.manifest["status"] != "complete":
        raise StudyError(f"add_seeds: {directory} is not complete; run the study to its end first.")
    if study.looks or count is None:
        due = _up_to_the_next_look(study, directory)
        if count not in (due, None):
            looks = ", ".join(map(str, study.looks))
            raise StudyError(f"add_seeds: looks were declared at {looks} seeds; the next one is {due} seeds away, got {count}.")
        count = due
    if len(study.seeds) + count > MOST_SEEDS:
        raise fail("add_seeds", "count", f"at most {MOST_SEEDS - len(study.seeds):,}, for {MOST_SEEDS:,} seeds in all", count)
    first = max(study.seeds) + 1
    taken = {*study.search.seeds, *study.control_seeds}
    fresh = [seed for seed in range(first, first + count + len(taken)) if seed not in taken][:count]
    return replace(study, seeds=(*study.seeds, *fresh))


def _up_to_the_next_look(study: Study, directory: str | Path) -> int:
    further = [look - len(study.seeds) for look in study.looks if look > len(study.seeds)]
    if not study.looks:
        raise StudyError(f"add_seeds: say how many seeds to add; {directory} has declared no looks.")
    if not further:
        raise StudyError(f"add_seeds: {directory} has had its last declared look, at {study.looks[-1]} seeds.")
    return further[0]


def with_added_seeds(
    study: Study, scores: Scores, directory: str | Path, environment: Mapping[str, Any]
) -> tuple[Study, tuple[int, ...]]:
    """The study itself, or the same with the seeds that were added to it in its directory; and those of them that only runs
    stored there tell of, because the manifest is lost."""
    try:
        store = Store.read(directory)
    except StudyError as error:
        stored = stored_runs(directory)
        seeds = jobs.further_seeds(study, environment, stored)
        study = replace(study, seeds=(*study.seeds, *seeds))
        strange = jobs.strangers(study, scores, environment, stored)
        if isinstance(error, Damaged) and strange:
            # A sound manifest would have said what differs, and they would have been kept.
            raise StudyError(
                f"{error.what}, and {len(strange)} of {len(stored)} runs stored in {directory} are of another study, or of "
                "other versions, data or devices; choose another directory, or --overwrite."
            ) from None
        return study, seeds
    stored, added = store.study, store.manifest.get("seeds_added", [])
    if study.own_images and stored.own_images:
        # The file may have been moved; its content is compared later.
        stored = replace(stored, dataset=study.dataset)
    if study.expression and stored.expression and study.expression.call_text == stored.expression.call_text:
        stored = replace(stored, problem=study.problem)
    asked, further = stored.seeds[: len(study.seeds)], stored.seeds[len(study.seeds) :]
    # Fewer seeds than the study began with are another study, and are refused where the two are compared.
    is_same = asked == study.seeds and set(further) <= set(added) and replace(study, seeds=stored.seeds) == stored
    # The files are where they are seen from now.
    return (replace(stored, paths=study.paths, prediction=study.prediction) if is_same else study), ()
