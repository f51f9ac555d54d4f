"""A store as a directory: what it holds, what is added to it, and what damage takes away."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from momentum_jax._files import TEMPORARY, atomic, open_to_append, read_regular, sync
from momentum_jax._text import listed
from momentum_jax.studies.errors import DamageWarning, StudyError, is_whole
from momentum_jax.studies.predicted import StudyPrediction
from momentum_jax.studies.scores import IMAGES, RankedScore, Scores
from momentum_jax.studies.store.archives import Archives
from momentum_jax.studies.store.files import (
    CURVES,
    LOCK,
    MANIFEST,
    PARTS,
    RUNS,
    UNFINISHED,
    Unwritable,
    clear,
    is_ours,
    next_part,
    place,
    remove_parts,
    set_aside,
)
from momentum_jax.studies.store.found import Found, not_of_this_study
from momentum_jax.studies.store.manifest import (
    SCHEMA,
    Damaged,
    are_files,
    brief,
    differences,
    made_anew,
    read_manifest,
    scores_of,
    study_of,
)
from momentum_jax.studies.store.records import (
    UNSOUND,
    Curves,
    Line,
    Run,
    digest_of,
    digest_of_json,
    loads,
    read_lines,
    stored_runs,
)
from momentum_jax.studies.study import Study


class Store:
    """The results directory of one study. `Store.create`, `Store.resume` and `Store.read` are its doors.

    `runs` are the study's own with a sound line; `damage` says, in a sentence each, what else was found.
    """

    def __init__(self, directory: Path, manifest: dict[str, Any], study: Study, found: Found | None = None):
        self.directory = directory
        self.manifest = manifest
        self.study = study
        self.damage = [] if found is None else [*found.damage, *found.foreign]
        self._lines = {} if found is None else {line.run.name: line for line in found.own}

    @property
    def runs(self) -> list[Run]:
        return [line.run for line in self._lines.values()]

    @property
    def scores(self) -> Scores:
        """The ranked scores of the study."""
        return scores_of(self.manifest)

    @property
    def batches(self) -> str:
        """What a step sees, in words that follow it; empty without data."""
        study, batch = self.study, self.study.batch
        if study.problem is None or "take" in self.manifest["environment"].get("problem", {}):
            return " on all training examples" if batch is None else f" of {batch} examples"
        return " of the problem's own batches" if self.scores.tested else ""

    @property
    def additions(self) -> tuple[tuple[int, ...], ...]:
        """The seeds that were added to the study after it had been run, addition by addition."""
        return tuple(tuple(seeds) for seeds in _additions(self.manifest))

    @property
    def prediction(self) -> StudyPrediction | None:
        """What was predicted of the arms, where the study asks for it and it has been measured."""
        stored = self.manifest.get("prediction")
        return None if stored is None else StudyPrediction.from_dict(stored)

    @property
    def target_score(self) -> RankedScore:
        """The score that the study's target is on."""
        return self.scores[self.study.target_on(self.scores)]

    def of(self, arm: str, *phases: str) -> list[Run]:
        """The runs under a label, in the order of their seeds; of the report where no phase is named."""
        wanted = phases or ("report",)
        return sorted((run for run in self.runs if run.arm == arm and run.phase in wanted), key=lambda run: run.seed)

    @staticmethod
    def exists(directory: str | Path) -> bool:
        """Whether a store lies there, sound or not."""
        return (place(directory) / MANIFEST).exists() or bool(stored_runs(directory))

    @classmethod
    def create(
        cls,
        directory: str | Path,
        study: Study,
        environment: Mapping[str, Any],
        *,
        scores: Scores = IMAGES,
        overwrite: bool = False,
    ) -> Store:
        """A new store in an absent or empty directory, or with `overwrite` in place of another store.

        `environment` (plain JSON values) is what the numbers depend on besides the study; `scores` are those of its problem.
        Raises `StudyError` where results lie already, or anything else does.
        """
        directory = place(directory)
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unwritable(directory, error) from None
        if cls.exists(directory):
            if not overwrite:
                raise StudyError(f"{directory} already holds results; choose another directory, or --resume, or --overwrite.")
            clear(directory, _manifest_or_nothing(directory))
        elif strangers := sorted(p.name for p in directory.iterdir() if not is_ours(p)):
            raise StudyError(
                f"{directory} holds other files ({listed(strangers)}) and no results of a study; "
                "choose an empty or a new directory."
            )
        manifest = {"schema": SCHEMA, "status": "running", "environment": dict(environment), **_described(study, scores)}
        store = cls(directory, manifest, study)
        with atomic(directory / RUNS):
            pass
        store.note("running")
        return store

    @classmethod
    def resume(
        cls,
        directory: str | Path,
        study: Study,
        environment: Mapping[str, Any],
        *,
        scores: Scores = IMAGES,
        recovered: Sequence[int] = (),
    ) -> Store:
        """The store of the same study, or of it with fewer seeds, less what a crash left half-written and what is damaged.

        Damage draws a `DamageWarning` for each file. Runs of other studies, and lines that cannot be read, are moved to a
        directory of their own, `aside-1`, which the warning names. `recovered` are the seeds of the study that only stored runs
        tell of, where the manifest does not. Raises `StudyError` where the study or the environment differs: the results would
        not belong together.
        """
        directory = place(directory)
        asked = {"study": study.to_dict(), "environment": dict(environment)}
        try:
            manifest = read_manifest(directory)
        except Damaged as damaged:
            # Without a run this may be a stranger's file.
            if not stored_runs(directory):
                raise
            lost = {"status": "running", "manifest_lost": True, "seeds_added": [*recovered]}
            manifest = {"schema": SCHEMA, **_described(study, scores), **asked, **lost}
            warnings.warn(f"{damaged.what}. {made_anew(recovered)}", DamageWarning, stacklevel=2)
        else:
            stored, now = manifest["study"]["seeds"], asked["study"]["seeds"]
            there = {name: manifest[name] for name in asked}
            before = study_of(manifest)
            if study.expression and before.expression and study.expression.call_text == before.expression.call_text:
                # The same call in a file of another name: whether it is the same problem its fingerprint says.
                there["study"] = {**there["study"], "problem": study.problem}
            if study.own_images and before.own_images:
                # The digest of what is in it is in the environment.
                there["study"] = {**there["study"], "dataset": study.dataset}
            # What is measured beside the runs changes none of them.
            measured = {name: asked["study"][name] for name in ("prediction",) if name in asked["study"]}
            there["study"] = {**{name: each for name, each in there["study"].items() if name != "prediction"}, **measured}
            if now[: len(stored)] == stored:
                there["study"] = {**there["study"], "seeds": now}
                if added := now[len(stored) :]:
                    # `adding` until they have been run.
                    manifest["additions"] = [*_additions(manifest), added]
                    manifest |= {name: [*manifest.get(name, []), *added] for name in ("seeds_added", "adding")}
            # Seeds last: added ones are no reason where there is another.
            found = sorted(differences(asked, there), key=lambda each: each[0] == "study.seeds")
            if found and manifest["status"] != "complete" and not manifest.get("files") and _is_bare(directory):
                # Nothing was stored, so nothing can be lost.
                return cls.create(directory, study, environment, scores=scores, overwrite=True)
            for key, here, other in found:
                differ = _differ(study, key, here, other)
                raise StudyError(f"{directory} cannot be resumed: {differ}; choose another directory, or --overwrite.")
        found = Found.of(directory, study, scores, environment)
        store = cls(directory, {**manifest, **_described(study, scores), **asked}, study, found)
        store._drop_damaged_arrays()
        aside = set_aside(directory, found.others, archives=bool(found.foreign)) if found.others else None
        for sentence in store.damage:
            if sentence in found.foreign:
                what = f"Whatever is stored of them is kept in {aside}."
            else:
                kept = f" As it stands it is kept in {aside}." if sentence in found.damage and aside else ""
                what = f"What it held is run again.{kept}"
            warnings.warn(f"{sentence} {what}", DamageWarning, stacklevel=2)
        store._rewrite_lines()
        for leftover in store.directory.glob(f"{TEMPORARY}*"):
            if leftover.name not in (LOCK, UNFINISHED) and (leftover.is_symlink() or not leftover.is_dir()):
                leftover.unlink()
        store.note("running")
        return store

    @classmethod
    def read(cls, directory: str | Path) -> Store:
        """A store as it lies there, finished or not; what is damaged, or of another study, is in `damage`."""
        directory = place(directory)
        manifest = read_manifest(directory)
        study = study_of(manifest)
        return cls(directory, manifest, study, Found.of(directory, study, scores_of(manifest), manifest["environment"]))

    def keep(self, keys: Mapping[str, str]) -> None:
        """Leaves the runs whose key is the one that `keys` has under their name; others are moved aside, with a warning."""
        others = [line for name, line in self._lines.items() if keys.get(name) != line.run.key]
        if not others:
            return
        aside = set_aside(self.directory, "".join(line.text for line in others).encode(), archives=True)
        said = not_of_this_study([line.run for line in others])
        what = f"{self.directory / RUNS} holds {said}. Whatever is stored of them is kept in {aside}."
        warnings.warn(what, DamageWarning, stacklevel=2)
        for line in others:
            del self._lines[line.run.name]
        self._rewrite_lines()

    def add(self, wave: Sequence[tuple[Run, Curves]]) -> None:
        """Stores a finished wave; on return it is on the disk."""
        if not wave:
            return
        arrays = {f"{run.name}/{name}": array for run, curves in wave for name, array in curves.arrays().items()}
        parts = self.directory / PARTS
        if not parts.exists():
            parts.mkdir()
            sync(self.directory)
        with atomic(next_part(self.directory)) as file:
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
        lines = [Line(run, digest_of(curves)) for run, curves in wave]
        with open_to_append(self.directory / RUNS) as file:
            file.write("".join(line.text for line in lines).encode())
            file.flush()
            os.fsync(file.fileno())
        self._lines |= {line.run.name: line for line in lines}

    def curves(self, run: Run) -> Curves:
        """The arrays of a stored run. Raises `StudyError` where they are missing, or not those that were stored."""
        (curves,) = self.curves_of([run])
        return curves

    def curves_of(self, runs: Iterable[Run]) -> Iterator[Curves]:
        """The arrays of stored runs, one after the other; each archive is listed once. Errors are those of `curves`."""
        with self._archives() as archives:
            for run in runs:
                yield archives.curves(run.name, self._lines[run.name].arrays, self._steps(run))

    def _archives(self) -> Archives:
        return Archives(self.directory)

    def _steps(self, run: Run) -> int:
        steps = run.factors.get("steps", self.manifest["study"]["steps"])
        return steps if is_whole(steps, 1) else 0

    def _drop_damaged_arrays(self) -> None:
        """Forgets the runs whose arrays cannot be read, one sentence of `damage` a file."""
        with self._archives() as archives:
            for name, line in list(self._lines.items()):
                try:
                    archives.curves(name, line.arrays, self._steps(line.run))
                except Damaged as damaged:
                    del self._lines[name]
                    if str(damaged) not in self.damage:
                        self.damage.append(str(damaged))

    def _rewrite_lines(self) -> None:
        text, there = "".join(line.text for line in self._lines.values()).encode(), None
        with contextlib.suppress(OSError):
            there = read_regular(self.directory / RUNS)
        if there != text:
            with atomic(self.directory / RUNS) as file:
                file.write(text)

    def gather(self) -> None:
        """Writes all curves into curves.npz, in the place of what the waves left."""
        # What is on the disk counts: a second Ctrl-C may have fallen between a wave's lines and this object's.
        self._lines = {line.run.name: line for line in read_lines(self.directory / RUNS).sound}
        # One run at a time: a study's curves need not fit into memory.
        with atomic(self.directory / CURVES) as file, zipfile.ZipFile(file, "w") as gathered:
            for run, curves in zip(self.runs, self.curves_of(self.runs), strict=True):
                for name, array in curves.arrays().items():
                    with gathered.open(f"{run.name}/{name}.npy", "w") as entry:
                        np.lib.format.write_array(entry, array, allow_pickle=False)
        remove_parts(self.directory)

    def close(self, status: str, **entries: Any) -> None:
        """Gathers all curves and records how the study ended: `complete` or `interrupted`."""
        self.gather()
        if status == "complete":
            self.complete(**entries)
        else:
            self.note(status, **entries)

    def complete(self, **entries: Any) -> None:
        """Records that nothing is left to be done, neither runs nor added seeds nor pages."""
        shutil.rmtree(self.directory / UNFINISHED, ignore_errors=True)
        self.note("complete", **{"adding": [], **entries})

    def note(self, status: str | None = None, *, files: Iterable[Path] = (), **entries: Any) -> None:
        """Records a status, further entries, or `files` in the directory that from now on belong to the store."""
        own = [*self.manifest.get("files", []), *(path.relative_to(self.directory).as_posix() for path in files)]
        status = status or self.manifest["status"]
        self.manifest = {**self.manifest, "status": status, **entries, "files": list(dict.fromkeys(own))}
        checked = {**self.manifest, "sha256": digest_of_json(self.manifest)}
        with atomic(self.directory / MANIFEST) as file:
            file.write((json.dumps(checked, indent=2, allow_nan=False) + "\n").encode())


def _additions(manifest: Mapping[str, Any]) -> list[list[int]]:
    # Manifests of before do not tell one addition from another.
    seeds = manifest.get("seeds_added")
    return manifest.get("additions") or ([seeds] if seeds else [])


def _described(study: Study, scores: Scores) -> dict[str, Any]:
    """What a manifest says of a study, so that its report imports no file of the user's."""
    own = {**({"scores": scores.to_dict()} if study.problem else {}), **({"paths": dict(study.paths)} if study.paths else {})}
    return {"study": study.to_dict(), **own}


def _differ(study: Study, key: str, here: Any, there: Any) -> str:
    """Why a store cannot be gone on with: what differs there."""
    if key == "environment.data":
        what = "data of the problem are" if study.problem else f"images and labels of {study.data_name} are"
        return f"the {what} not those that it was run on, or are divided otherwise"
    for kind, what in (("environment.problem.", "the problem's {}"), ("environment.arms.", "the optimizer of arm {}")):
        if key.startswith(kind):
            return f"{what.format(key.removeprefix(kind))} is not the one it was run with"
    return f"{key} is {brief(there)} there and {brief(here)} now"


def _is_bare(directory: Path) -> bool:
    """Whether a study was begun there and nothing of a run was written."""
    runs = directory / RUNS
    is_empty = not runs.exists() or not runs.stat().st_size
    return is_empty and not any((directory / name).exists() for name in (CURVES, PARTS, UNFINISHED))


def _manifest_or_nothing(directory: Path) -> dict[str, Any]:
    """To overwrite what it describes; of a damaged one, beside stored runs, the files that it names, if it can be read."""
    try:
        return read_manifest(directory)
    except Damaged:
        if not stored_runs(directory):
            raise
        with contextlib.suppress(OSError, *UNSOUND):
            found = loads(read_regular(directory / MANIFEST))
            if isinstance(found, dict) and are_files(found.get("files")):
                return {"files": found["files"]}
        return {}
