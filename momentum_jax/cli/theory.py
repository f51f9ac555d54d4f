"""`momentum-jax theory`: what follows from an optimizer's own update on a quadratic."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from momentum_jax._text import cut_path
from momentum_jax.cli.arguments import ArgumentError, Theory
from momentum_jax.cli.console import output
from momentum_jax.studies.expression import Expression
from momentum_jax.studies.own import load
from momentum_jax.studies.resolve import resolve
from momentum_jax.theory import (
    Dynamics,
    Equivalence,
    Summary,
    equivalent,
    impulse_response,
    linearize,
    rate,
    stability_limit,
    steady_state_variance,
    summary,
)


def run(command: Theory) -> int:
    if command.figure is not None and command.figure.suffix not in (".png", ".pdf"):
        raise ArgumentError(f"--figure must end in .png or .pdf, got {command.figure.name!r}.")
    if command.figure is not None and not command.figure.parent.is_dir():
        raise ArgumentError(f"--figure must be in a directory that is there, got {cut_path(command.figure)}.")
    texts = [command.optimizer, *([] if command.versus is None else [command.versus])]
    try:
        read = {text: _read(text, command.horizon) for text in texts}
        found = {
            text: summary(each, command.curvatures, noise=command.noise, step=command.at_step) for text, each in read.items()
        }
        same = _equivalences(*read.values()) if len(read) == 2 else {}
    except ValueError as error:
        said = str(error).replace("give step=, or linearize a longer horizon", "give --at-step, or a longer --horizon")
        said = said.replace("give linearize a longer horizon", "give a longer --horizon")
        raise ArgumentError(said) from error
    if command.json:
        plain = {text: each.as_dict() for text, each in found.items()}
        print(json.dumps({"optimizers": plain, "equivalent": {of: _plain(each) for of, each in same.items()}}, indent=2))
    else:
        _print(found, same)
    if command.figure is not None:
        _draw(read, command.curvatures, command.noise, command.at_step, command.figure)
        if not command.json:
            print(f"Figure: {command.figure}")
    return 0


def _read(text: str, horizon: int) -> Dynamics:
    expression = Expression.read(text)
    optimizer = resolve(expression, functools.partial(load, paths={}))
    return linearize(optimizer.make(**optimizer.numbers), horizon=horizon)


def _equivalences(a: Dynamics, b: Dynamics) -> dict[str, Equivalence]:
    return {"held": equivalent(a, b), "iterate": equivalent(a, b, of="iterate")}


def _plain(found: Equivalence) -> dict[str, Any]:
    first = found.first_difference
    return {**found._asdict(), "first_difference": None if first is None else first._asdict()}


def _print(found: dict[str, Summary], same: dict[str, Equivalence]) -> None:
    console = output()
    table = Table(show_header=len(found) > 1, box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    for text in found:
        table.add_column(text, overflow="fold")
    for row in zip(*map(_rows, found.values()), strict=True):
        table.add_row(row[0][0], *(cell for _, cell in row))
    console.print(table)
    for of, each in same.items():
        console.print(f"{_OF[of]}: {_said(each)}")


def _draw(read: dict[str, Dynamics], given: tuple[float, ...], noise: float, step: int | None, file: Path) -> None:
    from momentum_jax.figures.style import save
    from momentum_jax.figures.theory import overview

    limits = {text: stability_limit(each, step=step) for text, each in read.items()}
    ends = [each for each in (*given, *limits.values()) if 0 < each < math.inf] or [1.0]
    curvatures = np.geomspace(min(ends) / 100, 1.5 * max(ends), 600)
    figure = overview(
        curvatures,
        {text: rate(each, curvatures, step=step) for text, each in read.items()},
        limits,
        {text: impulse_response(each, 40, at=step or 0) for text, each in read.items()},
        {text: steady_state_variance(each, curvatures, noise, step=step) for text, each in read.items()},
        title=" and ".join(read),
    )
    save(figure, file)


_OF = {"held": "Points that you hold", "iterate": "Evaluated iterates"}


def _rows(found: Summary) -> list[tuple[str, str]]:
    settled = f"changing at step {found.horizon - 1}" if found.settled is None else f"step {found.settled}"
    if found.period > 1:
        settled += f", repeats every {found.period} steps"
    rows = [
        ("memory", ", ".join(found.memory) or "none"),
        ("settled", f"{settled} ({found.horizon} read)"),
        ("effective learning rate", _gain(found.effective_learning_rate)),
        ("stable on curvatures in", " and ".join(f"({_number(low)}, {_number(high)})" for low, high in found.stable) or "none"),
    ]
    if found.step is not None:
        rows.insert(2, ("coefficients of", f"step {found.step}"))
    for curvature, factor, variance in zip(found.curvatures, found.rates, found.variances, strict=True):
        rows.append((f"at {curvature:g}: rate", _number(factor)))
        rows.append((f"at {curvature:g}: variance for noise {found.noise:g}", _number(variance)))
    if found.worst is not None and found.worst_at is not None:
        rows.append(("worst rate between", f"{_number(found.worst)} at {found.worst_at:.6g}"))
        proven = "none is proven" if found.certified == math.inf else _number(found.certified or 0.0)
        rows.append(("certified for all functions", proven))
    return rows


def _said(found: Equivalence) -> str:
    if found.first_difference is None:
        return "the same, for ever." if found.steps is None else f"the same for the {found.steps} steps that were read."
    step, cause, a, b = found.first_difference
    by = "theta_0 = 1" if cause == "start" else f"a gradient of 1 at step {cause}"
    settled = "; the same once both have settled" if found.same_settled else ""
    return f"different after step {step}: {by} leads to {a:.6g} and to {b:.6g}{settled}."


def _gain(value: float | str) -> str:
    ascends = isinstance(value, float) and value < 0
    return f"{_number(value)}: it ascends" if ascends else _number(value)


def _number(value: float | str) -> str:
    return value.rstrip(".") if isinstance(value, str) else f"{value:.6g}"
