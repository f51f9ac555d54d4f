"""Hyperparameters between frameworks and between methods that are one method.

    from momentum_jax import conventions

    conventions.convert(conventions.PyTorch(lr=0.1, momentum=0.9), to="ema")
    # EMA(learning_rate=1.0, momentum=0.9)
    conventions.build(conventions.EMA(1.0, 0.9))                # this library's optimizer
    conventions.from_torch(torch_optimizer.param_groups[0])     # this library's optimizer, from a plain dict
    conventions.from_keras(keras_optimizer.get_config())

Two sets of hyperparameters are translations of each other when the methods take their gradients at the same points, whatever
the gradients are. Hyperparameters are numbers, 0-d arrays (traced ones too) or schedules `step -> value`; a schedule is
translated into the schedules that keep the points equal. Where there are none, or numbers not in the range of a method,
ValueError says why. The `note` of the result says what differs at the start only, where a schedule leaves the range that
numbers have, and which schedules were looked at no further than at steps 0 and 1 because `steps` was not given.

The points are those that the user holds: of look-ahead methods the look-ahead points, which is what the reformulated
Nesterov of PyTorch, Keras and Optax calls the parameters.
"""

from momentum_jax.conventions.build import build
from momentum_jax.conventions.convention import Convention
from momentum_jax.conventions.keras_settings import from_keras
from momentum_jax.conventions.mixtures import (
    EMA,
    PID,
    QHM,
    AggMo,
    Grokfast,
)
from momentum_jax.conventions.torch_settings import from_torch
from momentum_jax.conventions.translation import NAMES, convert
from momentum_jax.conventions.two_sequences import (
    AcceleratedSGD,
    EMANesterov,
    TripleMomentum,
)
from momentum_jax.conventions.velocities import (
    HeavyBall,
    Keras,
    Nesterov,
    Optax,
    PyTorch,
    ReformulatedNesterov,
)

__all__ = [
    "EMA",
    "NAMES",
    "PID",
    "QHM",
    "AcceleratedSGD",
    "AggMo",
    "Convention",
    "EMANesterov",
    "Grokfast",
    "HeavyBall",
    "Keras",
    "Nesterov",
    "Optax",
    "PyTorch",
    "ReformulatedNesterov",
    "TripleMomentum",
    "build",
    "convert",
    "from_keras",
    "from_torch",
]


def __dir__() -> list[str]:
    return sorted(__all__)
