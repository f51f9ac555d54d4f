import functools
from dataclasses import replace

import pytest

from momentum_jax import textbook
from momentum_jax.textbook import Claim

# A run for each worker, whatever is asked of its result; nobody changes one.
_quick_run = functools.cache(lambda name: textbook.run(textbook.find(name), quick=True))


@pytest.fixture(scope="session")
def quick_run():
    return _quick_run


@pytest.fixture
def with_claims():
    """An experiment that is quick, with other claims."""

    def build(*claims: Claim, **changes):
        return replace(textbook.find("one-dimension"), claims=claims, **changes)

    return build
