"""Which runs share a program: hyperparameters that are real numbers are data, everything else is structure."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Group(NamedTuple):
    """Runs that one compilation serves: their positions, their constructor, and per run its real numbers."""

    make_optimizer: Callable[..., Any]
    runs: list[int]
    numbers: list[dict[str, Any]]


def group_runs(
    make_optimizer: Callable[..., Any] | Sequence[Callable[..., Any]],
    hyperparameters: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    runs: int,
    axes: Any = None,
) -> list[Group]:
    """The runs by constructor and structural arguments, in the order in which each kind first appears.

    Every run's optimizer is built once here, outside any program, so that a bad number is refused by the optimizer's own
    check: inside a program numbers are traced and cannot be checked. `axes` are the problem's, for constructors that have
    such an argument and were given none.

    Raises:
      ValueError, TypeError: not one constructor or one set of hyperparameters per run, or what the constructor raises.
    """
    makers = _per_run("make_optimizer", make_optimizer, runs, callable)
    groups: dict[Any, Group] = {}
    for index, (maker, given) in enumerate(zip(makers, _hyperparameters(hyperparameters, runs), strict=True)):
        if axes is not None and given.get("axes") is None and _takes_axes(maker):
            given["axes"] = axes
        maker(**given)
        numbers = {name: value for name, value in given.items() if is_real(value)}
        structure = {name: value for name, value in given.items() if name not in numbers}
        key = (maker, _frozen(structure), tuple(sorted(numbers)))
        if key not in groups:
            groups[key] = Group(_bind(maker, structure), [], [])
        groups[key].runs.append(index)
        groups[key].numbers.append(numbers)
    return list(groups.values())


def _takes_axes(maker: Callable[..., Any]) -> bool:
    try:
        return "axes" in inspect.signature(maker).parameters
    except ValueError:
        # Some callables that are not written in Python do not say.
        return False


def is_real(value: Any) -> bool:
    """Whether a hyperparameter is data (a float or a 0-d floating array) rather than structure."""
    if isinstance(value, bool | int | np.integer | np.bool_):
        return False
    if isinstance(value, float | np.floating):
        return True
    return isinstance(value, jax.Array | np.ndarray) and value.ndim == 0 and jnp.issubdtype(value.dtype, jnp.floating)


class _Bound:
    """A constructor with its structural arguments; equal, and of equal hash, to any other of the same parts."""

    def __init__(self, maker: Callable[..., Any], structure: Mapping[str, Any]):
        self._maker, self._structure = maker, dict(structure)
        self._key = (maker, _frozen(structure))

    def __call__(self, **numbers: Any) -> Any:
        return self._maker(**self._structure, **numbers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Bound) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def _bind(maker: Callable[..., Any], structure: Mapping[str, Any]) -> Callable[..., Any]:
    return _Bound(maker, structure)


def _per_run(name: str, given: Any, runs: int, is_one: Callable[[Any], bool]) -> list[Any]:
    if is_one(given):
        return [given] * runs
    if isinstance(given, Sequence) and len(given) == runs and all(is_one(each) for each in given):
        return list(given)
    found = f"a sequence of {len(given)}" if isinstance(given, Sequence) else repr(given)
    raise ValueError(f"train_many: {name} must be one for all or a sequence of one for each of {runs} runs, got {found}.")


def _hyperparameters(given: Any, runs: int) -> list[dict[str, Any]]:
    chosen = _per_run("hyperparameters", given, runs, lambda each: isinstance(each, Mapping))
    if not isinstance(given, Mapping):
        return [dict(each) for each in chosen]
    columns = {
        name: value
        for name, value in given.items()
        if isinstance(value, jax.Array | np.ndarray) and value.ndim == 1 and value.shape[0] == runs
    }
    columns = {name: np.asarray(value) for name, value in columns.items()}
    return [{**given, **{name: value[i] for name, value in columns.items()}} for i in range(runs)]


def _frozen(value: Any) -> Any:
    """A hashable stand-in that is equal exactly where the values are; objects that cannot tell stand for themselves."""
    if isinstance(value, Mapping):
        return ("mapping", tuple(sorted((name, _frozen(each)) for name, each in value.items())))
    if isinstance(value, list | tuple):
        return (type(value).__name__, tuple(_frozen(each) for each in value))
    if isinstance(value, jax.Array | np.ndarray):
        array = np.asarray(value)
        return ("array", array.shape, array.dtype.str, array.tobytes())
    try:
        hash(value)
    except TypeError:
        return ("object", id(value))
    # 1 == 1.0 == True, but they are not the same argument.
    return (type(value).__name__, value)
