"""Adan: Adam with Nesterov's momentum estimated from differences of successive gradients."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import AverageDecay, DType, LearningRate, NonNegative, checked, is_zero, value_at
from momentum_jax.optimizers._arithmetic import ratio, root, squared
from momentum_jax.optimizers._bias_correction import bias_correction, log_decay, no_decay
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._precision import as_scalar
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, second_moment_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, transformation


class AdanState(NamedTuple):
    step: jax.Array
    momentum_step: jax.Array
    first_moment: optax.Updates
    difference: optax.Updates
    second_moment: optax.Updates
    previous_gradient: optax.Updates
    log_product1: jax.Array
    log_product2: jax.Array
    log_product3: jax.Array

    def reset_momentum(self) -> "AdanState":
        forget = ("momentum_step", "first_moment", "difference", "log_product1", "log_product2")
        return self._replace(**{name: jax.tree.map(jnp.zeros_like, getattr(self, name)) for name in forget})


@checked
def adan(
    learning_rate: LearningRate,
    b1: AverageDecay = 0.98,
    b2: AverageDecay = 0.92,
    b3: AverageDecay = 0.99,
    *,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    accumulator_dtype: DType = None,
) -> Transformation:
    """Adan, as in the paper, with its proximal weight decay.

        m' = b1 m + (1 - b1) g          d' = b2 d + (1 - b2) (g - g_prev)          s' = b3 s + (1 - b3) |g + b2 (g - g_prev)|^2
        u = (m' / c1 + b2 d' / c2) / (sqrt(s' / c3) + eps)          x' = (x - eta u) / (1 + eta lambda)
        g_prev = g at the first step; c_k = 1 - prod bk_i

    Equivalent form: x' - x = -eta (u + lambda x) / (1 + eta lambda), which loses no digits; b2 = 0 is `adam` with decays b1,
    b3.

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      b1: decay of the first moment in [0, 1), likewise. The paper writes 1 - b1, 1 - b2 and 1 - b3 for these.
      b2: decay of the average of differences, and their weight, in [0, 1), likewise.
      b3: decay of the second moment in [0, 1), likewise.
      eps: at least 0, likewise.
      weight_decay: lambda >= 0, likewise. Unless it is the plain number 0, `update` needs params.
      accumulator_dtype: dtype of the buffers; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the parameters, or
        weight decay without params.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.adan(0.1)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.801 0.702 0.604

    Convention: eta outside, eps outside the root and after the correction; weight decay is proximal: lambda acts on x'. Both as
    in the paper and the authors' code. `optax.adan` 0.2.8 multiplies differences and d' by 1 - b2 where these have b2, and
    decays as AdamW does. The corrections are exact under schedules. Range: once a gradient of an entry has passed 1.8e19 in
    float32, its second moment is infinite for good, and its gradients count for nothing. `optax.clip` in front prevents that;
    `optax.clip_by_global_norm` makes that whole gradient 0. With eps = 0, a gradient below 1e-19 moves nothing, for its square
    is 0.
    State: `step`, int32 scalar, position in the sequences of b3, eta, lambda and eps; `momentum_step`, in those of b1 and b2;
    `first_moment`; `difference` (d); `second_moment`, real; `previous_gradient`: the tree and shapes of the parameters, float32
    for 16-bit leaves unless `accumulator_dtype` says otherwise; `log_product1`, `log_product2` and `log_product3`, logarithms
    of prod bk_i, float32 scalars (float64 when a leaf is 64 bits wide).
    Memory: 4 buffers. Needs: params for weight decay.
    Sharp edge: once gradients have stopped, each step is max(b1, b2) / sqrt(b3) times the last until sqrt(s') nears eps, so
    keep b1 and b2 <= sqrt(b3). With b1 = 0.99, b3 = 0.95 after 100 gradients of 1, the longest, 736 steps on, is 2.4e4 eta.
    Source: X. Xie, P. Zhou, H. Li, Z. Lin and S. Yan (2022), Adan, arXiv:2208.06677.

    See also: `adam`; `nadam`; `storm`, which also uses differences of gradients.
    """
    decaying = not is_zero(weight_decay)

    def init(params: optax.Params) -> AdanState:
        average = average_dtype(accumulator_dtype)
        return AdanState(
            step=first_step(),
            momentum_step=first_step(),
            first_moment=zeros(params, average),
            difference=zeros(params, average),
            second_moment=zeros(params, second_moment_dtype(accumulator_dtype)),
            previous_gradient=zeros(params, average),
            log_product1=no_decay(b1, params),
            log_product2=no_decay(b2, params),
            log_product3=no_decay(b3, params),
        )

    def now(state: AdanState) -> dict[str, Any]:
        steady = {"learning_rate": learning_rate, "b3": b3, "eps": eps, "weight_decay": weight_decay}
        values = {name: value_at(h, state.step) for name, h in steady.items()}
        return values | {"b1": value_at(b1, state.momentum_step), "b2": value_at(b2, state.momentum_step)}

    def leaf(
        g: jax.Array, m: jax.Array, d: jax.Array, s: jax.Array, before: jax.Array, *params: jax.Array, **h: Any
    ) -> tuple[jax.Array, ...]:
        change = h["later"] * (g - before)
        m = h["b1"] * m + (1 - h["b1"]) * g
        d = h["b2"] * d + (1 - h["b2"]) * change
        s = h["b3"] * s + (1 - h["b3"]) * squared(g + h["b2"] * change)
        u = ratio(h["gain1"] * m + h["gain2"] * d, root(s) * h["root_gain"] + h["eps"], h["eps"])
        for p in params:
            u = u + h["decay"] * p
        return h["rate"] * u, m, d, s, g

    def update(who: str, updates: optax.Updates, state: AdanState, params: Any) -> tuple[optax.Updates, AdanState]:
        if decaying and params is None:
            raise ValueError(f"{who}: weight_decay needs the parameters: call update(gradients, state, params).")
        h = now(state)
        eta, decay = (as_scalar(h[name], state.log_product1.dtype) for name in ("learning_rate", "weight_decay"))
        decays = (h["b1"], h["b2"], h["b3"])
        before = (state.log_product1, state.log_product2, state.log_product3)
        log_products = [log + log_decay(b, log) for log, b in zip(before, decays, strict=True)]
        c1, c2, c3 = map(bias_correction, log_products)
        updates, first_moment, difference, second_moment, previous_gradient = each(
            who,
            leaf,
            updates,
            {
                "first_moment": state.first_moment,
                "difference": state.difference,
                "second_moment": state.second_moment,
                "previous_gradient": state.previous_gradient,
            },
            params=params if decaying else None,
            later=jnp.where(state.step == 0, 0.0, 1.0),
            b1=decays[0],
            b2=decays[1],
            b3=decays[2],
            gain1=1 / c1,
            gain2=decays[1] / c2,
            root_gain=jax.lax.rsqrt(c3),
            eps=h["eps"],
            decay=decay,
            rate=-eta / (1 + eta * decay),
        )
        return updates, AdanState(
            step=next_step(state.step),
            momentum_step=next_step(state.momentum_step),
            first_moment=first_moment,
            difference=difference,
            second_moment=second_moment,
            previous_gradient=previous_gradient,
            log_product1=log_products[0],
            log_product2=log_products[1],
            log_product3=log_products[2],
        )

    return transformation("adan", init, update, hyperparameters=now)
