"""This library's optimizers from the plain dicts of hyperparameters that PyTorch and Keras keep. Neither is imported."""

import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from momentum_jax._hyperparameters import Flag, Interval, NullOr, Pair, ScalarOrSchedule, is_zero, value_at
from momentum_jax.optimizers._transformation import Transformation, chain
from momentum_jax.optimizers.adadelta import adadelta
from momentum_jax.optimizers.adagrad import adagrad
from momentum_jax.optimizers.adam import adam, adamw
from momentum_jax.optimizers.heavy_ball import heavy_ball
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate
from momentum_jax.optimizers.nadam import nadam
from momentum_jax.optimizers.rmsprop import rmsprop
from momentum_jax.optimizers.sgd import refuse_contradictions, scale_by_sgd, sgd
from momentum_jax.optimizers.weight_decay import add_weight_decay

Settings = Mapping[str, Any]


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
                known[key] = self.rules[key].check(self.who, key, _plain(value))
                self._refuse_schedules_of_powers(name, key, known[key])
                if key == "momentum":
                    self._refuse_a_start_at_zero(name, known[key])
            elif key not in self.ignored:
                raise ValueError(f"{self.who}: {name} has no setting {key!r}; its settings are {', '.join(defaults)}.")
        return make(_Named(known))

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
    **{name: f"Optax has optax.{name.lower()}" for name in ("Adafactor", "Adamax", "Lamb", "Lion", "RAdam", "Rprop")},
    "ScheduleFreeAdamW": "Optax has optax.contrib.schedule_free_adamw",
    "LossScaleOptimizer": "give the configuration of the optimizer in it",
    "MultiOptimizer": "give the configurations of the optimizers in it, one by one",
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


class _Named(dict[str, Any]):
    __getattr__ = dict.__getitem__


def from_torch(
    param_group: Settings | str, settings: Settings | None = None, *, optimizer: str | None = None
) -> Transformation:
    """The optimizer that a PyTorch optimizer with these settings is.

        from_torch(torch_optimizer.param_groups[0])
        from_torch({"lr": 0.1, "momentum": 0.9}, optimizer="SGD")
        from_torch("SGD", {"lr": 0.1, "momentum": 0.9})

    Args:
      param_group: an element of `param_groups`, or any dict of the arguments; what is not in it has PyTorch's default. A
        schedule `step -> value` may stand in the place of a number, but for `betas`, `momentum_decay`, `lr_decay` and
        `initial_accumulator_value`. A schedule of momentum is followed while it is above 0: where it is 0, PyTorch leaves
        its buffer as it is, the optimizer here replaces it by the gradient, and steps differ once it is above 0 again.
        Only a rise from 0 at step 0 is refused.
      settings: the dict, when the name of the class comes first.
      optimizer: SGD, RMSprop, Adam, AdamW, Adagrad, Adadelta, NAdam; None: the class that has these settings.

    Raises:
      ValueError: settings of several classes and no name; a class that has no equivalent here; a setting that is unknown; a
        value out of range; a schedule of `betas` or `momentum_decay`, or of `momentum` from 0 up.
      TypeError: an argument or a setting of the wrong type.

    Source: torch.optim of PyTorch 2.13.
    """
    if isinstance(param_group, str):
        if optimizer is not None or settings is None:
            raise TypeError("from_torch: give the name once and the settings once, as from_torch('SGD', {'lr': 0.1}).")
        param_group, optimizer = settings, param_group
    elif settings is not None:
        raise TypeError("from_torch: give the settings once, as from_torch({'lr': 0.1}, optimizer='SGD').")
    _needs_mapping(TORCH, param_group)
    switches = {name: Flag().check("from_torch", name, param_group[name]) for name in _SWITCHES if name in param_group}
    if optimizer is None:
        optimizer = _torch_class({**param_group, **switches})
    if not isinstance(optimizer, str) or optimizer not in TORCH.classes:
        raise ValueError(f"from_torch: optimizer must be one of {_built(TORCH)}, got {optimizer!r}.")
    if optimizer in ("Adam", "AdamW") and "decoupled_weight_decay" in switches:
        # The default is that of the class that was named.
        param_group = {"weight_decay": TORCH.classes[optimizer][0]["weight_decay"], **param_group}
        optimizer = "AdamW" if switches["decoupled_weight_decay"] else "Adam"
    built = TORCH.build(optimizer, param_group)
    # PyTorch negates the gradient first: weight decay still pulls to 0.
    return chain("from_torch", scale_by_learning_rate(1.0), built) if switches.get("maximize") else built


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
    _needs_mapping(KERAS, config)
    if isinstance(config.get("config"), Mapping):
        config, optimizer = config["config"], optimizer or config.get("class_name")
    name = config.get("name") if optimizer is None else optimizer
    known = {key.lower(): key for key in KERAS.classes}
    # Keras numbers the optimizers of a process: adam, adam_1, adam_2.
    found = known.get(str(name).rstrip("0123456789").replace("_", "").lower())
    if found is None:
        raise ValueError(f'from_keras: {name!r} names no optimizer; give optimizer= or a "name" of {_built(KERAS)}.')
    rate = config.get("learning_rate")
    if isinstance(rate, Mapping):
        raise ValueError(
            f"from_keras: learning_rate is Keras's schedule {rate.get('class_name', '')}; "
            f"put a function `step -> value` in its place."
        )
    return KERAS.build(found, config)


def _torch_class(group: Settings) -> str:
    """The class of PyTorch that has these settings."""
    given = set(group) - TORCH.ignored
    if not given:
        raise ValueError(
            f"from_torch: the settings must name their class, as none is given: optimizer= one of {_built(TORCH)}."
        )
    fitting = [name for name, (defaults, _) in TORCH.classes.items() if given <= defaults.keys()]
    exact = [name for name in fitting if given == TORCH.classes[name][0].keys() - TORCH.ignored]
    found = fitting if len(fitting) == 1 else exact
    if set(found) == {"Adam", "AdamW"} and "decoupled_weight_decay" in group:
        found = ["AdamW" if group["decoupled_weight_decay"] else "Adam"]
    if len(found) != 1:
        own = [name for name in fitting if TORCH.classes[name][1]]
        others = [name for name in fitting if name not in own]
        also = f" ({_listed(others)}, too, but cannot be translated)" if own and others else ""
        verb = "has" if len(own or others) < 2 else "have"
        raise ValueError(
            f"from_torch: {_listed(own or others)} {verb} the settings {', '.join(sorted(map(str, given)))}{also}; "
            f"give the name as optimizer=."
        )
    return found[0]


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])) or "no optimizer"


def _torch_sgd(s: Any) -> Transformation:
    refuse_contradictions("from_torch", s.momentum, s.dampening, s.nesterov)
    momentum = None if is_zero(s.momentum) else s.momentum
    return sgd(s.lr, momentum, dampening=s.dampening, nesterov=s.nesterov, weight_decay=s.weight_decay)


def _torch_rmsprop(s: Any) -> Transformation:
    momentum = None if is_zero(s.momentum) else s.momentum
    return _coupled(s, rmsprop(s.lr, s.alpha, eps=s.eps, centered=s.centered, momentum=momentum))


def _torch_adam(s: Any) -> Transformation:
    return _coupled(s, adam(s.lr, *s.betas, eps=s.eps, amsgrad=s.amsgrad))


def _torch_adamw(s: Any) -> Transformation:
    return adamw(s.lr, *s.betas, eps=s.eps, amsgrad=s.amsgrad, weight_decay=s.weight_decay)


def _torch_adagrad(s: Any) -> Transformation:
    rate = s.lr if is_zero(s.lr_decay) else _times(s.lr, lambda t: 1 / (1 + t * s.lr_decay))
    return _coupled(s, adagrad(rate, initial_accumulator=s.initial_accumulator_value, eps=s.eps))


def _torch_adadelta(s: Any) -> Transformation:
    return _coupled(s, adadelta(s.lr, s.rho, eps=s.eps))


def _torch_nadam(s: Any) -> Transformation:
    built = nadam(s.lr, *s.betas, eps=s.eps, momentum_decay=s.momentum_decay)
    return _beside("from_torch", s.lr, s.weight_decay, built) if s.decoupled_weight_decay else _coupled(s, built)


def _coupled(s: Any, optimizer: Transformation) -> Transformation:
    """PyTorch's weight decay, added to the gradient."""
    return optimizer if is_zero(s.weight_decay) else chain("from_torch", add_weight_decay(s.weight_decay), optimizer)


def _keras_sgd(s: Any) -> Transformation:
    if s.nesterov and not is_zero(s.momentum):
        # mu_t in both places, unlike `nesterov`.
        core = scale_by_sgd(s.momentum, nesterov=True)
        return _decoupled(s, chain("from_keras", scale_by_learning_rate(s.learning_rate), core))
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
    return optimizer if s.weight_decay is None else _beside("from_keras", s.learning_rate, s.weight_decay, optimizer)


def _beside(who: str, rate: Any, weight_decay: Any, optimizer: Transformation) -> Transformation:
    """x' = x - eta lambda x beside the step."""
    if is_zero(weight_decay):
        return optimizer
    opposite = scale_by_learning_rate(1.0)
    return chain(who, optimizer, opposite, add_weight_decay(_times(rate, weight_decay)), opposite)


def _times(a: ScalarOrSchedule, b: ScalarOrSchedule) -> Any:
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


def _needs_mapping(framework: Framework, settings: Any) -> None:
    if not isinstance(settings, Mapping):
        raise TypeError(f"{framework.who}: the settings must be a dict, got {type(settings).__name__}.")


def _built(framework: Framework) -> str:
    return ", ".join(name for name, (_, make) in framework.classes.items() if make)


_RATE, _DECAY, _NUMBER = Interval(0, math.inf), Interval(0, 1), Interval(0, math.inf, schedule=False)
# What every class of PyTorch has, or what tells two classes apart.
_SWITCHES = ("maximize", "decoupled_weight_decay")
# What PyTorch's schedulers keep in the group for themselves.
_SCHEDULERS = ("initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum", "swa_lr")
_TORCH_ADAM = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False}
_TORCH_ADAM_LIKE = {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}

TORCH = Framework(
    "from_torch",
    {
        "SGD": ({"lr": 1e-3, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}, _torch_sgd),
        "RMSprop": (
            {"lr": 1e-2, "momentum": 0.0, "alpha": 0.99, "eps": 1e-8, "centered": False, "weight_decay": 0.0},
            _torch_rmsprop,
        ),
        "Adam": (_TORCH_ADAM, _torch_adam),
        "AdamW": ({**_TORCH_ADAM, "weight_decay": 1e-2}, _torch_adamw),
        "Adagrad": (
            {"lr": 1e-2, "lr_decay": 0.0, "eps": 1e-10, "weight_decay": 0.0, "initial_accumulator_value": 0.0},
            _torch_adagrad,
        ),
        "Adadelta": ({"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0}, _torch_adadelta),
        "NAdam": ({**_TORCH_ADAM_LIKE, "momentum_decay": 4e-3, "decoupled_weight_decay": False}, _torch_nadam),
        # What else has these settings, so that it is not taken for one of the above.
        "RAdam": (_TORCH_ADAM_LIKE, None),
        "Adamax": (_TORCH_ADAM_LIKE, None),
        "ASGD": ({"lr": 1e-2, "lambd": 1e-4, "alpha": 0.75, "t0": 1e6, "weight_decay": 0.0}, None),
        "Rprop": ({"lr": 1e-2, "etas": (0.5, 1.2), "step_sizes": (1e-6, 50)}, None),
    },
    rules=dict.fromkeys(("lr", "weight_decay", "eps", "momentum_decay"), _RATE)
    | dict.fromkeys(("momentum", "dampening", "alpha", "rho"), _DECAY)
    | dict.fromkeys(("lr_decay", "initial_accumulator_value"), _NUMBER)
    | dict.fromkeys(("nesterov", "centered", "amsgrad", *_SWITCHES), Flag())
    | {"betas": Pair(_DECAY)},
    ignored=frozenset({"params", "param_names", "foreach", "fused", "capturable", "differentiable", *_SWITCHES, *_SCHEDULERS}),
    inactive={},
    powers=frozenset({"betas", "momentum_decay"}),
)
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
    rules=dict.fromkeys(("learning_rate", "epsilon"), _RATE)
    | dict.fromkeys(("momentum", "rho", "beta_1", "beta_2"), _DECAY)
    | dict.fromkeys(("nesterov", "centered", "amsgrad"), Flag())
    | {"weight_decay": NullOr(_RATE), "initial_accumulator_value": _NUMBER},
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
