"""What the numbers of a study depend on besides the study: versions, backend, data, problem, optimizers of the user's own."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import momentum_jax
from momentum_jax.studies import fingerprint
from momentum_jax.studies.arm import BUDGET
from momentum_jax.studies.material import Variants
from momentum_jax.studies.resolve import resolve, settle
from momentum_jax.studies.study import Study


def environment_of(study: Study, variants: Variants, devices: Sequence[Any]) -> dict[str, Any]:
    """Of a study on these devices, as plain JSON values. Two that are equal give equal numbers."""
    environment: dict[str, Any] = {"versions": _versions(), "backend": _backend(devices), **variants.of({}).digests}
    if arms := _fingerprints(study, variants):
        environment["arms"] = arms
    for arm in study.arms:
        # An arm with arguments of its own is of a problem and data of its own.
        if arm.factors.keys() - {*BUDGET}:
            found = variants.of(arm.factors).digests
            of_arm = {**found["problem"], **{name: found[name] for name in ("data",) if name in found}}
            own = {f"{name} (arm {arm.label})": digest for name, digest in of_arm.items()}
            environment["problem"] = {**environment["problem"], **own}
    return environment


def machine() -> dict[str, Any]:
    """Where a study ran: no number depends on it."""
    return {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()}


def _fingerprints(study: Study, variants: Variants) -> dict[str, str]:
    """A digest of the optimizer of each arm whose constructor is the user's own, by its label, on its own problem."""
    found = {}
    for arm in study.arms:
        if arm.expression.origin:
            own = variants.of(arm.factors)
            optimizer = settle(resolve(arm.expression.middle, study.load, own.problem.axes), own.params)
            found[arm.label] = fingerprint.of_optimizer(optimizer, own.params)
    return found


def _versions() -> dict[str, str]:
    libraries = {name: version(name) for name in ("jax", "jaxlib", "optax", "flax", "numpy", "scipy")}
    return {"momentum_jax": momentum_jax.__version__, **libraries}


def _backend(devices: Sequence[Any]) -> dict[str, str]:
    return {"platform": devices[0].platform, "device": devices[0].device_kind}
