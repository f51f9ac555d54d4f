"""What the conclusions say of numbers made by hand, and what they do not claim."""

import dataclasses
import re

import numpy as np
import pytest
from filled_stores import (
    CONTROL,
    MOMENTUM,
    OWN,
    PLAIN,
    SEEDS,
    SHARED,
    filled,
    ladder_store,
    tried,
)
from scipy import stats

from momentum_jax.studies import Arm, Search, Study
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.conclusions import conclusions
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
    assert (first.score.pvalue or 1) <= 0.05 < (first.pvalue or 0)
    said = lost_to_holm(first.score.pvalue, first.pvalue, 3)
    assert conclusions(analysis)[0].endswith(f"{said}.")
    assert any(item.endswith(f"{said}.") for item in comparisons(analysis)[-1].blocks[0].items)


def test_an_arm_that_always_diverged_has_no_score_to_compare(tmp_path, rows):
    arms = (Arm("sgd(0.1)"), Arm("adam(0.1)"))
    study = Study(seeds=SEEDS, steps=200, target=0.5, ladder=False, noise_floor=False, arms=arms)
    scores = {arm.label: 0.9 + SHARED for arm in arms}
    lost = {("adam(0.1)", seed): 3 for seed in SEEDS}
    words = conclusions(analyse(filled(tmp_path, study, rows, scores, diverged=lost)))
    assert words == ["adam(0.1) diverged in all of its 8 runs; sgd(0.1) ended at 90.00% ± 0.08."]
