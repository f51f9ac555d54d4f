"""Which runs a study asks for: phases, seeds that stay apart, what tuning chooses, the rungs of the ladder."""

import dataclasses

import pytest

from momentum_jax.studies import Arm, Search, Study, jobs
from momentum_jax.studies.expression import Expression
from momentum_jax.studies.scores import IMAGES

TUNED = Study(
    arms=(
        Arm("gradient_descent(log_uniform(0.001, 1))", "plain"),
        Arm("heavy_ball(log_uniform(0.001, 1), 0.9)", "momentum"),
        Arm("adam(0.001)"),
    ),
    seeds=(0, 1, 2),
    search=Search(trials=4, seeds=(10, 11)),
)
CHOSEN = {
    "plain": Expression.read("gradient_descent(0.2)"),
    "momentum": Expression.read("heavy_ball(0.01, 0.9)"),
    "adam(0.001)": Expression.read("adam(0.001)"),
}


def trial_runs(rows, scores):
    """Runs of a search on two seeds: optimizer -> (accuracy, loss, diverged) for both."""
    return [
        dataclasses.replace(
            rows.run("momentum", seed),
            name=f"tuning/arm-1/trial-{number}/seed-{seed}",
            phase="tuning",
            optimizer=optimizer,
            test={},
            validation={"accuracy": accuracy, "loss": loss, "mcc": 0.0},
            diverged=diverged,
        )
        for number, (optimizer, values) in enumerate(scores.items())
        for seed, (accuracy, loss, diverged) in zip((10, 11), values, strict=True)
    ]


def test_every_tuned_arm_has_the_same_number_of_trials_from_every_seed_of_the_search():
    tuning = jobs.tuning(TUNED)
    for label in ("plain", "momentum"):
        own = [job for job in tuning if job.arm == label]
        assert len(own) == 4 * 2
        assert {job.seed for job in own} == {10, 11}
    assert {job.arm for job in tuning} == {"plain", "momentum"}


def test_no_seed_of_one_phase_is_one_of_another_but_for_arms_and_rungs_which_share_theirs():
    planned = [*jobs.tuning(TUNED), *jobs.reporting(TUNED, CHOSEN)]
    seeds = {phase: {job.seed for job in planned if job.phase == phase} for phase in jobs.PHASES}
    assert seeds["report"] == seeds["ladder"] == {0, 1, 2}
    assert not seeds["tuning"] & (seeds["report"] | seeds["control"])
    assert not seeds["control"] & seeds["report"]
    assert len({job.name for job in planned}) == len(planned)


def test_the_ladder_adds_gradient_descent_at_the_learning_rate_and_at_the_effective_one():
    added = {job.optimizer for job in jobs.reporting(TUNED, CHOSEN) if job.phase == "ladder"}
    assert added == {"gradient_descent(0.01)", "gradient_descent(0.1)"}


def test_a_rung_that_is_an_arm_already_is_not_run_again():
    chosen = {**CHOSEN, "plain": Expression.read("sgd(0.1)")}
    assert jobs.ladder(TUNED, chosen).control == "plain"
    assert {job.arm for job in jobs.reporting(TUNED, chosen) if job.phase == "ladder"} == {"gradient_descent(0.01)"}


def test_an_arm_of_another_optimizer_with_the_name_of_a_rung_is_not_taken_for_it():
    study = dataclasses.replace(TUNED, arms=(Arm("adam(0.001)", "gradient_descent(0.1)"), Arm("heavy_ball(0.01, 0.9)")))
    chosen = {arm.label: arm.expression for arm in study.arms}
    added = [job.optimizer for job in jobs.reporting(study, chosen) if job.phase == "ladder" and job.seed == 0]
    assert added == ["gradient_descent(0.01)", "gradient_descent(learning_rate=0.1)"]
    taken = ("gradient_descent(learning_rate=0.1)", "gradient_descent( 0.1)")
    study = dataclasses.replace(study, arms=(*study.arms, *(Arm("adam(0.01)", label) for label in taken)))
    added = [
        job.optimizer
        for job in jobs.reporting(study, {**chosen, **dict.fromkeys(taken, Expression.read("adam(0.01)"))})
        if job.phase == "ladder"
    ]
    assert set(added) == {"gradient_descent(0.01)", "gradient_descent(  0.1)"}


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        ("heavy_ball(0.1)", (0.1, 0.9)),
        ("sgd(0.1, 0.5)", (0.1, 0.5)),
        ("sgd(0.1)", (0.1, 0.0)),
        ("sgd(0.1, momentum=None)", (0.1, 0.0)),
        ("nesterov(learning_rate=1, momentum=0.8)", (1.0, 0.8)),
        ("sgd(0.1, 0.9, dampening=0.1)", None),
        ("heavy_ball(0.1, linear(0.5, 0.9, steps=10))", None),
        ("adam(0.1)", None),
    ],
)
def test_learning_rate_and_momentum_are_known_of_plain_momentum_alone(optimizer, expected):
    assert jobs.rate_and_momentum(Expression.read(optimizer)) == expected


def test_without_momentum_there_is_no_ladder():
    study = Study(arms=(Arm("adam(0.001)"), Arm("gradient_descent(0.1)")))
    assert {job.phase for job in jobs.reporting(study, jobs.choose(study, IMAGES, []))} == {"report", "control"}


@pytest.mark.parametrize(("score", "best"), [("accuracy", "heavy_ball(0.1, 0.9)"), ("loss", "heavy_ball(0.2, 0.9)")])
def test_the_best_mean_score_over_the_seeds_of_the_search_is_chosen(rows, score, best):
    study = dataclasses.replace(TUNED, search=dataclasses.replace(TUNED.search, score=score))
    runs = trial_runs(
        rows,
        {
            "heavy_ball(0.01, 0.9)": [(0.99, 0.4, None), (0.5, 0.4, None)],
            "heavy_ball(0.1, 0.9)": [(0.8, 0.3, None), (0.8, 0.5, None)],
            "heavy_ball(0.2, 0.9)": [(0.7, 0.1, None), (0.7, 0.1, None)],
        },
    )
    assert jobs.choose(study, IMAGES, runs)["momentum"].text == best


def test_a_trial_with_a_diverged_run_loses_to_any_without(rows):
    runs = trial_runs(
        rows,
        {
            "heavy_ball(1.0, 0.9)": [(0.99, 0.01, None), (0.1, float("nan"), 7)],
            "heavy_ball(0.1, 0.9)": [(0.2, 2.0, None), (0.2, 2.0, None)],
        },
    )
    assert jobs.choose(TUNED, IMAGES, runs)["momentum"].text == "heavy_ball(0.1, 0.9)"


def test_ties_of_accuracy_are_settled_by_the_loss(rows):
    runs = trial_runs(
        rows,
        {
            "heavy_ball(1.0, 0.9)": [(0.9, 0.5, None), (0.9, 0.5, None)],
            "heavy_ball(0.1, 0.9)": [(0.9, 0.4, None), (0.9, 0.4, None)],
        },
    )
    assert jobs.choose(TUNED, IMAGES, runs)["momentum"].text == "heavy_ball(0.1, 0.9)"


def test_a_point_that_comes_twice_is_tried_once():
    study = Study(arms=(Arm("sgd(0.1, nesterov=choice(True, False))"),), search=Search(trials=8, seeds=(99,)))
    assert sorted(job.optimizer for job in jobs.tuning(study)) == ["sgd(0.1, nesterov=False)", "sgd(0.1, nesterov=True)"]


@pytest.mark.parametrize(
    "change",
    [{"steps": 5}, {"batch": 5}, {"dataset": "mnist"}, {"evaluate_every": 7}, {"sampling": "replacement"}, {"examples": 9}],
)
def test_a_runs_key_changes_with_all_that_its_numbers_depend_on(change):
    job = jobs.reporting(TUNED, CHOSEN)[0]
    key = job.key(TUNED, {"jax": "1"})
    assert job.key(dataclasses.replace(TUNED, **change), {"jax": "1"}) != key
    assert job.key(TUNED, {"jax": "2"}) != key
    assert dataclasses.replace(job, seed=1).key(TUNED, {"jax": "1"}) != key
    assert dataclasses.replace(job, expression=Expression.read("sgd(0.3)")).key(TUNED, {"jax": "1"}) != key


@pytest.mark.parametrize("change", [{"seeds": (0, 1, 2, 3)}, {"target": 0.3}, {"ladder": False}])
def test_a_runs_key_does_not_change_with_what_stands_beside_it(change):
    job = jobs.reporting(TUNED, CHOSEN)[0]
    assert job.key(dataclasses.replace(TUNED, **change), {}) == job.key(TUNED, {})
