"""QHAdam: Adam whose two averages are mixed with the present gradient and its square."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import AverageDecay, DType, LearningRate, NonNegative, Share, checked, value_at
from momentum_jax.optimizers._arithmetic import ratio, root, squared
from momentum_jax.optimizers._bias_correction import bias_correction, log_decay, no_decay
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, second_moment_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate


class QuasiHyperbolicAdamState(NamedTuple):
    step: jax.Array
    momentum_step: jax.Array
    first_moment: optax.Updates
    second_moment: optax.Updates
    log_product1: jax.Array
    log_product2: jax.Array

    def reset_momentum(self) -> "QuasiHyperbolicAdamState":
        forget = ("momentum_step", "first_moment", "log_product1")
        return self._replace(**{name: jax.tree.map(jnp.zeros_like, getattr(self, name)) for name in forget})


@checked
def scale_by_quasi_hyperbolic_adam(
    b1: AverageDecay = 0.995,
    b2: AverageDecay = 0.999,
    nu1: Share = 0.7,
    nu2: Share = 1.0,
    *,
    eps: NonNegative = 1e-8,
    accumulator_dtype: DType = None,
) -> Transformation:
    """The learning-rate-free core: ((1 - nu1) g + nu1 m' / c1) / (sqrt((1 - nu2) |g|^2 + nu2 s' / c2) + eps).

    Args:
      b1: decay of the first moment in [0, 1); a number, a 0-d array or a schedule `step -> value`.
      b2: decay of the second moment, likewise.
      nu1: share of the first moment in the numerator, in [0, 1], likewise; the gradient has the rest.
      nu2: share of the second moment under the root, in [0, 1], likewise; the squared gradient has the rest.
      eps: at least 0, likewise.
      accumulator_dtype: dtype of the averages; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_quasi_hyperbolic_adam"

    def init(params: optax.Params) -> QuasiHyperbolicAdamState:
        return QuasiHyperbolicAdamState(
            step=first_step(),
            momentum_step=first_step(),
            first_moment=zeros(params, average_dtype(accumulator_dtype)),
            second_moment=zeros(params, second_moment_dtype(accumulator_dtype)),
            log_product1=no_decay(b1, params),
            log_product2=no_decay(b2, params),
        )

    def now(state: QuasiHyperbolicAdamState) -> dict[str, Any]:
        of_momentum = {"b1": value_at(b1, state.momentum_step), "nu1": value_at(nu1, state.momentum_step)}
        return of_momentum | {name: value_at(h, state.step) for name, h in {"b2": b2, "nu2": nu2, "eps": eps}.items()}

    def leaf(u: jax.Array, m: jax.Array, s: jax.Array, **h: Any) -> tuple[jax.Array, ...]:
        m = h["b1"] * m + (1 - h["b1"]) * u
        s = h["b2"] * s + (1 - h["b2"]) * squared(u)
        # A share of 0 of an infinite square is none of it.
        fresh, kept = jnp.where(h["nu2"] == 1, 0, squared(u)), jnp.where(h["nu2"] == 0, 0, s)
        spread = (1 - h["nu2"]) * fresh + h["gain2"] * kept
        return ratio((1 - h["nu1"]) * u + h["gain1"] * m, root(spread) + h["eps"], h["eps"]), m, s

    def update(
        who: str, updates: optax.Updates, state: QuasiHyperbolicAdamState, params: Any
    ) -> tuple[optax.Updates, QuasiHyperbolicAdamState]:
        del params
        h = now(state)
        log_product1 = state.log_product1 + log_decay(h["b1"], state.log_product1)
        log_product2 = state.log_product2 + log_decay(h["b2"], state.log_product2)
        updates, first_moment, second_moment = each(
            who,
            leaf,
            updates,
            {"first_moment": state.first_moment, "second_moment": state.second_moment},
            **h,
            gain1=h["nu1"] / bias_correction(log_product1),
            gain2=h["nu2"] / bias_correction(log_product2),
        )
        return updates, QuasiHyperbolicAdamState(
            step=next_step(state.step),
            momentum_step=next_step(state.momentum_step),
            first_moment=first_moment,
            second_moment=second_moment,
            log_product1=log_product1,
            log_product2=log_product2,
        )

    return transformation(who, init, update, hyperparameters=now)


@checked
def quasi_hyperbolic_adam(
    learning_rate: LearningRate,
    b1: AverageDecay = 0.995,
    b2: AverageDecay = 0.999,
    nu1: Share = 0.7,
    nu2: Share = 1.0,
    *,
    eps: NonNegative = 1e-8,
    accumulator_dtype: DType = None,
) -> Transformation:
    """QHAdam.

        m' = b1 m + (1 - b1) g          s' = b2 s + (1 - b2) |g|^2
        x' = x - eta ((1 - nu1) g + nu1 m' / c1) / (sqrt((1 - nu2) |g|^2 + nu2 s' / c2) + eps)
        c1 = 1 - prod b1_i, c2 = 1 - prod b2_i

    Equivalent form: nu1 = nu2 = 1 is `adam`.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      b1: decay of the first moment in [0, 1), likewise.
      b2: decay of the second moment, likewise.
      nu1: share of the first moment in the numerator, in [0, 1], likewise; the gradient has the rest.
      nu2: share of the second moment under the root, in [0, 1], likewise; the squared gradient has the rest.
      eps: at least 0, likewise.
      accumulator_dtype: dtype of the averages; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.quasi_hyperbolic_adam(0.1)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.802 0.705 0.611

    Convention: eta outside, eps outside the root and after the correction, as in the authors' qhoptim. The corrections are
    exact under schedules of b1 and b2. Range: once a gradient of an entry has passed 1.8e19 in float32, its second moment is
    infinite for good, and its gradients count for nothing. `optax.clip` in front prevents that; `optax.clip_by_global_norm`
    makes that whole gradient 0. With eps = 0, a gradient below 1e-19 moves nothing, for its square is 0.
    State: `step`, int32 scalar, position in the sequences of b2, nu2 and eps; `momentum_step`, in those of b1 and nu1;
    `first_moment`; `second_moment`, real: the tree and shapes of the parameters, float32 for 16-bit leaves unless
    `accumulator_dtype` says otherwise; `log_product1` and `log_product2`, logarithms of prod b1_i and prod b2_i, float32
    scalars (float64 when a leaf is 64 bits wide).
    Memory: 2 buffers.
    Sharp edge: once gradients have stopped, each step is b1 / sqrt(b2) times the last until sqrt(s') nears eps, so keep b1 <=
    sqrt(b2). With b1 = 0.99, b2 = 0.95 after 100 gradients of 1, the longest, 735 steps on, is 1.7e4 eta.
    Source: J. Ma and D. Yarats (2019), Quasi-hyperbolic momentum and Adam for deep learning, ICLR, arXiv:1810.06801.

    See also: `adam`, at nu1 = nu2 = 1; `quasi_hyperbolic_momentum`.
    """
    core = scale_by_quasi_hyperbolic_adam(b1, b2, nu1, nu2, eps=eps, accumulator_dtype=accumulator_dtype)
    return chain("quasi_hyperbolic_adam", core, scale_by_learning_rate(learning_rate))
