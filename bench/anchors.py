"""Anchors: published set-ups run with this library's trainer and optimizers, ours beside the published number.

    pip install -e ".[experiments]" && python bench/anchors.py

Sources, settings and what differs are in bench/published.py. Ours is the mean over seeds, with its standard error. It agrees
when the published number is where a mean of so many further runs of ours would lie in 95 of 100 cases (a t interval from the
spread of ours), or, for a target, when every run passes it. Nothing is tuned to meet a number.
"""

import argparse
import functools
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from measure import machine, versions, write_json
from published import ANCHORS, Anchor
from rich.console import Console
from rich.table import Table

from momentum_jax import data
from momentum_jax.training import Examples, Model, RunResult, train_many, use_all_cpu_cores
from momentum_jax.training.model import mlp

RESULTS = Path(__file__).parent / "results" / "anchors.json"


@dataclass(frozen=True)
class Outcome:
    """What our runs of an anchor gave.

    scores: accuracies, one a result; epochs: those in which they were reached, one a run.
    margin: how far from ours the published number may lie; NaN of a single score.
    """

    anchor: Anchor
    scores: tuple[float, ...]
    epochs: tuple[int, ...]
    seconds: float

    @property
    def mean(self) -> float:
        return float(np.mean(self.scores))

    @property
    def standard_error(self) -> float:
        return float(np.std(self.scores, ddof=1) / math.sqrt(len(self.scores))) if len(self.scores) > 1 else math.nan

    @property
    def difference(self) -> float:
        return self.mean - self.anchor.published

    @property
    def margin(self) -> float:
        n = len(self.scores)
        further = math.sqrt(1 + n / self.anchor.published_runs) * self.standard_error
        return self.anchor.rounding + float(scipy.stats.t.ppf(0.975, n - 1)) * further

    @property
    def agrees(self) -> bool:
        if self.anchor.is_target:
            return min(self.scores) > self.anchor.published
        return abs(self.difference) <= self.margin


def examples_of(anchor: Anchor, dataset: data.Dataset) -> Examples:
    """What is trained on, and what is measured after every epoch as the trainer's validation set."""
    assert dataset.official_test is not None
    test = np.array(dataset.official_test)
    rest = np.setdiff1d(np.arange(len(dataset.labels)), test)
    train, held_out = np.split(rest, [len(rest) - anchor.held_out])
    measured = test if anchor.measured_on == "test" else held_out
    rows = (row[None].astype(np.int32) for row in (train, measured, test[:0]))
    return Examples(dataset.images, dataset.labels, anchor.scale, *rows)


def model_of(anchor: Anchor, examples: Examples) -> Model:
    """The net of the anchor, with its initialisation and its standardised pixels."""
    model = mlp(
        anchor.hidden,
        anchor.activation,
        anchor.dropout,
        init=anchor.init if isinstance(anchor.init, str) else "glorot_uniform",
        output_activation=anchor.output_activation,
        loss=anchor.loss,
        input_shape=examples.images.shape[1:],
    )
    if callable(anchor.init):
        model = model._replace(init=functools.partial(_drawn, model, anchor.init))
    if anchor.standardise is not None:
        mean, deviation = anchor.standardise(examples.images[examples.train[0]] / anchor.scale)
        model = model._replace(apply=functools.partial(_standardised, model, jnp.float32(mean), jnp.float32(deviation)))
    return model


def _drawn(model: Model, draw: Callable[[jax.Array, int, int], Any], key: jax.Array) -> tuple[Any, Any]:
    params, state = model.init(key)
    keys = jax.random.split(key, len(params))
    return {name: draw(k, *layer["kernel"].shape) for k, (name, layer) in zip(keys, params.items(), strict=True)}, state


def _standardised(model: Model, mean: Any, deviation: Any, params: Any, state: Any, x: jax.Array, **rest: Any) -> Any:
    return model.apply(params, state, (x - mean) / deviation, **rest)


def run(anchor: Anchor, dataset: data.Dataset) -> Outcome:
    """Trains all seeds of an anchor at once."""
    start = time.perf_counter()
    runs = run_of(anchor, examples_of(anchor, dataset))
    return outcome_of(anchor, runs, time.perf_counter() - start)


def run_of(anchor: Anchor, examples: Examples) -> Sequence[RunResult]:
    """All seeds of an anchor, trained on these examples."""
    size = examples.train.shape[1]
    ends = [math.ceil(epoch * size / anchor.batch_size) for epoch in range(1, anchor.epochs + 1)]
    return train_many(
        jax.vmap(jax.random.key)(np.arange(anchor.seeds)),
        anchor.optimizer,
        anchor.hyperparameters,
        model_of(anchor, examples),
        examples,
        steps=ends[-1],
        batch_size=anchor.batch_size,
        evaluate_at=ends,
        keep_params=False,
    ).runs


def outcome_of(anchor: Anchor, runs: Sequence[RunResult], seconds: float) -> Outcome:
    """Each run read at the epoch that counts, and the best of every `best_of` runs."""
    epochs = [anchor.epoch(run) for run in runs]
    accuracies = [run.evaluation_accuracies[epoch] for run, epoch in zip(runs, epochs, strict=True)]
    scores = np.reshape(accuracies, (-1, anchor.best_of)).max(axis=1)
    return Outcome(anchor, tuple(map(float, scores)), tuple(epochs), seconds)


def quick(anchor: Anchor) -> Anchor:
    """Two runs of an epoch: that everything works, and no comparison."""
    return replace(anchor, seeds=2, best_of=1, epochs=1)


def table(outcomes: Sequence[Outcome], compared: bool) -> Table:
    shown = Table(
        title="Published and ours, accuracy in %",
        caption="Ours: mean ± standard error (results). May differ by: what 95 of 100 means of as many further runs as the "
        "source's stay within."
        if compared
        else "Quick: two runs of one epoch each, no comparison.",
    )
    for name in ("anchor", "published", "ours", *(("difference", "may differ by", "agrees") if compared else ()), "seconds"):
        shown.add_column(name, justify="left" if name == "anchor" else "right")
    for outcome in outcomes:
        target = outcome.anchor.is_target
        comparison = (
            f"{100 * outcome.difference:+.2f}",
            "all above" if target else f"{100 * outcome.margin:.2f}",
            "yes" if outcome.agrees else "NO",
        )
        shown.add_row(
            outcome.anchor.title,
            f"{'> ' * target}{100 * outcome.anchor.published:.2f}",
            f"{100 * outcome.mean:.2f} ± {100 * outcome.standard_error:.2f} ({len(outcome.scores)})",
            *(comparison if compared else ()),
            f"{outcome.seconds:.0f}",
        )
    return shown


def row(outcome: Outcome) -> dict[str, Any]:
    """An outcome for the JSON file, with everything that its anchor declares and where it was measured."""
    declared = {name: getattr(value, "__name__", value) for name, value in asdict(outcome.anchor).items()}
    return {
        "anchor": declared,
        "mean": outcome.mean,
        "standard_error": outcome.standard_error,
        "difference": outcome.difference,
        "margin": None if outcome.anchor.is_target else outcome.margin,
        "agrees": outcome.agrees,
        "scores": outcome.scores,
        "epochs": outcome.epochs,
        "seconds": outcome.seconds,
        "machine": machine() | {"device": jax.devices()[0].device_kind},
        "versions": versions("momentum_jax", "jax", "jaxlib", "optax", "flax", "numpy"),
    }


def keep(path: Path, outcome: Outcome, is_quick: bool) -> None:
    """Puts an outcome in its place among the rows of the JSON file; the others stay as they are."""
    rows = json.loads(path.read_text())["rows"] if path.exists() else {}
    rows[outcome.anchor.name] = row(outcome) | {"quick": is_quick}
    write_json(path, {"rows": {anchor.name: rows[anchor.name] for anchor in ANCHORS if anchor.name in rows}})


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two runs of an epoch each: no comparison")
    names = [anchor.name for anchor in ANCHORS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"some of {', '.join(names)}")
    parser.add_argument(
        "--output", type=Path, help=f"JSON file whose rows are replaced (default, not if quick: {RESULTS.name})"
    )
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 140)
    output = options.output or (None if options.quick else RESULTS)
    outcomes: list[Outcome] = []
    for anchor in ANCHORS:
        if options.only and anchor.name not in options.only:
            continue
        outcome = run(quick(anchor) if options.quick else anchor, data.load(anchor.dataset))
        outcomes.append(outcome)
        console.print(f"{anchor.name}: {100 * outcome.mean:.2f}% in {outcome.seconds:.0f} s")
        if output is not None:
            keep(output, outcome, options.quick)
    console.print(table(outcomes, compared=not options.quick))
    if output is not None:
        console.print(f"Written to {output}.")


if __name__ == "__main__":
    use_all_cpu_cores()
    main()
