"""Gradient descent: the method without memory.

    x' = x - eta g

State: `step`, int32 scalar.
Memory: none.
Stable on curvatures in (0, L] when 0 < eta < 2 / L; on curvatures in [m, L] eta = 2 / (L + m) is best.
Source: A. Cauchy (1847), Comptes rendus 25, 536-538.
"""

from momentum_jax._hyperparameters import LearningRate, checked
from momentum_jax.optimizers._transformation import Transformation, chain
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate


@checked
def gradient_descent(learning_rate: LearningRate) -> Transformation:
    """Gradient descent.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`.

    Raises:
      ValueError: learning_rate out of range.
      TypeError: learning_rate of the wrong type.
    """
    return chain("gradient_descent", scale_by_learning_rate(learning_rate))
