"""kill -9 at any moment: nothing stored is lost or repeated, and the study ends as one that nobody touched."""

import collections
import dataclasses
import json
import multiprocessing
import random
import time

import numpy as np
import pytest
from killed_study import work

from momentum_jax.studies.store import Store

KILLS = 8


def content(directory):
    """All that the study says, less the time it took."""
    store = Store.read(directory)
    assert store.damage == []
    runs = {run.name: dataclasses.replace(run, seconds=0.0) for run in store.runs}
    curves = {run.name: tuple(array.tobytes() for array in store.curves(run).arrays().values()) for run in store.runs}
    return repr(sorted(runs.items())), curves


def whole_lines(directory):
    path = directory / "runs.jsonl"
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


@pytest.mark.slow
def test_a_study_that_is_killed_at_random_moments_loses_nothing_doubles_nothing_and_ends_the_same(tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["momentum_jax.studies.run", "sklearn.datasets", "scipy.stats", "orbax.checkpoint"])

    def start(directory):
        process = context.Process(target=work, args=(directory, tmp_path / "compiled"))
        process.start()
        return process

    seconds = []
    for name in ("compiling", "reference"):
        begun = time.monotonic()
        process = start(tmp_path / name)
        process.join()
        assert process.exitcode == 0
        seconds.append(time.monotonic() - begun)
    expected = content(tmp_path / "reference")
    assert content(tmp_path / "compiling") == expected

    moments, kills, study, in_a_wave, before = random.Random(0), 0, 0, 0, []
    while kills < KILLS or study == 0:
        directory = tmp_path / f"killed-{study}"
        before = []
        while True:
            process = start(directory)
            process.join(moments.uniform(0.1, seconds[-1]) if kills < KILLS else None)
            if process.is_alive():
                process.kill()
                kills += 1
            process.join()
            lines = whole_lines(directory)
            assert lines[: len(before)] == before, "a stored run was lost or changed"
            names = collections.Counter(json.loads(line)["name"] for line in lines)
            assert max(names.values(), default=1) == 1, "a run was stored twice"
            in_a_wave += any((directory / ".tmp-unfinished").glob("*/*.sha256"))
            before = lines
            if process.exitcode == 0:
                break
        assert content(directory) == expected
        study += 1
    assert kills == KILLS
    assert in_a_wave, "no kill left a wave's checkpoint behind: the moments test nothing inside a wave"
    with np.load(tmp_path / "killed-0" / "curves.npz", allow_pickle=False) as arrays:
        assert len(arrays.files) == 5 * len(before)
