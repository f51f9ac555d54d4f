"""Training: any problem, many runs at once, each as if it were alone.

Image nets built from Flax are in `momentum_jax.training.model`.
"""

from momentum_jax.training.adapters import of_equinox, of_linen, of_nnx
from momentum_jax.training.classification import Examples, Model, classification
from momentum_jax.training.devices import use_all_cpu_cores
from momentum_jax.training.problem import (
    Problem,
    Score,
    Stream,
    Table,
    fixed_split,
    higher,
    kept,
    lower,
    random_split,
)
from momentum_jax.training.results import (
    Interrupted,
    Progress,
    RunResult,
    TrainingResult,
    WaveResult,
)
from momentum_jax.training.several_steps import several_steps, stacked
from momentum_jax.training.supervised import classifier, next_token, regression
from momentum_jax.training.waves import train_many

__all__ = [
    "Examples",
    "Interrupted",
    "Model",
    "Problem",
    "Progress",
    "RunResult",
    "Score",
    "Stream",
    "Table",
    "TrainingResult",
    "WaveResult",
    "classification",
    "classifier",
    "fixed_split",
    "higher",
    "kept",
    "lower",
    "next_token",
    "of_equinox",
    "of_linen",
    "of_nnx",
    "random_split",
    "regression",
    "several_steps",
    "stacked",
    "train_many",
    "use_all_cpu_cores",
]


def __dir__() -> list[str]:
    return sorted(__all__)
