"""The studies behind experiments that train: run into a store beside `result.json`, from which the next run goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from momentum_jax.studies import Study, wording
from momentum_jax.studies.analysis import Analysis
from momentum_jax.studies.scores import IMAGES
from momentum_jax.studies.statistics import describe
from momentum_jax.studies.store import Run, Store
from momentum_jax.textbook.experiment import Surroundings


@contextmanager
def trained(study: Study, surroundings: Surroundings, name: str = "study", *, checkpoints: bool = False) -> Iterator[Store]:
    """The store of a study, all of whose runs are made, in `<directory>/<name>-<steps>-steps`; without a directory it is
    gone at the end. What was stored before is not trained again; another study in its place is a `StudyError`.
    """
    from momentum_jax.studies.run import run_study

    folder = f"{name}-{study.steps}-steps"
    options = {"data_directory": surroundings.data_directory, "checkpoints": checkpoints}
    if surroundings.directory is not None:
        yield run_study(study, surroundings.directory / folder, resume=True, **options)
        return
    with TemporaryDirectory() as directory:
        yield run_study(study, Path(directory) / folder, **options)


def told(analysis: Analysis) -> list[str]:
    """The answer of a study, then a sentence for each other claim."""
    return [wording.verdict(analysis), *wording.lines(analysis)]


def accuracies(runs: Sequence[Run]) -> np.ndarray:
    """On the test set, (runs,), at the worst value where a run diverged."""
    return np.array([run.score(IMAGES["accuracy"]) for run in runs])


def correlations(runs: Sequence[Run]) -> np.ndarray:
    """Matthews correlation coefficients on the test set, (runs,), at the worst value where a run diverged."""
    return np.array([run.score(IMAGES["mcc"]) for run in runs])


def mean_and_error(values: Sequence[float] | np.ndarray, form: str = ".5f") -> str:
    """The mean of values and its standard error, as tables show them: "0.85778 ± 0.00056".

    Values that are not finite are left out and counted: "0.85778 ± 0.00056, 2 of 22 not finite".
    """
    finite = np.asarray(values)[np.isfinite(values)]
    if finite.size < len(values):
        lost = f"{len(values) - finite.size} of {len(values)} not finite"
        return f"{mean_and_error(finite, form)}, {lost}" if finite.size else lost
    found = describe(values)
    return f"{found.mean:{form}}" + ("" if found.standard_error is None else f" ± {found.standard_error:{form}}")
