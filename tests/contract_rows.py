"""One row for every file in momentum_jax/optimizers: what the contract test has to know about a method."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import optax
import pytest

import momentum_jax as mj


@dataclass(frozen=True, eq=False)
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
      related: hyperparameters whose allowed values depend on those of others.
      needs_params: `update` needs the parameters.
      buffered: takes `accumulator_dtype`.
      other_shapes: shapes in the state that are neither a parameter's nor a scalar's.
      descends: it is an optimizer (a core only transforms).
      parabola, rosenbrock: overrides with which it comes to within 3e-2 of the minimum.
      steps: in how many steps; 10,000 is what Optax's own test allows.
      static: arguments that `optax.inject_hyperparams` must not turn into arrays.
      wraps: it is built around another optimizer, to which its numbers belong.
      extra: extra arguments that `update` cannot do without.
    """

    id: str
    file: str
    make: Callable[..., Any]
    numbers: dict[str, float]
    structure: dict[str, Any] = field(default_factory=dict)
    looks_ahead: tuple[str, ...] = ()
    no_schedule: tuple[str, ...] = ()
    allowed: dict[str, str] = field(default_factory=dict)
    related: tuple[str, ...] = ()
    needs_params: bool = False
    buffered: bool = True
    other_shapes: tuple[tuple[int, ...], ...] = ()
    descends: bool = True
    parabola: dict[str, float] = field(default_factory=dict)
    rosenbrock: dict[str, float] = field(default_factory=dict)
    steps: int = 10_000
    static: tuple[str, ...] = ()
    wraps: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    def build(self, **overrides: Any) -> Any:
        return self.supplied(self.make)(**{**self.numbers, **self.structure, **overrides})

    def supplied(self, make: Callable[..., Any]) -> Callable[..., Any]:
        """`make`, whose optimizers are given the extra arguments where the caller gives none."""
        if not self.extra:
            return make

        @functools.wraps(make)
        def supplied_make(*args: Any, **kwargs: Any) -> Any:
            inner = make(*args, **kwargs)

            def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
                return inner.update(updates, state, params, **{**self.extra, **extra_args})

            return optax.GradientTransformationExtraArgs(inner.init, update)

        return supplied_make


def _core(id: str, file: str, make: Callable[..., Any], numbers: dict[str, float], **more: Any) -> Row:
    return Row(id, file, make, numbers, descends=False, **more)


def _around(make: Callable[..., Any], wrapper: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """The constructor of `make`'s optimizers inside `wrapper`."""
    return lambda learning_rate, momentum, accumulator_dtype=None: wrapper(
        make(learning_rate, momentum, accumulator_dtype=accumulator_dtype), **options
    )


def _with_a_loss(make: Callable[..., Any]) -> Callable[..., Any]:
    """`make` of an optimizer that needs `value=`, with a loss of 1 where a test hands it none."""

    @functools.wraps(make)
    def build(*args: Any, **kwargs: Any) -> Any:
        inner = make(*args, **kwargs)

        def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
            return inner.update(updates, state, params, **{"value": 1.0, **extra_args})

        return optax.GradientTransformationExtraArgs(inner.init, update)

    return build


def _half(params: Any) -> Any:
    return jax.tree.map(lambda p: 0.5 * p, params)


RMS = {"learning_rate": 5e-3, "decay": 0.9, "eps": 1e-8}
ADAM = {"learning_rate": 0.1, "b1": 0.9, "b2": 0.999, "eps": 1e-8}
HALF_LINE, LINE, SHARE = "finite and at least 0", "finite", "in [0, 1]"
QHADAM = {"b1": 0.9, "b2": 0.99, "nu1": 0.7, "nu2": 0.9, "eps": 1e-8}
ADAN = {"learning_rate": 0.03, "b1": 0.98, "b2": 0.92, "b3": 0.99, "eps": 1e-8}
ADEMAMIX = {"b1": 0.9, "b2": 0.999, "b3": 0.99, "alpha": 2.0, "eps": 1e-8}
SIMPLIFIED = {"b1": 0.9, "b2": 0.95, "alpha": 0.5, "eps": 1e-8}
MARS = {"b1": 0.95, "b2": 0.99, "gamma": 0.025, "eps": 1e-8}
NADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}

MUON = {"learning_rate": 0.02, "momentum": 0.95, "weight_decay": 1e-3}
POSITIVE, FROM_ONE = "finite and above 0", "finite and at least 1"
ACCELERATED = {"kappa": 100.0, "xi": 5.0, "small_const": 0.7}
PID = {"momentum": 0.9, "integral": 5.0, "derivative": 10.0}
CURVATURES = {"strong_convexity": 0.5, "smoothness": 2000.0}

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
        "normalized_momentum",
        "normalized_momentum",
        mj.normalized_momentum,
        {"learning_rate": 2e-3, "momentum": 0.9, "eps": 1e-8},
        rosenbrock={"learning_rate": 1e-3},
    ),
    _core("scale_by_muon", "muon", mj.scale_by_muon, {"momentum": 0.95, "eps": 1e-7}, static=("ns_steps",)),
    Row(
        "muon",
        "muon",
        mj.muon,
        MUON | {"eps": 1e-7},
        {"fallback": mj.adam(0.1)},
        needs_params=True,
        static=("ns_steps",),
    ),
    _core(
        "scale_by_normuon",
        "normuon",
        mj.scale_by_normuon,
        {"momentum": 0.95, "b2": 0.9, "eps": 1e-8},
        static=("ns_steps",),
        other_shapes=((2, 1), (1, 3)),
    ),
    Row(
        "normuon",
        "normuon",
        mj.normuon,
        MUON | {"b2": 0.9, "eps": 1e-8},
        {"fallback": mj.adam(0.1)},
        needs_params=True,
        static=("ns_steps",),
        other_shapes=((2, 1), (1, 3)),
    ),
    *[
        Row(
            f"adaptive_restart-{criterion}",
            "adaptive_restart",
            _around(mj.nesterov, mj.adaptive_restart, criterion=criterion),
            {"learning_rate": 1e-3, "momentum": 0.9},
            looks_ahead=("momentum",),
            rosenbrock={"learning_rate": 5e-4},
            wraps=True,
            extra={"value": 1.0} if criterion == "function" else {},
        )
        for criterion in ("gradient", "function", "speed")
    ],
    *[
        Row(
            f"cautious-{normalizer}",
            "cautious",
            _around(mj.heavy_ball, mj.cautious, normalizer=normalizer),
            {"learning_rate": 1e-3, "momentum": 0.9},
            wraps=True,
        )
        for normalizer in ("mean", "count")
    ],
    _core(
        "cautious_weight_decay",
        "cautious_weight_decay",
        mj.cautious_weight_decay,
        {"weight_decay": 0.1},
        needs_params=True,
        buffered=False,
    ),
    Row(
        "quasi_hyperbolic_momentum",
        "quasi_hyperbolic_momentum",
        mj.quasi_hyperbolic_momentum,
        {"learning_rate": 3e-3, "momentum": 0.9, "nu": 0.7},
        allowed={"nu": LINE},
    ),
    _core(
        "scale_by_quasi_hyperbolic_momentum",
        "quasi_hyperbolic_momentum",
        mj.scale_by_quasi_hyperbolic_momentum,
        {"momentum": 0.9, "nu": 0.7},
        allowed={"nu": LINE},
    ),
    Row(
        "aggregated_momentum",
        "aggregated_momentum",
        lambda learning_rate, first, second, third, accumulator_dtype=None: mj.aggregated_momentum(
            learning_rate, (first, second, third), accumulator_dtype=accumulator_dtype
        ),
        {"learning_rate": 5e-4, "first": 0.5, "second": 0.9, "third": 0.99},
        wraps=True,
    ),
    _core(
        "scale_by_aggregated_momentum",
        "aggregated_momentum",
        lambda first, second, accumulator_dtype=None: mj.scale_by_aggregated_momentum(
            (first, second), accumulator_dtype=accumulator_dtype
        ),
        {"first": 0.5, "second": 0.9},
        wraps=True,
    ),
    Row(
        "accelerated_sgd",
        "accelerated_sgd",
        mj.accelerated_sgd,
        {"learning_rate": 5e-4, **ACCELERATED},
        allowed={"kappa": FROM_ONE, "xi": HALF_LINE, "small_const": SHARE},
    ),
    _core(
        "scale_by_accelerated_sgd",
        "accelerated_sgd",
        mj.scale_by_accelerated_sgd,
        ACCELERATED,
        allowed={"kappa": FROM_ONE, "xi": HALF_LINE, "small_const": SHARE},
    ),
    Row(
        "ema_nesterov",
        "ema_nesterov",
        mj.ema_nesterov,
        {"learning_rate": 5e-4, "beta": 0.8, "gamma": 0.5},
        looks_ahead=("beta",),
    ),
    _core(
        "scale_by_ema_nesterov",
        "ema_nesterov",
        mj.scale_by_ema_nesterov,
        {"beta": 0.8, "gamma": 0.5},
        looks_ahead=("beta",),
    ),
    _core("grokfast", "grokfast", mj.grokfast, {"alpha": 0.9, "lamb": 2.0}, allowed={"lamb": HALF_LINE}),
    Row(
        "optimistic",
        "optimistic",
        mj.optimistic,
        {"learning_rate": 3.5e-4},
        looks_ahead=("learning_rate",),
        steps=100_000,
    ),
    Row(
        "pid",
        "pid",
        mj.pid,
        {"learning_rate": 1e-4, **PID},
        allowed={"integral": HALF_LINE, "derivative": HALF_LINE},
    ),
    _core("scale_by_pid", "pid", mj.scale_by_pid, PID, allowed={"integral": HALF_LINE, "derivative": HALF_LINE}),
    Row("fista", "fista", mj.fista, {"learning_rate": 5e-4}),
    _core("scale_by_fista", "fista", mj.scale_by_fista, {}),
    Row(
        "triple_momentum",
        "triple_momentum",
        mj.triple_momentum,
        CURVATURES,
        looks_ahead=("strong_convexity", "smoothness"),
        allowed=dict.fromkeys(CURVATURES, POSITIVE),
        related=("strong_convexity", "smoothness"),
    ),
    Row(
        "robust_momentum",
        "robust_momentum",
        mj.robust_momentum,
        {**CURVATURES, "rate": 0.997},
        looks_ahead=("strong_convexity", "smoothness", "rate"),
        allowed=dict.fromkeys(CURVATURES, POSITIVE),
        related=("strong_convexity", "smoothness", "rate"),
    ),
    Row(
        "state_space_momentum",
        "state_space_momentum",
        mj.state_space_momentum,
        {"A": 0.9, "B": 1.0, "C": -9e-4, "D": -1e-3},
        wraps=True,
    ),
    Row(
        "momentum_correction",
        "momentum_correction",
        lambda learning_rate, momentum, accumulator_dtype=None: mj.momentum_correction(
            mj.scale_by_heavy_ball(momentum, accumulator_dtype=accumulator_dtype), learning_rate
        ),
        {"learning_rate": 1e-3, "momentum": 0.9},
        wraps=True,
    ),
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
        "quantized_state",
        "quantized_state",
        _around(mj.heavy_ball, mj.quantized_state),
        {"learning_rate": 1e-3, "momentum": 0.9},
        wraps=True,
    ),
    Row(
        "storm",
        "storm",
        mj.storm,
        {"learning_rate": 0.1, "c": 20.0, "w": 10.0},
        needs_params=True,
        extra={"grad_fn": _half},
        # a = 1: there grad_fn is not the gradient of what is minimised
        parabola={"c": 1e9},
        rosenbrock={"learning_rate": 0.03, "c": 1e9},
        steps=20_000,
    ),
    Row(
        "nigt",
        "nigt",
        mj.nigt,
        {"learning_rate": 2e-3, "momentum": 0.9, "eps": 1e-8},
        looks_ahead=("momentum",),
        rosenbrock={"learning_rate": 5e-4, "momentum": 0.5},
        steps=20_000,
    ),
    Row(
        "lars",
        "lars",
        mj.lars,
        {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 1e-3, "trust_coefficient": 1e-2, "eps": 1e-8},
        needs_params=True,
    ),
    Row(
        "per_layer",
        "per_layer",
        lambda learning_rate, momentum, accumulator_dtype=None: mj.per_layer(
            {"*": mj.heavy_ball(learning_rate, momentum, accumulator_dtype=accumulator_dtype)}
        ),
        {"learning_rate": 1e-3, "momentum": 0.9},
        wraps=True,
    ),
)

# One row of each file, the optimizer itself where there is one. The others, cores and variants of the same arithmetic, are
# tested by `pytest -m slow`.
FIRST = tuple({row.file: row for row in sorted(ROWS, key=lambda row: (row.id == row.file, row.descends))}.values())


# Files whose states differ in build: one buffer and several, tuples, numbers of the whole tree, states within states.
UNLIKE = {
    "adam", "adaptive_restart", "aggregated_momentum", "fista", "heavy_ball", "lars", "momo", "muon", "nesterov", "per_layer",
    "quantized_state", "rmsprop", "sgd", "storm", "yellowfin",
}  # fmt: skip


def marks(row: Row) -> Any:
    return () if row in FIRST else pytest.mark.slow


def rows(keep: Callable[[Row], bool] = lambda row: True, *, unlike: bool = False) -> list[Any]:
    """The rows to parametrise a contract test with; `unlike`: by default those of `UNLIKE` only, the others slow."""
    return [
        pytest.param(row, id=row.id, marks=pytest.mark.slow if unlike and row.file not in UNLIKE else marks(row))
        for row in ROWS
        if keep(row)
    ]
