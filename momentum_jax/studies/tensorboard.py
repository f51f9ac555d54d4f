"""A store's curves as TensorBoard's event files: one directory a run, `<label>/seed-<seed>`."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np

from momentum_jax.studies.errors import StudyError
from momentum_jax.studies.store import Store

DIRECTORY = "tensorboard"
MOST_POINTS = 1000


def require() -> None:
    """Raises `StudyError` where tensorboardX is not installed: asked before a study runs, not after."""
    if importlib.util.find_spec("tensorboardX") is None:
        raise StudyError(
            "--tensorboard needs tensorboardX, which is not installed; install it by `pip install 'momentum_jax[tensorboard]'`."
        )


def shown(count: int) -> np.ndarray:
    """The steps, of so many, whose training loss is written."""
    return np.unique(np.linspace(0, count - 1, MOST_POINTS).astype(int))


def write_events(store: Store) -> Path:
    """Writes `train/loss`, `hyperparameters/<method>/<name>` where they were recorded (both thinned to 1,000 points) and
    `validation/<score>` of each ranked score, of every run of the report.

    Returns the directory to open with `tensorboard --logdir`.
    """
    require()
    from tensorboardX import SummaryWriter

    root = store.directory / DIRECTORY
    folders = _folders([arm.label for arm in store.study.arms])
    written: list[Path] = []
    for run in (run for arm in store.study.arms for run in store.of(arm.label)):
        folder = root / folders[run.arm] / f"seed-{run.seed}"
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        curves = store.curves(run)
        by_step = {"train/loss": curves.train_loss}
        by_step |= {f"hyperparameters/{name}": values for name, values in curves.hyperparameters.items()}
        with SummaryWriter(str(folder)) as writer:
            for name, values in by_step.items():
                for step in shown(len(values)):
                    if np.isfinite(values[step]):
                        writer.add_scalar(name, float(values[step]), int(step))
            for name, values in curves.validation.items():
                for step, value in zip(curves.steps, values, strict=True):
                    if np.isfinite(value):
                        writer.add_scalar(f"validation/{name}", float(value), int(step))
        written += folder.glob("events.out.tfevents.*")
    store.note(files=written)
    return root


def _folders(labels: list[str]) -> dict[str, str]:
    """A folder name for each label that every file system takes; numbered, so that no two labels share one."""
    return {label: f"{index}-{re.sub(r'[^A-Za-z0-9.]+', '_', label).strip('_.')[:60]}" for index, label in enumerate(labels)}
