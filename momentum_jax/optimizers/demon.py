"""Demon: heavy ball whose momentum decays to 0 over the training."""

from typing import Any

from momentum_jax import schedules
from momentum_jax._hyperparameters import Decay, DType, LearningRate, Steps, checked, value_at
from momentum_jax.optimizers._transformation import Transformation, chain
from momentum_jax.optimizers.heavy_ball import scale_by_heavy_ball
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate


@checked
def demon(
    learning_rate: LearningRate, momentum: Decay = 0.9, *, total_steps: Steps, accumulator_dtype: DType = None
) -> Transformation:
    """Demon as an optimizer.

        beta_t = b0 (1 - t / T) / ((1 - b0) + b0 (1 - t / T)), 0 after T
        v' = beta_t v - eta g          x' = x + v'

    Equivalent form: `heavy_ball(eta, schedules.demon(b0, total_steps=T))`; beta_t / (1 - beta_t), the weight that a gradient
    has in all later steps together, falls along a line. `schedules.demon` serves every other method as well, Adam's b1 for one.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      momentum: b0 in [0, 1), likewise.
      total_steps: T, the updates of the training, at least 1; after them momentum is 0.
      accumulator_dtype: dtype of the velocity; None: that of the parameter.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.demon(0.1, 0.9, total_steps=4)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.723 0.506 0.305

    Convention: eta is inside the velocity, as in the paper. t counts from 0, so that beta_0 = b0.
    State: that of `heavy_ball` behind that of the learning rate: `step`, int32 scalar; `velocity`, the tree and shapes of the
    parameters, in their dtypes or `accumulator_dtype`.
    Stable where heavy ball is, with 0 <= b0 < 1 and 0 < eta < 2 / L: the bound is the one that the momentum ends with.
    Memory: 1 buffer.
    Source: J. Chen, C. Wolfe, Z. Li and A. Kyrillidis (2019), Demon: improved neural network training with momentum decay,
    arXiv:1910.04952.

    See also: `schedules.demon`, the same momentum for any method; `sgd`.
    """

    def beta(step: Any) -> Any:
        return schedules.demon(value_at(momentum, step), total_steps=total_steps)(step)

    core = scale_by_heavy_ball(beta, accumulator_dtype=accumulator_dtype)
    return chain("demon", scale_by_learning_rate(learning_rate), core)
