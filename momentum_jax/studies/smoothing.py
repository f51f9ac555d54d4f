"""Smoothing of training losses, as figures draw them and tables read them."""

from __future__ import annotations

import numpy as np

from momentum_jax.studies.spec import Study


def window_of(study: Study) -> int:
    """The window for the training curves of a study, in steps: a hundredth of it, from 1 to 100."""
    return int(np.clip(study.steps // 100, 1, 100))


def smooth(losses: np.ndarray, window: int) -> np.ndarray:
    """Moving average along the last axis with weights (1 - 1/window)^|distance in steps|, which does not lag.

    NaN from the first value on that is not finite.
    """
    losses = np.asarray(losses, np.float64)
    finite = np.logical_and.accumulate(np.isfinite(losses), axis=-1)
    # The loss and its weight, decayed from the left and from the right; the middle is in both.
    values = np.stack([np.where(finite, losses, 0.0), finite.astype(np.float64)])
    decay = 1.0 - 1.0 / window
    total, weight = _decayed(values, decay) + np.flip(_decayed(np.flip(values, -1), decay), -1) - values
    return np.where(finite, total / np.where(finite, weight, 1.0), np.nan)


def _decayed(values: np.ndarray, decay: float) -> np.ndarray:
    sums = values.copy()
    for step in range(1, values.shape[-1]):
        sums[..., step] += decay * sums[..., step - 1]
    return sums
