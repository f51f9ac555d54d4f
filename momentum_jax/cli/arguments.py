"""What can be asked for on the command line: one dataclass for each command. Only types and texts, so that --help is quick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from momentum_jax.studies.defaults import ARMS, STUDIES


class ArgumentError(Exception):
    """Arguments that say what cannot be done."""


Dataset = Literal["digits", "mnist", "fashion_mnist"]


def _default(text: str) -> object:
    return tyro.conf.arg(help_behavior_hint=f"(default: {text})")


_TARGETS = ", ".join(f"{study.target:g} for {name}" for name, study in STUDIES.items())
_EVERY = ", ".join(f"{study.evaluate_every} for {name}" for name, study in STUDIES.items())
_ARMS = ", ".join(f'"{arm.optimizer}"' for arm in ARMS)


@dataclass(frozen=True)
class Experiment:
    """What `compare` and `train` share."""

    dataset: Dataset = "digits"
    """Data set: digits is bundled with scikit-learn, the others are downloaded when they are not there."""
    data: Annotated[Path | None, _default("$MOMENTUM_JAX_DATA, else the cache")] = None
    """Directory that holds the data sets, as <directory>/mnist/train-images-idx3-ubyte.gz."""
    size: Annotated[int | None, _default("as published")] = None
    """Side of the images in pixels; 14 halves those of MNIST and Fashion-MNIST."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers."""
    activation: Literal["relu", "tanh", "sigmoid"] = "relu"
    """Activation of the hidden layers."""
    output_activation: Literal["none", "relu", "tanh", "sigmoid"] = "none"
    """Activation of the last layer."""
    initialization: Literal["he_normal", "uniform"] = "he_normal"
    """Initialization: he_normal is N(0, 2 / fan_in) with biases 0, uniform is [-0.5, 0.5] for both."""
    loss: Literal["cross_entropy", "half_squared_error"] = "cross_entropy"
    """Loss: softmax cross-entropy, or half the squared error on one-hot targets."""
    dropout: float = 0.0
    """Share of hidden units dropped in training."""
    steps: int = 2000
    """Mini-batches of each run."""
    batch: int = 100
    """Examples in a mini-batch."""
    sampling: Literal["shuffle", "replacement"] = "shuffle"
    """Mini-batches: each epoch in a new order, or every batch drawn anew."""
    target: Annotated[float | None, _default(_TARGETS)] = None
    """Validation loss whose first attainment is reported."""
    evaluate_every: Annotated[int | None, _default(_EVERY)] = None
    """Mini-batches between evaluations on the validation set."""
    cores: Annotated[int | None, _default("all")] = None
    """CPU cores to train on, one run on each; at most those that there are."""
    overwrite: bool = False
    """Replace the results that the output directory holds."""
    resume: bool = False
    """Finish the study that the output directory holds."""
    tensorboard: bool = False
    """Also write event files for TensorBoard, to <out>/tensorboard."""


@dataclass(frozen=True)
class Compare(Experiment):
    """Compare optimizers on a data set over several seeds.

    Prints a table; writes figure.png and all runs (manifest.json, runs.jsonl, curves.npz) to the output directory. A
    seed fixes the split, the initialization and the batches of all arms.
    """

    arm: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="OPTIMIZER"), _default(_ARMS)] = ()
    """An optimizer such as "heavy_ball(0.01, 0.9)" or "tuned=optax.sgd(0.1)"; give --arm once for each."""
    seeds: int = 5
    """How many seeds; they are numbered from 0."""
    out: Annotated[Path | None, _default("compare-<dataset>")] = None
    """Output directory."""


@dataclass(frozen=True)
class Train(Experiment):
    """Train one network with one optimizer and save its parameters.

    Writes what `compare` writes, and the parameters as an Orbax checkpoint in <out>/checkpoints.
    """

    arm: Annotated[str, tyro.conf.arg(metavar="OPTIMIZER")] = "heavy_ball(0.01, 0.9)"
    """The optimizer, as in `momentum-jax optimizers` or optax.NAME(...)."""
    seed: int = 0
    """Seed of the split, the initialization and the batches."""
    out: Annotated[Path | None, _default("train-<dataset>")] = None
    """Output directory."""


_OF_FILE = _default("that of the file, else of Study")


@dataclass(frozen=True)
class StudyRun:
    """Run a study: tune, report on fresh seeds, explain. Run again, it goes on where it was stopped.

    Options that are given stand in the place of the file's. Writes report.html, report.md, report.json, figures/ and all runs
    (manifest.json, runs.jsonl, curves.npz) to the output directory.
    """

    file: tyro.conf.Positional[Annotated[Path | None, _default("none: all is given by options")]] = None
    """TOML file with the study's fields."""
    out: Annotated[Path | None, _default("the file's name without .toml, else study-<dataset>")] = None
    """Output directory."""
    arm: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="OPTIMIZER"), _OF_FILE] = ()
    """An arm such as "heavy_ball(log_uniform(0.001, 1), 0.9)" or "LABEL=OPTIMIZER"; give --arm once for each."""
    dataset: Annotated[str | None, _OF_FILE] = None
    """Data set: digits, mnist, fashion_mnist, or the path of a .npz file with images and labels."""
    size: Annotated[int | None, _OF_FILE] = None
    """Side of the images in pixels."""
    hidden: Annotated[tuple[int, ...] | None, _OF_FILE] = None
    """Widths of the hidden layers."""
    channels: Annotated[tuple[int, ...] | None, _OF_FILE] = None
    """Channels of convolutions before the hidden layers."""
    activation: Annotated[Literal["relu", "tanh", "sigmoid"] | None, _OF_FILE] = None
    """Activation of the hidden layers."""
    output_activation: Annotated[Literal["relu", "tanh", "sigmoid"] | None, _OF_FILE] = None
    """Activation of the last layer."""
    initialization: Annotated[Literal["he_normal", "uniform", "glorot_uniform"] | None, _OF_FILE] = None
    """How weights begin."""
    loss: Annotated[Literal["cross_entropy", "half_squared_error"] | None, _OF_FILE] = None
    """Loss."""
    dropout: Annotated[float | None, _OF_FILE] = None
    """Share of hidden units dropped in training."""
    examples: Annotated[int | None, _OF_FILE] = None
    """How many training examples are used, a random sample by seed."""
    sampling: Annotated[Literal["shuffle", "replacement"] | None, _OF_FILE] = None
    """Mini-batches: each epoch in a new order, or every batch drawn anew."""
    steps: Annotated[int | None, _OF_FILE] = None
    """Mini-batches of each run."""
    batch: Annotated[int | None, _OF_FILE] = None
    """Examples in a mini-batch."""
    target: Annotated[float | None, _OF_FILE] = None
    """Validation loss whose first attainment is reported."""
    evaluate_every: Annotated[int | None, _OF_FILE] = None
    """Mini-batches between evaluations on the validation set."""
    seeds: Annotated[int | None, _OF_FILE] = None
    """How many seeds the report has, numbered from 0."""
    trials: Annotated[int | None, _OF_FILE] = None
    """Trials of every arm that has ranges."""
    tuning_seeds: Annotated[int | None, _OF_FILE] = None
    """How many seeds each trial has, numbered from 1000."""
    score: Annotated[Literal["accuracy", "loss"] | None, _OF_FILE] = None
    """What the best trial is chosen by, on the validation split."""
    sampler: Annotated[Literal["sobol", "halton"] | None, _OF_FILE] = None
    """Sequence that the trials are points of."""
    no_ladder: bool = False
    """Leave out the gradient descents that explain momentum's gain."""
    no_noise_floor: bool = False
    """Leave out the A/A control."""
    data: Annotated[Path | None, _default("$MOMENTUM_JAX_DATA, else the cache")] = None
    """Directory that holds the data sets."""
    cores: Annotated[int | None, _default("all")] = None
    """CPU cores to train on, one run on each; at most those that there are."""
    overwrite: bool = False
    """Replace the study that the output directory holds."""


@dataclass(frozen=True)
class StudyReport:
    """Write the report of a stored study anew, finished or not."""

    directory: tyro.conf.Positional[Path]
    """Its output directory."""


@dataclass(frozen=True)
class StudyList:
    """List the studies that a directory holds."""

    directory: tyro.conf.Positional[Path] = Path(".")
    """Where to look: there and below."""


@dataclass(frozen=True)
class StudyAddSeeds:
    """Run a study's arms, as they were tuned, from further seeds, and write the report anew."""

    directory: tyro.conf.Positional[Path]
    """Its output directory."""
    count: tyro.conf.Positional[int]
    """How many seeds to add."""
    data: Annotated[Path | None, _default("$MOMENTUM_JAX_DATA, else the cache")] = None
    """Directory that holds the data sets."""
    cores: Annotated[int | None, _default("all")] = None
    """CPU cores to train on, one run on each; at most those that there are."""


@dataclass(frozen=True)
class StudyCommand:
    """Does momentum help on this problem? Arms tuned at equal budget, fresh seeds, statistics, a report."""

    action: (
        Annotated[StudyRun, tyro.conf.subcommand("run")]
        | Annotated[StudyReport, tyro.conf.subcommand("report")]
        | Annotated[StudyList, tyro.conf.subcommand("list")]
        | Annotated[StudyAddSeeds, tyro.conf.subcommand("add-seeds")]
    )


@dataclass(frozen=True)
class Fetch:
    """Download a data set to the cache, or to a directory, and check it."""

    dataset: tyro.conf.Positional[Dataset]
    """Data set."""
    directory: Annotated[Path | None, _default("$MOMENTUM_JAX_DATA, else the cache")] = None
    """Directory to hold <dataset>/."""
    force: bool = False
    """Download files that are there, too."""


@dataclass(frozen=True)
class Verify:
    """Compare the files of a data set with the published SHA-256 sums."""

    dataset: tyro.conf.Positional[Dataset]
    """Data set."""
    directory: Annotated[Path | None, _default("$MOMENTUM_JAX_DATA, else the cache")] = None
    """Directory that holds <dataset>/."""


@dataclass(frozen=True)
class Where:
    """Print where a data set is read from."""

    dataset: tyro.conf.Positional[Dataset]
    """Data set."""
    directory: Annotated[Path | None, _default("$MOMENTUM_JAX_DATA, else the cache")] = None
    """Directory that holds <dataset>/."""


@dataclass(frozen=True)
class Data:
    """Fetch and check data sets."""

    action: (
        Annotated[Fetch, tyro.conf.subcommand("fetch")]
        | Annotated[Verify, tyro.conf.subcommand("verify")]
        | Annotated[Where, tyro.conf.subcommand("path")]
    )


@dataclass(frozen=True)
class Optimizers:
    """List the optimizers of this library, what each is and where it comes from."""


@dataclass(frozen=True)
class Reproduce:
    """Reproduce the textbook's figures and tables, and check what it claims; without a name, list them.

    Prints every claim beside what was measured; writes result.json and the figures to <out>/<name>, at another size than the
    full one to <out>/<name>-quick or <out>/<name>-reduced. The exit code is 0 if every claim that was checked holds or is a
    known fault of its source, else 1.
    """

    experiment: tyro.conf.Positional[Annotated[str | None, tyro.conf.arg(metavar="NAME"), _default("list them")]] = None
    """Name of an experiment, or the number of a figure or table, such as 11-7."""
    all: bool = False
    """Run every experiment."""
    quick: bool = False
    """At the size for a first look."""
    full: bool = False
    """At full size what is reduced unless asked for (optimizers-side-by-side: over an hour)."""
    out: Path = Path("reproduced")
    """Output directory."""
    data: Annotated[Path | None, _default("$MOMENTUM_JAX_DATA, else the cache")] = None
    """Directory that holds the data sets."""
    cores: Annotated[int | None, _default("all")] = None
    """CPU cores to train on, one run on each; at most those that there are."""


Form = Literal[
    "pytorch",
    "keras",
    "tensorflow",
    "optax",
    "heavy_ball",
    "ema",
    "nesterov",
    "reformulated_nesterov",
    "qhm",
    "accelerated_sgd",
    "triple_momentum",
    "pid",
    "grokfast",
    "ema_nesterov",
    "aggmo",
]


@dataclass(frozen=True)
class Convert:
    """Translate hyperparameters between frameworks and methods, as in: --from pytorch --to ema lr=0.1 momentum=0.9."""

    hyperparameters: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="NAME=VALUE")]
    """Hyperparameters under the names of --from; those that are left out have its defaults."""
    source: Annotated[Form, tyro.conf.arg(name="from")]
    """Convention that the hyperparameters are in."""
    to: Form
    """Convention to translate them into."""
    choose: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=VALUE")] = ()
    """What the result leaves open: small_const (0.7) of accelerated_sgd, derivative (0) of pid."""


Command = (
    Annotated[Compare, tyro.conf.subcommand("compare")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[StudyCommand, tyro.conf.subcommand("study")]
    | Annotated[Reproduce, tyro.conf.subcommand("reproduce")]
    | Annotated[Data, tyro.conf.subcommand("data")]
    | Annotated[Optimizers, tyro.conf.subcommand("optimizers")]
    | Annotated[Convert, tyro.conf.subcommand("convert")]
)
