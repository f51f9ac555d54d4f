"""Files that no study wrote, checksums that agree included: one line names the damage, nothing waits, nothing else is lost."""

import errno
import hashlib
import io
import json
import os
import re
import signal
import stat
import zipfile

import numpy as np
import pytest

from momentum_jax.studies import StudyError, run
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.errors import DamageWarning
from momentum_jax.studies.store import Curves, Store, locked, stored_runs
from momentum_jax.studies.store.records import digest_of

ENVIRONMENT = {"versions": {"jax": "0"}}
DEEP = 100_000


def signed(content):
    """With a checksum that agrees."""
    content.pop("sha256", None)
    return {**content, "sha256": hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}


def with_line(store, text):
    """The store with another second line."""
    path = store.directory / "runs.jsonl"
    lines = path.read_text().splitlines()
    lines[1] = text
    path.write_text("\n".join(lines) + "\n")
    return Store.read(store.directory)


def line(store, **fields):
    """The second line with other values; `test.loss` is one of its scores."""
    content = json.loads((store.directory / "runs.jsonl").read_text().splitlines()[1])
    for name, value in fields.items():
        part, _, score = name.partition(".")
        content[part] = {**content[part], score: value} if score else value
    return json.dumps(signed(content))


def assert_one_line_is_damaged(store, *said):
    (sentence,) = store.damage
    assert re.search(r"runs\.jsonl is damaged: (line 2|run arm-0/seed-1) is not a stored run", sentence)
    for each in said:
        assert each in sentence
    assert "\n" not in sentence
    assert len(sentence) < len(str(store.directory)) + 200
    assert len(store.runs) == 5
    assert analyse(store).to_json()


OF_IMAGES = [
    ("test.accuracy", 7.5),
    ("test.accuracy", 10**400),
    ("test.accuracy", True),
    ("test.accuracy", "0.9"),
    ("test.accuracy", None),
    ("test.mcc", -2),
    ("test.mcc", None),
    ("test.loss", 1e300),
    ("test.loss", 10**400),
    ("test.loss", None),
    ("validation.loss", [1]),
    ("validation.loss", None),
    ("validation.accuracy", -0.1),
    ("validation.accuracy", None),
    ("test.confusion", [[1, 2], [3]]),
    ("test.confusion", [[1, 2]]),
    ("test.confusion", []),
    ("test.confusion", None),
    ("test.confusion", 3),
    ("test.confusion", [[1, -1], [0, 1]]),
    ("test.confusion", [[1, 0.5], [0, 1]]),
    ("test.confusion", [[1, None], [0, 1]]),
    ("test.confusion", [[True, False], [False, True]]),
    ("test.confusion", [[10**30, 0], [0, 1]]),
    ("test.confusion", "x" * 1000),
]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *OF_IMAGES,
        ("test", {}),
        ("test", None),
        ("test", [["accuracy", 0.9]]),
        ("test.accuracy", [0.9]),
        ("test.", 0.5),
        ("test.two\nlines", 0.5),
        ("validation", {}),
        ("validation", "accuracy"),
        ("validation.mcc", 1.5),
        ("validation.a/b", 0.5),
        ("seed", -1),
        ("seed", 2**40),
        ("seed", 1.0),
        ("diverged", -1),
        ("diverged", "never"),
        ("seconds", -1.0),
        ("seconds", 1e308),
        ("seconds", None),
        ("name", 3),
        ("arm", None),
        ("optimizer", ["x"] * 100_000),
        ("key", 5),
        ("arrays", {}),
    ],
    ids=lambda value: str(value)[:16],
)
def test_a_value_that_no_study_writes_is_damage_though_its_checksum_agrees(store, field, value):
    assert_one_line_is_damaged(with_line(store, line(store, **{field: value})))


def test_a_field_that_no_run_has_is_damage(store):
    assert_one_line_is_damaged(with_line(store, line(store, wealth=3)))


@pytest.mark.parametrize("name", ["accuracy", "loss", "mcc", "confusion"])
def test_a_run_without_one_of_its_scores_is_damage(store, name):
    content = json.loads(line(store))
    del content["test"][name]
    assert_one_line_is_damaged(with_line(store, json.dumps(signed(content))), name)


@pytest.mark.parametrize("part", ["test", "validation"])
def test_a_score_that_images_have_not_is_damage(store, part):
    assert_one_line_is_damaged(with_line(store, line(store, **{f"{part}.wealth": 3})), "wealth")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_know_are_damage(store, number):
    text = line(store, **{"test.loss": float(number.lower().replace("infinity", "inf"))})
    assert f'"loss": {number}' in text
    assert_one_line_is_damaged(with_line(store, text))


def test_a_matrix_of_other_classes_than_all_others_is_damage(store):
    lost = with_line(store, line(store, **{"test.confusion": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}))
    (sentence,) = lost.damage
    assert "the arrays of run arm-0/seed-1 have not the shapes of the other runs'" in sentence
    assert analyse(lost).runs == 5


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_a_line_nested_without_end_costs_itself_alone(store, opening):
    assert_one_line_is_damaged(with_line(store, opening * DEEP))
    with pytest.warns(DamageWarning, match="line 2 is not a stored run"):
        assert len(Store.resume(store.directory, store.study, ENVIRONMENT).runs) == 5


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_manifest_nested_without_end_is_written_anew(store, opening):
    (store.directory / "manifest.json").write_text(opening * DEEP)
    with pytest.raises(StudyError, match="is not the manifest of a study, or is damaged"):
        Store.read(store.directory)
    with pytest.warns(DamageWarning, match="written anew"):
        assert len(Store.resume(store.directory, store.study, ENVIRONMENT).runs) == 6


def test_of_many_damaged_lines_the_first_are_named(store):
    (store.directory / "runs.jsonl").write_text("x\n" * 1000)
    damage = Store.read(store.directory).damage
    assert len(damage) == 11
    assert "990 further lines" in damage[-1]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("planned", "x"),
        ("planned", -1),
        ("planned", 10**30),
        ("planned", [[]] * 1000),
        ("seeds_added", "01"),
        ("seeds_added", [1.5]),
        ("adding", {}),
        ("seconds", {"training": "long"}),
        ("seconds", {"training": -1}),
        ("seconds", 5),
        ("files", [5]),
        ("files", ["a\0b"]),
        ("files", "report.html"),
        ("machine", {"cores": "two"}),
        ("machine", 7),
        ("manifest_lost", "no"),
        ("environment", {"versions": ["jax"]}),
        ("environment", {"versions": {"jax": {}}}),
        ("environment", {"backend": 4}),
        ("environment", {"data": 4}),
    ],
)
def test_an_entry_that_no_manifest_has_is_damage_and_no_run_is_lost(store, field, value):
    path = store.directory / "manifest.json"
    path.write_text(json.dumps(signed({**json.loads(path.read_text()), field: value})))
    with pytest.raises(
        StudyError, match=rf"manifest\.json is damaged: {field} must be .*, got .*; run the study again"
    ) as refused:
        Store.read(store.directory)
    assert len(str(refused.value)) < len(str(path)) + 250
    with pytest.warns(DamageWarning, match="written anew"):
        assert len(Store.resume(store.directory, store.study, ENVIRONMENT).runs) == 6
    assert Store.read(store.directory).damage == []


def test_a_manifest_that_leaves_fields_out_means_their_defaults(store):
    path = store.directory / "manifest.json"
    manifest = json.loads(path.read_text())
    for name in ("examples", "sampling", "search"):
        del manifest["study"][name]
    path.write_text(json.dumps(signed(manifest)))
    assert Store.read(store.directory).study == store.study
    assert len(Store.resume(store.directory, store.study, ENVIRONMENT).runs) == 6


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_json_does_not_know_are_damage_in_a_manifest_too(store, number):
    path = store.directory / "manifest.json"
    content = signed({**json.loads(path.read_text()), "more": float(number.lower().replace("infinity", "inf"))})
    path.write_text(json.dumps(content).replace("Infinity", number))
    with pytest.raises(StudyError, match=r"manifest\.json is not the manifest of a study, or is damaged"):
        Store.read(store.directory)


@pytest.mark.parametrize("length", [1, 399, 401])
def test_a_run_of_another_length_is_damage_though_its_checksums_agree(store, length):
    path = store.directory / "curves.npz"
    with np.load(path) as archive:
        arrays = dict(archive.items())
    arrays["arm-0/seed-1/train_loss"] = np.ones(length, np.float32)
    np.savez(path, **arrays)
    names = ("train_loss", "steps", "validation_accuracy", "validation_loss")
    digest = digest_of(Curves.of({name: arrays[f"arm-0/seed-1/{name}"] for name in names}))
    read = with_line(store, line(store, arrays=digest))
    assert read.damage == []
    with pytest.raises(StudyError, match=r"curves\.npz is damaged: run arm-0/seed-1 .* length"):
        list(read.curves_of(read.runs))


@pytest.mark.parametrize(
    "change",
    [{"steps": "many"}, {"arms": 5}, {"arms": [[]]}, {"network": []}, {"seeds": [{}]}, {"search": {"score": []}}],
)
def test_a_manifest_of_no_study_is_refused_in_one_line(store, change):
    path = store.directory / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(signed({**manifest, "study": {**manifest["study"], **change}})))
    with pytest.raises(StudyError, match=r"manifest\.json"):
        Store.read(store.directory)


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def header(text):
    return b"\x93NUMPY\x01\x00" + (len(text) + 1).to_bytes(2, "little") + text.encode() + b"\n"


@pytest.mark.parametrize(
    "member",
    [
        b"",
        b"hello",
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000000,)}"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (-4,)}"),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}") + bytes(8),
        header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {'(' * 5000}}}"),
        header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {'-' * 5000}1}}"),
        npy(np.zeros((4, 1), np.float32)),
        npy(np.array(["a"])),
    ],
    ids=["empty", "no array", "16 TB", "negative", "objects", "nested", "unary", "two axes", "text"],
)
def test_an_archive_whose_member_is_not_the_runs_array_is_damage_of_that_run_alone(store, member, monkeypatch):
    path = store.directory / "curves.npz"
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, member if name == "arm-0/seed-1/train_loss.npy" else data)
    read = Store.read(store.directory)
    with pytest.raises(StudyError, match=r"curves\.npz is damaged") as refused:
        read.curves(read.runs[1])
    assert len(str(refused.value)) < len(str(path)) + 150
    assert read.curves(read.runs[2]).steps.tolist() == [0, 100, 200]
    with pytest.warns(DamageWarning, match=r"curves\.npz is damaged"):
        assert len(Store.resume(store.directory, store.study, ENVIRONMENT).runs) == 5


def test_an_archive_that_would_unpack_to_much_more_than_a_run_has_is_not_unpacked(store, monkeypatch):
    """A hundredth of it: what it announces is compared with what a run of so many steps can have."""
    path = store.directory / "curves.npz"
    start = header("{'descr': '<f4', 'fortran_order': False, 'shape': (25000000,)}")
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("arm-0/seed-0/train_loss.npy", "w") as member,
    ):
        member.write(start)
        for _ in range(100):
            member.write(bytes(10**6))
    read = []
    whole = zipfile.ZipExtFile.read
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda self, n=-1: read.append(whole(self, n)) or read[-1])
    store = Store.read(store.directory)
    with pytest.raises(StudyError, match=r"would unpack to 100,000,\d+ bytes"):
        store.curves(store.runs[0])
    assert sum(map(len, read)) < 10**6


@pytest.fixture
def in_time():
    """Ends a test that waits for somebody to write into a pipe."""

    def late(*_):
        raise TimeoutError("it waits for a pipe")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", ["runs.jsonl", "curves.npz"])
def test_a_pipe_in_the_place_of_a_file_is_damage_and_mended(store, waves, in_time, name):
    path = store.directory / name
    path.unlink()
    os.mkfifo(path)
    read = Store.read(store.directory)
    if name == "curves.npz":
        with pytest.raises(StudyError, match="it is no regular file"):
            read.curves(read.runs[0])
    else:
        assert read.damage == [f"{path} cannot be read (it is no regular file)."]
    with pytest.warns(DamageWarning, match="it is no regular file"):
        resumed = Store.resume(store.directory, store.study, ENVIRONMENT)
    for wave in waves:
        resumed.add(wave)
    resumed.close("complete")
    assert stat.S_ISREG(path.stat().st_mode)
    assert len(Store.read(store.directory).runs) == 6


def test_a_pipe_in_the_place_of_the_manifest_is_said(store, in_time):
    path = store.directory / "manifest.json"
    path.unlink()
    os.mkfifo(path)
    for read in (Store.read, lambda directory: Store.resume(directory, store.study, ENVIRONMENT)):
        with pytest.raises(StudyError, match=r"manifest\.json cannot be read \(it is no regular file\)"):
            read(store.directory)


def test_a_pipe_put_there_while_a_study_runs_does_not_hold_it_up(store, waves, in_time):
    (store.directory / "runs.jsonl").unlink()
    os.mkfifo(store.directory / "runs.jsonl")
    with pytest.raises(OSError, match=r"No such device|no regular file"):
        store.add(waves[0])


@pytest.mark.parametrize("door", [Store.read, Store.exists, stored_runs, lambda path: locked(path).__enter__()])
@pytest.mark.parametrize("name", ["a\0b", "a" * 5000])
def test_a_name_that_no_directory_can_have_is_an_error_of_one_line(tmp_path, door, name):
    with pytest.raises(StudyError, match=r"NUL|too long") as refused:
        door(tmp_path / name)
    assert len(str(refused.value)) < 300
    assert "\0" not in str(refused.value)


def test_temporary_files_lead_nowhere(study, waves, tmp_path, monkeypatch):
    """Whatever links lie there before under names that a store once used."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    directory = tmp_path / "store"
    directory.mkdir()
    for name in ("manifest.json", "runs.jsonl", "curves.npz", "lock"):
        (directory / f".tmp-{name}").symlink_to(victim)
    flags, real = [], os.open

    def opened(path, flag, *arguments, **options):
        if flag & (os.O_WRONLY | os.O_RDWR):
            flags.append((os.path.basename(path), bool(flag & os.O_EXCL)))
        return real(path, flag, *arguments, **options)

    with locked(directory), monkeypatch.context() as patch:
        patch.setattr(os, "open", opened)
        store = Store.create(directory, study, ENVIRONMENT)
        store.add(waves[0])
        store.close("complete")
    assert victim.read_text() == "precious"
    made = [(name, exclusive) for name, exclusive in flags if name.startswith(".tmp-")]
    assert len(made) >= 5
    assert all(exclusive for _, exclusive in made)
    assert len({name for name, _ in made}) == len(made)


def test_archives_that_are_not_a_waves_are_left_alone(study, waves, tmp_path):
    store = Store.create(tmp_path, study, ENVIRONMENT)
    store.add(waves[0])
    others = [
        tmp_path / "curves" / name
        for name in ("0x.npz", "2024-results.npz", "1.npz", "\u0661\u0661\u0661\u0661\u0661\u0661.npz")
    ]
    for path in others:
        path.write_text("precious")
    store.add(waves[1])
    store.close("complete")
    assert [path.read_text() for path in others] == ["precious"] * 4


@pytest.mark.parametrize("at", range(9))
def test_a_full_disk_leaves_a_store_whose_runs_can_be_read_and_no_temporary_files(study, waves, tmp_path, monkeypatch, at):
    store = Store.create(tmp_path, study, ENVIRONMENT)
    store.add(waves[0])
    calls, real = iter(range(1000)), os.fsync

    def full(file):
        if next(calls) == at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    def finish():
        for wave in waves[1:]:
            store.add(wave)
        store.close("complete")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            finish()
    assert list(tmp_path.rglob(".tmp-*")) == []
    again = Store.read(tmp_path)
    assert again.damage == []
    assert len(list(again.curves_of(again.runs))) >= 2


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), ValueError("orbax: write failed: No space left on device; errno 28")],
)
@pytest.mark.parametrize("resume", [True, False])
def test_a_full_disk_names_the_directory_and_what_goes_on(tmp_path, monkeypatch, error, resume):
    from momentum_jax.studies import Arm, Study

    def full(*arguments):
        raise error

    monkeypatch.setattr(run, "_finish", full)
    study = Study(arms=(Arm("sgd(0.1)"),), seeds=(0,), steps=1)
    told = rf"no space left for {tmp_path / 'out'}; .* {'the same command' if resume else 'resuming the study'} goes on"
    with pytest.raises(StudyError, match=told):
        run.run_study(study, tmp_path / "out", resume=resume)
