"""The oracles of the conventions are float64."""

import pytest


@pytest.fixture(autouse=True)
def _float64(x64: None) -> None: ...
