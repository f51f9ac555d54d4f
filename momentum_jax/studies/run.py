"""Running a study: every arm from every seed, wave by wave into the store."""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

import momentum_jax
from momentum_jax import data
from momentum_jax.studies import jobs
from momentum_jax.studies.arms import Optimizer, check, resolve, settle
from momentum_jax.studies.errors import StudyError, fail, is_whole
from momentum_jax.studies.jobs import TUNING, Job
from momentum_jax.studies.outlook import Outlook, outlook
from momentum_jax.studies.spec import MOST_SEEDS, Study
from momentum_jax.studies.store import UNFINISHED, Curves, Damaged, Run, Store, locked, stored_runs
from momentum_jax.training import Examples, Model, Progress, RunResult, WaveResult, train_many
from momentum_jax.training.devices import chosen_devices, require_seconds
from momentum_jax.training.model import cnn, mlp

CHECKPOINTS = "checkpoints"


def run_study(
    study: Study,
    directory: str | Path,
    *,
    data_directory: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    checkpoints: bool = False,
    devices: Sequence[Any] | None = None,
    checkpoint_seconds: float = 60.0,
    on_plan: Callable[[Outlook], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_complete: Callable[[Store], Any] | None = None,
) -> Store:
    """Runs what the store in `directory` does not hold yet, and returns the store.

    Tuning comes first, then the arms as it settled them, from all seeds, and their controls (`studies.jobs`).

    Args:
      study: what to run.
      directory: the store: absent or empty, unless `resume` (finish the same study, which may have got more seeds) or
        `overwrite` (begin it anew).
      data_directory: where the data sets lie, as in `data.load`.
      checkpoints: save the final parameters of each run but those of the tuning, by Orbax, in `<directory>/checkpoints/<run>`.
      devices: different ones of `jax.local_devices()`, all of one platform; None: all of this process.
      checkpoint_seconds: how often the state inside a wave is saved, so that a wave that was cut off need not begin again.
      on_plan: called once, before anything is trained, with what lies ahead and what the study cannot answer.
      on_progress: called between chunks of steps; its counts of steps are those of the whole study.
      on_complete: called with the store when all runs are in it, while the directory is still kept from other processes; the
        study is recorded as complete afterwards.

    Raises:
      StudyError: an arm, a data set or a directory that cannot be used, and nothing is written then; or a disk that is full.
      ValueError: devices or seconds that are none; likewise.
      Interrupted: Ctrl-C; finished waves are stored, and `resume` finishes the rest to the same numbers, as it does after
        a kill at whatever moment.

    Warns:
      DamageWarning: files of the store that are not as they were written, and what they held is run again; or runs that are not
        of this study, which are moved aside.
    """
    if resume and overwrite:
        raise StudyError("resume and overwrite exclude each other: finish what is there, or replace it.")
    for arm in study.arms:
        # Before data are read, or downloaded.
        check(arm.optimizer)
    devices = chosen_devices("run_study", devices)
    require_seconds("run_study", checkpoint_seconds=checkpoint_seconds, infinite=True)
    dataset = data.load(study.dataset, directory=data_directory, size=study.size)
    environment = {"versions": _versions(), "backend": _backend(devices), "data": _digest(dataset, own=study.own_images)}
    study, recovered = _with_added_seeds(study, directory, environment) if resume else (study, ())
    bench = _Bench(study, dataset, devices, checkpoints, checkpoint_seconds)
    # Whatever can be asked for is built once before anything is written.
    bench.settle([*(job.optimizer for job in jobs.tuning(study)), *(arm.optimizer for arm in study.arms if not arm.ranges)])
    with _full_disk_named(directory, resume=resume), locked(directory):
        store = (
            Store.resume(directory, study, environment, recovered=recovered)
            if resume and Store.exists(directory)
            else Store.create(directory, study, environment, overwrite=overwrite)
        )
        _finish(store, bench, on_plan, on_progress)
        if on_complete is not None:
            on_complete(store)
        # Not before: what ends the process at the report leaves a study that the same command finishes. It adds no more seeds.
        store.complete()
    return store


@contextmanager
def _full_disk_named(directory: str | Path, *, resume: bool) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Orbax has no number for it, but the system's words.
        full = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
        if getattr(error, "errno", None) not in full and os.strerror(errno.ENOSPC) not in str(error):
            raise
        how = "the same command goes on" if resume else "resuming the study goes on"
        raise StudyError(
            f"there is no space left for {directory}; every run that was finished is stored there. Make room, and {how}."
        ) from error


def add_seeds(directory: str | Path, count: int, **options: Any) -> Store:
    """Runs a finished study's arms, as they were settled, from `count` further seeds; options are those of `run_study`.

    The manifest keeps account of it under `seeds_added`: whoever looks at results before deciding to go on should say so.

    Raises:
      StudyError: `count` is no whole number >= 1, there is no study, or one that these versions and data cannot go on with.
    """
    return run_study(with_more_seeds(directory, count), directory, resume=True, **options)


def with_more_seeds(directory: str | Path, count: int) -> Study:
    """The study that a directory holds, with `count` seeds more; where adding seeds was interrupted, those that were meant.

    Errors are those of `add_seeds`.
    """
    if not is_whole(count, 1):
        raise fail("add_seeds", "count", "a whole number >= 1", count)
    store = Store.read(directory)
    study = store.study
    if adding := store.manifest.get("adding"):
        # Stopped on its way: the seeds are in the study already.
        if len(adding) != count:
            meant = f"{len(adding)} seed{'s' * (len(adding) > 1)}"
            raise StudyError(
                f"add_seeds: {directory} was stopped while it got {meant}; finish that first, with count = {len(adding)}."
            )
        return study
    if store.manifest["status"] != "complete":
        raise StudyError(f"add_seeds: {directory} is not complete; run the study to its end first.")
    if len(study.seeds) + count > MOST_SEEDS:
        raise fail("add_seeds", "count", f"at most {MOST_SEEDS - len(study.seeds):,}, for {MOST_SEEDS:,} seeds in all", count)
    first = max(study.seeds) + 1
    taken = {*study.search.seeds, *study.control_seeds}
    fresh = [seed for seed in range(first, first + count + len(taken)) if seed not in taken][:count]
    return replace(study, seeds=(*study.seeds, *fresh))


def _with_added_seeds(study: Study, directory: str | Path, environment: Mapping[str, Any]) -> tuple[Study, tuple[int, ...]]:
    """The study itself, or the same with the seeds that were added to it in its directory; and those of them that only runs
    stored there tell of, because the manifest is lost."""
    try:
        store = Store.read(directory)
    except StudyError as error:
        stored = stored_runs(directory)
        seeds = jobs.further_seeds(study, environment, stored)
        study = replace(study, seeds=(*study.seeds, *seeds))
        strange = jobs.strangers(study, environment, stored)
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
    asked, further = stored.seeds[: len(study.seeds)], stored.seeds[len(study.seeds) :]
    # Fewer seeds than the study began with are another study, and are refused where the two are compared.
    is_same = asked == study.seeds and set(further) <= set(added) and replace(study, seeds=stored.seeds) == stored
    return (stored if is_same else study), ()


def _finish(
    store: Store,
    bench: _Bench,
    on_plan: Callable[[Outlook], None] | None,
    on_progress: Callable[[Progress], None] | None,
) -> None:
    """Runs what the store does not hold yet: tuning, then what depends on its outcome."""
    study = store.study
    store.note(machine=_machine())
    tuning = jobs.tuning(study)
    # How many runs follow depends on which trials win only where a rung of the ladder happens to be an arm of the study:
    # a different trial for each arm, since at one point of the search they would share their learning rate.
    tried = {arm.label: jobs.trials(study, arm) for arm in study.arms if arm.ranges}
    supposed = {label: each[index % len(each)] for index, (label, each) in enumerate(tried.items())}
    ahead = len(jobs.reporting(study, {arm.label: supposed.get(arm.label, arm.optimizer) for arm in study.arms}))
    store.note(planned=len(tuning) + ahead)
    try:
        if on_plan is not None:
            counts = {"tuning": len(tuning), "reporting": ahead, "stored": min(len(store.runs), len(tuning) + ahead)}
            on_plan(outlook(study, store.directory, bench.model, bench.examples(test=True), devices=bench.devices, **counts))
        _work(store, bench, tuning, _Whole(on_progress, study.steps, behind=0, ahead=ahead))
        reporting = jobs.reporting(study, jobs.choose(study, store.runs))
        store.note(planned=len(tuning) + len(reporting))
        planned = [*tuning, *reporting]
        store.keep(
            dict(zip([job.name for job in planned], jobs.keys(study, store.manifest["environment"], planned), strict=True))
        )
        _work(store, bench, reporting, _Whole(on_progress, study.steps, behind=len(tuning), ahead=0))
    except KeyboardInterrupt:
        store.close("interrupted")
        raise
    # What was damaged has been run again.
    store.damage.clear()
    store.gather()


def _keys(store: Store, planned: Sequence[Job]) -> dict[str, str]:
    """The key of each job by its name."""
    keys = jobs.keys(store.study, store.manifest["environment"], planned)
    return {job.name: key for job, key in zip(planned, keys, strict=True)}


def _work(store: Store, bench: _Bench, planned: Sequence[Job], whole: _Whole) -> None:
    """Trains the planned runs that are not stored, wave by wave into the store."""
    study, keys = store.study, _keys(store, planned)
    stored = {run.name for run in store.runs if run.key == keys.get(run.name)}
    pending = [job for job in planned if job.name not in stored]
    if not pending:
        return
    whole.begin(len(planned) - len(pending))
    optimizers = bench.settle([job.optimizer for job in pending])
    tuning = planned[0].phase == TUNING
    train_many(
        jax.vmap(jax.random.key)(np.array([job.seed for job in pending], np.uint32)),
        [optimizers[job.optimizer].make for job in pending],
        [optimizers[job.optimizer].numbers for job in pending],
        bench.model,
        bench.examples(test=not tuning),
        steps=study.steps,
        batch_size=study.batch,
        sampling=study.sampling,
        splits=np.array([bench.seeds.index(job.seed) for job in pending]),
        # A trial is ranked by its end; its curve is not looked at.
        evaluate_at=None if tuning else study.evaluate_every,
        devices=bench.devices,
        keep_params=bench.checkpoints and not tuning,
        on_progress=whole,
        on_wave=_Recorder(store, pending, keys, bench.checkpoints and not tuning),
        checkpoint=store.directory / UNFINISHED,
        checkpoint_seconds=bench.checkpoint_seconds,
    )


class _Bench:
    """What all runs of a study share: model, examples, and optimizers, each settled once."""

    def __init__(
        self, study: Study, dataset: data.Dataset, devices: Sequence[Any], checkpoints: bool, checkpoint_seconds: float
    ):
        self.study, self.dataset = study, dataset
        self.devices, self.checkpoints, self.checkpoint_seconds = devices, checkpoints, checkpoint_seconds
        self.seeds = (*study.seeds, *study.search.seeds * bool(study.tuned), *study.control_seeds * study.noise_floor)
        self.model = build_model(study, dataset)
        self._params, _ = jax.eval_shape(self.model.init, jax.random.key(0))
        self._settled: dict[str, Optimizer] = {}
        self._makes: dict[tuple[str, ...], Any] = {}
        self.examples(test=True)

    def settle(self, expressions: Sequence[str]) -> dict[str, Optimizer]:
        """The optimizers of the expressions; those of one group share their `make`, for which the trainer compiles once."""
        for text in dict.fromkeys(expressions):
            if text not in self._settled:
                optimizer = resolve(text)
                # A trial without data is the same for all that differ in numbers alone.
                if optimizer.group not in self._makes or not optimizer.numbers:
                    optimizer = settle(optimizer, self._params)
                make = self._makes.setdefault(optimizer.group, optimizer.make)
                self._settled[text] = replace(optimizer, make=make)
        return {text: self._settled[text] for text in expressions}

    def examples(self, *, test: bool) -> Examples:
        """The data with a split for each of `seeds`; without `test` nothing can be evaluated on the test set."""
        try:
            splits = [self.dataset.split(seed) for seed in self.seeds]
        except ValueError as error:
            raise StudyError(f"Study: dataset {self.study.dataset}: {error}") from None
        train, validation, held_out = (np.stack([split[part] for split in splits]) for part in range(3))
        if (self.study.examples or 0) > train.shape[1]:
            most = f"at most {train.shape[1]}, the training examples of {self.study.dataset}"
            raise fail("Study", "examples", most, self.study.examples)
        train = train[:, : self.study.examples]
        if self.study.batch > train.shape[1]:
            most = f"at most {train.shape[1]}, the training examples of {self.study.dataset}"
            raise fail("Study", "batch", most, self.study.batch)
        held_out = held_out if test else held_out[:, :0]
        return Examples(self.dataset.images, self.dataset.labels, self.dataset.scale, train, validation, held_out)


class _Whole:
    """Tells of one phase as a part of the whole study, with `behind` runs before and `ahead` runs after it."""

    def __init__(self, tell: Callable[[Progress], None] | None, steps: int, *, behind: int, ahead: int):
        self._tell, self._steps, self._done, self._ahead = tell, steps, behind, ahead

    def begin(self, stored: int) -> None:
        """So many runs of the phase were stored before."""
        self._done += stored

    def __call__(self, progress: Progress) -> None:
        if self._tell is None:
            return
        done = progress.model_steps + self._done * self._steps
        total = progress.total_model_steps + (self._done + self._ahead) * self._steps
        left = (total - done) / progress.steps_per_second if progress.steps_per_second else None
        self._tell(replace(progress, model_steps=done, total_model_steps=total, seconds_left=left))


class _Recorder:
    """Stores each finished wave; keeps account of where the time went, in seconds, over all sessions of the study."""

    def __init__(self, store: Store, pending: Sequence[Job], keys: Mapping[str, str], checkpoints: bool):
        self.store = store
        self.pending = pending
        self.keys = keys
        self.checkpoints = checkpoints

    def __call__(self, wave: WaveResult) -> None:
        rows = [self._row(result) for result in wave.runs]
        if self.checkpoints:
            # Orbax takes seconds to import, and only this needs it.
            from momentum_jax.training.checkpoint import save_params

            for (run, _), result in zip(rows, wave.runs, strict=True):
                path = self.store.directory / CHECKPOINTS / run.name
                save_params(path, result.params, overwrite=True)
                self.store.note(files=[file for file in path.rglob("*") if not file.is_dir()])
        self.store.add(rows)
        spent = self.store.manifest.get("seconds", {})
        now = {"training": wave.training_seconds, "evaluation": wave.evaluation_seconds, "compile": wave.compile_seconds}
        self.store.note(seconds={name: round(spent.get(name, 0.0) + seconds, 3) for name, seconds in now.items()})

    def _row(self, result: RunResult) -> tuple[Run, Curves]:
        job = self.pending[result.run]
        run = Run(
            name=job.name,
            phase=job.phase,
            arm=job.arm,
            optimizer=job.optimizer,
            seed=job.seed,
            accuracy=float(result.accuracy),
            mcc=float(result.mcc),
            loss=float(result.test_loss),
            confusion=() if result.confusion is None else tuple(tuple(int(n) for n in row) for row in result.confusion),
            validation_accuracy=float(result.evaluation_accuracies[-1]),
            validation_loss=float(result.evaluation_losses[-1]),
            diverged=int(result.diverged) if result.diverged >= 0 else None,
            seconds=float(result.seconds),
            key=self.keys[job.name],
        )
        curves = Curves(result.losses, result.evaluation_steps, result.evaluation_losses, result.evaluation_accuracies)
        return run, curves


def build_model(study: Study, dataset: data.Dataset) -> Model:
    """The network of the study for the images of the data set."""
    network = study.network
    build = functools.partial(cnn, network.channels) if network.channels else mlp
    try:
        return build(
            hidden=network.hidden,
            activation=network.activation,
            dropout=network.dropout,
            init=network.initialization,
            output_activation=network.output_activation,
            loss=network.loss,
            input_shape=dataset.images.shape[1:],
            classes=len(dataset.classes),
        )
    except ValueError as error:
        raise StudyError(f"Study: network does not fit {study.dataset}: {error}") from None


def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in ("jax", "jaxlib", "optax", "flax", "numpy", "scipy")}
    return {"momentum_jax": momentum_jax.__version__, **libraries}


def _backend(devices: Sequence[Any]) -> dict[str, str]:
    return {"platform": devices[0].platform, "device": devices[0].device_kind}


def _machine() -> dict[str, Any]:
    return {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()}


def _digest(dataset: data.Dataset, *, own: bool) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(dataset.images).data)
    digest.update(np.ascontiguousarray(dataset.labels).data)
    if own:
        # Nothing else says how a file of the user's is divided.
        digest.update(f"{dataset.images.shape}{dataset.images.dtype.str}{dataset.official_test}".encode())
    return digest.hexdigest()
