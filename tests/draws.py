"""Samples for simulations, and how close to a rate a simulated share must come."""

import math

import numpy as np


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def within(share: float, expected: float, count: int) -> bool:
    """By four standard deviations of a binomial share."""
    return abs(share - expected) <= 4 * math.sqrt(expected * (1 - expected) / count)
