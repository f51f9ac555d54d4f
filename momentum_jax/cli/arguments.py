"""What can be asked for on the command line: one dataclass for each command. Only types and texts, so that --help is quick."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from momentum_jax.studies.defaults import ARMS, STUDIES
from momentum_jax.studies.network import ACTIVATIONS, INITIALIZATIONS, LOSSES
from momentum_jax.studies.search import SAMPLERS
from momentum_jax.studies.study import MEASURES, SAMPLINGS


class ArgumentError(Exception):
    """Arguments that say what cannot be done."""


Dataset = Literal["digits", "mnist", "fashion_mnist"]

# Any data set's declaration shows the defaults that all share.
_STUDY = STUDIES["digits"]


def _default(text: str) -> object:
    return tyro.conf.arg(help_behavior_hint=f"(default: {text})")


def _default_of(default: object) -> object:
    """What stands where an option is not given: a field's own default, or each data set's."""
    return _default(_shown(default))


def _not_given(kind: Callable[[str], Any], metavar: str, *, several: bool = False) -> PrimitiveConstructorSpec[Any]:
    """Reads words of one kind; of what was not given the value is None, which nobody can write."""
    return PrimitiveConstructorSpec(
        nargs="*" if several else 1,
        metavar=f"[{metavar} [{metavar} ...]]" if several else metavar,
        instance_from_str=lambda words: tuple(map(kind, words)) if several else kind(words[0]),
        is_instance=lambda value: value is None,
        str_from_instance=lambda value: [str(value)],
    )


def _one_of(words: tuple[str, ...]) -> PrimitiveConstructorSpec[Any]:
    # `Study` refuses any other, and names the nearest.
    return _not_given(str, f"{{{','.join(words)}}}")


_INT, _INTS, _FLOAT, _WORD = (
    _not_given(int, "INT"),
    _not_given(int, "INT", several=True),
    _not_given(float, "FLOAT"),
    _not_given(str, "DATASET"),
)
_PATH = _not_given(Path, "PATH")
_PROBLEM, _SCORE = _not_given(str, "PROBLEM"), _not_given(str, "SCORE")
# `Study` refuses other words.
_LABELS = _not_given(str, "LABEL", several=True)
_BATCH = _not_given(lambda word: int(word) if word.lstrip("-").isdigit() else word, "INT|all")


def _shown(value: object) -> str:
    if isinstance(value, str) and value in _OF_DATA_SETS:
        return ", ".join(f"{getattr(study, value):g} for {name}" for name, study in STUDIES.items())
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


# Fields whose defaults are a data set's own.
_OF_DATA_SETS = ("target", "evaluate_every")
_WHERE_DATA_LIE = _default("$MOMENTUM_JAX_DATA, else the cache")
_CORES = _default("all")
_ARMS = ", ".join(f'"{arm.optimizer}"' for arm in ARMS)
_NETWORK, _SEARCH = _STUDY.network, _STUDY.search


@dataclass(frozen=True)
class Compiles:
    """What commands share that run compiled programs."""

    no_cache: bool = field(default=False, kw_only=True)
    """Compile every program anew, and keep none for the next command."""


@dataclass(frozen=True)
class Described(Compiles):
    """What describes a study for `predict` and all commands that train, under one name and with one default each.

    None stands for what was not given: a file may say it, else the default holds (`cli.specification`).
    """

    problem: Annotated[str | None, _PROBLEM, _default("images of a data set")] = None
    """A problem of one's own, "my_problem.py:make(width=64)" or "package.module:make()", or a shipped one, "diabetes()"."""
    dataset: Annotated[str | None, _WORD, _default_of(_STUDY.dataset)] = None
    """digits (comes with scikit-learn), mnist, fashion_mnist (downloaded when missing), or a .npz file of images and labels."""
    data: Annotated[Path | None, _PATH, _WHERE_DATA_LIE] = None
    """Directory that holds the data sets, as <directory>/mnist/train-images-idx3-ubyte.gz."""
    size: Annotated[int | None, _INT, _default_of("as published")] = None
    """Side of the images in pixels; 14 halves those of MNIST and Fashion-MNIST."""
    examples: Annotated[int | None, _INT, _default_of("all")] = None
    """How many training examples are used, a random sample by seed."""
    hidden: Annotated[tuple[int, ...] | None, _INTS, _default_of(_NETWORK.hidden)] = None
    """Widths of the hidden layers."""
    channels: Annotated[tuple[int, ...] | None, _INTS, _default_of(_NETWORK.channels)] = None
    """Channels of the convolutions before the hidden layers."""
    activation: Annotated[str | None, _one_of(ACTIVATIONS), _default_of(_NETWORK.activation)] = None
    """Activation of the hidden layers."""
    output_activation: Annotated[str | None, _one_of(("none", *ACTIVATIONS)), _default_of(_NETWORK.output_activation)] = None
    """Activation of the last layer."""
    initialization: Annotated[str | None, _one_of(INITIALIZATIONS), _default_of(_NETWORK.initialization)] = None
    """How weights begin: he_normal is N(0, 2 / fan_in) with biases 0, uniform is [-0.5, 0.5] for both."""
    loss: Annotated[str | None, _one_of(LOSSES), _default_of(_NETWORK.loss)] = None
    """Loss: softmax cross-entropy, or half the squared error on one-hot targets."""
    dropout: Annotated[float | None, _FLOAT, _default_of(_NETWORK.dropout)] = None
    """Share of hidden units dropped in training."""
    steps: Annotated[int | None, _INT, _default_of(_STUDY.steps)] = None
    """Mini-batches of each run."""
    batch: Annotated[int | str | None, _BATCH, _default_of(_STUDY.batch)] = None
    """Examples in a mini-batch; all: every step sees all training examples."""
    sampling: Annotated[str | None, _one_of(SAMPLINGS), _default_of(_STUDY.sampling)] = None
    """Mini-batches: each epoch in a new order, or every batch drawn anew."""
    target: Annotated[float | None, _FLOAT, _default_of("target")] = None
    """Value of --target-score on the validation set whose first attainment is reported."""
    target_score: Annotated[str | None, _SCORE, _default("loss; of a problem its first score")] = None
    """Score that the target is on."""
    evaluate_every: Annotated[int | None, _INT, _default_of("evaluate_every")] = None
    """Mini-batches between evaluations on the validation set."""
    trials: Annotated[int | None, _INT, _default_of(_SEARCH.trials)] = None
    """Trials of every arm that has ranges, such as log_uniform(0.001, 1)."""
    tuning_seeds: Annotated[int | None, _INT, _default_of(len(_SEARCH.seeds))] = None
    """How many seeds each trial has, numbered from 1000."""
    score: Annotated[str | None, _SCORE, _default("accuracy; of a problem its first score")] = None
    """Score that the best trial is chosen by, on the validation set."""
    sampler: Annotated[str | None, _one_of(SAMPLERS), _default_of(_SEARCH.sampler)] = None
    """Sequence that the trials are points of."""
    question: Annotated[tuple[str, ...] | None, _LABELS, _default("momentum against gradient descent")] = None
    """Labels of the two arms that the report asks about."""
    measure: Annotated[str | None, _one_of(MEASURES), _default_of(_STUDY.measure)] = None
    """What the arms are judged by: their final score, or their steps to the target."""
    matters: Annotated[float | None, _FLOAT, _default("none")] = None
    """Smallest difference worth knowing, in percentage points, units of the score, or steps; smaller is called equivalent."""
    looks: Annotated[tuple[int, ...] | None, _INTS, _default("one, at all seeds")] = None
    """Numbers of seeds at which the results are looked at, declared before the first run, such as 8 16 24."""
    title: Annotated[str | None, _not_given(str, "TEXT"), _default("the question")] = None
    """Heading of the report."""


@dataclass(frozen=True)
class Options(Described):
    """What `compare`, `train` and `study run` share."""

    cores: Annotated[int | None, _INT, _CORES] = None
    """CPU cores to train on, one run on each; at most those that there are."""
    overwrite: bool = False
    """Replace the results that the output directory holds."""
    resume: bool = False
    """Finish what the output directory holds; `study run` does so unasked."""
    tensorboard: bool = False
    """Also write event files for TensorBoard, hyperparameters included, to <out>/tensorboard."""
    json: bool = False
    """Print the results as JSON, as summary.json or report.json has them, instead of a table."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What commands that make the runs of a study share: where these are trained, if not in this process."""

    workers: Annotated[int | None, _INT, _default("none")] = None
    """Train in so many processes of this machine, each on one core, in the place of --cores."""
    scheduler: Annotated[str | None, _not_given(str, "ADDRESS"), _default("none")] = None
    """Train on the workers of a Dask scheduler, tcp://host:8786; `momentum-jax worker` makes some."""
    any_bits: bool = False
    """Let workers train whose arithmetic differs in its last bits; the manifest says so."""


@dataclass(frozen=True)
class Compare(Options, Spread):
    """Compare optimizers on a data set, or on any other problem, over several seeds.

    Prints a table; writes figure.png and all runs (manifest.json, runs.jsonl, curves.npz) to the output directory. A
    seed fixes the split, the initialization and the batches of all arms. Arms with ranges are tuned first.
    """

    arm: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="OPTIMIZER"), _default(_ARMS)] = ()
    """An optimizer such as "heavy_ball(0.01, 0.9)" or "tuned=optax.sgd(0.1)"; give --arm once for each."""
    seeds: Annotated[int | None, _INT, _default_of(len(_STUDY.seeds))] = None
    """How many seeds; they are numbered from 0."""
    out: Annotated[Path | None, _PATH, _default("compare-<dataset>")] = None
    """Output directory."""


@dataclass(frozen=True)
class ProblemCommand(Compiles):
    """Check a problem of one's own: what it is, its scores before training, what a run takes, and its fingerprint."""

    problem: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="PROBLEM")]]
    """The problem, such as "my_problem.py:make(width=64)", "package.module:make()" or "diabetes()"."""
    batch: Annotated[int | str | None, _BATCH, _default_of(_STUDY.batch)] = None
    """Examples in a mini-batch; all: every step sees all training examples."""


@dataclass(frozen=True)
class Predict(Described):
    """Predict, before anything is trained, which arms are stable and, for a short budget, which is ahead.

    Prints a table. The loss is taken for its quadratic model where training begins: arms must be linear methods. Beyond the
    step at which the noise of mini-batches decides, it says nothing but stability.
    """

    file: tyro.conf.Positional[Annotated[Path | None, _PATH, _default("none: all is given by options")]] = None
    """TOML file with the fields of a study."""
    arm: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="OPTIMIZER"), _default("the file's")] = ()
    """An arm such as "heavy_ball(log_uniform(0.001, 1), 0.9)" or "LABEL=OPTIMIZER"; give --arm once for each."""
    seeds: Annotated[int | None, _INT, _default_of(len(_STUDY.seeds))] = None
    """How many seeds the study has, numbered from 0."""
    seed: Annotated[int | None, _INT, _default("the first")] = None
    """Seed at whose start the curvature is measured."""
    json: bool = False
    """Print JSON instead of a table."""


@dataclass(frozen=True)
class Train(Options):
    """Train one network with one optimizer and save its parameters.

    Writes what `compare` writes, and the parameters as an Orbax checkpoint in <out>/checkpoints.
    """

    arm: Annotated[str, tyro.conf.arg(metavar="OPTIMIZER")] = "heavy_ball(0.01, 0.9)"
    """The optimizer, as in `momentum-jax optimizers` or optax.NAME(...)."""
    seed: int = 0
    """Seed of the split, the initialization and the batches."""
    out: Annotated[Path | None, _PATH, _default("train-<dataset>")] = None
    """Output directory."""


@dataclass(frozen=True)
class StudyRun(Options, Spread):
    """Run a study: tune, report on fresh seeds, explain. Run again, it goes on where it was stopped.

    Options that are given stand in the place of the file's; a study that is gone on with has what neither says from its own
    manifest, any other the defaults below. Writes report.html, report.md, report.json, figures/ and all runs (manifest.json,
    runs.jsonl, curves.npz) to the output directory.
    """

    file: tyro.conf.Positional[Annotated[Path | None, _PATH, _default("none: all is given by options")]] = None
    """TOML file with the study's fields."""
    out: Annotated[Path | None, _PATH, _default("the file's name without .toml, else study-<dataset>")] = None
    """Output directory."""
    arm: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="OPTIMIZER"), _default("the file's")] = ()
    """An arm such as "heavy_ball(log_uniform(0.001, 1), 0.9)" or "LABEL=OPTIMIZER"; give --arm once for each."""
    seeds: Annotated[int | None, _INT, _default_of(len(_STUDY.seeds))] = None
    """How many seeds the report has, numbered from 0."""
    no_ladder: bool = False
    """Leave out the gradient descents that explain momentum's gain."""
    no_noise_floor: bool = False
    """Leave out the A/A control."""


@dataclass(frozen=True)
class StudyReport:
    """Write the report of a stored study anew, finished or not."""

    directory: tyro.conf.Positional[Path]
    """Its output directory."""
    json: bool = False
    """Print the numbers of the report as JSON instead of a table."""


@dataclass(frozen=True)
class StudyList:
    """List the studies that a directory holds."""

    directory: tyro.conf.Positional[Path] = Path(".")
    """Where to look: there and below."""


@dataclass(frozen=True)
class StudyAddSeeds(Spread, Compiles):
    """Run a study's arms, as they were tuned, from further seeds, and write the report anew."""

    directory: tyro.conf.Positional[Path]
    """Its output directory."""
    count: tyro.conf.Positional[Annotated[int | None, _INT, _default("up to the next declared look")]] = None
    """How many seeds to add; of a study that declared looks those up to the next one."""
    until_told: bool = False
    """Go on from look to look until the question is answered; only where looks were declared."""
    data: Annotated[Path | None, _PATH, _WHERE_DATA_LIE] = None
    """Directory that holds the data sets."""
    cores: Annotated[int | None, _INT, _CORES] = None
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
class AtlasRun(Spread, Compiles):
    """Run every study of an atlas that is not stored yet; run again, it goes on where it was stopped.

    Writes a store with its report for each cell, index.html, atlas.json and forest.png to the output directory.
    """

    file: tyro.conf.Positional[Annotated[Path | None, _PATH, _default("the atlas of this library")]] = None
    """TOML file that lists studies."""
    out: Annotated[Path | None, _PATH, _default("the file's name without .toml, or atlas; with --quick with -quick")] = None
    """Output directory."""
    only: Annotated[tuple[str, ...], _not_given(str, "NAME", several=True), _default("all")] = ()
    """Names of the studies to run; the page shows the others as they are stored."""
    quick: bool = False
    """A first look: the shortest budgets, two batch sizes, few seeds and trials. The page says what it cannot tell."""
    data: Annotated[Path | None, _PATH, _WHERE_DATA_LIE] = None
    """Directory that holds the data sets."""
    cores: Annotated[int | None, _INT, _CORES] = None
    """CPU cores to train on, one run on each; at most those that there are."""


@dataclass(frozen=True)
class AtlasReport:
    """Write the page of an atlas anew, finished or not."""

    file: tyro.conf.Positional[Annotated[Path | None, _PATH, _default("the atlas of this library")]] = None
    """TOML file that lists its studies."""
    out: Annotated[Path | None, _PATH, _default("as of atlas run")] = None
    """Output directory."""
    quick: bool = False
    """Of the first look."""


@dataclass(frozen=True)
class AtlasCommand:
    """Where does momentum help? Many studies with one question, and one page of their answers."""

    action: Annotated[AtlasRun, tyro.conf.subcommand("run")] | Annotated[AtlasReport, tyro.conf.subcommand("report")]


@dataclass(frozen=True)
class Fetch:
    """Download a data set to the cache, or to a directory, and check it."""

    dataset: tyro.conf.Positional[Dataset]
    """Data set."""
    directory: Annotated[Path | None, _PATH, _WHERE_DATA_LIE] = None
    """Directory to hold <dataset>/."""
    force: bool = False
    """Download files that are there, too."""


@dataclass(frozen=True)
class Verify:
    """Compare the files of a data set with the published SHA-256 sums."""

    dataset: tyro.conf.Positional[Dataset]
    """Data set."""
    directory: Annotated[Path | None, _PATH, _WHERE_DATA_LIE] = None
    """Directory that holds <dataset>/."""


@dataclass(frozen=True)
class Where:
    """Print where a data set is read from."""

    dataset: tyro.conf.Positional[Dataset]
    """Data set."""
    directory: Annotated[Path | None, _PATH, _WHERE_DATA_LIE] = None
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
    """List the optimizers of this library, what each is and where it comes from; of one all that is known."""

    name: tyro.conf.Positional[Annotated[str | None, _not_given(str, "NAME"), _default("all")]] = None
    """One of them, such as nesterov."""
    json: bool = False
    """Print JSON instead."""


@dataclass(frozen=True)
class Reproduce(Compiles):
    """Reproduce the textbook's figures and tables, and check what it claims; without a name, list them.

    Prints every claim beside what was measured; writes report.html, result.json and the figures to <out>/<name>, with
    --quick to <out>/<name>-quick. A source's claim that we measure not to hold is a finding: a row with its verdict.
    The exit code is 1 if a check of this library's own fails, 2 if the command or its data is at fault, else 0.
    """

    experiment: tyro.conf.Positional[Annotated[str | None, tyro.conf.arg(metavar="NAME"), _default("list them")]] = None
    """Name of an experiment, or what a source numbers: 11-7, "table 11-1", 11.10, "listing 11-6", gd_nesterov."""
    all: bool = False
    """Run every experiment."""
    quick: bool = False
    """At the size for a first look."""
    out: Path = Path("reproduced")
    """Output directory."""
    data: Annotated[Path | None, _PATH, _WHERE_DATA_LIE] = None
    """Directory that holds the data sets."""
    cores: Annotated[int | None, _INT, _CORES] = None
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
    json: bool = False
    """Print JSON, with every digit, instead of name=value."""


@dataclass(frozen=True)
class Theory(Compiles):
    """What follows from an optimizer's own update on a quadratic: its rate, where it is stable, its noise, what it equals.

    Optimizers whose update is not linear are refused, with the operation that is not.
    """

    optimizer: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="OPTIMIZER")]]
    """The optimizer, such as "heavy_ball(0.1, 0.9)", "optax.sgd(0.1, momentum=0.9)" or "my_optimizers.py:mine(0.1)"."""
    curvatures: tuple[float, ...] = (1.0,)
    """Curvatures, loss / params^2; between the least and the largest are the worst and the certified rate."""
    noise: float = 1.0
    """Variance of the gradient along each direction."""
    versus: Annotated[str | None, _not_given(str, "OPTIMIZER"), _default("none")] = None
    """Another optimizer, set beside it, and whether both are the same method."""
    at_step: Annotated[int | None, _INT, _default("settled")] = None
    """Step whose coefficients are meant, of an optimizer that does not settle."""
    horizon: int = 512
    """How many steps are read."""
    json: bool = False
    """Print JSON."""
    figure: Annotated[Path | None, _PATH, _default("none")] = None
    """Also draw rates, responses and noise, to a .png or .pdf."""


@dataclass(frozen=True)
class Tune(Compiles):
    """The best hyperparameters of a linear optimizer for losses with curvatures in [m, L], from its own code."""

    optimizer: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="OPTIMIZER")]]
    """A name such as heavy_ball, whose learning rate and decays are searched widely; or an optimizer with ranges, such as
    "nesterov(log_uniform(0.001, 1), uniform(0, 0.99))"."""
    m: float
    """Least curvature, above 0."""
    L: float
    """Largest curvature."""
    objective: Literal["quadratic", "certified", "expected_loss"] = "quadratic"
    """What is made small: the rate on the worst quadratic, the certified rate, or the expected loss after --steps steps."""
    steps: Annotated[int | None, _INT, _default("none")] = None
    """Steps of the expected loss."""
    noise: float = 0.0
    """Variance of the gradient along each direction, for the expected loss."""
    json: bool = False
    """Print JSON."""


@dataclass(frozen=True)
class Explore(Compiles):
    """Write a page with sliders: paths, stability, roots, impulse response and noise of momentum on a quadratic.

    The page opens offline. It computes with matrices that were read from the optimizers' own code.
    """

    out: Path = Path("explore.html")
    """The file; one that is there is replaced."""


@dataclass(frozen=True)
class Cache:
    """Show where compiled programs are kept for the next command, and how large they are."""

    clear: bool = False
    """Remove them."""


@dataclass(frozen=True)
class Worker:
    """Train for studies that run elsewhere: workers of a Dask scheduler, until it ends or Ctrl-C.

    Each is one process on one core. A study comes to them by `momentum-jax study run --scheduler ADDRESS`, from anywhere.
    """

    scheduler: Annotated[str, tyro.conf.arg(metavar="ADDRESS")]
    """Where the scheduler is, such as tcp://host:8786."""
    cores: Annotated[int | None, _INT, _CORES] = None
    """How many workers: one on each core."""
    data: Annotated[Path | None, _PATH, _WHERE_DATA_LIE] = None
    """Directory that holds the data sets here."""


Command = (
    Annotated[Compare, tyro.conf.subcommand("compare")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[StudyCommand, tyro.conf.subcommand("study")]
    | Annotated[AtlasCommand, tyro.conf.subcommand("atlas")]
    | Annotated[Worker, tyro.conf.subcommand("worker")]
    | Annotated[ProblemCommand, tyro.conf.subcommand("problem")]
    | Annotated[Predict, tyro.conf.subcommand("predict")]
    | Annotated[Reproduce, tyro.conf.subcommand("reproduce")]
    | Annotated[Data, tyro.conf.subcommand("data")]
    | Annotated[Optimizers, tyro.conf.subcommand("optimizers")]
    | Annotated[Convert, tyro.conf.subcommand("convert")]
    | Annotated[Theory, tyro.conf.subcommand("theory")]
    | Annotated[Tune, tyro.conf.subcommand("tune")]
    | Annotated[Explore, tyro.conf.subcommand("explore")]
    | Annotated[Cache, tyro.conf.subcommand("cache")]
)
