import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import momentum_jax as mj
from momentum_jax.training import Interrupted, train_many
from momentum_jax.training.checkpoint import WaveCheckpoints, restore_params, save_params
from momentum_jax.training.model import cross_entropy, from_nnx


def decaying_adam(learning_rate):
    return mj.adam(lambda step: learning_rate / (1 + step))


def study(linear, examples, checkpoint=None, learning_rate=0.01, **options):
    return train_many(
        jax.random.split(jax.random.key(0), 2),
        decaying_adam,
        {"learning_rate": learning_rate},
        linear,
        examples,
        steps=12,
        log_hyperparameters=True,
        batch_size=16,
        evaluate_at=5,
        checkpoint=checkpoint,
        checkpoint_seconds=0.0,
        **options,
    )


def numbers(result):
    return [
        (run.losses, run.evaluation_losses, run.evaluation_accuracies, run.confusion, run.params, run.hyperparameters)
        for run in result.runs
    ]


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


@pytest.fixture(scope="module")
def whole(linear, examples):
    return study(linear, examples)


def test_a_wave_that_was_cut_off_goes_on_where_it_was_and_ends_in_the_same_bits(tmp_path, linear, examples, whole, equal):
    assert cut_off(linear, examples, tmp_path, 1, 9) == [8]
    seen = []
    resumed = study(linear, examples, tmp_path, on_progress=steps_seen(seen), chunk_seconds=1e-9)
    assert min(step for wave, step in seen if wave == 1) == 8
    assert equal(numbers(resumed), numbers(whole))
    assert not list(tmp_path.glob("*"))


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_saves_where_it_stopped(tmp_path, linear, examples):
    def press(report):
        if report.step == 7 and report.phase == "train":
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        study(linear, examples, tmp_path, on_progress=press, chunk_seconds=1e-9)
    assert sorted(path.name for path in tmp_path.glob("*/*")) == ["7", "7.sha256"]


@pytest.mark.slow
def test_another_study_does_not_take_up_the_checkpoint(tmp_path, linear, examples):
    cut_off(linear, examples, tmp_path, 0, 9)
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
def test_a_damaged_checkpoint_is_reported_and_not_read(damage, tmp_path, linear, examples, whole, equal):
    cut_off(linear, examples, tmp_path, 0, 3)
    files = sorted(path for path in tmp_path.glob("*/2/**/*") if path.is_file())
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
    assert equal(numbers(result), numbers(whole))


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


@pytest.mark.exhaustive
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


class Scaled(nnx.Module):
    """tanh(w x): two of them do not commute, and twenty compile in no time."""

    def __init__(self, index):
        self.w = nnx.Param(jnp.linspace(0.8, 1.2 + 0.1 * index, 4))

    def __call__(self, x):
        return jnp.tanh(self.w * x)


class Deep(nnx.Module):
    """A list of eleven layers, so that "10" sorts before "2", and a sequence; dropout draws from the module's own rngs."""

    def __init__(self, rngs):
        self.first = nnx.Linear(36, 4, rngs=rngs)
        self.layers = nnx.List([Scaled(i) for i in range(11)])
        self.sequence = nnx.Sequential(*map(Scaled, range(2)))
        self.dropout = nnx.Dropout(0.2, rngs=rngs)

    def __call__(self, x, *, train, rngs):
        x = self.first(x.reshape(x.shape[0], -1))
        for layer in self.layers:
            x = layer(x)
        return self.sequence(self.dropout(x, deterministic=not train))


@pytest.fixture(scope="module")
def deep():
    return from_nnx(Deep, cross_entropy)


@pytest.fixture(scope="module")
def trained(deep, examples):
    return study(deep, examples)


def test_a_deep_net_that_holds_its_own_rngs_trains_and_comes_back_with_the_same_outputs(tmp_path, deep, trained, equal):
    run = trained.runs[1]
    saved = {"params": run.params, "model_state": run.model_state}
    save_params(tmp_path / "run", saved)

    def outputs(tree, train):
        x = jax.random.uniform(jax.random.key(3), (5, 6, 6))
        return deep.apply(tree["params"], tree["model_state"], x, key=jax.random.key(0), train=train)[0]

    for restored in (restore_params(tmp_path / "run"), restore_params(tmp_path / "run", like=saved)):
        assert list(restored["params"]["layers"]) == list(range(11))
        for train in (False, True):
            assert equal(outputs(restored, train), outputs(saved, train))
    # The runs drew from keys of their own, once in each of 12 steps.
    streams = [each.model_state["dropout"]["rngs"] for each in trained.runs]
    assert [int(stream["count"]) for stream in streams] == [12, 12]
    assert not equal(*(jax.random.key_data(stream["key"]) for stream in streams))


def test_a_net_that_holds_its_own_rngs_goes_on_from_its_checkpoint_in_the_same_bits(
    tmp_path, monkeypatch, deep, trained, examples, equal
):
    assert cut_off(deep, examples, tmp_path, 0, 4) == [3]
    steps, restore = [], WaveCheckpoints.restore

    def noted(self, wave, state):
        found = restore(self, wave, state)
        steps.append(found and found[0])
        return found

    monkeypatch.setattr(WaveCheckpoints, "restore", noted)
    resumed = study(deep, examples, tmp_path)
    assert steps == [3, None]
    assert equal(numbers(resumed), numbers(trained))


ODD_TREES = {
    "digits as ints and as strings": {"a": {i: np.float32([i]) for i in range(12)}, "b": {"10": np.ones(2), "2": np.zeros(2)}},
    "an int and a string beside each other": {1: np.ones(1), "1": np.zeros(1)},
    "lists, tuples, None and empty ones": {"a": [np.ones(1), (np.zeros(2), None)], "b": {}, "c": [], "d": (), "e": None},
    "a list of eleven": [np.int32(i)[None] for i in range(11)],
    "0-d, bfloat16, bool, complex": [np.float32(3.5), jnp.arange(3, dtype=jnp.bfloat16), np.True_, 1j * np.ones(2)],
    "without elements": {"a": np.zeros((0, 3), np.int32), "b": jnp.zeros(0, jnp.bfloat16)},
    "nothing but empty arrays": np.zeros((2, 0)),
    "a single leaf": np.arange(3),
    "names with strokes and dots": {"a/b": np.ones(1), "a": {"b": np.zeros(1)}, "a.b": np.ones(2), "": np.ones(3)},
}  # fmt: skip


@pytest.mark.parametrize("tree", ODD_TREES.values(), ids=ODD_TREES.keys())
def test_every_tree_of_arrays_comes_back_as_it_was(tree, tmp_path):
    save_params(tmp_path / "tree", tree)
    restored = restore_params(tmp_path / "tree")
    assert same(restored, tree)


def same(a, b):
    """Equal trees: kinds of nodes and of keys, dtypes, shapes and values. `jax.tree` cannot compare an int with a string."""
    if isinstance(b, dict):
        return type(a) is dict and list(a) == list(b) and all(same(a[key], b[key]) for key in b)
    if isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if b is None:
        return a is None
    return a.dtype == b.dtype and a.shape == b.shape and np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.mark.parametrize("implementation", ["threefry2x32", "rbg"])
def test_typed_keys_come_back_as_keys_of_their_implementation(implementation, tmp_path):
    key = jax.random.key(7, impl=implementation)
    tree = {"one": key, "many": jax.random.split(key, 3), "none": jax.random.split(key, 3)[:0]}
    save_params(tmp_path / "keys", tree)
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)
    for restored in (restore_params(tmp_path / "keys"), restore_params(tmp_path / "keys", like)):
        assert jax.tree.map(lambda leaf: (leaf.dtype, leaf.shape), restored) == jax.tree.map(
            lambda leaf: (leaf.dtype, leaf.shape), tree
        )
        np.testing.assert_array_equal(jax.random.bits(restored["one"], (4,)), jax.random.bits(key, (4,)))
        np.testing.assert_array_equal(jax.random.key_data(restored["many"]), jax.random.key_data(tree["many"]))


def test_a_state_of_flax_comes_back_into_its_own_kind_and_else_as_dicts(tmp_path, equal):
    state = nnx.state(Deep(nnx.Rngs(0)))
    save_params(tmp_path / "state", state)
    restored = restore_params(tmp_path / "state", like=state)
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    bare = nnx.to_pure_dict(state)
    for found in (nnx.to_pure_dict(restored), restore_params(tmp_path / "state")):
        assert jax.tree.structure(found) == jax.tree.structure(bare)
        assert equal(*(jax.tree.map(jax.random.key_data, tree["dropout"]["rngs"]["key"]) for tree in (found, bare)))
        assert equal(found["layers"], bare["layers"])


def test_what_cannot_be_saved_or_does_not_fit_is_refused_by_the_name_of_its_leaf(tmp_path):
    with pytest.raises(TypeError, match=r"^save_params: leaf \['a'\] must be an array of numbers or a typed key, got str\.$"):
        save_params(tmp_path / "no", {"a": "text"})
    with pytest.raises(TypeError, match=r"^save_params: the keys at .* must be strings or ints, got 1\.5\.$"):
        save_params(tmp_path / "no", {1.5: np.ones(1)})
    save_params(tmp_path / "yes", {"a": np.ones(2, np.float32), "b": {0: jax.random.key(0)}})
    like = {"a": np.ones(2, np.float32), "b": {0: jax.random.key(0)}}
    for change, message in (
        ({"a": np.ones(3, np.float32)}, r"float32 of shape \(2,\) at leaf \['a'\], got float32 of shape \(3,\)"),
        ({"a": np.ones(2, np.float16)}, r"float32 of shape \(2,\) at leaf \['a'\], got float16 of shape \(2,\)"),
        ({"b": {"0": jax.random.key(0)}}, r"no leaf at leaf \['b'\]\['0'\], got key<fry> of shape \(\)"),
        ({"b": {}}, r"key<fry> of shape \(\) at leaf \['b'\]\[0\], got no leaf"),
        ({"b": {0: jax.random.key(0, impl="rbg")}}, r"key<fry> of shape \(\) at leaf \['b'\]\[0\], got key<rbg> of shape \(\)"),
    ):
        with pytest.raises(ValueError, match=rf"^restore_params: like must be as what was saved, {message}\.$"):
            restore_params(tmp_path / "yes", like={**like, **change})


def test_what_orbax_alone_wrote_is_read_unless_a_key_may_have_been_an_int(tmp_path, equal):
    import orbax.checkpoint as ocp

    trees = {"names": {"a": np.ones(2)}, "digits": {"a": {"0": np.ones(2)}}}
    with ocp.StandardCheckpointer() as checkpointer:
        for name, tree in trees.items():
            checkpointer.save(tmp_path / name, tree)
    assert equal(restore_params(tmp_path / "names"), trees["names"])
    with pytest.raises(
        ValueError, match=r"^restore_params: like must say whether the key '0' was a string or an int, got None"
    ):
        restore_params(tmp_path / "digits")
    assert equal(restore_params(tmp_path / "digits", like={"a": {0: np.ones(2)}}), {"a": {0: np.ones(2)}})
