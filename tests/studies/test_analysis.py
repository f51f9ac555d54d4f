"""What a store says: numbers that name their runs, the ladder's shares, tuning's optimism, and words that claim no more."""

import dataclasses
import json
import re

import numpy as np
import pytest
from scipy import stats

from momentum_jax.studies import Arm, Search, Study
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.conclusions import conclusions
from momentum_jax.studies.report.evidence import comparisons
from momentum_jax.studies.statistics import lost_to_holm, paired, ratio_of_means
from momentum_jax.studies.store import Store

SEEDS = tuple(range(8))
PLAIN, CONTROL, MOMENTUM = "gradient_descent(0.01)", "gradient_descent(0.1)", "heavy_ball(0.01, 0.9)"
FIXED = Study(steps=400, seeds=SEEDS, target=0.5, arms=(Arm(PLAIN), Arm(MOMENTUM)))
# Off the mean by the same for all arms, as seeds are.
SHARED = np.array([0.3, -0.2, 0.1, 0.0, -0.4, 0.2, 0.1, -0.1]) / 100
OWN = np.array([0.02, -0.01, 0.03, -0.02, 0.01, 0.0, -0.03, 0.0]) / 100


def filled(directory, study, rows, scores, *, phases=None, curves=None, tuning=(), diverged=None, optimizers=None):
    """A store whose runs have these test accuracies: label -> one a seed."""
    store = Store.create(directory, study, {"versions": {}})
    labels = [arm.label for arm in study.arms]
    made = []
    for label, values in scores.items():
        phase = (phases or {}).get(label, "report")
        name = f"arm-{labels.index(label)}" if label in labels else f"ladder/{label}"
        for seed, value in zip(study.seeds, values, strict=True):
            optimizer = (optimizers or {}).get(label, label)
            run = rows.run(
                label, seed, accuracy=float(value), diverged=(diverged or {}).get((label, seed)), optimizer=optimizer
            )
            curve = (curves or {}).get(label, [2.0, 1.0, 0.4])
            made.append((dataclasses.replace(run, name=f"{name}/seed-{seed}", phase=phase), rows.curves(curve)))
    for run in tuning:
        made.append((run, rows.curves([2.0, 1.0])))
    store.add(made)
    store.close("complete")
    return Store.read(directory)


def ladder_store(directory, rows, plain, control, momentum, **options):
    scores = {PLAIN: plain + SHARED, MOMENTUM: momentum + SHARED + OWN, CONTROL: control + SHARED - OWN}
    return filled(directory, FIXED, rows, scores, phases={CONTROL: "ladder"}, **options)


def test_every_number_of_an_arm_is_that_of_its_named_runs(tmp_path, rows):
    store = ladder_store(tmp_path, rows, 0.90, 0.95, 0.96)
    analysis = analyse(store)
    runs = {run.name: run for run in store.runs}
    for arm in analysis.arms:
        assert [runs[name].accuracy for name in arm.runs] == list(arm.accuracies)
        assert [runs[name].seed for name in arm.runs] == list(arm.seeds)
        assert arm.accuracy.mean == pytest.approx(np.mean([runs[name].accuracy for name in arm.runs]))
        np.testing.assert_allclose(arm.confusion, [[0.8, 0.2], [0.1, 0.9]])
    assert [arm.rung for arm in analysis.arms] == [False, False, True]


def test_an_analysis_is_json_without_nan(tmp_path, rows):
    content = json.loads(analyse(ladder_store(tmp_path, rows, 0.9, 0.95, 0.96)).to_json(), parse_constant=pytest.fail)
    assert content["arms"][0]["runs"][0] == "arm-0/seed-0"
    assert Study.from_dict(content["study"]) == FIXED


def test_the_ladder_adds_up_and_its_share_is_the_ratio_of_its_steps(tmp_path, rows):
    ladder = analyse(ladder_store(tmp_path, rows, 0.90, 0.95, 0.96)).ladder
    assert (ladder.plain, ladder.control, ladder.momentum) == (PLAIN, CONTROL, MOMENTUM)
    (by_accuracy, by_steps) = ladder.rungs
    assert by_accuracy.gain.mean_difference == pytest.approx(0.06)
    assert by_accuracy.larger_step.mean_difference == pytest.approx(0.05)
    assert by_accuracy.momentum_itself.mean_difference == pytest.approx(0.01)
    assert by_accuracy.share.value == pytest.approx(5 / 6)
    assert by_accuracy.share.interval == pytest.approx((5 / 6 - 0.01, 5 / 6 + 0.01), abs=0.005)
    assert by_steps.measure == "steps"


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
    assert "a difference, higher" in first
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


def tried(rows, scores):
    return [
        dataclasses.replace(
            rows.run("moving", 1000, accuracy=accuracy),
            name=f"tuning/arm-0/trial-{number}/seed-1000",
            phase="tuning",
            optimizer=optimizer,
            accuracy=float("nan"),
            confusion=(),
        )
        for number, (optimizer, accuracy) in enumerate(scores.items())
    ]


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
    assert "optimism +2.00 points)" in words
    assert "its learning_rate lies at the edge of the range" in words


def test_an_unfinished_study_says_what_is_missing(tmp_path, rows):
    study = Study(seeds=(0, 1), arms=(Arm(PLAIN), Arm(MOMENTUM)), noise_floor=False)
    store = Store.create(tmp_path, study, {})
    store.note(planned=6)
    assert conclusions(analyse(store)) == ["This is a part of the study: 6 of 6 runs are missing.", "No arm has been run yet."]
    store.add([(rows.run(PLAIN, 0), rows.curves([1.0, 0.5]))])
    assert "5 of 6 runs are missing" in conclusions(analyse(store))[0]


def test_fiellers_interval_holds_the_ratios_that_a_paired_t_test_does_not_reject():
    a, b = np.array([2.1, 1.9, 2.4, 1.7, 2.2]), np.array([4.2, 3.6, 4.4, 3.9, 4.1])
    found = ratio_of_means(a, b)
    assert found.value == pytest.approx(a.mean() / b.mean())
    assert found.interval is not None
    for end in found.interval:
        assert stats.ttest_1samp(a - end * b, 0).pvalue == pytest.approx(0.05, abs=1e-9)


def test_a_ratio_over_what_may_be_zero_has_no_interval():
    assert ratio_of_means([1.0, 2.0, 1.5], [0.5, -0.5, 0.1]).interval is None
    assert ratio_of_means([1.0], [2.0]) == dataclasses.replace(ratio_of_means([1.0], [2.0]), value=0.5, interval=None)
    assert ratio_of_means([1.0, 2.0], [1.0, -1.0]).value is None
    with pytest.raises(ValueError, match="ratio_of_means: a and b must have a value for each seed, got 2 and 3"):
        ratio_of_means([1.0, 2.0], [1.0, 2.0, 3.0])


def test_fiellers_interval_covers_the_true_ratio_as_often_as_it_says():
    rng = np.random.default_rng(0)
    seed_effect = rng.normal(0, 1, (2000, 6))
    a, b = 3 + seed_effect + rng.normal(0, 1, (2000, 6)), 6 + seed_effect + rng.normal(0, 1, (2000, 6))
    intervals = [ratio_of_means(*pair).interval for pair in zip(a, b, strict=True)]
    covered = [interval is None or interval[0] <= 0.5 <= interval[1] for interval in intervals]
    assert stats.binomtest(sum(covered), 2000, 0.95).pvalue > 1e-3


def test_no_share_is_given_of_steps_that_the_budget_cut_off(tmp_path, rows):
    """Gradient descent at both rates never gets to the target: that both took the whole budget says nothing of either."""
    late = [2.0, 1.0, 0.9]
    analysis = analyse(ladder_store(tmp_path, rows, 0.9, 0.95, 0.96, curves={PLAIN: late, CONTROL: late}))
    by_steps = next(rungs for rungs in analysis.ladder.rungs if rungs.measure == "steps")
    assert by_steps.lower_bound
    assert (by_steps.share.value, by_steps.share.interval) == (None, None)
    (by_steps_in_words,) = (sentence for sentence in conclusions(analysis) if "The ladder by steps" in sentence)
    assert "do not tell how much of the gain the larger step explains" in by_steps_in_words


def test_where_all_pairs_differ_by_the_same_the_exact_rank_test_alone_decides(tmp_path, rows):
    assert ratio_of_means([1.0, 1.0, 1.0], [2.0, 2.0, 2.0]) == dataclasses.replace(
        ratio_of_means([1.0, 2.0, 4.0], [2.0, 4.0, 9.0]), value=0.5, interval=None
    )
    study = Study(seeds=SEEDS, ladder=False, noise_floor=False, arms=(Arm("sgd(0.1)"), Arm("adam(0.1)")))
    scores = {"sgd(0.1)": np.full(8, 0.5), "adam(0.1)": np.full(8, 0.75)}
    said = conclusions(analyse(filled(tmp_path / "eight", study, rows, scores)))[0]
    assert "+25.00 points on every seed, p = 0.0078: a difference, higher" in said
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


@pytest.mark.parametrize("score", ["accuracy", "loss"])
def test_optimism_is_of_the_score_that_chose_with_welchs_interval(tmp_path, rows, score):
    study = Study(
        seeds=SEEDS,
        noise_floor=False,
        ladder=False,
        arms=(Arm("heavy_ball(log_uniform(0.001, 1), 0.9)", "moving"),),
        search=Search(trials=3, seeds=(1000, 1001), score=score),
    )
    tuned, fresh = np.array([0.5, 0.6]), 0.4 + 0.01 * np.arange(len(SEEDS))
    scores = dict(zip((*study.search.seeds, *SEEDS), (*tuned, *fresh), strict=True))
    winner = "heavy_ball(0.05, 0.9)"
    runs = [
        dataclasses.replace(rows.run("moving", seed, optimizer=winner), **{f"validation_{score}": value})
        for seed, value in scores.items()
    ]
    first = [dataclasses.replace(run, phase="tuning", name=f"tuning/arm-0/trial-0/seed-{run.seed}") for run in runs[:2]]
    store = Store.create(tmp_path, study, {})
    store.add([(run, rows.curves([1.0, 0.5])) for run in (*first, *runs[2:])])
    (tuning,) = analyse(store).tunings
    sign = 1 if score == "accuracy" else -1
    interval = stats.ttest_ind(tuned, fresh, equal_var=False).confidence_interval()
    assert tuning.score == score
    assert tuning.optimism == pytest.approx(sign * (0.55 - fresh.mean()))
    assert tuning.optimism_interval == pytest.approx(sorted((sign * interval.low, sign * interval.high)))


def test_fresh_runs_that_diverge_count_in_the_optimism(tmp_path, rows):
    study = Study(
        seeds=SEEDS,
        noise_floor=False,
        ladder=False,
        arms=(Arm("heavy_ball(log_uniform(0.001, 1), 0.9)", "moving"),),
        search=Search(trials=3, seeds=(1000,)),
    )
    trials = tried(rows, {"heavy_ball(0.5, 0.9)": 0.9})
    settled = {"moving": "heavy_ball(0.5, 0.9)"}
    gone = {("moving", seed): 5 for seed in SEEDS[:4]}
    store = filled(tmp_path, study, rows, {"moving": np.full(8, 0.9)}, tuning=trials, optimizers=settled, diverged=gone)
    assert analyse(store).tunings[0].fresh == pytest.approx(0.45)


def test_a_class_that_the_test_set_lacks_has_no_shares(tmp_path, rows):
    study = Study(seeds=(0, 1), ladder=False, noise_floor=False, arms=(Arm("sgd(0.1)"),))
    store = Store.create(tmp_path, study, {})
    lacking = [dataclasses.replace(rows.run("sgd(0.1)", seed), confusion=((8, 2), (0, 0))) for seed in (0, 1)]
    store.add([(run, rows.curves([1.0, 0.5])) for run in lacking])
    arm = analyse(store).arms[0]
    assert arm.confusion == ((0.8, 0.2), (0.0, 0.0))
    assert json.loads(analyse(store).to_json(), parse_constant=pytest.fail)


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


def test_what_a_correction_takes_away_no_sentence_claims():
    found = paired([2.0, 2.1, 2.3, 2.2, 2.4, 2.6], [1.0, 1.2, 1.1, 1.0, 1.3, 1.2])
    assert "a is higher than b" in found.sentence()
    lost = "no difference is shown: the p-value does not bear Holm's correction for 4 comparisons"
    assert found.sentence(corrected=0.2, comparisons=4).endswith(f"{lost}.")


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
