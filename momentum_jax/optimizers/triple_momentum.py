"""Triple momentum: accelerated descent with the best rate that fixed coefficients reach on strongly convex functions."""

from typing import Any

from momentum_jax._hyperparameters import DType, Positive, checked
from momentum_jax.optimizers._three_parameter import Coefficients, refuse_wrong_order, three_parameter
from momentum_jax.optimizers._transformation import Transformation


@checked
def triple_momentum(*, strong_convexity: Positive, smoothness: Positive, accumulator_dtype: DType = None) -> Transformation:
    """Triple momentum.

        xi' = xi + beta (xi - xi_prev) - alpha g(y)
        y = xi + gamma (xi - xi_prev)          x = xi + delta (xi - xi_prev)
        rho = 1 - sqrt(m / L):  alpha = (1 + rho) / L,  beta = rho^2 / (2 - rho),
                                gamma = rho^2 / ((1 + rho) (2 - rho)),  delta = rho^2 / (1 - rho^2)

    m and L are the least and the largest curvature (strong convexity and smoothness). |x - x*| falls like rho^k in k
    steps, where `nesterov`'s bound is sqrt(1 - sqrt(m / L)).

    The parameters that you hold are query points; evaluate and save `momentum_jax.evaluation_params(params, opt_state)`.

    Args:
      strong_convexity: m > 0, the least curvature; a number, a 0-d array or a schedule `step -> value`.
      smoothness: L >= m, the largest curvature, likewise. Of both the first update reads step 1 too.
      accumulator_dtype: dtype of the velocity; None: that of the parameter.

    Raises:
      ValueError: a hyperparameter out of range, m above L; in `update`, a gradient that does not fit the state or the
        parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.triple_momentum(strong_convexity=1.0, smoothness=10.0)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.684 0.468 0.320 0.219

    Convention: no learning rate; m and L set everything. The parameters that the user holds are the query points y, where
    the gradient is taken; the output point x is what `momentum_jax.evaluation_params` reads from the state, and what the
    rate is proved for. Exact under schedules of both.
    State: `step`, int32 scalar; `velocity`, xi - xi_prev, the tree and shapes of the parameters, in their dtypes or
    `accumulator_dtype`; `gamma` and `readout` (delta - gamma) of the next step, float32 scalars (float64 when a leaf is
    64 bits wide).
    Memory: 1 buffer. Needs: evaluation_params, to read the iterate.
    Stable on every function whose curvature is in [m, L].
    Source: B. Van Scoy, R. A. Freeman and K. M. Lynch (2018), The fastest known globally convergent first-order method
    for minimizing strongly convex functions, IEEE Control Systems Letters 2(1), 49-54.

    See also: `robust_momentum`, which trades rate for robustness; `nesterov`; `theory.tunings`.
    """
    who = "triple_momentum"
    refuse_wrong_order(who, strong_convexity, smoothness)

    def coefficients(strong_convexity: Any, smoothness: Any) -> Coefficients:
        L = smoothness
        root = (strong_convexity / L) ** 0.5
        rho = 1 - root
        return Coefficients(
            alpha=(1 + rho) / L,
            beta=rho**2 / (2 - rho),
            gamma=rho**2 / ((1 + rho) * (2 - rho)),
            delta=rho**2 / (root * (1 + rho)),
        )

    return three_parameter(
        who, coefficients, {"strong_convexity": strong_convexity, "smoothness": smoothness}, accumulator_dtype
    )
