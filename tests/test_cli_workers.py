"""`--workers`, `--scheduler`, `--any-bits` and `momentum-jax worker`: what they do, and every mistake in one line."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time

import jax
import pytest
from cli_runs import run
from executed_studies import FILES, content, worker_processes

from momentum_jax.studies.executors import local_dask

TOML = """
problem = "mine.py:make(width=8)"
steps = 4000
batch = 16
evaluate_every = 2000
seeds = 8
noise_floor = false
arms = ["gradient_descent(0.1)", "heavy_ball(0.01, 0.9)"]
"""
ARMS = ("--problem", "diabetes()", "--arm", "sgd(0.1)")


@pytest.mark.parametrize("command", [("study", "run"), ("compare",)], ids=" ".join)
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--workers", "2", "--scheduler", "tcp://a:1"), "--workers and --scheduler exclude each other"),
        (("--workers", "2", "--cores", "2"), "--cores is of this process, which trains nothing with --workers or --scheduler"),
        (("--workers", "0"), "--workers must be at least 1, got 0."),
        (("--any-bits",), "--any-bits is of --workers or --scheduler; give one of them."),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_options_that_exclude_each_other_are_refused(command, options, said, capfd, tmp_path):
    code, _, err = run(capfd, *command, *ARMS, "--out", str(tmp_path / "study"), *options)
    assert code == 2
    assert err.startswith(f"momentum-jax: {said}")
    assert err.count("\n") == 1
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("options", [("--workers", "2"), ("--scheduler", "tcp://a:1")], ids=" ".join)
def test_without_dask_one_sentence_names_the_extra(options, capfd, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "distributed" else find(name))
    code, _, err = run(capfd, "study", "run", *ARMS, "--out", str(tmp_path / "study"), *options)
    assert code == 2
    assert err == (
        f"momentum-jax: {options[0]} needs distributed, which is not installed; "
        "install it by `pip install 'momentum_jax[distributed]'`.\n"
    )


def test_train_has_no_workers(capfd):
    code, _, err = run(capfd, "train", "--workers", "2")
    assert code == 2
    assert "--workers" in err


def test_local_workers_find_the_programs_that_this_process_keeps():
    environment = local_dask.environment_of_workers()
    # As JAX reads its settings from the environment.
    assert environment["JAX_NUM_CPU_DEVICES"] == "1"
    assert environment.get("JAX_COMPILATION_CACHE_DIR") == jax.config.jax_compilation_cache_dir
    seconds = float(environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"])
    assert seconds == jax.config.jax_persistent_cache_min_compile_time_secs


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_named(capfd, tmp_path, monkeypatch):
    monkeypatch.setattr(local_dask, "_SECONDS_TO_ANSWER", 1)
    for command in (("study", "run", *ARMS, "--out", str(tmp_path / "study")), ("worker", "--cores", "1")):
        code, _, err = run(capfd, *command, "--scheduler", "tcp://127.0.0.1:9")
        assert code == 2
        assert "momentum-jax: no Dask scheduler answers at tcp://127.0.0.1:9 (" in err


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_leaves_what_finished_and_no_process_and_the_same_command_goes_on(tmp_path):
    shutil.copy(FILES / "regression_file.py", tmp_path / "mine.py")
    for name in ("study", "embedded"):
        (tmp_path / f"{name}.toml").write_text(TOML)
    program = [sys.executable, "-m", "momentum_jax.cli", "study", "run"]
    subprocess.run([*program, "embedded.toml", "--cores", "1"], cwd=tmp_path, check=True, capture_output=True)

    ours = {"cwd": tmp_path, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    study = subprocess.Popen([*program, "study.toml", "--workers", "2"], **ours)
    lines = tmp_path / "study" / "runs.jsonl"
    while not (lines.exists() and lines.stat().st_size):
        assert study.poll() is None
        time.sleep(0.05)
    workers = worker_processes(study.pid)
    # A terminal tells all processes of the command.
    os.killpg(study.pid, signal.SIGINT)
    _, err = study.communicate(timeout=60)
    assert study.returncode == 130
    assert "Traceback" not in err
    assert err.rstrip().splitlines()[-1].startswith("momentum-jax: stopped; ")
    assert len(workers) == 2
    assert not any(each.is_running() for each in workers)
    done = len(lines.read_text().splitlines())
    assert 1 <= done < 24
    subprocess.run([*program, "study.toml", "--workers", "2"], cwd=tmp_path, check=True, capture_output=True)
    assert content(tmp_path / "study") == content(tmp_path / "embedded")
