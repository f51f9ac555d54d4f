"""The manifest of a store: reading it, what becomes of one that is lost, and where two studies differ."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from momentum_jax._files import read_regular
from momentum_jax._text import cut, quoted
from momentum_jax.studies.errors import StudyError, is_whole
from momentum_jax.studies.predicted import StudyPrediction
from momentum_jax.studies.scores import IMAGES, Scores
from momentum_jax.studies.store.files import MANIFEST
from momentum_jax.studies.store.records import SECONDS, UNSOUND, digest_of_json, is_text, loads, stored_runs
from momentum_jax.studies.study import Study

SCHEMA = 3
# Of images alone; their lines are read as what they are now.
_READ = (2, SCHEMA)
_MEND = "run the study again to mend it"


class Damaged(StudyError):
    """A file that is not as it was written: `what` is so, and the remedy."""

    def __init__(self, what: str, remedy: str = ""):
        super().__init__(f"{what}; {remedy}." if remedy else f"{what}.")
        self.what = what


def read_manifest(directory: Path) -> dict[str, Any]:
    path = directory / MANIFEST
    if not path.exists():
        if stored_runs(directory):
            raise Damaged(f"{path} is missing, though runs of a study are stored there", _MEND)
        raise StudyError(f"{directory} holds no results of a study ({MANIFEST} is missing).")
    try:
        manifest = loads(read_regular(path))
        schema, written = manifest["schema"], manifest.pop("sha256", None)
        agrees = written == digest_of_json(manifest)
    except OSError as error:
        raise StudyError(f"{path} cannot be read ({error.strerror}); choose another directory, or --overwrite.") from None
    except UNSOUND:
        raise _foreign(path) from None
    if schema not in _READ:
        raise StudyError(
            f"{path}: schema version {quoted(schema)}, but this version of momentum_jax reads {SCHEMA}; "
            "choose another directory."
        )
    if not agrees:
        raise Damaged(f"{path} is damaged: it does not agree with its checksum", _MEND)
    if not all(isinstance(manifest.get(name), kind) for name, kind in _NEEDED.items()):
        raise _foreign(path)
    for name, (allowed, is_allowed) in _ALLOWED.items():
        if name in manifest and not is_allowed(manifest[name]):
            raise Damaged(f"{path} is damaged: {name} must be {allowed}, got {quoted(manifest[name])}", _MEND)
    try:
        # With every field: what is left out has its default.
        study = Study.from_dict(manifest["study"])
        manifest |= {"schema": SCHEMA, "study": study.to_dict()}
        scores_of(manifest)
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from None
    except UNSOUND:
        raise Damaged(f"{path} is damaged: it describes no study", _MEND) from None
    return manifest


def scores_of(manifest: Mapping[str, Any]) -> Scores:
    """The scores of the study that a manifest describes. Raises one of `UNSOUND` where it does not say them."""
    return Scores.from_dict(manifest["scores"]) if "problem" in manifest["study"] else IMAGES


def study_of(manifest: Mapping[str, Any]) -> Study:
    """The study that a manifest describes, with the places of the user's files."""
    return Study.from_dict(manifest["study"], paths=manifest.get("paths", {}))


_NEEDED = {"status": str, "study": dict, "environment": dict}


def _is_count(value: object) -> bool:
    return is_whole(value, 0) and value < 2**63  # pyright: ignore[reportOperatorIssue]


def _are_seeds(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_count, value))


def _are_seconds(value: object) -> bool:
    return isinstance(value, dict) and all(map(SECONDS[1], value.values()))


def are_files(value: object) -> bool:
    """Names, as `Path` and the file system take them."""
    return isinstance(value, list) and all(is_text(name) and "\0" not in name for name in value)


def _is_environment(value: object) -> bool:
    """As the report shows it: names of versions and devices, digests."""
    if not isinstance(value, dict):
        return False
    parts = (value.get(name, {}) for name in ("versions", "backend", "problem", "arms"))
    known = all(isinstance(part, dict) and all(map(is_text, part.values())) for part in parts)
    return known and is_text(value.get("data", ""))


def _is_machine(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    return all(is_text(value.get(name, "")) for name in ("system", "python")) and (
        value.get("cores") is None or _is_count(value["cores"])
    )


def _is_prediction(value: object) -> bool:
    try:
        StudyPrediction.from_dict(cast(Any, value))
    except UNSOUND:
        return False
    return True


# What a manifest may have besides, as `Store.note` writes it.
_ALLOWED: dict[str, tuple[str, Callable[[object], bool]]] = {
    "environment": ("what the numbers depend on, in text", _is_environment),
    "planned": ("a whole number >= 0", _is_count),
    "seeds_added": ("a list of seeds", _are_seeds),
    "adding": ("a list of seeds", _are_seeds),
    "additions": ("lists of seeds", lambda value: isinstance(value, list) and all(map(_are_seeds, value))),
    "seconds": ("numbers of seconds", _are_seconds),
    "files": ("a list of names", are_files),
    "machine": ("a system, a version of Python and a number of cores", _is_machine),
    "paths": ("paths by name", lambda value: isinstance(value, dict) and are_files([*value.values()])),
    "prediction": ("what was predicted of the arms", _is_prediction),
    "any_bits": ("true or false", lambda value: isinstance(value, bool)),
    "manifest_lost": ("true or false", lambda value: isinstance(value, bool)),
}


def _foreign(path: Path) -> Damaged:
    remedy = _MEND if stored_runs(path.parent) else "choose another directory"
    return Damaged(f"{path} is not the manifest of a study, or is damaged", remedy)


def made_anew(recovered: Sequence[int]) -> str:
    """What becomes of a lost manifest, and what cannot be known any more."""
    kept = f", with seeds {', '.join(map(str, recovered))} of stored runs as added ones" if recovered else ""
    return (
        f"It is written anew{kept}; which of the study's seeds were added after it had been run, and which were still to be "
        "added, cannot be known."
    )


def differences(here: Any, there: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The places where two JSON values differ, as (dotted key, here, there)."""
    if isinstance(here, Mapping) and isinstance(there, Mapping):
        for key in [*here, *(key for key in there if key not in here)]:
            yield from differences(here.get(key), there.get(key), f"{path}.{key}" if path else key)
    elif here != there:
        yield path, here, there


def brief(value: Any) -> str:
    """The value as JSON, cut."""
    return cut(json.dumps(value))
