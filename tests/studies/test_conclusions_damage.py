"""What is said of a store some of whose runs cannot be read: nothing of one arm or trial as if it were of another."""

import dataclasses
import json

from filled_stores import (
    SEEDS,
)
from made_studies import TUNED, made

from momentum_jax.studies import Arm
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.analysis.ladder import ladder_result
from momentum_jax.studies.conclusions import conclusions
from momentum_jax.studies.store import Store


def unreadable(store, names):
    """The store when the lines of these runs are damaged."""
    path = store.directory / "runs.jsonl"
    lines = path.read_text().splitlines()
    assert sum(json.loads(line)["name"] in names for line in lines) == len(names)
    path.write_text("".join(f"{'x' * (json.loads(line)['name'] in names)}{line}\n" for line in lines))
    return Store.read(store.directory)


def test_the_noise_floor_of_an_arm_whose_runs_are_damaged_is_not_made_with_another_arm(tmp_path):
    store = made(tmp_path / "store", TUNED)
    assert analyse(store).noise is not None
    analysis = analyse(unreadable(store, {f"arm-0/seed-{seed}" for seed in SEEDS}))
    assert analysis.noise is None
    assert not any("noise floor" in each or "itself" in each for each in conclusions(analysis))


def test_where_the_first_arm_cannot_be_read_it_is_said_what_the_others_are_compared_with(tmp_path):
    arms = (*TUNED.arms, Arm("adam(0.001)"))
    store = made(tmp_path / "store", dataclasses.replace(TUNED, arms=arms))
    absent = "No run of plain, the study's first arm, can be read: the others are compared with moving."
    assert absent not in conclusions(analyse(store))
    assert absent in conclusions(analyse(unreadable(store, {f"arm-0/seed-{seed}" for seed in SEEDS})))


def test_the_trial_that_was_run_is_the_chosen_one_though_its_search_is_damaged(tmp_path):
    store = made(tmp_path / "store", TUNED)
    moving = next(each for each in analyse(store).tunings if each.arm == "moving")
    best, other = moving.trials[moving.chosen], moving.trials[1 - moving.chosen]
    # Of the trial that was not run nothing changes.
    lost = analyse(unreadable(store, set(other.runs)))
    left = next(each for each in lost.tunings if each.arm == "moving")
    assert left.trials[left.chosen].optimizer == lost.arm("moving").optimizer == best.optimizer
    assert left.optimism == moving.optimism
    assert not any("different ones" in each for each in conclusions(lost))


def test_the_fresh_runs_of_a_trial_whose_search_is_damaged_are_of_no_other_trial(tmp_path):
    store = made(tmp_path / "store", TUNED)
    moving = next(each for each in analyse(store).tunings if each.arm == "moving")
    analysis = analyse(unreadable(store, set(moving.trials[moving.chosen].runs)))
    assert [each.arm for each in analysis.tunings] == ["plain"]
    said = conclusions(analysis)
    assert not any(each.startswith("moving: the") and "fresh seeds" in each for each in said)
    assert any(
        "moving: the trial that was chosen is not among the runs of its search that can be read" in each for each in said
    )


def test_a_control_that_diverged_makes_no_noise_floor_where_there_is_none(tmp_path):
    store = made(tmp_path / "store", TUNED, diverged=lambda job: job.phase == "control")
    assert any(each.startswith("In the A/A control plain diverged in 8 of 8 runs") for each in conclusions(analyse(store)))
    analysis = analyse(unreadable(store, {f"arm-0/seed-{seed}" for seed in SEEDS}))
    assert not any("A/A control" in each for each in conclusions(analysis))


def test_a_search_found_something_where_any_of_its_trials_has_a_score(tmp_path):
    """Damage can leave of the trial that was run only what diverged."""
    analysis = analyse(made(tmp_path / "store", TUNED))
    (plain, moving) = analysis.tunings
    trials = list(moving.trials)
    trials[moving.chosen] = dataclasses.replace(trials[moving.chosen], diverged=len(trials[moving.chosen].runs))
    damaged = dataclasses.replace(moving, trials=tuple(trials))
    found = ladder_result(TUNED, analysis.scores, {arm.label: arm for arm in analysis.arms}, (plain, damaged))
    assert found is not None
    assert found.untuned is None
