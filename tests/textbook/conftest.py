from dataclasses import replace

import pytest

from momentum_jax import textbook
from momentum_jax.textbook import Claim


@pytest.fixture
def with_claims():
    """An experiment that is quick, with other claims."""

    def build(*claims: Claim, **changes):
        return replace(textbook.find("one-dimension"), claims=claims, **changes)

    return build
