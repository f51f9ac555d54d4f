"""One row for every file in momentum_jax/optimizers: what the contract test has to know about a method."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import optax

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
      other_shapes: shapes in the state that are neither a parameter's nor a scalar's.
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
    other_shapes: tuple[tuple[int, ...], ...] = ()
    descends: bool = True
    parabola: dict[str, float] = field(default_factory=dict)
    rosenbrock: dict[str, float] = field(default_factory=dict)
    steps: int = 10_000

    def build(self, **overrides: Any) -> Any:
        return self.make(**{**self.numbers, **self.structure, **overrides})


def _core(id: str, file: str, make: Callable[..., Any], numbers: dict[str, float], **more: Any) -> Row:
    return Row(id, file, make, numbers, descends=False, **more)


def _with_a_loss(make: Callable[..., Any]) -> Callable[..., Any]:
    """`make` of an optimizer that needs `value=`, with a loss of 1 where a test hands it none."""

    @functools.wraps(make)
    def build(*args: Any, **kwargs: Any) -> Any:
        inner = make(*args, **kwargs)

        def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
            return inner.update(updates, state, params, **{"value": 1.0, **extra_args})

        return optax.GradientTransformationExtraArgs(inner.init, update)

    return build


RMS = {"learning_rate": 5e-3, "decay": 0.9, "eps": 1e-8}
ADAM = {"learning_rate": 0.1, "b1": 0.9, "b2": 0.999, "eps": 1e-8}
HALF_LINE, LINE, SHARE = "finite and at least 0", "finite", "in [0, 1]"
QHADAM = {"b1": 0.9, "b2": 0.99, "nu1": 0.7, "nu2": 0.9, "eps": 1e-8}
ADAN = {"learning_rate": 0.03, "b1": 0.98, "b2": 0.92, "b3": 0.99, "eps": 1e-8}
ADEMAMIX = {"b1": 0.9, "b2": 0.999, "b3": 0.99, "alpha": 2.0, "eps": 1e-8}
SIMPLIFIED = {"b1": 0.9, "b2": 0.95, "alpha": 0.5, "eps": 1e-8}
MARS = {"b1": 0.95, "b2": 0.99, "gamma": 0.025, "eps": 1e-8}
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
    Row("adan", "adan", mj.adan, ADAN, rosenbrock={"learning_rate": 3e-3}),
    Row("adan-decay", "adan", mj.adan, {**ADAN, "weight_decay": 1e-4}, needs_params=True, rosenbrock={"learning_rate": 3e-3}),
    Row(
        "laprop",
        "laprop",
        mj.laprop,
        {"learning_rate": 0.01, "b1": 0.9, "b2": 0.999, "eps": 1e-8},
        rosenbrock={"learning_rate": 3e-3},
    ),
    Row(
        "ademamix",
        "ademamix",
        mj.ademamix,
        {"learning_rate": 0.03, **ADEMAMIX},
        allowed={"alpha": HALF_LINE},
        rosenbrock={"learning_rate": 1e-3},
    ),
    _core("scale_by_ademamix", "ademamix", mj.scale_by_ademamix, ADEMAMIX, allowed={"alpha": HALF_LINE}),
    Row(
        "simplified_ademamix",
        "simplified_ademamix",
        mj.simplified_ademamix,
        {"learning_rate": 0.003, **SIMPLIFIED},
        allowed={"alpha": HALF_LINE},
        rosenbrock={"learning_rate": 3e-4},
    ),
    _core(
        "scale_by_simplified_ademamix",
        "simplified_ademamix",
        mj.scale_by_simplified_ademamix,
        SIMPLIFIED,
        allowed={"alpha": HALF_LINE},
    ),
    Row("demon", "demon", mj.demon, {"learning_rate": 1e-3, "momentum": 0.9}, {"total_steps": 10_000}),
    Row(
        "mars",
        "mars",
        mj.mars,
        {"learning_rate": 0.1, **MARS},
        allowed={"gamma": HALF_LINE},
        rosenbrock={"learning_rate": 3e-3},
    ),
    Row(
        "mars-decay",
        "mars",
        mj.mars,
        {"learning_rate": 0.1, **MARS, "weight_decay": 1e-4},
        allowed={"gamma": HALF_LINE},
        needs_params=True,
        rosenbrock={"learning_rate": 3e-3},
    ),
    _core("scale_by_mars", "mars", mj.scale_by_mars, MARS, allowed={"gamma": HALF_LINE}),
    Row(
        "momo",
        "momo",
        _with_a_loss(mj.momo),
        {"learning_rate": 1.0, "momentum": 0.9, "lower_bound": -0.3, "weight_decay": 0.1},
        allowed={"lower_bound": LINE},
        needs_params=True,
        parabola={"lower_bound": 0.0, "weight_decay": 0.0},
        rosenbrock={"lower_bound": 0.0, "weight_decay": 0.0},
    ),
    Row(
        "yellowfin",
        "yellowfin",
        mj.yellowfin,
        {"learning_rate": 1e-3, "decay": 0.9, "factor": 1.0, "eps": 1e-6},
        {"curvature_window": 20},
        no_schedule=("learning_rate",),
        allowed={"factor": HALF_LINE},
        other_shapes=((20,),),
        parabola={"decay": 0.999},
        rosenbrock={"decay": 0.999},
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
