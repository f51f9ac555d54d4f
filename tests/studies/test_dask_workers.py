"""kill -9 of workers at any moment: nothing is lost, nothing doubled, and every bit is that of one process."""

import os
import random
import signal
import threading
import warnings

import jax
import pytest
from executed_studies import FILES, content, report, worker_processes

from momentum_jax.studies import Arm, Search, Study
from momentum_jax.studies.errors import StudyWarning
from momentum_jax.studies.executors.local_dask import local_workers
from momentum_jax.studies.run import run_study

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


class Killer(threading.Thread):
    """Kills workers, a random one each time, at random moments of a study."""

    def __init__(self, seed):
        super().__init__(daemon=True)
        self.moments, self.over, self.killed = random.Random(seed), threading.Event(), 0

    def run(self):
        while self.killed < KILLS and not self.over.wait(self.moments.uniform(0.1, 2.0)):
            if processes := worker_processes(os.getpid()):
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
