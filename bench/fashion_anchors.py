"""Why do the Fashion-MNIST anchors not agree? What the paper does not say is varied, one thing at a time.

    pip install -e ".[experiments]" && python bench/fashion_anchors.py

Each row of the table trains `bench/published.py`'s anchor with one change. Each column reads the same runs at another
stopping rule: that of scikit-learn 0.19, that of 0.20 and later (ten epochs), two epochs, no stop (100 epochs), and the
best epoch on the test set, which no rule can know: no stop could give more. `repeated` in the JSON counts the training
images that stand twice, or in the test set too.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from anchors import examples_of, run_of
from measure import machine, versions, write_json
from published import ANCHORS, Anchor, best_epoch, early_stop, last_epoch
from rich.console import Console
from rich.table import Table

from momentum_jax import data
from momentum_jax.training import Examples, RunResult, use_all_cpu_cores

RESULTS = Path(__file__).parent / "results" / "fashion_anchors.json"
FASHION = tuple(anchor for anchor in ANCHORS if anchor.dataset == "fashion_mnist")
STOPS: Mapping[str, Callable[[RunResult], int]] = {
    "scikit-learn 0.19": early_stop(after=2),
    "two epochs": early_stop(after=1),
    "ten epochs": early_stop(after=10),
    "none": last_epoch,
    "best on the test set": best_epoch,
}


@dataclass(frozen=True)
class Variant:
    """A change of the anchor."""

    name: str
    changes: Mapping[str, Any]


def overall(pixels: np.ndarray) -> tuple[Any, Any]:
    """One mean and one standard deviation for all pixels."""
    return pixels.mean(), pixels.std()


VARIANTS = (
    Variant("as the runner has it: each pixel standardised", {}),
    Variant("pixels standardised together", {"standardise": overall}),
    Variant("pixels in [0, 1], not standardised", {"standardise": None}),
    Variant("pixels of 0 to 255, not standardised", {"standardise": None, "scale": 1.0}),
)


def repeated(examples: Examples) -> int:
    """How many training images stand twice, or in the test set too."""
    train, test = ({*map(bytes, examples.images[rows[0]])} for rows in (examples.train, examples.validation))
    return examples.train.shape[1] - len(train - test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 160)
    rows = []
    for anchor in FASHION:
        for variant in VARIANTS:
            varied: Anchor = replace(anchor, seeds=options.seeds, epochs=options.epochs, **variant.changes)
            examples = examples_of(varied, data.load(anchor.dataset))
            runs = run_of(varied, examples)
            found = {name: [float(run.evaluation_accuracies[stop(run)]) for run in runs] for name, stop in STOPS.items()}
            rows.append(
                {"anchor": anchor.name, "published": anchor.published, "variant": variant.name, "repeated": repeated(examples)}
                | found
            )
            console.print(anchor.name, variant.name, {name: round(float(np.mean(each)), 4) for name, each in found.items()})
            write_json(
                options.output, {"rows": rows, "machine": machine(), "versions": versions("momentum_jax", "jax", "numpy")}
            )
    for anchor in FASHION:
        shown = Table(
            "trained on",
            *STOPS,
            title=f"{anchor.title}: published {100 * anchor.published:.1f}%, ours in % by the rule that stops",
        )
        for row in (row for row in rows if row["anchor"] == anchor.name):
            shown.add_row(row["variant"], *(f"{100 * np.mean(row[name]):.2f}" for name in STOPS))
        console.print(shown)


if __name__ == "__main__":
    use_all_cpu_cores()
    main()
