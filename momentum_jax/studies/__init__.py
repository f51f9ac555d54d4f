"""Studies: a specification, the runs it asks for, their store, and what they say."""

from momentum_jax.studies.errors import StudyError as StudyError
from momentum_jax.studies.search import Search as Search
from momentum_jax.studies.spec import Arm as Arm, Network as Network, Study as Study
