"""A damaged store: what is not as it was written is said, never read as data, and run again to the same numbers."""

import dataclasses
import json
import random
import shutil
import warnings

import jax
import numpy as np
import pytest
from old_stores import as_of_schema_2

from momentum_jax import report
from momentum_jax.studies import Arm, Network, Search, Study, StudyError
from momentum_jax.studies.errors import DamageWarning
from momentum_jax.studies.jobs import further_seeds
from momentum_jax.studies.run import add_seeds, run_study, with_more_seeds
from momentum_jax.studies.store import Store

TUNED = Study(
    network=Network(hidden=(8,)),
    steps=20,
    batch=32,
    seeds=(0, 1),
    arms=(Arm("gradient_descent(log_uniform(0.01, 1))", "plain"), Arm("heavy_ball(log_uniform(0.001, 0.1), 0.9)", "moving")),
    search=Search(trials=2, seeds=(1000,)),
    target=2.0,
    evaluate_every=10,
)
# Of the tuning, of the arms, of the ladder, of the control. The winner of both searches has the same point of the sequence, so
# that the ladder's upper rung, 0.1 / (1 - 0.9) times as fast, is the tuned gradient descent.
RUNS = 2 * 2 + 2 * 2 + 1 * 2 + 2


def work(directory, study=TUNED, **options):
    return run_study(study, directory, devices=jax.local_devices()[:1], resume=True, **options)


def content(directory):
    store = Store.read(directory)
    assert store.damage == []
    runs = {run.name: repr(dataclasses.replace(run, seconds=0.0)) for run in store.runs}
    return {run.name: (runs[run.name], *(a.tobytes() for a in store.curves(run).arrays().values())) for run in store.runs}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sound") / "study"
    work(directory)
    return directory


@pytest.fixture
def copy(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "copy")


def added(directory, monkeypatch, **options):
    """Names of the runs that a resumed study repeats."""
    names, add = [], Store.add
    monkeypatch.setattr(Store, "add", lambda self, wave: (names.extend(run.name for run, _ in wave), add(self, wave))[1])
    work(directory, **options)
    return sorted(names)


def test_a_tuned_study_has_the_runs_of_all_phases(sound):
    store = Store.read(sound)
    assert len(store.runs) == RUNS == store.manifest["planned"]
    for run in store.runs:
        assert (run.test == {}) == (run.phase == "tuning"), "the tuning has seen the test set"
        assert {*run.test} in ({"accuracy", "loss", "mcc", "confusion"}, set())
        assert all(np.isfinite(run.validation[name]) for name in ("accuracy", "loss", "mcc"))


def test_the_reported_optimizer_is_the_best_of_its_trials(sound):
    store = Store.read(sound)
    for arm in TUNED.arms:
        trials = {run.optimizer: run.validation["accuracy"] for run in store.of(arm.label, "tuning")}
        assert {run.optimizer for run in store.of(arm.label)} == {max(trials, key=trials.__getitem__)}


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_a_flipped_bit_in_the_curves_is_reported_and_only_those_runs_are_repeated(sound, copy, seed, monkeypatch):
    path = copy / "curves.npz"
    flip(path, random.Random(seed).randrange(path.stat().st_size))
    with pytest.warns(DamageWarning) if is_damaged(copy) else warnings.catch_warnings():
        repeated = added(copy, monkeypatch)
    assert len(repeated) <= RUNS
    assert content(copy) == content(sound)


def test_what_was_damaged_and_has_been_run_again_is_damaged_no_more(copy):
    path, store = copy / "curves.npz", Store.read(copy)
    flip(path, path.read_bytes().index(store.curves(store.runs[3]).train_loss.tobytes()))
    with pytest.warns(DamageWarning):
        store = work(copy)
    assert store.damage == []
    assert len(store.runs) == RUNS


def is_damaged(directory):
    store = Store.read(directory)
    try:
        for run in store.runs:
            store.curves(run)
    except StudyError:
        return True
    return False


def test_too_little_memory_is_no_damage_and_loses_no_run(sound, copy, monkeypatch):
    from momentum_jax.studies.store import archives

    def full(file):
        raise MemoryError("Unable to allocate 1 MiB")

    with monkeypatch.context() as patched:
        patched.setattr(archives, "open_archive", full)
        with pytest.raises(MemoryError):
            work(copy)
    assert content(copy) == content(sound)


def test_an_archive_that_says_it_is_encrypted_is_damaged(copy):
    path = copy / "curves.npz"
    content = bytearray(path.read_bytes())
    # The flags of the first entry of the list of contents.
    content[content.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(StudyError, match=r"curves\.npz is damaged"):
        list(Store.read(copy).curves_of(Store.read(copy).runs))


def test_every_bit_of_the_arrays_counts(sound, copy):
    """Against the checksum of the archive as well as ours: the archive's is made to agree."""
    store = Store.read(copy)
    run = store.runs[3]
    with np.load(copy / "curves.npz") as arrays:
        changed = {name: array.copy() for name, array in arrays.items()}
    changed[f"{run.name}/train_loss"][7] += 1e-6
    np.savez(copy / "curves.npz", **changed)
    with pytest.raises(StudyError, match=f"run {run.name} does not agree with its checksum"):
        store.curves(run)
    store.curves(store.runs[2])


def test_a_truncated_archive_is_reported_and_all_its_runs_are_repeated(sound, copy, monkeypatch):
    path = copy / "curves.npz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.warns(DamageWarning, match=r"curves\.npz is damaged .* What it held is run again"):
        assert len(added(copy, monkeypatch)) == RUNS
    assert content(copy) == content(sound)


def test_a_changed_line_is_reported_and_its_run_is_repeated(sound, copy, monkeypatch):
    lines = (copy / "runs.jsonl").read_text().splitlines()
    one = json.loads(lines[5])
    lines[5] = json.dumps({**one, "validation": {**one["validation"], "accuracy": 0.999}})
    (copy / "runs.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.warns(DamageWarning, match=r"runs\.jsonl is damaged: line 6 is not a stored run"):
        assert added(copy, monkeypatch) == [one["name"]]
    assert content(copy) == content(sound)


def test_a_store_of_schema_2_is_gone_on_with_and_no_run_is_repeated(sound, copy, monkeypatch):
    as_of_schema_2(copy)
    assert added(copy, monkeypatch) == []
    store, before = Store.read(copy), Store.read(sound)
    assert store.damage == []
    assert [(run.name, run.test) for run in store.runs] == [(run.name, run.test) for run in before.runs]
    assert store.manifest["schema"] == 3


@pytest.mark.parametrize("text", ["", "{", '{"name": "a web page"}', "[]"])
def test_a_destroyed_manifest_is_written_anew_and_no_run_is_repeated(sound, copy, text, monkeypatch):
    (copy / "manifest.json").write_text(text)
    with pytest.raises(StudyError, match=r"manifest\.json is not the manifest of a study, or is damaged"):
        Store.read(copy)
    with pytest.warns(DamageWarning, match=r"manifest\.json"):
        assert added(copy, monkeypatch) == []
    assert content(copy) == content(sound)
    assert Store.read(copy).study == TUNED


@pytest.fixture(scope="module")
def longer(sound, tmp_path_factory):
    """The sound study with two seeds added."""
    directory = shutil.copytree(sound, tmp_path_factory.mktemp("longer") / "study")
    add_seeds(directory, 2, devices=jax.local_devices()[:1])
    return directory


@pytest.mark.parametrize("text", ["{", None], ids=["damaged", "missing"])
def test_added_seeds_outlive_their_manifest(longer, tmp_path, text, monkeypatch):
    """With a seed of which a run is left, and its other runs that are made again."""
    copy = shutil.copytree(longer, tmp_path / "copy")
    manifest = copy / "manifest.json"
    manifest.unlink() if text is None else manifest.write_text(text)
    lines = (copy / "runs.jsonl").read_text().splitlines(keepends=True)
    (copy / "runs.jsonl").write_text("".join(line for line in lines if '"name": "arm-1/seed-3"' not in line))
    with pytest.raises(StudyError, match=r"manifest\.json is .*; run the study again to mend it\."):
        Store.read(copy)
    told = r"It is written anew, with seeds 2, 3 of stored runs as added ones; which of .* cannot be known\."
    with pytest.warns(DamageWarning, match=told):
        assert added(copy, monkeypatch) == ["arm-1/seed-3"]
    assert content(copy) == content(longer)
    store = Store.read(copy)
    assert store.study.seeds == (0, 1, 2, 3)
    assert store.manifest["seeds_added"] == [2, 3]
    assert any("was lost and has been written anew" in said for said in report.content(store).banner)


def test_seeds_of_runs_of_another_study_are_not_taken_for_added_ones(longer):
    runs, environment = Store.read(longer).runs, Store.read(longer).manifest["environment"]
    assert further_seeds(TUNED, environment, runs) == (2, 3)
    for other in (
        dataclasses.replace(TUNED, steps=10),
        dataclasses.replace(TUNED, arms=(Arm("gradient_descent(0.5)", "plain"),)),
        dataclasses.replace(TUNED, search=dataclasses.replace(TUNED.search, seeds=(2, 3))),
    ):
        assert further_seeds(other, environment, runs) == ()
    assert further_seeds(TUNED, {**environment, "data": "of others"}, runs) == ()


def test_a_changed_manifest_is_not_believed(sound, copy, monkeypatch):
    text = (copy / "manifest.json").read_text()
    (copy / "manifest.json").write_text(text.replace('"steps": 20', '"steps": 30'))
    with pytest.raises(StudyError, match="does not agree with its checksum"):
        Store.read(copy)
    with pytest.warns(DamageWarning):
        assert added(copy, monkeypatch) == []


@pytest.mark.parametrize(
    ("text", "change", "strange"),
    [
        (None, {"steps": 10}, RUNS),
        # The runs of the same problem with other arms have the same keys.
        ("", {"arms": (Arm("adam(0.001)"),)}, RUNS),
        (None, {"arms": TUNED.arms[:1]}, 6),
        ("", {"search": dataclasses.replace(TUNED.search, scramble=1)}, RUNS - 2),
        ("", {"noise_floor": False}, 2),
        (None, {"ladder": False}, 2),
    ],
    ids=["steps", "arms", "an arm", "search", "control", "ladder"],
)
def test_runs_of_another_study_are_neither_taken_for_ones_own_nor_lost_with_their_manifest(sound, copy, text, change, strange):
    manifest = copy / "manifest.json"
    manifest.unlink() if text is None else manifest.write_text(text)
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    told = rf"manifest\.json is .*, and {strange} of {RUNS} runs stored in .* are of another study, .* or --overwrite\."
    with pytest.raises(StudyError, match=told):
        work(copy, dataclasses.replace(TUNED, **change))
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before
    with pytest.warns(DamageWarning, match="It is written anew"):
        work(copy)
    assert content(copy) == content(sound)


def test_a_store_with_a_damaged_manifest_can_be_overwritten(copy):
    (copy / "manifest.json").write_text("x")
    other = dataclasses.replace(TUNED, steps=10, search=Search(), arms=(Arm("sgd(0.1)"),), noise_floor=False)
    store = run_study(other, copy, devices=jax.local_devices()[:1], overwrite=True)
    assert [run.name for run in Store.read(copy).runs] == ["arm-0/seed-0", "arm-0/seed-1"]
    assert all(len(curves.train_loss) == 10 for curves in store.curves_of(store.runs))


def test_what_differs_is_named_before_the_seeds_that_were_added(longer, tmp_path):
    copy = shutil.copytree(longer, tmp_path / "copy")
    with pytest.raises(StudyError, match=r"study\.target is 2\.0 there and 3\.0 now"):
        work(copy, dataclasses.replace(TUNED, target=3.0))


def test_a_study_of_which_nothing_was_stored_gives_way_to_another(tmp_path):
    """As where its network did not fit into memory, and a smaller one is tried."""
    begun = dataclasses.replace(TUNED, network=Network(hidden=(999_999,)))
    environment = {"versions": {"jax": "0"}}
    Store.create(tmp_path / "study", begun, environment)
    assert Store.resume(tmp_path / "study", TUNED, environment).study == TUNED
    (tmp_path / "study" / "runs.jsonl").write_text("damaged\n")
    with pytest.raises(StudyError, match=r"study\.network\.hidden is \[8\] there and \[999999\] now"):
        Store.resume(tmp_path / "study", begun, environment)


def test_seeds_to_add_have_a_limit(sound):
    with pytest.raises(StudyError, match="add_seeds: count must be at most 99,998, for 100,000 seeds in all, got 99999999"):
        with_more_seeds(sound, 99_999_999)


def test_a_strangers_manifest_is_left_alone(tmp_path):
    (tmp_path / "manifest.json").write_text('{"name": "a web page"}')
    with pytest.raises(StudyError, match="is not the manifest of a study"):
        work(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_added_seeds_run_the_settled_arms_and_nothing_twice(sound, copy, monkeypatch):
    before = content(copy)
    names, add = [], Store.add
    monkeypatch.setattr(Store, "add", lambda self, wave: (names.extend(run.name for run, _ in wave), add(self, wave))[1])
    store = add_seeds(copy, 1, devices=jax.local_devices()[:1])
    assert sorted(names) == ["arm-0/seed-2", "arm-1/seed-2", "control/seed-2147483650", "ladder/0/seed-2"]
    assert store.study.seeds == (0, 1, 2)
    assert store.manifest["seeds_added"] == [2]
    after = content(copy)
    assert {name: after[name] for name in before} == before


@pytest.mark.slow
def test_a_study_with_all_seeds_from_the_start_says_the_same_as_one_whose_seeds_were_added(copy, tmp_path):
    add_seeds(copy, 1, devices=jax.local_devices()[:1])
    work(tmp_path / "at-once", dataclasses.replace(TUNED, seeds=(0, 1, 2)))
    assert content(copy) == content(tmp_path / "at-once")


@pytest.mark.parametrize("count", [0, -1, 1.5, True])
def test_a_number_of_seeds_to_add_is_a_whole_number(copy, count):
    with pytest.raises(StudyError, match="add_seeds: count must be a whole number >= 1, got"):
        add_seeds(copy, count)


@pytest.mark.slow
def test_progress_counts_the_whole_study(tmp_path):
    seen = []
    work(tmp_path / "new", on_progress=seen.append)
    # Which rungs are arms is known once the tuning is done, four runs of it; until then all are counted.
    tuning = 4 * TUNED.steps
    assert {each.total_model_steps for each in seen if each.model_steps > tuning} == {RUNS * TUNED.steps}
    assert {each.total_model_steps for each in seen if each.model_steps < tuning} == {(RUNS + len(TUNED.seeds)) * TUNED.steps}
    done = [each.model_steps for each in seen]
    assert done == sorted(done)
    assert done[-1] == RUNS * TUNED.steps


def test_adding_seeds_that_was_stopped_goes_on_with_those_that_were_meant(sound, copy):
    store = Store.read(copy)
    longer = dataclasses.replace(TUNED, seeds=(0, 1, 2))
    assert with_more_seeds(copy, 1) == longer
    # As `resume` writes it before the first of the new runs.
    Store.resume(copy, longer, store.manifest["environment"])
    assert with_more_seeds(copy, 1) == longer
    with pytest.raises(StudyError, match="was stopped while it got 1 seed; finish that first, with count = 1"):
        with_more_seeds(copy, 2)
    # A study that was never finished has no results to add to.
    Store.read(copy).note("running", seeds_added=[], adding=[])
    with pytest.raises(StudyError, match="is not complete; run the study to its end first"):
        with_more_seeds(copy, 1)
