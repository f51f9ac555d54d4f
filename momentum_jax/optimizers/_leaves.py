"""A rule for one leaf, applied to trees.

The rules that every optimizer keeps are kept here, once. The arithmetic of a leaf runs in its working precision; what is
stored keeps the dtype that `init` gave it. Leaves that are not inexact have no buffer (`None`) and get a zero update.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax._trees import (
    Flat,
    dtype_of,
    is_complex,
    is_inexact,
    is_inexact_dtype,
    is_none,
    leaves_by_path,
    path_name,
    same_leaves,
)
from momentum_jax.optimizers._precision import as_scalar, is_already, plain_precision, widen, working_precision

float0 = jax.dtypes.float0


def each(
    who: str,
    leaf: Callable[..., tuple[Any, ...]],
    updates: Any,
    buffers: dict[str, Any],
    *,
    params: Any = None,
    **scalars: Any,
) -> tuple[Any, ...]:
    """Apply `leaf(u, *buffers, **scalars) -> (update, *new_buffers)` to every inexact leaf.

    Args:
      who: the caller, for messages.
      leaf: sees arrays and scalars in working precision; with `params`, the parameter comes after the buffers.
      updates: the gradient tree.
      buffers: name -> tree with the paths and shapes of `updates`.
      params: the parameter tree, for a rule that reads it.
      scalars: numbers or 0-d arrays, cast to the real working precision of each leaf.

    Returns:
      The updates in working precision, in the tree of `updates`; then each buffer in its own tree and dtypes.

    Raises:
      ValueError: a gradient that does not fit a buffer or the parameters; names the leaf and both shapes.
    """
    leaves, treedef = flat = jax.tree.flatten(updates, is_leaf=is_none)
    rows = [same_leaves(who, updates, buffer, f"the state's {name}", holes=True, flat=flat) for name, buffer in buffers.items()]
    if params is not None:
        rows.append(same_leaves(who, updates, params, "the parameters", flat=flat))
    casts: dict[Any, dict[str, Any]] = {}
    outputs, stored = [], [[] for _ in buffers]
    for index, (u, *row) in enumerate(zip(leaves, *rows, strict=True)):
        if (real := plain_precision(u, row)) is not None:
            # What follows would change nothing, and its questions take an eager update as long as its arithmetic.
            if real not in casts:
                casts[real] = {name: as_scalar(s, real) for name, s in scalars.items()}
            u, *new = leaf(u, *row, **casts[real])
            new = [n if is_already(n, real) else n.astype(real) for n in new]
        elif is_inexact(u) and all(map(is_inexact, row)):
            real = working_precision(u, *row)
            if real not in casts:
                casts[real] = {name: as_scalar(s, real) for name, s in scalars.items()}
            u, *new = leaf(*(widen(x, real) for x in (u, *row)), **casts[real])
            if any(is_complex(n) and not is_complex(b) for n, b in zip(new, row, strict=False)):
                raise _unfit(who, updates, index, "real as its state is")
            new = [n if is_already(n, b.dtype) else n.astype(b.dtype) for n, b in zip(new, row, strict=False)]
        elif any(is_inexact(b) for b in row) and u is not None:
            raise _unfit(who, updates, index, "floating point as its state is")
        else:
            new = row[: len(buffers)]
        outputs.append(u)
        for column, value in zip(stored, new, strict=True):
            column.append(value)
    trees = (_in_tree_of(b, updates, treedef, column) for b, column in zip(buffers.values(), stored, strict=True))
    return jax.tree.unflatten(treedef, outputs), *trees


def refuse_what_is_no_array(who: str, tree: Any, what: str) -> None:
    """Raise TypeError where a leaf of `tree`, which is `what`, is neither an array nor a number, but a function or a string.

    JAX's typed keys count as arrays, which no optimizer moves, and so do shapes without values.
    """
    if all(map(_is_array, jax.tree.leaves(tree))):
        return
    for path, leaf in leaves_by_path(tree).items():
        if leaf is not None and not _is_array(leaf):
            found = f"an array of {leaf.dtype}" if isinstance(leaf, (np.ndarray, np.generic)) else type(leaf).__name__
            raise TypeError(
                f"{who}: {path_name(path)} of {what} must be an array or a number, got {found}; pass the arrays only."
            )


def _is_array(leaf: Any) -> bool:
    if isinstance(leaf, (jax.Array, bool, int, float, complex)):
        return True
    dtype = None if isinstance(leaf, type) else getattr(leaf, "dtype", None)
    if not isinstance(dtype, np.dtype):
        return dtype is not None and isinstance(leaf, jax.ShapeDtypeStruct)  # of typed keys
    return dtype == float0 or dtype == np.bool or jnp.issubdtype(dtype, jnp.number)


def cast_like(updates: Any, like: Any, who: str, known: Flat | None = None) -> Any:
    """Updates in the dtypes of `like`, its leaves matched by path; leaves that are not inexact get zeros.

    `known`: a structure and the leaves of `like` in its order, which serve where the updates have that structure.
    """
    leaves, treedef = flat = jax.tree.flatten(updates, is_leaf=is_none)
    targets = known[0] if known is not None and known[1] == treedef else fitting(who, updates, like, flat)
    return jax.tree.unflatten(treedef, [_cast(u, t) for u, t in zip(leaves, targets, strict=True)])


def fitting(who: str, updates: Any, params: Any, flat: Flat | None = None) -> list[Any]:
    """Leaves of `params` in the order of the leaves of `updates`, after a check that the gradient is one of theirs.

    Raises:
      ValueError: as `same_leaves`; a gradient that is not floating point, or complex, where the parameter is a real number.
    """
    flat = flat or jax.tree.flatten(updates, is_leaf=is_none)
    targets = same_leaves(who, updates, params, "the parameters", flat=flat)
    for index, (u, target) in enumerate(zip(flat[0], targets, strict=True)):
        if target is not None and dtype_of(u) != dtype_of(target) and is_inexact(target):
            if not is_inexact(u):
                raise _unfit(who, updates, index, "floating point as its parameter is")
            if is_complex(u) and not is_complex(target):
                raise _unfit(who, updates, index, "real as its parameter is")
    return targets


def _unfit(who: str, updates: Any, index: int, must: str) -> ValueError:
    path, leaf = list(leaves_by_path(updates).items())[index]
    return ValueError(f"{who}: {path_name(path)} of the gradient must be {must}, got {dtype_of(leaf)}.")


def _cast(update: Any, target: Any) -> Any:
    if target is None:
        return None
    dtype = dtype_of(target)
    if is_already(update, dtype) and is_inexact_dtype(dtype):
        return update
    if dtype == float0:
        return np.zeros(np.shape(target), float0)
    if not is_inexact(target):
        return jnp.zeros_like(target)
    return jnp.asarray(update).astype(dtype)


def _in_tree_of(buffer: Any, updates: Any, structure: Any, leaves: list[Any]) -> Any:
    """`leaves`, in the order of `updates`, which has this structure, put into the tree of `buffer`."""
    treedef = jax.tree.structure(buffer, is_leaf=is_none)
    if treedef != structure:
        by_path = dict(zip(leaves_by_path(updates), leaves, strict=True))
        leaves = [by_path[path] for path in leaves_by_path(buffer)]
    return jax.tree.unflatten(treedef, leaves)
