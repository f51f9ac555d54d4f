"""Studies: a specification, the runs it asks for, their store, and what they say."""

from momentum_jax.studies.arm import Arm
from momentum_jax.studies.errors import StudyError
from momentum_jax.studies.network import Network
from momentum_jax.studies.predicted import PredictionAt
from momentum_jax.studies.search import Search
from momentum_jax.studies.study import Study

__all__ = ["Arm", "Network", "PredictionAt", "Search", "Study", "StudyError"]


def __dir__() -> list[str]:
    return sorted(__all__)
