"""How often a study claims something where no arm differs, and how often it finds a difference that is there.

    pip install -e ".[experiments]" && python bench/evidence.py [--quick]

Equal arms: all arms of a study draw their runs from one distribution, so that any claim is a false one. A study has a question,
other claims beside it and what explains each, by score and by steps. A seed's luck is shared among arms, and a run has its own:

    normal        normal values
    skewed        centred exponential values
    collapsed     normal values, but 8% of runs collapse to the level of chance
    ties          normal values, rounded to half a standard deviation

`decide`: 10,000 sets of differences a cell through the rule alone. `analyse`: 200 stores a cell, written, read back and
analysed as a report does. Any claim is to be made in at most 5% of studies, but for two standard errors of the simulation.

`power`: the question is asked of two arms whose differences have a mean of one standard deviation, beside a third arm, at 10
seeds. It is to be answered in 72 to 78% of studies.

Exits with 1 where a bound is broken. Writes results/evidence.json.
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from measure import machine, versions, write_json
from rich.console import Console
from rich.table import Table

from momentum_jax.studies import Arm, Study, jobs
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.evidence import LEVEL, Differences, Questions, decide
from momentum_jax.studies.expression import Expression
from momentum_jax.studies.store import Curves, Run, Store

RESULTS = Path(__file__).parent / "results" / "evidence.json"
SEEDS = (8, 10, 22)
SETS, STORES = 10_000, 200
POWER, WITHIN = 0.75, 0.03
COLLAPSED = 0.08
BUDGET, EVERY = 400, 20
ENVIRONMENT: dict[str, Any] = {"versions": {}}
ARMS = ("momentum", "plain", "other", "slow", "control")
# By hypothesis the two arms; the same by steps.
PAIRS = {
    "question": ("momentum", "plain"),
    "arm": ("other", "plain"),
    "gain": ("momentum", "slow"),
    "larger_step": ("control", "slow"),
    "momentum_itself": ("momentum", "control"),
}
TREE = Questions(
    "question",
    ("arm", "gain", "question_steps"),
    {
        "gain": ("larger_step", "momentum_itself"),
        "question_steps": ("arm_steps", "gain_steps"),
        "gain_steps": ("larger_step_steps", "momentum_itself_steps"),
    },
)


def normal(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.standard_normal(shape)


def skewed(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.exponential(1.0, shape) - 1.0


def collapsed(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    # 10% accuracy where runs have 90 ± 2%.
    return np.where(random.random(shape) < COLLAPSED, -40.0, random.standard_normal(shape))


def ties(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.round(2 * random.standard_normal(shape)) / 2


LUCK: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    each.__name__: each for each in (normal, skewed, collapsed, ties)
}


class Cell(NamedTuple):
    """One row of the table: `found` of `studies` that claimed something, and between what their share has to be."""

    what: str
    luck: str
    seeds: int
    studies: int
    found: int
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.found / self.studies

    @property
    def is_kept(self) -> bool:
        return self.low <= self.share <= self.high


def scores_and_steps(
    random: np.random.Generator, luck: str, arms: int, seeds: int, studies: int
) -> tuple[np.ndarray, np.ndarray]:
    """(studies, arms, seeds): scores, and evaluations until the target, of which one in eight is never; no arm differs."""
    shared = random.standard_normal((studies, 1, seeds))
    if luck == "ties":
        shared = np.round(2 * shared) / 2
    scores = shared + LUCK[luck](random, (studies, arms, seeds))
    steps = EVERY * np.ceil((BUDGET / EVERY) * random.lognormal(-0.6, 0.5, (studies, arms, seeds)))
    return scores, np.where(steps > BUDGET, BUDGET + 0.5, steps)


def false_claims(luck: str, seeds: int, studies: int, seed: int) -> int:
    """In how many studies of equal arms the rule makes a claim."""
    scores, steps = scores_and_steps(np.random.default_rng(seed), luck, len(ARMS), seeds, studies)
    found = 0
    for by_score, by_steps in zip(scores, -steps, strict=True):
        differences = {
            f"{name}{suffix}": Differences.of(values[ARMS.index(one)], values[ARMS.index(other)])
            for suffix, values in (("", by_score), ("_steps", by_steps))
            for name, (one, other) in PAIRS.items()
        }
        found += any(each.claimed for each in decide(differences, TREE, detect=False).values())
    return found


def found_differences(studies: int, seed: int) -> int:
    """In how many studies the question finds a difference of one standard deviation."""
    random = np.random.default_rng(seed)
    values = random.normal(0, 2**-0.5, (studies, 3, 10)) + np.array([1.0, 0.0, 0.0])[:, None]
    tree = Questions("question", ("arm",))
    return sum(
        decide({"question": Differences.of(one, plain), "arm": Differences.of(other, plain)}, tree, detect=False)[
            "question"
        ].claimed
        for one, plain, other in values
    )


def claiming_stores(luck: str, seeds: int, studies: int, seed: int) -> int:
    """In how many stores of equal arms the analysis makes a claim, or gives an answer that makes one."""
    random = np.random.default_rng(seed)
    found = 0
    for _ in range(studies):
        with tempfile.TemporaryDirectory() as directory:
            analysis = analyse(made(Path(directory) / "store", random, luck, seeds))
        is_claimed = any(claim.evidence.claimed for claim in analysis.claims)
        if not is_claimed and analysis.answer.kind != "notshown":
            raise SystemExit(f"evidence: without a claim the answer was {analysis.answer.kind}.")
        found += is_claimed
    return found


def made(directory: Path, random: np.random.Generator, luck: str, seeds: int) -> Store:
    """A store of momentum, gradient descent, another optimizer and the rung that the ladder adds; no arm differs."""
    study = Study(
        steps=BUDGET,
        seeds=tuple(range(seeds)),
        target=0.5,
        evaluate_every=EVERY,
        noise_floor=False,
        arms=tuple(map(Arm, ("gradient_descent(0.01)", "heavy_ball(0.01, 0.9)", "adam(0.01)"))),
    )
    store = Store.create(directory, study, ENVIRONMENT)
    rung = "gradient_descent(0.1)"
    labels = [*(arm.label for arm in study.arms), rung]
    scores, steps = (each[0] for each in scores_and_steps(random, luck, len(labels), seeds, 1))
    accuracies = np.clip(0.9 + 0.02 * scores, 0.1, 1.0)
    evaluations = np.arange(0, BUDGET + 1, EVERY, dtype=np.int32)
    rows = []
    for index, label in enumerate(labels):
        phase, place = (jobs.LADDER, "ladder/0") if label == rung else (jobs.REPORT, f"arm-{index}")
        for number in study.seeds:
            accuracy = float(accuracies[index, number])
            # The loss falls to the target at the step that was drawn, or stays just above it.
            loss = np.where(evaluations >= steps[index, number], 0.4, 0.6).astype(np.float32)
            validation = {"accuracy": np.linspace(0.1, max(0.2, accuracy), evaluations.size, dtype=np.float32), "loss": loss}
            measured = {"accuracy": accuracy, "loss": 0.3, "mcc": accuracy}
            test = {**measured, "confusion": ((8, 2), (1, 9))}
            job = jobs.Job(f"{place}/seed-{number}", phase, label, Expression.read(label), number)
            key = job.key(study, ENVIRONMENT)
            run = Run(job.name, phase, label, label, number, test, measured, None, 1.0, key=key)
            rows.append((run, Curves(np.full(BUDGET, 0.5, np.float32), evaluations, validation)))
    store.add(rows)
    store.close("complete")
    return Store.read(directory)


def bound(studies: int) -> float:
    return LEVEL + 2 * math.sqrt(LEVEL * (1 - LEVEL) / studies)


def measure(sets: int, stores: int) -> list[Cell]:
    """All cells, on both cores."""
    planned: list[tuple[Cell, Callable[..., int], tuple[Any, ...]]] = []
    for number, (luck, seeds) in enumerate((luck, seeds) for luck in LUCK for seeds in SEEDS):
        for what, simulate, studies in (("decide", false_claims, sets), ("analyse", claiming_stores, stores)):
            cell = Cell(what, luck, seeds, studies, 0, 0.0, bound(studies))
            planned.append((cell, simulate, (luck, seeds, studies, number)))
    power = Cell("power", "normal", 10, sets, 0, POWER - WITHIN, POWER + WITHIN)
    planned.append((power, found_differences, (sets, len(planned))))
    planned.sort(key=lambda each: each[0].what)
    with ProcessPoolExecutor() as pool:
        running = [pool.submit(simulate, *arguments) for _, simulate, arguments in planned]
        return [cell._replace(found=each.result()) for (cell, _, _), each in zip(planned, running, strict=True)]


def table(cells: Sequence[Cell]) -> Table:
    made = Table("what", "own luck", "seeds", "studies", "claimed", "allowed", "kept")
    for cell in cells:
        allowed = f"{100 * cell.low:.1f} to {100 * cell.high:.1f}%" if cell.low else f"{100 * cell.high:.1f}%"
        share = f"{100 * cell.share:.2f}%"
        made.add_row(
            cell.what, cell.luck, str(cell.seeds), f"{cell.studies:,}", share, allowed, "yes" if cell.is_kept else "NO"
        )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="300 sets and 4 stores a cell: nothing is written")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    described = machine()
    cells = measure(300, 4) if options.quick else measure(SETS, STORES)
    Console(width=None if sys.stdout.isatty() else 120).print(table(cells))
    if not options.quick:
        rows = [{**cell._asdict(), "share": cell.share, "kept": cell.is_kept} for cell in cells]
        about = {"command": "python bench/evidence.py", "machine": described}
        about |= {"versions": versions("momentum_jax", "numpy", "scipy")}
        write_json(options.output, about | {"rows": rows})
        print(f"Written to {options.output}.")
    return 0 if all(cell.is_kept for cell in cells) else 1


if __name__ == "__main__":
    sys.exit(main())
