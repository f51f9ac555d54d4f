"""Rows of the linear family: filters of the gradients."""

import momentum_jax as mj
from contract_rows.row import FROM_ONE, HALF_LINE, LINE, POSITIVE, POSITIVE_SHARE, Row, core

ACCELERATED = {"kappa": 100.0, "xi": 5.0, "small_const": 0.7}
PID = {"momentum": 0.9, "integral": 5.0, "derivative": 10.0}
CURVATURES = {"strong_convexity": 0.5, "smoothness": 2000.0}


LINEAR = (
    Row("gradient_descent", "gradient_descent", mj.gradient_descent, {"learning_rate": 1e-3}, buffered=False, steps=40_000),
    Row("heavy_ball", "heavy_ball", mj.heavy_ball, {"learning_rate": 1e-3, "momentum": 0.9}),
    core("scale_by_heavy_ball", "heavy_ball", mj.scale_by_heavy_ball, {"momentum": 0.9}),
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
    core("scale_by_sgd", "sgd", mj.scale_by_sgd, {"momentum": 0.9, "dampening": 0.1}),
    Row(
        "ema_momentum",
        "ema_momentum",
        mj.ema_momentum,
        {"learning_rate": 1e-2, "momentum": 0.9},
        rosenbrock={"learning_rate": 3e-3},
    ),
    Row("ema_momentum-debias", "ema_momentum", mj.ema_momentum, {"learning_rate": 3e-3, "momentum": 0.9}, {"debias": True}),
    core("scale_by_ema_momentum", "ema_momentum", mj.scale_by_ema_momentum, {"momentum": 0.9}),
    Row(
        "nesterov",
        "nesterov",
        mj.nesterov,
        {"learning_rate": 1e-3, "momentum": 0.9},
        looks_ahead=("momentum",),
        rosenbrock={"learning_rate": 5e-4},
    ),
    core("scale_by_nesterov", "nesterov", mj.scale_by_nesterov, {"momentum": 0.9}, looks_ahead=("momentum",)),
    Row(
        "quasi_hyperbolic_momentum",
        "quasi_hyperbolic_momentum",
        mj.quasi_hyperbolic_momentum,
        {"learning_rate": 3e-3, "momentum": 0.9, "nu": 0.7},
        allowed={"nu": LINE},
    ),
    core(
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
        told={"first": "momenta[0]", "second": "momenta[1]", "third": "momenta[2]"},
    ),
    core(
        "scale_by_aggregated_momentum",
        "aggregated_momentum",
        lambda first, second, accumulator_dtype=None: mj.scale_by_aggregated_momentum(
            (first, second), accumulator_dtype=accumulator_dtype
        ),
        {"first": 0.5, "second": 0.9},
        wraps=True,
        told={"first": "momenta[0]", "second": "momenta[1]"},
    ),
    Row(
        "accelerated_sgd",
        "accelerated_sgd",
        mj.accelerated_sgd,
        {"learning_rate": 5e-4, **ACCELERATED},
        allowed={"kappa": FROM_ONE, "xi": HALF_LINE, "small_const": POSITIVE_SHARE},
    ),
    core(
        "scale_by_accelerated_sgd",
        "accelerated_sgd",
        mj.scale_by_accelerated_sgd,
        ACCELERATED,
        allowed={"kappa": FROM_ONE, "xi": HALF_LINE, "small_const": POSITIVE_SHARE},
    ),
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
    Row("fista", "fista", mj.fista, {"learning_rate": 5e-4}),
    core("scale_by_fista", "fista", mj.scale_by_fista, {}),
    Row(
        "pid",
        "pid",
        mj.pid,
        {"learning_rate": 1e-4, **PID},
        allowed={"integral": HALF_LINE, "derivative": HALF_LINE},
    ),
    core("scale_by_pid", "pid", mj.scale_by_pid, PID, allowed={"integral": HALF_LINE, "derivative": HALF_LINE}),
    Row(
        "ema_nesterov",
        "ema_nesterov",
        mj.ema_nesterov,
        {"learning_rate": 5e-4, "beta": 0.8, "gamma": 0.5},
        looks_ahead=("beta",),
    ),
    core(
        "scale_by_ema_nesterov",
        "ema_nesterov",
        mj.scale_by_ema_nesterov,
        {"beta": 0.8, "gamma": 0.5},
        looks_ahead=("beta",),
    ),
    Row(
        "optimistic",
        "optimistic",
        mj.optimistic,
        {"learning_rate": 3.5e-4},
        looks_ahead=("learning_rate",),
        steps=100_000,
    ),
    core("grokfast", "grokfast", mj.grokfast, {"alpha": 0.9, "lamb": 2.0}, allowed={"lamb": HALF_LINE}),
    Row(
        "state_space_momentum",
        "state_space_momentum",
        mj.state_space_momentum,
        {"A": 0.9, "B": 1.0, "C": -9e-4, "D": -1e-3},
        wraps=True,
    ),
)
