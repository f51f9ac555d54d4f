"""Rows of the normalised methods, those of matrices, and those that reduce variance."""

from typing import Any

import jax

import momentum_jax as mj
from contract_rows.row import HALF_LINE, Row, core

MUON = {"learning_rate": 0.02, "momentum": 0.95, "weight_decay": 1e-3}
NS = ("ns_steps",)
# Of the bases of the sides of the matrices in the contract's trees.
SQUARES = ((1, 2, 2), (1, 3, 3))


def _half(params: Any) -> Any:
    return jax.tree.map(lambda p: 0.5 * p, params)


NORMALISED = (
    Row(
        "normalized_momentum",
        "normalized_momentum",
        mj.normalized_momentum,
        {"learning_rate": 2e-3, "momentum": 0.9, "eps": 1e-8},
        rosenbrock={"learning_rate": 1e-3},
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
        "lars",
        "lars",
        mj.lars,
        {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 1e-3, "trust_coefficient": 1e-2, "eps": 1e-8},
        needs_params=True,
    ),
    core("scale_by_muon", "muon", mj.scale_by_muon, {"momentum": 0.95, "eps": 1e-7}, static=("ns_steps",)),
    Row(
        "muon",
        "muon",
        mj.muon,
        MUON | {"eps": 1e-7},
        {"fallback": mj.adam(0.1)},
        needs_params=True,
        static=("ns_steps",),
    ),
    core(
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
    core("scale_by_adamuon", "adamuon", mj.scale_by_adamuon, {"momentum": 0.9, "eps": 1e-8}, static=NS),
    Row(
        "adamuon",
        "adamuon",
        mj.adamuon,
        {"learning_rate": 0.02, "momentum": 0.9, "weight_decay": 1e-3, "eps": 1e-8},
        {"fallback": mj.adam(0.1)},
        needs_params=True,
        static=NS,
    ),
    core(
        "scale_by_scion",
        "scion",
        mj.scale_by_scion,
        {"momentum": 0.9, "radius": 2.0, "eps": 1e-8},
        static=NS,
        allowed={"radius": HALF_LINE},
    ),
    *[
        Row(
            id,
            "scion",
            mj.scion,
            {"learning_rate": 1e-3, "momentum": 0.9, "radius": 2.0, "eps": 1e-8},
            structure,
            needs_params=structure.get("constrained", True),
            static=NS,
            allowed={"radius": HALF_LINE},
            rosenbrock={"learning_rate": 1e-4, "radius": 4.0},
            steps=20_000,
        )
        for id, structure in {
            "scion": {},
            "scion-colnorm": {"norm": "colnorm"},
            "scion-rms": {"norm": "rms", "constrained": False},
            "scion-sign": {"norm": "sign"},
            "scion-convolution": {"norm": "convolution"},
        }.items()
    ],
    core(
        "scale_by_dion",
        "dion",
        mj.scale_by_dion,
        {"momentum": 0.9, "eps": 1e-8},
        structure={"rank": 1},
        static=("seed",),
        other_shapes=((1, 3, 1),),
    ),
    Row(
        "dion",
        "dion",
        mj.dion,
        {"learning_rate": 0.01, "momentum": 0.9, "weight_decay": 1e-3, "eps": 1e-8},
        {"rank": 1, "fallback": mj.adam(0.1)},
        needs_params=True,
        static=("seed",),
        other_shapes=((1, 3, 1),),
    ),
    # The contract's gradients of all steps lie in one plane: with a small eps the third direction is rounding over rounding.
    core(
        "scale_by_soap",
        "soap",
        mj.scale_by_soap,
        {"b1": 0.9, "b2": 0.95, "eps": 1e-2},
        static=("precondition_frequency", "max_size"),
        other_shapes=SQUARES,
    ),
    Row(
        "soap",
        "soap",
        mj.soap,
        {"learning_rate": 0.02, "b1": 0.9, "b2": 0.95, "weight_decay": 1e-3, "eps": 1e-2},
        {"precondition_frequency": 2},
        needs_params=True,
        static=("max_size",),
        other_shapes=SQUARES,
    ),
)
