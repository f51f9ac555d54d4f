"""What a study is: data set, model, budget, seeds and arms, as frozen dataclasses that go to JSON and back.

A `Study` says everything that its numbers depend on besides the versions of the libraries, and nothing else: where
the data lie, where results go and how many cores work are no part of it. Two studies are the same study when they
compare equal.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from momentum_jax._files import open_regular
from momentum_jax._text import cut, cut_path, listed, quoted
from momentum_jax.studies import own
from momentum_jax.studies.arms import MOST_CHARACTERS, call_text, canonical, moved, origin, ranges, with_arguments
from momentum_jax.studies.errors import StudyError, fail, is_whole, not_among
from momentum_jax.studies.scores import IMAGES, Scores, is_name
from momentum_jax.studies.search import Range, Search, as_text

DATASETS = ("digits", "mnist", "fashion_mnist")
ACTIVATIONS = ("relu", "tanh", "sigmoid")
INITIALIZATIONS = ("he_normal", "uniform", "glorot_uniform")
LOSSES = ("cross_entropy", "half_squared_error")
SAMPLINGS = ("shuffle", "replacement")


def _whole(where: str, what: str, value: object, least: int) -> None:
    if not is_whole(value, least):
        raise fail(where, what, f"a whole number >= {least}", value)


def _choice(where: str, what: str, value: object, allowed: Sequence[str]) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise not_among(where, what, value, allowed)


def _number(where: str, what: str, value: object, allowed: str, low: float, high: float) -> None:
    """Requires low <= value < high, and of a whole number that it fits into a float."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < high or value > sys.float_info.max:
        raise fail(where, what, allowed, value)


# What the trainer takes.
MOST_STEPS = 100_000_000
MOST_SEEDS = 100_000
# Of a layer; 28 x 28 images into one of these take 3 GB of weights.
_MOST_UNITS = 1_000_000
# Of a TOML file: thousands of arms.
_MOST_BYTES = 2**20
# What describes a problem of images, which other problems have not.
_OF_IMAGES = ("dataset", "size", "examples", "network")
_LOSS = "loss"
_A_PROBLEM = 'a call such as "my_problem.py:make(width=64)"'


@dataclass(frozen=True)
class Network:
    """A net: widths of its layers, what stands between them, how weights begin and what is minimised.

    `channels` makes it convolutional: for each entry a 3 x 3 convolution and 2 x 2 max pooling before the `hidden` layers.
    `output_activation` is applied to the last layer (None: nothing is); `initialization` is `he_normal` (weights N(0, 2 /
    fan_in), biases 0), `glorot_uniform` or `uniform` (weights and biases in [-0.5, 0.5]); `loss` is softmax `cross_entropy` or
    `half_squared_error` on one-hot targets.
    """

    hidden: tuple[int, ...] = (256, 256)
    activation: str = "relu"
    output_activation: str | None = None
    initialization: str = "he_normal"
    loss: str = "cross_entropy"
    dropout: float = 0.0
    channels: tuple[int, ...] = ()

    def __post_init__(self):
        for name, what, each in (("hidden", "layer widths", "width"), ("channels", "numbers of channels", "number")):
            if not isinstance(getattr(self, name), tuple):
                raise fail("Network", name, f"a tuple (in TOML a list) of {what}", getattr(self, name))
            for value in getattr(self, name):
                _whole("Network", f"every {each} in {name}", value, 1)
                if value > _MOST_UNITS:
                    raise fail("Network", f"every {each} in {name}", f"at most {_MOST_UNITS:,}", value)
        _choice("Network", "activation", self.activation, ACTIVATIONS)
        if self.output_activation is not None:
            _choice("Network", "output_activation", self.output_activation, ACTIVATIONS)
        _choice("Network", "initialization", self.initialization, INITIALIZATIONS)
        _choice("Network", "loss", self.loss, LOSSES)
        _number("Network", "dropout", self.dropout, "in [0, 1)", 0.0, 1.0)


_DEFAULTS: dict[str, Callable[[], Any]] = {
    "dataset": lambda: "digits",
    "size": lambda: None,
    "examples": lambda: None,
    "network": Network,
}


@dataclass(frozen=True)
class Arm:
    """One contestant: an optimizer as it is written in Python, and the label that stands for it in tables and figures.

    `optimizer` is kept in canonical spelling (`"heavy_ball(1e-2,.9)"` becomes `"heavy_ball(0.01, 0.9)"`); without a
    label it is the label. A range in the place of an argument (`"heavy_ball(log_uniform(0.001, 1), 0.9)"`) is tuned; see
    `search`. A constructor of one's own is named with its file, `"my_optimizers.py:my_momentum(0.01)"`, or its module; in
    Python `Arm.of` takes the constructor itself.

    `factors` are what differs between arms besides the optimizer, in TOML further keys of the arm: `batch`, `steps`, and
    arguments of the study's `problem`. `{ optimizer = "sgd(0.1)", batch = 512, width = 64 }` has three.
    """

    optimizer: str
    label: str = ""
    factors: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self):
        if not isinstance(self.optimizer, str):
            raise fail("Arm", "optimizer", 'a call such as "heavy_ball(0.01, 0.9)"', self.optimizer)
        if not isinstance(self.label, str) or not self.label.isprintable() or len(self.label) > MOST_CHARACTERS:
            raise fail("Arm", "label", f"one line of printable text, at most {MOST_CHARACTERS:,} characters", self.label)
        object.__setattr__(self, "optimizer", canonical(self.optimizer))
        object.__setattr__(self, "factors", _checked_factors(self.factors))
        label = self.label.strip() or _short_label(call_text(self.optimizer), bool(self.ranges))
        own = "".join(f", {name} {'all' if value is None else value}" for name, value in self.factors.items())
        object.__setattr__(self, "label", label if self.label.strip() else f"{label}{own}")

    @classmethod
    def of(
        cls, constructor: Callable[..., Any], *, label: str = "", factors: Mapping[str, Any] | None = None, **arguments: Any
    ) -> Arm:
        """The arm of a constructor that returns an Optax optimizer, of any name or none.

        Args:
          constructor: known by its name, with a number where a different one has that name already.
          label, factors: as in `Arm`.
          arguments: of the constructor: literals, or ranges such as `LogUniform(0.001, 1)`, which are tuned.

        Raises:
          StudyError: the constructor cannot be called, or an argument is neither.

        Example: `Arm.of(my_momentum, learning_rate=LogUniform(0.001, 1), momentum=0.9)`.
        """
        if not callable(constructor):
            raise fail("Arm.of", "constructor", "a function that returns an optimizer", constructor)
        place = own.given(own.name_of(constructor), constructor)
        written = (f"{name}={as_text('Arm.of', name, value)}" for name, value in arguments.items())
        return cls(f"{place}({', '.join(written)})", label, factors or {})

    @property
    def ranges(self) -> dict[str, Range]:
        """What is tuned, by the name of its parameter."""
        return ranges(self.optimizer)


# What an arm may have of its own in every study.
BUDGET = ("batch", "steps")


def _arm(content: object, *, of_problem: bool) -> Arm:
    """The arm that TOML or JSON describes; keys beside its own are factors."""
    given: Mapping[str, Any] = content if isinstance(content, Mapping) else {}
    factors = {
        str(name): value
        for name, value in given.items()
        if name in BUDGET or (of_problem and name not in ("optimizer", "label"))
    }
    own = {name: value for name, value in given.items() if name not in factors} if given else content
    fields = _known(Arm, "Study.arms", own, required=("optimizer",), less=("factors",), more=BUDGET)
    return Arm(**fields, factors=factors)


def _checked_factors(factors: object) -> dict[str, Any]:
    if not isinstance(factors, Mapping):
        raise fail("Arm", "factors", "values by name, such as {'batch': 512}", factors)
    checked = {}
    for name, value in factors.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise fail("Arm", "the name of a factor", "batch, steps or an argument of the problem", name)
        if name == "batch" and value in ("all", None):
            checked[name] = None
            continue
        if name in BUDGET:
            _whole("Arm", name, value, 1)
            if name == "steps" and value > MOST_STEPS:
                raise fail("Arm", name, f"at most {MOST_STEPS:,}", value)
        elif not isinstance(value, bool | int | float | str):
            raise fail("Arm", name, "a number, a text, true or false", value)
        checked[name] = value
    return checked


def exclude_each_other(name: str) -> StudyError:
    """A problem says all that this field would."""
    return StudyError(f"Study: problem and {name} exclude each other; {name} is of images with class labels.")


def _short_label(optimizer: str, tuned: bool) -> str:
    """An expression with ranges is no name: the constructor's own is."""
    return f"{optimizer.partition('(')[0]}, tuned" if tuned else optimizer


# Independent seeds for the A/A control, one for each of the study's own: the same number with its highest bit turned.
_CONTROL = 2**31


MEASURES = ("score", "steps")
MOST_LOOKS = 5
_MOST_TITLE = 200
# Left out of JSON and TOML where they have their defaults.
_SAID_IF_GIVEN: dict[str, Any] = {
    "target_score": None,
    "question": None,
    "measure": "score",
    "matters": None,
    "looks": (),
    "title": "",
}


@dataclass(frozen=True)
class Study:
    """Arms trained on one problem under one budget, once for each seed.

    The problem is images with class labels, as `dataset`, `size`, `examples` and `network` say; or any other, which `problem`
    makes: an expression such as `"my_problem.py:make(width=64)"`, `"package.module:make()"` or `"diabetes()"`, whose arguments
    are literals and which returns a `training.Problem`. A path is seen from the study's TOML file.

    A seed fixes the split, the initialisation and the batches of all arms. `steps` and `evaluate_every` count mini-batches of
    `batch` examples (None, in TOML "all": all training examples in every step). `target` is a value of `target_score` on the
    validation set (None: of images the loss, else the primary score). The first evaluation that meets it is reported: at or
    below it where lower is better, else at or above it (None: not reported).

    `dataset` may also be the path of a .npz file of one's own (`data.load`), kept as an absolute path. Moving the file does not
    change the study; changing its content does. `size` is the side of reduced images in pixels (None: as published), `examples`
    how many of its training examples a seed uses, a random sample (None: all).

    Arms with ranges are tuned first, by `search`, on seeds of its own. `ladder` adds what explains the first arm with
    momentum: gradient descent at its learning rate eta and at its effective one, eta/(1 - mu). `noise_floor` adds an A/A
    control, the first arm once more on independent seeds.

    What the study may claim is fixed before it runs. `question`: the labels of the two arms that its report asks about (None:
    momentum against gradient descent, where there are such arms). `measure`: "score", the primary one, or "steps".
    `matters`: the smallest difference worth knowing, in points of a percentage, else in units of the score, or in steps; arms
    whose difference is surely smaller are called equivalent. `looks`: two to five numbers of seeds at which the results are
    looked at; the study begins with the first, and `add_seeds` takes it to the next. `title` heads the report (empty: the
    question).

    Raises `StudyError` naming the field, the allowed values and the value.
    """

    dataset: str = "digits"
    size: int | None = None
    examples: int | None = None
    network: Network = field(default_factory=Network)
    steps: int = 2000
    batch: int | None = 100
    sampling: str = "shuffle"
    seeds: tuple[int, ...] = tuple(range(10))
    arms: tuple[Arm, ...] = ()
    target: float | None = None
    evaluate_every: int = 100
    search: Search = field(default_factory=Search)
    ladder: bool = True
    noise_floor: bool = True
    problem: str | None = None
    target_score: str | None = None
    question: tuple[str, str] | None = None
    measure: str = "score"
    matters: float | None = None
    looks: tuple[int, ...] = ()
    title: str = field(default="", compare=False)
    # Where the files lie that expressions name: where it is, not what it is.
    paths: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self):
        if self.problem is not None:
            self._check_problem()
        elif not (isinstance(self.dataset, str) and self.own_images):
            _choice("Study", "dataset", self.dataset, (*DATASETS, "a path to a .npz file"))
        else:
            try:
                object.__setattr__(self, "dataset", os.path.realpath(self.dataset))
            except ValueError:
                # NUL characters, and those that no name of a file can be written in.
                raise fail("Study", "dataset", "a path to a .npz file", self.dataset) from None
        for name in ("size", "examples"):
            if getattr(self, name) is not None:
                _whole("Study", name, getattr(self, name), 1)
        if not isinstance(self.network, Network):
            raise fail("Study", "network", "a Network", self.network)
        _whole("Study", "steps", self.steps, 1)
        if self.steps > MOST_STEPS:
            raise fail("Study", "steps", f"at most {MOST_STEPS:,}", self.steps)
        if self.batch is not None:
            _whole("Study", "batch", self.batch, 1)
        _choice("Study", "sampling", self.sampling, SAMPLINGS)
        _whole("Study", "evaluate_every", self.evaluate_every, 1)
        if not isinstance(self.search, Search):
            raise fail("Study", "search", "a Search", self.search)
        if self.target_score is not None and not is_name(self.target_score):
            raise fail("Study", "target_score", "the name of a score", self.target_score)
        if self.problem is None:
            self.check_scores(IMAGES)
            # One form of the same study.
            object.__setattr__(self, "target_score", None if self.target_score == _LOSS else self.target_score)
            if self.search.score == IMAGES.primary.name:
                object.__setattr__(self, "search", replace(self.search, score=None))
        if self.target is not None:
            is_loss = self.problem is None and self.target_score is None
            allowed = "a positive, finite loss" if is_loss else "a finite number"
            _number("Study", "target", self.target, allowed, math.ulp(0.0) if is_loss else -sys.float_info.max, math.inf)
        for name in ("ladder", "noise_floor"):
            if not isinstance(getattr(self, name), bool):
                raise fail("Study", name, "True or False", getattr(self, name))
        _check_seeds("Study", self.seeds)
        _check_seeds("Search", self.search.seeds)
        self._check_arms()
        self._check_evidence()
        self._find_files()
        if self.tuned and (both := sorted({*self.seeds} & {*self.search.seeds})):
            raise _overlap("search.seeds", "seeds", both)
        if self.noise_floor and (both := sorted({*self.control_seeds} & {*self.seeds, *self.search.seeds})):
            raise _overlap("seeds", "those of the A/A control, each with its highest bit turned", both)

    def load(self, origin: str, name: str) -> Callable[..., Any]:
        """The function of the user's own that an expression of the study names. Errors are those of `own.load`."""
        return own.load(origin, name, self.paths)

    def with_factors(self, factors: Mapping[str, Any]) -> Study:
        """The study as it is for an arm of these factors."""
        own = {name: value for name, value in factors.items() if name in BUDGET}
        arguments = {name: value for name, value in factors.items() if name not in BUDGET}
        if arguments and self.problem is not None:
            own["problem"] = with_arguments(self.problem, arguments)
        return replace(self, **own) if own else self

    @property
    def own_images(self) -> bool:
        """Whether the data set is a file of the user's."""
        return self.problem is None and self.dataset.endswith(".npz")

    @property
    def data_name(self) -> str:
        """The data set or the problem as a title has it: of a file its name alone."""
        if self.problem is None:
            return Path(self.dataset).name
        return self.problem.removeprefix(f"{own.PYTHON}:")

    def target_on(self, scores: Scores) -> str:
        """The name of the score that the target is on, of those that the problem has."""
        return self.target_score or (_LOSS if self.problem is None else scores.primary.name)

    def selected_by(self, scores: Scores) -> str:
        """The name of the score that trials are chosen by."""
        return self.search.score or scores.primary.name

    def check_scores(self, scores: Scores) -> None:
        """Raises `StudyError` where the problem has no ranked score of a name that the study has."""
        for where, what, name in (("Search", "score", self.search.score), ("Study", "target_score", self.target_score)):
            if name is not None and name not in scores.names:
                raise not_among(where, what, name, scores.names)

    def _check_problem(self) -> None:
        if not isinstance(self.problem, str):
            raise fail("Study", "problem", _A_PROBLEM, self.problem)
        for name in _OF_IMAGES:
            if getattr(self, name) != _DEFAULTS[name]():
                raise exclude_each_other(name)
        try:
            object.__setattr__(self, "problem", canonical(self.problem))
        except StudyError:
            # It speaks of arms and their optimizers.
            raise fail("Study", "problem", _A_PROBLEM, self.problem) from None

    def _find_files(self) -> None:
        """Leaves of the paths in expressions the names of the files, and keeps where these lie."""
        paths = dict(self.paths)

        def named(text: str) -> str:
            place = origin(text)
            if not own.is_file(place):
                return text
            name = Path(place).name
            path = paths[place] if place == name and place in paths else os.path.realpath(place)
            if paths.setdefault(name, path) != path:
                raise StudyError(f"Study: two different files are called {name}, {cut_path(paths[name])} and {cut_path(path)}.")
            return moved(text, name)

        if self.problem is not None:
            object.__setattr__(self, "problem", named(self.problem))
        arms = tuple(replace(arm, optimizer=named(arm.optimizer)) for arm in self.arms)
        object.__setattr__(self, "arms", arms)
        object.__setattr__(self, "paths", paths)

    @property
    def tuned(self) -> tuple[Arm, ...]:
        """The arms that have ranges."""
        return tuple(arm for arm in self.arms if arm.ranges)

    @property
    def control_seeds(self) -> tuple[int, ...]:
        """The independent seeds of the A/A control."""
        return tuple(seed ^ _CONTROL for seed in self.seeds)

    def _check_arms(self):
        if not isinstance(self.arms, tuple) or not all(isinstance(arm, Arm) for arm in self.arms):
            raise fail("Study", "arms", "a tuple of Arm", self.arms)
        for arm in self.arms:
            if self.problem is None and (unknown := next((name for name in arm.factors if name not in BUDGET), None)):
                raise StudyError(f"Study: arm {quoted(arm.label)} has {unknown}, which is an argument of a problem; give one.")
        if not self.arms:
            raise StudyError('Study: arms must hold at least one arm, such as Arm("heavy_ball(0.01, 0.9)"), got none.')
        if repeated := _repeated(arm.label for arm in self.arms):
            raise StudyError(
                f"Study: every label must occur once, {quoted(repeated[0])} is repeated; "
                'name the arms: Arm("heavy_ball(0.01)", label="tuned"), in TOML { optimizer = "heavy_ball(0.01)", '
                'label = "tuned" }, on the command line --arm "tuned=heavy_ball(0.01)".'
            )

    def _check_evidence(self):
        labels = [arm.label for arm in self.arms]
        asked = self.question
        if asked is not None and not (
            isinstance(asked, tuple) and len(asked) == 2 and {*asked} <= {*labels} and len({*asked}) == 2
        ):
            known = listed([quoted(label) for label in labels], 6)
            raise fail("Study", "question", f"the labels of two arms among {known}", asked)
        _choice("Study", "measure", self.measure, MEASURES)
        if self.measure == "steps" and self.target is None:
            raise StudyError('Study: measure must be "score" where there is no target that steps could reach; give a target.')
        if self.matters is not None:
            _number("Study", "matters", self.matters, "a positive, finite number", math.ulp(0.0), math.inf)
        if not isinstance(self.title, str) or not self.title.isprintable() or len(self.title) > _MOST_TITLE:
            raise fail("Study", "title", f"one line of printable text, at most {_MOST_TITLE} characters", self.title)
        if self.looks != ():
            self._check_looks()

    def _check_looks(self):
        looks = self.looks
        if not isinstance(looks, tuple) or not all(is_whole(each, 1) for each in looks) or list(looks) != sorted({*looks}):
            raise fail("Study", "looks", "increasing numbers of seeds, such as 8, 16, 24", looks)
        if not 2 <= len(looks) <= MOST_LOOKS:
            raise fail("Study", "looks", f"two to {MOST_LOOKS} numbers of seeds", looks)
        if len(self.seeds) not in looks:
            many = f"{len(self.seeds)} seed{'s' * (len(self.seeds) != 1)}"
            raise StudyError(f"Study: seeds must be as many as one of looks ({', '.join(map(str, looks))}), got {many}.")

    def to_dict(self) -> dict[str, Any]:
        """The study as JSON's and TOML's types: every field, defaults included, but those of another kind of problem."""
        content = _plain(dataclasses.asdict(self))
        for arm in content["arms"]:
            arm |= {name: "all" if value is None else value for name, value in arm.pop("factors").items()}
        left_out = ("paths", *(("problem",) if self.problem is None else _OF_IMAGES))
        left_out += tuple(name for name, default in _SAID_IF_GIVEN.items() if getattr(self, name) == default)
        if self.problem is None:
            # As stores have it since before there were other problems.
            content["search"]["score"] = self.selected_by(IMAGES)
        return {name: value for name, value in content.items() if name not in left_out}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, paths: Mapping[str, str] | None = None) -> Study:
        """The study that `to_dict`, JSON or TOML describes; fields left out have their defaults, unknown keys raise.

        `paths` are the files behind the names in its expressions; others are seen from the working directory.
        """
        fields = _known(cls, "Study", data)
        if "problem" in fields and (given := next((name for name in _OF_IMAGES if name in fields), None)):
            raise exclude_each_other(given)
        if fields.get("batch") == "all":
            fields["batch"] = None
        if "network" in fields:
            network = _known(Network, "Study.network", fields["network"])
            fields["network"] = Network(**_tuples(network, "hidden", "channels"))
        arms = fields.get("arms", ())
        if not isinstance(arms, Sequence) or isinstance(arms, str):
            raise fail("Study", "arms", "a list of arms", arms)
        if "search" in fields:
            search = _known(Search, "Study.search", fields["search"])
            fields["search"] = Search(**_seeds(_tuples(search, "seeds"), 1000))
        of_problem = fields.get("problem") is not None
        fields["arms"] = tuple(Arm(arm) if isinstance(arm, str) else _arm(arm, of_problem=of_problem) for arm in arms)
        fields = _tuples(fields, "seeds", "question", "looks")
        if fields.get("looks") and "seeds" not in fields:
            fields["seeds"] = fields["looks"][0]
        return cls(**_seeds(fields, 0), paths=paths or {})

    @classmethod
    def from_toml(cls, path: str | Path) -> Study:
        """The study that a TOML file describes, under the names of the fields; `seeds = 10` is short for 0 to 9.

        A data set of one's own is looked for from the file's directory.
        """
        return cls.from_dict(read_toml(path))


def read_toml(path: str | Path) -> dict[str, Any]:
    """What a TOML file says, a path in it seen from its directory. Raises `StudyError` where it cannot be read."""
    try:
        with open_regular(path) as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise StudyError(f"{path}: must have at most {_MOST_BYTES:,} bytes, as the TOML file of a study.")
        content = tomllib.loads(text.decode())
    except StudyError:
        raise
    except OSError as error:
        raise StudyError(f"{cut_path(path)}: cannot be read ({error.strerror}).") from None
    except RecursionError:
        raise StudyError(f"{path}: is not the TOML file of a study (nested too deeply).") from None
    except ValueError as error:
        # Not UTF-8, not TOML, or a number of more digits than Python reads.
        raise StudyError(f"{path}: is not TOML ({cut(str(error))}).") from None
    directory = Path(path).parent
    dataset = content.get("dataset")
    if isinstance(dataset, str) and dataset.endswith(".npz"):
        content["dataset"] = str(directory / dataset)
    if "problem" in content:
        content["problem"] = _seen_from(directory, content["problem"])
    if isinstance(content.get("arms"), list):
        content["arms"] = [
            {**arm, "optimizer": _seen_from(directory, arm.get("optimizer"))}
            if isinstance(arm, dict)
            else _seen_from(directory, arm)
            for arm in content["arms"]
        ]
    return content


def _seen_from(directory: Path, text: Any) -> Any:
    """An expression whose file is looked for from a directory."""
    try:
        place = origin(text) if isinstance(text, str) else ""
    except StudyError:
        # What is no expression is refused where its field is checked.
        return text
    return moved(text, str(directory / place)) if own.is_file(place) else text


def _check_seeds(where: str, seeds: object) -> None:
    if not isinstance(seeds, tuple) or not seeds:
        raise fail(where, "seeds", "a tuple of at least one seed (in TOML a list, or how many)", seeds)
    if len(seeds) > MOST_SEEDS:
        raise StudyError(f"{where}: seeds must be at most {MOST_SEEDS:,}, got {len(seeds):,} of them.")
    for seed in seeds:
        _whole(where, "every seed", seed, 0)
        if seed >= 2**32:
            raise fail(where, "every seed", "below 2**32", seed)
    if repeated := _repeated(seeds):
        named = listed([str(seed) for seed in sorted(repeated)])
        raise StudyError(f"{where}: every seed must occur once, {named} is repeated.")


def _repeated(values: Iterable[Any]) -> list[Any]:
    return [value for value, times in Counter(values).items() if times > 1]


def _overlap(name: str, other: str, both: Sequence[int]) -> StudyError:
    shared = listed([str(seed) for seed in both])
    return StudyError(f"Study: {name} must be others than {other}, got {shared} in both.")


def _seeds(fields: dict[str, Any], first: int) -> dict[str, Any]:
    """A number of seeds is short for that many, numbered from `first`."""
    count: Any = fields.get("seeds")
    if is_whole(count, 1) and count > MOST_SEEDS:
        raise fail("Study", "seeds", f"at most {MOST_SEEDS:,}", count)
    return {**fields, "seeds": tuple(range(first, first + count))} if is_whole(count, 1) else fields


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _tuples(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: tuple(value) if key in names and isinstance(value, list) else value for key, value in fields.items()}


def _known(
    cls: type,
    where: str,
    data: object,
    required: tuple[str, ...] = (),
    less: tuple[str, ...] = (),
    more: tuple[str, ...] = (),
) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise fail(where, "it", "a table of keys and values", data)
    names = [*(f.name for f in dataclasses.fields(cls) if f.name not in less), *more]
    for key in data:
        if key not in names:
            close = difflib.get_close_matches(cut(str(key)), names, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(names)}."
            raise StudyError(f"{where}: unknown key {quoted(key)}; {hint}")
    for key in required:
        if key not in data:
            raise StudyError(f"{where}: the key {key!r} is missing.")
    return dict(data)
