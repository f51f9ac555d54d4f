"""The rule of evidence, by its definitions: exact tests, the tree of hypotheses, intervals that agree with claims, power."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from momentum_jax.studies.evidence import LEVEL_OF_LOOKS, Differences, Questions, decide, fewest_pairs, seeds_needed
from momentum_jax.studies.evidence.graph import adjust
from momentum_jax.studies.evidence.power import detectable
from momentum_jax.studies.wording import p_value

ONE = Questions("question")
TREE = Questions(
    "question",
    ("arm", "gain", "question_steps"),
    {
        "gain": ("larger", "itself"),
        "question_steps": ("gain_steps", "arm_steps"),
        "gain_steps": ("larger_steps", "itself_steps"),
    },
)


def one(values, resolution=0.0):
    return decide({"question": Differences(tuple(map(float, values)), resolution)}, ONE)["question"]


def normal(n, shift=0.0, seed=0):
    return np.random.default_rng(seed).normal(shift, 1.0, n)


@pytest.mark.parametrize("n", [5, 9, 14, 22])
def test_without_ties_p_is_scipys_and_the_estimate_the_median_of_all_pairs_means(n):
    values = normal(n, 0.4, n)
    found = one(values)
    assert found.p == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)
    pairs = [(a + b) / 2 for i, a in enumerate(values) for b in values[i:]]
    assert found.estimate == pytest.approx(np.median(pairs))


def test_with_ties_and_zeros_p_counts_all_signs():
    values = np.array([0, 0, 1, 1, -1, 2, 2, 3, 3, 3.0])
    ranks = stats.rankdata(np.abs(values[values != 0]))
    observed = abs(np.sum(np.sign(values[values != 0]) * ranks))
    sums = [abs(np.dot(signs, ranks)) for signs in itertools.product((-1, 1), repeat=len(ranks))]
    assert one(values).p == pytest.approx(np.mean([each >= observed - 1e-9 for each in sums]))
    assert one(values).differing == 8


def test_the_interval_is_the_set_of_shifts_that_the_test_does_not_reject():
    values = normal(12, 0.3, 5)
    found = one(values)
    assert found.interval is not None
    low, high = found.interval
    assert found.confidence == pytest.approx(0.95)
    for end, outside in ((low, low - 1e-9), (high, high + 1e-9)):
        assert stats.wilcoxon(values - end, method="exact", zero_method="wilcox").pvalue > 0.04
        assert stats.wilcoxon(values - outside, method="exact").pvalue <= 0.05
    assert stats.wilcoxon(values - (low + 1e-9), method="exact").pvalue > 0.05


def test_fewer_than_six_seeds_claim_nothing_of_any_size():
    assert fewest_pairs(0.05) == 6
    five, six = one(range(1, 6)), one(range(1, 7))
    assert (five.claimed, five.interval, five.detectable) == (False, None, None)
    assert (six.claimed, six.direction) == (True, 1)


@pytest.mark.slow
def test_a_bonferroni_tree_is_holms():
    # Heads alone pass their weight to each other equally: Holm's correction.
    from statsmodels.stats.multitest import multipletests

    names = ("a", "b", "c", "d")
    for p in ([0.001, 0.02, 0.03, 0.2], [0.04, 0.04, 0.011, 0.013], [0.5, 0.6, 0.01, 0.9]):
        found = adjust(Questions(None, names), dict(zip(names, p, strict=True)), 0.05)
        np.testing.assert_allclose([found[name][0] for name in names], multipletests(p, method="holm")[1])


def test_the_question_is_asked_with_four_fifths_and_passes_them_on():
    tree = Questions("question", ("a", "b"))
    found = adjust(tree, {"question": 0.039, "a": 0.024, "b": 0.9}, 0.05)
    assert found["question"] == (pytest.approx(0.039 / 0.8), pytest.approx(0.8))
    # 0.1 of its own and half of the question's 0.8.
    assert found["a"] == (pytest.approx(max(0.024 / 0.5, 0.039 / 0.8)), pytest.approx(0.5))
    lost = adjust(tree, {"question": 0.041, "a": 0.024, "b": 0.9}, 0.05)
    assert lost["a"][0] > 0.05


def test_a_child_is_asked_only_where_its_parent_is_claimed():
    p = dict.fromkeys(TREE.names, 0.0001) | {"gain": 0.2, "question_steps": 0.2}
    differences = {name: Differences(tuple(normal(20, 0.0 if p[name] > 0.1 else 3.0, 7))) for name in TREE.names}
    found = decide(differences, TREE, detect=False)
    assert {name for name in TREE.names if found[name].claimed} == {"question", "arm"}
    assert not any(
        found[name].tested for name in ("larger", "itself", "gain_steps", "arm_steps", "larger_steps", "itself_steps")
    )
    assert found["larger"].confidence == pytest.approx(0.95)


def test_the_weights_are_one_in_all_and_shares_too():
    assert sum(TREE.weights().values()) == pytest.approx(1)
    for name, shares in TREE.shares().items():
        assert sum(shares.values()) == pytest.approx(1), name
    lone = Questions("question")
    assert (lone.weights(), lone.shares()) == ({"question": 1.0}, {"question": {}})


def test_claim_and_interval_never_disagree():
    random = np.random.default_rng(3)
    for _ in range(400):
        n = int(random.integers(4, 24))
        values = random.normal(random.choice([0, 0.5, 1.0]), 1.0, n)
        if random.random() < 0.5:
            values = np.round(values, int(random.integers(0, 2)))
        found = decide(
            {"question": Differences(tuple(values)), "arm": Differences(tuple(random.normal(0, 1, n)))},
            Questions("question", ("arm",)),
            detect=False,
        )
        for each in found.values():
            if each.interval is None:
                assert not each.claimed
                continue
            low, high = each.interval
            assert (low >= 0 or high <= 0) if each.claimed else low <= 0 <= high
            if each.claimed and not each.opposed:
                assert (low >= 0) == (each.direction > 0)


def test_where_ties_part_the_interval_from_the_claim_it_is_cut_at_none():
    # Without the cut it would be -0.5 to 2.5.
    tied = [-1.0, -1.0, -1.0, 0.0, 0.0, 2.0, 2.0, 3.0, 3.0, 3.0, 3.0]
    assert (one(tied).claimed, one(tied).interval) == (True, (0.0, 2.5))
    assert one([-each for each in tied]).interval == (-2.5, 0.0)


def test_an_interval_without_a_claim_holds_none():
    # All above 0, and all of them rounding.
    found = one([1e-9] * 8, resolution=1e-6)
    assert (found.claimed, found.interval) == (False, (0.0, 1e-9))
    assert one([-1e-9] * 8, resolution=1e-6).interval == (-1e-9, 0.0)


def test_diverged_runs_of_both_arms_share_the_top_rank():
    finite = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    found, shared = one([*finite, math.inf, -math.inf]), one([*finite, 9.0, -9.0])
    assert found.p == shared.p != one([*finite, 9.0, -10.0]).p


def test_with_equal_arms_anything_is_claimed_in_at_most_5_of_100_studies_and_at_one_sd_the_question_in_three_of_four():
    random = np.random.default_rng(11)
    tree = Questions("question", ("arm",))

    def study(shift):
        arms = random.normal(0, 2**-0.5, (3, 10))
        arms[1] += shift
        return decide(
            {"question": Differences.of(arms[1], arms[0]), "arm": Differences.of(arms[2], arms[0])}, tree, detect=False
        )

    false = np.mean([any(each.claimed for each in study(0.0).values()) for _ in range(300)])
    found = np.mean([study(1.0)["question"].claimed for _ in range(300)])
    assert false <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 300)
    assert found == pytest.approx(0.75, abs=0.08)


def test_one_diverged_run_does_not_forbid_a_claim_and_ranks_above_all():
    better = [0.2, 0.3, 0.1, 0.25, 0.4, 0.15, 0.35, 0.22]
    lost = Differences.of([-0.1, -0.2, -0.1, -0.3, -0.2, -0.1, -0.15, -math.inf], [-0.1 - each for each in better])
    assert lost.values[-1] == -math.inf
    assert one([*better[:-1], -math.inf]).p == pytest.approx(one([*better[:-1], -9.0]).p)
    found = one([*better, math.inf])
    assert (found.claimed, found.direction, found.mean) == (True, 1, None)
    assert math.isfinite(found.estimate)
    assert Differences.of([-math.inf, 1.0], [-math.inf, 0.5]).values == (0.0, 0.5)


def test_where_a_few_collapsed_runs_turn_the_mean_no_direction_is_claimed():
    found = one([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0, -60.0])
    assert (found.claimed, found.opposed, found.direction) == (True, True, 0)
    assert found.estimate > 0 > found.mean


def test_where_most_seeds_are_level_the_others_give_the_direction():
    found = one([0.0] * 20 + [1, 2, 3, 4, 5, 6, 7])
    assert (found.claimed, found.direction, found.estimate) == (True, 1, 0.0)
    assert found.interval is not None
    assert found.interval[0] == 0.0 < found.interval[1]


def test_rounding_of_float32_is_no_difference():
    first = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], np.float32)
    assert Differences.of(first, first + 1e-8).resolution == pytest.approx(0.9 * 2.0**-22)
    found = decide({"question": Differences.of(first, first + 1e-8)}, ONE)["question"]
    assert (found.differing, found.p) == (0, 1.0)


def test_equivalence_is_of_the_whole_interval():
    found = one(normal(20, 0.0, 2) / 10)
    assert found.interval is not None
    low, high = found.interval
    assert found.is_within(max(-low, high) * 1.01)
    assert not found.is_within(max(-low, high) * 0.99)
    assert not one([0.1] * 5).is_within(1.0)


@pytest.mark.parametrize(("n", "level", "sizes"), [(10, 0.04, 1.08), (16, 0.05, 0.78), (22, 0.04, 0.67)])
def test_what_can_be_detected_is_what_four_in_five_studies_claim(n, level, sizes):
    random = np.random.default_rng(8)
    found = detectable(random.standard_normal(4000), n, level)
    assert found == pytest.approx(sizes, abs=0.05)
    shifted = random.normal(found, 1.0, (400, n))
    rejected = np.mean([stats.wilcoxon(each, method="exact").pvalue <= level and each.mean() > 0 for each in shifted])
    assert rejected == pytest.approx(0.8, abs=0.06)


def test_seeds_needed_are_the_fewest_that_detect():
    differences = Differences(tuple(normal(12, 0.1, 4)))
    found = decide({"question": differences}, ONE)["question"]
    for size in (0.3, 1.0):
        n = seeds_needed(differences, found, size)
        residuals = np.array(differences.values) - found.estimate
        assert n is not None
        with_n, with_less = (detectable(residuals, each, found.level) for each in (n, n - 1))
        assert with_n is not None
        assert with_less is not None
        assert with_n <= size < with_less
    assert seeds_needed(differences, found, 0.0) is None
    assert seeds_needed(Differences((0.0,) * 8), one([0.0] * 8), 1.0) is None


def test_looks_that_were_declared_share_the_level():
    # Under the null a claim at any look of two, at 10 and 20 normal differences.
    random = np.random.default_rng(1)
    paths = random.standard_normal((600, 20))
    any_look = [any(stats.wilcoxon(path[:n], method="exact").pvalue <= LEVEL_OF_LOOKS[2] for n in (10, 20)) for path in paths]
    assert 0.02 <= np.mean(any_look) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 600)
    assert decide({"question": Differences((1.0,) * 6)}, ONE, looks=2)["question"].level == pytest.approx(0.0294)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="decide: no differences for question"):
        decide({}, ONE)
    with pytest.raises(ValueError, match="one value a seed"):
        Differences.of([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="numbers or minus infinity"):
        Differences.of([math.nan], [1.0])


@pytest.mark.parametrize("looks", LEVEL_OF_LOOKS)
def test_a_claim_is_made_where_the_adjusted_p_is_at_most_5_percent_however_many_looks_share_it(looks):
    claimed = []
    for n, seed in itertools.product((6, 8, 10), range(40)):
        values = {name: Differences(tuple(normal(n, 0.8, (seed, place)))) for place, name in enumerate(TREE.names)}
        found = decide(values, TREE, looks=looks, detect=False)
        for each in found.values():
            assert each.claimed == (each.tested and each.adjusted <= 0.05)
        claimed += [each.claimed for each in found.values()]
    assert {*claimed} == {True, False}


@pytest.mark.parametrize(
    ("p", "written"),
    [(1e-5, "below 0.0001"), (0.00012, "0.00012"), (0.0498, "0.05"), (0.05, "0.05"), (0.0502, "0.0502"), (1.0, "1")],
)
def test_a_p_value_is_never_written_as_if_it_were_on_the_other_side_of_the_level(p, written):
    assert p_value(p) == written
