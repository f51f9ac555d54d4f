"""Gradient descent: the method without memory."""

from momentum_jax._hyperparameters import LearningRate, checked
from momentum_jax.optimizers._transformation import Transformation, chain
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate


@checked
def gradient_descent(learning_rate: LearningRate) -> Transformation:
    """Gradient descent.

        x' = x - eta g

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`.

    Raises:
      ValueError: learning_rate out of range.
      TypeError: learning_rate of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.gradient_descent(0.1)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.810 0.729 0.656

    State: `step`, int32 scalar.
    Memory: none.
    Stable on curvatures in (0, L] when 0 < eta < 2 / L; on curvatures in [m, L] eta = 2 / (L + m) is best.
    Source: A. Cauchy (1847), Comptes rendus 25, 536-538.

    See also: `heavy_ball` and `sgd`, with momentum.
    """
    return chain("gradient_descent", scale_by_learning_rate(learning_rate))
