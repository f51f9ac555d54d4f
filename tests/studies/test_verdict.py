"""The sentence on momentum: each thing that it can say, and that it says no more than the runs show."""

import dataclasses

import pytest

from momentum_jax.studies import Arm, Study
from momentum_jax.studies.summary import ArmSummary
from momentum_jax.studies.verdict import ladder, verdict

STUDY = Study(steps=20_000, target=0.1, arms=(Arm("sgd(0.1)"),))


def arm(optimizer, steps, accuracies=(0.9, 0.9, 0.9, 0.9), *, diverged=0, label=None):
    seeds, values = tuple(range(len(accuracies))), dict.fromkeys(("accuracy", "mcc"), tuple(accuracies))
    return ArmSummary(label or optimizer, optimizer, seeds, values, {}, STUDY.steps, tuple(steps), tuple(steps), diverged, 1.0)


PLAIN = arm("gradient_descent(0.01)", (14_200, 14_400, 14_600, 14_400))
MOMENTUM = arm("heavy_ball(0.01, 0.9)", (1700, 1900, 1800, 1800))


def control(*steps, **options):
    return arm("gradient_descent(0.1)", steps, **options)


def test_a_gain_that_the_control_has_too_is_the_larger_step():
    said = verdict(STUDY, [PLAIN, control(2100, 1600, 2300, 1700), MOMENTUM])
    assert said == (
        "heavy_ball(0.01, 0.9) reached the target in 1,800 steps, gradient_descent(0.01) in 14,400 (8.0 times as many); "
        "gradient_descent(0.1), the same effective learning rate without momentum, took 1,925 (7.5 times fewer than "
        "gradient_descent(0.01)): the larger effective step explains the gain, and no effect of momentum itself is seen "
        "(difference 125 ± 193 steps over 4 seeds, within noise)."
    )


def test_a_lead_over_the_control_that_is_clear_of_noise_is_momentums_own():
    said = verdict(STUDY, [PLAIN, control(3000, 3300, 3100, 3000), MOMENTUM])
    assert said.endswith("momentum itself is worth 1,300 ± 41 steps over 4 seeds beyond the larger effective step.")


def test_a_lag_behind_the_control_is_said_as_such():
    said = verdict(STUDY, [PLAIN, control(500, 600, 600, 500), MOMENTUM])
    assert said.endswith("at equal effective step momentum was behind, by 1,250 ± 29 steps over 4 seeds.")


def test_differences_are_paired_seed_by_seed():
    # Seeds differ by thousands, momentum and its control by 300 at every seed.
    momentum = arm("heavy_ball(0.01, 0.9)", (1000, 5000, 9000, 13_000))
    said = verdict(STUDY, [control(1300, 5300, 9200, 13_400), momentum])
    assert "momentum itself is worth 300 ± 41 steps" in said


def test_a_difference_below_the_evaluation_interval_is_not_seen():
    said = verdict(STUDY, [PLAIN, control(1750, 2000, 1875, 1875), MOMENTUM])
    assert "(difference 75 ± 10 steps over 4 seeds, less than the 100 steps between evaluations)." in said


def test_a_plain_arm_that_never_arrived_gives_a_lower_bound():
    plain = arm("gradient_descent(0.01)", (None, 19_000, None, None))
    said = verdict(STUDY, [plain, control(1800, 1900, 2000, 1700), MOMENTUM])
    assert "gradient_descent(0.01) in more than 19,750 (more than 11.0 times as many)" in said


def test_where_a_target_was_missed_accuracies_are_compared():
    momentum = arm("heavy_ball(0.01, 0.9)", (None,) * 4, (0.95, 0.96, 0.95, 0.96))
    plain = arm("gradient_descent(0.01)", (None,) * 4, (0.80, 0.81, 0.80, 0.81))
    said = verdict(STUDY, [plain, control(*(None,) * 4, accuracies=(0.90, 0.92, 0.90, 0.91)), momentum])
    assert said == (
        "heavy_ball(0.01, 0.9) ended at 95.50% test accuracy, gradient_descent(0.01) at 80.50%; gradient_descent(0.1), "
        "the same effective learning rate without momentum, ended at 90.75%: momentum itself is worth 4.75 ± 0.25 points "
        "over 4 seeds beyond the larger effective step."
    )


def test_momentum_without_a_gain_is_not_credited_with_one():
    momentum = arm("heavy_ball(0.01, 0.9)", (14_400, 14_600, 14_600, 14_800))
    said = verdict(STUDY, [PLAIN, control(14_600, 14_500, 14_700, 14_600), momentum])
    assert "explains the gain" not in said
    assert "times" not in said


def test_where_the_control_gains_nothing_the_larger_step_explains_nothing():
    momentum = arm("heavy_ball(0.01, 0.9)", (1000, 1000, 1000), accuracies=(0.9, 0.9, 0.9))
    plain = arm("gradient_descent(0.01)", (2000, 2000, 2000), accuracies=(0.9, 0.9, 0.9))
    said = verdict(STUDY, [plain, control(1000, 2000, 3000, accuracies=(0.9, 0.9, 0.9)), momentum])
    assert "larger effective step" not in said
    assert said.endswith(
        "(difference 1,000 ± 577 steps over 3 seeds, within noise); these seeds leave room for up to 3,484 steps."
    )


def test_a_gain_within_noise_is_not_explained():
    momentum = arm("heavy_ball(0.01, 0.9)", (None,) * 3, (0.920, 0.921, 0.919))
    plain = arm("gradient_descent(0.01)", (None,) * 3, (0.917, 0.920, 0.918))
    said = verdict(STUDY, [plain, control(None, None, None, accuracies=(0.919, 0.918, 0.921)), momentum])
    assert "explains" not in said
    assert "leave room for" in said


def test_a_diverged_plain_arm_is_named_and_is_no_gain():
    plain = arm("gradient_descent(0.01)", (None,) * 4, diverged=3)
    said = verdict(STUDY, [plain, control(1800, 1900, 1800, 1700), MOMENTUM])
    assert "gradient_descent(0.01) diverged in 3 of 4 runs;" in said
    assert "explains" not in said
    assert "times" not in said


def test_a_control_that_never_arrived_makes_momentums_lead_a_lower_bound():
    said = verdict(STUDY, [PLAIN, control(None, None, None, None), MOMENTUM])
    assert "gradient_descent(0.1), the same effective learning rate without momentum, took more than 20,000" in said
    assert said.endswith("momentum itself is worth at least 18,200 ± 41 steps over 4 seeds beyond the larger effective step.")


def test_momentum_that_never_arrived_is_behind_by_at_least_what_is_seen():
    said = verdict(STUDY, [PLAIN, control(1800, 1900, 1800, 1700), arm("heavy_ball(0.01, 0.9)", (None,) * 4)])
    assert said.startswith("heavy_ball(0.01, 0.9) reached the target in more than 20,000 steps")
    assert said.endswith("at equal effective step momentum was behind, by at least 18,200 ± 41 steps over 4 seeds.")


def test_a_censored_difference_within_noise_explains_nothing():
    said = verdict(STUDY, [PLAIN, control(None, 100, 100, 100), MOMENTUM])
    assert "explains" not in said
    assert said.endswith("but not every run reached the target, so the steps are lower bounds.")


@pytest.mark.parametrize(
    ("momentum", "steps"),
    [((400, 500, 400, 500, None, 400), (1800, 1900, 2000, 1700, 1800, 1900)), ((9000,) * 6, (100, 110, 100, 120, 100, None))],
)
def test_where_the_runs_of_the_arm_ahead_are_cut_off_no_bound_is_claimed(momentum, steps):
    study = dataclasses.replace(STUDY, seeds=tuple(range(6)), steps=3000 if None in momentum else 9500)
    accuracies = (0.9, 0.91, 0.92, 0.9, 0.91, 0.9)
    said = verdict(study, [control(*steps, accuracies=accuracies), arm("heavy_ball(0.01, 0.9)", momentum, accuracies)])
    assert "at least" not in said
    assert "momentum itself is worth" not in said
    assert "was behind" not in said
    assert said.endswith("but not every run reached the target, so the steps are lower bounds.")


def test_where_both_missed_the_target_in_some_runs_it_says_in_how_many():
    momentum = arm("heavy_ball(0.01, 0.9)", (None, 100, 100, 100))
    said = verdict(STUDY, [PLAIN, control(None, None, 100, 100), momentum])
    assert said.startswith("3 of 4 runs of heavy_ball(0.01, 0.9) and 2 of 4 runs of gradient_descent(0.1) reached the target;")


def test_two_seeds_are_too_few():
    pair = [
        dataclasses.replace(
            each,
            seeds=(0, 1),
            values=dict.fromkeys(("accuracy", "mcc"), (0.9, 0.9)),
            steps_to_target=each.steps_to_target[:2],
        )
        for each in (MOMENTUM, control(9000, 9100, 0, 0))
    ]
    assert verdict(STUDY, pair).endswith("2 seeds are too few to tell their difference from chance.")


def test_a_divergence_is_named_before_any_score():
    said = verdict(STUDY, [PLAIN, control(None, 1800, 1900, 1700, diverged=1), MOMENTUM])
    assert said == (
        "heavy_ball(0.01, 0.9) did not diverge and gradient_descent(0.1), the same effective learning rate without momentum, "
        "diverged in 1 of 4 runs, so their scores cannot be compared."
    )


def test_without_a_control_it_says_what_to_add():
    assert "add gradient_descent(eta / (1 - mu))" in verdict(STUDY, [PLAIN, MOMENTUM])


@pytest.mark.parametrize(
    ("optimizer", "found"),
    [
        ("heavy_ball(0.01)", True),
        ("heavy_ball(0.05, 0.5)", True),
        ("nesterov(0.01, momentum=0.9)", True),
        ("sgd(0.01, 0.9)", True),
        ("heavy_ball(0.01, 0.8)", False),
        ("ema_momentum(0.01, 0.9)", False),
        ("heavy_ball(0.01, linear(0.5, 0.9, steps=9))", False),
        ("sgd(0.01, 0.9, weight_decay=0.1)", False),
        ("optax.sgd(0.01, 0.9)", False),
        ("adam(0.01)", False),
    ],
)
def test_the_control_is_recognised_by_its_effective_learning_rate(optimizer, found):
    rungs = ladder([control(1, 2, 3, 4), arm(optimizer, (1, 2, 3, 4))])
    assert (rungs is not None) == found


@pytest.mark.parametrize("base", [(8316, 8368, 8143), (8187, 8569, 8545)])
def test_the_last_bit_of_a_double_decides_nothing(base):
    """Momentum is ahead by 100 images of 10,000 on each of three seeds: without a spread, too few to claim anything."""
    plain, control, momentum = (
        arm(optimizer, (None,) * 3, [(one + images) / 1e4 for one in base])
        for optimizer, images in (("gradient_descent(0.01)", 0), ("gradient_descent(0.1)", 500), ("heavy_ball(0.01, 0.9)", 600))
    )
    said = verdict(STUDY, [plain, control, momentum])
    assert "no effect of momentum itself is seen (difference 1.00 ± 0.00 points over 3 seeds, too few seeds)" in said
    assert "explains the gain" not in said
