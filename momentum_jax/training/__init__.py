"""Training: any problem, many runs at once, each as if it were alone.

Image nets built from Flax are in `momentum_jax.training.model`.
"""

from momentum_jax.training.adapters import of_equinox as of_equinox, of_linen as of_linen, of_nnx as of_nnx
from momentum_jax.training.classification import Examples as Examples, Model as Model, classification as classification
from momentum_jax.training.devices import use_all_cpu_cores as use_all_cpu_cores
from momentum_jax.training.problem import (
    Problem as Problem,
    Score as Score,
    Stream as Stream,
    Table as Table,
    fixed_split as fixed_split,
    higher as higher,
    kept as kept,
    lower as lower,
    random_split as random_split,
)
from momentum_jax.training.results import (
    Interrupted as Interrupted,
    Progress as Progress,
    RunResult as RunResult,
    TrainingResult as TrainingResult,
    WaveResult as WaveResult,
)
from momentum_jax.training.several_steps import several_steps as several_steps, stacked as stacked
from momentum_jax.training.supervised import classifier as classifier, next_token as next_token, regression as regression
from momentum_jax.training.waves import train_many as train_many
