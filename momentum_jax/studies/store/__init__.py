"""A study's results on disk: a directory that is valid and readable after every wave, whatever ends the process.

    manifest.json   schema version, the study, its environment (versions, backend), status, further files of the store
    runs.jsonl      one JSON object a run, appended in the order of the waves
    curves.npz      arrays of every run, named <run>/<array>; loads with allow_pickle=False
    curves/         arrays of waves not yet gathered in curves.npz (only while a study runs, or after a kill)
    aside-1/        lines that a resumed study found and are not its own, and the archives as they lay then

A wave is stored by renaming its finished, fsynced arrays into curves/, then by appending its lines to runs.jsonl in
one write and fsync. So a run that has a whole line has its arrays; a line that a crash cut short ends without a
newline, is not read and is cut off when the study is resumed. Nothing is unpickled. What a directory holds besides
these names is never touched.

A line holds the SHA-256 of its run's arrays and of itself, and the manifest that of itself. What does not agree, or cannot be
what a study wrote, is damaged. A line also holds the key of its run: a run that the manifest's study does not ask for, with
this environment, is another study's, whoever put it there. Neither is ever read as data. `Store.resume` reports them, moves
their lines to a directory of their own, and runs again what is missing. A manifest that is damaged or lost is written anew: the
lines know by their keys what they are runs of.
"""

from momentum_jax.studies.store.directory import Store as Store
from momentum_jax.studies.store.files import (
    CURVES as CURVES,
    LOCK as LOCK,
    MANIFEST as MANIFEST,
    PARTS as PARTS,
    RUNS as RUNS,
    UNFINISHED as UNFINISHED,
    Unwritable as Unwritable,
    locked as locked,
    place as place,
)
from momentum_jax.studies.store.manifest import SCHEMA as SCHEMA, Damaged as Damaged
from momentum_jax.studies.store.records import Curves as Curves, Run as Run, stored_runs as stored_runs
