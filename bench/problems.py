"""The shipped problems: what `train_many` costs beside a jitted scan by hand, and what momentum does on each.

    pip install -e ".[bench]" && python bench/problems.py [--quick] [--only characters] [--ladder]

Speed. One step of a run, in processor time on one core, beside `jax.lax.scan` over the same loss with
the same optimizer. `scan` draws its epochs by `jax.random.permutation`; `scan, batches given` is handed
all indices beforehand and draws nothing. With the same batches both end at the same losses, which is
checked first. They take turns in one process; a ratio is of neighbours in time.

First call. The processor time of the first `train_many` of a process, with its compilations, beside the
first call of a loop by hand that does the same: initialise, train, evaluate on both sets.

`--ladder` instead compares gradient descent, heavy ball, Nesterov's method and Adam on each problem:
the learning rate of each is tuned on two to eight seeds, and ten fresh seeds decide. It uses all cores.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

if "--ladder" not in sys.argv:
    # Before JAX starts: its pools have as many threads as the process may use cores.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"

import jax
import jax.numpy as jnp
import numpy as np
import optax
from measure import Summary, interleaved, machine, ratio, versions, write_json
from rich.console import Console
from rich.table import Table as Shown

import momentum_jax
from momentum_jax import problems
from momentum_jax.training import Problem, Stream, Table, train_many, use_all_cpu_cores
from momentum_jax.training.plan import plan_waves
from momentum_jax.training.sampling import permutation
from momentum_jax.training.settings import Settings

RESULTS = Path(__file__).parent / "results"
# Steps of a run, which then begins anew. What it records grows with them.
LONGEST = 100_000
# Steps whose losses are compared; later ones drift apart by rounding.
CHECKED = 12
OURS, SCAN, GIVEN = "train_many", "scan", "scan, batches given"


def key() -> jax.Array:
    """That of all runs that are timed. Made when it is asked for: it starts JAX."""
    return jax.random.key(0)


class Contest(NamedTuple):
    """A problem, how it is trained, and how much slower than a scan by hand `train_many` may be.

    A block of a scan by hand is so many `epochs`, or `steps` where there are no epochs.
    """

    build: Callable[[], Problem]
    learning_rate: float
    batch_size: int | None = None
    epochs: int | None = None
    steps: int = 0
    at_most: float = 1.05


def streamed() -> Problem:
    """The characters as a Stream: windows that the host cuts out of the text, drawn anew in each step."""
    problem = problems.characters()
    table: Any = problem.data
    tokens, (train, validation, test) = table.arrays, table.split(0)

    def windows(starts: np.ndarray) -> np.ndarray:
        return tokens[starts[:, None] + np.arange(65)].astype(np.int32)

    def draw(seed: int, step: int) -> np.ndarray:
        return windows(np.random.Generator(np.random.PCG64([seed, step])).choice(train, 16))

    def parts(starts: np.ndarray) -> Callable[[], list[np.ndarray]]:
        return lambda: [windows(starts[i : i + 64]) for i in range(0, len(starts), 64)]

    return problem._replace(data=Stream(draw, parts(validation), parts(test)))


CONTESTS = {
    "factorisation": Contest(problems.factorisation, 5.0, steps=4000),
    "diabetes": Contest(problems.diabetes, 0.02, batch_size=32, epochs=250),
    "characters": Contest(problems.characters, 0.1, batch_size=16, epochs=1),
    "characters as a Stream": Contest(streamed, 0.1, steps=64, at_most=1.10),
    "photographs": Contest(problems.photographs, 0.02, batch_size=64, epochs=1),
}
FIRST_CALL_AT_MOST = 1.5


def optimizer(learning_rate: Any) -> optax.GradientTransformation:
    """The one that all contests train with."""
    return momentum_jax.heavy_ball(learning_rate, 0.9)


class Ours:
    """The program that `train_many` drives, in chunks as it drives it, without evaluation."""

    def __init__(self, problem: Problem, contest: Contest, block: int):
        settings = Settings(LONGEST, contest.batch_size)
        (self.wave,) = plan_waves(key()[None], optimizer, {"learning_rate": contest.learning_rate}, problem, None, settings)
        self.placed, self.block = self.wave.place(), block
        self._begin()

    def run(self, blocks: int) -> np.ndarray:
        """Trains on; the losses of the first steps of that."""
        for _ in range(blocks):
            if self.step + self.block > LONGEST:
                self._begin()
            end = self.step + self.block
            while self.step < end:
                tables, last = self.placed.tables, end
                if (made := self.placed.blocks) is not None:
                    tables, last = made.tables(self.step), min(end, made.end(self.step))
                advance = self.wave.programs.advance
                self.state = advance(self.wave.run, self.state, tables, np.int32(self.step), np.int32(last))
                jax.block_until_ready(self.state)
                self.step = last
        first = np.int32(max(0, self.step - blocks * self.block))
        return np.asarray(jax.lax.dynamic_slice_in_dim(self.state.losses, first, CHECKED, axis=1))[0]

    def _begin(self) -> None:
        programs, run = self.wave.programs, self.wave.run
        self.state, self.step = programs.begin(run, programs.initialise(run.bare)), 0


class ByHand:
    """What one writes for one problem: a jitted scan over steps, within one over epochs. `given`: no batch is drawn in it."""

    def __init__(self, problem: Problem, contest: Contest, *, given: bool):
        self.problem, self.contest, self.data, self.given, self.step = problem, contest, problem.data, given, 0
        initial, self.batch_key, self.noise_key = jax.random.split(key(), 3)
        self.optimizer, self.arrays, rows = optimizer(contest.learning_rate), None, None
        self.shape: tuple[int, ...] = (1, contest.steps)
        if isinstance(self.data, Table):
            self.arrays, rows = jax.device_put(self.data.arrays), jnp.asarray(self.data.split(0)[0])
            size = contest.batch_size or len(rows)
            self.shape = (contest.epochs or 1, len(rows) // size, size)
        self.train, self.block = rows, self.shape[0] * self.shape[1]
        self.carry = jax.jit(self._begin)(initial)
        self.train_block = jax.jit(self._train_block, donate_argnums=0)
        self.batches = self._drawn() if given else None
        self.measure, self.score = jax.jit(self._measure), jax.jit(self._score)

    def run(self, blocks: int) -> np.ndarray:
        """Trains on; the losses of the first steps of that."""
        first = np.zeros(0)
        for _ in range(blocks):
            batches = self.batches
            if isinstance(self.data, Stream):
                made = [self.data.train(0, step) for step in range(self.step, self.step + self.block)]
                batches = np.stack(made)[None]
            self.carry, losses = self.train_block(self.carry, np.int32(self.step), self.arrays, batches)
            jax.block_until_ready(self.carry)
            first = first if len(first) else np.asarray(losses).reshape(-1)[:CHECKED]
            self.step += self.block
        return first

    def evaluate(self, part: int) -> dict[str, Any]:
        """The scores of one part of the data."""
        params, state, _ = self.carry
        if isinstance(self.data, Stream):
            sets: Any = (self.data.validation, self.data.test)
            batches: Any = sets[part - 1]()
        elif isinstance(self.data, Table):
            rows, most = self.data.split(0)[part], self.problem.evaluation_batch
            batches = [rows[i : i + most] for i in range(0, len(rows), most)]
        else:
            batches = [None]
        measured = [self.measure(params, state, self.arrays, batch) for batch in batches]
        return jax.device_get(self.score(jax.tree.map(lambda *each: np.concatenate(each), *measured)))

    def _drawn(self) -> jax.Array | None:
        """The batches of the first block as `train_many` draws them, as indices."""
        if self.train is None:
            return None
        count = int(np.prod(self.shape))
        epochs = range(-(-count // len(self.train)))
        orders = [permutation(jax.random.fold_in(self.batch_key, epoch), len(self.train)) for epoch in epochs]
        return self.train[jnp.concatenate(orders)[:count]].reshape(self.shape)

    def _measure(self, params: Any, state: Any, arrays: Any, batch: Any) -> Any:
        batch = self.data.take(arrays, batch) if isinstance(self.data, Table) else batch
        return self.problem.measure(params, state, batch, key())

    def _score(self, values: Any) -> dict[str, Any]:
        return {name: score(values) for name, score in self.problem.scores.items()}

    def _begin(self, key: jax.Array) -> Any:
        params, state = self.problem.init(key)
        return params, state, self.optimizer.init(params)

    def _train_block(self, carry: Any, begin: jax.Array, arrays: Any, batches: Any) -> Any:
        def step(carry: Any, inputs: Any) -> Any:
            t, batch = inputs
            params, state, opt_state = carry
            batch = self.data.take(arrays, batch) if isinstance(self.data, Table) else batch
            key = jax.random.fold_in(self.noise_key, t)
            (loss, state), gradient = jax.value_and_grad(self.problem.loss, has_aux=True)(params, state, batch, key)
            updates, opt_state = self.optimizer.update(gradient, opt_state, params)
            return (optax.apply_updates(params, updates), state, opt_state), loss

        def epoch(carry: Any, inputs: Any) -> Any:
            times, batches = inputs
            if batches is None and self.train is not None:
                drawn = jax.random.permutation(jax.random.fold_in(self.batch_key, times[0]), self.train)
                batches = drawn[: self.shape[1] * self.shape[2]].reshape(self.shape[1:])
            return jax.lax.scan(step, carry, (times, batches))

        times = begin + jnp.arange(self.block).reshape(self.shape[:2])
        return jax.lax.scan(epoch, carry, (times, batches))


def speed(contest: Contest, repeats: int, seconds: float) -> dict[str, Any]:
    """Processor time of a step, ours beside the scans by hand, after a check that they compute the same."""
    problem = contest.build()
    by_hand = {GIVEN: ByHand(problem, contest, given=True)} if isinstance(problem.data, Table) else {}
    by_hand[SCAN] = ByHand(problem, contest, given=False)
    ours = Ours(problem, contest, by_hand[SCAN].block)
    same = by_hand.get(GIVEN, by_hand[SCAN])
    losses, expected = ours.run(1), same.run(1)
    np.testing.assert_allclose(losses, expected, rtol=2e-4)
    by_hand[SCAN].run(1)
    entered: dict[str, Any] = {OURS: ours.run, **{name: each.run for name, each in by_hand.items()}}
    times = interleaved(entered, repeats=repeats, seconds=seconds)
    if ours.placed.blocks is not None:
        ours.placed.blocks.close()
    return {
        "steps_in_a_block": ours.block,
        "largest_relative_difference": float(np.max(np.abs(losses / expected - 1))),
        "at_most": contest.at_most,
        "times_as_long_as": {name: ratio(times[OURS].cpu, times[name].cpu)._asdict() for name in by_hand},
        "cpu_microseconds_per_step": {
            name: Summary.of([1e6 * each / ours.block for each in found.cpu])._asdict() for name, found in times.items()
        },
    }


def first_call(name: str, who: str) -> float:
    """Processor time in this process, of the first call that initialises, trains a few steps and evaluates."""
    contest = CONTESTS[name]
    problem = few(contest.build())
    jax.block_until_ready(jnp.ones(()) + 1)
    begun = time.process_time()
    if who == OURS:
        train_many(
            key()[None], optimizer, {"learning_rate": contest.learning_rate}, problem, steps=4, batch_size=contest.batch_size
        )
    else:
        by_hand = ByHand(problem, contest._replace(epochs=2, steps=4), given=False)
        by_hand.evaluate(1)
        by_hand.run(1)
        by_hand.evaluate(1)
        if problem.data is not None:
            by_hand.evaluate(2)
    return time.process_time() - begun


def few(problem: Problem) -> Problem:
    """The same programs on two batches and few rows to evaluate: a first call is then compilation and little else."""
    if isinstance(problem.data, Stream):
        sets: Any = (problem.data.validation, problem.data.test)
        validation, test = ([*each()][:1] for each in sets)
        return problem._replace(data=problem.data._replace(validation=lambda: validation, test=lambda: test))
    if problem.data is None:
        return problem
    train, validation, test = problem.data.split(0)
    return problem._replace(data=problem.data._replace(split=lambda seed: (train[:160], validation[:64], test[:64])))


def first_calls(name: str, repeats: int) -> dict[str, Any]:
    """Processor seconds of first calls in fresh processes without a compilation cache, in turns."""
    environment = {key: value for key, value in os.environ.items() if key != "JAX_COMPILATION_CACHE_DIR"}
    seconds: dict[str, list[float]] = {OURS: [], SCAN: []}
    for _ in range(repeats):
        for who, found in seconds.items():
            command = [sys.executable, __file__, "--first-call", name, who]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            found.append(float(done.stdout.splitlines()[-1]))
    return {
        "cpu_seconds": {who: Summary.of(found)._asdict() for who, found in seconds.items()},
        "times_as_long_as": ratio(seconds[OURS], seconds[SCAN])._asdict(),
        "at_most": FIRST_CALL_AT_MOST,
    }


class Ladder(NamedTuple):
    """How long a problem is trained, on how many seeds it is tuned, and the middle of each method's learning rates."""

    steps: int
    batch_size: int | None
    tuning: int
    middle: tuple[float, float, float, float]

    @property
    def rates(self) -> dict[str, list[float]]:
        """The learning rates that each method may choose from."""
        return {method: [middle * each for each in SPREAD] for method, middle in zip(METHODS, self.middle, strict=True)}


METHODS: dict[str, Callable[[Any], optax.GradientTransformation]] = {
    "gradient descent": momentum_jax.gradient_descent,
    "heavy ball 0.9": lambda learning_rate: momentum_jax.heavy_ball(learning_rate, 0.9),
    "nesterov 0.9": lambda learning_rate: momentum_jax.nesterov(learning_rate, 0.9),
    "adam": momentum_jax.adam,
}
# Times the middle one; five rates each.
SPREAD = (0.1, 0.3, 1.0, 3.0, 10.0)
LADDERS = {
    "factorisation": Ladder(100, None, 8, (10.0, 10.0, 10.0, 0.1)),
    "diabetes": Ladder(300, 32, 8, (0.01, 0.003, 0.003, 0.003)),
    "characters": Ladder(200, 16, 2, (0.3, 0.1, 0.1, 0.003)),
    "photographs": Ladder(200, 64, 2, (0.1, 0.03, 0.03, 0.003)),
}
FRESH = range(10)


def ladder(name: str) -> dict[str, Any]:
    """The methods at the rate that was best on the tuning seeds, each from the same ten fresh seeds."""
    plan, problem = LADDERS[name], getattr(problems, name)()
    primary = next(key for key, score in problem.scores.items() if score.better)
    sign = 1 if problem.scores[primary].better == "higher" else -1
    begun, processor = time.perf_counter(), time.process_time()

    def scores(arms: Sequence[tuple[str, float]], seeds: Sequence[int], *, test: bool) -> np.ndarray:
        """(arms, seeds) of the primary score; what diverged is the worst there is."""
        runs = [(method, rate, seed) for method, rate in arms for seed in seeds]
        results = train_many(
            jax.vmap(jax.random.key)(np.array([seed for *_, seed in runs])),
            [METHODS[method] for method, *_ in runs],
            [{"learning_rate": float(rate)} for _, rate, _ in runs],
            problem,
            steps=plan.steps,
            batch_size=plan.batch_size,
            splits=[seed for *_, seed in runs],
            keep_params=False,
        ).runs
        found = [run.test[primary] if test and run.test else run.validation[primary][-1] for run in results]
        found = [float(score) if run.diverged < 0 else -sign * np.inf for score, run in zip(found, results, strict=True)]
        return np.array(found).reshape(len(arms), len(seeds))

    arms = [(method, rate) for method, rates in plan.rates.items() for rate in rates]
    tuned = dict(zip(arms, scores(arms, range(100, 100 + plan.tuning), test=False).mean(1), strict=True))
    best = {method: max(rates, key=lambda rate, m=method: sign * tuned[m, rate]) for method, rates in plan.rates.items()}
    finals = dict(zip(METHODS, scores(list(best.items()), FRESH, test=True), strict=True))
    plain = finals["gradient descent"]
    rows = {
        method: {
            "learning_rate": float(best[method]),
            "edge": bool(best[method] in (rates[0], rates[-1])),
            "tuning": {f"{rate:g}": float(tuned[method, rate]) for rate in rates},
            "scores": finals[method].tolist(),
            "mean": float(np.mean(finals[method])),
            "deviation": float(np.std(finals[method], ddof=1)),
            "better_than_gradient_descent": int(np.sum(sign * (finals[method] - plain) > 0)),
        }
        for method, rates in plan.rates.items()
    }
    return {
        "score": primary,
        "better": problem.scores[primary].better,
        "of": "test" if problem.data is not None else "the only measurement",
        "steps": plan.steps,
        "tuning_seeds": plan.tuning,
        "batch_size": plan.batch_size,
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": time.process_time() - processor,
        "methods": rows,
    }


def print_ladder(name: str, found: dict[str, Any]) -> None:
    """A Markdown table."""
    arrow = {"higher": "more is better", "lower": "less is better"}[found["better"]]
    print(f"\n{name}: {found['score']} ({arrow}), {found['steps']} steps, batch {found['batch_size']}, ", end="")
    print(f"{found['cpu_seconds']:.0f} s of processor time\n")
    print("| method | learning rate | mean | deviation over 10 seeds | seeds better than descent |\n|---|---|---|---|---|")
    for method, row in found["methods"].items():
        rate = f"{row['learning_rate']:g}{' (an end of the range)' if row['edge'] else ''}"
        print(f"| {method} | {rate} | {row['mean']:.4g} | {row['deviation']:.2g} | {row['better_than_gradient_descent']} |")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5 rounds of 0.3 s instead of 11 of 1 s")
    parser.add_argument("--only", nargs="+", choices=CONTESTS, default=list(CONTESTS), help="which problems (default: all)")
    parser.add_argument("--no-first-calls", action="store_true", help="times no first calls")
    parser.add_argument("--ladder", action="store_true", help="compares optimizers instead of timing steps")
    parser.add_argument("--output", type=Path, help="default: results/problems.json, or results/ladders.json, here")
    parser.add_argument("--first-call", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.first_call:
        print(first_call(*options.first_call))
        return
    console = Console(width=None if sys.stdout.isatty() else 140)
    report = {
        "machine": machine(),
        "versions": versions("momentum_jax", "jax", "jaxlib", "optax", "flax", "numpy", "scikit-learn"),
    }
    if options.ladder:
        use_all_cpu_cores()
        output, found = options.output or RESULTS / "ladders.json", {}
        for name in [each for each in LADDERS if each in options.only]:
            found[name] = ladder(name)
            print_ladder(name, found[name])
            write_json(output, report | {"problems": found})
        print(f"\nWritten to {output}.")
        return
    repeats, seconds = (5, 0.3) if options.quick else (11, 1.0)
    rows: dict[str, Any] = {}
    shown = Shown(title="train_many over a scan by hand, processor time on one core: median, quartiles in brackets")
    for column in ("problem", "us/step", SCAN, GIVEN, "at most", "first call", "at most", "seconds"):
        shown.add_column(column)
    for name in options.only:
        row = {"speed": speed(CONTESTS[name], repeats, seconds)}
        if not options.no_first_calls:
            row["first_call"] = first_calls(name, 5)
        rows[name] = row
        times, first = row["speed"]["times_as_long_as"], row.get("first_call")
        shown.add_row(
            name,
            f"{row['speed']['cpu_microseconds_per_step'][OURS]['median']:,.1f}",
            *(written(times[each]) if each in times else "" for each in (SCAN, GIVEN)),
            f"{row['speed']['at_most']:.2f}",
            *([written(first["times_as_long_as"]), f"{first['at_most']:.1f}"] if first else ["", ""]),
            f"{first['cpu_seconds'][OURS]['median']:.1f}" if first else "",
        )
    console.print(shown)
    output = options.output or RESULTS / "problems.json"
    write_json(output, report | {"repeats": repeats, "seconds_a_repeat": seconds, "problems": rows})
    console.print(f"Written to {output}.")


def written(summary: dict[str, float]) -> str:
    """Median and quartiles."""
    return f"{summary['median']:.2f} \\[{summary['low']:.2f}, {summary['high']:.2f}]"


if __name__ == "__main__":
    main()
