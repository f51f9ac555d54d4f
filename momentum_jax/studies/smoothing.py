"""Smoothing of training losses, as figures draw them and tables read them."""

from __future__ import annotations

import numpy as np

from momentum_jax.studies.spec import Study


def window_of(study: Study) -> int:
    """The window for the training curves of a study, in steps: a hundredth of it, from 1 to 100."""
    return int(np.clip(study.steps // 100, 1, 100))


def smooth(losses: np.ndarray, window: int) -> np.ndarray:
    """Centred moving average along the last axis, over `window` values or the next odd number.

    Near the beginning, where losses fall fast, it is only as wide as there is room on both sides, so it begins where they do
    and does not lag; near the end it is of what there is. NaN from the first value on that is not finite; what was smoothed
    before does not see it.
    """
    losses = np.asarray(losses, np.float64)
    finite = np.logical_and.accumulate(np.isfinite(losses), axis=-1)
    sums = np.cumsum(np.where(finite, losses, 0.0), axis=-1)
    sums = np.concatenate([np.zeros_like(sums[..., :1]), sums], axis=-1)
    index = np.arange(losses.shape[-1])
    last = finite.sum(axis=-1, keepdims=True) - 1
    before = np.broadcast_to(np.minimum(index, window // 2), losses.shape)
    after = np.clip(np.minimum(before, last - index), 0, None)
    total = np.take_along_axis(sums, index + after + 1, -1) - np.take_along_axis(sums, index - before, -1)
    return np.where(finite, total / (before + after + 1), np.nan)
