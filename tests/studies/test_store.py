"""The store: what it keeps, what survives a crash at any point, and what it must never touch."""

import dataclasses
import hashlib
import itertools
import json
import os
import shutil

import numpy as np
import pytest

from momentum_jax.studies import StudyError
from momentum_jax.studies.store import Store, locked, stored_runs
from momentum_jax.studies.store.records import by_name

ENVIRONMENT = {"versions": {"jax": "0"}}


def write_manifest(directory, manifest):
    """With a checksum that agrees."""
    manifest.pop("sha256", None)
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (directory / "manifest.json").write_text(json.dumps({**manifest, "sha256": digest}))


def assert_holds(store, rows):
    """The store holds exactly these runs with exactly these curves."""
    assert store.runs == [run for run, _ in rows]
    for run, curves in rows:
        stored, made = store.curves(run).arrays(), curves.arrays()
        assert list(stored) == list(made)
        for name, array in made.items():
            np.testing.assert_array_equal(stored[name], array)
            assert stored[name].dtype == array.dtype


def flat(waves):
    return [row for wave in waves for row in wave]


def test_what_is_stored_is_read_back(store, waves, study):
    again = Store.read(store.directory)
    assert again.study == study
    assert again.manifest["status"] == "complete"
    assert_holds(again, flat(waves))


def test_hyperparameters_are_read_back_under_the_names_of_their_methods(study, waves, tmp_path):
    taken = np.linspace(0.1, 0.2, study.steps, dtype=np.float32)
    told = {"*/hidden/adam/learning_rate": taken, "heavy_ball[1]/momentum": 2 * taken, "100%/sgd/momenta[0]": 3 * taken}
    store = Store.create(tmp_path / "told", study, ENVIRONMENT)
    store.add([(run, dataclasses.replace(curves, hyperparameters=told)) for run, curves in waves[0]])
    found = Store.read(store.directory).curves(waves[0][0][0])
    assert [*found.hyperparameters] == [*told]
    for name, array in told.items():
        np.testing.assert_array_equal(found.hyperparameters[name], array)


def test_hyperparameters_are_stored_under_their_methods_a_matrix_entry_by_entry():
    rate, matrix = np.arange(3.0), np.arange(12.0).reshape(3, 2, 2)
    told = by_name({"clip": None, "*/heavy_ball": {"learning_rate": rate}, "space": {"A": matrix}})
    assert [*told] == ["*/heavy_ball/learning_rate", *(f"space/A[{i},{j}]" for i in range(2) for j in range(2))]
    np.testing.assert_array_equal(told["*/heavy_ball/learning_rate"], rate)
    np.testing.assert_array_equal(told["space/A[1,0]"], [2, 6, 10])


def test_the_files_are_the_documented_ones_and_nothing_is_pickled(store, waves):
    assert sorted(os.listdir(store.directory)) == ["curves.npz", "manifest.json", "runs.jsonl"]
    assert json.loads((store.directory / "manifest.json").read_text())["schema"] == 3
    lines = (store.directory / "runs.jsonl").read_text().splitlines()
    assert [json.loads(line)["seed"] for line in lines] == [run.seed for run, _ in flat(waves)]
    with np.load(store.directory / "curves.npz", allow_pickle=False) as arrays:
        assert len(arrays.files) == 4 * len(lines)
        assert arrays["arm-0/seed-1/validation_loss"].tolist() == pytest.approx([1.0, 0.5, 0.4])


def test_every_finished_wave_is_readable_while_the_study_runs(study, waves, tmp_path):
    store = Store.create(tmp_path, study, ENVIRONMENT)
    for done in range(len(waves)):
        store.add(waves[done])
        reader = Store.read(tmp_path)
        assert reader.manifest["status"] == "running"
        assert_holds(reader, flat(waves[: done + 1]))


@pytest.mark.parametrize("kept", [0, 1, 40, -1])
def test_a_line_that_a_crash_cut_short_is_cut_off_and_its_run_is_repeated(study, waves, tmp_path, kept):
    store = Store.create(tmp_path, study, ENVIRONMENT)
    for wave in waves[:2]:
        store.add(wave)
    lines = (tmp_path / "runs.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "runs.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:kept])
    (tmp_path / ".tmp-runs.jsonl").write_bytes(b"half")
    assert_holds(Store.read(tmp_path), flat(waves)[:3])
    resumed = Store.resume(tmp_path, study, ENVIRONMENT)
    resumed.add(flat(waves)[3:4])
    resumed.add(waves[2])
    resumed.close("complete")
    assert_holds(Store.read(tmp_path), flat(waves))
    assert sorted(os.listdir(tmp_path)) == ["curves.npz", "manifest.json", "runs.jsonl"]


class Crash(BaseException):
    """Stands for the end of the process: nothing catches it."""


# Four calls a wave, six at the end.
@pytest.mark.parametrize("at", range(18))
def test_a_crash_at_any_system_call_leaves_a_store_that_can_be_finished(study, waves, tmp_path, monkeypatch, at):
    """The process ends at the `at`-th rename or fsync of a study; the next one resumes and ends with the same results."""
    real = {name: getattr(os, name) for name in ("replace", "fsync")}
    calls = iter(range(1000))

    def failing(name):
        def call(*arguments):
            if next(calls) == at:
                raise Crash
            return real[name](*arguments)

        return call

    store = Store.create(tmp_path, study, ENVIRONMENT)
    with monkeypatch.context() as patch:
        for name in real:
            patch.setattr(os, name, failing(name))
        try:
            for wave in waves:
                store.add(wave)
            store.close("complete")
            pytest.fail("the study made fewer calls than are tried here")
        except Crash:
            pass
    seen = Store.read(tmp_path)
    assert_holds(seen, flat(waves)[: len(seen.runs)])
    resumed = Store.resume(tmp_path, study, ENVIRONMENT)
    for row in flat(waves)[len(seen.runs) :]:
        resumed.add([row])
    resumed.close("complete")
    assert_holds(Store.read(tmp_path), flat(waves))
    assert sorted(os.listdir(tmp_path)) == ["curves.npz", "manifest.json", "runs.jsonl"]


def test_the_same_directory_again_is_refused(store, study):
    with pytest.raises(StudyError, match="already holds results; choose another directory, or --resume, or --overwrite"):
        Store.create(store.directory, study, ENVIRONMENT)


def test_overwriting_removes_the_stores_own_files_and_no_others(store, study):
    own = store.directory / "tensorboard" / "m" / "events"
    others = [store.directory / name for name in ("notes.txt", "tensorboard/mine", "curves/mine.npz", "curves.npz.bak")]
    for path in [own, *others]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("precious")
    store.note(files=[own])
    fresh = Store.create(store.directory, study, ENVIRONMENT, overwrite=True)
    assert fresh.runs == []
    assert Store.read(store.directory).runs == []
    assert not own.parent.exists()
    assert not (store.directory / "curves.npz").exists()
    assert [path.read_text() for path in others] == ["precious"] * 4


def test_overwriting_follows_no_name_that_leads_out_of_the_directory(store, study, tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("precious")
    (store.directory / "link").symlink_to(tmp_path)
    manifest = json.loads((store.directory / "manifest.json").read_text())
    write_manifest(store.directory, {**manifest, "files": ["../outside.txt", str(outside), "link/outside.txt"]})
    Store.create(store.directory, study, ENVIRONMENT, overwrite=True)
    assert outside.read_text() == "precious"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_directory_with_other_files_is_never_written_to(study, tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(StudyError, match=r"holds other files \(thesis.tex\) and no results of a study"):
        Store.create(tmp_path, study, ENVIRONMENT, overwrite=overwrite)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_manifest_that_is_not_a_studys_is_not_overwritten(study, tmp_path):
    (tmp_path / "manifest.json").write_text('{"name": "a web page"}')
    with pytest.raises(StudyError, match="is not the manifest of a study"):
        Store.create(tmp_path, study, ENVIRONMENT, overwrite=True)
    assert (tmp_path / "manifest.json").read_text() == '{"name": "a web page"}'


def test_a_store_of_another_schema_is_refused(store):
    manifest = json.loads((store.directory / "manifest.json").read_text())
    write_manifest(store.directory, {**manifest, "schema": 1})
    with pytest.raises(StudyError, match="schema version 1, but this version of momentum_jax reads 3"):
        Store.read(store.directory)


def test_a_file_in_place_of_the_directory_is_an_error_of_one_line(study, tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StudyError, match="cannot hold results"):
            Store.create(place, study, ENVIRONMENT)


@pytest.mark.parametrize(
    ("change", "environment", "message"),
    [
        ({"steps": 300}, ENVIRONMENT, "study.steps is 400 there and 300 now"),
        ({"seeds": (0, 1)}, ENVIRONMENT, r"study.seeds is \[0, 1, 2\] there and \[0, 1\] now"),
        ({}, {"versions": {"jax": "1"}}, 'environment.versions.jax is "0" there and "1" now'),
    ],
)
def test_resuming_another_study_is_refused_with_the_difference(store, study, change, environment, message):
    with pytest.raises(StudyError, match=message):
        Store.resume(store.directory, dataclasses.replace(study, **change), environment)


def test_damaged_curves_are_reported_and_not_read_as_data(store):
    path = store.directory / "curves.npz"
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(StudyError, match=r"curves.npz is damaged"):
        store.curves(store.runs[0])


def test_a_damaged_line_is_reported_with_its_number(store):
    path = store.directory / "runs.jsonl"
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace('"accuracy"', '"acuracy"')
    path.write_text("\n".join(lines) + "\n")
    damaged = Store.read(store.directory)
    assert damaged.damage == [f"{path} is damaged: line 2 is not a stored run."]
    assert len(damaged.runs) == len(lines) - 1


def test_numbers_that_are_not_finite_survive_json(study, waves, tmp_path):
    run, curves = waves[0][0]
    store = Store.create(tmp_path, study, ENVIRONMENT)
    store.add([(dataclasses.replace(run, test={**run.test, "loss": float("nan")}, diverged=7), curves)])
    text = (tmp_path / "runs.jsonl").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["test"]["loss"] is None
    again = Store.read(tmp_path).runs[0]
    assert np.isnan(again.test["loss"])
    assert again.diverged == 7


def test_a_store_that_was_moved_is_still_one(store, waves, tmp_path):
    shutil.move(store.directory, tmp_path / "elsewhere")
    assert_holds(Store.read(tmp_path / "elsewhere"), flat(waves))


def test_two_processes_do_not_work_in_one_directory(tmp_path):
    with locked(tmp_path / "out"), pytest.raises(StudyError, match="is in use by another process"), locked(tmp_path / "out"):
        pass
    # Whoever came to nothing leaves nothing.
    assert not (tmp_path / "out").exists()
    with locked(tmp_path):
        (tmp_path / "something").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["something"]


def test_a_wave_whose_lines_are_on_the_disk_is_kept_whatever_interrupted_its_bookkeeping(study, waves, tmp_path, monkeypatch):
    store = Store.create(tmp_path, study, ENVIRONMENT)
    real = os.fsync
    lines = (tmp_path / "runs.jsonl").stat().st_ino

    def fsync(file):
        real(file)
        if os.fstat(file).st_ino == lines:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(KeyboardInterrupt):
            store.add(waves[0])
    store.close("interrupted")
    assert_holds(Store.read(tmp_path), waves[0])


@pytest.mark.parametrize("missing", ["environment", "status", "study"])
def test_a_manifest_that_lacks_an_entry_is_named(study, tmp_path, missing):
    Store.create(tmp_path, study, {})
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest[missing]
    write_manifest(tmp_path, manifest)
    with pytest.raises(StudyError, match=r"manifest\.json is not the manifest of a study, or is damaged; "):
        Store.resume(tmp_path, study, {})


def test_a_kill_between_the_first_two_files_leaves_a_directory_that_can_be_begun_in(study, tmp_path):
    (tmp_path / "runs.jsonl").write_text("")
    assert Store.create(tmp_path, study, ENVIRONMENT).runs == []
    (tmp_path / "manifest.json").unlink()
    (tmp_path / "runs.jsonl").write_text("precious\n")
    with pytest.raises(StudyError, match=r"holds other files \(runs.jsonl\)"):
        Store.create(tmp_path, study, ENVIRONMENT)


@pytest.mark.parametrize("line", [b'"a"\n', b"3\n", b"[1]\n", b"null\n"])
def test_a_line_that_is_json_but_no_run_is_damage(tmp_path, line):
    (tmp_path / "runs.jsonl").write_bytes(line)
    assert stored_runs(tmp_path) == []
    assert not Store.exists(tmp_path)


@pytest.mark.parametrize("gathered", [False, True])
def test_reading_all_curves_opens_each_archive_once(study, waves, tmp_path, monkeypatch, gathered):
    """However many waves there were: what is opened once a run grows with the square of their number."""
    store = Store.create(tmp_path / "store", study, {"versions": {"jax": "0"}})
    for wave in waves:
        store.add(wave)
    if gathered:
        store.close("complete")
    opened = []
    load = np.load
    monkeypatch.setattr(np, "load", lambda file, **options: opened.append(file) or load(file, **options))
    stored = list(store.curves_of(store.runs))
    for curves, (_, made) in zip(stored, itertools.chain(*waves), strict=True):
        np.testing.assert_array_equal(curves.train_loss, made.train_loss)
    # Twice where there are several: once for their names, newest first, once for their arrays.
    assert len(opened) <= (1 if gathered else 2 * len(waves))
    assert all(file.closed for file in opened)


def test_an_archive_that_is_no_archive_is_damage(store):
    with open(store.directory / "curves.npz", "wb") as file:
        np.save(file, np.arange(3))
    with pytest.raises(StudyError, match=r"curves\.npz is damaged"):
        store.curves(store.runs[0])


def test_a_header_that_asks_for_more_memory_than_there_is_is_damage(study, rows, tmp_path):
    """Of an array too long for the archive's checksum to be looked at before its memory is asked for."""
    store = Store.create(tmp_path / "store", dataclasses.replace(study, steps=5000), ENVIRONMENT)
    store.add([(rows.run("m", 0), rows.curves([1.0], np.arange(5000, dtype=np.float32)))])
    store.close("complete")
    path = store.directory / "curves.npz"
    header, huge = b"(5000,), }" + b" " * 10, b"(99999999999999,), }"
    content = path.read_bytes()
    assert header in content
    path.write_bytes(content.replace(header, huge))
    with pytest.raises(StudyError, match=r"curves\.npz is damaged"):
        store.curves(store.runs[0])
