import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh

from momentum_jax.training import use_all_cpu_cores
from momentum_jax.training.devices import choose_lanes, chosen_devices, mesh_for, require_seconds

WIDE, LARGE, CONVOLUTIONS = "a wide net", "a batch so large that XLA splits its sums if it may", "convolutions"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "counts"),
    [
        (LARGE, "128"),
        (CONVOLUTIONS, "12"),
        pytest.param(WIDE, "128", marks=pytest.mark.exhaustive),
        pytest.param(CONVOLUTIONS, "18", marks=pytest.mark.exhaustive),
    ],
)
def test_every_number_is_the_same_to_the_bit_on_several_devices_and_in_another_order_of_waves(problem, counts):
    script = Path(__file__).with_name("eight_devices.py")
    # As users' programs are compiled: without optimization one device and several are not the same to the bit.
    environment = os.environ | {"XLA_FLAGS": ""}
    command = [sys.executable, "-W", "error", str(script), problem, *counts]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    digests = done.stdout.split()
    assert len(digests) == len(counts) + 1
    assert len(set(digests)) == 1, digests


def test_use_all_cpu_cores_says_so_when_it_comes_too_late():
    present = len(jax.devices("cpu"))
    assert use_all_cpu_cores(present) == present
    with pytest.raises(RuntimeError, match=f"use_all_cpu_cores: .* came too late: it has started with {present} CPU device"):
        use_all_cpu_cores(present + 1)
    assert len(jax.devices("cpu")) == present
    assert jax.config.jax_num_cpu_devices != present + 1


def test_a_number_of_cores_below_one_is_refused():
    with pytest.raises(ValueError, match="use_all_cpu_cores: cores must be at least 1, got 0"):
        use_all_cpu_cores(0)


def test_no_more_devices_are_used_than_there_are_runs():
    mesh = mesh_for(jax.local_devices(), 1)
    assert mesh.size == 1
    assert mesh.axis_types == (AxisType.Auto,)


class _Card:
    platform = "gpu"

    def __init__(self, free):
        self._free = free

    def memory_stats(self):
        return {"bytes_limit": self._free + 1000, "bytes_in_use": 1000}


@pytest.mark.parametrize(
    ("free", "bytes_per_run", "runs", "lanes"),
    [(2**36, 2**20, 44, 44), (2**36, 2**20, 100, 50), (2**30, 2**25, 44, 4), (2**20, 2**30, 3, 1), (2**36, 2**20, 1, 1)],
)
def test_a_card_takes_as_many_lanes_as_fit_in_equally_full_waves(free, bytes_per_run, runs, lanes):
    class Stub:
        size, devices = 1, np.array([_Card(free)])

    assert choose_lanes(Stub(), runs, lambda: bytes_per_run) == lanes


def test_a_cpu_takes_one_lane():
    mesh = Mesh(np.array(jax.devices("cpu")), ("runs",))
    assert choose_lanes(mesh, 100, lambda: 1) == 1


@pytest.mark.parametrize(
    ("devices", "found"),
    [
        (0, "got 0"), (-1, "got -1"), (99, "got 99"), (True, "got True"), (1.5, "got 1.5"), ("cpu", "got 'cpu'"),
        ({}, "got {}"), ([], "got none"), ([0], "got 0 among them"), (["cpu:0"], "got 'cpu:0' among them"),
        (jax.local_devices()[:1] * 2, "each once, got"),
    ],
)  # fmt: skip
def test_devices_that_are_none_are_refused(devices, found):
    must = "train_many: devices must be a sequence of at least one device, as jax.local_devices() gives them"
    with pytest.raises(ValueError, match=re.escape(must) + f".*{re.escape(found)}"):
        chosen_devices("train_many", devices)


def test_devices_come_in_any_sequence():
    (one, *_) = jax.local_devices()
    assert chosen_devices("train_many", None) == jax.local_devices()
    assert chosen_devices("train_many", (one,)) == chosen_devices("train_many", np.array([one])) == [one]


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "1", None, True])
def test_seconds_that_are_none_are_refused(seconds):
    with pytest.raises(ValueError, match="train_many: chunk_seconds must be finite and at least 0, got"):
        require_seconds("train_many", chunk_seconds=seconds)
    require_seconds("train_many", checkpoint_seconds=float("inf"), infinite=True)


@pytest.mark.parametrize("cores", [True, 1.5, "2"])
def test_a_number_of_cores_that_is_no_int_is_refused(cores):
    with pytest.raises(TypeError, match="use_all_cpu_cores: cores must be an int, got"):
        use_all_cpu_cores(cores)
