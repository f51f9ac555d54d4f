"""What reading the settings of PyTorch's and of Keras's optimizers has in common."""

import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from momentum_jax._hyperparameters import Interval, ScalarOrSchedule, held, is_zero
from momentum_jax.optimizers._transformation import Transformation, chain
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate
from momentum_jax.optimizers.weight_decay import add_weight_decay

Settings = Mapping[str, Any]
RATE, DECAY, NUMBER = Interval(0, math.inf), Interval(0, 1), Interval(0, math.inf, schedule=False)


class Framework(NamedTuple):
    """One framework's optimizers.

    Attributes:
      who: the function that reads its dicts, for messages.
      classes: name -> (hyperparameters with their defaults, how to build it); None for a class that is not translated.
      rules: hyperparameter -> what it may be.
      ignored: settings that change nothing in exact arithmetic, or that only a setting of `inactive` brings into play.
      inactive: setting -> the values at which it does nothing.
      powers: settings whose powers enter a correction, so that they cannot be schedules.
    """

    who: str
    classes: dict[str, tuple[Settings, Callable[[Any], Transformation] | None]]
    rules: dict[str, Any]
    ignored: frozenset[str]
    inactive: dict[str, tuple[Any, ...]]
    powers: frozenset[str]

    @property
    def translated(self) -> str:
        """The classes that can be built, for messages."""
        return ", ".join(name for name, (_, make) in self.classes.items() if make)

    def build(self, name: str, settings: Settings) -> Transformation:
        defaults, make = self.classes[name]
        if make is None:
            elsewhere = f"; {_ELSEWHERE[name]}" if name in _ELSEWHERE else ""
            raise ValueError(f"{self.who}: {name} is not translated{elsewhere}.")
        known = {**defaults}
        for key, value in settings.items():
            if key in self.inactive:
                if not any(_is_off(value, off) for off in self.inactive[key]):
                    raise ValueError(f"{self.who}: {key}={value!r} of {name} is not translated; {_REMEDIES[key]}.")
            elif key in defaults:
                rule = self.rules[key]
                known[key] = held(self.who, key, rule, rule.check(self.who, key, _plain(value)))
                self._refuse_schedules_of_powers(name, key, known[key])
                if key == "momentum":
                    self._refuse_a_start_at_zero(name, known[key])
            elif key not in self.ignored:
                raise ValueError(f"{self.who}: {name} has no setting {key!r}; its settings are {', '.join(defaults)}.")
        return make(Named(known))

    def _refuse_schedules_of_powers(self, name: str, key: str, value: Any) -> None:
        if key in self.powers and any(map(callable, value if isinstance(value, tuple) else (value,))):
            raise ValueError(
                f"{self.who}: {key} of {name} must be constant, for there its averages are corrected by powers of the current "
                f"{key}, which is exact for constants only; momentum_jax.{name.lower()} corrects schedules exactly."
            )

    def _refuse_a_start_at_zero(self, name: str, momentum: Any) -> None:
        if callable(momentum) and _known(momentum, 0) == 0 and _known(momentum, 1) != 0:
            raise ValueError(
                f"{self.who}: momentum of {name} must not be 0 at step 0 and above it at step 1, for there it remembers "
                f"nothing of a step without momentum; momentum_jax.{name.lower()} does."
            )


# What stands for a setting that is not the optimizer's own: a link of a chain around what is built without it.
_REMEDIES = {
    "clipnorm": "leave it out and clip each gradient by its norm before the optimizer",
    "clipvalue": "leave it out and put optax.clip(value) before the optimizer",
    "global_clipnorm": "leave it out and put optax.clip_by_global_norm(norm) before the optimizer",
    "use_ema": "leave it out and average the parameters, as by optax.ema or optax.incremental_update",
    "loss_scale_factor": "leave it out and divide the gradients of a scaled loss by it",
    "gradient_accumulation_steps": "leave it out and put optax.MultiSteps around the optimizer",
}


# Where to look for a class that is not translated.
_ELSEWHERE = {
    **{name: f"Optax has optax.{name.lower()}" for name in ("Adafactor", "Adamax", "Lamb", "LBFGS", "Lion", "RAdam", "Rprop")},
    "ScheduleFreeAdamW": "Optax has optax.contrib.schedule_free_adamw",
    "LossScaleOptimizer": "give the configuration of the optimizer in it",
    "MultiOptimizer": "give the configurations of the optimizers in it, one by one",
    "SparseAdam": "momentum_jax.adam is that of dense gradients",
    "Muon": "momentum_jax.muon has settings of its own",
}


def _is_off(value: Any, off: Any) -> bool:
    """Whether a setting has this value at which it does nothing; 0 is not False."""
    if off is None or value is None:
        return value is off
    is_flag = isinstance(value, (bool, np.bool))
    return (is_flag or isinstance(value, numbers.Real)) and is_flag == isinstance(off, bool) and bool(value == off)


def _known(schedule: Callable[[Any], Any], step: int) -> float | None:
    """The value at a step; None where it holds traced numbers."""
    with jax.ensure_compile_time_eval():
        value = schedule(jnp.asarray(step))
    return None if isinstance(value, Tracer) else float(value)


class Named(dict[str, Any]):
    __getattr__ = dict.__getitem__


def beside(who: str, rate: Any, weight_decay: Any, optimizer: Transformation) -> Transformation:
    """x' = x - eta lambda x beside the step."""
    if is_zero(weight_decay):
        return optimizer
    opposite = scale_by_learning_rate(1.0)
    return chain(who, optimizer, opposite, add_weight_decay(times(rate, weight_decay)), opposite)


def times(a: ScalarOrSchedule, b: ScalarOrSchedule) -> Any:
    """The product of two hyperparameters."""
    if not callable(a) and not callable(b):
        return a * b
    return lambda t: (a(t) if callable(a) else a) * (b(t) if callable(b) else b)


def _plain(value: Any) -> Any:
    """Numbers as float, and the value of a 0-d tensor, for a learning rate may be one."""
    if isinstance(value, (jax.Array, np.ndarray, bool, str)) or callable(value):
        return value
    if isinstance(value, (tuple, list)):
        return tuple(map(_plain, value))
    if not isinstance(value, np.generic) and callable(getattr(value, "item", None)):
        value = value.item()
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def needs_mapping(framework: Framework, settings: Any) -> None:
    if not isinstance(settings, Mapping):
        raise TypeError(f"{framework.who}: the settings must be a dict, got {type(settings).__name__}.")
