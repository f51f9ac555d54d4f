"""NAdam: Adam with Nesterov's momentum, which counts the present gradient twice."""

import math
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import AverageDecay, Choice, DType, LearningRate, NonNegative, checked, value_at
from momentum_jax.optimizers._arithmetic import ratio, root, squared
from momentum_jax.optimizers._bias_correction import bias_correction, log_decay, no_decay
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, scalar_zeros, second_moment_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, chain, transformation
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate

Variant = Annotated[str, Choice(("torch", "keras", "optax"))]
TORCH_DECAY = 0.004


class NadamState(NamedTuple):
    step: jax.Array
    momentum_step: jax.Array
    first_moment: optax.Updates
    second_moment: optax.Updates
    log_product1: jax.Array
    log_product2: jax.Array

    def reset_momentum(self) -> "NadamState":
        forget = ("momentum_step", "first_moment", "log_product1")
        return self._replace(**{name: jax.tree.map(jnp.zeros_like, getattr(self, name)) for name in forget})


@checked
def scale_by_nadam(
    b1: AverageDecay = 0.9,
    b2: AverageDecay = 0.999,
    *,
    eps: NonNegative = 1e-8,
    momentum_decay: NonNegative = TORCH_DECAY,
    variant: Variant = "torch",
    accumulator_dtype: DType = None,
) -> Transformation:
    """The learning-rate-free core: the step of NAdam at eta = -1.

    Args:
      b1: decay of the first moment in [0, 1); a number, a 0-d array or a schedule `step -> value`. An update reads it at the
        next step too.
      b2: decay of the second moment, likewise, at its own step only.
      eps: at least 0, likewise.
      momentum_decay: psi >= 0, as b1; of variant "torch" only.
      variant: "torch", "keras" or "optax", whose sequence of mu it is.
      accumulator_dtype: dtype of the averages; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; a momentum_decay where the variant has its own; in `update`, a gradient that
        does not fit the state.
      TypeError: an argument of the wrong type.
    """
    who = "scale_by_nadam"
    refuse_a_decay_of_its_own(who, variant, momentum_decay)

    def momentum(step: jax.Array, like: jax.Array) -> Any:
        decay = value_at(b1, step)
        if variant == "optax":
            return decay
        psi = jnp.asarray(value_at(momentum_decay, step) if variant == "torch" else 1.0, like.dtype)
        return jnp.asarray(decay, like.dtype) * (1 - 0.5 * jnp.exp(math.log(0.96) * psi * (jnp.asarray(step, like.dtype) + 1)))

    def init(params: optax.Params) -> NadamState:
        return NadamState(
            step=first_step(),
            momentum_step=first_step(),
            first_moment=zeros(params, average_dtype(accumulator_dtype)),
            second_moment=zeros(params, second_moment_dtype(accumulator_dtype)),
            log_product1=scalar_zeros(params, b1, momentum_decay),
            log_product2=no_decay(b2, params),
        )

    def now(state: NadamState) -> dict[str, Any]:
        step = state.momentum_step
        decays = {"b1": value_at(b1, step), "b2": value_at(b2, state.step), "eps": value_at(eps, state.step)}
        return decays | ({"momentum_decay": value_at(momentum_decay, step)} if variant == "torch" else {})

    def leaf(u: jax.Array, m: jax.Array, s: jax.Array, **h: Any) -> tuple[jax.Array, ...]:
        m = h["b1"] * m + (1 - h["b1"]) * u
        s = h["b2"] * s + (1 - h["b2"]) * squared(u)
        return ratio(h["gain"] * u + h["next_gain"] * m, root(s) * h["root_gain"] + h["eps"], h["eps"]), m, s

    def update(who: str, updates: optax.Updates, state: NadamState, params: Any) -> tuple[optax.Updates, NadamState]:
        del params
        step, following = state.momentum_step, next_step(state.momentum_step)
        mu, next_mu = momentum(step, state.log_product1), momentum(following, state.log_product1)
        log_product1 = state.log_product1 + log_decay(mu, state.log_product1)
        h = now(state)
        log_product2 = state.log_product2 + log_decay(h["b2"], state.log_product2)
        updates, first_moment, second_moment = each(
            who,
            leaf,
            updates,
            {"first_moment": state.first_moment, "second_moment": state.second_moment},
            b1=h["b1"],
            b2=h["b2"],
            gain=(1 - mu) / bias_correction(log_product1),
            next_gain=next_mu / bias_correction(log_product1 + log_decay(next_mu, log_product1)),
            root_gain=jax.lax.rsqrt(bias_correction(log_product2)),
            eps=h["eps"],
        )
        return updates, NadamState(
            step=next_step(state.step),
            momentum_step=following,
            first_moment=first_moment,
            second_moment=second_moment,
            log_product1=log_product1,
            log_product2=log_product2,
        )

    return transformation(who, init, update, hyperparameters=now)


@checked
def nadam(
    learning_rate: LearningRate,
    b1: AverageDecay = 0.9,
    b2: AverageDecay = 0.999,
    *,
    eps: NonNegative = 1e-8,
    momentum_decay: NonNegative = TORCH_DECAY,
    variant: Variant = "torch",
    accumulator_dtype: DType = None,
) -> Transformation:
    """NAdam, in the variant of PyTorch, Keras or Optax.

        m' = b1 m + (1 - b1) g          s' = b2 s + (1 - b2) |g|^2
        x' = x - eta ((1 - mu_t) g / (1 - P_t) + mu_{t+1} m' / (1 - P_{t+1})) / (sqrt(s' / c2) + eps)
        mu_t = b1 (1 - 0.96^(t psi) / 2), t = 1, 2, ...          P_t = prod_{i <= t} mu_i, c2 = 1 - prod b2_i

    Args:
      learning_rate: eta >= 0; a number, a 0-d array or a schedule `step -> value`, step 0 first.
      b1: decay of the first moment in [0, 1), likewise; an update reads it at the next step too.
      b2: decay of the second moment in [0, 1), likewise.
      eps: at least 0, likewise.
      momentum_decay: psi >= 0, as b1; of variant "torch" only.
      variant: "torch", "keras" or "optax", whose sequence of mu it is.
      accumulator_dtype: dtype of the averages; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; a momentum_decay where the variant has its own; in `update`, a gradient that
        does not fit the state or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.nadam(0.1)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.894 0.820 0.753 0.688

    Convention: eta outside, eps outside the root and after the correction. The variants differ in psi: "torch" takes
    `momentum_decay`, 0.004 by default; "keras" 1; "optax" an infinite one, mu_t = b1 always. In all of them m decays by b1, in
    Dozat's own algorithm by mu_t. Under a schedule of b1 the products are exact; Optax's are powers of the present b1. Range:
    once a gradient of an entry has passed 1.8e19 in float32, its second moment is infinite for good, and its gradients count
    for nothing. `optax.clip` in front prevents that; `optax.clip_by_global_norm` makes that whole gradient 0. With eps = 0, a
    gradient below 1e-19 moves nothing, for its square is 0.
    State: `step`, int32 scalar, position in the sequences of b2 and eps; `momentum_step`, in those of b1 and psi;
    `first_moment`; `second_moment`, real: the tree and shapes of the parameters, float32 for 16-bit leaves unless
    `accumulator_dtype` says otherwise; `log_product1` and `log_product2`, logarithms of P_t and prod b2_i, float32 scalars
    (float64 when a leaf is 64 bits wide).
    Memory: 2 buffers.
    Sharp edge: once gradients have stopped, each step is b1 / sqrt(b2) times the last until sqrt(s') nears eps, so keep b1 <=
    sqrt(b2). With b1 = 0.99, b2 = 0.95 after 100 gradients of 1, the longest, 736 steps on, is 1.3e4 eta.
    Source: T. Dozat (2016), Incorporating Nesterov momentum into Adam, ICLR workshop; `torch.optim.NAdam`,
    `keras.optimizers.Nadam`, `optax.nadam`.

    See also: `adam`; `nesterov`, its look-ahead without the second moment; `adan`.
    """
    refuse_a_decay_of_its_own("nadam", variant, momentum_decay)
    core = scale_by_nadam(b1, b2, eps=eps, momentum_decay=momentum_decay, variant=variant, accumulator_dtype=accumulator_dtype)
    return chain("nadam", core, scale_by_learning_rate(learning_rate))


def refuse_a_decay_of_its_own(who: str, variant: str, momentum_decay: Any) -> None:
    """Raise ValueError for a momentum_decay that the variant would not read."""
    # An array may hold the default: `optax.inject_hyperparams` turns it into one.
    if variant != "torch" and not isinstance(momentum_decay, jax.Array) and momentum_decay != TORCH_DECAY:
        raise ValueError(f"{who}: variant={variant!r} has a momentum_decay of its own, got momentum_decay={momentum_decay}.")
