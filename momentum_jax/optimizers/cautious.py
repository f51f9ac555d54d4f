"""Cautious: of any optimizer's step keep what agrees in sign with the gradient."""

from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import Choice, checked
from momentum_jax.optimizers._arithmetic import sign_of_product
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._transformation import Transformation, as_link, transformation

_LEAST_MEAN = 1e-3


@checked
def cautious(
    optimizer: optax.GradientTransformation, *, normalizer: Annotated[str, Choice(("mean", "count"))] = "mean"
) -> Transformation:
    """Any optimizer, its step masked where it disagrees with the gradient.

        M = [-d g > 0]          d' = d M a          d = the optimizer's step, [.] = 1 where true, else 0

        mean     a = 1 / max(mean M, 0.001), so that what is kept makes up for the rest, as in Cautious AdamW
        count    a = n / (sum M + 1), n = the entries of the leaf, as in Cautious Lion

    mean M and sum M are taken over each leaf. Equivalent form: with momentum, its entries that point uphill at this gradient
    are left out of the step; the buffers keep them. Entries of complex leaves agree where Re(conj(d) g) < 0.

    Args:
      optimizer: any Optax optimizer, learning rate included.
      normalizer: "mean" or "count".

    Raises:
      ValueError: another normalizer; whatever the optimizer raises.
      TypeError: `optimizer` is no gradient transformation.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.cautious(mj.heavy_ball(0.1, 0.9))
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.720 0.486 0.227

    Convention: `optimizer` is a whole one, whose updates point downhill; around a learning-rate-free core the mask would be the
    wrong way round. Decay inside it is masked with the rest: to leave decay alone, as the source does, chain it after. A
    shifted method (`nesterov`) reads its iterate out as if its updates had been applied unchanged: take its held point instead.
    State: that of the optimizer.
    Memory: that of its optimizer.
    Source: K. Liang, L. Chen, B. Liu and Q. Liu (2024), Cautious Optimizers: Improving Training with One Line of Code,
    arXiv:2411.16085.

    See also: `cautious_weight_decay`; `adaptive_restart`, which forgets the velocity instead.
    """
    inner = as_link("cautious", "optimizer", optimizer)

    def leaf(g: jax.Array, d: jax.Array) -> tuple[jax.Array]:
        agrees = (sign_of_product(d, g) < 0).astype(jnp.finfo(d.dtype).dtype)
        kept = jnp.sum(agrees)
        gain = d.size / (kept + 1) if normalizer == "count" else 1 / jnp.maximum(kept / max(d.size, 1), _LEAST_MEAN)
        return (d * agrees * gain,)

    def update(who: str, updates: optax.Updates, state: Any, params: Any, **extra_args: Any) -> tuple[optax.Updates, Any]:
        steps, state = inner.unrounded(who, updates, state, params, **extra_args)
        (steps,) = each(who, leaf, updates, {}, params=steps)
        return steps, state

    return transformation("cautious", inner.init, update, extra=None, inside=inner.reading)
