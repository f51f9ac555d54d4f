"""What an atlas says: every cell by the one rule of evidence, and over the cells the false discovery rate.

A cell is one question, that of its study, with its p-value. The p-values of all answered cells are adjusted: at most 5% of the
claims are expected to be false (`scipy.stats.false_discovery_control`).
Source: Y. Benjamini and Y. Hochberg (1995), Controlling the false discovery rate, J. R. Stat. Soc. B 57(1), 289-300.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from momentum_jax._files import atomic
from momentum_jax.studies import wording
from momentum_jax.studies.analysis import Analysis, ArmResult, Claim, analyse
from momentum_jax.studies.analysis.answer import is_as_well
from momentum_jax.studies.analysis.claims import GAIN, LARGER_STEP, QUESTION
from momentum_jax.studies.atlas.plan import Atlas, Cell, Entry
from momentum_jax.studies.atlas.run import stores_of
from momentum_jax.studies.evidence import LEVEL
from momentum_jax.studies.predicted import PredictedArm
from momentum_jax.studies.store import Store

SCHEMA = 1
# Answers of a study that claim no direction, whatever the evidence on its question is.
_WITHHELD = ("cannot", "nothing", "diverged", "unstable", "noquestion", "edge", "opposed")


@dataclass(frozen=True)
class Beside:
    """An arm of a cell beside gradient descent, the study's first arm.

    optimizer: what was run. mean: of its final scores, None where no run has one. estimate, interval: of the difference of
    the score, positive where the arm is better. effect, effect_interval: the same in standard deviations of the first arm's
    scores over seeds. direction: what the study claims of the two, 0 for nothing. wins: on how many seeds the arm is better.
    shown, said: the difference of the score itself with its unit, and the evidence in a sentence.
    """

    label: str
    optimizer: str
    mean: float | None
    estimate: float | None = None
    interval: tuple[float, float] | None = None
    effect: float | None = None
    effect_interval: tuple[float, float] | None = None
    direction: int = 0
    wins: int = 0
    seeds: int = 0
    shown: str = ""
    said: str = ""


@dataclass(frozen=True)
class Curvature:
    """A linear arm at the shares of the budget at which it was measured: sharpness over the largest stable curvature.

    place: in the predicted order for this budget, from 1; None: nothing is predicted of it.
    """

    label: str
    at: tuple[float, ...]
    ratios: tuple[float | None, ...]
    place: int | None


@dataclass(frozen=True)
class Finding:
    """One cell: its study's answer, and what the atlas makes of it.

    folder: of the study that has the answer. runs, planned: stored, and in all. widened: how often ranges were made wider.
    mark, kind, sentence: the study's own answer. p, adjusted: of its question, alone and among all questions of the atlas.
    claimed: 1 where momentum is better and -1 where it is worse by both, else 0. collapsed: how gradient descent has collapsed,
    so that no claim is made of the question; lost_control: the same of the ladder's, at momentum's effective learning rate.
    gains: whether momentum beats gradient descent at its own learning rate. share: the part of that gain that the larger step
    alone brings; None: there is no gain, or the control is lost. only_larger_step: whether a larger step alone does as well.
    predicted: 1 where theory puts momentum ahead, -1 behind, 0 level; None: theory says nothing. ran: with which versions, on
    which machine; seconds: of all its work.
    """

    entry: str
    batch: int | None
    steps: int
    folder: str
    runs: int = 0
    planned: int | None = None
    widened: int = 0
    mark: str = "Not run"
    kind: str = ""
    sentence: str = ""
    score: str = ""
    question: tuple[str, str] | None = None
    p: float | None = None
    adjusted: float | None = None
    claimed: int = 0
    collapsed: str = ""
    lost_control: str = ""
    gains: bool = False
    share: float | None = None
    only_larger_step: bool = False
    predicted: int | None = None
    arms: tuple[Beside, ...] = ()
    curvatures: tuple[Curvature, ...] = ()
    ran: dict[str, dict[str, Any]] | None = None
    seconds: float = 0.0

    @property
    def is_complete(self) -> bool:
        return self.planned is not None and self.runs == self.planned

    @property
    def measured(self) -> int:
        """Which arm of its question the study claims to be ahead by itself: 1 for momentum, -1; 0 where it claims none."""
        arm = self.asked
        return 0 if arm is None or self.kind in _WITHHELD or self.collapsed else arm.direction

    @property
    def asked(self) -> Beside | None:
        """The arm of the question."""
        return next((arm for arm in self.arms if self.question and arm.label == self.question[0]), None)


@dataclass(frozen=True)
class Cells:
    """All cells of an atlas, and its problems."""

    title: str
    is_quick: bool
    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...]

    @property
    def answered(self) -> tuple[Finding, ...]:
        """Those whose question has a p-value."""
        return tuple(each for each in self.findings if each.p is not None)

    def count(self, claimed: int) -> int:
        return sum(each.claimed == claimed for each in self.answered)

    @property
    def gained(self) -> tuple[Finding, ...]:
        """Those where momentum at its learning rate beats gradient descent at the same one."""
        return tuple(each for each in self.findings if each.gains)

    @property
    def compared(self) -> tuple[Finding, ...]:
        """Those of which theory and measurement both name the one that is ahead."""
        return tuple(each for each in self.findings if each.predicted and each.measured)

    @property
    def agreeing(self) -> int:
        return sum(each.predicted == each.measured for each in self.compared)

    def to_json(self) -> str:
        """Every number, as JSON text; infinite ones are the texts "inf" and "-inf"."""
        entries = [{"name": entry.name, "why": entry.why, "expects": entry.expects} for entry in self.entries]
        marks = Counter(each.mark for each in self.findings)
        content = {
            "schema": SCHEMA,
            "title": self.title,
            "is_quick": self.is_quick,
            "level": LEVEL,
            "cells": len(self.findings),
            "answered": len(self.answered),
            "better": self.count(1),
            "worse": self.count(-1),
            "marks": dict(marks.most_common()),
            "gained": len(self.gained),
            "only_larger_step": sum(each.only_larger_step for each in self.gained),
            "compared_with_theory": len(self.compared),
            "agreeing_with_theory": self.agreeing,
            "problems": entries,
            "findings": [_plain(asdict(each)) for each in self.findings],
        }
        return json.dumps(content, indent=1, allow_nan=False) + "\n"


def findings_in(atlas: Atlas, directory: str | Path) -> Cells:
    """What the stores of an atlas in a directory say. A cell that has no store yet is there without an answer.

    Raises:
      StudyError: a store cannot be read, or is of another version.
    """
    from scipy.stats import false_discovery_control

    found = [_finding(cell, directory) for cell in atlas.cells]
    asked = [each for each in found if each.p is not None]
    adjusted = iter(false_discovery_control([each.p for each in asked]).tolist() if asked else ())
    whole = tuple(each if each.p is None else _judged(each, next(adjusted)) for each in found)
    return Cells(atlas.title, atlas.is_quick, atlas.entries, whole)


def write_json(path: Path, cells: Cells) -> None:
    """All numbers of an atlas, as `atlas.json`."""
    with atomic(path) as file:
        file.write(cells.to_json().encode())


def _judged(found: Finding, adjusted: float) -> Finding:
    """A claim is one of the study and of the whole atlas."""
    return replace(found, adjusted=adjusted, claimed=found.measured if adjusted <= LEVEL else 0)


def _finding(cell: Cell, directory: str | Path) -> Finding:
    places = stores_of(directory, cell)
    if not places:
        return Finding(cell.entry, cell.batch, cell.steps, cell.folder)
    store = Store.read(places[-1])
    analysis = analyse(store)
    question, mark = analysis.claim(QUESTION), wording.mark(analysis)
    by_role = {role: claim for claim in analysis.claims for role in claim.roles}
    gain = by_role.get(GAIN)
    is_gain = gain is not None and gain.evidence.direction > 0
    lost = _collapsed(analysis, analysis.ladder.control) if analysis.ladder is not None else ""
    predicted, curvatures = _theory(analysis, question)
    return Finding(
        entry=cell.entry,
        batch=cell.batch,
        steps=cell.steps,
        folder=places[-1].relative_to(directory).as_posix(),
        runs=analysis.runs,
        planned=analysis.runs + analysis.missing if store.manifest.get("planned") is not None else None,
        widened=len(places) - 1,
        mark=mark.word,
        kind=analysis.answer.kind,
        sentence=wording.verdict(analysis),
        score=analysis.scores.primary.name,
        question=(question.first, question.second) if question else None,
        p=question.evidence.p if question is not None and not analysis.missing else None,
        collapsed=_collapsed(analysis, question.second) if question else "",
        lost_control=lost,
        gains=is_gain,
        share=_share(by_role) if is_gain and not lost else None,
        only_larger_step=is_gain and not lost and is_as_well(by_role),
        predicted=predicted,
        arms=tuple(_beside(analysis, arm) for arm in analysis.arms if not arm.rung),
        curvatures=curvatures,
        ran={
            "versions": analysis.environment.get("versions", {}),
            "machine": store.manifest.get("machine", {}) | analysis.environment.get("backend", {}),
        },
        seconds=sum(store.manifest.get("seconds", {}).values()),
    )


def _collapsed(analysis: Analysis, label: str) -> str:
    """How an arm that momentum is compared with has collapsed; empty: it has not."""
    arm = analysis.arm(label)
    if arm.diverged:
        return f"{label} diverged on {arm.diverged} of {len(arm.runs)} seeds"
    return f"{label} hardly learned" if arm.hardly_learned else ""


def _share(by_role: dict[str, Claim]) -> float | None:
    whole, part = (by_role[role].evidence.estimate if role in by_role else math.nan for role in (GAIN, LARGER_STEP))
    return part / whole if math.isfinite(part) and math.isfinite(whole) and whole else None


def _beside(analysis: Analysis, arm: ArmResult) -> Beside:
    primary, first = analysis.scores.primary, analysis.arms[0]
    described = arm.described.get(primary.name)
    made = Beside(arm.label, arm.optimizer, None if described is None else described.mean)
    claim = next((each for each in analysis.claims if {each.first, each.second} == {arm.label, first.label}), None)
    if arm is first or claim is None or claim.measure != "score":
        return made
    sign = 1 if claim.first == arm.label else -1
    evidence = claim.evidence
    ends = evidence.interval
    interval = None if ends is None else (ends if sign > 0 else (-ends[1], -ends[0]))
    values = [value for value in first.values[primary.name] if value is not None and math.isfinite(value)]
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return replace(
        made,
        estimate=sign * evidence.estimate,
        interval=interval,
        effect=sign * evidence.estimate / spread if spread else None,
        effect_interval=(interval[0] / spread, interval[1] / spread) if spread and interval else None,
        direction=sign * evidence.direction,
        wins=sum(sign * each > claim.resolution for each in claim.differences),
        seeds=len(claim.seeds),
        shown=wording.signed(analysis, claim, sign * evidence.estimate),
        said=wording.claim_line(analysis, claim),
    )


def _theory(analysis: Analysis, question: Claim | None) -> tuple[int | None, tuple[Curvature, ...]]:
    """Which arm of the question is predicted to be ahead, and how near to instability the linear arms were."""
    prediction = analysis.prediction
    if prediction is None:
        return None, ()
    arms = {arm.label: arm for arm in prediction.arms}
    curvatures = tuple(
        Curvature(arm.label, prediction.at, _ratios(arm), arm.place) for arm in prediction.arms if arm.limit is not None
    )
    both = [arms.get(label) for label in (question.first, question.second)] if question else []
    places = [arm.place for arm in both if arm is not None and arm.place is not None]
    if len(places) < 2:
        return None, curvatures
    return (places[1] > places[0]) - (places[1] < places[0]), curvatures


def _ratios(arm: PredictedArm) -> tuple[float | None, ...]:
    assert arm.limit is not None
    return tuple(None if sharp is None or not math.isfinite(arm.limit) else sharp / arm.limit for sharp in arm.sharpness)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def entries_of(cells: Cells) -> Sequence[tuple[Entry, tuple[Finding, ...]]]:
    """Each problem with its cells."""
    return [(entry, tuple(each for each in cells.findings if each.entry == entry.name)) for entry in cells.entries]
