"""Methods as three libraries spell them, with the options that make them the same."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import optax
import torch  # pyright: ignore[reportMissingImports]

import momentum_jax as mj

RATE = 1e-3


class Method(NamedTuple):
    """A method as three libraries spell it.

    Attributes:
      torch: PyTorch's optimizer of some parameters, with `foreach` or `fused`, None where it has none; `has_fused`: PyTorch has
        that one.
      equivalent: Optax's does the same, and ours is not to be slower.
      extra: extra arguments of `update`.
    """

    name: str
    ours: Callable[[], optax.GradientTransformation]
    optax: Callable[[], optax.GradientTransformation]
    torch: Callable[..., Any] | None = None
    has_fused: bool = False
    equivalent: bool = True
    extra: Mapping[str, Any] = MappingProxyType({})


def torch_sgd(**fixed: Any) -> Callable[..., Any]:
    return lambda params, **mode: torch.optim.SGD(params, RATE, **fixed, **mode)


CORE = (
    Method("gradient_descent", lambda: mj.gradient_descent(RATE), lambda: optax.sgd(RATE), torch_sgd(), True),
    Method(
        "heavy_ball",
        lambda: mj.heavy_ball(RATE, 0.9),
        lambda: optax.chain(optax.scale_by_learning_rate(RATE), optax.trace(0.9)),
        torch_sgd(momentum=0.9),
        True,
    ),
    Method("sgd", lambda: mj.sgd(RATE, 0.9), lambda: optax.sgd(RATE, 0.9), torch_sgd(momentum=0.9), True),
    Method(
        "nesterov",
        lambda: mj.nesterov(RATE, 0.9),
        lambda: optax.sgd(RATE, 0.9, nesterov=True),
        torch_sgd(momentum=0.9, nesterov=True),
        True,
    ),
    Method(
        "ema_momentum",
        lambda: mj.ema_momentum(RATE, 0.9),
        lambda: optax.chain(optax.ema(0.9, debias=False), optax.scale_by_learning_rate(RATE)),
        torch_sgd(momentum=0.9, dampening=0.9),
        True,
    ),
    Method(
        "rmsprop",
        lambda: mj.rmsprop(RATE, eps_inside_sqrt=True, momentum=None),
        lambda: optax.rmsprop(RATE),
        lambda params, **mode: torch.optim.RMSprop(params, RATE, alpha=0.9, **mode),
        False,
    ),
    Method(
        "rmsprop with momentum",
        lambda: mj.rmsprop(RATE, eps_inside_sqrt=True, momentum=0.9, learning_rate_inside=True),
        lambda: optax.rmsprop(RATE, momentum=0.9),
        lambda params, **mode: torch.optim.RMSprop(params, RATE, alpha=0.9, momentum=0.9, **mode),
        False,
    ),
    Method(
        "rmsprop centered",
        lambda: mj.rmsprop(RATE, eps_inside_sqrt=True, centered=True, momentum=None),
        lambda: optax.rmsprop(RATE, centered=True),
        lambda params, **mode: torch.optim.RMSprop(params, RATE, alpha=0.9, centered=True, **mode),
        False,
    ),
    Method(
        "adagrad",
        lambda: mj.adagrad(RATE, initial_accumulator=0.1, eps=1e-7, eps_inside_sqrt=True),
        lambda: optax.adagrad(RATE),
        lambda params, **mode: torch.optim.Adagrad(params, RATE, initial_accumulator_value=0.1, eps=1e-7, **mode),
        True,
    ),
    Method(
        "adadelta",
        lambda: mj.adadelta(),
        lambda: optax.adadelta(1.0, rho=0.95, eps=1e-6),
        lambda params, **mode: torch.optim.Adadelta(params, 1.0, rho=0.95, **mode),
        False,
    ),
    Method(
        "adam",
        lambda: mj.adam(RATE),
        lambda: optax.adam(RATE),
        lambda params, **mode: torch.optim.Adam(params, RATE, **mode),
        True,
    ),
    Method(
        "adam amsgrad",
        lambda: mj.adam(RATE, amsgrad=True),
        lambda: optax.amsgrad(RATE),
        lambda params, **mode: torch.optim.Adam(params, RATE, amsgrad=True, **mode),
        True,
        equivalent=False,  # Optax takes the maximum of the corrected moment.
    ),
    Method(
        "adamw",
        lambda: mj.adamw(RATE, weight_decay=1e-2),
        lambda: optax.adamw(RATE, weight_decay=1e-2),
        lambda params, **mode: torch.optim.AdamW(params, RATE, weight_decay=1e-2, **mode),
        True,
    ),
)
# What Optax has of the other methods; they are timed by name.
RELATIVES = (
    Method("nadam", lambda: mj.nadam(RATE, variant="optax"), lambda: optax.nadam(RATE)),
    Method(
        "nadam of torch",
        lambda: mj.nadam(RATE),
        lambda: optax.nadam(RATE),
        lambda params, **mode: torch.optim.NAdam(params, RATE, **mode),
        equivalent=False,  # Optax's has no schedule of momentum.
    ),
    Method("adan", lambda: mj.adan(RATE), lambda: optax.adan(RATE), equivalent=False),  # Optax's has 1 - b2 for b2.
    Method("ademamix", lambda: mj.ademamix(RATE), lambda: optax.contrib.ademamix(RATE)),
    Method("simplified_ademamix", lambda: mj.simplified_ademamix(RATE), lambda: optax.contrib.simplified_ademamix(RATE)),
    # At a rate of 1: 1e-3 times LARS's trust coefficient would be lost in the rounding of the parameters.
    Method("lars", lambda: mj.lars(1.0), lambda: optax.lars(1.0)),
    Method("lars with decay", lambda: mj.lars(1.0, weight_decay=1e-2), lambda: optax.lars(1.0, 1e-2), equivalent=False),
    Method("optimistic", lambda: mj.optimistic(RATE), lambda: optax.optimistic_gradient_descent(RATE)),
    Method(
        "momo",
        lambda: mj.momo(RATE),
        lambda: optax.contrib.momo(RATE),
        extra={"value": 1e6},  # Far above what Polyak's step needs to be 0 on random gradients.
    ),
    Method(
        "muon",
        lambda: mj.muon(RATE),
        lambda: optax.contrib.muon(RATE),
        equivalent=False,  # Optax corrects gradient and average apart and scales by the other axis.
    ),
)
METHODS = CORE + RELATIVES
