"""The bench on which a study's runs are made: what they share, how they are trained, and what is stored of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from momentum_jax.studies.expression import Expression
from momentum_jax.studies.jobs import TUNING, Job
from momentum_jax.studies.material import Material, Variants, said_in_one_line
from momentum_jax.studies.resolve import Optimizer, resolve, settle
from momentum_jax.studies.store import Curves, Run
from momentum_jax.studies.store.records import by_name
from momentum_jax.studies.study import Study
from momentum_jax.training import Progress, RunResult, WaveResult, train_many


class Bench:
    """What all runs of a study share: what they are trained on, and optimizers, each settled once."""

    def __init__(self, study: Study, variants: Variants, devices: Sequence[Any], log_hyperparameters: bool = False):
        self.study, self.variants, self.devices = study, variants, devices
        self.log_hyperparameters = log_hyperparameters
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
                optimizer = resolve(expression, self.study.load, material.problem.axes)
                group = (optimizer.group, material)
                # A trial without data is the same for all that differ in numbers alone.
                if group not in self._makes or not optimizer.numbers:
                    optimizer = settle(optimizer, material.params)
                # One that cannot be built from traced numbers shares nothing.
                if optimizer.group == group[0]:
                    optimizer = replace(optimizer, make=self._makes.setdefault(group, optimizer.make))
                self._settled[expression, material] = optimizer
            found[expression] = self._settled[expression, material]
        return found

    def train(
        self,
        pending: Sequence[Job],
        on_wave: Callable[[WaveResult], None],
        *,
        on_progress: Callable[[Progress], None] | None = None,
        keep_params: bool = False,
        checkpoint: Path | None = None,
        checkpoint_seconds: float = 60.0,
    ) -> None:
        """Trains jobs of one budget and one problem; the options are those of `train_many`."""
        study, material = self.study.with_factors(pending[0].factors), self.variants.of(pending[0].factors)
        optimizers = self.settle([(job.expression, job.factors) for job in pending])
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
                log_hyperparameters=self.log_hyperparameters and not tuning,
                devices=self.devices,
                keep_params=keep_params,
                on_progress=on_progress,
                on_wave=on_wave,
                checkpoint=checkpoint,
                checkpoint_seconds=checkpoint_seconds,
            )


def rows_of(wave: WaveResult, pending: Sequence[Job], keys: Mapping[str, str]) -> list[tuple[Run, Curves]]:
    """What is stored of each run of a wave; `keys` are those of the jobs, by name."""
    return [_row(result, pending[result.run], keys) for result in wave.runs]


def _row(result: RunResult, job: Job, keys: Mapping[str, str]) -> tuple[Run, Curves]:
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
        key=keys[job.name],
        factors=dict(job.factors),
    )
    told = by_name(result.hyperparameters or {})
    return run, Curves(result.losses, result.evaluation_steps, result.validation, told)


def _plain(value: np.ndarray) -> Any:
    """A score as Python's numbers; an array as nested tuples of them."""
    return tuple(map(_plain, value)) if value.ndim else value.item()


def seconds_of(wave: WaveResult) -> dict[str, float]:
    """Where the time of a wave went."""
    return {"training": wave.training_seconds, "evaluation": wave.evaluation_seconds, "compile": wave.compile_seconds}
