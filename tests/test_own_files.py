"""A stranger's file of twenty lines goes from its check to a report that speaks of its own scores, killed on the way."""

import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_runs import run as run_command

from momentum_jax.studies import Study, StudyError
from momentum_jax.studies.inspection import inspect_problem
from momentum_jax.studies.store import RUNS, Store

FILES = Path(__file__).parent / "own_files"
# The file, its options, the scores that it has, and whether there is a test set.
PROBLEMS = {
    "regression": (("--batch", "16"), ("mse", "near"), True),
    "tokens": (("--batch", "16"), ("bits_per_token", "perplexity"), True),
    "images": (("--batch", "16"), ("accuracy", "loss", "mcc"), True),
    "no_data": ((), ("height",), False),
    "contrastive": (("--batch", "all"), ("neighbours",), True),
    "stream": ((), ("mae",), True),
}
# Those that others stand for.
STOOD_FOR = ("regression", "tokens", "images")
# Those that are also compared and killed.
KILLED = ("contrastive", "no_data", "stream")
ARMS = (
    "--arm",
    "gradient_descent(log_uniform(0.001, 0.05))",
    "--arm",
    "optimizers_file.py:my_momentum(log_uniform(0.001, 0.01))",
)
# A loss of one's own may differ in its last bit between one device and several.
SMALL = ("--seeds", "2", "--steps", "12", "--evaluate-every", "4", "--trials", "2", "--tuning-seeds", "1", "--cores", "1")


def content(directory):
    """All that a study says, less the time it took."""
    store = Store.read(directory)
    assert not store.damage
    runs = {run.name: dataclasses.replace(run, seconds=0.0) for run in store.runs}
    curves = {run.name: [array.tobytes() for array in store.curves(run).arrays().values()] for run in store.runs}
    return repr(sorted(runs.items())), curves


def killed_after(lines, directory, command):
    """Runs the command in a process of its own and kills it once so many runs are stored."""
    process = subprocess.Popen(
        [sys.executable, "-m", "momentum_jax.cli", *command], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        while process.poll() is None:
            path = directory / RUNS
            if path.exists() and path.read_bytes().count(b"\n") >= lines:
                process.kill()
            time.sleep(0.01)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.usefixtures("one_figure")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.exhaustive] * (name in STOOD_FOR)) for name in PROBLEMS]
)
def test_a_file_goes_from_its_check_to_a_report_of_its_own_scores(name, capfd, tmp_path, monkeypatch):
    options, scores, tested = PROBLEMS[name]
    monkeypatch.chdir(FILES)
    problem = f"{name}_file.py:make()"
    code, out, err = run_command(capfd, "problem", problem, *options)
    assert code == 0, err
    assert all(score in out for score in scores)
    if name not in KILLED:
        few = (*ARMS, *SMALL, "--no-ladder", "--no-noise-floor", "--out", str(tmp_path / "study"))
        code, out, err = run_command(capfd, "study", "run", "--problem", problem, *options, *few)
        assert code == 0, err
        assert scores[0] in (tmp_path / "study" / "report.md").read_text().replace("\\", "")
        return
    arms = ("--arm", "heavy_ball(0.01, 0.9)", "--arm", "sgd(0.01)")
    few = ("--seeds", "2", "--steps", "6", "--evaluate-every", "3", "--out", str(tmp_path / "compared"))
    code, out, err = run_command(capfd, "compare", "--problem", problem, *options, *arms, *few)
    assert code == 0, err
    assert scores[0] in out
    command = ("study", "run", "--problem", problem, *options, *ARMS, *SMALL)
    code, out, err = run_command(capfd, *command, "--out", str(tmp_path / "whole"))
    assert code == 0, err
    assert ("accuracy" in out) == ("accuracy" in scores)
    report = (tmp_path / "whole" / "report.html").read_text()
    assert f"{'test ' * tested}{scores[0]}" in report
    assert ("accuracy" in report, "Confusion matrices" in report) == ("accuracy" in scores, "accuracy" in scores)
    assert ("test " + scores[0] in report) == tested
    again = (*command, "--out", str(tmp_path / "killed"))
    killed_after(2, tmp_path / "killed", again)
    assert 0 < len(Store.read(tmp_path / "killed").runs) < len(Store.read(tmp_path / "whole").runs)
    code, out, err = run_command(capfd, *again)
    assert code == 0, err
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import no_such_library\n", "No module named 'no_such_library'"),
        ("def make():\n    import no_such_library\n", "No module named 'no_such_library'"),
        ("def make():\n    open('absent.csv')\n", "absent.csv: No such file or directory"),
    ],
    ids=["when it is imported", "when it is called", "a file"],
)
def test_what_a_file_lacks_is_said_with_the_files_name(capfd, tmp_path, body, said):
    (tmp_path / "lacking.py").write_text(body)
    code, out, err = run_command(capfd, "problem", f"{tmp_path}/lacking.py:make()")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert "lacking.py" in err
    assert "pip install" not in err


def test_a_file_that_is_not_there_is_named_once(capfd, tmp_path):
    code, _, err = run_command(capfd, "problem", f"{tmp_path}/absent.py:make()")
    assert code == 2
    assert err.count("absent.py") == err.count("there is no such file") == 1


def test_what_is_no_file_of_python_is_said_in_one_short_line(capfd, tmp_path):
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "nul.py").write_bytes(b"x = 1\0\n")
    said = {
        f"{tmp_path}/folder.py": "it is no regular file.",
        f"{tmp_path}/nul.py": "null bytes).",
        f"{tmp_path}/{'a/' * 3000}a.py": "cannot be read (File name too long).",
    }
    for path, what in said.items():
        code, _, err = run_command(capfd, "problem", f"{path}:make()")
        assert (code, err.count("\n"), what in err) == (2, 1, True), err
        assert len(err) < 250


@pytest.mark.slow
def test_the_speed_is_that_of_the_trainer_with_its_data(tmp_path):
    text = (FILES / "stream_file.py").read_text()
    slow = text.replace("    return x, x @ WEIGHTS", "    time.sleep(0.02)\n    return x, x @ WEIGHTS")
    (tmp_path / "slow.py").write_text(slow.replace("import numpy", "import time\n\nimport numpy", 1))
    study = Study.from_dict({"problem": f"{tmp_path}/slow.py:make()", "arms": ["sgd(0.1)"], "noise_floor": False})
    assert inspect_problem(study).steps_per_second < 1 / 0.02


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("jnp.zeros(4)", "jnp.full(4, jnp.nan)"), "Problem: the loss of step 0 is not finite"),
        (('lower("size")', "lower(lambda values: jnp.log(-1.0))"), "Problem: the score of the last evaluation is not finite"),
    ],
    ids=["loss", "score"],
)
def test_a_problem_whose_untrained_numbers_are_not_finite_is_refused_by_its_check(tmp_path, change, said):
    (tmp_path / "infinite.py").write_text((FILES / "stream_file.py").read_text().replace(*change))
    study = Study.from_dict({"problem": f"{tmp_path}/infinite.py:make()", "arms": ["sgd(0.1)"], "noise_floor": False})
    with pytest.raises(StudyError, match=said):
        inspect_problem(study)
