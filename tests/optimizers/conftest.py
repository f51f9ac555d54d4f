"""The oracles of the optimizers are float64."""

from collections.abc import Iterator

import jax
import numpy as np
import pytest
from adaptive_problems import Parabola
from oracles import Problems, problems


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def problem() -> Problems:
    return problems()


@pytest.fixture(scope="session")
def parabola() -> Parabola:
    rng = np.random.default_rng(3)
    return Parabola(rng.normal(size=(6, 6)), rng.normal(size=6))
