"""The oracles of the optimizers are float64."""

import numpy as np
import pytest
from adaptive_problems import Parabola


@pytest.fixture(autouse=True)
def _float64(x64: None) -> None: ...


@pytest.fixture(scope="session")
def parabola() -> Parabola:
    rng = np.random.default_rng(3)
    return Parabola(rng.normal(size=(6, 6)), rng.normal(size=6))
