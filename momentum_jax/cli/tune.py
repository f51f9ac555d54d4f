"""`momentum-jax tune`: the best hyperparameters of a linear optimizer for curvatures in [m, L]."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from momentum_jax._hyperparameters import Interval
from momentum_jax.cli.arguments import ArgumentError, Tune
from momentum_jax.studies.expression import Expression
from momentum_jax.studies.own import load
from momentum_jax.studies.reader import Reader
from momentum_jax.studies.resolve import resolve
from momentum_jax.studies.search import Choice
from momentum_jax.theory import tune, worst_rate
from momentum_jax.theory.rates import bounds

# Where a name is all that was given: of learning rates beyond every stable one, of decays as close to 1 as makes a difference.
_LEAST, _MOST, _DECAY = 1e-4, 1e4, 1 - 1e-6


def run(command: Tune) -> int:
    of_a_loss = {"steps": command.steps, "noise": command.noise} if command.objective == "expected_loss" else {}
    if (command.steps is not None or command.noise) and not of_a_loss:
        raise ArgumentError(f"--steps and --noise go with --objective expected_loss, got --objective {command.objective}.")
    if command.steps is None and command.objective == "expected_loss":
        raise ArgumentError("--objective expected_loss needs --steps.")
    try:
        bounds("tune", command.m, command.L)
        constructor, ranges, name = _searched(command)
        found = tune(constructor, ranges, command.m, command.L, objective=command.objective, **of_a_loss)
        worst, at = worst_rate(constructor(**found.hyperparameters), command.m, command.L)
    except ValueError as error:
        raise ArgumentError(str(error)) from error
    if command.json:
        print(json.dumps({**found._asdict(), "worst_quadratic_rate": worst, "worst_at": at}, indent=2))
        return 0
    values = ", ".join(f"{each}={value:.10g}" for each, value in found.hyperparameters.items())
    print(f"{name}({values})")
    if found.loss is not None:
        print(f"expected loss after {command.steps} steps: {found.loss:.8g}")
    if command.objective == "certified":
        print(f"certified rate: {found.rate:.8g}")
    print(f"worst rate on quadratics: {worst:.8g}, at curvature {at:.6g}")
    for each in found.at_end:
        low, high = ranges[each]
        print(f"{each} is at an end of its range [{low:g}, {high:g}]; a wider one may be better.")
    return 0


def _searched(command: Tune) -> tuple[Callable[..., Any], Mapping[str, tuple[float, float]], str]:
    """A constructor, the ranges of its hyperparameters, and its name."""
    loaded = functools.partial(load, paths={})
    if "(" not in command.optimizer:
        expression = Expression.read(f"{command.optimizer}()")
        constructor = Reader(expression.text, expression.origin, loaded).constructor(expression.call)
        ranges = _wide(constructor, command.m, command.L)
        if not ranges:
            raise ArgumentError(f"{command.optimizer} does not say what its hyperparameters may be; give ranges to search.")
        return constructor, ranges, command.optimizer
    expression = Expression.read(command.optimizer)
    optimizer = resolve(expression.middle, loaded)
    if not expression.ranges:
        raise ArgumentError("tune needs a range to search, such as log_uniform(0.001, 1), or the optimizer's name alone.")
    if inner := [name for name in expression.ranges if name not in optimizer.numbers]:
        raise ArgumentError(f"tune searches an optimizer's own real hyperparameters, got {inner[0]}.")
    fixed = {name: value for name, value in optimizer.numbers.items() if name not in expression.ranges}
    if chosen := [name for name, each in expression.ranges.items() if isinstance(each, Choice)]:
        raise ArgumentError(f"tune searches between two ends, got choice(...) for {chosen[0]}.")
    ends = {name: each for name, each in expression.ranges.items() if not isinstance(each, Choice)}
    ranges = {name: (each.low, each.high) for name, each in ends.items()}
    return functools.partial(optimizer.make, **fixed), ranges, expression.name


def _wide(constructor: Callable[..., Any], m: float, L: float) -> dict[str, tuple[float, float]]:
    """Of the learning rate and of decays: what their rules allow, as far as it matters."""
    ranges = {}
    for name, hint in get_type_hints(constructor, include_extras=True).items():
        rules = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        rule = next((getattr(each, "rule", each) for each in rules), None)
        # Dampening does nothing that the learning rate does not do.
        if not isinstance(rule, Interval) or name == "dampening":
            continue
        if name == "learning_rate":
            ranges[name] = (_LEAST / L, _MOST / m)
        elif (rule.low, rule.high, rule.closed) == (0, 1, False):
            ranges[name] = (0.0, _DECAY)
    return ranges
