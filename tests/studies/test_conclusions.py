"""What the conclusions say of numbers made by hand, and what they do not claim."""

import dataclasses
import re

import numpy as np
import pytest
from filled_stores import CONTROL, FIXED, MOMENTUM, OWN, PLAIN, SEEDS, SHARED, filled, ladder_store, tried
from scipy import stats

from momentum_jax.studies import Arm, Search, Study
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.analysis.ladder import ladder_result
from momentum_jax.studies.conclusions import conclusions
from momentum_jax.studies.report import evidence
from momentum_jax.studies.report.evidence import comparisons
from momentum_jax.studies.statistics import lost_to_holm, ratio_of_means
from momentum_jax.studies.store import Store


@pytest.mark.parametrize(
    ("plain", "control", "momentum", "said"),
    [
        (0.90, 0.95, 0.96, r"explains 83% of momentum's gain \(95%: 8\d% to 8\d%\); the rest is momentum's own"),
        (0.90, 0.96, 0.96, r"explains 100% of momentum's gain .*; nothing is shown to be left for momentum itself"),
        (0.90, 0.97, 0.96, r"explains 117% of momentum's gain .*; momentum itself was behind"),
        (0.90, 0.85, 0.96, "The larger step alone does harm here: what momentum gains is its own"),
        (0.96, 0.95, 0.90, "At this learning rate momentum lost"),
        (0.96, 0.95, 0.96, "No gain of momentum at this learning rate is shown"),
    ],
)
def test_the_ladder_is_put_into_words(tmp_path, rows, plain, control, momentum, said):
    words = " ".join(conclusions(analyse(ladder_store(tmp_path, rows, plain, control, momentum))))
    assert stats.ttest_1samp(SHARED, 0).pvalue > 0.05, "the seeds themselves must favour nobody"
    assert re.search(said, words), words


def test_a_control_that_diverges_is_said_to(tmp_path, rows):
    store = ladder_store(tmp_path / "one", rows, 0.9, 0.95, 0.96, diverged={(CONTROL, 3): 17})
    said = "gradient descent diverged in 1 of 8 runs, momentum in none: scores of diverged runs explain nothing"
    assert said in " ".join(conclusions(analyse(store)))
    store = ladder_store(tmp_path / "six", rows, 0.9, 0.95, 0.96, diverged={(CONTROL, seed): 17 for seed in SEEDS[:6]})
    assert "momentum in none: momentum bears a step" in " ".join(conclusions(analyse(store)))


def test_a_difference_is_claimed_only_where_t_ranks_and_holm_agree(tmp_path, rows):
    noise = np.array([1, -1, 1, -1, 1, -1, 1, -1.0]) / 100
    study = Study(seeds=SEEDS, ladder=False, noise_floor=False, arms=(Arm("sgd(0.1)"), Arm("adam(0.1)"), Arm("rmsprop(0.1)")))
    scores = {"sgd(0.1)": 0.9 + SHARED, "adam(0.1)": 0.95 + SHARED + OWN, "rmsprop(0.1)": 0.901 + SHARED + noise}
    analysis = analyse(filled(tmp_path, study, rows, scores))
    first, second = conclusions(analysis)[:2]
    assert "a higher accuracy is shown" in first
    assert "(Holm, 2 comparisons)" in first
    assert "no difference is shown; a t test of these seeds, uncorrected, finds one of" in second
    raw = stats.ttest_rel(scores["adam(0.1)"], scores["sgd(0.1)"]).pvalue
    assert analysis.comparisons[0].pvalue == pytest.approx(2 * raw)


def test_five_seeds_claim_nothing_without_normality(tmp_path, rows):
    study = Study(seeds=(0, 1, 2, 3, 4), ladder=False, noise_floor=False, arms=(Arm("sgd(0.1)"), Arm("adam(0.1)")))
    scores = {"sgd(0.1)": 0.9 + SHARED[:5], "adam(0.1)": 0.95 + SHARED[:5] + OWN[:5]}
    assert "its p cannot fall below 0.062" in conclusions(analyse(filled(tmp_path, study, rows, scores)))[0]


def test_a_single_seed_claims_nothing(tmp_path, rows):
    study = Study(seeds=(0,), noise_floor=False, arms=(Arm(PLAIN), Arm(CONTROL), Arm(MOMENTUM)))
    analysis = analyse(filled(tmp_path, study, rows, {PLAIN: [0.9], CONTROL: [0.95], MOMENTUM: [0.96]}))
    words = conclusions(analysis)
    assert "1 seed is too few to tell their difference from chance" in words[0]
    assert "1 seed is too few to say what explains it" in words[2]


def test_optimism_is_what_the_winner_loses_on_fresh_seeds(tmp_path, rows):
    study = Study(
        seeds=SEEDS,
        noise_floor=False,
        arms=(Arm("heavy_ball(log_uniform(0.001, 1), 0.9)", "moving"),),
        search=Search(trials=3, seeds=(1000,)),
    )
    trials = tried(rows, {"heavy_ball(0.01, 0.9)": 0.91, "heavy_ball(0.95, 0.9)": 0.97, "heavy_ball(0.05, 0.9)": 0.93})
    settled = {"moving": "heavy_ball(0.95, 0.9)"}
    store = filled(tmp_path, study, rows, {"moving": 0.95 + SHARED}, tuning=trials, optimizers=settled)
    (tuning,) = analyse(store).tunings
    assert tuning.chosen == 1
    assert [trial.values for trial in tuning.trials] == [{"learning_rate": each} for each in (0.01, 0.95, 0.05)]
    assert (tuning.tuned, tuning.fresh) == (pytest.approx(0.97), pytest.approx(0.95))
    assert tuning.optimism == pytest.approx(0.02)
    assert tuning.learning_rate == "learning_rate"
    assert tuning.edges == ("learning_rate",)
    words = " ".join(conclusions(analyse(store)))
    # A single seed of the search has no spread.
    assert tuning.optimism_interval is None
    assert "optimism +2.00 points; 1 seed of the search cannot tell it from chance)" in words
    assert "its learning_rate lies at the edge of what was searched" in words


def test_an_unfinished_study_says_what_is_missing(tmp_path, rows):
    study = Study(seeds=(0, 1), arms=(Arm(PLAIN), Arm(MOMENTUM)), noise_floor=False)
    store = Store.create(tmp_path, study, {})
    store.note(planned=6)
    assert conclusions(analyse(store)) == ["This is a part of the study: 6 of 6 runs are missing.", "No arm has been run yet."]
    store.add([(rows.run(PLAIN, 0), rows.curves([1.0, 0.5]))])
    assert "5 of 6 runs are missing" in conclusions(analyse(store))[0]


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


def test_where_all_pairs_differ_by_the_same_the_exact_rank_test_alone_decides(tmp_path, rows):
    same = ratio_of_means([1.0, 1.0, 1.0], [2.0, 2.0, 2.0])
    assert (same.value, same.interval, same.without_spread) == (0.5, None, True)
    assert not ratio_of_means([1.0, 2.0, 4.0], [2.0, 4.0, 9.0]).without_spread
    study = Study(seeds=SEEDS, ladder=False, noise_floor=False, arms=(Arm("sgd(0.1)"), Arm("adam(0.1)")))
    scores = {"sgd(0.1)": np.full(8, 0.5), "adam(0.1)": np.full(8, 0.75)}
    said = conclusions(analyse(filled(tmp_path / "eight", study, rows, scores)))[0]
    assert "+25.00 points on every seed, p = 0.0078: a higher accuracy is shown" in said
    few = dataclasses.replace(study, seeds=SEEDS[:4])
    said = conclusions(analyse(filled(tmp_path / "four", few, rows, {label: each[:4] for label, each in scores.items()})))[0]
    assert "difference, higher" not in said
    same = {"sgd(0.1)": np.full(8, 0.5), "adam(0.1)": np.full(8, 0.5)}
    assert "no difference on any seed" in conclusions(analyse(filled(tmp_path / "same", study, rows, same)))[0]


def test_a_momentum_that_diverges_too_is_not_praised(tmp_path, rows):
    diverged = {(MOMENTUM, seed): 3 for seed in SEEDS[1:]} | {(CONTROL, 3): 17}
    words = " ".join(conclusions(analyse(ladder_store(tmp_path, rows, 0.9, 0.95, 0.96, diverged=diverged))))
    assert "diverged in 1 of 8 runs, momentum in 7: scores of diverged runs explain nothing" in words
    assert "bears a step" not in words


def tuned_pair(directory, rows, plain, moving, control=0.9, plain_range="log_uniform(0.001, 0.05)"):
    """Gradient descent and momentum, each tuned, and the ladder's two rungs, which are neither."""
    study = Study(
        steps=400,
        seeds=SEEDS,
        target=0.5,
        noise_floor=False,
        arms=(
            Arm(f"gradient_descent({plain_range})", "plain"),
            Arm("heavy_ball(log_uniform(0.001, 0.1), 0.9)", "moving"),
        ),
        search=Search(trials=1, seeds=(1000,)),
    )
    at = {"plain": "gradient_descent(0.03)", "moving": MOMENTUM}
    trials = [
        dataclasses.replace(
            rows.run(label, 1000, optimizer=at[label]), phase="tuning", name=f"tuning/arm-{n}/trial-0/seed-1000"
        )
        for n, label in enumerate(at)
    ]
    scores = {"plain": plain + SHARED, "moving": moving + SHARED + OWN, PLAIN: 0.8 + SHARED, CONTROL: control + SHARED - OWN}
    phases = {PLAIN: "ladder", CONTROL: "ladder"}
    return analyse(filled(directory, study, rows, scores, phases=phases, tuning=trials, optimizers=at))


def with_steps(analysis, steps):
    """As if the arms had reached the target at these steps: label -> one a seed."""
    arms = tuple(
        dataclasses.replace(arm, steps_to_target=tuple(steps.get(arm.label, arm.steps_to_target))) for arm in analysis.arms
    )
    ladder = ladder_result(analysis.study, {arm.label: arm for arm in arms}, analysis.tunings)
    return dataclasses.replace(analysis, arms=arms, ladder=ladder)


SPREAD = (200, 210, 190, 205, 195, 200, 215, 185)
ONCE = (390, *[None] * 7)
NEVER = (None,) * 8


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


@pytest.mark.parametrize(
    ("control", "plain_range", "said"),
    [
        (
            0.94,
            "log_uniform(0.001, 0.05)",
            f"but {CONTROL}, of the ladder, is better in test accuracy by +4.00 points [+3.98, +4.02] (uncorrected): "
            "the search of plain was of too narrow a range, so whether momentum helps is not known.",
        ),
        (0.94, "choice(0.01, 0.03)", "the search of plain was of too narrow a range, so whether momentum helps is not known."),
        (
            0.94,
            "log_uniform(0.001, 1)",
            "the search of plain missed that learning rate, so whether momentum helps is not known.",
        ),
        (0.94, "choice(0.03, 0.1)", "the search of plain missed that learning rate, so whether momentum helps is not known."),
        (0.90, "log_uniform(0.001, 0.05)", "momentum helps here, within the ranges that were searched."),
    ],
)
def test_momentum_is_not_praised_where_a_rung_beats_the_tuned_gradient_descent(tmp_path, rows, control, plain_range, said):
    words = conclusions(tuned_pair(tmp_path, rows, 0.9, 0.95, control, plain_range))
    (sentence,) = (each for each in words if each.startswith("Both tuned") and "test accuracy" in each)
    assert sentence.endswith(said), sentence


def test_momentum_is_not_said_to_be_sooner_where_a_rung_is_sooner_than_the_tuned_gradient_descent(tmp_path, rows):
    steps = {"plain": NEVER, "moving": SPREAD, CONTROL: SPREAD}
    words = conclusions(with_steps(tuned_pair(tmp_path, rows, 0.9, 0.95), steps))
    (sentence,) = (each for each in words if each.startswith("Both tuned") and "by steps" in each)
    assert (
        f"; but {CONTROL}, of the ladder, got there at least 200 steps sooner [+192 or more] (uncorrected): the search of plain"
        in sentence
    )
    assert "helps here" not in sentence


@pytest.mark.parametrize(("plain", "does"), [(0.90, "helps"), (0.97, "does harm")])
@pytest.mark.parametrize("is_a_comparison", [True, False])
def test_what_tuned_momentum_does_is_called_uncorrected_where_it_is(tmp_path, rows, plain, does, is_a_comparison):
    late = [step + 100 for step in SPREAD]
    steps = {"plain": late if does == "helps" else SPREAD, "moving": SPREAD if does == "helps" else late}
    analysis = with_steps(tuned_pair(tmp_path, rows, plain, 0.95), {**steps, PLAIN: NEVER, CONTROL: NEVER})
    if not is_a_comparison:
        analysis = dataclasses.replace(analysis, comparisons=())
    by_accuracy, by_steps = (each for each in conclusions(analysis) if each.startswith("Both tuned"))
    claim = f"momentum {does} here, within the ranges that were searched"
    assert by_accuracy.endswith(f"{claim}{'' if is_a_comparison else ' (uncorrected)'}.")
    assert by_steps.endswith(f"{claim} (uncorrected).")


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


@pytest.mark.parametrize("momentum_first", [True, False])
@pytest.mark.parametrize(("corrected", "says"), [(0.03, "momentum helps here"), (0.06, "momentum is not shown to help")])
def test_tuned_momentum_is_held_to_holms_correction_whichever_arm_is_first(tmp_path, rows, momentum_first, corrected, says):
    study = Study(
        seeds=SEEDS,
        noise_floor=False,
        arms=(
            Arm("gradient_descent(log_uniform(0.01, 1))", "plain"),
            Arm("heavy_ball(log_uniform(0.001, 0.1), 0.9)", "moving"),
        ),
        search=Search(trials=1, seeds=(1000,)),
    )
    at = {
        "plain": "gradient_descent(0.1)",
        "moving": "heavy_ball(0.01, 0.9)",
        "gradient_descent(0.01)": "gradient_descent(0.01)",
    }
    scores = {"plain": 0.95 + SHARED, "moving": 0.96 + SHARED + OWN, "gradient_descent(0.01)": 0.9 + SHARED}
    phases = {"gradient_descent(0.01)": "ladder"}
    trials = [
        dataclasses.replace(
            rows.run(label, 1000, optimizer=at[label]), phase="tuning", name=f"tuning/arm-{n}/trial-0/seed-1000"
        )
        for n, label in enumerate(("plain", "moving"))
    ]
    analysis = analyse(filled(tmp_path, study, rows, scores, phases=phases, tuning=trials, optimizers=at))
    (pair,) = analysis.comparisons
    first, second = ("moving", "plain") if momentum_first else ("plain", "moving")
    comparisons = (dataclasses.replace(pair, arm=second, reference=first, pvalue=corrected),)
    words = conclusions(dataclasses.replace(analysis, comparisons=comparisons))
    (sentence,) = (each for each in words if each.startswith("Both tuned") and "test accuracy" in each)
    assert says in sentence


def test_divergence_of_the_plain_rung_is_no_gain(tmp_path, rows):
    lost = {(PLAIN, seed): 5 for seed in SEEDS[:7]}
    words = " ".join(conclusions(analyse(ladder_store(tmp_path, rows, 0.9, 0.95, 0.96, diverged=lost))))
    assert "gradient descent at the same rate diverged in 7 of 8 runs: scores of diverged runs explain nothing" in words
    assert "explains 9" not in words


def test_a_study_without_a_ladder_says_why(tmp_path, rows):
    study = Study(seeds=SEEDS, noise_floor=False, arms=(Arm("adam(0.1)"), Arm("ema_momentum(0.1, 0.9)")))
    scores = {"adam(0.1)": 0.9 + SHARED, "ema_momentum(0.1, 0.9)": 0.9 + SHARED + OWN}
    assert "There is no ladder: no arm is" in " ".join(conclusions(analyse(filled(tmp_path, study, rows, scores))))


def test_five_seeds_are_said_to_claim_nothing_of_any_size(tmp_path, rows):
    study = Study(seeds=SEEDS[:5], ladder=False, noise_floor=False, arms=(Arm("sgd(0.1)"), Arm("adam(0.1)")))
    scores = {"sgd(0.1)": 0.9 + SHARED[:5], "adam(0.1)": 0.9 + SHARED[:5] + OWN[:5] - OWN[:5].mean()}
    assert "5 seeds can claim none of any size, it takes 6" in conclusions(analyse(filled(tmp_path, study, rows, scores)))[0]


def test_the_conclusions_and_the_comparison_say_the_correction_in_the_same_words(tmp_path, rows):
    """Three arms of p-values just below 0.05, which Holm's correction triples."""
    names = [f"sgd(0.{index})" for index in range(1, 5)]
    study = Study(seeds=SEEDS, ladder=False, noise_floor=False, arms=tuple(map(Arm, names)))
    scores = {name: 0.9 + SHARED + (10 * OWN + 0.00184) * (index > 0) for index, name in enumerate(names)}
    analysis = analyse(filled(tmp_path, study, rows, scores))
    first = analysis.comparisons[0]
    assert (first.accuracy.pvalue or 1) <= 0.05 < (first.pvalue or 0)
    said = lost_to_holm(first.accuracy.pvalue, first.pvalue, 3)
    assert conclusions(analysis)[0].endswith(f"{said}.")
    assert any(item.endswith(f"{said}.") for item in comparisons(analysis)[-1].blocks[0].items)


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


def test_an_arm_that_always_diverged_has_no_score_to_compare(tmp_path, rows):
    arms = (Arm("sgd(0.1)"), Arm("adam(0.1)"))
    study = Study(seeds=SEEDS, steps=200, target=0.5, ladder=False, noise_floor=False, arms=arms)
    scores = {arm.label: 0.9 + SHARED for arm in arms}
    lost = {("adam(0.1)", seed): 3 for seed in SEEDS}
    words = conclusions(analyse(filled(tmp_path, study, rows, scores, diverged=lost)))
    assert words == ["adam(0.1) diverged in all of its 8 runs; sgd(0.1) ended at 90.00% ± 0.08."]


def test_an_arm_with_fewer_different_trials_is_said_to_have_them(tmp_path, rows):
    """A choice of two is exhausted by two points of the search."""
    arms = (Arm("gradient_descent(choice(0.01, 0.1))", "plain"), Arm("heavy_ball(log_uniform(0.001, 0.1), 0.9)", "moving"))
    study = Study(seeds=SEEDS, noise_floor=False, arms=arms, search=Search(trials=4, seeds=(1000,)))
    tuning = [
        dataclasses.replace(run, name=f"tuning/arm-{index}/trial-{number}/seed-1000", arm=arm)
        for index, (arm, optimizers) in enumerate(
            {
                "plain": ["gradient_descent(0.01)", "gradient_descent(0.1)"],
                "moving": [f"heavy_ball({rate}, 0.9)" for rate in (0.01, 0.02, 0.04, 0.08)],
            }.items()
        )
        for number, run in enumerate(tried(rows, dict.fromkeys(optimizers, 0.5)))
    ]
    scores = {"plain": 0.9 + SHARED, "moving": 0.95 + SHARED + OWN, CONTROL: 0.95 + SHARED}
    optimizers = {"plain": PLAIN, "moving": MOMENTUM}
    store = filled(tmp_path, study, rows, scores, phases={CONTROL: "ladder"}, tuning=tuning, optimizers=optimizers)
    said = "Both tuned at equal budget (4 points of the search each, of which plain has 2 different ones), moving against plain"
    assert any(sentence.startswith(said) for sentence in conclusions(analyse(store)))
