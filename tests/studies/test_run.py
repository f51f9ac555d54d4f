"""Running a study: the numbers are those of the trainer, a study that was stopped ends as one that was not."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from made_studies import made

from momentum_jax.data import DataError, load
from momentum_jax.studies import Arm, Network, Study, StudyError, bench
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.errors import DamageWarning
from momentum_jax.studies.run import add_seeds, run_study, with_more_seeds
from momentum_jax.studies.store import Store

# Two arms share a program; the third diverges at once.
TINY = Study(
    network=Network(hidden=(8,)),
    steps=25,
    batch=32,
    seeds=(0, 5),
    arms=(Arm("gradient_descent(0.1)"), Arm("gradient_descent(0.5)"), Arm("heavy_ball(1e30, 0.9)", "wild")),
    target=2.0,
    evaluate_every=10,
    ladder=False,
    noise_floor=False,
)


class Killed(BaseException):
    """Stands for the end of the process."""


def run_once(study, directory, **options):
    """On one device, so that the waves are of one run wherever the tests run."""
    return run_study(study, directory, devices=jax.local_devices()[:1], **options)


def results(directory):
    """All that a study says, less the time it took: runs and arrays to the bit."""
    store = Store.read(directory)
    runs = [dataclasses.replace(each, seconds=0.0) for each in store.runs]
    with np.load(directory / "curves.npz", allow_pickle=False) as arrays:
        return repr(runs), {name: arrays[name].tobytes() for name in arrays.files}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("finished")
    run_once(TINY, directory)
    return directory


def test_every_arm_is_run_from_every_seed(finished):
    store = Store.read(finished)
    assert store.manifest["status"] == "complete"
    assert {(each.arm, each.seed) for each in store.runs} == {(arm.label, seed) for arm in TINY.arms for seed in TINY.seeds}
    for each in store.runs:
        curves = store.curves(each)
        assert curves.train_loss.shape == (25,)
        assert curves.steps.tolist() == [0, 10, 20, 25]
        confusion = each.test["confusion"]
        assert np.sum(confusion) == 359
        assert np.trace(confusion) / 359 == pytest.approx(each.test["accuracy"])


def test_a_second_study_of_the_same_arms_finds_the_programs_of_the_first(finished, tmp_path):
    assert run_once(TINY, tmp_path).manifest["seconds"]["compile"] == 0
    assert results(tmp_path) == results(finished)


def test_a_seed_fixes_split_initialisation_and_batches_of_all_arms(finished):
    store = Store.read(finished)
    curves = {(each.arm, each.seed): store.curves(each) for each in store.runs}
    for seed in TINY.seeds:
        first = {curves[arm.label, seed].train_loss[0] for arm in TINY.arms}
        before = {curves[arm.label, seed].validation["loss"][0] for arm in TINY.arms}
        assert len(first) == len(before) == 1
    assert curves["wild", 0].validation["loss"][0] != curves["wild", 5].validation["loss"][0]


def test_each_run_has_the_split_of_its_seed_and_the_program_of_its_group(tmp_path, monkeypatch):
    seen = {}

    def stop(keys, make_optimizer, hyperparameters, problem, *, splits, **options):
        seen.update(keys=keys, make=make_optimizer, numbers=hyperparameters, split=problem.data.split, splits=splits)
        raise Killed

    monkeypatch.setattr(bench, "train_many", stop)
    with pytest.raises(Killed):
        run_once(TINY, tmp_path)
    dataset = load("digits")
    seeds = [seed for _ in TINY.arms for seed in TINY.seeds]
    assert [int(seed) for seed in jax.random.key_data(seen["keys"])[:, 1]] == seeds
    for seed, row in zip(seeds, seen["splits"], strict=True):
        for part, expected in zip(seen["split"](row), dataset.split(seed), strict=True):
            np.testing.assert_array_equal(part, expected)

    # Arms that differ in a number alone are one program to the trainer, which compiles once for each constructor.
    assert seen["make"][0] is seen["make"][2]
    assert seen["make"][0] is not seen["make"][4]
    assert [numbers["learning_rate"] for numbers in seen["numbers"]] == [0.1, 0.1, 0.5, 0.5, 1e30, 1e30]


def test_of_fewer_examples_each_seed_uses_the_first_of_its_own_and_is_evaluated_on_as_many_as_ever(tmp_path, monkeypatch):
    seen = {}

    def stop(*arguments, splits, **options):
        seen.update(split=arguments[3].data.split, splits=splits)
        raise Killed

    monkeypatch.setattr(bench, "train_many", stop)
    with pytest.raises(Killed):
        run_once(dataclasses.replace(TINY, examples=40), tmp_path)
    for index, seed in enumerate(TINY.seeds):
        split = load("digits").split(seed)
        train, validation, test = seen["split"](seen["splits"][index])
        np.testing.assert_array_equal(train, split.train[:40])
        np.testing.assert_array_equal(validation, split.validation)
        np.testing.assert_array_equal(test, split.test)


def test_a_larger_learning_rate_has_learned_more_after_a_few_steps(finished):
    store = Store.read(finished)
    last = {(each.arm, each.seed): store.curves(each).validation["loss"][-1] for each in store.runs}
    for seed in TINY.seeds:
        assert last["gradient_descent(0.5)", seed] < last["gradient_descent(0.1)", seed] < np.log(10) + 0.5


def test_a_diverged_run_is_stored_as_diverged(finished):
    diverged = {(each.arm, each.seed): each.diverged for each in Store.read(finished).runs}
    for seed in TINY.seeds:
        assert diverged["wild", seed] in range(25)
        assert diverged["gradient_descent(0.1)", seed] is None


@pytest.mark.parametrize("waves", [pytest.param(0, marks=pytest.mark.slow), 1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_study_that_was_killed_and_resumed_equals_one_that_ran_through(finished, tmp_path, monkeypatch, waves):
    add, before = Store.add, []

    def dying(self, wave):
        if len(before) == waves:
            raise Killed
        before.append(wave)
        add(self, wave)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "add", dying)
        with pytest.raises(Killed):
            run_once(TINY, tmp_path)
    stored = len(Store.read(tmp_path).runs)
    assert stored == sum(map(len, before))
    again = []
    monkeypatch.setattr(Store, "add", lambda self, wave: (again.extend(wave), add(self, wave))[1])
    run_once(TINY, tmp_path, resume=True)
    assert len(again) == 6 - stored
    assert results(tmp_path) == results(finished)


def test_ctrl_c_leaves_what_was_finished_and_says_that_it_was_interrupted(finished, tmp_path):
    def interrupt(progress):
        if progress.phase == "compile" and progress.model_steps > 75:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_once(TINY, tmp_path, on_progress=interrupt)
    store = Store.read(tmp_path)
    assert store.manifest["status"] == "interrupted"
    assert 0 < len(store.runs) < 6
    assert len(np.load(tmp_path / "curves.npz").files) == 5 * len(store.runs)
    run_once(TINY, tmp_path, resume=True)
    assert results(tmp_path) == results(finished)


def test_a_study_that_was_killed_at_its_report_is_finished_by_the_next_command(finished, tmp_path, monkeypatch):
    directory = tmp_path / "copy"
    shutil.copytree(finished, directory)
    seen = []

    def report(store):
        seen.append((json.loads((directory / "manifest.json").read_text())["status"], analyse(store).status))
        if len(seen) == 1:
            raise Killed

    monkeypatch.setattr(Store, "add", lambda self, wave: pytest.fail("a run was repeated"))
    with pytest.raises(Killed):
        run_once(TINY, directory, resume=True, on_complete=report)
    assert Store.read(directory).manifest["status"] == "running"
    assert analyse(Store.read(directory)).status == "complete"
    with pytest.raises(StudyError, match="is not complete; run the study to its end first"):
        with_more_seeds(directory, 1)
    store = run_once(TINY, directory, resume=True, on_complete=report)
    # What a report says of itself is what it will be, and is recorded afterwards.
    assert seen == [("running", "complete")] * 2
    assert store.manifest["status"] == Store.read(directory).manifest["status"] == "complete"
    assert results(directory) == results(finished)


def test_foreign_runs_in_the_place_of_ones_own_are_moved_aside_and_ones_own_are_made_again(finished, tmp_path):
    directory = tmp_path / "copy"
    shutil.copytree(finished, directory)
    made(tmp_path / "other", dataclasses.replace(TINY, steps=3, evaluate_every=1, seeds=(0, 5, 7)))
    theirs = {name: (tmp_path / "other" / name).read_bytes() for name in ("runs.jsonl", "curves.npz")}
    for name, content in theirs.items():
        (directory / name).write_bytes(content)
    with pytest.warns(DamageWarning, match=r"holds 9 runs that are not of this study .*aside-1"):
        run_once(TINY, directory, resume=True)
    assert results(directory) == results(finished)
    assert (directory / "aside-1" / "lines.jsonl").read_bytes() == theirs["runs.jsonl"]
    assert (directory / "aside-1" / "curves.npz").read_bytes() == theirs["curves.npz"]


def test_resuming_a_finished_study_runs_nothing(finished, monkeypatch):
    before = results(finished)
    monkeypatch.setattr(Store, "add", lambda self, wave: pytest.fail("a run was repeated"))
    run_once(TINY, finished, resume=True)
    assert results(finished) == before


@pytest.mark.parametrize("stop", [Killed, KeyboardInterrupt])
def test_adding_seeds_that_was_stopped_at_the_report_adds_them_once(finished, tmp_path, stop):
    directory = tmp_path / "copy"
    shutil.copytree(finished, directory)

    def stopped(store):
        raise stop

    with pytest.raises(stop):
        add_seeds(directory, 1, devices=jax.local_devices()[:1], on_complete=stopped)
    assert Store.read(directory).study.seeds == (0, 5, 6)
    reported = []
    add_seeds(directory, 1, devices=jax.local_devices()[:1], on_complete=reported.append)
    assert Store.read(directory).study.seeds == (0, 5, 6)
    assert len(reported) == 1
    assert with_more_seeds(directory, 1).seeds == (0, 5, 6, 7)


def test_fewer_seeds_than_a_study_began_with_are_another_study(finished, tmp_path):
    directory = tmp_path / "copy"
    shutil.copytree(finished, directory)
    with pytest.raises(StudyError, match=r"cannot be resumed: study\.seeds is \[0, 5\] there and \[0\] now"):
        run_once(dataclasses.replace(TINY, seeds=(0,)), directory, resume=True)
    add_seeds(directory, 1, devices=jax.local_devices()[:1])
    assert run_once(TINY, directory, resume=True).study.seeds == (0, 5, 6)


def test_resuming_where_nothing_lies_begins(tmp_path):
    study = dataclasses.replace(TINY, arms=TINY.arms[:1], seeds=(0,), steps=2)
    assert len(run_study(study, tmp_path / "new", resume=True).runs) == 1


def test_another_study_in_the_same_directory_is_refused(finished):
    other = dataclasses.replace(TINY, batch=16)
    with pytest.raises(StudyError, match=r"study\.batch is 32 there and 16 now"):
        run_study(other, finished, resume=True)
    with pytest.raises(StudyError, match="already holds results"):
        run_once(TINY, finished)
    with pytest.raises(StudyError, match="exclude each other"):
        run_once(TINY, finished, resume=True, overwrite=True)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"arms": (Arm("heavy_ball(0.1, 2)"),)}, StudyError, r"momentum must be in \[0, 1\), got 2"),
        ({"arms": (Arm("optax.lbfgs(0.1)"),)}, StudyError, "cannot train this problem"),
        ({"batch": 2000}, StudyError, "batch must be at most 1079, the training examples of digits, got 2000"),
        ({"examples": 2000}, StudyError, "examples must be at most 1079, the training examples of digits, got 2000"),
        ({"size": 14}, DataError, "size must be 8 or None for 'digits', got 14"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_written(tmp_path, change, kind, message):
    with pytest.raises(kind, match=message):
        run_study(dataclasses.replace(TINY, **change), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_manifest_says_what_the_numbers_depend_on(finished):
    manifest = json.loads((finished / "manifest.json").read_text())
    assert Study.from_dict(manifest["study"]) == TINY
    assert set(manifest["environment"]["versions"]) == {"momentum_jax", "jax", "jaxlib", "optax", "flax", "numpy", "scipy"}
    assert manifest["environment"]["backend"]["platform"]
    assert manifest["seconds"]["training"] > 0


@pytest.fixture
def own(tmp_path):
    """A study of a file of the user's, which lies in a directory of its own."""
    images = np.random.default_rng(0).integers(0, 256, (60, 4, 4), np.uint8)
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data" / "mine.npz", images=images, labels=np.arange(60) % 2)
    return dataclasses.replace(TINY, dataset=str(tmp_path / "data" / "mine.npz"), steps=2, batch=4, arms=TINY.arms[:1])


def trained(monkeypatch):
    """The names of the runs that are made from now on."""
    names, add = [], Store.add
    monkeypatch.setattr(Store, "add", lambda self, wave: (names.extend(run.name for run, _ in wave), add(self, wave))[1])
    return names


@pytest.mark.slow
def test_a_file_of_ones_own_is_the_same_from_wherever_it_is_named(own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "data")
    here = dataclasses.replace(own, dataset="mine.npz")
    monkeypatch.chdir(tmp_path)
    assert here == dataclasses.replace(own, dataset="data/mine.npz") == own
    assert here.data_name == "mine.npz"
    run_once(here, "out")
    monkeypatch.chdir(tmp_path / "data")
    repeated = trained(monkeypatch)
    run_once(own, "../out", resume=True)
    assert repeated == []
    add_seeds("../out", 1, devices=jax.local_devices()[:1])
    assert repeated == ["arm-0/seed-6"]


@pytest.mark.slow
def test_a_file_that_was_moved_is_known_by_its_content(own, tmp_path, monkeypatch):
    run_once(own, tmp_path / "out")
    add_seeds(tmp_path / "out", 1, devices=jax.local_devices()[:1])
    moved = dataclasses.replace(own, dataset=str(tmp_path / "data" / "mine.npz").replace("data", "elsewhere"))
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    repeated = trained(monkeypatch)
    store = run_once(moved, tmp_path / "out", resume=True)
    assert repeated == []
    assert store.study == dataclasses.replace(moved, seeds=(0, 5, 6))


@pytest.mark.parametrize("what", ["a pixel", "the division"])
def test_a_file_of_other_content_is_another_study(own, tmp_path, what):
    run_once(own, tmp_path / "out")
    with np.load(own.dataset) as stored:
        images, labels = stored["images"].copy(), stored["labels"]
    if what == "a pixel":
        images[3, 1, 1] ^= 1
        np.savez(own.dataset, images=images, labels=labels)
    else:
        np.savez(own.dataset, images=images[:40], labels=labels[:40], test_images=images[40:], test_labels=labels[40:])
    with pytest.raises(StudyError, match=r"cannot be resumed: the images and labels of mine\.npz are not those"):
        run_once(own, tmp_path / "out", resume=True)


def test_a_data_set_too_small_to_be_divided_is_refused_and_leaves_nothing(tmp_path):
    np.savez(tmp_path / "few.npz", images=np.zeros((3, 4, 4), np.uint8), labels=np.array([0, 1, 1]))
    study = Study(dataset=str(tmp_path / "few.npz"), steps=1, batch=1, seeds=(0,), arms=(Arm("sgd(0.1)"),))
    with pytest.raises(StudyError, match="too few images to be divided"):
        run_study(study, tmp_path / "out")
    assert not (tmp_path / "out").exists()
