"""Whose runs these are: what a study did not ask for is named, never shown as its own, and never deleted."""

import dataclasses
import json
import shutil
from importlib.metadata import version

import made_studies
import numpy as np
import pytest
from made_studies import ENVIRONMENT, TUNED, made

import momentum_jax
from momentum_jax.studies import Arm, Search, Study
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.errors import DamageWarning
from momentum_jax.studies.store import Store

FIXED = Study(
    steps=200,
    seeds=(0, 1, 2),
    evaluate_every=20,
    arms=(Arm("gradient_descent(0.1)", "plain"), Arm("heavy_ball(0.01, 0.9)", "moving"), Arm("adam(0.001)")),
)
# Nine of the arms, three of gradient descent at the learning rate of the ladder, three of the control.
RUNS = 15
INSTALLED = {"momentum_jax": momentum_jax.__version__, "scipy": version("scipy")}


def lines_of(directory):
    return (directory / "runs.jsonl").read_text().splitlines(keepends=True)


def changed(study, **fields):
    return dataclasses.replace(study, **fields)


@pytest.mark.parametrize("study", [FIXED, TUNED], ids=["fixed", "tuned"])
@pytest.mark.parametrize("versions", [{"jax": "0"}, INSTALLED], ids=["other versions", "the same"])
def test_all_runs_of_a_study_are_its_own(tmp_path, monkeypatch, study, versions):
    monkeypatch.setattr(made_studies, "ENVIRONMENT", {**ENVIRONMENT, "versions": versions})
    store = made(tmp_path, study)
    again = Store.read(tmp_path)
    assert again.damage == []
    assert [run.name for run in again.runs] == [run.name for run in store.runs]


@pytest.mark.parametrize(
    ("study", "change", "kept"),
    [
        (FIXED, {"steps": 199}, 0),
        (FIXED, {"dataset": "mnist"}, 0),
        # The arms that both have stay in the report; the control is of the first arm's later seeds.
        (FIXED, {"seeds": (0, 1)}, 2 * 5),
        (FIXED, {"seeds": (7, 8, 9)}, 0),
        (FIXED, {"arms": (FIXED.arms[0], Arm("heavy_ball(0.02, 0.9)", "moving"), FIXED.arms[2])}, 9),
        (FIXED, {"arms": FIXED.arms[::-1]}, 6),
        (FIXED, {"ladder": False}, RUNS - 3),
        (FIXED, {"noise_floor": False}, RUNS - 3),
        (TUNED, {"arms": (Arm("gradient_descent(log_uniform(2, 3))", "plain"), TUNED.arms[1])}, 2 * 2 + 8 * 2),
        (TUNED, {"search": Search(trials=2, seeds=(500, 501))}, 8 * 4),
        (TUNED, {"search": Search(trials=1)}, None),
    ],
)
def test_under_the_manifest_of_another_study_only_what_both_ask_for_is_shown(tmp_path, study, change, kept):
    made(tmp_path / "this", study)
    made(tmp_path / "that", changed(study, **change))
    every = len(lines_of(tmp_path / "this"))
    shutil.copy(tmp_path / "that" / "manifest.json", tmp_path / "this")
    store = Store.read(tmp_path / "this")
    assert len(store.runs) < every
    assert kept is None or len(store.runs) == kept
    (said,) = store.damage
    assert f"runs.jsonl holds {every - len(store.runs)} runs that are not of this study (" in said
    assert len(said) < 500
    analysis = analyse(store)
    assert analysis.damage == (said,)
    assert analysis.runs == len(store.runs)
    assert {run for arm in analysis.arms for run in arm.runs} <= {run.name for run in store.runs}


def test_a_search_with_other_points_is_another_one_where_they_can_be_drawn_again(tmp_path, monkeypatch):
    monkeypatch.setattr(made_studies, "ENVIRONMENT", {**ENVIRONMENT, "versions": INSTALLED})
    study = changed(TUNED, search=Search(trials=4))
    made(tmp_path / "this", study)
    made(tmp_path / "that", changed(study, search=Search(trials=4, scramble=1)))
    shutil.copy(tmp_path / "that" / "manifest.json", tmp_path / "this")
    assert Store.read(tmp_path / "this").of("moving", "tuning", "report") == []


def test_runs_chosen_by_another_rule_are_not_of_a_study_whose_search_is_whole(tmp_path, monkeypatch):
    """The same trials, of which the best by loss is not the best by accuracy."""
    monkeypatch.setattr(made_studies, "ENVIRONMENT", {**ENVIRONMENT, "versions": INSTALLED})
    store = made(tmp_path, TUNED)
    best = store.of("moving")[0].optimizer
    other = next(run.optimizer for run in store.of("moving", "tuning") if run.optimizer != best)
    moved = [dataclasses.replace(run, optimizer=other) for run in store.of("moving")]
    rewrite(store, {run.name: dataclasses.replace(run, key=key_of(store, run)) for run in moved})
    read = Store.read(tmp_path)
    assert read.of("moving") == []
    assert len(read.runs) == len(store.runs) - 8


def key_of(store, run):
    from momentum_jax.studies.expression import Expression
    from momentum_jax.studies.jobs import Job

    environment = store.manifest["environment"]
    return Job(run.name, run.phase, run.arm, Expression.read(run.optimizer), run.seed).key(store.study, environment)


def rewrite(store, runs):
    """Other runs in the lines of these names, with checksums that agree."""
    from momentum_jax.studies.store.records import Line

    stored = [json.loads(text) for text in lines_of(store.directory)]
    by_name = {run.name: run for run in store.runs} | runs
    texts = (Line(by_name[content["name"]], content["arrays"]).text for content in stored)
    (store.directory / "runs.jsonl").write_text("".join(texts))


@pytest.mark.parametrize("order", ["before", "after"])
def test_lines_of_another_study_among_ones_own_take_no_place_of_theirs(tmp_path, order):
    """They have the same names, arms and seeds."""
    own, other = made(tmp_path / "own", FIXED), made(tmp_path / "other", changed(FIXED, batch=7))
    mine, theirs = lines_of(own.directory), lines_of(other.directory)
    (own.directory / "runs.jsonl").write_text("".join(theirs + mine if order == "before" else mine + theirs))
    store = Store.read(own.directory)
    assert store.runs == own.runs
    assert [curves.steps[-1] for curves in store.curves_of(store.runs)] == [200] * RUNS
    assert "holds 15 runs that are not of this study (arm-0/seed-0, arm-0/seed-1, arm-0/seed-2, ...)" in store.damage[0]


def test_resuming_moves_runs_of_another_study_aside_and_says_where(tmp_path):
    own, other = made(tmp_path / "own", FIXED), made(tmp_path / "other", changed(FIXED, batch=7))
    arrays = {path.name: path.read_bytes() for path in (other.directory / "curves.npz", other.directory / "runs.jsonl")}
    for name in arrays:
        shutil.copy(other.directory / name, own.directory)
    aside = own.directory / "aside-1"
    told = rf"runs\.jsonl holds 15 runs that are not of this study \(.*\)\. .* in {aside}\."
    with pytest.warns(DamageWarning, match=told):
        store = Store.resume(own.directory, FIXED, ENVIRONMENT)
    assert store.runs == []
    assert lines_of(own.directory) == []
    assert (aside / "lines.jsonl").read_bytes() == arrays["runs.jsonl"]
    # Gathering writes a new archive, and leaves this one alone.
    store.close("complete")
    assert (aside / "curves.npz").read_bytes() == arrays["curves.npz"]
    assert Store.read(own.directory).damage == []
    # A second time has a second place.
    shutil.copy(other.directory / "runs.jsonl", own.directory)
    with pytest.warns(DamageWarning, match="aside-2"):
        Store.resume(own.directory, FIXED, ENVIRONMENT)
    assert (aside / "lines.jsonl").exists()


def test_lines_that_cannot_be_read_are_kept_as_they_stand(tmp_path):
    store = made(tmp_path, FIXED)
    lines = lines_of(tmp_path)
    lines[3] = lines[3].replace('"seed": 0', '"seed": 5')
    (tmp_path / "runs.jsonl").write_text("".join(lines))
    with pytest.warns(DamageWarning, match=r"line 4 is not a stored run\. What it held is run again\. .*aside-1"):
        assert len(Store.resume(tmp_path, FIXED, ENVIRONMENT).runs) == RUNS - 1
    assert (tmp_path / "aside-1" / "lines.jsonl").read_text() == lines[3]
    assert len(store.runs) == RUNS


def test_runs_that_a_study_no_longer_plans_are_moved_aside_too(tmp_path):
    store = made(tmp_path, FIXED)
    planned = {run.name: run.key for run in store.runs if run.seed != 2}
    with pytest.warns(DamageWarning, match=r"4 runs that are not of this study .*aside-1"):
        store.keep(planned)
    assert {run.name for run in Store.read(tmp_path).runs} == planned.keys()
    kept = (tmp_path / "aside-1" / "lines.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["seed"] for line in kept) == [2, 2, 2, 2]
    with np.load(tmp_path / "aside-1" / "curves.npz") as arrays:
        assert "arm-0/seed-2/train_loss" in arrays.files


def test_seeds_that_were_added_are_the_studys(tmp_path):
    made(tmp_path, changed(FIXED, seeds=(0, 1, 2, 3)), seeds_added=[3])
    assert Store.read(tmp_path).damage == []
    assert len(Store.read(tmp_path).runs) == RUNS + 5


def test_a_crash_while_runs_are_moved_aside_loses_none(tmp_path, monkeypatch):
    own, other = made(tmp_path / "own", FIXED), made(tmp_path / "other", changed(FIXED, batch=7))
    shutil.copy(other.directory / "runs.jsonl", own.directory)
    theirs = lines_of(other.directory)

    def crash(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "_rewrite_lines", crash)
        with pytest.warns(DamageWarning), pytest.raises(KeyboardInterrupt):
            Store.resume(own.directory, FIXED, ENVIRONMENT)
    assert lines_of(own.directory) == theirs
    with pytest.warns(DamageWarning, match="aside-2"):
        Store.resume(own.directory, FIXED, ENVIRONMENT)
    assert "".join(theirs) == (own.directory / "aside-2" / "lines.jsonl").read_text()
