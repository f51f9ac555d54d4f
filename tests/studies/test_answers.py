"""Every kind of answer, forced by made stores; the sentences as they read."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from filled_stores import CONTROL, MOMENTUM, PLAIN, filled
from made_studies import made

from momentum_jax.studies import Arm, Search, Study, wording
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.analysis.answer import KINDS, answer
from momentum_jax.studies.analysis.claims import claims
from momentum_jax.studies.analysis.needed import Needed
from momentum_jax.studies.scores import RankedScore, Scores

SEEDS = tuple(range(10))
# What seeds share, and what each arm has of its own.
SHARED = np.array([0.3, -0.2, 0.1, 0.0, -0.4, 0.2, 0.1, -0.1, 0.25, -0.25]) / 100
OWN = np.array([0.21, -0.13, 0.34, -0.22, 0.11, 0.05, -0.31, 0.02, 0.17, -0.24]) / 100
WIDE = "log_uniform(0.001, 1)"
FIXED = Study(steps=400, seeds=SEEDS, target=0.5, noise_floor=False, arms=(Arm(PLAIN), Arm(MOMENTUM)))
TUNED = Study(
    steps=400,
    seeds=SEEDS,
    target=0.5,
    noise_floor=False,
    arms=(Arm(f"gradient_descent({WIDE})", "plain"), Arm(f"heavy_ball({WIDE}, 0.9)", "moving")),
    search=Search(trials=3, seeds=(1000,)),
)
AT = {"plain": "gradient_descent(0.03)", "moving": MOMENTUM}
NEVER, EARLY, LATE = [2.0, 1.5, 1.2, 0.9, 0.6], [2.0, 1.0, 0.4, 0.3, 0.3], [2.0, 1.5, 1.2, 0.9, 0.4]


def of(rows, directory, study, means, *, own=None, **options):
    """An analysis of a store whose arms have these mean accuracies."""
    own = own or {}
    scores = {
        label: np.clip(mean + SHARED + own.get(label, (-1) ** index * OWN), 0, 1)
        for index, (label, mean) in enumerate(means.items())
    }
    return analyse(filled(directory, study, rows, scores, **options))


@pytest.fixture
def given(rows, tmp_path):
    """The ladder at given rates: accuracies of gradient descent, of its control and of momentum."""

    def make(plain, control, momentum, study=FIXED, **options):
        means = {PLAIN: plain, MOMENTUM: momentum, CONTROL: control}
        return of(rows, tmp_path, study, means, phases={CONTROL: "ladder"}, **options)

    return make


@pytest.fixture
def both(rows, tmp_path):
    """Both tuned, with the ladder's rungs at 0.8 and `control`."""

    def make(plain, moving, *, control=0.85, rung=0.8, rates=(0.01, 0.03, 0.1), study=TUNED, **options):
        trials = [
            dataclasses.replace(
                rows.run(label, 1000, optimizer=optimizer, accuracy=0.9 if optimizer == AT[label] else 0.5),
                phase="tuning",
                name=f"tuning/arm-{n}/trial-{t}/seed-1000",
                test={},
            )
            for n, label in enumerate(AT)
            for t, optimizer in enumerate(
                [f"gradient_descent({rate})" for rate in rates]
                if label == "plain"
                else [f"heavy_ball({rate}, 0.9)" for rate in (0.003, 0.01, 0.03)]
            )
        ]
        means = {"plain": plain, "moving": moving, PLAIN: rung, CONTROL: control}
        phases = {PLAIN: "ladder", CONTROL: "ladder"}
        return of(rows, tmp_path, study, means, phases=phases, tuning=trials, optimizers=AT, **options)

    return make


def told(analysis):
    """Kind and sentence; every sentence keeps to its length."""
    sentence = wording.verdict(analysis)
    assert len(sentence.split()) <= 25, sentence
    assert "significant" not in sentence
    assert wording.mark(analysis).word
    return analysis.answer.kind, sentence


def test_helps_is_of_the_tuned_pair(both):
    assert told(both(0.90, 0.93)) == (
        "helps",
        "Momentum helps: both tuned, moving's accuracy ended 3.01 percentage points higher than plain's "
        "(96% interval +2.64 to +3.37).",
    )


def test_hurts(both):
    kind, sentence = told(both(0.93, 0.90))
    assert (kind, sentence[:53]) == ("hurts", "Momentum hurts: both tuned, moving's accuracy ended 2")
    assert "lower than plain's" in sentence


def test_not_shown_says_what_may_be_true(both):
    kind, sentence = told(both(0.90, 0.90))
    assert kind == "notshown"
    assert re.search(r"ended level|ended 0\.\d+ percentage points (higher|lower)", sentence)
    assert "; the truth may be -0." in sentence


def test_a_margin_that_was_declared_makes_a_level_pair_equivalent(both):
    assert told(both(0.90, 0.90, study=dataclasses.replace(TUNED, matters=0.5)))[0] == "nothelp"


def test_a_margin_that_is_too_small_tells_nothing(both):
    assert told(both(0.90, 0.90, study=dataclasses.replace(TUNED, matters=0.01)))[0] == "notshown"


def test_a_claim_against_an_arm_that_was_searched_at_the_edge_is_withheld(both):
    narrow = Arm("gradient_descent(log_uniform(0.001, 0.031))", "plain")
    study = dataclasses.replace(TUNED, arms=(narrow, TUNED.arms[1]))
    kind, sentence = told(both(0.90, 0.93, rates=(0.001, 0.01, 0.03, 0.031), study=study))
    assert kind == "edge"
    assert sentence.endswith("but the search for plain stopped at the edge of its range: widen it first.")


def test_a_search_without_a_trial_beyond_its_best_is_not_said_to_be_at_the_edge_of_its_range(both):
    kind, sentence = told(both(0.90, 0.93, rates=(0.001, 0.01, 0.03)))
    assert kind == "edge"
    assert sentence.endswith("but plain's search has no trial beyond its best on one side: widen it first.")


def test_a_control_that_beats_the_tuned_gradient_descent_withholds_the_claim_and_makes_none(both):
    kind, sentence = told(both(0.90, 0.93, control=0.96))
    assert kind == "edge"
    assert "the search for plain missed a better rate: try more trials" in sentence


def test_momentum_helps_only_as_a_larger_step_where_its_control_gains_as_much(both):
    kind, sentence = told(both(0.90, 0.90, control=0.90, rung=0.80))
    assert kind == "larger"
    assert "gradient descent at 0.1 gains as much" in sentence


def test_sooner_where_the_final_score_is_level(both):
    kind, sentence = told(both(0.90, 0.90, rung=0.9, curves={"plain": LATE, "moving": EARLY}))
    assert (kind, sentence) == (
        "sooner",
        "Moving reached the target 200 steps sooner than plain; no difference in final accuracy is shown.",
    )


def test_at_given_rates_a_larger_step_may_do_as_well(given):
    assert told(given(0.80, 0.90, 0.90)) == (
        "same",
        "A larger step does as well: gradient descent at 0.1 reaches what heavy ball gains at 0.01.",
    )


def test_a_control_among_the_arms_is_one_where_the_study_adds_no_ladder(rows, tmp_path):
    study = dataclasses.replace(FIXED, ladder=False, arms=(Arm(PLAIN), Arm(CONTROL), Arm(MOMENTUM)))
    found = of(rows, tmp_path, study, {PLAIN: 0.80, CONTROL: 0.90, MOMENTUM: 0.90})
    assert found.claim("momentum_itself") is found.claim("question")
    assert told(found)[0] == "same"


def test_beyond_its_larger_step(given):
    kind, sentence = told(given(0.80, 0.85, 0.90))
    assert kind == "beyond"
    assert "at equal effective rate, heavy ball's accuracy ended 5.0" in sentence


def test_worse_than_its_control(given):
    kind, sentence = told(given(0.80, 0.85, 0.82))
    assert kind == "hurts"
    assert "at equal effective rate" in sentence


def test_a_gain_whose_parts_cannot_be_told_apart(given):
    wild = np.array([9, -8, 7, -9, 8, -7, 9, -8, 7, -8.0]) / 100
    assert told(given(0.70, 0.90, 0.90, own={CONTROL: wild}))[0] == "unsplit"


def test_a_gain_that_is_not_shown_is_not_said_to_be_none(given):
    wild = np.array([30, -8, 27, -9, 28, -7, 29, -8, 27, 12]) / 100
    assert "is not shown to gain" in (said := wording.why(given(0.60, 0.70, 0.62, own={MOMENTUM: wild})))
    assert "no gain" not in said


def test_a_loss_leaves_no_gain_to_explain(given):
    said = "At the same learning rate momentum loses against gradient descent, so there is no gain to explain."
    assert wording.why(given(0.80, 0.70, 0.70)) == said


def test_a_part_that_does_worse_has_the_sign_of_its_difference(given):
    assert re.search(r"the larger step does worse: -10\.\d+ pp \(-", wording.why(given(0.80, 0.70, 0.90)))


def test_a_control_that_hardly_learned_explains_nothing(given):
    kind, sentence = told(given(0.80, 0.10, 0.90, flat=(CONTROL,)))
    assert kind == "rates"
    assert sentence.endswith("tune both to know whether momentum helps.")


def test_a_loss_at_the_same_rate_names_the_arm_that_it_is_against(rows, tmp_path):
    study = dataclasses.replace(FIXED, ladder=False, arms=(Arm(PLAIN, "base"), Arm(CONTROL, "large"), Arm(MOMENTUM, "moving")))
    at = {"base": PLAIN, "large": CONTROL, "moving": MOMENTUM}
    means = {"base": 0.90, "large": 0.10, "moving": 0.80}
    kind, sentence = told(of(rows, tmp_path, study, means, optimizers=at, flat=("large",)))
    assert kind == "hurts"
    assert re.match(r"Momentum hurts: as given, moving's accuracy ended \d+\.\d+ percentage points lower than base's", sentence)


def test_a_claim_that_most_seeds_do_not_show_is_no_difference_of_zero(rows, tmp_path):
    study = dataclasses.replace(FIXED, seeds=tuple(range(24)), ladder=False)
    few = np.where(np.arange(24) < 7, 0.01 * np.arange(1, 25), 0.0)
    for sign, kind, word in ((1, "rates", "higher"), (-1, "hurts", "lower")):
        scores = {PLAIN: np.full(24, 0.5), MOMENTUM: 0.5 + sign * few}
        found = analyse(filled(tmp_path / kind, study, rows, scores))
        assert found.claim("question").evidence.estimate == 0
        told_kind, sentence = told(found)
        assert told_kind == kind
        assert f"heavy ball's accuracy ended level on most seeds, {word} on the others" in sentence
        assert "is ahead on 7 of 24 seeds" in wording.lead(found)
        assert wording.lead(found).startswith("Heavy ball" if sign > 0 else "Gradient descent")
        said = wording.claim_line(found, found.claim("question"))
        assert "by accuracy level on most seeds" in said
        assert "0.0" not in said.split("(95%")[0].split(":")[1]


def test_no_arm_learned(given):
    assert told(given(0.10, 0.10, 0.12, flat=(PLAIN, CONTROL, MOMENTUM)))[0] == "nothing"


def test_few_seeds_claim_nothing(rows, tmp_path):
    study = dataclasses.replace(FIXED, seeds=(0, 1, 2))
    scores = {PLAIN: [0.8] * 3, MOMENTUM: [0.9] * 3, CONTROL: [0.8] * 3}
    found = analyse(filled(tmp_path, study, rows, scores, phases={CONTROL: "ladder"}))
    assert told(found) == (
        "cannot",
        "3 seeds can show no difference of any size, so nothing is claimed: run at least 6.",
    )


def test_divergence_is_said_and_ranks(given):
    assert told(given(0.8, 0.85, 0.9, diverged={(MOMENTUM, seed): 7 for seed in SEEDS}))[0] == "diverged"


def test_some_runs_diverged(given):
    kind, sentence = told(given(0.8, 0.85, 0.9, diverged={(CONTROL, 3): 7}))
    assert kind == "unstable"
    assert sentence == "Runs diverged, gradient descent in 1 of 10 runs; by ranks, heavy ball is ahead."


def test_a_few_collapsed_runs_take_the_direction_away(rows, tmp_path):
    study = dataclasses.replace(FIXED, seeds=tuple(range(16)))
    spread = np.linspace(-0.01, 0.01, 16)
    scores = {PLAIN: 0.80 + spread, CONTROL: 0.85 - spread, MOMENTUM: 0.88 + spread}
    scores[MOMENTUM][3] = 0.0
    kind, sentence = told(analyse(filled(tmp_path, study, rows, scores, phases={CONTROL: "ladder"})))
    assert kind == "opposed"
    assert sentence.startswith("Heavy ball's accuracy is typically higher, but its mean is lower, because of 1 run;")


def test_other_optimizers_are_compared_without_the_word_momentum(rows, tmp_path):
    study = Study(steps=400, seeds=SEEDS, ladder=False, noise_floor=False, arms=(Arm("adam(0.1)"), Arm("rmsprop(0.1)")))
    kind, sentence = told(of(rows, tmp_path, study, {"adam(0.1)": 0.8, "rmsprop(0.1)": 0.9}))
    assert kind == "other"
    assert sentence.startswith("Rmsprop's accuracy ended 10.0")
    assert "omentum" not in sentence


def test_several_arms_without_momentum_have_no_question_until_one_is_declared(rows, tmp_path):
    arms = tuple(Arm(f"{name}(0.1)") for name in ("adam", "rmsprop", "adagrad"))
    study = Study(steps=400, seeds=SEEDS, ladder=False, noise_floor=False, arms=arms)
    means = {"adam(0.1)": 0.8, "rmsprop(0.1)": 0.9, "adagrad(0.1)": 0.7}
    found = of(rows, tmp_path / "none", study, means)
    assert told(found)[0] == "noquestion"
    assert [claim.roles[0] for claim in found.claims] == ["arm rmsprop(0.1)", "arm adagrad(0.1)"]
    declared = dataclasses.replace(study, question=("rmsprop(0.1)", "adagrad(0.1)"))
    assert told(of(rows, tmp_path / "one", declared, means))[1].startswith("Rmsprop's accuracy ended 20.0")


def test_without_momentum_nothing_is_asked_of_it_whatever_the_answer(tmp_path):
    arms = (Arm("adam(0.001)"), Arm("sgd(0.1)"))
    few = analyse(made(tmp_path / "few", Study(steps=100, seeds=(0, 1), arms=arms)))
    assert (few.answer.kind, wording.question(few)) == ("cannot", "Do sgd and adam differ on digits?")
    lost = Study(steps=100, seeds=tuple(range(8)), arms=arms)
    unstable = analyse(made(tmp_path / "lost", lost, diverged=lambda job: job.name == "arm-1/seed-3"))
    assert (unstable.answer.kind, wording.question(unstable)) == ("unstable", "Do sgd and adam differ on digits?")


MANY = "a b c d e f g h i j k l m n o p"


@pytest.mark.parametrize(
    ("labels", "short"),
    [
        ((f"{MANY} 1", f"{MANY} 2"), ("...n o p 1", "...n o p 2")),
        ((f"{'y' * 90}1", f"{'y' * 90}2"), (f"...{'y' * 36}1", f"...{'y' * 36}2")),
        ((f"{MANY} q r s t", f"z {MANY}"), ("a b c d...", "z a b c...")),
        ((f"y {MANY} z", f"y {MANY} 0 {MANY} z"), ("arm 0", "arm 1")),
    ],
)
def test_the_arms_of_a_sentence_have_names_that_differ_and_fit_it(labels, short, tmp_path):
    plain, moving = (dataclasses.replace(arm, label=label) for arm, label in zip(TUNED.arms, labels, strict=True))
    found = analyse(made(tmp_path / "store", dataclasses.replace(TUNED, arms=(plain, moving))))
    _, sentence = told(found)
    names = wording.names(found, *labels, most=4)
    assert names == short
    assert all(name in sentence for name in short), sentence


def test_arms_are_told_apart_in_few_characters_by_their_ends_if_need_be(tmp_path):
    plain, moving = (dataclasses.replace(arm, label=f"{MANY} {number}") for number, arm in enumerate(TUNED.arms))
    found = analyse(made(tmp_path / "store", dataclasses.replace(TUNED, arms=(plain, moving))))
    short = [wording.brief(found, arm.label) for arm in found.arms]
    assert len({*short}) == len(found.arms) == 4
    assert all(len(name) <= 18 for name in short)
    assert short[0].endswith("p 0")


def test_arms_whose_labels_begin_alike_keep_what_differs(rows, tmp_path):
    written = ("gradient_descent(0.01)", "heavy_ball(0.01, 0.9)", "gradient_descent(0.011)")
    means = dict(zip(written, (0.8, 0.9, 0.7), strict=True))
    study = dataclasses.replace(FIXED, arms=tuple(map(Arm, written)), ladder=False)
    found = of(rows, tmp_path, study, means)
    assert [wording.brief(found, label) for label in written] == [
        "gradien...nt(0.01)",
        "heavy_ball(0.01...",
        "gradien...t(0.011)",
    ]


def test_a_small_difference_that_may_be_worth_finding_is_written_as_others_are(given):
    found = given(0.8, 0.85, 0.9)
    claim = found.claim("question")
    assert wording.sections.needed(found, claim, Needed(1e-7, 8)) == "0.00001 pp"
    assert wording.sections.needed(found, claim, Needed(0.02, 8)) == "2 pp"


def test_nothing_is_said_of_other_differences_where_no_arm_learned_or_the_pair_has_no_sound_run(tmp_path):
    arms = (*TUNED.arms, Arm("adam(0.001)"))
    store = made(tmp_path, dataclasses.replace(TUNED, arms=arms), diverged=lambda job: job.name.startswith("arm-1/"))
    found = analyse(store)
    assert found.answer.kind == "diverged"
    assert any(claim.evidence.tested for claim in found.claims if "question_steps" in claim.roles)
    assert [line for line in wording.lines(found) if line.startswith("moving against plain")] == []
    assert any(line.startswith("adam(0.001) against plain") for line in wording.lines(found))
    idle = dataclasses.replace(found, arms=tuple(dataclasses.replace(arm, hardly_learned=True) for arm in found.arms))
    kind = answer(found.study, found.scores, idle.arms, found.tunings, found.claims)
    assert kind.kind == "nothing"
    assert wording.lines(dataclasses.replace(idle, answer=kind)) == []


def test_arms_that_are_level_on_every_seed_leave_no_truth_to_guess(both):
    study = dataclasses.replace(TUNED, measure="steps", target=0.5)
    found = both(0.90, 0.93, study=study)
    kind, sentence = told(found)
    assert kind == "notshown"
    assert sentence.endswith("moving reached the target in as many steps; it is level on 10 of 10 seeds.")
    asked = found.claim("question")
    said = "moving against plain: by steps to the target level on 10 of 10 seeds, not shown."
    assert wording.claim_line(found, asked) == said
    assert wording.sections.ahead(found, asked) == (False, "The arms are level on all 10 seeds", "")


def test_every_kind_of_answer_is_forced_here():
    text = Path(__file__).read_text()
    assert {kind for kind in KINDS if f'"{kind}"' not in text} == set()


def test_where_steps_were_declared_the_answer_is_of_steps(both):
    study = dataclasses.replace(TUNED, measure="steps")
    found = both(0.90, 0.90, study=study, curves={"moving": EARLY} | dict.fromkeys(["plain", PLAIN, CONTROL], LATE))
    assert found.claim("question").measure == "steps"
    kind, sentence = told(found)
    assert (kind, sentence[:58]) == ("helps", "Momentum helps: both tuned, moving reached the target 200 ")


def test_a_run_that_never_reaches_the_target_counts_half_a_step_more_than_the_budget(both):
    found = both(0.90, 0.90, rung=0.9, curves={"plain": NEVER, "moving": LATE})
    claim = found.claim("question_steps")
    assert set(claim.differences) == {0.5}
    assert found.claim("question").evidence.n == 10


def test_one_pair_under_two_names_is_one_hypothesis(given):
    found = given(0.80, 0.85, 0.90)
    assert found.claim("question") is found.claim("momentum_itself")
    assert found.claim("gain") is found.claim(f"arm {MOMENTUM}")
    assert [claim.roles[0] for claim in found.claims].count("question") == 1
    assert all(
        claim.evidence.tested == (found.claim("question_steps").evidence.claimed or "steps" not in claim.roles[0])
        for claim in found.claims
        if claim.roles[0] != "question_steps"
    )


def test_the_numbers_of_a_claim_are_those_of_its_runs(given):
    found = given(0.80, 0.85, 0.90)
    claim = found.claim("gain")
    first, second = (found.arm(label).values["accuracy"] for label in (claim.first, claim.second))
    np.testing.assert_allclose(claim.differences, np.subtract(first, second))
    content = json.loads(found.to_json(wording.verdict(found)), parse_constant=pytest.fail)
    assert content["verdict"] == wording.verdict(found)
    assert [each["evidence"]["claimed"] for each in content["claims"]] == [each.evidence.claimed for each in found.claims]


def test_a_huge_difference_is_written_with_its_power_of_ten(given):
    found = given(0.80, 0.85, 0.90)
    claim = found.claim("gain")
    huge = dataclasses.replace(claim, evidence=dataclasses.replace(claim.evidence, estimate=1.234e27, interval=(1e27, 2e27)))
    assert wording.signed(found, huge, 1.234e27) == "+1.23e+29 pp"
    assert wording.interval(found, huge) == "+1e+29 to +2e+29"


def test_seeds_that_were_added_undeclared_speak_alone(rows, tmp_path):
    scores = {PLAIN: 0.80 + SHARED, MOMENTUM: 0.9 + SHARED + OWN, CONTROL: 0.9 + SHARED - OWN}
    store = filled(tmp_path, FIXED, rows, scores, phases={CONTROL: "ladder"})
    store.manifest |= {"seeds_added": [2, 3, 4, 5, 6, 7, 8, 9], "additions": [[2, 3], [4, 5, 6, 7, 8, 9]]}
    found = analyse(store)
    assert found.claim("gain").seeds == (4, 5, 6, 7, 8, 9)
    assert any("the last 6 alone" in sentence for sentence in wording.state(found))
    store.manifest |= {"additions": [[2, 3, 4, 5, 6, 7], [8, 9]]}
    assert told(analyse(store))[0] == "cannot"


def test_looks_that_were_declared_share_the_level_and_a_claim_once_made_stays(rows, tmp_path):
    study = dataclasses.replace(FIXED, looks=(8, 10))
    late = OWN.copy()
    late[8:] = -0.9
    scores = {PLAIN: 0.80 + SHARED, MOMENTUM: 0.9 + SHARED + late, CONTROL: 0.85 + SHARED - OWN}
    found = analyse(filled(tmp_path, study, rows, scores, phases={CONTROL: "ladder"}))
    question = found.claim("question")
    assert (question.evidence.claimed, question.seeds) == (True, SEEDS[:8])
    assert question.evidence.level <= 0.0294


def test_where_lower_is_better_the_sentence_says_which_way(rows, tmp_path):
    """The same runs, judged by a score of which less is better."""
    by_loss = Scores((RankedScore("loss", "lower"),))
    found = of(rows, tmp_path, FIXED, {PLAIN: 0.8, MOMENTUM: 0.9, CONTROL: 0.9}, phases={CONTROL: "ladder"})
    losses = {PLAIN: 0.5 + SHARED, MOMENTUM: 0.3 + SHARED + OWN, CONTROL: 0.4 + SHARED - OWN}
    arms = tuple(dataclasses.replace(arm, values={"loss": tuple(losses[arm.label])}) for arm in found.arms)
    asked = claims(FIXED, by_loss, arms, found.ladder)
    judged = dataclasses.replace(found, scores=by_loss, arms=arms, claims=asked, answer=answer(FIXED, by_loss, arms, (), asked))
    kind, sentence = told(judged)
    assert kind == "beyond"
    assert "heavy ball's loss ended 0.1001 lower (better) (-0.1037 to -0.0964)." in sentence
    lost = dataclasses.replace(arms[0], diverged=1, values={"loss": (None, *arms[0].values["loss"][1:])})
    asked = claims(FIXED, by_loss, (lost, *arms[1:]), found.ladder)
    gain = next(claim for claim in asked if "gain" in claim.roles)
    assert gain.differences[0] == np.inf
    assert gain.evidence.direction == 1
    assert wording.interval(dataclasses.replace(judged, claims=asked), gain) == "unbounded to -0.198"
