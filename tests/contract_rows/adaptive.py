"""Rows of the adaptive methods."""

import momentum_jax as mj
from contract_rows.row import HALF_LINE, LINE, POSITIVE, SHARE, Row, core

RMS = {"learning_rate": 5e-3, "decay": 0.9, "eps": 1e-8}
ADAM = {"learning_rate": 0.1, "b1": 0.9, "b2": 0.999, "eps": 1e-8}
QHADAM = {"b1": 0.9, "b2": 0.99, "nu1": 0.7, "nu2": 0.9, "eps": 1e-8}
ADAN = {"learning_rate": 0.03, "b1": 0.98, "b2": 0.92, "b3": 0.99, "eps": 1e-8}
ADEMAMIX = {"b1": 0.9, "b2": 0.999, "b3": 0.99, "alpha": 2.0, "eps": 1e-8}
SIMPLIFIED = {"b1": 0.9, "b2": 0.95, "alpha": 0.5, "eps": 1e-8}
MARS = {"b1": 0.95, "b2": 0.99, "gamma": 0.025, "eps": 1e-8}
NADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}


ADAPTIVE = (
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
    core("scale_by_rmsprop", "rmsprop", mj.scale_by_rmsprop, {"decay": 0.9, "eps": 1e-8}),
    Row(
        "adagrad",
        "adagrad",
        mj.adagrad,
        {"learning_rate": 1.0, "initial_accumulator": 0.1, "eps": 1e-8},
        no_schedule=("initial_accumulator",),
        told={"initial_accumulator": None},
    ),
    core(
        "scale_by_adagrad",
        "adagrad",
        mj.scale_by_adagrad,
        {"initial_accumulator": 0.0, "eps": 1e-10},
        no_schedule=("initial_accumulator",),
        told={"initial_accumulator": None},
    ),
    Row(
        "adadelta",
        "adadelta",
        mj.adadelta,
        {"learning_rate": 1.0, "rho": 0.95, "eps": 1e-6},
        rosenbrock={"learning_rate": 0.02},
        steps=20_000,
    ),
    core("scale_by_adadelta", "adadelta", mj.scale_by_adadelta, {"rho": 0.95, "eps": 1e-6}),
    Row("adam", "adam", mj.adam, ADAM),
    Row("adam-amsgrad", "adam", mj.adam, ADAM, {"amsgrad": True}),
    Row("adamw", "adam", mj.adamw, ADAM | {"weight_decay": 1e-4}, needs_params=True),
    core("scale_by_adam", "adam", mj.scale_by_adam, {"b1": 0.9, "b2": 0.999, "eps": 1e-8}),
    Row(
        "quasi_hyperbolic_adam",
        "quasi_hyperbolic_adam",
        mj.quasi_hyperbolic_adam,
        {"learning_rate": 0.1, **QHADAM},
        allowed={"nu1": SHARE, "nu2": SHARE},
        rosenbrock={"learning_rate": 3e-3},
    ),
    core(
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
    core(
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
    core("scale_by_ademamix", "ademamix", mj.scale_by_ademamix, ADEMAMIX, allowed={"alpha": HALF_LINE}),
    Row(
        "simplified_ademamix",
        "simplified_ademamix",
        mj.simplified_ademamix,
        {"learning_rate": 0.003, **SIMPLIFIED},
        allowed={"alpha": HALF_LINE},
        rosenbrock={"learning_rate": 3e-4},
    ),
    core(
        "scale_by_simplified_ademamix",
        "simplified_ademamix",
        mj.scale_by_simplified_ademamix,
        SIMPLIFIED,
        allowed={"alpha": HALF_LINE},
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
    core("scale_by_mars", "mars", mj.scale_by_mars, MARS, allowed={"gamma": HALF_LINE}),
    Row(
        "momo",
        "momo",
        mj.momo,
        {"learning_rate": 1.0, "momentum": 0.9, "lower_bound": -0.3, "weight_decay": 0.1},
        allowed={"lower_bound": LINE},
        needs_params=True,
        parabola={"lower_bound": 0.0, "weight_decay": 0.0},
        rosenbrock={"lower_bound": 0.0, "weight_decay": 0.0},
        extra={"value": 0.2},  # small, so that Polyak's step is the shorter one from the second on
    ),
    Row(
        "yellowfin",
        "yellowfin",
        mj.yellowfin,
        {"learning_rate": 1e-3, "decay": 0.9, "factor": 1.0, "eps": 1e-6},
        {"curvature_window": 20},
        no_schedule=("learning_rate",),
        told={"learning_rate": None},
        allowed={"factor": HALF_LINE, "eps": POSITIVE},
        other_shapes=((20,),),
        parabola={"decay": 0.999},
        rosenbrock={"decay": 0.999},
    ),
    Row(
        "demon",
        "demon",
        mj.demon,
        {"learning_rate": 1e-3, "momentum": 0.9},
        {"total_steps": 10_000},
        told={"momentum": None},
    ),
)
