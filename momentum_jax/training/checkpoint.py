"""Parameters, and runs in mid-training, on disk by Orbax: written whole or not at all, checked when they are read."""

import hashlib
import json
import shutil
import time
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.tree_util import DictKey

from momentum_jax.training.host import Curves, Shared, Wave
from momentum_jax.training.loop import RunState
from momentum_jax.training.opaque import is_key
from momentum_jax.training.stored_tree import describe, fill, rebuild

# What a directory holds, by the names that Orbax gives it.
_DESCRIPTION, _ARRAYS = "description", "arrays"
_FORMAT = b"a described tree with scores by name"


def save_params(path: str | Path, params: Any, *, overwrite: bool = False) -> None:
    """Writes a tree (parameters, or `{"params": ..., "model_state": ...}`) to the new directory `path`.

    Leaves are arrays, also empty ones, or typed PRNG keys; the keys of dicts are strings or ints.

    Raises:
      FileExistsError: `path` is there already and `overwrite` is False.
      TypeError: another leaf or key.
    """
    target = Path(path).absolute()
    if target.exists() and not overwrite:
        raise FileExistsError(f"save_params: path must be new, or overwrite=True, got {target}, which exists.")
    _write("save_params", target, params, overwrite)


def restore_params(path: str | Path, like: Any = None) -> Any:
    """The tree that `save_params` wrote, of NumPy arrays and typed PRNG keys.

    Args:
      path: its directory.
      like: a tree of the same structure, shapes and dtypes, arrays or `jax.ShapeDtypeStruct`; None: dicts, lists and tuples as
        they were saved, a dict in the place of any other node. A directory that Orbax itself wrote is read as Orbax reads it.

    Raises:
      FileNotFoundError: there is nothing at `path`.
      ValueError: `like` is not as what was saved; without it, a directory that Orbax itself wrote with a key of digits, which
        may have been an int.
    """
    source = Path(path).absolute()
    if not source.exists():
        raise FileNotFoundError(
            f"restore_params: path must be a directory written by save_params, got {source}: no such directory."
        )
    content = _content(source)
    if _is_described(content):
        stored = _rebuilt(content)
        return stored if like is None else fill("restore_params", like, stored)
    if like is not None:
        return _content(source, jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like))
    if doubtful := next((name for path, _ in jax.tree.leaves_with_path(content) for name in path if _is_doubtful(name)), None):
        raise ValueError(
            f"restore_params: like must say whether the key {doubtful.key!r} was a string or an int, got None; {source} was "
            "written by Orbax alone and does not say it."
        )
    return content


class WaveCheckpoints:
    """The state inside a wave, in `directory/<fingerprint of the wave>/<step>`, the latest alone.

    A checkpoint is taken up only by the very same wave: same programs (problem, optimizer, batches, JAX version), keys,
    hyperparameters and data. One that is damaged is reported by a warning and not read.
    """

    def __init__(self, directory: str | Path, seconds: float):
        self._directory, self._seconds = Path(directory).absolute(), seconds
        self._data: tuple[Any, bytes] = (None, b"")
        self._paths: dict[int, Path] = {}
        self._last = time.perf_counter()

    def restore(self, wave: Wave, state: RunState) -> tuple[int, RunState, Curves, float] | None:
        """Step, state, evaluations and training seconds of the wave's checkpoint; None where there is none.

        `state` gives structure, shapes, dtypes and placement.
        """
        self._last = time.perf_counter()
        if not self._directory.exists():
            # Nothing was ever saved: what a checkpoint is called need not be found out.
            return None
        root = self._path(wave, state)
        for mark in sorted(root.glob("*.sha256"), key=lambda path: int(path.stem), reverse=True):
            content = root / mark.stem
            if mark.read_text() == _digest_of_files(content):
                return self._restored(content, state)
            warnings.warn(f"train_many: the checkpoint {content} is damaged and not used.", stacklevel=2)
            mark.unlink()
        return None

    def save_if_due(self, wave: Wave, step: int, state: RunState, curves: Curves, seconds: float) -> None:
        """Saves if the last checkpoint is old enough."""
        if step and time.perf_counter() - self._last >= self._seconds:
            self.save(wave, step, state, curves, seconds)

    def save(self, wave: Wave, step: int, state: RunState, curves: Curves, seconds: float) -> None:
        """Saves, then removes what is older."""
        root = self._path(wave, state)
        mark = root / f"{step}.sha256"
        if mark.exists():
            return
        content = {
            "state": jax.tree.leaves(state),
            "curves": {"steps": np.array(curves.steps, np.int32), "scores": curves.scores},
            "seconds": np.array(seconds),
        }
        _write("train_many", root / str(step), content, True)
        # Orbax renames a directory that is complete; the mark beside it says so, and what its files are.
        mark.with_suffix(".new").write_text(_digest_of_files(root / str(step)))
        mark.with_suffix(".new").replace(mark)
        for path in root.glob("*"):
            if path.stem != str(step):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._last = time.perf_counter()

    def forget(self, wave: Wave) -> None:
        """Removes the checkpoint of a finished wave, and with the last one the directory."""
        path = self._paths.get(id(wave))
        if path is not None and path.exists():
            shutil.rmtree(path)
            if not any(self._directory.iterdir()):
                self._directory.rmdir()

    def _data_digest(self, shared: Shared) -> bytes:
        """Of the arrays and splits that waves share, made once for all of them."""
        arrays, parts = shared.arrays, shared.parts or {}
        if self._data[0] is not shared.parts or not self._data[1]:
            digest = hashlib.sha256()
            for part in [*_host(arrays), *parts.values()]:
                _add(digest, part)
            self._data = (shared.parts, digest.digest())
        return self._data[1]

    def _restored(self, path: Path, state: RunState) -> tuple[int, RunState, Curves, float]:
        content = _rebuilt(_content(path))
        leaves, structure = jax.tree.flatten(state)
        placed = [jax.device_put(leaf, like.sharding) for leaf, like in zip(content["state"], leaves, strict=True)]
        curves = Curves(content["curves"]["steps"].tolist(), content["curves"]["scores"])
        return int(path.name), jax.tree.unflatten(structure, placed), curves, float(content["seconds"])

    def _path(self, wave: Wave, state: RunState) -> Path:
        if id(wave) not in self._paths:
            digest = hashlib.sha256(_FORMAT + self._data_digest(wave.shared))
            tables, sets, blocks = wave.place()
            if blocks is not None:
                blocks.close()
                # Of a stream the first batches are known: those to train on, and of each set.
                for leaf in jax.tree.leaves(blocks.first()):
                    _add(digest, leaf)
            digest.update(wave.programs.advance.identity(wave.run, state, tables, np.int32(0), np.int32(0)))
            for name, indices in sets.items():
                # The parameters to evaluate have the shapes of those held.
                held = (wave.run.bare, state.params, state.model_state)
                if blocks is None:
                    identity = wave.programs.evaluate.identity(*held, tables, indices)
                else:
                    batch = jax.tree.map(np.asarray, next(iter(indices())))
                    for leaf in jax.tree.leaves(batch):
                        _add(digest, leaf)
                    values = wave.programs.measure.shapes(*held, batch)
                    identity = wave.programs.measure.identity(*held, batch) + wave.programs.score.identity(values)
                digest.update(name.encode() + repr(wave.programs.ranked).encode() + identity)
            # Not `wave.runs`: a call for what is left over numbers the same runs anew.
            for leaf in [*_host(wave.run), wave.rows, np.array(wave.evaluations), np.array(len(wave.runs))]:
                _add(digest, leaf)
            self._paths[id(wave)] = self._directory / digest.hexdigest()[:32]
        return self._paths[id(wave)]


def _host(tree: Any) -> list[np.ndarray]:
    """The leaves as NumPy arrays, typed keys as their data."""
    return [np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf) for leaf in jax.tree.leaves(tree)]


def _digest_of_files(directory: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(directory).as_posix()}\n{path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    array = np.ascontiguousarray(value)
    digest.update(f"{array.dtype}{array.shape}".encode())
    digest.update(array.tobytes())


# Orbax takes seconds to import, and most trainings are over before anything is saved.


def _write(who: str, path: Path, tree: Any, overwrite: bool) -> None:
    import orbax.checkpoint as ocp

    # Orbax names all keys by strings, and keeps neither typed keys nor arrays of size 0.
    description, arrays = describe(who, tree)
    content = {
        _DESCRIPTION: np.frombuffer(json.dumps(description).encode(), np.uint8),
        _ARRAYS: {str(i): array for i, array in enumerate(arrays)},
    }
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, content, force=overwrite)


def _content(path: Path, target: Any = None) -> Any:
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(path, target)


def _is_described(content: Any) -> bool:
    return isinstance(content, dict) and set(content) == {_DESCRIPTION, _ARRAYS}


def _rebuilt(content: Any) -> Any:
    """The tree that `_write` was given."""
    return rebuild(json.loads(content[_DESCRIPTION].tobytes()), content[_ARRAYS])


def _is_doubtful(step: Any) -> bool:
    return isinstance(step, DictKey) and step.key.isdecimal()
