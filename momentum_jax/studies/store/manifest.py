"""The manifest of a store: reading it, what becomes of one that is lost, and where two studies differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from momentum_jax.studies.errors import StudyError
from momentum_jax.studies.spec import Study
from momentum_jax.studies.store.files import MANIFEST
from momentum_jax.studies.store.records import digest_of_json, stored_runs

SCHEMA = 2
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
        manifest = json.loads(path.read_bytes())
        schema, written = manifest["schema"], manifest.pop("sha256", None)
    except OSError as error:
        raise StudyError(f"{path} cannot be read ({error.strerror}); choose another directory, or --overwrite.") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _foreign(path) from None
    if schema != SCHEMA:
        raise StudyError(
            f"{path}: schema version {schema}, but this version of momentum_jax reads {SCHEMA}; choose another directory."
        )
    if written != digest_of_json(manifest):
        raise Damaged(f"{path} is damaged: it does not agree with its checksum", _MEND)
    kinds = {"status": str, "study": dict, "environment": dict}
    if not all(isinstance(manifest.get(name), kind) for name, kind in kinds.items()):
        raise _foreign(path)
    try:
        Study.from_dict(manifest["study"])
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from None
    return manifest


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


def brief(value: Any, most: int = 60) -> str:
    text = json.dumps(value)
    return text if len(text) <= most else f"{text[:most]}..."
