"""The user's files on their way to a worker: sent by content, put where nothing else lies, imported from there.

With a file go the modules beside it, or below, that it has imported here. What it reads by itself must be in reach of a worker.
"""

from __future__ import annotations

import atexit
import base64
import functools
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import momentum_jax
from momentum_jax.studies.study import Study

# The name of a study's own file of images: no file of Python can have it.
IMAGES = ".npz"
_ELSEWHERE = {"site-packages", "dist-packages"}


def gathered(study: Study) -> dict[str, dict[str, str]]:
    """For each name that the study has for a file: what lies beside it by its relative path, in base 64, the file first."""
    found = {name: _with_modules(Path(path)) for name, path in study.paths.items()}
    if study.own_images:
        found[IMAGES] = {Path(study.dataset).name: _content(Path(study.dataset))}
    return found


def put(files: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Writes what `gathered` found, and returns the path of each file by its name."""
    return _put(json.dumps(files))


@functools.lru_cache(maxsize=4)
def _put(files: str) -> dict[str, str]:
    content: dict[str, dict[str, str]] = json.loads(files)
    root = _root() / hashlib.sha256(files.encode()).hexdigest()[:16]
    _forget_modules()
    paths = {}
    for number, (name, beside) in enumerate(content.items()):
        for relative, text in beside.items():
            path = root / str(number) / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(text))
            paths.setdefault(name, str(path))
    return paths


@functools.cache
def _root() -> Path:
    root = Path(tempfile.mkdtemp(prefix="momentum-jax-")).resolve()
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root


def _forget_modules() -> None:
    """Modules that came with the files of an earlier study: others of the same names may come now."""
    root = _root()
    for name, module in [*sys.modules.items()]:
        if _file_of(module).is_relative_to(root):
            del sys.modules[name]
    sys.path[:] = [each for each in sys.path if not Path(each).is_relative_to(root)]


def _with_modules(path: Path) -> dict[str, str]:
    # The name that a study has for it, where it is a link.
    found, house = {path.name: _content(path)}, Path(momentum_jax.__file__).parent
    for module in [*sys.modules.values()]:
        file = _file_of(module)
        if file.suffix != ".py" or not file.is_relative_to(path.parent) or file.is_relative_to(house) or not file.exists():
            continue
        relative = file.relative_to(path.parent)
        if not _ELSEWHERE & {*relative.parts}:
            found.setdefault(relative.as_posix(), _content(file))
    return found


def _file_of(module: Any) -> Path:
    # Looked up without what a module computes when it is asked.
    file = getattr(module, "__dict__", {}).get("__file__")
    return Path(file) if isinstance(file, str) else Path()


def _content(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
