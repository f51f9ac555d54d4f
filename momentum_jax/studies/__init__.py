"""Studies: a specification, the runs it asks for, their store, and what they say."""

from momentum_jax.studies.arm import Arm as Arm
from momentum_jax.studies.errors import StudyError as StudyError
from momentum_jax.studies.network import Network as Network
from momentum_jax.studies.predicted import PredictionAt as PredictionAt
from momentum_jax.studies.search import Search as Search
from momentum_jax.studies.study import Study as Study
