"""Adam: an average of gradients over the root of an average of their squares, both corrected for their start at 0."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import (
    AverageDecay,
    Bool,
    DType,
    LearningRate,
    NonNegative,
    checked,
    value_at,
)
from momentum_jax.optimizers._arithmetic import ratio, root, squared
from momentum_jax.optimizers._bias_correction import bias_correction, log_decay, no_decay
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, second_moment_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate
from momentum_jax.optimizers.weight_decay import add_weight_decay


class AdamState(NamedTuple):
    step: jax.Array
    momentum_step: jax.Array
    first_moment: optax.Updates
    second_moment: optax.Updates
    max_second_moment: Any
    log_product1: jax.Array
    log_product2: jax.Array

    def reset_momentum(self) -> "AdamState":
        forget = ("momentum_step", "first_moment", "log_product1")
        return self._replace(**{name: jax.tree.map(jnp.zeros_like, getattr(self, name)) for name in forget})


@checked
def scale_by_adam(
    b1: AverageDecay = 0.9,
    b2: AverageDecay = 0.999,
    *,
    eps: NonNegative = 1e-8,
    amsgrad: Bool = False,
    debias: Bool = True,
    accumulator_dtype: DType = None,
) -> Transformation:
    """The learning-rate-free core: (m' / c1) / (sqrt(s' / c2) + eps).

    Args:
      b1: decay of the first moment in [0, 1); a number, a 0-d array or a schedule `step -> value`.
      b2: decay of the second moment, likewise.
      eps: at least 0, likewise.
      amsgrad: divide by the running maximum of the raw second moment, corrected.
      debias: divide the averages by c1 and c2; False: the averages as they are.
      accumulator_dtype: dtype of the averages; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_adam"

    def init(params: optax.Params) -> AdamState:
        second = second_moment_dtype(accumulator_dtype)
        return AdamState(
            step=first_step(),
            momentum_step=first_step(),
            first_moment=zeros(params, average_dtype(accumulator_dtype)),
            second_moment=zeros(params, second),
            max_second_moment=zeros(params, second) if amsgrad else None,
            log_product1=no_decay(b1, params),
            log_product2=no_decay(b2, params),
        )

    def now(state: AdamState) -> dict[str, Any]:
        decays = {"b1": value_at(b1, state.momentum_step), "b2": value_at(b2, state.step)}
        return decays | {"eps": value_at(eps, state.step)}

    def leaf(u: jax.Array, m: jax.Array, s: jax.Array, *largest: jax.Array, **h: Any) -> tuple[jax.Array, ...]:
        m = h["b1"] * m + (1 - h["b1"]) * u
        s = h["b2"] * s + (1 - h["b2"]) * squared(u)
        largest = tuple(jnp.maximum(old, s) for old in largest)
        scale = root(largest[0] if largest else s) * h["root_gain"] + h["eps"]
        return ratio(m * h["gain"], scale, h["eps"]), m, s, *largest

    def update(who: str, updates: optax.Updates, state: AdamState, params: Any) -> tuple[optax.Updates, AdamState]:
        del params
        h = now(state)
        log_product1 = state.log_product1 + log_decay(h["b1"], state.log_product1)
        log_product2 = state.log_product2 + log_decay(h["b2"], state.log_product2)
        buffers: dict[str, Any] = {"first_moment": state.first_moment, "second_moment": state.second_moment}
        if amsgrad:
            buffers["max_second_moment"] = state.max_second_moment
        updates, first_moment, second_moment, *largest = each(
            who,
            leaf,
            updates,
            buffers,
            **h,
            gain=1 / bias_correction(log_product1) if debias else 1.0,
            root_gain=jax.lax.rsqrt(bias_correction(log_product2)) if debias else 1.0,
        )
        return updates, AdamState(
            step=next_step(state.step),
            momentum_step=next_step(state.momentum_step),
            first_moment=first_moment,
            second_moment=second_moment,
            max_second_moment=largest[0] if amsgrad else None,
            log_product1=log_product1,
            log_product2=log_product2,
        )

    return transformation(who, init, update, hyperparameters=now)


@checked
def adam(
    learning_rate: LearningRate,
    b1: AverageDecay = 0.9,
    b2: AverageDecay = 0.999,
    *,
    eps: NonNegative = 1e-8,
    amsgrad: Bool = False,
    debias: Bool = True,
    accumulator_dtype: DType = None,
) -> Transformation:
    """Adam.

        m' = b1 m + (1 - b1) g          s' = b2 s + (1 - b2) |g|^2
        x' = x - eta (m' / c1) / (sqrt(s' / c2) + eps)          c1 = 1 - prod b1_i, c2 = 1 - prod b2_i
        amsgrad: the running maximum of s' in its place          AdamW: lambda x joins the step, and eta multiplies both
        debias=False: c1 = c2 = 1

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      b1: decay of the first moment in [0, 1), likewise.
      b2: decay of the second moment, likewise.
      eps: at least 0, likewise.
      amsgrad: divide by the running maximum of the raw second moment, corrected.
      debias: divide the averages by c1 and c2; False: the averages as they are.
      accumulator_dtype: dtype of the averages; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.adam(0.1)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.800 0.702 0.604

    Convention: eta outside, eps outside the root and after the correction, as in the paper, PyTorch and Optax. Keras adds eps
    before the correction. The corrections are exact under schedules of b1 and b2; Optax's divide by 1 - b_t^t. AMSGrad takes
    the maximum of the raw second moment and then corrects, as PyTorch and Keras do; Optax takes that of the corrected one, the
    paper neither. Range: once a gradient of an entry has passed 1.8e19 in float32, its second moment is infinite for good, and
    its gradients count for nothing. `optax.clip` in front prevents that; `optax.clip_by_global_norm` makes that whole gradient
    0. With eps = 0, a gradient below 1e-19 moves nothing, for its square is 0.
    State: `step`, int32 scalar, position in the sequence of b2 and eps; `momentum_step`, in that of b1; `first_moment`;
    `second_moment`, real; `max_second_moment` (None without amsgrad): the tree and shapes of the parameters, float32 for 16-bit
    leaves unless `accumulator_dtype` says otherwise; `log_product1` and `log_product2`, logarithms of prod b1_i and prod b2_i,
    float32 scalars (float64 when a leaf is 64 bits wide).
    Memory: 2 buffers, 3 with amsgrad. Needs: params in adamw.
    Sharp edge: once gradients have stopped, each step is b1 / sqrt(b2) times the last until sqrt(s') nears eps, so keep b1 <=
    sqrt(b2). With b1 = 0.99, b2 = 0.95 after 100 gradients of 1, the longest, 735 steps on, is 2.4e4 eta. With amsgrad steps
    shrink.
    Source: D. P. Kingma and J. Ba (2015), Adam, ICLR, arXiv:1412.6980; AMSGrad S. J. Reddi, S. Kale and S. Kumar (2018), ICLR,
    arXiv:1904.09237; AdamW I. Loshchilov and F. Hutter (2019), ICLR, arXiv:1711.05101.

    See also: `adamw`, with decoupled weight decay; `nadam`, with a look-ahead; `rmsprop`, without momentum; `muon`, for
    matrices.
    """
    core = scale_by_adam(b1, b2, eps=eps, amsgrad=amsgrad, debias=debias, accumulator_dtype=accumulator_dtype)
    return chain("adam", core, scale_by_learning_rate(learning_rate))


@checked
def adamw(
    learning_rate: LearningRate,
    b1: AverageDecay = 0.9,
    b2: AverageDecay = 0.999,
    *,
    eps: NonNegative = 1e-8,
    amsgrad: Bool = False,
    debias: Bool = True,
    weight_decay: NonNegative = 1e-2,
    accumulator_dtype: DType = None,
) -> Transformation:
    """Adam with decoupled weight decay.

        x' = x - eta (step + lambda x)

    The step is that of `adam`, whose documentation has its equations, state and stability.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      b1: decay of the first moment in [0, 1), likewise.
      b2: decay of the second moment, likewise.
      eps: at least 0, likewise.
      amsgrad: divide by the running maximum of the raw second moment, corrected.
      debias: divide the averages by c1 and c2; False: the averages as they are.
      weight_decay: lambda >= 0, likewise; `update` needs params.
      accumulator_dtype: dtype of the averages; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the
        parameters, or no params.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.adamw(0.1, weight_decay=0.1)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.890 0.782 0.675 0.571

    Memory: 2 buffers. Needs: params.
    Source: I. Loshchilov and F. Hutter (2019), Decoupled Weight Decay Regularization, ICLR, arXiv:1711.05101.

    See also: `adam`; `cautious_weight_decay`, which decays where the step agrees; `add_weight_decay`.
    """
    core = scale_by_adam(b1, b2, eps=eps, amsgrad=amsgrad, debias=debias, accumulator_dtype=accumulator_dtype)
    return chain("adamw", core, add_weight_decay(weight_decay), scale_by_learning_rate(learning_rate))
