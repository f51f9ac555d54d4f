"""Smoothing of training losses, as figures draw them and tables read them."""

from __future__ import annotations

import numpy as np

from momentum_jax.smoothing import simple_moving_average
from momentum_jax.studies.study import Study


def window_of(study: Study) -> int:
    """The window for the training curves of a study, in steps: a hundredth of it, odd, from 1 to 99."""
    return int(np.clip(study.steps // 100, 1, 99)) | 1


def smooth(losses: np.ndarray, window: int) -> np.ndarray:
    """Centred moving average along the last axis over an odd `window`.

    Near the beginning, where losses fall fast, it is only as wide as there is room on both sides, so it begins where they do
    and does not lag; near the end it is of what there is. NaN from the first value on that is not finite; what was smoothed
    before does not see it.
    """
    losses = np.asarray(losses, np.float64)
    smoothed = np.full(losses.shape, np.nan)
    for row, into in zip(losses.reshape(-1, losses.shape[-1]), smoothed.reshape(-1, losses.shape[-1]), strict=True):
        length = int(np.logical_and.accumulate(np.isfinite(row)).sum())
        into[:length] = _smooth_row(row[:length], window // 2)
    return smoothed


def _smooth_row(row: np.ndarray, half: int) -> np.ndarray:
    result = row.copy()
    if len(row) > 2 * half:
        result[half : len(row) - half] = simple_moving_average(row, 2 * half + 1)[2 * half :]
    middle = range(half, len(row) - half)
    for index in (i for i in range(len(row)) if i not in middle):
        before = min(index, half)
        result[index] = row[index - before : index + min(before, len(row) - 1 - index) + 1].mean()
    return result
