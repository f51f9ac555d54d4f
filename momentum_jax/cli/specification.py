"""From what was given on the command line, and in a file, to a study."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from momentum_jax.cli.arguments import Compare, Described, Options, Predict, StudyRun, Train
from momentum_jax.studies import Study, StudyError
from momentum_jax.studies.defaults import ARMS, STUDIES
from momentum_jax.studies.expression import Expression, split_label
from momentum_jax.studies.store import Store
from momentum_jax.studies.toml import read_toml, seen_from

# Of each table of a study the fields, and the option that stands for each.
_STUDY = (
    *("problem", "dataset", "size", "examples", "steps", "batch", "sampling", "target", "target_score", "evaluate_every"),
    *("question", "measure", "matters", "looks", "title"),
)
_NETWORK = ("hidden", "channels", "activation", "output_activation", "initialization", "loss", "dropout")
_OPTIONS = {
    "": {name: name for name in _STUDY},
    "network": {name: name for name in _NETWORK},
    "search": {"trials": "trials", "seeds": "tuning_seeds", "score": "score", "sampler": "sampler"},
}
# Defaults that are a data set's own.
_OF_DATA_SET = ("target", "evaluate_every")


def specification(command: Described, directory: Path | None = None) -> Study:
    """The study of a command: what was given, else what its file says, else what the manifest in `directory` says, else the
    data set's own default, else that of `Study`.

    `directory` is that of the study that is gone on with; None: a new one is begun.

    Raises:
      StudyError: the file or a field is not as it must be.
    """
    file = command.file if isinstance(command, StudyRun | Predict) else None
    if isinstance(command, StudyRun) and file is None and not command.arm:
        raise StudyError('study run: give a TOML file, or arms by --arm "heavy_ball(log_uniform(0.001, 1), 0.9)".')
    content: dict[str, Any] = {} if file is None else seen_from(file.parent, read_toml(file))
    for table, options in _OPTIONS.items():
        given = {field: value for field, name in options.items() if (value := getattr(command, name)) is not None}
        if not table:
            content |= given
        elif given and isinstance(content.get(table, {}), dict):
            content[table] = {**content.get(table, {}), **given}
    content |= _runs(command)
    network = content.get("network")
    if isinstance(network, dict) and network.get("output_activation") == "none":
        content["network"] = {**network, "output_activation": None}
    if directory is not None:
        content = _completed(content, _stored(directory))
    dataset = content.get("dataset", Study.dataset) if "problem" not in content else None
    if isinstance(dataset, str) and dataset in STUDIES:
        content = {**{name: getattr(STUDIES[dataset], name) for name in _OF_DATA_SET}, **content}
    if isinstance(command, Compare | Predict) and "arms" not in content and file is None:
        content["arms"] = [arm.optimizer for arm in ARMS]
    try:
        return Study.from_dict(content)
    except StudyError as error:
        raise StudyError(f"{file}: {error}" if file else str(error)) from None


def directory_of(command: Options) -> Path:
    """The output directory of a command."""
    match command:
        case Options(out=Path() as out):
            return out
        case StudyRun(file=Path() as file):
            return file.with_suffix("")
    kind = {Compare: "compare", Train: "train", StudyRun: "study"}[type(command)]
    problem = Expression.read(command.problem) if command.problem else None
    file = command.dataset or Study.dataset if problem is None else problem.origin or problem.name
    of = Path(file).stem
    return Path(f"{kind}-{of}")


def _runs(command: Described) -> dict[str, Any]:
    """Arms, seeds and controls: where the commands differ."""
    match command:
        case Train(arm=arm, seed=seed):
            return {"arms": [_arm(arm)], "seeds": (seed,), "ladder": False, "noise_floor": False}
        case Compare() | Predict():
            content: dict[str, Any] = {"ladder": False, "noise_floor": False}
        case StudyRun(no_ladder=no_ladder, no_noise_floor=no_noise_floor):
            content = {**({"ladder": False} if no_ladder else {}), **({"noise_floor": False} if no_noise_floor else {})}
        case _:
            raise TypeError(f"specification: command must be of a study, got {type(command).__name__}.")
    if command.arm:
        content["arms"] = [_arm(text) for text in command.arm]
    if command.seeds is not None:
        if command.seeds < 1:
            raise StudyError(f"--seeds must be at least 1, got {command.seeds}.")
        content["seeds"] = command.seeds
    return content


def _arm(text: str) -> dict[str, str]:
    optimizer, label = split_label(text)
    return {"optimizer": optimizer, "label": label}


def _stored(directory: Path) -> dict[str, Any]:
    """The study that a directory holds, less its arms, which are what a study is; nothing where none can be read."""
    try:
        stored = Store.read(directory).study.to_dict()
    except StudyError:
        # Whoever goes on with it says what is wrong.
        return {}
    return {name: value for name, value in stored.items() if name != "arms"}


def _completed(content: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """What `content` leaves out, in it and in its tables, as it is stored."""
    completed = dict(stored)
    for name, value in content.items():
        whole = isinstance(value, Mapping) and isinstance(stored.get(name), Mapping)
        completed[name] = _completed(value, stored[name]) if whole else value
    return completed
