"""kill -9 of workers at any moment: nothing is lost, nothing doubled, and every bit is that of one process."""

import collections
import dataclasses
import json
import os
import random
import signal
import threading
import warnings
from pathlib import Path

import jax
import psutil
import pytest

from momentum_jax.report import write
from momentum_jax.studies import Arm, Search, Study
from momentum_jax.studies.errors import StudyWarning
from momentum_jax.studies.executors.local_dask import local_workers
from momentum_jax.studies.run import run_study
from momentum_jax.studies.store import Store

FILES = Path(__file__).parents[1] / "own_files"
WORKERS, KILLS = 3, 3
# 4 runs of the tuning, 20 after it.
STUDY = Study(
    problem=f"{FILES / 'regression_file.py'}:make(width=64, rows=600)",
    steps=2_000,
    evaluate_every=500,
    batch=64,
    seeds=tuple(range(5)),
    search=Search(trials=2, seeds=(1000, 1001)),
    arms=(
        Arm("gradient_descent(log_uniform(0.01, 0.1))"),
        Arm("heavy_ball(0.01, 0.9)"),
        Arm(f"{FILES / 'optimizers_file.py'}:my_momentum(0.01)", factors={"batch": 32}),
    ),
    ladder=False,
)


def content(directory):
    store = Store.read(directory)
    assert store.damage == []
    names = collections.Counter(json.loads(line)["name"] for line in (directory / "runs.jsonl").read_text().splitlines())
    assert max(names.values()) == 1, "a run was stored twice"
    runs = {run.name: repr(dataclasses.replace(run, seconds=0.0)) for run in store.runs}
    return runs, {run.name: [each.tobytes() for each in store.curves(run).arrays().values()] for run in store.runs}


def report(directory):
    """What the report says, less the time it took."""
    (path,) = [each for each in write(Store.read(directory)) if each.suffix == ".json"]

    def timeless(value):
        if isinstance(value, dict):
            return {name: timeless(each) for name, each in value.items() if name != "seconds"}
        return [*map(timeless, value)] if isinstance(value, list) else value

    return timeless(json.loads(path.read_text()))


def worker_processes():
    children = psutil.Process().children(recursive=True)
    return [each for each in children if "spawn_main" in " ".join(each.cmdline())]


class Killer(threading.Thread):
    """Kills workers, a random one each time, at random moments of a study."""

    def __init__(self, seed):
        super().__init__(daemon=True)
        self.moments, self.over, self.killed = random.Random(seed), threading.Event(), 0

    def run(self):
        while self.killed < KILLS and not self.over.wait(self.moments.uniform(0.1, 2.0)):
            if processes := worker_processes():
                os.kill(self.moments.choice(processes).pid, signal.SIGKILL)
                self.killed += 1


@pytest.mark.usefixtures("one_figure")
@pytest.mark.parametrize("studies", [pytest.param(2, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.exhaustive)])
def test_a_study_whose_workers_are_killed_is_to_the_bit_that_of_one_process(studies, tmp_path):
    run_study(STUDY, tmp_path / "embedded", devices=jax.local_devices()[:1])
    expected, said = content(tmp_path / "embedded"), report(tmp_path / "embedded")
    assert len(expected[0]) == 24
    killed, lost = 0, 0
    with local_workers(WORKERS) as executor:
        for number in range(studies):
            directory, killer = tmp_path / f"killed-{number}", Killer(number)
            killer.start()
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always", StudyWarning)
                run_study(STUDY, directory, executor=executor)
            killer.over.set()
            killer.join()
            killed += killer.killed
            lost += sum("did not come back" in str(each.message) for each in warned)
            assert content(directory) == expected
            assert report(directory) == said
    assert killed >= studies
    assert lost, "no kill hit a worker at work: the moments test nothing"
    print(f"{studies} studies, {killed} workers killed, {lost} chunks submitted again")
