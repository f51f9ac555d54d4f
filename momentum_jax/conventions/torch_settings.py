"""This library's optimizers from the plain dicts of hyperparameters that PyTorch keeps. It is not imported."""

from typing import Any

from momentum_jax._hyperparameters import Flag, Pair, is_zero
from momentum_jax.conventions.frameworks import DECAY, NUMBER, RATE, Framework, Settings, beside, needs_mapping, times
from momentum_jax.optimizers._transformation import Transformation, chain
from momentum_jax.optimizers.adadelta import adadelta
from momentum_jax.optimizers.adagrad import adagrad
from momentum_jax.optimizers.adam import adam, adamw
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate
from momentum_jax.optimizers.nadam import nadam
from momentum_jax.optimizers.rmsprop import rmsprop
from momentum_jax.optimizers.sgd import refuse_contradictions, sgd
from momentum_jax.optimizers.weight_decay import add_weight_decay


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
    needs_mapping(TORCH, param_group)
    switches = {name: Flag().check("from_torch", name, param_group[name]) for name in _SWITCHES if name in param_group}
    if optimizer is None:
        optimizer = _torch_class({**param_group, **switches})
    if not isinstance(optimizer, str) or optimizer not in TORCH.classes:
        raise ValueError(f"from_torch: optimizer must be one of {TORCH.translated}, got {optimizer!r}.")
    if optimizer in ("Adam", "AdamW") and "decoupled_weight_decay" in switches:
        # The default is that of the class that was named.
        param_group = {"weight_decay": TORCH.classes[optimizer][0]["weight_decay"], **param_group}
        optimizer = "AdamW" if switches["decoupled_weight_decay"] else "Adam"
    built = TORCH.build(optimizer, param_group)
    # PyTorch negates the gradient first: weight decay still pulls to 0.
    return chain("from_torch", scale_by_learning_rate(1.0), built) if switches.get("maximize") else built


def _torch_class(group: Settings) -> str:
    """The class of PyTorch that has these settings."""
    given = set(group) - TORCH.ignored
    if not given:
        raise ValueError(
            f"from_torch: the settings must name their class, as none is given: optimizer= one of {TORCH.translated}."
        )
    having = [name for name, (defaults, _) in TORCH.classes.items() if given <= defaults.keys()]
    fitting = [name for name in having if name not in _BY_THEIR_OWN] or having
    if not fitting:
        raise ValueError(f"from_torch: {_why_none_fits(given)}.")
    own = [name for name in fitting if TORCH.classes[name][1]]
    exact = [name for name in own or fitting if given == TORCH.classes[name][0].keys() - TORCH.ignored]
    found = fitting if len(fitting) == 1 else exact
    if set(found) == {"Adam", "AdamW"} and "decoupled_weight_decay" in group:
        found = ["AdamW" if group["decoupled_weight_decay"] else "Adam"]
    if len(found) != 1:
        others = [name for name in fitting if name not in own]
        also = f" ({_listed(others)}, too, but cannot be translated)" if own and others else ""
        verb = "has" if len(own or others) < 2 else "have"
        raise ValueError(
            f"from_torch: {_listed(own or others)} {verb} the settings {', '.join(sorted(map(str, given)))}{also}; "
            f"give the name as optimizer=."
        )
    return found[0]


def _why_none_fits(given: set[Any]) -> str:
    """Why no class has all of these settings: one is nobody's, or they are of several classes."""
    known = {setting for defaults, _ in TORCH.classes.values() for setting in defaults}
    if foreign := sorted(map(repr, given - known)):
        settings, them = ("the setting", "it") if len(foreign) == 1 else ("the settings", "them")
        return f"no optimizer of PyTorch has {settings} {_listed(foreign)}; leave {them} out"
    return f"no optimizer of PyTorch has all of the settings {', '.join(sorted(given))}; give those of one class"


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


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
    rate = s.lr if is_zero(s.lr_decay) else times(s.lr, lambda t: 1 / (1 + t * s.lr_decay))
    return _coupled(s, adagrad(rate, initial_accumulator=s.initial_accumulator_value, eps=s.eps))


def _torch_adadelta(s: Any) -> Transformation:
    return _coupled(s, adadelta(s.lr, s.rho, eps=s.eps))


def _torch_nadam(s: Any) -> Transformation:
    built = nadam(s.lr, *s.betas, eps=s.eps, momentum_decay=s.momentum_decay)
    return beside("from_torch", s.lr, s.weight_decay, built) if s.decoupled_weight_decay else _coupled(s, built)


def _coupled(s: Any, optimizer: Transformation) -> Transformation:
    """PyTorch's weight decay, added to the gradient."""
    return optimizer if is_zero(s.weight_decay) else chain("from_torch", add_weight_decay(s.weight_decay), optimizer)


# Classes that only settings of their own tell: lr, momentum and nesterov alone are SGD's, not Muon's.
_BY_THEIR_OWN = ("Adafactor", "LBFGS", "Muon")
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
        "SparseAdam": ({"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8}, None),
        "Rprop": ({"lr": 1e-2, "etas": (0.5, 1.2), "step_sizes": (1e-6, 50)}, None),
        "Adafactor": ({"lr": 1e-2, "beta2_decay": -0.8, "eps": (None, 1e-3), "d": 1.0, "weight_decay": 0.0}, None),
        "LBFGS": (
            {
                "lr": 1.0,
                "max_iter": 20,
                "max_eval": None,
                "tolerance_grad": 1e-7,
                "tolerance_change": 1e-9,
                "history_size": 100,
                "line_search_fn": None,
            },
            None,
        ),
        "Muon": (
            {
                "lr": 1e-3,
                "weight_decay": 0.1,
                "momentum": 0.95,
                "nesterov": True,
                "ns_coefficients": (3.4445, -4.775, 2.0315),
                "eps": 1e-7,
                "ns_steps": 5,
                "adjust_lr_fn": None,
            },
            None,
        ),
    },
    rules=dict.fromkeys(("lr", "weight_decay", "eps", "momentum_decay"), RATE)
    | dict.fromkeys(("momentum", "dampening", "alpha", "rho"), DECAY)
    | dict.fromkeys(("lr_decay", "initial_accumulator_value"), NUMBER)
    | dict.fromkeys(("nesterov", "centered", "amsgrad", *_SWITCHES), Flag())
    | {"betas": Pair(DECAY)},
    ignored=frozenset({"params", "param_names", "foreach", "fused", "capturable", "differentiable", *_SWITCHES, *_SCHEDULERS}),
    inactive={},
    powers=frozenset({"betas", "momentum_decay"}),
)
