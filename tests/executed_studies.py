"""What studies come to that were trained here or there, to be compared to the bit."""

import collections
import dataclasses
import json
from pathlib import Path
from typing import Any

import psutil

from momentum_jax.studies.store import Store

FILES = Path(__file__).parent / "own_files"


def content(directory: Path) -> tuple[dict[str, str], dict[str, list[bytes]]]:
    """All that a study says, less the time it took; no run is in it twice."""
    store = Store.read(directory)
    assert store.damage == []
    names = collections.Counter(json.loads(line)["name"] for line in (directory / "runs.jsonl").read_text().splitlines())
    assert max(names.values()) == 1, "a run was stored twice"
    runs = {run.name: repr(dataclasses.replace(run, seconds=0.0)) for run in store.runs}
    return runs, {run.name: [each.tobytes() for each in store.curves(run).arrays().values()] for run in store.runs}


def report(directory: Path) -> Any:
    """What the report says, less the time it took."""
    from momentum_jax.report import write

    (path,) = [each for each in write(Store.read(directory)) if each.suffix == ".json"]

    def timeless(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: timeless(each) for name, each in value.items() if name != "seconds"}
        return [*map(timeless, value)] if isinstance(value, list) else value

    return timeless(json.loads(path.read_text()))


def worker_processes(coordinator: int) -> list[psutil.Process]:
    """Those that Dask's nannies have started below a process."""
    found = []
    try:
        for each in psutil.Process(coordinator).children(recursive=True):
            found += [each] if "spawn_main" in " ".join(each.cmdline()) else []
    except psutil.Error:
        # It was killed while it was looked at.
        pass
    return found
