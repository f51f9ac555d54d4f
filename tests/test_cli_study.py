"""`momentum-jax study`: from a TOML file to a report, again and again, and every mistake in one line."""

import errno
import hashlib
import json
import os
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import filelock
import pytest
from cli_runs import run

from momentum_jax import cli
from momentum_jax.cli import progress
from momentum_jax.cli.arguments import StudyRun
from momentum_jax.cli.specification import specification
from momentum_jax.studies import Arm, Network, Search, Study
from momentum_jax.studies.run import run_study
from momentum_jax.studies.store import Store

pytestmark = pytest.mark.usefixtures("one_figure")

TOML = """
steps = 20
batch = 32
evaluate_every = 10
seeds = 2
target = 2.0
arms = ["gradient_descent(log_uniform(0.01, 1))", "heavy_ball(0.05, 0.9)"]
search = {trials = 2, seeds = 1}
network = {hidden = [8]}
"""
# Two trials, two arms and two rungs from two seeds, the control from two.
RUNS = 2 + 2 * 2 + 2 * 2 + 2


@pytest.fixture(scope="module")
def written(one_figure, tmp_path_factory):
    directory = tmp_path_factory.mktemp("studies")
    (directory / "mine.toml").write_text(TOML)
    code = cli.main(["study", "run", str(directory / "mine.toml")])
    assert code == 0
    return directory / "mine"


def test_a_file_becomes_a_report_beside_it(written):
    names = {path.name for path in written.iterdir()}
    assert names == {"report.html", "report.md", "report.json", "figures", "manifest.json", "runs.jsonl", "curves.npz"}
    assert {path.name for path in (written / "figures").iterdir()} == {"learning_curves.png", "learning_curves.pdf"}
    assert len(Store.read(written).runs) == RUNS
    assert "<html" in (written / "report.html").read_text()
    assert json.loads((written / "report.json").read_text())["missing"] == 0


def test_run_again_it_has_nothing_to_do_and_says_the_same(written, capfd):
    before = (written / "runs.jsonl").read_bytes()
    code, out, err = run(capfd, "study", "run", f"{written}.toml")
    assert code == 0, err
    assert (written / "runs.jsonl").read_bytes() == before
    assert "gradient_descent, tuned: gradient_descent(0." in out
    assert "2 seeds can show no difference of any size, so nothing is claimed: run at least 6." in out
    assert "report.html" in out


def test_the_numbers_of_the_report_are_printed_as_json(written, capfd):
    code, out, _ = run(capfd, "study", "report", str(written), "--json")
    assert code == 0
    assert json.loads(out) == json.loads((written / "report.json").read_text())


def test_the_report_is_written_anew(written, capfd):
    (written / "report.html").unlink()
    code, _, err = run(capfd, "study", "report", str(written))
    assert code == 0, err
    assert (written / "report.html").exists()
    assert "What it held" not in err


def test_studies_are_listed(written, capfd):
    (written.parent / "web").mkdir(exist_ok=True)
    (written.parent / "web" / "manifest.json").write_text("{}")
    code, out, err = run(capfd, "study", "list", str(written.parent))
    assert code == 0, err
    assert re.search(rf"mine .* {RUNS} of {RUNS} .*complete", out)
    assert "web" not in out


def test_a_study_that_lost_its_runs_is_listed_and_its_report_says_what_is_damaged(written, tmp_path, capfd):
    shutil.copytree(written, tmp_path / "mine")
    runs = tmp_path / "mine" / "runs.jsonl"
    runs.write_bytes(runs.read_bytes().replace(b'"seed": 1,', b'"seed": 7,', 1))
    code, _, err = run(capfd, "study", "report", str(tmp_path / "mine"))
    assert code == 0
    assert re.search(r"runs\.jsonl is damaged: line .* Run the study again to mend it\.", err)
    (tmp_path / "mine" / "curves.npz").write_bytes(b"")
    code, _, err = run(capfd, "study", "report", str(tmp_path / "mine"))
    assert code == 2
    assert re.search(r"curves\.npz is damaged .*; run the study again to mend it\.$", err.strip())
    runs.unlink()
    code, out, _ = run(capfd, "study", "list", str(tmp_path))
    assert f"0 of {RUNS}" in out


@pytest.mark.parametrize("how", ["no lock", "no figures", "no room"])
def test_a_report_that_cannot_be_written_is_printed_and_that_is_said(written, tmp_path, capfd, monkeypatch, how):
    directory = tmp_path / "mine"
    shutil.copytree(written, directory)
    if how == "no lock":
        # As on a directory that may only be read.
        def refused(*arguments, **options):
            raise PermissionError(errno.EACCES, "Permission denied", str(directory))

        monkeypatch.setattr(filelock.FileLock, "acquire", refused)
    elif how == "no figures":
        shutil.rmtree(directory / "figures")
        (directory / "figures").write_text("")
    else:

        def full(file):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    code, out, err = run(capfd, "study", "report", str(directory))
    assert code == 1
    assert "gradient_descent, tuned: gradient_descent(0." in out
    assert "report.html" not in out
    assert re.fullmatch(rf"momentum-jax: the report could not be written to {directory} \(.*\)\.\n", err)
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


def test_runs_of_another_study_are_named_by_its_report_and_not_shown(written, tmp_path, capfd):
    directory = tmp_path / "mine"
    shutil.copytree(written, directory)
    manifest = json.loads((directory / "manifest.json").read_text())
    del manifest["sha256"]
    manifest["environment"]["data"] = "of others"
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (directory / "manifest.json").write_text(json.dumps({**manifest, "sha256": digest}))
    code, out, err = run(capfd, "study", "report", str(directory))
    assert code == 0
    assert f"holds {RUNS} runs that are not of this study" in err
    assert "gradient_descent(0." not in out
    assert f"holds {RUNS} runs that are not of this study" in (directory / "report.md").read_text()
    code, out, _ = run(capfd, "study", "list", str(tmp_path))
    assert f"0 of {RUNS}" in out


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
@pytest.mark.usefixtures("ctrl_c", "hang_up")
def test_a_study_that_is_terminated_says_what_ctrl_c_says_and_is_whole(tmp_path, capfd, monkeypatch, name):
    (tmp_path / "mine.toml").write_text(TOML)
    number = getattr(signal, name)
    before = signal.getsignal(number)
    report = progress.Reporter.__call__

    def terminated(self, now):
        report(self, now)
        if now.phase == "compile" and now.model_steps and not sent:
            sent.append(now)
            os.kill(os.getpid(), number)

    sent = []
    monkeypatch.setattr(progress.Reporter, "__call__", terminated)
    code, out, err = run(capfd, "study", "run", str(tmp_path / "mine.toml"))
    assert (code, out) == (128 + number, "")
    assert re.search(rf"stopped; \d+ of \d+ runs are in {tmp_path / 'mine'}\. The same command goes on from there\.", err)
    assert "Traceback" not in err
    store = Store.read(tmp_path / "mine")
    assert (store.manifest["status"], store.damage) == ("interrupted", [])
    assert 0 < len(store.runs) < RUNS
    assert signal.getsignal(number) is before


def test_where_there_are_no_studies_that_is_said(tmp_path, capfd):
    assert run(capfd, "study", "list", str(tmp_path))[:2] == (0, f"no studies in {tmp_path}\n")


def test_another_study_in_its_place_is_refused(written, capfd):
    code, out, err = run(capfd, "study", "run", f"{written}.toml", "--steps", "30")
    assert (code, out) == (2, "")
    assert "study.steps is 20 there and 30 now" in err


@pytest.mark.exhaustive
def test_seeds_are_added_and_the_report_says_so(tmp_path, capfd):
    (tmp_path / "mine.toml").write_text(TOML)
    assert run(capfd, "study", "run", str(tmp_path / "mine.toml"))[0] == 0
    code, out, err = run(capfd, "study", "add-seeds", str(tmp_path / "mine"), "1")
    assert code == 0, err
    assert "1 of 3 seeds was added" in out
    assert Store.read(tmp_path / "mine").study.seeds == (0, 1, 2)
    # The file still says two seeds: what was added to them stays.
    lines = (tmp_path / "mine" / "runs.jsonl").read_bytes()
    assert run(capfd, "study", "run", str(tmp_path / "mine.toml"))[0] == 0
    assert (tmp_path / "mine" / "runs.jsonl").read_bytes() == lines


@pytest.mark.exhaustive
def test_damage_is_said_in_one_line_and_mended(tmp_path, capfd):
    (tmp_path / "mine.toml").write_text(TOML)
    assert run(capfd, "study", "run", str(tmp_path / "mine.toml"))[0] == 0
    path = tmp_path / "mine" / "runs.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"seed": 1,', b'"seed": 7,', 1))
    code, _, err = run(capfd, "study", "run", str(tmp_path / "mine.toml"))
    assert code == 0
    assert "runs.jsonl is damaged: line" in err
    assert "What it held is run again." in err
    assert "Traceback" not in err
    assert Store.read(tmp_path / "mine").damage == []


def test_a_file_options_and_python_say_the_same(tmp_path):
    (tmp_path / "mine.toml").write_text(TOML)
    options = StudyRun(
        steps=20,
        batch=32,
        evaluate_every=10,
        seeds=2,
        target=2.0,
        trials=2,
        tuning_seeds=1,
        hidden=(8,),
        arm=("gradient_descent(log_uniform(0.01, 1))", "heavy_ball(0.05, 0.9)"),
    )
    in_python = Study(
        steps=20,
        batch=32,
        evaluate_every=10,
        seeds=(0, 1),
        target=2.0,
        arms=(Arm("gradient_descent(log_uniform(0.01, 1))"), Arm("heavy_ball(0.05, 0.9)")),
        search=Search(trials=2, seeds=(1000,)),
        network=Network(hidden=(8,)),
    )
    assert specification(options) == specification(StudyRun(file=tmp_path / "mine.toml")) == in_python


OF_TODAY = """
steps = 20
batch = 32
evaluate_every = 10
arms = ["gradient_descent(0.1)", "heavy_ball(0.05, 0.9)"]
noise_floor = false
network = {hidden = [8]}
"""


def test_a_study_that_is_gone_on_with_keeps_what_its_file_leaves_to_defaults(tmp_path):
    """Five seeds and no target were the defaults when this one began."""
    (tmp_path / "mine.toml").write_text(OF_TODAY)
    began = replace(Study.from_toml(tmp_path / "mine.toml"), seeds=(0, 1, 2, 3, 4), search=Search(trials=7))
    Store.create(tmp_path / "mine", began, {}).note("running")
    command = StudyRun(file=tmp_path / "mine.toml")
    assert specification(command, tmp_path / "mine") == began
    assert specification(replace(command, steps=30), tmp_path / "mine") == replace(began, steps=30)
    assert specification(replace(command, activation="tanh"), tmp_path / "mine").network.hidden == (8,)
    new = specification(command)
    assert (new.seeds, new.target, new.search) == (tuple(range(10)), 0.15, Search())
    (tmp_path / "mine" / "manifest.json").write_text("damaged")
    assert specification(command, tmp_path / "mine") == new


def test_a_study_of_a_file_without_seeds_is_complete_when_it_is_run_again(tmp_path, capfd):
    (tmp_path / "mine.toml").write_text(OF_TODAY)
    began = replace(Study.from_toml(tmp_path / "mine.toml"), seeds=(0, 1))
    run_study(began, tmp_path / "mine")
    lines = (tmp_path / "mine" / "runs.jsonl").read_bytes()
    code, out, err = run(capfd, "study", "run", str(tmp_path / "mine.toml"))
    assert code == 0, err
    assert (tmp_path / "mine" / "runs.jsonl").read_bytes() == lines
    assert "was added" not in out


def test_options_stand_in_the_place_of_the_files(tmp_path):
    (tmp_path / "mine.toml").write_text(TOML)
    study = specification(StudyRun(file=tmp_path / "mine.toml", trials=5, activation="tanh", arm=("best=adam(0.001)",)))
    assert study.search == Search(trials=5, seeds=(1000,))
    assert (study.network.hidden, study.network.activation) == ((8,), "tanh")
    assert study.arms == (Arm("adam(0.001)", "best"),)


def test_a_data_set_of_ones_own_is_looked_for_beside_the_file(tmp_path):
    (tmp_path / "mine.toml").write_text('dataset = "own.npz"\narms = ["sgd(0.1)"]\n')
    assert Path(specification(StudyRun(file=tmp_path / "mine.toml")).dataset) == tmp_path / "own.npz"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arms = []", "Study: arms must hold at least one arm"),
        ('arms = ["sgd(0.1)"]\nsteqs = 3', "Study: unknown key 'steqs'; did you mean 'steps'?"),
        ('arms = ["sgd(log_uniform(1, 0.1))"]', "log_uniform: low and high must be positive numbers, low < high"),
        ('arms = ["sgd(log_uniform(0.1, 1))"]\nseeds = [1000]', "search.seeds must be others than seeds, got 1000 in both"),
        ("arms = [", "is not TOML"),
    ],
)
def test_a_wrong_file_is_one_line_with_its_name(tmp_path, capfd, text, message):
    (tmp_path / "wrong.toml").write_text(text)
    code, out, err = run(capfd, "study", "run", str(tmp_path / "wrong.toml"))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "wrong.toml" in err
    assert message in err
    assert not (tmp_path / "wrong").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "give a TOML file, or arms by --arm"),
        (["run", "none.toml"], "none.toml: cannot be read"),
        (["report", "nowhere"], "nowhere holds no results of a study"),
        (["list", "nowhere"], "nowhere is no directory"),
        (["add-seeds", "nowhere", "3"], "nowhere holds no results of a study"),
        (["add-seeds", "nowhere", "0"], "count must be a whole number >= 1, got 0"),
    ],
)
def test_a_wrong_command_is_one_line(capfd, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capfd, "study", *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []
