"""This library's optimizers from the configurations that Keras keeps of its own. It is not imported."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from momentum_jax._hyperparameters import Flag, NullOr, is_zero, value_at
from momentum_jax.conventions.frameworks import DECAY, NUMBER, RATE, Framework, Settings, beside, needs_mapping
from momentum_jax.optimizers._transformation import Transformation
from momentum_jax.optimizers.adadelta import adadelta
from momentum_jax.optimizers.adagrad import adagrad
from momentum_jax.optimizers.adam import adam
from momentum_jax.optimizers.heavy_ball import heavy_ball
from momentum_jax.optimizers.nadam import nadam
from momentum_jax.optimizers.rmsprop import rmsprop
from momentum_jax.optimizers.sgd import momentum_and_rate


def from_keras(config: Settings, *, optimizer: str | None = None) -> Transformation:
    """The optimizer that a Keras optimizer with this configuration is.

        from_keras(keras_optimizer.get_config())

    Args:
      config: what `get_config()` returns, or `keras.optimizers.serialize`; what is not in it has Keras's default. A schedule
        `step -> value` may stand in the place of a number, but for `beta_1`, `beta_2` and `initial_accumulator_value`, and
        a schedule of momentum is followed while it is above 0: at 0 Keras leaves its velocity as it is, the optimizer
        here replaces it by the gradient's. Only a rise from 0 at step 0 is refused. Keras's own schedules are objects of
        Keras and have to be replaced.
      optimizer: the class (SGD, RMSprop, Adam, AdamW, NAdam, Adagrad, Adadelta); None: as the configuration's "name" says.

    Raises:
      ValueError: no name of a known class, or of one that has no equivalent here; a setting that is unknown, or has no
        equivalent here and is active (`clipnorm`, `use_ema`); a value out of range.
      TypeError: an argument or a setting of the wrong type.

    Source: keras.optimizers of Keras 3.15.
    """
    needs_mapping(KERAS, config)
    if isinstance(config.get("config"), Mapping):
        config, optimizer = config["config"], optimizer or config.get("class_name")
    name = config.get("name") if optimizer is None else optimizer
    known = {key.lower(): key for key in KERAS.classes}
    # Keras numbers the optimizers of a process: adam, adam_1, adam_2.
    found = known.get(str(name).rstrip("0123456789").replace("_", "").lower())
    if found is None:
        raise ValueError(f'from_keras: {name!r} names no optimizer; give optimizer= or a "name" of {KERAS.translated}.')
    rate = config.get("learning_rate")
    if isinstance(rate, Mapping):
        raise ValueError(
            f"from_keras: learning_rate is Keras's schedule {rate.get('class_name', '')}; "
            f"put a function `step -> value` in its place."
        )
    return KERAS.build(found, config)


def _keras_sgd(s: Any) -> Transformation:
    if s.nesterov and not is_zero(s.momentum):
        # mu_t in both places, unlike `nesterov`.
        return _decoupled(s, momentum_and_rate("from_keras", (), s.learning_rate, s.momentum, nesterov=True, rate_inside=True))
    return _decoupled(s, heavy_ball(s.learning_rate, s.momentum))


def _keras_rmsprop(s: Any) -> Transformation:
    built = rmsprop(
        s.learning_rate,
        s.rho,
        eps=s.epsilon,
        eps_inside_sqrt=True,
        centered=s.centered,
        momentum=None if is_zero(s.momentum) else s.momentum,
        learning_rate_inside=True,
    )
    return _decoupled(s, built)


def _keras_adam(s: Any) -> Transformation:
    def eps(t: Any) -> Any:
        """Keras adds eps before the correction: eps / sqrt(1 - b2^(t+1)) after it."""
        power = (jnp.asarray(t, float) + 1) * jnp.log1p(jnp.asarray(s.beta_2, float) - 1)
        return value_at(s.epsilon, t) / jnp.sqrt(-jnp.expm1(power))

    return _decoupled(s, adam(s.learning_rate, s.beta_1, s.beta_2, eps=eps, amsgrad=s.amsgrad))


def _keras_nadam(s: Any) -> Transformation:
    return _decoupled(s, nadam(s.learning_rate, s.beta_1, s.beta_2, eps=s.epsilon, variant="keras"))


def _keras_adagrad(s: Any) -> Transformation:
    start = s.initial_accumulator_value
    return _decoupled(s, adagrad(s.learning_rate, initial_accumulator=start, eps=s.epsilon, eps_inside_sqrt=True))


def _keras_adadelta(s: Any) -> Transformation:
    return _decoupled(s, adadelta(s.learning_rate, s.rho, eps=s.epsilon))


def _decoupled(s: Any, optimizer: Transformation) -> Transformation:
    """Keras's weight decay, of every optimizer."""
    return optimizer if s.weight_decay is None else beside("from_keras", s.learning_rate, s.weight_decay, optimizer)


_KERAS_COMMON = {"learning_rate": 1e-3, "weight_decay": None}
_KERAS_ADAM = {**_KERAS_COMMON, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": False}

KERAS = Framework(
    "from_keras",
    {
        "SGD": ({**_KERAS_COMMON, "learning_rate": 1e-2, "momentum": 0.0, "nesterov": False}, _keras_sgd),
        "RMSprop": ({**_KERAS_COMMON, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": False}, _keras_rmsprop),
        "Adam": (_KERAS_ADAM, _keras_adam),
        "AdamW": ({**_KERAS_ADAM, "weight_decay": 4e-3}, _keras_adam),
        "NAdam": ({**_KERAS_COMMON, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}, _keras_nadam),
        "Adagrad": ({**_KERAS_COMMON, "initial_accumulator_value": 0.1, "epsilon": 1e-7}, _keras_adagrad),
        "Adadelta": ({**_KERAS_COMMON, "rho": 0.95, "epsilon": 1e-7}, _keras_adadelta),
        **{name: ({}, None) for name in ("Adafactor", "Adamax", "Ftrl", "Lamb", "Lion", "Muon", "ScheduleFreeAdamW")},
        **{name: ({}, None) for name in ("LossScaleOptimizer", "MultiOptimizer")},
    },
    rules=dict.fromkeys(("learning_rate", "epsilon"), RATE)
    | dict.fromkeys(("momentum", "rho", "beta_1", "beta_2"), DECAY)
    | dict.fromkeys(("nesterov", "centered", "amsgrad"), Flag())
    | {"weight_decay": NullOr(RATE), "initial_accumulator_value": NUMBER},
    # Without use_ema its two settings do nothing.
    ignored=frozenset({"name", "ema_momentum", "ema_overwrite_frequency", "is_legacy_optimizer", "jit_compile"}),
    inactive={
        "clipnorm": (None,),
        "clipvalue": (None,),
        "global_clipnorm": (None,),
        "use_ema": (False,),
        "loss_scale_factor": (None, 1.0),
        "gradient_accumulation_steps": (None,),
    },
    powers=frozenset({"beta_1", "beta_2"}),
)
