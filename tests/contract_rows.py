"""One row for every file in momentum_jax/optimizers: what the contract test has to know about a method."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import momentum_jax as mj


@dataclass(frozen=True)
class Row:
    """A method with its hyperparameters.

    Attributes:
      id: unique name of the row.
      file: the file of momentum_jax/optimizers that it stands for.
      make: constructor.
      numbers: its real-valued hyperparameters, all of them, with values that serve on every test problem.
      structure: its structural arguments.
      looks_ahead: hyperparameters of which the first update reads step 1 as well.
      no_schedule: hyperparameters that take no schedule.
      allowed: of hyperparameters that are no decays in [0, 1), what their values may be, as messages say it.
      needs_params: `update` needs the parameters.
      buffered: takes `accumulator_dtype`.
      descends: it is an optimizer (a core only transforms).
      parabola, rosenbrock: overrides with which it comes to within 3e-2 of the minimum.
      steps: in how many steps; 10,000 is what Optax's own test allows.
    """

    id: str
    file: str
    make: Callable[..., Any]
    numbers: dict[str, float]
    structure: dict[str, Any] = field(default_factory=dict)
    looks_ahead: tuple[str, ...] = ()
    no_schedule: tuple[str, ...] = ()
    allowed: dict[str, str] = field(default_factory=dict)
    needs_params: bool = False
    buffered: bool = True
    descends: bool = True
    parabola: dict[str, float] = field(default_factory=dict)
    rosenbrock: dict[str, float] = field(default_factory=dict)
    steps: int = 10_000

    def build(self, **overrides: Any) -> Any:
        return self.make(**{**self.numbers, **self.structure, **overrides})


def _core(id: str, file: str, make: Callable[..., Any], numbers: dict[str, float], **more: Any) -> Row:
    return Row(id, file, make, numbers, descends=False, **more)


RMS = {"learning_rate": 5e-3, "decay": 0.9, "eps": 1e-8}
ADAM = {"learning_rate": 0.1, "b1": 0.9, "b2": 0.999, "eps": 1e-8}
HALF_LINE, LINE, SHARE = "finite and at least 0", "finite", "in [0, 1]"
QHADAM = {"b1": 0.9, "b2": 0.99, "nu1": 0.7, "nu2": 0.9, "eps": 1e-8}
NADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}

ROWS = (
    Row("gradient_descent", "gradient_descent", mj.gradient_descent, {"learning_rate": 1e-3}, buffered=False, steps=40_000),
    Row("heavy_ball", "heavy_ball", mj.heavy_ball, {"learning_rate": 1e-3, "momentum": 0.9}),
    Row(
        "nesterov",
        "nesterov",
        mj.nesterov,
        {"learning_rate": 1e-3, "momentum": 0.9},
        looks_ahead=("momentum",),
        rosenbrock={"learning_rate": 5e-4},
    ),
    Row(
        "sgd",
        "sgd",
        mj.sgd,
        {"learning_rate": 1e-3, "momentum": 0.9, "dampening": 0.1, "weight_decay": 1e-4},
        needs_params=True,
    ),
    Row(
        "sgd-nesterov",
        "sgd",
        mj.sgd,
        {"learning_rate": 1e-3, "momentum": 0.9},
        {"nesterov": True},
        rosenbrock={"learning_rate": 5e-4},
    ),
    Row(
        "ema_momentum",
        "ema_momentum",
        mj.ema_momentum,
        {"learning_rate": 1e-2, "momentum": 0.9},
        rosenbrock={"learning_rate": 3e-3},
    ),
    Row("ema_momentum-debias", "ema_momentum", mj.ema_momentum, {"learning_rate": 3e-3, "momentum": 0.9}, {"debias": True}),
    Row("rmsprop", "rmsprop", mj.rmsprop, RMS | {"momentum": 0.9}),
    Row(
        "rmsprop-optax", "rmsprop", mj.rmsprop, RMS | {"momentum": 0.9}, {"eps_inside_sqrt": True, "learning_rate_inside": True}
    ),
    Row(
        "rmsprop-nesterov-centered",
        "rmsprop",
        mj.rmsprop,
        RMS | {"momentum": 0.5, "eps": 0.1},
        {"nesterov": True, "centered": True},
    ),
    Row(
        "adagrad",
        "adagrad",
        mj.adagrad,
        {"learning_rate": 1.0, "initial_accumulator": 0.1, "eps": 1e-8},
        no_schedule=("initial_accumulator",),
    ),
    Row(
        "adadelta",
        "adadelta",
        mj.adadelta,
        {"learning_rate": 1.0, "rho": 0.95, "eps": 1e-6},
        rosenbrock={"learning_rate": 0.02},
        steps=20_000,
    ),
    Row("adam", "adam", mj.adam, ADAM),
    Row("adam-amsgrad", "adam", mj.adam, ADAM, {"amsgrad": True}),
    Row("adamw", "adam", mj.adamw, ADAM | {"weight_decay": 1e-4}, needs_params=True),
    _core("scale_by_learning_rate", "learning_rate", mj.scale_by_learning_rate, {"learning_rate": 0.1}, buffered=False),
    _core("add_weight_decay", "weight_decay", mj.add_weight_decay, {"weight_decay": 0.1}, needs_params=True, buffered=False),
    _core("scale_by_heavy_ball", "heavy_ball", mj.scale_by_heavy_ball, {"momentum": 0.9}),
    _core("scale_by_nesterov", "nesterov", mj.scale_by_nesterov, {"momentum": 0.9}, looks_ahead=("momentum",)),
    _core("scale_by_sgd", "sgd", mj.scale_by_sgd, {"momentum": 0.9, "dampening": 0.1}),
    _core("scale_by_ema_momentum", "ema_momentum", mj.scale_by_ema_momentum, {"momentum": 0.9}),
    _core("scale_by_rmsprop", "rmsprop", mj.scale_by_rmsprop, {"decay": 0.9, "eps": 1e-8}),
    _core(
        "scale_by_adagrad",
        "adagrad",
        mj.scale_by_adagrad,
        {"initial_accumulator": 0.0, "eps": 1e-10},
        no_schedule=("initial_accumulator",),
    ),
    _core("scale_by_adadelta", "adadelta", mj.scale_by_adadelta, {"rho": 0.95, "eps": 1e-6}),
    _core("scale_by_adam", "adam", mj.scale_by_adam, {"b1": 0.9, "b2": 0.999, "eps": 1e-8}),
    Row(
        "quasi_hyperbolic_adam",
        "quasi_hyperbolic_adam",
        mj.quasi_hyperbolic_adam,
        {"learning_rate": 0.1, **QHADAM},
        allowed={"nu1": SHARE, "nu2": SHARE},
        rosenbrock={"learning_rate": 3e-3},
    ),
    _core(
        "scale_by_quasi_hyperbolic_adam",
        "quasi_hyperbolic_adam",
        mj.scale_by_quasi_hyperbolic_adam,
        QHADAM,
        allowed={"nu1": SHARE, "nu2": SHARE},
    ),
    Row(
        "nadam",
        "nadam",
        mj.nadam,
        {"learning_rate": 0.1, **NADAM, "momentum_decay": 0.004},
        looks_ahead=("b1", "momentum_decay"),
        allowed={"momentum_decay": HALF_LINE},
        rosenbrock={"learning_rate": 3e-3},
    ),
    *[
        Row(
            f"nadam-{variant}",
            "nadam",
            mj.nadam,
            {"learning_rate": 0.1, **NADAM},
            {"variant": variant},
            looks_ahead=("b1",),
            rosenbrock={"learning_rate": 3e-3},
        )
        for variant in ("keras", "optax")
    ],
    _core(
        "scale_by_nadam",
        "nadam",
        mj.scale_by_nadam,
        {**NADAM, "momentum_decay": 0.004},
        looks_ahead=("b1", "momentum_decay"),
        allowed={"momentum_decay": HALF_LINE},
    ),
    Row(
        "per_layer",
        "per_layer",
        lambda learning_rate, momentum, accumulator_dtype=None: mj.per_layer(
            {"*": mj.heavy_ball(learning_rate, momentum, accumulator_dtype=accumulator_dtype)}
        ),
        {"learning_rate": 1e-3, "momentum": 0.9},
    ),
)
