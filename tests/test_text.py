"""What messages quote: enough of what came to find the mistake in it, and never more."""

import numpy as np
import pytest

from momentum_jax._text import cut, cut_path, joined, listed, quoted, with_article


class Stubborn:
    def __repr__(self):
        raise RuntimeError("no")


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("value", [1, -0.5, "a", "a\nb", None, True, (), (1,), [1, "b"], {"a": {"b": 1}}, 10**50, float("nan")])
def test_what_is_short_is_quoted_as_python_writes_it(value):
    assert quoted(value) == repr(value)


def test_arrays_are_quoted_by_their_kind_and_shape():
    assert quoted((np.zeros((3, 2)), np.arange(4, dtype=np.int32))) == "(float64[3, 2], int32[4])"


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10_000,
        "\n" * 10_000,
        list(range(10**6)),
        {i: i for i in range(1000)},
        10**4000,
        10**5000,
        nested(10**5),
        b"x" * 9_000,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_long_is_quoted_in_part(value):
    assert 5 <= len(quoted(value)) <= 80
    assert "\n" not in quoted(value)


def test_what_cannot_be_written_is_named_by_its_type():
    assert "Stubborn" in quoted(Stubborn())
    assert quoted(10**5000) == "int of about 5,001 digits"


def test_a_text_is_cut_to_one_line():
    assert cut("a \n  b") == "a b"
    assert cut("x" * 100, 10) == "xxxxxxx..."
    assert cut("x" * 10, 10) == "x" * 10


def test_of_many_names_the_first_are_listed():
    assert listed(["a", "b"]) == "a, b"
    assert listed(["a", "b", "c", "d"]) == "a, b, c, ..."


def test_a_long_path_keeps_its_name():
    assert cut_path("a/b.toml") == "a/b.toml"
    short = cut_path("x" * 500 + "/study.toml")
    assert len(short) == 80
    assert short.endswith("x/study.toml")


@pytest.mark.parametrize(
    ("names", "said"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c", "d"], "a, b, c and d")]
)
def test_names_are_joined_as_in_a_sentence(names, said):
    assert joined(names) == said


@pytest.mark.parametrize(
    ("noun", "said"), [("list", "a list"), ("int", "an int"), ("EmptyState", "an EmptyState"), ("uint8", "a uint8")]
)
def test_a_noun_has_the_article_that_it_is_spoken_with(noun, said):
    assert with_article(noun) == said
