"""YellowFin: momentum SGD that tunes its learning rate and its momentum from the gradients it sees."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import (
    AverageDecay,
    DType,
    NonNegative,
    NonNegativeNumber,
    Positive,
    Steps,
    checked,
    value_at,
)
from momentum_jax._scaling import dot, power_of_two
from momentum_jax.optimizers._arithmetic import root, total
from momentum_jax.optimizers._bias_correction import bias_correction, log_decay
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, scalar_zeros, velocity_dtype, zeros
from momentum_jax.optimizers._transformation import Transformation, transformation

# Of anything above it, the cube and its share of the cubic are normal numbers in float32.
_SMALL_CUBE_ROOT = 2.0**-30


class YellowfinState(NamedTuple):
    step: jax.Array
    velocity: optax.Updates
    average_gradient: optax.Updates
    window: jax.Array
    average_square: jax.Array
    average_norm: jax.Array
    average_distance: jax.Array
    log_smallest: jax.Array
    log_largest: jax.Array
    log_product: jax.Array

    def reset_momentum(self) -> "YellowfinState":
        return self._replace(velocity=jax.tree.map(jnp.zeros_like, self.velocity))


@checked
def yellowfin(
    learning_rate: NonNegativeNumber = 1e-4,
    *,
    decay: AverageDecay = 0.999,
    curvature_window: Steps = 20,
    factor: NonNegative = 1.0,
    eps: Positive = 1e-6,
    accumulator_dtype: DType = None,
) -> Transformation:
    """YellowFin.

        b' = mu_t b + g          x' = x - factor eta_t b'
        h_min, h_max: averages of the smallest and the largest |g|^2 of the last W steps, logarithms averaged
        C = E|g|^2 - |E g|^2          D = E[E|g| / E|g|^2]          p = D^2 h_min^2 / (2 C)          r = h_max / h_min
        1 - sqrt mu_t = min(y, 2 / (sqrt r + 1)), y in (0, 1) the root of y^3 = p (1 - y)
        eta_t = (1 - sqrt mu_t)^2 / h_min min(1, (t + 1) / (10 W)), t = 0, 1, ...; at t = 0 `learning_rate`

    All averages have decay beta and are divided by 1 - prod beta_i; norms go over the whole tree. Equivalent form: x = 1 - y is
    where x^2 D^2 + (1 - x)^4 C / h_min^2, the expected squared distance to the minimum after a step, is least.

    Args:
      learning_rate: that of the first step, at least 0; a number or a 0-d array. It is tuned from the second step on.
      decay: beta of all averages in [0, 1); a number, a 0-d array or a schedule `step -> value`, step 0 first.
      curvature_window: W, at least 1; the rate is raised along a line over the first 10 W steps.
      factor: multiplies the learning rate of every step, at least 0, likewise: for a decay by hand.
      eps: above 0, likewise, for logarithms are taken of squares that may be 0; 1e-6 by default.
      accumulator_dtype: dtype of both buffers; None: that of the parameter, float32 for the average of 16-bit leaves.

    Raises:
      ValueError: a hyperparameter out of range; in `update`, a gradient that does not fit the state or the parameters.
      TypeError: an argument of the wrong type, a schedule of `learning_rate` too.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.yellowfin(0.1)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.891 0.876 0.857

    Convention: eta_t outside the buffer, as in the authors' PyTorch code, of which this is the last form: mu_t and eta_t are
    used as they are, not smoothed, and the gradients are not clipped. The first gradient does not enter b: that code begins at
    momentum 0, where PyTorch's SGD keeps no buffer. The inner E|g| and E|g|^2 of D are uncorrected there, and here. `eps` is
    added where that code adds it, save in the root of the cubic, which Newton's method refines here. Range: gradients up to a
    norm of 1.8e19 in float32; one beyond it, whose square is infinite, makes the state NaN.
    State: `step`, int32 scalar; `velocity` (b), the tree and shapes of the parameters, in their dtypes or `accumulator_dtype`;
    `average_gradient`, likewise, float32 for 16-bit leaves; `window`, the last W values of |g|^2, shape (W,), and the scalars
    `average_square`, `average_norm`, `average_distance`, `log_smallest`, `log_largest`, `log_product`, float32 (float64 when a
    leaf is 64 bits wide).
    Memory: 2 buffers.
    Source: J. Zhang and I. Mitliagkas (2019), YellowFin and the art of momentum tuning, MLSys, arXiv:1706.03471; the authors'
    YellowFin_Pytorch.

    See also: `theory.tunings.heavy_ball`, the rule that it estimates; `momo`.
    """

    def init(params: optax.Params) -> YellowfinState:
        zero = scalar_zeros(params, learning_rate, decay, factor, eps)
        return YellowfinState(
            step=first_step(),
            velocity=zeros(params, velocity_dtype(accumulator_dtype)),
            average_gradient=zeros(params, average_dtype(accumulator_dtype)),
            window=scalar_zeros(params, learning_rate, decay, factor, eps, shape=(curvature_window,)),
            **{name: jnp.zeros_like(zero) for name in YellowfinState._fields[4:]},
        )

    def now(state: YellowfinState) -> dict[str, Any]:
        return {name: value_at(h, state.step) for name, h in {"decay": decay, "factor": factor, "eps": eps}.items()}

    def average(g: jax.Array, a: jax.Array, beta: Any) -> tuple[jax.Array, jax.Array]:
        a = beta * a + (1 - beta) * g
        return jnp.stack([dot(g, g), dot(a, a)]), a

    def move(g: jax.Array, b: jax.Array, mu: Any, rate: Any) -> tuple[jax.Array, jax.Array]:
        b = mu * b + g
        return -rate * b, b

    def update(who: str, updates: optax.Updates, state: YellowfinState, params: Any) -> tuple[optax.Updates, YellowfinState]:
        del params
        dtype = state.average_square.dtype
        h = now(state)
        beta, small = jnp.asarray(h["decay"], dtype), jnp.asarray(h["eps"], dtype)

        def averaged(old: jax.Array, new: jax.Array) -> jax.Array:
            return beta * old + (1 - beta) * new

        sums, average_gradient = each(who, average, updates, {"average_gradient": state.average_gradient}, beta=beta)
        square, square_of_average = total(sums, jnp.zeros(2, dtype))
        window = state.window.at[state.step % curvature_window].set(square)
        seen = jnp.arange(curvature_window) <= state.step
        log_product = state.log_product + log_decay(beta, state.log_product)
        average_square, average_norm = averaged(state.average_square, square), averaged(state.average_norm, root(square))
        new = YellowfinState(
            step=next_step(state.step),
            velocity=state.velocity,
            average_gradient=average_gradient,
            window=window,
            average_square=average_square,
            average_norm=average_norm,
            average_distance=averaged(state.average_distance, average_norm / (average_square + small)),
            log_smallest=averaged(state.log_smallest, jnp.log(jnp.min(jnp.where(seen, window, jnp.inf)) + small)),
            log_largest=averaged(state.log_largest, jnp.log(jnp.max(jnp.where(seen, window, 0.0)) + small)),
            log_product=log_product,
        )
        mu, eta = _tuned(new, square_of_average, small, bias_correction(log_product))
        ramp = jnp.minimum((jnp.asarray(state.step, dtype) + 1) / (10.0 * curvature_window), 1.0)
        rate = jnp.where(state.step == 0, jnp.asarray(learning_rate, dtype), eta * ramp) * h["factor"]
        mu = jnp.where(state.step <= 1, 0.0, mu)
        updates, velocity = each(who, move, updates, {"velocity": state.velocity}, mu=mu, rate=rate)
        return updates, new._replace(velocity=velocity)

    return transformation("yellowfin", init, update, hyperparameters=now)


def _tuned(
    state: YellowfinState, square_of_average: jax.Array, eps: jax.Array, weight: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(mu_t, eta_t) before the ramp, from averages whose weights sum to `weight`."""
    smallest, largest = jnp.exp(state.log_smallest / weight), jnp.exp(state.log_largest / weight)
    variance = jnp.maximum(state.average_square / weight - square_of_average / weight**2, eps)
    distance = state.average_distance / weight
    slack = _root_of_cubic(distance + eps, smallest + eps, variance + eps)
    # Scaled by powers of two: the quotient of two squares and the square of a small slack leave the range of their dtype.
    unit = jnp.minimum(1, power_of_two(1 / jnp.sqrt(largest + eps)))
    spread = jnp.sqrt(jnp.maximum((largest + eps) * unit * unit / (smallest + eps), (1 + eps) * unit * unit)) / unit
    slack = jnp.minimum(slack, 2 / (spread + 1))
    unit = power_of_two(slack)
    return (1 - slack) ** 2, (slack / unit) ** 2 / (smallest + eps) * unit * unit


def _root_of_cubic(d: jax.Array, h: jax.Array, c: jax.Array) -> jax.Array:
    """The y in (0, 1) with y^3 = p (1 - y), p = d^2 h^2 / (2 c); it is 1 - sqrt mu, whose digits a momentum near 1 has lost.

    Solved for z = y / k, k a power of two near cbrt(p) where that is small, else 1: z^3 = q (1 - k z), q = p / k^3.
    """
    k = power_of_two(jnp.maximum(jnp.cbrt(d) ** 2 * jnp.cbrt(h) ** 2 / jnp.cbrt(2 * c), jnp.finfo(c.dtype).tiny))
    small = k < _SMALL_CUBE_ROOT
    k = jnp.where(small, k, 1)

    def times_k(x: jax.Array) -> jax.Array:
        return jnp.where(small, k * x, x)  # a product that is fused with a sum would round otherwise

    per_d, per_h = 1 / power_of_two(d), 1 / power_of_two(h)
    share = k * per_d * per_h
    # From p = 1e18 on y is 1 to the last digit.
    q = (d * per_d) ** 2 * (h * per_h) ** 2 / (2 * jnp.clip(c * (share * k) * share, 1e-18, 1e30))
    w = jnp.cbrt(q * (1 + jnp.sqrt(1 + 4 / 27 * times_k(times_k(times_k(q))))) / 2)
    z = w - times_k(q / (3 * w))
    for _ in range(2):
        z = z - (z**3 - q * (1 - times_k(z))) / (3 * z**2 + times_k(q))
    return jnp.clip(times_k(z), 0.0, 1.0)
