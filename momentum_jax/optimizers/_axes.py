"""Which axes of a leaf form its matrices: what `axes` and `layout` of an optimizer may be, and how a leaf is read by them.

`AxesArgument` and `Layout` are types for signatures. `views(who, tree, axes, layout)` says of every leaf how it is read, and
`refuse_unnamed` is for `init`. A `View` takes a leaf apart into matrices and puts it together again. All of it follows from
paths and shapes, so that `init` and `update` agree.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import keystr

from momentum_jax._hyperparameters import Choice
from momentum_jax._text import quoted
from momentum_jax._trees import Path, is_inexact, is_none, leaves_by_path, path_name
from momentum_jax.optimizers.per_layer import layer_path

_WORDS = ("in", "out", "batch")
# Last keys of leaves with two axes that no layer multiplies with: Flax's biases by head or by scanned layer, and embeddings.
_NO_MATRICES = ("bias", "scale", "embedding")

Layout = Annotated[str, Choice(("auto", "inputs_first", "outputs_first"))]


@dataclass(frozen=True)
class Matrix:
    """The axes of a leaf, word by word, and the blocks that stand side by side in its last "out" axis.

    Args:
      axes: a word for each axis: "in", "out" or "batch"; "..." first stands for any number of leading batch axes.
      blocks: sizes of the blocks, or how many of equal size there are. Each is a matrix of its own, scaled by its own shape.

    Raises:
      ValueError: another word, no "in" or no "out", or a size below 1.
      TypeError: an argument of the wrong type.

    Example: `Matrix("in out", blocks=3)` for the fused kernel of query, key and value.
    """

    axes: str
    blocks: int | Sequence[int] = 1

    def __post_init__(self) -> None:
        _words("Matrix", "axes", self.axes)
        sizes = tuple(self.blocks) if isinstance(self.blocks, Sequence) else (self.blocks,)
        if not sizes or any(isinstance(n, bool) or not isinstance(n, int | np.integer) for n in sizes):
            raise TypeError(f"Matrix: blocks must be a whole number or a tuple of them, got {quoted(self.blocks)}.")
        if min(sizes) < 1:
            raise ValueError(f"Matrix: blocks must be at least 1 each, got {quoted(self.blocks)}.")
        object.__setattr__(self, "blocks", tuple(map(int, sizes)) if isinstance(self.blocks, Sequence) else int(sizes[0]))


class View(NamedTuple):
    """How a leaf is read: a batch of matrices, or several side by side along its last output axis.

    shape: of the leaf. inputs, outputs: the axes whose products are the sides of a matrix; the others are batch axes.
    blocks: sizes along `outputs[-1]` of the matrices that stand side by side; one size for one matrix.
    named: whether `axes` said so, and not the rule for leaves that it does not name.
    """

    shape: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    blocks: tuple[int, ...]
    named: bool

    @property
    def batch(self) -> tuple[int, ...]:
        return tuple(i for i in range(len(self.shape)) if i not in self.inputs + self.outputs)

    @property
    def plain(self) -> bool:
        """Whether the leaf as it is stored is one matrix or, with two axes, its transpose."""
        return len(self.shape) == 2 and len(self.blocks) == 1

    @property
    def sides(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of each block's matrices."""
        inputs = math.prod(self.shape[i] for i in self.inputs)
        others = math.prod(self.shape[i] for i in self.outputs[:-1])
        return [(inputs, others * size) for size in self.blocks]

    def split(self, x: jax.Array) -> list[jax.Array]:
        """A leaf's blocks, in its own axes."""
        return [x] if len(self.blocks) == 1 else jnp.split(x, np.cumsum(self.blocks)[:-1], axis=self.outputs[-1])

    def whole(self, parts: Sequence[jax.Array]) -> jax.Array:
        """The leaf of those blocks."""
        return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=self.outputs[-1])

    def matrices(self, x: jax.Array) -> list[jax.Array]:
        """A leaf as an array (batch, inputs, outputs) for each block; its batch axes are one, of length 1 if there are none."""
        rows, order = math.prod(self.shape[i] for i in self.batch), self.batch + self.inputs + self.outputs
        parts = zip(self.split(x), self.sides, strict=True)
        return [part.transpose(order).reshape(rows, *sides) for part, sides in parts]

    def leaf(self, matrices: Sequence[jax.Array]) -> jax.Array:
        """The leaf that `matrices` took apart, of arrays in those shapes."""
        order, parts = self.batch + self.inputs + self.outputs, []
        back = sorted(range(len(order)), key=lambda i: order[i])
        for part, size in zip(matrices, self.blocks, strict=True):
            shape = [size if i == self.outputs[-1] else self.shape[i] for i in order]
            parts.append(part.reshape(shape).transpose(back))
        return self.whole(parts)

    def by_block(self, numbers: Sequence[Any], dtype: Any) -> Any:
        """A number for each block, as what a leaf can be multiplied by: the number itself where all are the same."""
        if len(set(numbers)) == 1:
            return numbers[0]
        along = np.repeat(np.asarray(numbers), self.blocks)
        return jnp.asarray(along.reshape([-1 if i == self.outputs[-1] else 1 for i in range(len(self.shape))]), dtype)


@dataclass(frozen=True)
class Axes:
    """A checked `axes`: patterns and specs, or specs by path, or a function of a tree that gives a tree of specs."""

    patterns: tuple[tuple[str, Any], ...] | None = None
    by_path: tuple[tuple[Path, Any], ...] | None = None
    function: Callable[[Any], Any] | None = None


class AxesRule:
    """For signatures: what `axes` may be. An `Axes` is itself, so that an optimizer hands it on to its core."""

    def check(self, who: str, name: str, value: Any) -> Axes | None:
        if value is None or isinstance(value, Axes):
            return value
        if isinstance(value, Mapping) and all(isinstance(key, str) and _is_spec(spec) for key, spec in value.items()):
            for pattern, spec in value.items():
                _check_spec(who, f"{name}[{pattern!r}]", spec)
            return Axes(patterns=tuple(value.items()))
        if callable(value) and not isinstance(value, type):
            return Axes(function=value)
        return Axes(by_path=_specs(who, name, value))


AxesArgument = Annotated[Any, AxesRule()]


def views(who: str, tree: Any, axes: Axes | None, layout: str) -> dict[Path, View | None]:
    """How each leaf of `tree` is read; None: it is no matrix. Leaves are in the order of `leaves_by_path`.

    Leaves that `axes` does not name are matrices if they have two axes, unless `layout` is "auto" and their last key is bias,
    scale or embedding. Their outputs are the first axis; under "auto" those of a kernel are the second, and under
    "inputs_first" those of all.

    Raises:
      ValueError: a spec that does not fit its leaf, or a leaf that a tree of specs does not name.
      TypeError: a function `axes` that returns no tree of specs.
    """
    leaves = leaves_by_path(tree)
    if axes is None:
        return {path: _unnamed(path, leaf, layout) for path, leaf in leaves.items()}
    if axes.patterns is not None:
        named = {path: _decisive(axes, path) for path in leaves}
        specs = {path: axes.patterns[first][1] for path, first in named.items() if first is not None}
        return {
            path: _bound(who, path, leaf, specs[path]) if path in specs else _unnamed(path, leaf, layout)
            for path, leaf in leaves.items()
        }
    by_path = dict(_specs(who, "axes", axes.function(tree)) if axes.function else axes.by_path or ())
    found: dict[Path, View | None] = {}
    for path, leaf in leaves.items():
        prefix = next((path[:i] for i in range(len(path) + 1) if path[:i] in by_path), None)
        if prefix is None and is_inexact(leaf):
            raise ValueError(f"{who}: axes must have a spec for every leaf, got none for {path_name(path)}.")
        found[path] = None if prefix is None else _bound(who, path, leaf, by_path[prefix])
    return found


def refuse_unnamed(who: str, tree: Any, axes: Axes | None, layout: str) -> None:
    """For `init`: raise ValueError where a kernel of three or more axes has no name, or a pattern decides no leaf.

    Where leaves are hidden, as under `optax.masked`, a pattern may decide none.
    """
    patterns = () if axes is None else axes.patterns
    if patterns is None:
        return
    leaves = leaves_by_path(tree)
    decided = {path: _decisive(axes, path) for path in leaves}
    unnamed = [path for path, leaf in leaves.items() if decided[path] is None and _last(path) == "kernel" and np.ndim(leaf) > 2]
    if unnamed:
        likely: dict[str, str] = {}
        for path in unnamed:
            pattern, spec = _likely(path, np.ndim(leaves[path]))
            others = {np.ndim(leaf) for other, leaf in leaves.items() if fnmatchcase(layer_path(other), pattern)}
            likely[pattern if len(others) == 1 else layer_path(path)] = spec
        written = ", ".join(f'"{pattern}": "{spec}"' for pattern, spec in likely.items())
        raise ValueError(
            f"{who}: {path_name(unnamed[0])} is a kernel of shape {np.shape(leaves[unnamed[0]])}, which axes must name: "
            f'axes={{{written}}}; "*": None after these gives the rest to fallback.'
        )
    idle = [pattern for i, (pattern, _) in enumerate(patterns) if i not in decided.values()]
    nodes = jax.tree.leaves(tree, is_leaf=lambda x: isinstance(x, optax.MaskedNode))
    if idle and leaves and not any(isinstance(node, optax.MaskedNode) for node in nodes):
        paths = [layer_path(path) for path, leaf in leaves.items() if leaf is not None]
        raise ValueError(
            f"{who}: every pattern of axes must decide a leaf, {idle[0]!r} decides none of {', '.join(paths[:8])}"
            f"{', ...' if len(paths) > 8 else ''}."
        )


def _decisive(axes: Axes | None, path: Path) -> int | None:
    """The position of the first pattern that fits."""
    name, patterns = layer_path(path), () if axes is None else axes.patterns or ()
    return next((i for i, (pattern, _) in enumerate(patterns) if fnmatchcase(name, pattern)), None)


def _last(path: Path) -> str:
    return layer_path(path[-1:])


def _likely(path: Path, ndim: int) -> tuple[str, str]:
    """A pattern for an unnamed kernel, and the spec that Flax's layers of that name and number of axes have."""
    layer = layer_path(path[-2:-1])
    pattern = ("*/" if len(path) > 2 else "") + layer_path(path[-2:])
    if layer in ("query", "key", "value", "out"):
        own = "in in out" if layer == "out" else "in out out"
        return pattern, own if ndim == 3 else f"... {own}"
    if "conv" in layer.lower() or ndim > 3:
        return pattern, "in " * (ndim - 1) + "out"
    return pattern, "batch in out"


def _unnamed(path: Path, leaf: Any, layout: str) -> View | None:
    shape, last = np.shape(leaf), _last(path)
    if leaf is None or len(shape) != 2 or (layout == "auto" and last in _NO_MATRICES):
        return None
    inputs = 0 if layout == "inputs_first" or (layout == "auto" and last == "kernel") else 1
    return View(shape, (inputs,), (1 - inputs,), (shape[1 - inputs],), named=False)


def _bound(who: str, path: Path, leaf: Any, spec: Any) -> View | None:
    """The view of a leaf by its spec."""
    if spec is None or leaf is None:
        return None
    shape, found = np.shape(leaf), _written(spec)
    text = f"axes of {path_name(path)}"
    if not isinstance(spec, str | Matrix):
        inputs, outputs = (_axes_of(who, text, axes, shape, found) for axes in (spec.reduction_axis, spec.output_axis))
        if not inputs or not outputs or {*inputs} & {*outputs} or len({*inputs, *outputs}) < len(inputs + outputs):
            raise ValueError(f"{who}: {text} must name inputs and outputs apart, got {found} for shape {shape}.")
        return View(shape, inputs, outputs, (shape[outputs[-1]],), named=True)
    words, blocks = (spec.axes, spec.blocks) if isinstance(spec, Matrix) else (spec, 1)
    own = words.split()
    if own[0] == "...":
        own = ["batch"] * (len(shape) - len(own) + 1) + own[1:]
    if len(own) != len(shape):
        few = "at least " if "..." in words else ""
        count = f"{few}{len(words.split()) - bool(few)}"
        raise ValueError(f"{who}: {text} must have a word for each axis, got {found}, {count} words, for shape {shape}.")
    inputs, outputs = (tuple(i for i, word in enumerate(own) if word == side) for side in ("in", "out"))
    size = shape[outputs[-1]]
    if isinstance(blocks, int):
        if size % blocks:
            raise ValueError(f"{who}: {text} must have blocks that divide the last out axis of {size}, got {found}.")
        blocks = (size // blocks,) * blocks
    elif sum(blocks) != size:
        raise ValueError(
            f"{who}: {text} must have blocks that sum to the last out axis of {size}, got {found}, which sum to {sum(blocks)}."
        )
    return View(shape, inputs, outputs, tuple(blocks), named=True)


def _axes_of(who: str, text: str, axes: Any, shape: tuple[int, ...], found: str) -> tuple[int, ...]:
    """Axes of Optax's dimension numbers, an int or several, negative ones counted from the end."""
    given = tuple(axes) if isinstance(axes, Sequence) else (axes,)
    if any(not -len(shape) <= axis < len(shape) for axis in given):
        raise ValueError(f"{who}: {text} must be axes of the leaf, got {found} for shape {shape}.")
    return tuple(int(axis) % len(shape) for axis in given)


def _specs(who: str, name: str, tree: Any) -> tuple[tuple[Path, Any], ...]:
    """The specs of a tree, or of a prefix of one, by path."""
    by_path = leaves_by_path(tree, is_leaf=lambda node: is_none(node) or _is_spec(node))
    for path, spec in by_path.items():
        _check_spec(who, f"{name}{keystr(path)}", spec)
    return tuple(by_path.items())


def _is_spec(value: Any) -> bool:
    is_dimension_numbers = hasattr(value, "reduction_axis") and hasattr(value, "output_axis")
    return value is None or isinstance(value, str | Matrix) or is_dimension_numbers


def _check_spec(who: str, name: str, spec: Any) -> None:
    if not _is_spec(spec):
        raise TypeError(
            f"{who}: {name} must be a spec of axes such as 'in out', a Matrix, a MuonDimensionNumbers or None, "
            f"got {quoted(spec)} ({type(spec).__name__})."
        )
    if isinstance(spec, str):
        _words(who, name, spec)


def _words(who: str, name: str, spec: Any) -> None:
    if not isinstance(spec, str):
        raise TypeError(f"{who}: {name} must be words such as 'in out', got {quoted(spec)} ({type(spec).__name__}).")
    words = spec.split()
    allowed = words[1:] if words[:1] == ["..."] else words
    if "in" not in words or "out" not in words or any(word not in _WORDS for word in allowed):
        raise ValueError(
            f"{who}: {name} must have the words 'in', 'out' and 'batch', '...' only first, at least one 'in' and one 'out', "
            f"got {spec!r}."
        )


def _written(spec: Any) -> str:
    return repr(spec) if isinstance(spec, str) else quoted(spec)
