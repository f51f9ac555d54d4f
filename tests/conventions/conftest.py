"""The oracles of the conventions are float64."""

from collections.abc import Iterator

import jax
import pytest
from oracles import Problems, problems


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def problem() -> Problems:
    return problems()
