"""The command line: what it prints and writes, and that every mistake is answered by one line and exit code 2."""

import contextlib
import dataclasses
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from cli_runs import run

from momentum_jax import cli
from momentum_jax.cli.arguments import Compare, Options, Spread, StudyRun, Train
from momentum_jax.cli.specification import specification
from momentum_jax.studies import Network, Search
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.store import Store
from momentum_jax.studies.wording import verdict

TINY = ["--steps", "20", "--hidden", "8", "--batch", "32", "--evaluate-every", "10", "--target", "2.2"]


LABELS = ("[/b] :warning:", "lr (a) [bold]", r"_a$\foo$")


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """What a comparison said, and where it lies; two of its labels and its directory look like markup."""
    out = tmp_path_factory.mktemp("compare") / "o[/x]"
    arms = ["gradient_descent(0.05)", "control=gradient_descent(0.5)", "heavy_ball(0.05, 0.9)"]
    arms += [f"{label}=gradient_descent(0.{place})" for place, label in enumerate(LABELS, start=1)]
    command = ["compare", *TINY, "--seeds", "3", "--tensorboard", "--out", str(out)]
    for arm in arms:
        command += ["--arm", arm]
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(io.StringIO()) as complained:
        code = cli.main(command)
    assert code == 0, complained.getvalue()
    return said.getvalue(), complained.getvalue(), out


def test_compare_writes_the_store_and_the_figure_and_prints_the_table(compared):
    said, complained, out = compared
    assert {"manifest.json", "runs.jsonl", "curves.npz", "figure.png", "summary.json", "tensorboard"} == set(os.listdir(out))
    assert json.loads((out / "manifest.json").read_text())["status"] == "complete"
    assert len(Store.read(out).runs) == 18
    for text in ("accuracy, %", "loss", "mcc", "loss 2.2", "never", "diverged", "heavy_ball(0.05, 0.9)", "control"):
        assert text in said
    assert said.splitlines()[-1] == verdict(analyse(Store.read(out)))
    assert "compiling" in said
    assert "Traceback" not in complained


def test_labels_and_paths_are_shown_as_they_are_written(compared):
    for text in (*LABELS, "o[/x]"):
        assert text in compared[0]


def test_progress_is_plain_lines_when_nobody_watches(compared):
    assert "\x1b" not in compared[0] + compared[1]
    from rich.console import Console

    from momentum_jax.cli.progress import Reporter
    from momentum_jax.training import Progress

    # What takes no tenth of a second, as this comparison may, has no line of its own.
    file = io.StringIO()
    with Reporter(Console(file=file, width=200)) as reporter:
        reporter(Progress("train", 1, 2, 0, 3, (0,), 1, 6, 0.0, None, np.zeros(1)))
    assert file.getvalue().split() == ["17%", "training,", "wave", "1", "of", "3,", "1", "of", "6", "steps"]


def test_event_files_can_be_read_back(compared):
    record = pytest.importorskip("tensorboardX.record_writer")
    events_of = pytest.importorskip("tensorboardX.proto.event_pb2")
    out = compared[2]
    store = Store.read(out)
    folder = out / "tensorboard" / "2-heavy_ball_0.05_0.9" / "seed-1"
    (path,) = folder.iterdir()
    found = {}
    content = path.read_bytes()
    while content:
        # A record is its length, the length's checksum, the event and the event's checksum.
        length = int.from_bytes(content[:8], "little")
        assert record.masked_crc32c(content[:8]) == int.from_bytes(content[8:12], "little")
        event = events_of.Event.FromString(content[12 : 12 + length])
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
        content = content[12 + length + 4 :]
    curves = store.curves(next(run for run in store.runs if run.arm == "heavy_ball(0.05, 0.9)" and run.seed == 1))
    assert [step for step, _ in found["train/loss"]] == list(range(20))
    assert [value for _, value in found["train/loss"]] == pytest.approx(curves.train_loss)
    assert found["validation/loss"] == [
        (step, pytest.approx(loss)) for step, loss in zip(curves.steps, curves.validation["loss"], strict=True)
    ]
    assert found["hyperparameters/heavy_ball/momentum"] == [(step, pytest.approx(0.9)) for step in range(20)]
    told = {"hyperparameters/heavy_ball/learning_rate", "hyperparameters/heavy_ball/momentum"}
    assert set(found) == {"train/loss", "validation/loss", "validation/accuracy", "validation/mcc", *told}


def test_the_same_directory_again_is_refused_resumed_or_overwritten(compared, capfd):
    out = compared[2]
    code, _, err = run(capfd, "compare", *TINY, "--out", str(out))
    assert code == 2
    assert "already holds results; choose another directory, or --resume, or --overwrite." in err
    code, _, err = run(capfd, "compare", *TINY, "--out", str(out), "--resume")
    assert code == 2
    assert "cannot be resumed: study.arms is [" in err


@pytest.mark.slow
def test_train_saves_parameters_that_orbax_restores(tmp_path, capfd):
    from momentum_jax.training.checkpoint import restore_params

    code, out, err = run(capfd, "train", *TINY, "--seed", "4", "--out", str(tmp_path / "out"))
    assert code == 0, err
    assert str(tmp_path / "out" / "checkpoints") in out
    params = restore_params(tmp_path / "out" / "checkpoints" / "arm-0" / "seed-4")
    assert params["hidden_0"]["kernel"].shape == (64, 8)
    code, _, err = run(capfd, "train", *TINY, "--seed", "5", "--out", str(tmp_path / "out"), "--overwrite")
    assert code == 0, err
    assert os.listdir(tmp_path / "out" / "checkpoints" / "arm-0") == ["seed-5"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "--stesp", "3"], "Perhaps you meant: --steps INT"),
        (["compare", "--steps", "many"], "Error parsing --steps: invalid literal for int() with base 10: 'many'. --steps INT"),
        (
            ["compare", "--dataset", "cifar"],
            "Study: dataset must be one of digits, mnist, fashion_mnist, a path to a .npz file",
        ),
        (["train", "--activation", "rellu"], "activation must be one of relu, tanh, sigmoid, got 'rellu' (perhaps relu?)."),
        (["compare", "--dataset", "mine.npz"], "mine.npz cannot be read"),
        (["compare", "--seeds", "10000000000000"], "Study: seeds must be at most 100,000, got 10000000000000."),
        (["compare", "--channels", "0"], "Network: every number in channels must be a whole number >= 1, got 0."),
        (
            ["train", "--trials", "0", "--arm", "sgd(uniform(0.1, 1))"],
            "Search: trials must be a whole number from 1 to 100,000",
        ),
        (["compare", "--steps"], "Missing value for argument '--steps'"),
        (
            ["compar"],
            "Available subcommands: compare, train, study, atlas, worker, problem, predict, reproduce, data, optimizers",
        ),
        (["data"], "Expected one of {fetch, verify, path}"),
        (["data", "fetch", "cifar"], "Expected one of ('digits', 'mnist', 'fashion_mnist')"),
        (["compare", "--steps", "0"], "Study: steps must be a whole number >= 1, got 0."),
        (["compare", "--seeds", "0"], "--seeds must be at least 1, got 0."),
        (["compare", "--cores", "0"], "--cores must be at least 1, got 0."),
        (["compare", "--target", "-1"], "Study: target must be a positive, finite loss, got -1.0."),
        (["compare", "--hidden", "8", "0"], "Network: every width in hidden must be a whole number >= 1, got 0."),
        (["compare", "--arm", "heavy_bal(0.1)"], "unknown optimizer 'heavy_bal'; did you mean heavy_ball?"),
        (["compare", "--arm", "heavy_ball(0.1, 2)"], "heavy_ball: momentum must be in [0, 1), got 2."),
        (["compare", "--arm", "sgd(0.1)", "--arm", "sgd(.1)"], "every label must occur once, 'sgd(0.1)' is repeated"),
        (["compare", "--batch", "5000"], "batch must be at most 1079, the training examples of digits, got 5000."),
        (["compare", "--dataset", "mnist", "--data", "/nowhere"], "/nowhere"),
        (["compare", "--size", "14"], "size must be 8 or None for 'digits', got 14"),
        (["compare", "--resume", "--overwrite"], "resume and overwrite exclude each other"),
        (["train", "--arm", "sgd"], "give its arguments too"),
        (["compare", "--arm", "a\tb=sgd(0.1)"], "Arm: label must be one line of printable text"),
        (["compare", "--steps", "3000000000"], "Study: steps must be at most 100,000,000, got 3000000000."),
        (["compare", "--dataset", "mnist", "--data", "/nowhere", "--arm", "heavy_bal(0.1)"], "did you mean heavy_ball?"),
        (["compare", "--out", "a\0b"], r"an argument must not hold NUL characters, got 'a\x00b'."),
        (["study", "run", "a\0.toml"], "an argument must not hold NUL characters"),
        (["compare", "--steps", "9" * 5000], "Error parsing --steps: Exceeds the limit (4300 digits)"),
        (["data", "fetch"], "Missing"),
        (["convert", "--from", "torch", "--to", "ema", "lr=1"], "Expected one of"),
        (["convert", "--from", "pytorch", "lr=0.1"], "--to"),
        (
            ["convert", "--from", "pytorch", "--to", "ema", "learning_rate=1"],
            "pytorch has no hyperparameter 'learning_rate'; it has lr",
        ),
        (["convert", "--from", "pytorch", "--to", "ema", "momentum=0.9"], "pytorch needs lr, as lr=0.1."),
        (["convert", "--from", "triple_momentum", "--to", "ema"], "triple_momentum needs alpha, beta and gamma, as alpha=0.1."),
        (["convert", "--from", "pytorch", "--to", "ema", "lr"], "written name=value, as lr=0.1; got 'lr'."),
        (["convert", "--from", "pytorch", "--to", "ema", "lr=1", "lr=2"], "lr is given twice."),
        (["convert", "--from", "pytorch", "--to", "ema", "lr=fast"], "lr must be a number, got 'fast'."),
        (
            ["convert", "--from", "pytorch", "--to", "ema", "lr=0.1", "momentum=1"],
            "PyTorch: momentum must be in [0, 1), got 1.0.",
        ),
        (["convert", "--from", "pytorch", "--to", "ema", "lr=0.1", "nesterov=2"], "nesterov must be true or false, got '2'."),
        (["convert", "--from", "pytorch", "--to", "ema", "lr=true"], "lr must be a number, got 'true'."),
        (["convert", "--from", "pytorch", "--to", "ema", "lr=1_0"], "lr must be a number, got '1_0'."),
        (
            ["convert", "--from", "pytorch", "--to", "ema", "lr=1", "note=foo"],
            "pytorch has no hyperparameter 'note'; it has lr",
        ),
        (["convert", "--from", "pytorch", "--to", "ema", "lr=1", "--choose", "nu=x"], "ema leaves nothing to choose, got nu."),
        (
            ["convert", "--from", "pytorch", "--to", "pid", "lr=1", "--choose", "steps=1"],
            "pid leaves only derivative to choose,",
        ),
        (
            ["convert", "--from", "qhm", "--to", "pid", "learning_rate=1", "--choose", "derivative=x"],
            "derivative must be a number",
        ),
        (
            ["convert", "--from", "qhm", "--to", "ema", "learning_rate=1"],
            "no EMA equals QHM(learning_rate=1.0, momentum=0.999, nu=0.7)",
        ),
        (
            ["convert", "--from", "triple_momentum", "--to", "qhm", "alpha=0.1", "beta=1", "gamma=0.5"],
            "no QHM equals TripleMomentum(alpha=0.1, beta=1.0, gamma=0.5): one of its hyperparameters would be infinite.",
        ),
        (["convert", "--from", "pytorch", "--to", "ema", "lr=1", "--choose", "nu=1"], "ema leaves nothing to choose, got nu."),
    ],
)
def test_a_mistake_is_answered_by_one_line_and_exit_code_two(arguments, message, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capfd, *arguments)
    assert code == 2
    assert out == ""
    lines = [line for line in err.splitlines() if "JAX's backend" not in line]
    assert len(lines) == 1
    assert lines[0].startswith("momentum-jax: ")
    assert message in lines[0]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "--steps", "x" * 20_000],
        ["compare", "--" + "x" * 20_000, "3"],
        ["compare", "--dataset", "x" * 20_000],
        ["compare", "--hidden", "9" * 5_000],
        ["compare", "--arm", "x" * 20_000],
        ["x" * 20_000],
        ["convert", "--from", "pytorch", "--to", "ema", "x" * 20_000],
        ["convert", "--from", "pytorch", "--to", "ema", "x" * 20_000 + "=1"],
        ["convert", "--from", "pytorch", "--to", "ema", "lr=" + "x" * 20_000],
        ["reproduce", "x" * 20_000],
        ["study", "run", "x" * 20_000 + ".toml"],
        ["study", "run", "--dataset", "x" * 20_000 + ".npz", "--arm", "sgd(0.1)", "--out", "out"],
    ],
    ids=lambda arguments: " ".join(argument[:12] for argument in arguments),
)
def test_a_long_argument_does_not_hide_what_is_wrong_with_it(arguments, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capfd, *arguments)
    assert (code, out) == (2, "")
    (line,) = (line for line in err.splitlines() if "JAX's backend" not in line)
    assert len(line) < 500
    assert "xxxxx" in line or "limit" in line


@pytest.mark.parametrize("encoding", ["utf-8", pytest.param("latin-1", marks=pytest.mark.slow)])
def test_in_a_terminal_a_mistake_is_the_same_line_as_elsewhere(encoding, capfd):
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "200", "TERM": "xterm-256color", "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "momentum_jax.cli", "compare", "--stesp", "3"]
    started = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    said = b""
    # The end of a terminal is an error of the file system.
    with contextlib.suppress(OSError):
        while chunk := os.read(ours, 2**16):
            said += chunk
    os.close(ours)
    assert started.wait() == 2
    _, _, elsewhere = run(capfd, *command[3:])
    assert said.decode(encoding).splitlines() == elsewhere.splitlines()
    assert "Perhaps you meant: --steps INT" in elsewhere


def test_a_file_in_place_of_the_output_directory_is_one_line(capfd, tmp_path):
    (tmp_path / "taken").write_text("")
    code, _, err = run(capfd, "compare", *TINY, "--out", str(tmp_path / "taken"))
    assert code == 2
    assert "cannot hold results" in err.splitlines()[-1]


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_one_line(capfd, tmp_path):
    tmp_path.chmod(0o555)
    code, _, err = run(capfd, "compare", *TINY, "--out", str(tmp_path))
    tmp_path.chmod(0o755)
    assert code == 2
    assert "Permission denied" in err.splitlines()[-1]


def test_an_error_of_the_file_system_in_the_middle_is_one_line(capfd, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "runs.jsonl")

    monkeypatch.setattr("momentum_jax.studies.store.Store.add", full)
    code, _, err = run(capfd, "compare", *TINY, "--arm", "gradient_descent(0.1)", "--out", str(tmp_path / "out"))
    assert code == 2
    assert f"no space left for {tmp_path / 'out'};" in err.splitlines()[-1]


@pytest.mark.parametrize("width", [160, 100, 80, 60, 30])
def test_the_table_loses_no_label_and_no_number_in_a_narrow_terminal(compared, width):
    from rich.console import Console

    from momentum_jax.cli.table import print_table
    from momentum_jax.studies.store import Store
    from momentum_jax.studies.summary import summarize

    store = Store.read(compared[2])
    console = Console(width=width, markup=False, emoji=False, file=(file := io.StringIO()))
    summaries = summarize(store)
    print_table(console, store, summaries)
    text = file.getvalue()
    first = "".join(line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│"))
    squeezed = "".join(text.split())
    for row in summaries:
        assert row.label.replace(" ", "") in first.replace(" ", "")
        for name, factor, mean, error in (
            ("accuracy", 100, ".2f", ".2f"),
            ("loss", 1, ".4g", ".2g"),
            ("mcc", 1, ".4g", ".2g"),
        ):
            found = row.score(store.scores[name])
            assert f"{factor * found.mean:{mean}}" in squeezed
            assert f"±{factor * found.error:{error}}" in squeezed
    assert "verged" in text
    assert "…" not in text
    if width >= 60:
        assert max(map(len, text.splitlines())) <= width


def test_missing_tensorboardx_is_one_line_before_anything_runs(capfd, tmp_path, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "tensorboardX" else find(name, *rest))
    code, _, err = run(capfd, "compare", "--tensorboard", "--out", str(tmp_path / "out"))
    assert code == 2
    assert "--tensorboard needs tensorboardX, which is not installed; install it by" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [["--help"], [], ["compare", "--help"], ["train", "-h"], ["data", "--help"]])
def test_help_is_printed_and_exits_with_zero(arguments, capfd):
    code, out, err = run(capfd, *arguments)
    assert code == 0
    assert out.startswith("usage: momentum-jax")
    assert err == ""


def test_every_option_of_compare_is_in_its_help_with_its_default(capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    _, out, _ = run(capfd, "compare", "--help")
    for field in dataclasses.fields(Compare):
        assert f"--{field.name.replace('_', '-')}" in out
    assert out.count("(default: ") == len(dataclasses.fields(Compare))
    assert "0.1 for mnist" in out
    assert '"heavy_ball(0.01, 0.9)"' in out


COMMANDS = {"compare": Compare, "train": Train, "study run": StudyRun}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_that_train_share_one_list_of_options_and_defaults(command, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    _, out, _ = run(capfd, *command.split(), "--help")
    plain = " ".join(out.replace("│", " ").split())
    shared = {field.name for field in dataclasses.fields(Options)}
    assert {field.name for field in dataclasses.fields(COMMANDS[command])} - shared <= {
        *("arm", "seed", "seeds", "out", "file", "no_ladder", "no_noise_floor"),
        # What saves parameters has no workers.
        *(() if command == "train" else (field.name for field in dataclasses.fields(Spread))),
    }
    for name, default in (
        ("steps", 2000),
        ("hidden", "256 256"),
        ("initialization", "he_normal"),
        ("channels", "none"),
        ("target", "0.15 for digits, 0.1 for mnist, 0.4 for fashion_mnist"),
        ("evaluate-every", "100 for digits, 100 for mnist, 100 for fashion_mnist"),
        ("trials", 16),
        ("tuning-seeds", 2),
        *(() if command == "train" else (("seeds", 10),)),
    ):
        (found,) = re.findall(rf"--{name} [^(]*(?:\([^d][^(]*)*\(default: (.*?)\)", plain)
        assert found == str(default)
    for option in ("--resume", "--tensorboard", "--examples", "--score", "--sampler", "--dropout"):
        assert option in out


@pytest.mark.parametrize("command", [Compare, Train, StudyRun])
def test_what_is_not_given_has_the_default_that_the_help_shows(command):
    arms = {Compare: (), Train: "sgd(0.1)", StudyRun: ("sgd(0.1)",)}[command]
    study = specification(command(arm=arms, initialization="glorot_uniform", dataset="fashion_mnist"))
    assert study.network == Network(initialization="glorot_uniform")
    assert (study.target, study.evaluate_every, study.steps, study.search) == (0.4, 100, 2000, Search())
    assert study.seeds == ((0,) if command is Train else tuple(range(10)))
    assert study.ladder == (command is StudyRun)


def test_an_output_activation_can_be_taken_back_on_the_command_line(tmp_path):
    (tmp_path / "mine.toml").write_text('arms = ["sgd(0.1)"]\nnetwork = {output_activation = "sigmoid", hidden = [8]}\n')
    assert specification(StudyRun(file=tmp_path / "mine.toml")).network.output_activation == "sigmoid"
    study = specification(StudyRun(file=tmp_path / "mine.toml", output_activation="none"))
    assert study.network == Network(hidden=(8,))


@pytest.mark.slow
def test_compare_takes_images_of_ones_own_and_says_before_it_runs_what_it_will_do(tmp_path, capfd):
    images = np.random.default_rng(0).integers(0, 256, (60, 6, 6)).astype(np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, labels=np.arange(60) % 3)
    arms = ["--arm", "sgd(log_uniform(0.01, 0.1))", "--arm", "sgd(0.2)"]
    small = ["--steps", "4", "--batch", "8", "--hidden", "4", "--trials", "2", "--tuning-seeds", "1"]
    options = [*arms, *small, "--seeds", "2", "--out", str(tmp_path / "out")]
    code, out, err = run(capfd, "compare", "--dataset", str(tmp_path / "mine.npz"), *options)
    assert code == 0, err
    said = err.partition(", wave 1 of")[0]
    assert "tunes 1 arm by 2 trials of each from 1 seed, 2 runs, then makes 4 runs of 4 steps." in said
    assert "that takes seconds on" in said
    assert "With 2 seeds no difference between arms can be shown; 6 are needed." in said
    assert "No target is given, so steps to a target are not reported." in said
    assert re.search(r"sgd, tuned: sgd\(0\.0\d+\)", out)
    # What the command leaves out, a resume has from the manifest.
    code, _, err = run(capfd, "compare", "--resume", *arms, "--out", str(tmp_path / "out"))
    assert code == 0, err
    assert "tunes" not in err


def test_the_version_is_the_packages(capfd):
    import momentum_jax

    assert run(capfd, "--version") == (0, f"momentum_jax {momentum_jax.__version__}\n", "")


def test_one_optimizer_is_shown_with_all_that_is_known_of_it(capfd):
    code, out, _ = run(capfd, "optimizers", "nesterov")
    assert code == 0
    assert out.startswith("nesterov(learning_rate, momentum=0.9")
    assert "v' = mu_t v - eta g(y)          y' = y - eta g(y) + mu_{t+1} v'" in out
    (entry,) = json.loads(run(capfd, "optimizers", "nesterov", "--json")[1])
    assert entry["memory"] == "1 buffer. Needs: evaluation_params, to read the iterate."
    assert entry["equations"][0] == "v' = mu_t v - eta g(x + mu_t v)          x' = x + v'"
    assert run(capfd, "optimizers", "nestrov")[2].strip() == (
        "momentum-jax: there is no optimizer 'nestrov'; did you mean nesterov, ema_nesterov?"
    )
    assert run(capfd, "optimizers", "x" * 500)[0] == 2


def test_a_translation_has_every_digit_in_json(capfd):
    _, out, _ = run(capfd, "convert", "--from", "pytorch", "--to", "ema", "lr=0.3", "momentum=0.7", "--json")
    assert json.loads(out) == {
        "convention": "ema",
        "hyperparameters": {"learning_rate": pytest.approx(1.0, rel=1e-15), "momentum": 0.7},
        "note": None,
    }


@pytest.mark.parametrize(("columns", "width"), [("80", 80), ("43", 43), (None, 160)])
def test_a_pipe_is_as_wide_as_columns_says(monkeypatch, columns, width):
    from momentum_jax.cli.console import output

    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(os, "isatty", lambda descriptor: False)
    assert output().width == width


def test_every_optimizer_is_listed_with_a_line_and_a_source(capfd):
    from momentum_jax.cli.optimizers import entries
    from momentum_jax.studies.reader import names

    code, out, _ = run(capfd, "optimizers")
    assert code == 0
    assert [entry.call.partition("(")[0] for entry in entries()] == names()
    for entry in entries():
        assert entry.call in out
        assert entry.line.endswith(".")
        assert len(entry.source) > 5, f"{entry.call} names no source"
    assert "heavy_ball(learning_rate, momentum=0.9, *, accumulator_dtype=None)" in out
    assert [e.memory.partition("Needs: ")[2] for e in entries() if "muon(" in e.call] == ["params for weight decay."] * 3
    assert "Polyak (1964)" in out


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["--from", "pytorch", "--to", "ema", "lr=0.1", "momentum=0.9"], "learning_rate=1 momentum=0.9\n"),
        (["lr=0.1", "momentum=0.9", "--from", "pytorch", "--to", "qhm"], "learning_rate=1 momentum=0.9 nu=1\n"),
        (
            ["--from", "pytorch", "--to", "keras", "lr=0.1", "momentum=0.9", "nesterov=true"],
            "learning_rate=0.1 momentum=0.9 nesterov=true\n",
        ),
        (
            ["--from", "pytorch", "--to", "keras", "lr=0.1", "momentum=0.9", "nesterov=1"],
            "learning_rate=0.1 momentum=0.9 nesterov=true\n",
        ),
        (["--from", "pytorch", "--to", "keras", "lr=-0", "nesterov=0"], "learning_rate=0 momentum=0 nesterov=false\n"),
        (
            [
                "--from",
                "qhm",
                "--to",
                "accelerated_sgd",
                "learning_rate=1",
                "momentum=0.9",
                "nu=0.7",
                "--choose",
                "small_const=1",
            ],
            "learning_rate=0.3 kappa=107.66666666666666 xi=5.66666666666667 small_const=1\n",
        ),
    ],
)
def test_convert_prints_the_hyperparameters_in_the_other_convention(arguments, answer, capfd):
    assert run(capfd, "convert", *arguments) == (0, answer, "")


def test_convert_notes_what_differs_at_the_start(capfd):
    _, out, _ = run(capfd, "convert", "--from", "pytorch", "--to", "heavy_ball", "lr=0.1", "momentum=0.9", "dampening=0.5")
    first, second = out.splitlines()
    assert first == "learning_rate=0.05 momentum=0.9"
    assert second.startswith("note: PyTorch does not dampen the first gradient")


def test_every_convention_can_be_asked_for_at_the_door():
    from typing import get_args

    from momentum_jax.cli.arguments import Form
    from momentum_jax.conventions import NAMES

    assert get_args(Form) == tuple(NAMES)


def test_data_path_and_verify_answer_for_the_bundled_digits(capfd, tmp_path):
    code, out, _ = run(capfd, "data", "path", "mnist", "--directory", str(tmp_path))
    assert (code, out) == (0, f"{tmp_path / 'mnist'}\n")
    code, out, _ = run(capfd, "data", "verify", "digits")
    assert code == 0
    assert "published" in out
    code, out, _ = run(capfd, "data", "verify", "mnist", "--directory", str(tmp_path))
    assert code == 1
    assert out.count("missing") == 4


@pytest.mark.exhaustive
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_leaves_finished_waves_and_resume_ends_as_an_uninterrupted_study(tmp_path):
    def command(out, *more):
        arms = ["--arm", "sgd(0.1)", "--arm", "heavy_ball(0.01, 0.9)"]
        options = ["--steps", "3000", "--hidden", "64", "--seeds", "4", *arms, "--out", str(out), *more]
        return [sys.executable, "-m", "momentum_jax.cli", "compare", *options]

    through = subprocess.run(command(tmp_path / "a"), capture_output=True, text=True, check=False)
    assert through.returncode == 0, through.stderr
    started = subprocess.Popen(command(tmp_path / "b"), stderr=subprocess.PIPE, text=True)
    runs = tmp_path / "b" / "runs.jsonl"
    deadline = time.monotonic() + 120
    while not (runs.exists() and runs.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=60)
    assert started.returncode == 130
    assert "Traceback" not in err
    assert "Add --resume to run the others." in err
    stored = Store.read(tmp_path / "b")
    assert stored.manifest["status"] == "interrupted"
    assert 0 < len(stored.runs) < 8
    resumed = subprocess.run(command(tmp_path / "b", "--resume"), capture_output=True, text=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    assert (tmp_path / "b" / "curves.npz").read_bytes() == (tmp_path / "a" / "curves.npz").read_bytes()
