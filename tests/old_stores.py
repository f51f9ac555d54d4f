"""Stores as schema 2 had them: of images alone, with their scores side by side."""

import hashlib
import json

import numpy as np

# In the order in which their digest has them.
ARRAYS = ("train_loss", "steps", "validation_loss", "validation_accuracy")
UNTESTED = {"accuracy": None, "mcc": None, "loss": None, "confusion": []}


def signed(content):
    """With a checksum that agrees."""
    content = {name: value for name, value in content.items() if name != "sha256"}
    return {**content, "sha256": hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}


def as_of_schema_2(directory):
    """Makes of a finished store of images what it would have been in schema 2."""
    with np.load(directory / "curves.npz") as archive:
        stored = dict(archive.items())
    lines = [json.loads(line) for line in (directory / "runs.jsonl").read_text().splitlines()]
    kept = {f"{line['name']}/{name}": stored[f"{line['name']}/{name}"] for line in lines for name in ARRAYS}
    np.savez(directory / "curves.npz", **kept)
    (directory / "runs.jsonl").write_text("".join(json.dumps(_old(line, kept)) + "\n" for line in lines))
    manifest = json.loads((directory / "manifest.json").read_text())
    (directory / "manifest.json").write_text(json.dumps(signed({**manifest, "schema": 2}), indent=2))


def _old(line, kept):
    digest = hashlib.sha256()
    for name in ARRAYS:
        array = kept[f"{line['name']}/{name}"]
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    test = {name: line["test"].get(name, missing) for name, missing in UNTESTED.items()}
    validation = {f"validation_{name}": line["validation"][name] for name in ("accuracy", "loss")}
    first = {name: line[name] for name in ("name", "phase", "arm", "optimizer", "seed")}
    last = {name: line[name] for name in ("diverged", "seconds", "key")}
    return signed({**first, **test, **validation, **last, "arrays": digest.hexdigest()})
