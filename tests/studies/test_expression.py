"""Expressions as values: what is read, when, and what is made of them without reading again."""

import ast
import pickle
import re
from collections import Counter

import pytest

from momentum_jax.studies import Arm, Search, Study, StudyError, jobs
from momentum_jax.studies.expression import MOST_CHARACTERS, Expression, split_label

read = Expression.read


@pytest.fixture
def texts(monkeypatch):
    """Counts the calls that Python's parser is given; libraries have it read other things."""
    counted = Counter()

    def counting(source, *arguments, parse=ast.parse, **options):
        if isinstance(source, str) and re.match(r"\w+\(", source):
            counted[source] += 1
        return parse(source, *arguments, **options)

    monkeypatch.setattr(ast, "parse", counting)
    return counted


def test_an_expression_is_the_value_of_its_canonical_text():
    one, other = read("heavy_ball( 1e-2,.9)"), read("heavy_ball(0.01, 0.9)")
    assert one == other
    assert hash(one) == hash(other)
    assert (one.text, str(one), one.name, one.origin) == (other.text, "heavy_ball(0.01, 0.9)", "heavy_ball", "")
    assert one != read("heavy_ball(0.01, momentum=0.9)")
    assert read(one) is one
    assert pickle.loads(pickle.dumps(one)).place({}) == one


@pytest.mark.parametrize("origin", ["mine.py", "sub dir/mine.py", "package.module", "python"])
def test_a_function_of_ones_own_is_named_with_its_place(origin):
    found = read(f" {origin} :make( width = 64)")
    assert (found.text, found.origin, found.call_text) == (f"{origin}:make(width=64)", origin, "make(width=64)")
    moved = found.moved("(1)/other.py")
    assert (moved.text, moved.origin, moved.call_text) == ("(1)/other.py:make(width=64)", "(1)/other.py", "make(width=64)")


def test_a_study_reads_each_of_its_expressions_once_and_asks_no_text_again(texts):
    problem, tuned, own, plain = (
        "mine.py:make(width=9)",
        "sgd(log_uniform(0.0123, 1))",
        "mine.py:fast(log_uniform(0.1, 1), 0.5)",
        "heavy_ball(0.0456, 0.9)",
    )
    arms = (Arm(tuned), Arm(own, "own"), Arm(plain), Arm(plain, "batches", {"batch": 7}))
    study = Study(problem=problem, arms=arms, search=Search(trials=4))
    calls = {"make(width=9)": 1, tuned: 1, "fast(log_uniform(0.1, 1), 0.5)": 1, plain: 2}
    assert texts == calls
    texts.clear()
    chosen = {arm.label: jobs.trials(study, arm)[1] if arm.ranges else arm.expression.middle for arm in study.arms}
    planned = [*jobs.tuning(study), *jobs.reporting(study, chosen)]
    jobs.keys(study, {}, planned)
    rungs = {job.optimizer: 1 for job in planned if job.phase == jobs.LADDER}
    assert len(rungs) == 2
    assert texts == rungs


def test_a_toml_file_is_read_once(texts, tmp_path):
    (tmp_path / "study.toml").write_text(
        """
        problem = "mine.py:make(width=9)"
        arms = ["sgd(0.0123)", "mine.py:fast(0.1)", { optimizer = "mine.py:fast(0.2)", width = 4 }]
        """
    )
    study = Study.from_toml(tmp_path / "study.toml")
    assert texts == dict.fromkeys(("make(width=9)", "sgd(0.0123)", "fast(0.1)", "fast(0.2)"), 1)
    assert study.problem == "mine.py:make(width=9)"
    assert [arm.optimizer for arm in study.arms] == ["sgd(0.0123)", "mine.py:fast(0.1)", "mine.py:fast(0.2)"]
    assert study.paths == {"mine.py": str(tmp_path / "mine.py")}


def test_a_directory_may_have_parentheses_in_its_name(tmp_path):
    directory = tmp_path / "download (1)"
    directory.mkdir()
    (directory / "study.toml").write_text('problem = "mine.py:make()"\narms = ["mine.py:fast(0.1)"]\n')
    study = Study.from_toml(directory / "study.toml")
    assert (study.problem, study.arms[0].optimizer) == ("mine.py:make()", "mine.py:fast(0.1)")
    assert study.paths == {"mine.py": str(directory / "mine.py")}


def test_the_study_of_other_factors_has_their_problem():
    study = Study(problem="mine.py:make(3, width=9)", arms=(Arm("sgd(0.1)"),))
    other = study.with_factors({"width": -2, "text": "it's", "steps": 7})
    assert (other.problem, other.steps) == ('mine.py:make(3, width=-2, text="it\'s")', 7)
    assert other.expression == read(other.problem)
    assert other.expression.literals() == ([3], {"width": -2, "text": "it's"})


def test_placing_values_leaves_the_expression_as_it_was():
    pattern = read("per_layer({'w': sgd(uniform(0.1, 0.3)), '*': sgd(choice(0.1, 0.2), nesterov=True)})")
    text, names = pattern.text, list(pattern.ranges)
    for one, other in ((0.125, 0.1), (0.25, 0.2)):
        placed = pattern.place(dict(zip(names, (one, other), strict=True)))
        assert placed.text == f"per_layer({{'w': sgd({one}), '*': sgd({other}, nesterov=True)}})"
        assert list(pattern.read_back(placed).values()) == [one, other]
    assert ast.unparse(pattern.call) == pattern.text == text


@pytest.mark.parametrize(
    "value", [-0.5, 1e300, -7, True, None, 'it\'s "q"\n', (1, -2.5), (), [0.1, [None]], {"a": (-1,), 2: {}}], ids=repr
)
def test_what_is_placed_is_what_would_be_read(value):
    pattern = read(f"mine.py:fast(1, choice({value!r}, 'other'), rate=0.1)")
    placed = pattern.place({"1": value})
    again = read(placed.text)
    assert placed == again
    assert pattern.read_back(placed) == pattern.read_back(again) == {"1": value}
    assert placed.literals() == again.literals() == ([1, value], {"rate": 0.1})
    given = read("mine.py:fast(rate=1)").with_arguments({"rate": value})
    assert (given, given.literals()) == (read(given.text), ([], {"rate": value}))


def test_an_expression_has_as_many_characters_as_any_network_needs_and_no_more():
    longest = "sgd(0.1," + " " * (MOST_CHARACTERS - 13) + "0.9)"
    assert read(longest[1:]).text == "gd(0.1, 0.9)"
    with pytest.raises(StudyError, match="at most 10,000 characters, got 10,001"):
        read(" " * 2 + longest)


@pytest.mark.parametrize(
    ("text", "optimizer", "label"),
    [
        ("heavy_ball(0.01, momentum=0.9)", "heavy_ball(0.01, momentum=0.9)", ""),
        ("tuned=heavy_ball(0.01, momentum=0.9)", "heavy_ball(0.01, momentum=0.9)", "tuned"),
        ("mu=0.9 = heavy_ball(0.01, momentum=0.9)", " heavy_ball(0.01, momentum=0.9)", "mu=0.9"),
        ("heavy ball (mu=0.9)=heavy_ball(0.01)", "heavy_ball(0.01)", "heavy ball (mu=0.9)"),
        ("a == b=sgd(0.1)", "sgd(0.1)", "a == b"),
        ("sgd(x=0.1)=sgd(0.1)", "sgd(0.1)", "sgd(x=0.1)"),
        ("width=64=mine.py:fast(rate=0.1)", "mine.py:fast(rate=0.1)", "width=64"),
        ("mine.py:fast(rate=0.1)", "mine.py:fast(rate=0.1)", ""),
        ("per_layer({'a=sgd(0.1)#': sgd(0.1)})", "per_layer({'a=sgd(0.1)#': sgd(0.1)})", ""),
        ("x=per_layer({'a=sgd(0.1)#': sgd(0.1)})", "per_layer({'a=sgd(0.1)#': sgd(0.1)})", "x"),
        ("tuned=heavy_ball", "heavy_ball", "tuned"),
        ("tuned=heavy_ball(0.1", "heavy_ball(0.1", "tuned"),
        ("heavy_ball(rate=0.1", "heavy_ball(rate=0.1", ""),
    ],
)
def test_a_label_ends_at_the_last_equals_sign_outside_the_expression(text, optimizer, label):
    assert split_label(text) == (optimizer, label)


def test_a_label_before_an_equals_sign_is_not_empty():
    with pytest.raises(StudyError, match="label before '=' is empty"):
        split_label("=sgd(0.1)")
