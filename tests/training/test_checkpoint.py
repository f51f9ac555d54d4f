import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from momentum_jax.training import Interrupted, train_many
from momentum_jax.training.checkpoint import restore_params, save_params


def study(linear, examples, checkpoint=None, learning_rate=0.01, **options):
    return train_many(
        jax.random.split(jax.random.key(0), 2),
        optax.adam,
        {"learning_rate": learning_rate},
        linear,
        examples,
        steps=26,
        batch_size=16,
        evaluate_at=7,
        checkpoint=checkpoint,
        checkpoint_seconds=0.0,
        **options,
    )


def numbers(result):
    return [(run.losses, run.evaluation_losses, run.evaluation_accuracies, run.confusion, run.params) for run in result.runs]


def cut_off(linear, examples, directory, wave, step):
    """A study that ends at that step of that wave, as if its process had."""

    def stop(report):
        if (report.wave, report.phase) == (wave, "train") and report.step >= step:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        study(linear, examples, directory, on_progress=stop, chunk_seconds=1e-9)
    return sorted(int(path.name) for path in directory.glob("*/*") if path.is_dir())


def steps_seen(seen):
    return lambda report: seen.append((report.wave, report.step)) if report.phase == "train" else None


def test_a_wave_that_was_cut_off_goes_on_where_it_was_and_ends_in_the_same_bits(tmp_path, linear, examples, equal):
    assert cut_off(linear, examples, tmp_path, 1, 23) == [22]
    seen = []
    resumed = study(linear, examples, tmp_path, on_progress=steps_seen(seen), chunk_seconds=1e-9)
    assert min(step for wave, step in seen if wave == 1) == 22
    assert equal(numbers(resumed), numbers(study(linear, examples)))
    assert not list(tmp_path.glob("*"))


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_saves_where_it_stopped(tmp_path, linear, examples):
    def press(report):
        if report.step == 11 and report.phase == "train":
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        study(linear, examples, tmp_path, on_progress=press, chunk_seconds=1e-9)
    assert sorted(path.name for path in tmp_path.glob("*/*")) == ["11", "11.sha256"]


@pytest.mark.slow
def test_another_study_does_not_take_up_the_checkpoint(tmp_path, linear, examples):
    cut_off(linear, examples, tmp_path, 0, 23)
    others = [
        (linear, examples, {"learning_rate": 0.02}),
        (linear._replace(loss=lambda outputs, labels: 2 * linear.loss(outputs, labels)), examples, {}),
        (linear, examples._replace(labels=examples.labels[::-1]), {}),
    ]
    for model, data, options in others:
        seen = []
        study(model, data, tmp_path, on_progress=steps_seen(seen), chunk_seconds=1e-9, **options)
        assert (0, 1) in seen


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
def test_a_damaged_checkpoint_is_reported_and_not_read(damage, tmp_path, linear, examples, equal):
    cut_off(linear, examples, tmp_path, 0, 23)
    files = sorted(path for path in tmp_path.glob("*/22/**/*") if path.is_file())
    largest = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
        largest.write_bytes(content)
    elif damage == "cut":
        largest.write_bytes(content[: len(content) // 2])
    else:
        largest.unlink()
    with pytest.warns(UserWarning, match="train_many: the checkpoint .* is damaged and not used"):
        result = study(linear, examples, tmp_path)
    assert equal(numbers(result), numbers(study(linear, examples)))


def test_parameters_come_back_as_they_were_saved(tmp_path, equal):
    params = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": {"c": np.float32(2.5)[None]}}
    save_params(tmp_path / "params", params)
    assert equal(restore_params(tmp_path / "params"), params)
    assert equal(restore_params(tmp_path / "params", like=params), params)
    with pytest.raises(FileExistsError, match="save_params: path must be new, or overwrite=True"):
        save_params(tmp_path / "params", params)
    save_params(tmp_path / "params", {"a": np.zeros(1)}, overwrite=True)
    assert set(restore_params(tmp_path / "params")) == {"a"}
    with pytest.raises(FileNotFoundError, match="restore_params: path must be a directory written by save_params"):
        restore_params(tmp_path / "nothing")


_KILLED = """
import sys
import jax, numpy as np, optax
from momentum_jax.training import Examples, train_many
from momentum_jax.training.model import mlp
rng = np.random.default_rng(0)
images, labels = rng.integers(0, 256, (500, 8, 8)).astype(np.uint8), rng.integers(0, 10, 500).astype(np.uint8)
rows = rng.permutation(500).astype(np.int32)[None]
result = train_many(
    jax.random.split(jax.random.key(0), 1), optax.adam, {"learning_rate": 0.01},
    mlp((32,), input_shape=(8, 8)), Examples(images, labels, 255.0, rows[:, :300], rows[:, 300:400], rows[:, 400:]),
    steps=int(sys.argv[2]), batch_size=32, evaluate_at=2000, checkpoint=sys.argv[1] or None, checkpoint_seconds=0.0,
    chunk_seconds=0.05,
)
np.savez(sys.argv[3], result.runs[0].losses, result.runs[0].evaluation_losses, *jax.tree.leaves(result.runs[0].params))
"""


@pytest.mark.slow
def test_a_process_killed_again_and_again_ends_in_the_same_bits_as_one_left_alone(tmp_path):
    def run(checkpoint, output):
        return subprocess.Popen([sys.executable, "-c", _KILLED, str(checkpoint), "60000", str(output)])

    def digest(path: Path):
        with np.load(path) as content:
            return hashlib.sha256(b"".join(content[name].tobytes() for name in sorted(content.files))).hexdigest()

    assert run("", tmp_path / "alone.npz").wait() == 0
    rng, kills = np.random.default_rng(0), 0
    for _ in range(100):
        process = run(tmp_path / "checkpoints", tmp_path / "killed.npz")
        if kills < 6:
            while process.poll() is None and not list((tmp_path / "checkpoints").glob("*/*.sha256")):
                time.sleep(0.05)
            time.sleep(rng.uniform(0.0, 1.0))
            if process.poll() is None:
                process.kill()
                kills += 1
        if process.wait() == 0:
            break
    assert kills >= 3
    assert digest(tmp_path / "killed.npz") == digest(tmp_path / "alone.npz")
