"""What the conclusions and tables say of steps to the target, and of those that the budget cut off."""

import dataclasses
import re

import numpy as np
import pytest
from filled_stores import (
    CONTROL,
    FIXED,
    MOMENTUM,
    NEVER,
    ONCE,
    OWN,
    PLAIN,
    SEEDS,
    SHARED,
    SPREAD,
    filled,
    ladder_store,
    tuned_pair,
    with_steps,
)

from momentum_jax.studies import Arm, Study
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.conclusions import conclusions
from momentum_jax.studies.report import evidence


def test_no_share_is_given_of_steps_that_the_budget_cut_off(tmp_path, rows):
    """Gradient descent at both rates never gets to the target: that both took the whole budget says nothing of either."""
    late = [2.0, 1.0, 0.9]
    analysis = analyse(ladder_store(tmp_path, rows, 0.9, 0.95, 0.96, curves={PLAIN: late, CONTROL: late}))
    by_steps = next(rungs for rungs in analysis.ladder.rungs if rungs.measure == "steps")
    assert by_steps.bounds == {"gain": "lower", "larger_step": "none", "momentum_itself": "lower"}
    assert analysis.ladder.rungs[0].bounds == {}
    assert (by_steps.share.value, by_steps.share.interval) == (None, None)
    (by_steps_in_words,) = (sentence for sentence in conclusions(analysis) if "The ladder by steps" in sentence)
    assert "Runs that never got there do not tell how much of the gain the larger step explains" in by_steps_in_words


@pytest.mark.parametrize(
    ("late", "cell"), [((), "+0"), ((PLAIN,), "≤ -200"), ((MOMENTUM,), "≥ +200"), ((PLAIN, MOMENTUM), "+0")]
)
def test_the_table_of_steps_marks_a_mean_difference_that_the_budget_cut_off(tmp_path, rows, late, cell):
    analysis = analyse(ladder_store(tmp_path, rows, 0.9, 0.95, 0.96, curves={label: [2.0, 1.0, 0.9] for label in late}))
    table = evidence.steps(analysis, set())[-1]
    (row,) = table.rows
    assert row[0] == MOMENTUM
    assert row[table.headings.index("mean difference")] == cell


@pytest.mark.parametrize(
    ("plain", "moving", "said", "cell"),
    [
        (NEVER, SPREAD, "at least 200 steps sooner [+192 or more]", ("≥ +200", "≥ +192")),
        (SPREAD, NEVER, "at least 200 steps later [+192 or more]", ("≤ -200", "≤ -192")),
        (ONCE, SPREAD, "at least 199 steps sooner [+190 or more]", ("≥ +199", "≥ +190")),
        ((400,) * 8, ONCE, "at most 1 step sooner [+4 or less]", ("≤ +1", "≤ +4")),
        (NEVER, ONCE, "1 step sooner up to the budget [-2, +4]", ("+1", "[-2, +4]")),
        ((400,) * 8, (*[400] * 7, None), "no difference that the budget lets be seen", ("≤ +0", "–")),
    ],
)
def test_steps_that_the_budget_cut_off_are_only_a_bound_of_the_difference(tmp_path, rows, plain, moving, said, cell):
    """Also where none of the rungs was cut off, as in the first case."""
    analysis = with_steps(tuned_pair(tmp_path, rows, 0.9, 0.95), {"plain": plain, "moving": moving})
    (sentence,) = (each for each in conclusions(analysis) if each.startswith("Both tuned") and "by steps" in each)
    assert said in sentence
    table = evidence.ladder(analysis, set())[-1]
    (row,) = (row for row in table.rows if row[:2] == ("both tuned", "steps saved"))
    assert row[2:4] == cell
    assert "count with the whole budget" in table.caption


def test_a_pair_that_alone_was_cut_off_leaves_the_rungs_their_share(tmp_path, rows):
    rungs = {PLAIN: SPREAD, CONTROL: [step - 20 for step in SPREAD], "moving": [step // 2 for step in SPREAD]}
    analysis = with_steps(tuned_pair(tmp_path, rows, 0.9, 0.95), {**rungs, "plain": NEVER})
    by_steps = analysis.ladder.rungs[1]
    assert by_steps.bounds == {"tuned": "lower"}
    assert by_steps.share.value == pytest.approx(20 / np.mean([step - step // 2 for step in SPREAD]))


@pytest.mark.parametrize(
    ("plain", "moving", "said"),
    [
        ([step + 12 + 5 * (index % 2) for index, step in enumerate(SPREAD)], SPREAD, r"14 steps sooner \[\+12, \+17\]"),
        (SPREAD, [step + 12 + 5 * (index % 2) for index, step in enumerate(SPREAD)], r"14 steps later \[\+12, \+17\]"),
        (SPREAD, [step + 1 for step in SPREAD], "1 step later on every seed"),
        (SPREAD, SPREAD, "no difference on any seed"),
        (SPREAD, [step + (0, 1, -1)[index % 3] for index, step in enumerate(SPREAD)], r"0 steps sooner \[-1, \+1\]"),
    ],
)
def test_the_interval_of_steps_has_the_direction_of_its_word(tmp_path, rows, plain, moving, said):
    analysis = with_steps(tuned_pair(tmp_path, rows, 0.9, 0.95), {"plain": plain, "moving": moving})
    assert any(re.search(f"by steps to the target: {said}", each) for each in conclusions(analysis)), conclusions(analysis)


def test_a_loss_of_momentum_by_steps_is_called_uncorrected(tmp_path, rows):
    late = [step + 100 + index for index, step in enumerate(SPREAD)]
    words = conclusions(with_steps(tuned_pair(tmp_path, rows, 0.9, 0.95), {PLAIN: SPREAD, CONTROL: SPREAD, "moving": late}))
    assert any(each.startswith("The ladder by steps") and each.endswith("momentum lost (uncorrected).") for each in words)


def test_an_exact_test_is_limited_by_the_pairs_that_differ(tmp_path, rows):
    """Five of eight pairs do: enough for the t interval to leave out zero, too few for the exact test."""
    faster = [step - 50 * (index > 2) - index % 2 * (index > 2) for index, step in enumerate(SPREAD)]
    steps = {"plain": SPREAD, PLAIN: SPREAD, CONTROL: SPREAD, "moving": faster}
    words = " ".join(conclusions(with_steps(tuned_pair(tmp_path, rows, 0.9, 0.95), steps)))
    assert "; 5 pairs that differ are too few for a claim without assuming normal differences." in words
    assert ". 5 pairs that differ are too few to explain it without assuming normal differences." in words


@pytest.mark.parametrize("lost", [0, 1])
def test_who_is_ahead_only_as_the_budget_cut_it_off_is_not_said_to_be(tmp_path, rows, lost):
    """All but `lost` runs of momentum are sooner, and that one never got there."""
    late = [395, 396, 394, 397, 393, 395, 396, 394]
    moving = [None] * lost + list(SPREAD[lost:])
    words = conclusions(
        with_steps(tuned_pair(tmp_path, rows, 0.9, 0.95), dict.fromkeys(("plain", PLAIN, CONTROL), late) | {"moving": moving})
    )
    (tuned,) = (each for each in words if each.startswith("Both tuned") and "by steps" in each)
    (ladder,) = (each for each in words if each.startswith("The ladder by steps"))
    assert ("momentum helps here" in tuned) == (not lost)
    assert ("at most" in tuned) == ("Counted so, no gain" in ladder) == bool(lost)


def test_the_ladder_by_steps_says_nothing_where_the_budget_hides_what_the_arms_say(tmp_path, rows):
    """Momentum gets there with its last step, gradient descent never: capped at the budget, both took as many."""
    study = dataclasses.replace(FIXED, steps=200)
    scores = {PLAIN: 0.9 + SHARED, MOMENTUM: 0.95 + SHARED + OWN, CONTROL: 0.95 + SHARED}
    curves = {PLAIN: [2.0, 1.0, 0.6], MOMENTUM: [2.0, 1.0, 0.4], CONTROL: [2.0, 1.0, 0.6]}
    store = filled(tmp_path, study, rows, scores, phases={CONTROL: "ladder"}, curves=curves)
    words = conclusions(analyse(store))
    assert f"{MOMENTUM} reached the target on 8 of 8 seeds, {PLAIN} never (sign test, p = 0.0078)." in words
    (by_steps,) = [sentence for sentence in words if "ladder by steps" in sentence]
    assert "says nothing: runs that never got there count with 200 steps, and the others took as many." in by_steps


@pytest.mark.parametrize(
    ("plain", "control", "momentum", "said"),
    [
        (0.6, 0.6, 0.6, "says nothing: no run of it reached the target."),
        (0.4, 0.4, 0.4, "says nothing: on every seed its arms got there at the same evaluation."),
    ],
)
def test_the_ladder_by_steps_says_nothing_where_nothing_differs(tmp_path, rows, plain, control, momentum, said):
    curves = {label: [2.0, 1.0, last] for label, last in ((PLAIN, plain), (CONTROL, control), (MOMENTUM, momentum))}
    words = conclusions(analyse(ladder_store(tmp_path, rows, 0.9, 0.95, 0.95, curves=curves)))
    assert any(sentence.endswith(said) for sentence in words), words


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (0.6, 0.4, "adam(0.1) reached the target on 8 of 8 seeds, sgd(0.1) never (sign test, p = 0.0078)."),
        (0.4, 0.6, "adam(0.1) never reached the target, sgd(0.1) did on 8 of 8 seeds (sign test, p = 0.0078)."),
        (0.6, 0.6, "Neither adam(0.1) nor sgd(0.1) reached the target."),
        (0.4, 0.4, "adam(0.1) reached the target before sgd(0.1) on 0 of 8 seeds, and 8 are ties (sign test, p = 1)."),
    ],
)
def test_who_never_reached_the_target_is_not_said_to_have_been_later(tmp_path, rows, first, second, said):
    arms = (Arm("sgd(0.1)"), Arm("adam(0.1)"))
    study = Study(seeds=SEEDS, steps=200, target=0.5, ladder=False, noise_floor=False, arms=arms)
    scores = {arm.label: 0.9 + SHARED for arm in arms}
    curves = {"sgd(0.1)": [2.0, 1.0, first], "adam(0.1)": [2.0, 1.0, second]}
    assert said in conclusions(analyse(filled(tmp_path, study, rows, scores, curves=curves)))
