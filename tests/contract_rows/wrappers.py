"""Rows of what is put around any optimizer, and of the links of a chain."""

from collections.abc import Callable
from typing import Any

import momentum_jax as mj
from contract_rows.row import POSITIVE, SHARE, Row, core


def around(make: Callable[..., Any], wrapper: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """The constructor of `make`'s optimizers inside `wrapper`."""
    return lambda learning_rate, momentum, accumulator_dtype=None: wrapper(
        make(learning_rate, momentum, accumulator_dtype=accumulator_dtype), **options
    )


def averaging(decay: Any) -> Callable[..., Any]:
    """The constructor of heavy balls with an average of their iterates."""
    return lambda learning_rate, momentum, accumulator_dtype=None: mj.averaged(
        mj.heavy_ball(learning_rate, momentum, accumulator_dtype=accumulator_dtype), decay, accumulator_dtype=accumulator_dtype
    )


def every_leaf_a_query(tau: Any) -> Any:
    """Without keys, on any tree; `balance` has no say there and is tested with the keys."""
    return mj.qk_clip({"*": (None, None)}, tau=tau)


WRAPPERS = (
    core("scale_by_learning_rate", "learning_rate", mj.scale_by_learning_rate, {"learning_rate": 0.1}, buffered=False),
    core("add_weight_decay", "weight_decay", mj.add_weight_decay, {"weight_decay": 0.1}, needs_params=True, buffered=False),
    Row(
        "per_layer",
        "per_layer",
        lambda learning_rate, momentum, accumulator_dtype=None: mj.per_layer(
            {"*": mj.heavy_ball(learning_rate, momentum, accumulator_dtype=accumulator_dtype)}
        ),
        {"learning_rate": 1e-3, "momentum": 0.9},
        wraps=True,
    ),
    *[
        Row(
            f"adaptive_restart-{criterion}",
            "adaptive_restart",
            around(mj.nesterov, mj.adaptive_restart, criterion=criterion),
            {"learning_rate": 1e-3, "momentum": 0.9},
            looks_ahead=("momentum",),
            rosenbrock={"learning_rate": 5e-4},
            wraps=True,
            extra={"value": 1.0} if criterion == "function" else {},
        )
        for criterion in ("gradient", "function", "speed")
    ],
    Row(
        "momentum_correction",
        "momentum_correction",
        lambda learning_rate, momentum, accumulator_dtype=None: mj.momentum_correction(
            mj.scale_by_heavy_ball(momentum, accumulator_dtype=accumulator_dtype), learning_rate
        ),
        {"learning_rate": 1e-3, "momentum": 0.9},
        wraps=True,
    ),
    *[
        Row(
            f"cautious-{normalizer}",
            "cautious",
            around(mj.heavy_ball, mj.cautious, normalizer=normalizer),
            {"learning_rate": 1e-3, "momentum": 0.9},
            wraps=True,
        )
        for normalizer in ("mean", "count")
    ],
    core(
        "cautious_weight_decay",
        "cautious_weight_decay",
        mj.cautious_weight_decay,
        {"weight_decay": 0.1},
        needs_params=True,
        buffered=False,
    ),
    core(
        "qk_clip",
        "qk_clip",
        every_leaf_a_query,
        {"tau": 10.0},
        allowed={"tau": POSITIVE},
        needs_params=True,
        buffered=False,
        extra={"max_logits": 12.5},
    ),
    Row(
        "quantized_state",
        "quantized_state",
        around(mj.heavy_ball, mj.quantized_state),
        {"learning_rate": 1e-3, "momentum": 0.9},
        wraps=True,
    ),
    *[
        Row(
            f"averaged-{decay}",
            "averaged",
            averaging(decay),
            {"learning_rate": 1e-3, "momentum": 0.9},
            needs_params=True,
            wraps=True,
        )
        for decay in (0.9, "uniform")
    ],
    Row(
        "gpa",
        "gpa",
        lambda learning_rate, momentum, training, evaluation, accumulator_dtype=None: mj.gpa(
            mj.heavy_ball(learning_rate, momentum, accumulator_dtype=accumulator_dtype),
            training=training,
            evaluation=evaluation,
            accumulator_dtype=accumulator_dtype,
        ),
        {"learning_rate": 1e-3, "momentum": 0.9, "training": 0.7, "evaluation": 0.9},
        looks_ahead=("training",),
        allowed={"training": SHARE},
        rosenbrock={"momentum": 0.5},
        wraps=True,
    ),
)
