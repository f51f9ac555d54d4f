"""Which devices train, and how many runs each takes at a time."""

import math
import numbers
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "runs"
_MOST_GPU_LANES = 64


def use_all_cpu_cores(cores: int | None = None) -> int:
    """Makes every CPU core a JAX device, so that `train_many` trains as many runs at once. Call it first in a program.

    Args:
      cores: how many devices; by default the cores that this process may use. More of them than cores take turns.

    Returns:
      The number of CPU devices.

    Raises:
      RuntimeError: JAX's backend has already started with another number (any array, `jax.devices()` or `jax.random.key`
        starts it); nothing is changed then.
      ValueError: `cores` is below 1. TypeError: it is no int.
    """
    if cores is None:
        cores = available_cores()
    if not isinstance(cores, numbers.Integral) or isinstance(cores, bool):
        raise TypeError(f"use_all_cpu_cores: cores must be an int, got {cores!r}.")
    if cores < 1:
        raise ValueError(f"use_all_cpu_cores: cores must be at least 1, got {cores}.")
    cores = int(cores)
    try:
        jax.config.update("jax_num_cpu_devices", cores)
    except RuntimeError as error:
        found = len(jax.devices("cpu"))
        if found == cores:
            return cores
        raise RuntimeError(
            f"use_all_cpu_cores: must be called before JAX's backend starts, came too late: it has started with {found} CPU "
            f"device{'s' * (found != 1)}. Call it before any array is made, or set the environment variable "
            f"JAX_NUM_CPU_DEVICES={cores}."
        ) from error
    return cores


def available_cores() -> int:
    """How many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def chosen_devices(who: str, devices: Sequence[Any] | None) -> list[Any]:
    """The devices to train on; of None all of this process.

    Raises:
      ValueError: not a sequence of different devices of this process, all of one platform.
    """
    if devices is None:
        return jax.local_devices()
    must = f"{who}: devices must be a sequence of at least one device, as jax.local_devices() gives them"
    if isinstance(devices, str | bytes | Mapping) or not isinstance(devices, Iterable):
        raise ValueError(f"{must}, got {devices!r}.")
    chosen = list(devices)
    if not chosen:
        raise ValueError(f"{must}, got none.")
    for device in chosen:
        if not isinstance(device, jax.Device):
            raise ValueError(f"{must}, got {device!r} among them.")
        if device.process_index != jax.process_index():
            raise ValueError(f"{must}, got {device!r}, which is another process's.")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"{must}, each once, got {chosen}.")
    if len({device.platform for device in chosen}) > 1:
        raise ValueError(f"{must}, all of one platform, got {chosen}.")
    return chosen


def require_seconds(who: str, *, infinite: bool = False, **seconds: Any) -> None:
    """Raises ValueError unless each is a number of at least 0, and finite unless `infinite`."""
    for name, value in seconds.items():
        real = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not real or not float(value) >= 0 or (math.isinf(value) and not infinite):
            raise ValueError(f"{who}: {name} must be {'' if infinite else 'finite and '}at least 0, got {value!r}.")


def mesh_for(devices: Sequence[Any], runs: int) -> Mesh:
    """A mesh with the one axis `runs` over the devices, no more of them than there are runs."""
    return Mesh(np.array(devices[: max(1, runs)]), (AXIS,), axis_types=(AxisType.Auto,))


def on_each(mesh: Mesh) -> NamedSharding:
    """Each device its own runs: the leading axis is divided."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def on_all(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())


def choose_lanes(mesh: Mesh, runs: int, bytes_per_run: Callable[[], int]) -> int:
    """How many runs a device trains at a time when nobody says: one on a CPU, elsewhere as many as pay.

    Small nets leave an accelerator idle between kernels, so side by side they cost hardly more than one, until the card is
    full: at most 64, and no more than fit into half of the free memory with four copies of what a run carries. The waves
    are then made equally full.
    """
    device: Any = mesh.devices.flat[0]
    if device.platform == "cpu":
        return 1
    statistics = device.memory_stats() or {}
    free = statistics.get("bytes_limit", 2**33) - statistics.get("bytes_in_use", 0)
    most = int(min(_MOST_GPU_LANES, max(1, free // 2 // (4 * max(1, bytes_per_run())))))
    waves = -(-runs // (mesh.size * most))
    return -(-runs // (mesh.size * waves))
