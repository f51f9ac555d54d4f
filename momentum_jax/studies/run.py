"""Running a study: every arm from every seed, wave by wave into the store."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

import momentum_jax
from momentum_jax import data
from momentum_jax.studies.arms import Optimizer, resolve, settle
from momentum_jax.studies.errors import StudyError
from momentum_jax.studies.spec import Study
from momentum_jax.studies.store import Curves, Run, Store, locked
from momentum_jax.training import Examples, Model, Progress, RunResult, WaveResult, train_many
from momentum_jax.training.model import mlp

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
    on_progress: Callable[[Progress], None] | None = None,
    on_complete: Callable[[Store], Any] | None = None,
) -> Store:
    """Runs what the store in `directory` does not hold yet, and returns the store.

    Args:
      study: what to run.
      directory: the store: absent or empty, unless `resume` (finish the same study) or `overwrite` (begin it anew).
      data_directory: where the data sets lie, as in `data.load`.
      checkpoints: save the final parameters of each run, by Orbax, in `<directory>/checkpoints/<run>`.
      devices: what to train on; None: all local devices.
      on_progress: called between chunks of steps.
      on_complete: called with the finished store while the directory is still kept from other processes.

    Raises:
      StudyError: an arm, a data set or a directory that cannot be used; nothing is written then.
      Interrupted: Ctrl-C; finished waves are stored, and `resume` finishes the rest to the same numbers.
    """
    if resume and overwrite:
        raise StudyError("resume and overwrite exclude each other: finish what is there, or replace it.")
    optimizers = {arm.label: resolve(arm.optimizer) for arm in study.arms}
    dataset = data.load(study.dataset, directory=data_directory, size=study.size)
    model = build_model(study, dataset)
    examples = _examples(study, dataset)
    params, _ = jax.eval_shape(model.init, jax.random.key(0))
    optimizers = _shared({label: settle(optimizer, params) for label, optimizer in optimizers.items()})
    environment = {"versions": _versions(), "backend": _backend(devices), "data": _digest(dataset)}
    with locked(directory):
        store = (
            Store.resume(directory, study, environment)
            if resume and Store.exists(directory)
            else Store.create(directory, study, environment, overwrite=overwrite)
        )
        _finish(store, optimizers, model, examples, checkpoints, devices, on_progress)
        if on_complete is not None:
            on_complete(store)
    return store


def _finish(
    store: Store,
    optimizers: Mapping[str, Optimizer],
    model: Model,
    examples: Examples,
    checkpoints: bool,
    devices: Sequence[Any] | None,
    on_progress: Callable[[Progress], None] | None,
) -> None:
    """Runs what the store does not hold yet."""
    study = store.study
    store.note(machine=_machine())
    planned = [(index, arm, seed) for index, arm in enumerate(study.arms) for seed in study.seeds]
    stored = {(run.arm, run.seed) for run in store.runs}
    pending = [(index, arm.label, seed) for index, arm, seed in planned if (arm.label, seed) not in stored]
    if pending:
        recorder = _Recorder(store, pending, checkpoints)
        try:
            train_many(
                jax.vmap(jax.random.key)(np.array([seed for *_, seed in pending], np.uint32)),
                [optimizers[label].make for _, label, _ in pending],
                [optimizers[label].numbers for _, label, _ in pending],
                model,
                examples,
                steps=study.steps,
                batch_size=study.batch,
                sampling=study.sampling,
                splits=np.array([study.seeds.index(seed) for *_, seed in pending]),
                evaluate_at=study.evaluate_every,
                devices=devices,
                keep_params=checkpoints,
                on_progress=on_progress,
                on_wave=recorder,
            )
        except KeyboardInterrupt:
            store.close("interrupted")
            raise
    store.close("complete")


class _Recorder:
    """Stores each finished wave; keeps account of where the time went, in seconds, over all sessions of the study."""

    def __init__(self, store: Store, pending: Sequence[tuple[int, str, int]], checkpoints: bool):
        self.store = store
        self.pending = pending
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
        index, label, seed = self.pending[result.run]
        run = Run(
            name=f"arm-{index}/seed-{seed}",
            arm=label,
            seed=seed,
            accuracy=float(result.accuracy),
            mcc=float(result.mcc),
            loss=float(result.test_loss),
            confusion=tuple(tuple(int(count) for count in row) for row in np.asarray(result.confusion)),
            diverged=int(result.diverged) if result.diverged >= 0 else None,
            seconds=float(result.seconds),
        )
        curves = Curves(result.losses, result.evaluation_steps, result.evaluation_losses, result.evaluation_accuracies)
        return run, curves


def build_model(study: Study, dataset: data.Dataset) -> Model:
    """The network of the study for the images of the data set."""
    network = study.network
    return mlp(
        hidden=network.hidden,
        activation=network.activation,
        dropout=network.dropout,
        init=network.initialization,
        output_activation=network.output_activation,
        loss=network.loss,
        input_shape=dataset.images.shape[1:],
        classes=len(dataset.classes),
    )


def _examples(study: Study, dataset: data.Dataset) -> Examples:
    splits = [dataset.split(seed) for seed in study.seeds]
    train, validation, test = (np.stack([split[part] for split in splits]) for part in range(3))
    if study.batch > train.shape[1]:
        raise StudyError(
            f"Study: batch must be at most {train.shape[1]}, the training examples of {study.dataset}, got {study.batch}."
        )
    return Examples(dataset.images, dataset.labels, dataset.scale, train, validation, test)


def _shared(optimizers: dict[str, Optimizer]) -> dict[str, Optimizer]:
    """The trainer compiles once for each `make`: arms of one group get the same."""
    first: dict[tuple[str, ...], Any] = {}
    for optimizer in optimizers.values():
        first.setdefault(optimizer.group, optimizer.make)
    return {label: replace(optimizer, make=first[optimizer.group]) for label, optimizer in optimizers.items()}


def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in ("jax", "jaxlib", "optax", "flax", "numpy")}
    return {"momentum_jax": momentum_jax.__version__, **libraries}


def _backend(devices: Sequence[Any] | None) -> dict[str, str]:
    device = (devices or jax.local_devices())[0]
    return {"platform": device.platform, "device": device.device_kind}


def _machine() -> dict[str, Any]:
    return {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()}


def _digest(dataset: data.Dataset) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(dataset.images).data)
    digest.update(np.ascontiguousarray(dataset.labels).data)
    return digest.hexdigest()
