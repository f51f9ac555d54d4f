"""Stores of schema 2 are read, analysed, reported and gone on with."""

import dataclasses
import json
import re
import shutil

import pytest
from made_studies import ENVIRONMENT, TUNED, made
from old_stores import as_of_schema_2, signed

from momentum_jax.report import write
from momentum_jax.studies import jobs, wording
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.scores import IMAGES
from momentum_jax.studies.store import Store
from momentum_jax.studies.summary import summarize

STUDY = dataclasses.replace(TUNED, target=0.3)
LOST = "arm-0/seed-1"


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    directory = tmp_path_factory.mktemp("schemas")
    new = made(directory / "new", STUDY, diverged=lambda job: job.name == LOST)
    old = shutil.copytree(new.directory, directory / "old")
    as_of_schema_2(old)
    return new, old


@pytest.fixture
def pair(both, tmp_path):
    """The same study in both schemas, the old one to be changed; one of its runs diverged."""
    new, old = both
    return new, shutil.copytree(old, tmp_path / "old")


def before(run):
    """What schema 2 knew of it: of the validation set the accuracy and the loss."""
    return repr(dataclasses.replace(run, validation={name: run.validation[name] for name in ("accuracy", "loss")}))


def assert_the_same_study(old, new):
    assert old.damage == []
    assert [repr(run) for run in old.runs] == [before(run) for run in new.runs]
    for run in old.runs:
        arrays = old.curves(run).arrays()
        assert list(arrays) == ["train_loss", "steps", "validation_loss", "validation_accuracy"]
        stored = new.curves(run).arrays()
        assert all(array.tobytes() == stored[name].tobytes() for name, array in arrays.items())
    assert repr(summarize(old)) == repr(summarize(new))


def test_an_old_store_says_what_a_new_one_says(pair):
    new, directory = pair
    old = Store.read(directory)
    assert old.study == STUDY
    assert_the_same_study(old, new)
    found, expected = analyse(old), analyse(new)
    assert found.arms == expected.arms
    assert (found.comparisons, found.ladder, found.noise) == (expected.comparisons, expected.ladder, expected.noise)
    assert (found.claims, found.answer) == (expected.claims, expected.answer)
    assert wording.verdict(found) == wording.verdict(expected)
    for one, other in zip(found.tunings, expected.tunings, strict=True):
        assert (one.tuned, one.fresh, one.optimism) == (other.tuned, other.fresh, other.optimism)
        assert [trial.means for trial in one.trials] == [
            {name: trial.means[name] for name in ("accuracy", "loss")} for trial in other.trials
        ]


@pytest.mark.usefixtures("one_figure")
def test_an_old_store_has_a_report(pair):
    new, directory = pair
    pages = [write(store)[1].read_text() for store in (Store.read(directory), new)]
    # Trials have no column of a score that was not measured; all else is the same.
    old, expected = (re.sub(r"(?s)<summary>All trials.*?</details>", "", page) for page in pages)
    assert old == expected
    assert "validation mcc" in pages[1]
    assert "validation mcc" not in pages[0]


def test_an_old_store_is_gone_on_with_and_nothing_is_run_again(pair):
    new, directory = pair
    store = Store.resume(directory, STUDY, ENVIRONMENT)
    assert_the_same_study(store, new)
    # These are the keys by which a resumed study knows what it has.
    planned = [*jobs.tuning(STUDY), *jobs.reporting(STUDY, jobs.choose(STUDY, IMAGES, store.runs))]
    assert dict(zip((job.name for job in planned), jobs.keys(STUDY, ENVIRONMENT, planned), strict=True)) == {
        run.name: run.key for run in store.runs
    }
    store.close("complete")
    assert_the_same_study(Store.read(directory), new)
    assert json.loads((directory / "manifest.json").read_text())["schema"] == 3
    assert "test" in json.loads((directory / "runs.jsonl").read_text().splitlines()[0])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("accuracy", 7.5),
        ("accuracy", 10**400),
        ("accuracy", True),
        ("accuracy", "0.9"),
        ("accuracy", None),
        ("mcc", -2),
        ("loss", 1e300),
        ("loss", None),
        ("validation_loss", [1]),
        ("validation_accuracy", -0.1),
        ("validation_accuracy", None),
        ("confusion", [[1, 2], [3]]),
        ("confusion", []),
        ("confusion", None),
        ("confusion", [[10**30, 0], [0, 1]]),
        ("test", {}),
        ("wealth", 3),
    ],
    ids=lambda value: str(value)[:16],
)
def test_a_value_that_no_study_wrote_is_damage_in_an_old_line_too(pair, field, value):
    _, directory = pair
    path = directory / "runs.jsonl"
    lines = path.read_text().splitlines()
    index = next(index for index, line in enumerate(lines) if '"name": "arm-1/seed-2"' in line)
    lines[index] = json.dumps(signed({**json.loads(lines[index]), field: value}))
    path.write_text("\n".join(lines) + "\n")
    store = Store.read(directory)
    (sentence,) = store.damage
    assert re.search(rf"runs\.jsonl is damaged: (line {index + 1}|run arm-1/seed-2) is not a stored run", sentence)
    assert len(store.runs) == len(lines) - 1


def test_an_old_line_without_a_score_is_damage(pair):
    _, directory = pair
    path = directory / "runs.jsonl"
    first, *others = path.read_text().splitlines()
    content = json.loads(first)
    del content["validation_loss"]
    path.write_text("\n".join((json.dumps(signed(content)), *others)) + "\n")
    assert Store.read(directory).damage == [f"{path} is damaged: line 1 is not a stored run."]
