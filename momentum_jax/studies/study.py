"""What a study is: data set, model, budget, seeds and arms, as frozen dataclasses that go to JSON and back.

A `Study` says everything that its numbers depend on besides the versions of the libraries, and nothing else: where
the data lie, where results go and how many cores work are no part of it. Two studies are the same study when they
compare equal.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from momentum_jax._text import cut_path, listed, quoted
from momentum_jax.studies import own
from momentum_jax.studies.arm import BUDGET, MOST_STEPS, Arm, arm_of
from momentum_jax.studies.errors import (
    StudyError,
    fail,
    is_whole,
    known_fields,
    not_among,
    require_choice,
    require_number,
    require_whole,
)
from momentum_jax.studies.expression import Expression
from momentum_jax.studies.network import Network
from momentum_jax.studies.predicted import PredictionAt
from momentum_jax.studies.scores import IMAGES, Scores, is_name
from momentum_jax.studies.search import Search
from momentum_jax.studies.toml import read_toml, seen_from

DATASETS = ("digits", "mnist", "fashion_mnist")
SAMPLINGS = ("shuffle", "replacement")
# What the trainer takes.
MOST_SEEDS = 100_000
# What describes a problem of images, which other problems have not.
_OF_IMAGES = ("dataset", "size", "examples", "network")
_LOSS = "loss"
_A_PROBLEM = 'a call such as "my_problem.py:make(width=64)"'
_DEFAULTS: dict[str, Callable[[], Any]] = {
    "dataset": lambda: "digits",
    "size": lambda: None,
    "examples": lambda: None,
    "network": Network,
}


def exclude_each_other(name: str) -> StudyError:
    """A problem says all that this field would."""
    return StudyError(f"Study: problem and {name} exclude each other; {name} is of images with class labels.")


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
    "prediction": None,
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
    question). `prediction` says where in training the linear arms are measured beside what a quadratic model predicts of them
    (None: nowhere); no run and no claim depends on it.

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
    prediction: PredictionAt | None = field(default=None, compare=False)
    # Where the files lie that expressions name: where it is, not what it is.
    paths: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self):
        if self.problem is not None:
            self._check_problem()
        elif not (isinstance(self.dataset, str) and self.own_images):
            require_choice("Study", "dataset", self.dataset, (*DATASETS, "a path to a .npz file"))
        else:
            try:
                object.__setattr__(self, "dataset", os.path.realpath(self.dataset))
            except ValueError:
                # NUL characters, and those that no name of a file can be written in.
                raise fail("Study", "dataset", "a path to a .npz file", self.dataset) from None
        for name in ("size", "examples"):
            if getattr(self, name) is not None:
                require_whole("Study", name, getattr(self, name), 1)
        if not isinstance(self.network, Network):
            raise fail("Study", "network", "a Network", self.network)
        require_whole("Study", "steps", self.steps, 1)
        if self.steps > MOST_STEPS:
            raise fail("Study", "steps", f"at most {MOST_STEPS:,}", self.steps)
        if self.batch is not None:
            require_whole("Study", "batch", self.batch, 1)
        require_choice("Study", "sampling", self.sampling, SAMPLINGS)
        require_whole("Study", "evaluate_every", self.evaluate_every, 1)
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
            require_number("Study", "target", self.target, allowed, math.ulp(0.0) if is_loss else -sys.float_info.max, math.inf)
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

    @functools.cached_property
    def expression(self) -> Expression | None:
        """The problem as a value; it is read when the study is made."""
        return None if self.problem is None else Expression.read(self.problem)

    def load(self, origin: str, name: str) -> Callable[..., Any]:
        """The function of the user's own that an expression of the study names. Errors are those of `own.load`."""
        return own.load(origin, name, self.paths)

    def with_factors(self, factors: Mapping[str, Any]) -> Study:
        """The study as it is for an arm of these factors."""
        own = {name: value for name, value in factors.items() if name in BUDGET}
        arguments = {name: value for name, value in factors.items() if name not in BUDGET}
        if arguments and self.expression is not None:
            own["problem"] = self.expression.with_arguments(arguments)
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
        if not isinstance(self.problem, str | Expression):
            raise fail("Study", "problem", _A_PROBLEM, self.problem)
        for name in _OF_IMAGES:
            if getattr(self, name) != _DEFAULTS[name]():
                raise exclude_each_other(name)
        try:
            object.__setattr__(self, "problem", str(self.expression))
        except StudyError:
            # It speaks of arms and their optimizers.
            raise fail("Study", "problem", _A_PROBLEM, self.problem) from None

    def _find_files(self) -> None:
        """Leaves of the paths in expressions the names of the files, and keeps where these lie."""
        paths = dict(self.paths)

        def named(expression: Expression) -> Expression:
            place = expression.origin
            if not own.is_file(place):
                return expression
            name = Path(place).name
            path = paths[place] if place == name and place in paths else os.path.realpath(place)
            if paths.setdefault(name, path) != path:
                raise StudyError(f"Study: two different files are called {name}, {cut_path(paths[name])} and {cut_path(path)}.")
            return expression if place == name else expression.moved(name)

        if self.expression is not None:
            object.__setattr__(self, "expression", named(self.expression))
            object.__setattr__(self, "problem", str(self.expression))
        found = [(arm, named(arm.expression)) for arm in self.arms]
        arms = (arm if each is arm.expression else replace(arm, optimizer=each) for arm, each in found)
        object.__setattr__(self, "arms", tuple(arms))
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
        require_choice("Study", "measure", self.measure, MEASURES)
        if self.measure == "steps" and self.target is None:
            raise StudyError('Study: measure must be "score" where there is no target that steps could reach; give a target.')
        if self.matters is not None:
            require_number("Study", "matters", self.matters, "a positive, finite number", math.ulp(0.0), math.inf)
        if not isinstance(self.title, str) or not self.title.isprintable() or len(self.title) > _MOST_TITLE:
            raise fail("Study", "title", f"one line of printable text, at most {_MOST_TITLE} characters", self.title)
        if self.prediction is not None and not isinstance(self.prediction, PredictionAt):
            raise fail("Study", "prediction", "a PredictionAt", self.prediction)
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
        fields = known_fields(cls, "Study", data)
        if "problem" in fields and (given := next((name for name in _OF_IMAGES if name in fields), None)):
            raise exclude_each_other(given)
        if fields.get("batch") == "all":
            fields["batch"] = None
        if "network" in fields:
            network = known_fields(Network, "Study.network", fields["network"])
            fields["network"] = Network(**_tuples(network, "hidden", "channels"))
        arms = fields.get("arms", ())
        if not isinstance(arms, Sequence) or isinstance(arms, str):
            raise fail("Study", "arms", "a list of arms", arms)
        if "search" in fields:
            search = known_fields(Search, "Study.search", fields["search"])
            fields["search"] = Search(**_seeds(_tuples(search, "seeds"), 1000))
        if fields.get("prediction") is not None:
            shares = known_fields(PredictionAt, "Study.prediction", fields["prediction"])
            fields["prediction"] = PredictionAt(**_tuples(shares, "at"))
        of_problem = fields.get("problem") is not None
        fields["arms"] = tuple(arm_of(arm, of_problem=of_problem) for arm in arms)
        fields = _tuples(fields, "seeds", "question", "looks")
        if fields.get("looks") and "seeds" not in fields:
            fields["seeds"] = fields["looks"][0]
        return cls(**_seeds(fields, 0), paths=paths or {})

    @classmethod
    def from_toml(cls, path: str | Path) -> Study:
        """The study that a TOML file describes, under the names of the fields; `seeds = 10` is short for 0 to 9.

        A data set of one's own is looked for from the file's directory.
        """
        return cls.from_dict(seen_from(Path(path).parent, read_toml(path)))


def _check_seeds(where: str, seeds: object) -> None:
    if not isinstance(seeds, tuple) or not seeds:
        raise fail(where, "seeds", "a tuple of at least one seed (in TOML a list, or how many)", seeds)
    if len(seeds) > MOST_SEEDS:
        raise StudyError(f"{where}: seeds must be at most {MOST_SEEDS:,}, got {len(seeds):,} of them.")
    for seed in seeds:
        require_whole(where, "every seed", seed, 0)
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
