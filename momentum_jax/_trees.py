"""Leaves by path: what the optimizers and the protocol share about pytrees.

Trees are compared by the paths of their leaves, not by treedef. NNX hands `init` a tree of Variables, whose leaf paths end
in `.value`, and `update` a pure tree without them; both name the same leaf. `None` counts as a leaf here, so that a `None`
can only stand against a `None`; `optax.MaskedNode` has no leaves and stands against nothing.
"""

import functools
import sys
from collections.abc import Callable, Container
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr

Path = tuple[Any, ...]
# The leaves of a tree and its structure.
Flat = tuple[list[Any], Any]


def is_none(x: object) -> bool:
    return x is None


def leaves_by_path(tree: Any, is_leaf: Callable[[Any], bool] = is_none) -> dict[Path, Any]:
    """Leaves of `tree` in order, each under its path without the key that an NNX Variable adds to it; `None` is a leaf.

    `is_leaf`: which nodes are leaves.
    """
    nnx: Any = sys.modules.get("flax.nnx")
    variables = (nnx.Variable,) if nnx else ()
    leaves: dict[Path, Any] = {}
    for path, node in jax.tree.leaves_with_path(tree, is_leaf=lambda x: is_leaf(x) or isinstance(x, variables)):
        if isinstance(node, variables):
            # A Variable's only child is what it holds, a leaf or a tree.
            leaves |= {(*path, *inner[1:]): leaf for inner, leaf in jax.tree.leaves_with_path(node, is_leaf=is_leaf)}
        else:
            leaves[path] = node
    return leaves


def parameter_at(path: Path, parameters: Container[Path]) -> Path | None:
    """The path of the parameter that a leaf of a state belongs to: the longest end of its own that is one; None for none."""
    return next((path[i:] for i in range(len(path) + 1) if path[i:] in parameters), None)


def path_name(path: Path) -> str:
    return f"leaf {keystr(path)}" if path else "the single leaf"


def same_leaves(who: str, updates: Any, other: Any, what: str, *, holes: bool = False, flat: Flat | None = None) -> list[Any]:
    """Leaves of `other` in the order of the leaves of `updates`, after a check that they name the same things.

    Args:
      who: the caller, for the message.
      updates: the gradient tree that the caller was given.
      other: a tree that has to have the same paths and shapes: parameters or a buffer.
      what: what `other` is, for the message: "the parameters", "the state's velocity".
      holes: `other` is a buffer, which has `None` where `updates` has a leaf that is not inexact.
      flat: the leaves and the structure of `updates`, `None` a leaf, where they are known: an eager update is full of them.

    Raises:
      ValueError: a leaf is missing on one side, stands against a `None`, or has another shape.
    """
    leaves, treedef = flat or jax.tree.flatten(updates, is_leaf=is_none)
    other_leaves, other_treedef = jax.tree.flatten(other, is_leaf=is_none)
    if treedef == other_treedef and all(_match(u, o, holes) for u, o in zip(leaves, other_leaves, strict=True)):
        return other_leaves
    ours, theirs = leaves_by_path(updates), leaves_by_path(other)
    for path in ours:
        if path not in theirs:
            raise ValueError(f"{who}: {path_name(path)} of the gradient, {_describe(ours[path])}, is not in {what}.")
    for path in theirs:
        if path not in ours:
            raise ValueError(f"{who}: {path_name(path)} of {what}, {_describe(theirs[path])}, is not in the gradient.")
    for path, u in ours.items():
        if not _match(u, theirs[path], holes):
            hole = " (the parameter was None or not floating point)" if holes and theirs[path] is None else ""
            raise ValueError(
                f"{who}: {path_name(path)} of the gradient is {_describe(u)}, "
                f"but in {what} it is {_describe(theirs[path])}{hole}."
            )
    return [theirs[path] for path in ours]


def is_inexact(leaf: Any) -> bool:
    """Whether a leaf is real or complex floating point, that is, whether an optimizer moves it."""
    return leaf is not None and is_inexact_dtype(dtype_of(leaf))


@functools.cache
def is_inexact_dtype(dtype: Any) -> bool:
    # An eager update asks it of every leaf several times, and NumPy takes microseconds to answer.
    return jnp.issubdtype(dtype, jnp.inexact)


def is_complex(leaf: Any) -> bool:
    return dtype_of(leaf).kind == "c"


def dtype_of(leaf: Any) -> Any:
    """Dtype of a leaf as JAX will hold it: NumPy's float64 is float32 unless 64-bit JAX is on."""
    if isinstance(leaf, jax.Array):
        return leaf.dtype
    if isinstance(leaf, (np.ndarray, np.generic)) and leaf.dtype != jax.dtypes.float0:
        return jax.dtypes.canonicalize_dtype(leaf.dtype)
    return leaf.dtype if hasattr(leaf, "dtype") else jnp.result_type(leaf)


def _match(u: Any, other: Any, holes: bool) -> bool:
    if other is None:
        return u is None or (holes and not is_inexact(u))
    if isinstance(u, jax.Array) and isinstance(other, jax.Array):
        return u.shape == other.shape
    return u is not None and np.shape(u) == np.shape(other)


def _describe(x: Any) -> str:
    return "None" if x is None else f"{dtype_of(x)} of shape {np.shape(x)}"
