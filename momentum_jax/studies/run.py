"""Running a study: every arm from every seed, wave by wave into the store."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from momentum_jax.studies import jobs
from momentum_jax.studies.bench import Bench
from momentum_jax.studies.environment import environment_of, machine
from momentum_jax.studies.errors import StudyError, StudyWarning, fail
from momentum_jax.studies.executors.account import Whole, keys_of
from momentum_jax.studies.executors.canary import canary
from momentum_jax.studies.executors.elsewhere import Elsewhere, require_expressions
from momentum_jax.studies.executors.here import CHECKPOINTS as CHECKPOINTS, Here
from momentum_jax.studies.executors.message import Order
from momentum_jax.studies.executors.sent_files import gathered
from momentum_jax.studies.further_seeds import with_added_seeds, with_more_seeds as with_more_seeds
from momentum_jax.studies.material import Variants, given_in_python, material
from momentum_jax.studies.outlook import Outlook, outlook
from momentum_jax.studies.resolve import resolve
from momentum_jax.studies.store import Store, locked
from momentum_jax.studies.study import Study
from momentum_jax.training import Problem, Progress
from momentum_jax.training.devices import chosen_devices, require_seconds


def run_study(
    study: Study,
    directory: str | Path,
    *,
    problem: Problem | None = None,
    data_directory: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    checkpoints: bool = False,
    log_hyperparameters: bool = False,
    devices: Sequence[Any] | None = None,
    checkpoint_seconds: float = 60.0,
    executor: Executor | None = None,
    any_bits: bool = False,
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
      problem: what the study is of, where it is at hand in Python and `study` names none.
      data_directory: where the data sets lie, as in `data.load`.
      checkpoints: save the final parameters of each run but those of the tuning, by Orbax, in `<directory>/checkpoints/<run>`.
      log_hyperparameters: store what the update of each step takes, of each run but those of the tuning (`Curves`).
      devices: different ones of `jax.local_devices()`, all of one platform; None: all of this process.
      checkpoint_seconds: how often the state inside a wave is saved, so that a wave that was cut off need not begin again.
      executor: whose workers train the runs; None: this process. Problem and arms are expressions then, and a worker has the
        same versions, data and arithmetic as this process, or refuses. What it has not brought back when it dies is run again.
      any_bits: also workers whose arithmetic differs in its last bits; the manifest says so if there was one.
      on_plan: called once, before anything is trained, with what lies ahead and what the study cannot answer.
      on_progress: called between chunks of steps, with an `executor` when runs come back; its counts of steps are those of the
        whole study.
      on_complete: called with the store when all runs are in it, while the directory is still kept from other processes; the
        study is recorded as complete afterwards.

    Raises:
      StudyError: an arm, a problem, a data set or a directory that cannot be used, and nothing is written then; or a disk that
        is full; or a worker that refuses, or runs that were lost with four workers: what came back is stored then, and `resume`
        finishes the rest. What a function of the user's raises is raised as it is, with a note that names the function.
      ValueError: devices or seconds that are none; likewise.
      Interrupted: Ctrl-C; finished waves are stored, and `resume` finishes the rest to the same numbers, as it does after
        a kill at whatever moment. With an `executor` it is a bare KeyboardInterrupt.

    Warns:
      DamageWarning: files of the store that are not as they were written, and what they held is run again; or runs that are not
        of this study, which are moved aside.
      StudyWarning: a function of the problem captures large arrays; or a worker was lost, and its runs are submitted again.

    Example: `run_study(Study(arms=(Arm("sgd(log_uniform(0.01, 1))"), Arm("adam(0.001)"))), "results", problem=diabetes())`.
    """
    if resume and overwrite:
        raise StudyError("resume and overwrite exclude each other: finish what is there, or replace it.")
    if problem is not None:
        study = given_in_python(study, problem)
    _check_executor(study, executor, any_bits, checkpoints)
    study = _named(study)
    for arm in study.arms:
        # Before data are read, or downloaded.
        resolve(arm.expression.middle, study.load)
    devices = chosen_devices("run_study", devices)
    require_seconds("run_study", checkpoint_seconds=checkpoint_seconds, infinite=True)
    whole = material(study, data_directory=data_directory)
    variants = Variants(study, whole, data_directory)
    environment = environment_of(study, variants, devices)
    asked = study
    study, recovered = with_added_seeds(study, whole.scores, directory, environment) if resume else (study, ())
    if study.seeds != asked.seeds:
        whole = material(study, data_directory=data_directory)
        variants = Variants(study, whole, data_directory)
    bench = Bench(study, variants, devices, log_hyperparameters)
    # Whatever can be asked for is built once before anything is written.
    bench.settle([(job.expression, job.factors) for job in jobs.tuning(study)])
    bench.settle([(arm.expression, arm.factors) for arm in study.arms if not arm.ranges])
    trainer = Here(bench, checkpoints, checkpoint_seconds)
    if executor is not None:
        order = Order(
            study=study.to_dict(),
            files=gathered(study),
            data_directory=None if data_directory is None else os.path.abspath(data_directory),
            environment=environment,
            canary=canary(devices[0]),
            any_bits=any_bits,
            jobs=[],
            log_hyperparameters=log_hyperparameters,
        )
        trainer = Elsewhere(executor, bench, order)
    with _full_disk_named(directory, resume=resume), locked(directory):
        store = (
            Store.resume(directory, study, environment, scores=whole.scores, recovered=recovered)
            if resume and Store.exists(directory)
            else Store.create(directory, study, environment, scores=whole.scores, overwrite=overwrite)
        )
        _finish(store, bench, trainer, on_plan, on_progress)
        _predict(store, bench)
        if on_complete is not None:
            on_complete(store)
        # Not before: what ends the process at the report leaves a study that the same command finishes. It adds no more seeds.
        store.complete()
    return store


def _check_executor(study: Study, executor: Any, any_bits: bool, checkpoints: bool) -> None:
    if executor is None:
        if any_bits:
            raise StudyError("run_study: any_bits is of an executor, and there is none.")
        return
    if not isinstance(executor, Executor):
        raise fail("run_study", "executor", "a concurrent.futures.Executor or None", executor)
    if checkpoints:
        raise StudyError("run_study: checkpoints must be False with an executor, which brings back no parameters.")
    require_expressions(study)


def _named(study: Study) -> Study:
    """The study with the arguments of the user's constructors by their names, as its store has them."""
    arms = (replace(arm, optimizer=arm.expression.by_keywords(study.load)) for arm in study.arms)
    return replace(study, arms=tuple(arms))


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


def add_seeds(directory: str | Path, count: int | None = None, *, until_told: bool = False, **options: Any) -> Store:
    """Runs a finished study's arms, as they were settled, from further seeds; options are those of `run_study`.

    A study that declared `looks` goes to the next of them, and all looks share the 5%. Without them the first look has spent
    all 5%: the report then makes its claims from the added seeds alone, as of a second study.

    Args:
      directory: of the study.
      count: how many seeds; None: up to the next declared look.
      until_told: go on from look to look until the question is answered, or the last look is over.

    Raises:
      StudyError: `count` is no whole number >= 1 or misses the next look, there is no study, or no further look where one is
        needed, or these versions and data cannot go on with it.

    Example: `add_seeds("results", until_told=True)` of a `Study(looks=(8, 16, 24), ...)`.
    """
    if until_told and count is not None:
        raise StudyError("add_seeds: count and until_told exclude each other; the declared looks say how many seeds come next.")
    while True:
        if until_told and is_told(store := Store.read(directory)) and not store.manifest.get("adding"):
            return store
        store = run_study(with_more_seeds(directory, count, until_told=until_told), directory, resume=True, **options)
        if not until_told or len(store.study.seeds) >= store.study.looks[-1]:
            return store


def is_told(store: Store) -> bool:
    """Whether the question of a study is answered: a difference is claimed, or the arms are level within its margin."""
    from momentum_jax.studies.analysis import analyse

    found = analyse(store)
    claim = found.claim("question")
    return claim is not None and (claim.evidence.claimed or found.answer.kind == "nothelp")


def _finish(
    store: Store,
    bench: Bench,
    trainer: Here | Elsewhere,
    on_plan: Callable[[Outlook], None] | None,
    on_progress: Callable[[Progress], None] | None,
) -> None:
    """Runs what the store does not hold yet: tuning, then what depends on its outcome."""
    study = store.study
    store.note(machine=machine())
    tuning = jobs.tuning(study)
    # How many runs follow depends on which trials win only where a rung of the ladder happens to be an arm of the study:
    # a different trial for each arm, since at one point of the search they would share their learning rate.
    tried = {arm.label: jobs.trials(study, arm) for arm in study.arms if arm.ranges}
    supposed = {label: each[index % len(each)] for index, (label, each) in enumerate(tried.items())}
    ahead = len(jobs.reporting(study, {arm.label: supposed.get(arm.label, arm.expression) for arm in study.arms}))
    store.note(planned=len(tuning) + ahead)
    try:
        if on_plan is not None:
            counts = {"tuning": len(tuning), "reporting": ahead, "stored": min(len(store.runs), len(tuning) + ahead)}
            devices = [bench.devices[0]] * trainer.devices
            on_plan(outlook(study, store.directory, bench.variants.of({}), devices=devices, **counts))
        whole = Whole(on_progress)
        whole.part = "tuning"
        trainer.work(store, tuning, whole, ahead=ahead * study.steps)
        reporting = jobs.reporting(study, jobs.choose(study, store.scores, store.runs))
        store.note(planned=len(tuning) + len(reporting))
        store.keep(keys_of(store, [*tuning, *reporting]))
        whole.part = "report"
        trainer.work(store, reporting, whole, ahead=0)
    except KeyboardInterrupt:
        store.close("interrupted")
        raise
    # What was damaged has been run again.
    store.damage.clear()
    store.gather()


def _predict(store: Store, bench: Bench) -> None:
    """Measures the linear arms beside their prediction, where the study asks for it and the store has it not yet."""
    study = store.study
    if study.prediction is None:
        return
    from momentum_jax.studies.course import course

    chosen = jobs.choose(study, store.scores, store.runs)
    stored = store.prediction
    texts = {label: expression.text for label, expression in chosen.items()}
    if stored is not None and stored.at == study.prediction.at and {arm.label: arm.optimizer for arm in stored.arms} == texts:
        return
    try:
        found = course(study, chosen, bench.variants, bench.devices).to_dict()
    except StudyError as error:
        # The runs are what the study is of: a loss that has no curvature is no reason to withhold them.
        warnings.warn(f"There is no prediction: {error}", StudyWarning, stacklevel=2)
        return
    except KeyboardInterrupt:
        store.close("interrupted")
        raise
    store.note(prediction=found)
