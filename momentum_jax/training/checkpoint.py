"""Parameters, and runs in mid-training, on disk by Orbax: written whole or not at all, checked when they are read."""

import functools
import hashlib
import shutil
import time
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax.training.host import Curves, Wave
from momentum_jax.training.loop import RunState
from momentum_jax.training.problem import Examples


def save_params(path: str | Path, params: Any, *, overwrite: bool = False) -> None:
    """Writes a tree of arrays (parameters, or `{"params": ..., "model_state": ...}`) to the new directory `path`.

    Raises:
      FileExistsError: `path` is there already and `overwrite` is False.
    """
    target = Path(path).absolute()
    if target.exists() and not overwrite:
        raise FileExistsError(f"save_params: path must be new, or overwrite=True, got {target}, which exists.")
    _write(target, jax.tree.map(np.asarray, params), overwrite)


def restore_params(path: str | Path, like: Any = None) -> Any:
    """The tree that `save_params` wrote, of NumPy arrays.

    Args:
      path: its directory.
      like: a tree of the same structure, shapes and dtypes, arrays or `jax.ShapeDtypeStruct`; None: nested dicts as they
        were saved.

    Raises:
      FileNotFoundError: there is nothing at `path`.
    """
    source = Path(path).absolute()
    if not source.exists():
        raise FileNotFoundError(
            f"restore_params: path must be a directory written by save_params, got {source}: no such directory."
        )
    target = None if like is None else jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
    return _read(source, target)


class WaveCheckpoints:
    """The state inside a wave, in `directory/<fingerprint of the wave>/<step>`, the latest alone.

    A checkpoint is taken up only by the very same wave: same program (model, optimizer, batches, JAX version), keys,
    hyperparameters and examples. One that is damaged is reported by a warning and not read.
    """

    def __init__(self, directory: str | Path, seconds: float, data: Examples):
        self._directory, self._seconds = Path(directory).absolute(), seconds
        self._examples = data
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
        leaves = {f"{i:05d}": leaf for i, leaf in enumerate(_host(state)) if leaf.size}
        width = len(state.diverged)
        content = {
            "state": leaves,
            "evaluations": {
                # Orbax keeps no arrays of size 0: the first entry only holds the place.
                "steps": np.array([-1, *curves.steps], np.int32),
                "losses": np.stack([np.zeros(width, np.float32), *curves.losses]),
                "accuracies": np.stack([np.zeros(width, np.float32), *curves.accuracies]),
            },
            "seconds": np.array([seconds]),
        }
        _write(root / str(step), content, True)
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

    @functools.cached_property
    def _data_digest(self) -> Any:
        digest = hashlib.sha256()
        for part in self._examples:
            _add(digest, part)
        return digest

    def _restored(self, path: Path, state: RunState) -> tuple[int, RunState, Curves, float]:
        content = _read(path)
        leaves, structure = jax.tree.flatten(state)
        filled = [_placed(content["state"][f"{i:05d}"], leaf) if leaf.size else leaf for i, leaf in enumerate(leaves)]
        evaluations = content["evaluations"]
        curves = Curves(
            [int(each) for each in evaluations["steps"][1:]],
            list(evaluations["losses"][1:]),
            list(evaluations["accuracies"][1:]),
        )
        return int(path.name), jax.tree.unflatten(structure, filled), curves, float(content["seconds"][0])

    def _path(self, wave: Wave, state: RunState) -> Path:
        if id(wave) not in self._paths:
            digest = self._data_digest.copy()
            tables = wave.place().tables
            digest.update(wave.programs.advance.identity(wave.run, state, tables, np.int32(0), np.int32(0)))
            # Not `wave.runs`: a call for what is left over numbers the same runs anew.
            for leaf in [*_host(wave.run), wave.rows, np.array(wave.evaluations), np.array(len(wave.runs))]:
                _add(digest, leaf)
            self._paths[id(wave)] = self._directory / digest.hexdigest()[:32]
        return self._paths[id(wave)]


def _host(tree: Any) -> list[np.ndarray]:
    """The leaves as NumPy arrays, typed keys as their data."""
    return [np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf) for leaf in jax.tree.leaves(tree)]


def _placed(array: np.ndarray, like: jax.Array) -> jax.Array:
    if _is_key(like):
        return jax.device_put(jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(like)), like.sharding)
    return jax.device_put(array, like.sharding)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


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


def _write(path: Path, tree: Any, overwrite: bool) -> None:
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, tree, force=overwrite)


def _read(path: Path, target: Any = None) -> Any:
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(path, target)
