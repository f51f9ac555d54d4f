"""How to run the study again: its TOML, what is in it, and what it was run with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from momentum_jax.data import NAMES
from momentum_jax.report import cells
from momentum_jax.report.blocks import Command, Facts, Section, Text, Words
from momentum_jax.report.given import Given
from momentum_jax.studies import Study, wording
from momentum_jax.studies.jobs import CONTROL, LADDER, PHASES, REPORT, TUNING
from momentum_jax.studies.wording import reproduce as words

_PHASES = {TUNING: "search", REPORT: "report", LADDER: "ladder", CONTROL: "the same arm twice"}


def reproduce(given: Given) -> Section:
    study = given.analysis.study
    return Section(
        "reproduce",
        "Reproduce",
        "Reproduce",
        Text(words.take(study)),
        (
            Command(toml(study)),
            Command(f"momentum-jax study run {words.FILE}"),
            Text(words.SOURCES, tone="small"),
            Facts(tuple(facts(given))),
        ),
    )


def glossary(used: frozenset[str] | None = None) -> Section:
    """Words; `used` chooses among them."""
    rows = tuple((name, word.term, word.meaning) for name, word in wording.WORDS.items() if used is None or name in used)
    return Section("words", "Words", "Words", Text(""), (Words(rows),))


def toml(study: Study) -> str:
    """The study as TOML that `study run` reads."""
    content = {name: value for name, value in study.to_dict().items() if value is not None}
    content["batch"] = "all" if study.batch is None else study.batch
    for table, first in ((content, 0), (content["search"], 1000)):
        seeds = table["seeds"]
        table["seeds"] = len(seeds) if [*seeds] == [*range(first, first + len(seeds))] else seeds
    arms = [_arm(arm) for arm in content.pop("arms")]
    tables = {name: content.pop(name) for name in ("network", "search") if name in content}
    if "network" in tables and tables["network"].get("output_activation") is None:
        tables["network"].pop("output_activation", None)
    lines = [*_lines(content), "arms = [", *(f"  {arm}," for arm in arms), "]"]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *_lines({key: value for key, value in table.items() if value is not None})]
    return "\n".join(lines)


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {_toml(value)}" for name, value in table.items()]


def _arm(arm: Mapping[str, Any]) -> str:
    """As little as says it: an arm that has its own label is its optimizer."""
    from momentum_jax.studies import Arm

    bare = {name: value for name, value in arm.items() if name != "label"}
    if [*bare] == ["optimizer"] and Arm(arm["optimizer"]).label == arm["label"]:
        return _toml(arm["optimizer"])
    return _toml(dict(arm))


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return wording.sections.toml(value)
        case Mapping():
            return "{ " + ", ".join(f"{_key(name)} = {_toml(each)}" for name, each in value.items()) + " }"
        case list() | tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case _:
            return repr(value)


def _key(name: str) -> str:
    return name if name.isascii() else wording.sections.toml(name)


def facts(given: Given) -> list[tuple[str, str]]:
    """What was run, on what, with which versions."""
    analysis, study, store = given.analysis, given.analysis.study, given.store
    environment, machine = analysis.environment, store.manifest.get("machine", {})
    order = "each epoch in a new order" if study.sampling == "shuffle" else "drawn with replacement"
    sampling = f", {order}" if study.batch is not None and analysis.batches.endswith("examples") else ""
    rows = [
        *(_images(study) if study.problem is None else _problem(given)),
        ("training", f"{study.steps:,} steps{analysis.batches}{sampling}; evaluated every {study.evaluate_every}"),
        ("seeds", cells.numbers(study.seeds)),
    ]
    if study.tuned:
        search = study.search
        rows.append(
            (
                "search",
                f"{search.sampler.capitalize()} points scrambled by {search.scramble}, on seeds {cells.numbers(search.seeds)}; "
                f"chosen by validation {study.selected_by(analysis.scores)}",
            )
        )
    phases = {phase: [run for run in store.runs if run.phase == phase] for phase in PHASES}
    counts = [
        f"{_PHASES[phase]} {len(runs)} ({cells.seconds(sum(run.seconds for run in runs))})"
        for phase, runs in phases.items()
        if runs
    ]
    rows.append(("runs", f"{analysis.runs}: {'; '.join(counts)}" if counts else "0"))
    if analysis.seconds:
        rows.append(("time", ", ".join(f"{name} {cells.seconds(spent)}" for name, spent in analysis.seconds.items())))
    if "data" in environment:
        rows.append(("data, SHA-256", environment["data"]))
    if "problem" in environment:
        rows.append(("loss, SHA-256", str(environment["problem"].get("loss", cells.NONE))))
    versions = {**environment.get("versions", {}), **({"python": machine["python"]} if "python" in machine else {})}
    rows.append(("versions", ", ".join(f"{name} {version}" for name, version in versions.items()) or cells.NONE))
    if where := _machine(environment, machine):
        rows.append(("machine", where))
    if store.manifest.get("any_bits"):
        rows.append(("workers", "some whose arithmetic differs in its last bits, so one machine alone gives other numbers"))
    return rows


def _machine(environment: Mapping[str, Any], machine: Mapping[str, Any]) -> str:
    backend = environment.get("backend", {})
    where = [" ".join(dict.fromkeys(map(str, backend.values())))] if backend else []
    where += [str(machine["system"])] if "system" in machine else []
    where += [cells.counted(machine["cores"], "core")] if machine.get("cores") else []
    return ", ".join(where)


def _images(study: Study) -> list[tuple[str, str]]:
    network = study.network
    hidden = "-".join(map(str, network.hidden)) or "none"
    output = f", {network.output_activation} on the output" if network.output_activation else ""
    dropout = f", dropout {network.dropout:g}" if network.dropout else ""
    size = f", reduced to {study.size} x {study.size}" if study.size else ""
    sample = f", {study.examples:,} examples to train on" if study.examples else ""
    channels: Sequence[int] = network.channels
    kind = f"convolutional net of {'-'.join(map(str, channels))} channels" if channels else "perceptron"
    return [
        ("data set", f"{study.data_name}{size} ({NAMES.get(study.dataset, 'images of your own')}){sample}"),
        ("model", f"{kind}, hidden layers {hidden}, {network.activation}{output}{dropout}, weights {network.initialization}"),
        ("loss", network.loss.replace("_", " ")),
    ]


def _problem(given: Given) -> list[tuple[str, str]]:
    analysis = given.analysis
    scores = ", ".join(f"{score.name} ({score.better} is better)" for score in analysis.scores.ranked)
    return [("problem", str(analysis.study.problem)), ("scores", scores)]
