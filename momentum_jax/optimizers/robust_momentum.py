"""Robust momentum: one number trades the speed of triple momentum for the robustness of gradient descent."""

from typing import Any

from momentum_jax._hyperparameters import Decay, DType, Positive, checked
from momentum_jax.optimizers._arithmetic import ratio
from momentum_jax.optimizers._three_parameter import Coefficients, refuse_wrong_order, three_parameter
from momentum_jax.optimizers._transformation import Transformation


@checked
def robust_momentum(
    *, strong_convexity: Positive, smoothness: Positive, rate: Decay, accumulator_dtype: DType = None
) -> Transformation:
    """Robust momentum.

        x' = x + beta (x - x_prev) - alpha g(y)          y = x + gamma (x - x_prev)
        alpha = kappa (1 - rho)^2 (1 + rho) / L,  beta = kappa rho^3 / (kappa - 1),
        gamma = rho^3 / ((kappa - 1) (1 - rho)^2 (1 + rho)),  kappa = L / m

    rho is the rate at which the iterates converge: at 1 - 1 / sqrt(kappa) the method is triple momentum, at 1 - 1 / kappa its
    query points are those of gradient descent with learning rate 1 / L. The larger rho, the more error in the gradient it
    bears.

    The parameters that you hold are query points; evaluate and save `momentum_jax.evaluation_params(params, opt_state)`.

    Args:
      strong_convexity: m > 0, the least curvature; a number, a 0-d array or a schedule `step -> value`.
      smoothness: L >= m, the largest curvature, likewise.
      rate: rho in [1 - sqrt(m / L), 1 - m / L], likewise. Of all three the first update reads step 1 too.
      accumulator_dtype: dtype of the velocity; None: that of the parameter.

    Raises:
      ValueError: a hyperparameter out of range, m above L; in `update`, a gradient that does not fit the state or the
        parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.robust_momentum(strong_convexity=1.0, smoothness=10.0, rate=0.8)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.928 0.824 0.712 0.603

    Convention: no learning rate; m, L and rho set everything. The parameters that the user holds are the query points y,
    where the gradient is taken; the iterate x is what `momentum_jax.evaluation_params` reads from the state. Exact under
    schedules of all three.
    State: `step`, int32 scalar; `velocity`, x - x_prev, the tree and shapes of the parameters, in their dtypes or
    `accumulator_dtype`; `gamma` and `readout` (-gamma) of the next step, float32 scalars (float64 when a leaf is 64 bits
    wide).
    Memory: 1 buffer. Needs: evaluation_params, to read the iterate.
    Stable on every function whose curvature is in [m, L].
    Source: S. Cyrus, B. Hu, B. Van Scoy and L. Lessard (2018), A robust accelerated optimization algorithm for strongly
    convex functions, American Control Conference, arXiv:1710.04753.

    See also: `triple_momentum`, its fastest case; `theory.certified_rate`, which bounds its rate.
    """
    who = "robust_momentum"
    refuse_wrong_order(who, strong_convexity, smoothness)
    if all(isinstance(h, float) for h in (strong_convexity, smoothness, rate)):
        share: Any = strong_convexity / smoothness  # pyright: ignore[reportOperatorIssue]
        low, high = 1 - share**0.5, 1 - share
        # A rate computed as 1 - 1 / sqrt(L / m) may round to the other side of the border.
        if not low - 1e-9 <= rate <= high + 1e-9:  # pyright: ignore[reportOperatorIssue]
            raise ValueError(
                f"{who}: rate must be in [1 - sqrt(m / L), 1 - m / L] = [{low:.6g}, {high:.6g}] for "
                f"strong_convexity m = {strong_convexity} and smoothness L = {smoothness}, got {rate}."
            )

    def coefficients(strong_convexity: Any, smoothness: Any, rate: Any) -> Coefficients:
        m, L, rho = strong_convexity, smoothness, rate
        pull = (1 - rho) ** 2 * (1 + rho)
        # At L = m the rate is 0, and both are 0.
        cubed = ratio(rho**3, L - m, 0.0)
        gamma = cubed * m / pull
        return Coefficients(alpha=pull / m, beta=cubed * L, gamma=gamma, delta=0.0)

    given = {"strong_convexity": strong_convexity, "smoothness": smoothness, "rate": rate}
    return three_parameter(who, coefficients, given, accumulator_dtype)
