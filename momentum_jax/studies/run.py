"""Running a study: every arm from every seed, wave by wave into the store."""

from __future__ import annotations

import errno
import os
import platform
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

import momentum_jax
from momentum_jax.studies import fingerprint, jobs
from momentum_jax.studies.arm import BUDGET
from momentum_jax.studies.errors import StudyError, StudyWarning, fail, require_whole
from momentum_jax.studies.expression import Expression
from momentum_jax.studies.jobs import TUNING, Job
from momentum_jax.studies.material import Material, Variants, given_in_python, material, said_in_one_line
from momentum_jax.studies.outlook import Outlook, outlook
from momentum_jax.studies.resolve import Optimizer, resolve, settle
from momentum_jax.studies.scores import Scores
from momentum_jax.studies.store import UNFINISHED, Curves, Damaged, Run, Store, locked, stored_runs
from momentum_jax.studies.study import MOST_SEEDS, Study
from momentum_jax.training import Problem, Progress, RunResult, WaveResult, train_many
from momentum_jax.training.devices import chosen_devices, require_seconds

CHECKPOINTS = "checkpoints"


def run_study(
    study: Study,
    directory: str | Path,
    *,
    problem: Problem | None = None,
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
      problem: what the study is of, where it is at hand in Python and `study` names none.
      data_directory: where the data sets lie, as in `data.load`.
      checkpoints: save the final parameters of each run but those of the tuning, by Orbax, in `<directory>/checkpoints/<run>`.
      devices: different ones of `jax.local_devices()`, all of one platform; None: all of this process.
      checkpoint_seconds: how often the state inside a wave is saved, so that a wave that was cut off need not begin again.
      on_plan: called once, before anything is trained, with what lies ahead and what the study cannot answer.
      on_progress: called between chunks of steps; its counts of steps are those of the whole study.
      on_complete: called with the store when all runs are in it, while the directory is still kept from other processes; the
        study is recorded as complete afterwards.

    Raises:
      StudyError: an arm, a problem, a data set or a directory that cannot be used, and nothing is written then; or a disk that
        is full. What a function of the user's raises is raised as it is, with a note that names the function.
      ValueError: devices or seconds that are none; likewise.
      Interrupted: Ctrl-C; finished waves are stored, and `resume` finishes the rest to the same numbers, as it does after
        a kill at whatever moment.

    Warns:
      DamageWarning: files of the store that are not as they were written, and what they held is run again; or runs that are not
        of this study, which are moved aside.
      StudyWarning: a function of the problem captures large arrays.

    Example: `run_study(Study(arms=(Arm("sgd(log_uniform(0.01, 1))"), Arm("adam(0.001)"))), "results", problem=diabetes())`.
    """
    if resume and overwrite:
        raise StudyError("resume and overwrite exclude each other: finish what is there, or replace it.")
    if problem is not None:
        study = given_in_python(study, problem)
    study = _named(study)
    for arm in study.arms:
        # Before data are read, or downloaded.
        resolve(arm.expression.middle, study.load)
    devices = chosen_devices("run_study", devices)
    require_seconds("run_study", checkpoint_seconds=checkpoint_seconds, infinite=True)
    whole = material(study, data_directory=data_directory)
    environment: dict[str, Any] = {"versions": _versions(), "backend": _backend(devices), **whole.digests}
    variants = Variants(study, whole, data_directory)
    if arms := _fingerprints(study, variants):
        environment["arms"] = arms
    for arm in study.arms:
        # An arm with arguments of its own is of a problem and data of its own.
        if arm.factors.keys() - {*BUDGET}:
            found = variants.of(arm.factors).digests
            of_arm = {**found["problem"], **{name: found[name] for name in ("data",) if name in found}}
            environment["problem"] |= {f"{name} (arm {arm.label})": digest for name, digest in of_arm.items()}
    asked = study
    study, recovered = _with_added_seeds(study, whole.scores, directory, environment) if resume else (study, ())
    if study.seeds != asked.seeds:
        whole = material(study, data_directory=data_directory)
        variants = Variants(study, whole, data_directory)
    bench = _Bench(study, variants, devices, checkpoints, checkpoint_seconds)
    # Whatever can be asked for is built once before anything is written.
    bench.settle([(job.expression, job.factors) for job in jobs.tuning(study)])
    bench.settle([(arm.expression, arm.factors) for arm in study.arms if not arm.ranges])
    with _full_disk_named(directory, resume=resume), locked(directory):
        store = (
            Store.resume(directory, study, environment, scores=whole.scores, recovered=recovered)
            if resume and Store.exists(directory)
            else Store.create(directory, study, environment, scores=whole.scores, overwrite=overwrite)
        )
        _finish(store, bench, on_plan, on_progress)
        _predict(store, bench)
        if on_complete is not None:
            on_complete(store)
        # Not before: what ends the process at the report leaves a study that the same command finishes. It adds no more seeds.
        store.complete()
    return store


def _named(study: Study) -> Study:
    """The study with the arguments of the user's constructors by their names, as its store has them."""
    arms = (replace(arm, optimizer=arm.expression.by_keywords(study.load)) for arm in study.arms)
    return replace(study, arms=tuple(arms))


def _fingerprints(study: Study, variants: Variants) -> dict[str, str]:
    """A digest of the optimizer of each arm whose constructor is the user's own, by its label, on its own problem."""
    found = {}
    for arm in study.arms:
        if arm.expression.origin:
            own = variants.of(arm.factors)
            optimizer = settle(resolve(arm.expression.middle, study.load), own.params, own.problem.axes)
            found[arm.label] = fingerprint.of_optimizer(optimizer, own.params)
    return found


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


def _with_added_seeds(
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
    ahead = len(jobs.reporting(study, {arm.label: supposed.get(arm.label, arm.expression) for arm in study.arms}))
    store.note(planned=len(tuning) + ahead)
    try:
        if on_plan is not None:
            counts = {"tuning": len(tuning), "reporting": ahead, "stored": min(len(store.runs), len(tuning) + ahead)}
            on_plan(outlook(study, store.directory, bench.variants.of({}), devices=bench.devices, **counts))
        whole = _Whole(on_progress)
        _work(store, bench, tuning, whole, ahead=ahead * study.steps)
        reporting = jobs.reporting(study, jobs.choose(study, store.scores, store.runs))
        store.note(planned=len(tuning) + len(reporting))
        store.keep(_keys(store, [*tuning, *reporting]))
        _work(store, bench, reporting, whole, ahead=0)
    except KeyboardInterrupt:
        store.close("interrupted")
        raise
    # What was damaged has been run again.
    store.damage.clear()
    store.gather()


def _predict(store: Store, bench: _Bench) -> None:
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


def _keys(store: Store, planned: Sequence[Job]) -> dict[str, str]:
    """The key of each job by its name."""
    keys = jobs.keys(store.study, store.manifest["environment"], planned)
    return {job.name: key for job, key in zip(planned, keys, strict=True)}


def _work(store: Store, bench: _Bench, planned: Sequence[Job], whole: _Whole, *, ahead: int) -> None:
    """Trains the planned runs that are not stored, wave by wave into the store; so many steps follow."""
    study, keys = store.study, _keys(store, planned)
    stored = {run.name for run in store.runs if run.key == keys.get(run.name)}
    alike: dict[str, list[Job]] = {}
    for job in planned:
        # One program is for runs of one budget and one problem.
        alike.setdefault(repr(sorted(job.factors.items())), []).append(job)
    left = {name: [job for job in jobs if job.name not in stored] for name, jobs in alike.items()}
    steps = {name: study.with_factors(jobs[0].factors).steps for name, jobs in alike.items()}
    whole.begin(sum(steps[name] * (len(jobs) - len(left[name])) for name, jobs in alike.items()))
    for place, (name, pending) in enumerate(left.items()):
        if pending:
            behind = sum(steps[other] * len(left[other]) for other in [*left][place + 1 :])
            whole.ahead = ahead + behind
            _train(store, bench, pending, keys, whole)
            whole.begin(steps[name] * len(pending))


def _train(store: Store, bench: _Bench, pending: Sequence[Job], keys: Mapping[str, str], whole: _Whole) -> None:
    """Trains runs of one budget and one problem."""
    study, material = store.study.with_factors(pending[0].factors), bench.variants.of(pending[0].factors)
    optimizers = bench.settle([(job.expression, job.factors) for job in pending])
    tuning = pending[0].phase == TUNING
    with said_in_one_line():
        train_many(
            jax.vmap(jax.random.key)(np.array([job.seed for job in pending], np.uint32)),
            [optimizers[job.expression].make for job in pending],
            [optimizers[job.expression].numbers for job in pending],
            material.tuning if tuning else material.problem,
            steps=study.steps,
            batch_size=material.batch,
            sampling=study.sampling,
            splits=np.array([material.seeds[job.seed] for job in pending]),
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
    """What all runs of a study share: what they are trained on, and optimizers, each settled once."""

    def __init__(self, study: Study, variants: Variants, devices: Sequence[Any], checkpoints: bool, checkpoint_seconds: float):
        self.study, self.variants = study, variants
        self.devices, self.checkpoints, self.checkpoint_seconds = devices, checkpoints, checkpoint_seconds
        self._settled: dict[tuple[Expression, Material], Optimizer] = {}
        self._makes: dict[tuple[tuple[str, ...], Material], Any] = {}

    def settle(self, asked: Sequence[tuple[Expression, Mapping[str, Any]]]) -> dict[Expression, Optimizer]:
        """The optimizers of expressions, each for an arm's factors; those of one group share their `make`, for which the
        trainer compiles once.
        """
        found = {}
        for expression, factors in asked:
            material = self.variants.of(factors)
            if (expression, material) not in self._settled:
                optimizer = resolve(expression, self.study.load)
                group = (optimizer.group, material)
                # A trial without data is the same for all that differ in numbers alone.
                if group not in self._makes or not optimizer.numbers:
                    optimizer = settle(optimizer, material.params, material.problem.axes)
                # One that cannot be built from traced numbers shares nothing.
                if optimizer.group == group[0]:
                    optimizer = replace(optimizer, make=self._makes.setdefault(group, optimizer.make))
                self._settled[expression, material] = optimizer
            found[expression] = self._settled[expression, material]
        return found


class _Whole:
    """Tells of what is trained as a part of the whole study: steps that were done before it, and that are `ahead` of it."""

    def __init__(self, tell: Callable[[Progress], None] | None):
        self._tell, self._done, self.ahead = tell, 0, 0

    def begin(self, done: int) -> None:
        """So many further steps are done."""
        self._done += done

    def __call__(self, progress: Progress) -> None:
        if self._tell is None:
            return
        done = progress.model_steps + self._done
        total = progress.total_model_steps + self._done + self.ahead
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
            test={name: _plain(value) for name, value in result.test.items()},
            validation={name: float(curve[-1]) for name, curve in result.validation.items()},
            diverged=int(result.diverged) if result.diverged >= 0 else None,
            seconds=float(result.seconds),
            key=self.keys[job.name],
            factors=dict(job.factors),
        )
        return run, Curves(result.losses, result.evaluation_steps, result.validation)


def _plain(value: np.ndarray) -> Any:
    """A score as Python's numbers; an array as nested tuples of them."""
    return tuple(map(_plain, value)) if value.ndim else value.item()


def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in ("jax", "jaxlib", "optax", "flax", "numpy", "scipy")}
    return {"momentum_jax": momentum_jax.__version__, **libraries}


def _backend(devices: Sequence[Any]) -> dict[str, str]:
    return {"platform": devices[0].platform, "device": devices[0].device_kind}


def _machine() -> dict[str, Any]:
    return {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()}
