"""The A/A control: the first arm against itself, from seeds that the arm's own runs have not seen."""

import pytest
import scipy.stats
from made_studies import TUNED, made

from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.jobs import CONTROL
from momentum_jax.studies.store import Store

LOST = f"{CONTROL}/seed-{TUNED.control_seeds[2]}"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    directory = tmp_path_factory.mktemp("control") / "study"
    made(directory, TUNED, diverged=lambda job: job.name == LOST)
    return Store.read(directory)


def test_the_noise_floor_compares_the_runs_of_the_first_arm_with_those_of_the_control(store):
    own = [run for run in store.runs if run.phase == "report" and run.arm == "plain"]
    again = [run for run in store.runs if run.phase == CONTROL]
    assert not {run.seed for run in own} & {run.seed for run in again}
    one, other = ([0.0 if run.diverged is not None else run.test["accuracy"] for run in runs] for runs in (own, again))
    noise = analyse(store).noise
    expected = scipy.stats.ttest_ind(one, other, equal_var=False)
    assert (noise.n_a, noise.n_b) == (8, 8)
    assert noise.mean_difference == pytest.approx(sum(one) / 8 - sum(other) / 8)
    assert abs(noise.mean_difference) > 1e-3
    assert noise.welch_pvalue == pytest.approx(expected.pvalue)
    assert noise.t_interval == pytest.approx(tuple(expected.confidence_interval()))


def test_the_runs_of_the_control_are_named_and_those_that_diverged_are_counted(store):
    analysis = analyse(store)
    assert analysis.control_runs == tuple(f"{CONTROL}/seed-{seed}" for seed in TUNED.control_seeds)
    assert analysis.control_diverged == 1
