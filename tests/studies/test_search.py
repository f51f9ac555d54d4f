"""Ranges and trials: what they mean, that they cover their ranges, and what they refuse."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from momentum_jax.studies import Arm, Search, Study, StudyError
from momentum_jax.studies.analysis.tuning import is_at_the_edge
from momentum_jax.studies.expression import Expression
from momentum_jax.studies.resolve import resolve
from momentum_jax.studies.search import Choice, LogUniform, OneMinusLogUniform, Uniform, points

MOMENTUM = "heavy_ball(log_uniform(0.001, 1), momentum=one_minus_log_uniform(0.5, 0.999))"
CHAIN = "optax.chain(optax.clip(choice(0.5, 1.0)), sgd(log_uniform(0.001, 1), uniform(0, 0.5), nesterov=choice(True, False)))"


def ranges(text):
    return Expression.read(text).ranges


@given(st.floats(0, 1), st.floats(1e-8, 1e3), st.floats(1.01, 1e6))
def test_the_logarithm_of_a_log_uniform_value_is_uniform(u, low, factor):
    drawn = LogUniform(low, low * factor).at(u)
    assert math.log(drawn) == pytest.approx(math.log(low) + u * math.log(factor), abs=1e-3)


@given(st.floats(0, 1))
def test_a_momentum_is_as_far_from_one_as_log_uniform_says(u):
    drawn = OneMinusLogUniform(0.5, 0.999).at(u)
    assert math.log(1 - drawn) == pytest.approx(math.log(0.5) + u * math.log(0.001 / 0.5), abs=1e-3)


@pytest.mark.parametrize("each", [LogUniform(0.001, 1.0), OneMinusLogUniform(0.0, 0.99), Uniform(-1.0, 3.0)])
def test_a_range_begins_at_low_ends_at_high_and_knows_where_a_value_lies(each):
    assert each.at(0.0) == pytest.approx(each.low, rel=1e-3, abs=1e-12)
    assert each.at(1.0) == pytest.approx(each.high, rel=1e-3)
    for u in (0.0, 0.3, 0.7, 1.0):
        assert each.position(each.at(u)) == pytest.approx(u, abs=2e-3)


@pytest.mark.parametrize(
    "each", [Uniform(0.9, 0.9999999), OneMinusLogUniform(0.9, 0.9999999999999999), LogUniform(0.99999, 1.00001)]
)
def test_rounding_leaves_no_range(each):
    values = [each.at(u) for u in (0.0, 0.3, 0.9999, 1.0)]
    assert all(each.low <= value <= each.high for value in values)


def test_values_of_a_range_finer_than_the_rounding_are_left_as_they_are():
    each = Uniform(0.123456, 0.123457)
    assert len({each.at(u) for u in (0.0, 0.3, 0.6, 1.0)}) == 4


def test_a_choice_gives_each_of_its_values_the_same_share():
    drawn = [Choice(("a", None, True)).at(u) for u in np.linspace(0, 1, 300, endpoint=False)]
    assert [drawn.count(value) for value in ("a", None, True)] == [100, 100, 100]
    assert Choice(("a", "b")).at(1.0) == "b"


@pytest.mark.parametrize("sampler", ["sobol", "halton"])
def test_trials_fill_the_space_more_evenly_than_independent_draws(sampler):
    search = Search(trials=64, sampler=sampler)
    drawn = points(search, {"x": Uniform(0.0, 1.0), "y": Uniform(0.0, 1.0)})
    quarters = np.histogram2d([p["x"] for p in drawn], [p["y"] for p in drawn], bins=4, range=[[0, 1], [0, 1]])[0]
    # Of 64 independent draws some sixteenth would have none in one case of four.
    assert quarters.min() >= 1
    assert quarters.max() <= 7
    assert len({tuple(p.values()) for p in drawn}) == 64


@given(st.integers(1, 70), st.sampled_from(["sobol", "halton"]), st.integers(0, 5))
def test_every_arm_gets_as_many_trials_as_the_search_has_whatever_its_ranges(trials, sampler, scramble):
    search = Search(trials=trials, sampler=sampler, scramble=scramble)
    assert len(points(search, ranges(MOMENTUM))) == len(points(search, ranges("adam(log_uniform(1e-5, 1))"))) == trials
    assert points(search, ranges(MOMENTUM)) == points(search, ranges(MOMENTUM))


def test_other_scrambles_try_other_points():
    assert points(Search(scramble=1), ranges(MOMENTUM)) != points(Search(scramble=0), ranges(MOMENTUM))


def test_ranges_are_named_after_the_parameters_that_they_stand_for():
    assert ranges(MOMENTUM) == {"learning_rate": LogUniform(0.001, 1), "momentum": OneMinusLogUniform(0.5, 0.999)}
    assert list(ranges(CHAIN)) == ["optax.clip.max_delta", "sgd.learning_rate", "sgd.momentum", "sgd.nesterov"]
    assert list(ranges("aggregated_momentum(0.1, (0.0, uniform(0.1, 0.5), uniform(0.6, 0.9)))")) == ["momenta[1]", "momenta[2]"]
    twice = "optax.chain(sgd(uniform(0.1, 1)), sgd(uniform(0.1, 1)))"
    assert list(ranges(twice)) == [
        "sgd.learning_rate",
        "sgd.learning_rate#2",
    ]
    assert ranges("heavy_ball(0.1, 0.9)") == {}


@pytest.mark.parametrize("text", [MOMENTUM, CHAIN])
def test_a_trial_is_an_expression_of_literals_from_which_its_values_are_read_back(text):
    pattern = Expression.read(text)
    for values in points(Search(trials=8), pattern.ranges):
        placed = pattern.place(values)
        assert placed.ranges == {}
        assert pattern.read_back(placed) == values
        resolve(placed)


def test_a_range_is_no_value_to_those_who_train():
    with pytest.raises(StudyError, match="log_uniform is a range to search and no value"):
        resolve(Expression.read(MOMENTUM))


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("sgd(log_uniform(1, 0.1))", "log_uniform: low and high must be positive numbers, low < high, got 1 and 0.1"),
        ("sgd(log_uniform(0, 1))", "log_uniform: low and high must be positive numbers"),
        ("sgd(0.1, one_minus_log_uniform(0.5, 1))", "one_minus_log_uniform: low and high must be numbers below 1"),
        ("sgd(uniform('a', 1))", "uniform: low and high must be finite numbers"),
        ("sgd(log_uniform(0.1))", r"log_uniform takes low and high, got log_uniform\(0.1\)"),
        ("sgd(choice(0.1))", "choice: values must be at least two, got 1"),
        ("sgd(log_unifrom(0.1, 1))", "unknown name 'log_unifrom'"),
        ("sgd(choice(linear(0.1, 0.01, steps=100), 0.1))", r"choice takes literals, got linear\(0.1, 0.01, steps=100\); put"),
        ("optax.chain(choice(sgd(0.1), adam(0.1)))", r"choice takes literals, got sgd\(0.1\)"),
        (f"sgd(log_uniform(1, 1{'0' * 400}))", r"log_uniform: low and high must .* got 1 and 10{30,}\.\.\."),
        (
            "sgd(uniform(-1e308, 1e308))",
            "uniform: low and high must not be too far apart for a float, got -1e",
        ),
        (f"sgd(log_uniform(1{'0' * 400}, 1{'0' * 401}))", "log_uniform: low and high must not be too far apart for a float"),
        ("sgd(log_uniform(5e-324, 1e308))", "log_uniform: low and high must not be too far apart for a float"),
    ],
)
def test_a_range_that_is_none_is_refused_in_one_sentence(expression, message):
    with pytest.raises(StudyError, match=message):
        resolve(Arm(expression).expression)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"search": {"trials": 0}}, "Search: trials must be a whole number from 1 to 100,000, got 0."),
        ({"search": {"sampler": "random"}}, "Search: sampler must be one of sobol, halton, got 'random'."),
        ({"search": {"score": "test"}}, "Search: score must be one of accuracy, loss, mcc, got 'test'."),
        ({"search": {"trials": 3_000_000_000}}, "Search: trials must be a whole number from 1 to 100,000, got 3000000000."),
        ({"search": {"seeds": []}}, "Search: seeds must be a tuple of at least one seed (in TOML a list, or how many), got ()"),
        ({"search": {"trails": 3}}, "Study.search: unknown key 'trails'; did you mean 'trials'?"),
        ({"search": {"seeds": [7, 3]}, "seeds": [1, 3, 7]}, "Study: search.seeds must be others than seeds, got 3, 7 in both."),
        ({"ladder": 1}, "Study: ladder must be True or False, got 1."),
        ({"seeds": [5, 5 + 2**31]}, "Study: seeds must be others than those of the A/A control"),
    ],
)
def test_a_wrong_field_of_a_search_is_named(change, message):
    with pytest.raises(StudyError) as refused:
        Study.from_dict({"arms": ["sgd(log_uniform(0.1, 1))"], **change})
    assert str(refused.value).startswith(message)


def test_seeds_of_the_search_may_be_any_where_nothing_is_tuned():
    assert Study(seeds=(1000,), arms=(Arm("sgd(0.1)"),)).seeds == (1000,)


def test_a_toml_file_says_what_the_dataclasses_say(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(
        """
        dataset = "mnist"
        steps = 2000
        seeds = 3
        target = 0.1
        arms = ["gradient_descent(log_uniform(0.001, 1))", {optimizer = "adam(0.001)", label = "Adam"}]
        [network]
        hidden = [128, 64]
        [search]
        trials = 8
        seeds = 2
        """
    )
    study = Study.from_toml(path)
    assert study.seeds == (0, 1, 2)
    assert study.search == Search(trials=8, seeds=(1000, 1001))
    assert study.network.hidden == (128, 64)
    assert [arm.label for arm in study.arms] == ["gradient_descent, tuned", "Adam"]
    assert Study.from_dict(study.to_dict()) == study


def test_a_file_that_is_no_toml_is_refused_with_its_name(tmp_path):
    (tmp_path / "study.toml").write_text("dataset = ")
    with pytest.raises(StudyError, match=r"study\.toml: is not TOML"):
        Study.from_toml(tmp_path / "study.toml")
    with pytest.raises(StudyError, match=r"none\.toml: cannot be read"):
        Study.from_toml(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("searched", "low", "high"),
    [
        (LogUniform(0.001, 1), True, True),
        (OneMinusLogUniform(0.5, 0.99), True, True),
        # Nothing lies beyond a momentum of 0.
        (OneMinusLogUniform(0.0, 0.99), False, True),
        (Uniform(0.0, 0.9), False, True),
        (Uniform(-1.0, 1.0), True, True),
    ],
)
def test_the_edges_of_a_range_are_where_better_values_may_lie_beyond(searched, low, high):
    found = [is_at_the_edge(searched, searched.at(u)) for u in (0.05, 0.2, 0.8, 0.95)]
    assert found == [low, False, False, high]
