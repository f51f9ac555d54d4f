"""Optimizer states with leaves that are no arrays (strings, functions): the arrays travel, the rest stays in the program."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax._text import with_article


class Skeleton(NamedTuple):
    """What is left of a tree without its arrays: its structure, and per leaf the leaf itself or `ARRAY`."""

    treedef: Any
    leaves: tuple[Any, ...]


class _Array:
    def __repr__(self) -> str:
        return "array"


ARRAY = _Array()


def take_apart(tree: Any) -> tuple[list[jax.Array], Skeleton]:
    """The arrays of a tree (numbers become arrays, weak types strong), and the skeleton that `put_together` fills."""
    leaves, treedef = jax.tree.flatten(tree)
    arrays = [_strong(leaf) for leaf in leaves if _is_array(leaf)]
    return arrays, Skeleton(treedef, tuple(ARRAY if _is_array(leaf) else leaf for leaf in leaves))


def put_together(arrays: list[jax.Array], skeleton: Skeleton) -> Any:
    """The tree that `take_apart` took apart."""
    rest = iter(arrays)
    return jax.tree.unflatten(skeleton.treedef, [next(rest) if leaf is ARRAY else leaf for leaf in skeleton.leaves])


def require_same_kind(what: str, before: Any, after: Any) -> None:
    """Raises TypeError where one step changed the structure, a shape or a dtype of what a run carries, and names the leaf."""
    old, new = (jax.tree.flatten_with_path(tree)[0] for tree in (before, after))
    if [path for path, _ in old] != [path for path, _ in new]:
        raise TypeError(
            f"train_many: {what} must keep its structure from step to step, got leaves {_names(new)} "
            f"that began as {_names(old)}."
        )
    for (path, a), (_, b) in zip(old, new, strict=True):
        was, became = _kind(a), _kind(b)
        if was != became:
            raise TypeError(
                f"train_many: {what} must keep its shapes and dtypes from step to step, got {became}{at_leaf(path)} "
                f"that began as {was}."
            )


def require_updates_of(params: Any, updates: Any) -> None:
    """Raises TypeError where an update has not the shape of its parameter: a sum would broadcast it without a word."""
    for (path, param), update in zip(jax.tree.flatten_with_path(params)[0], jax.tree.leaves(updates), strict=False):
        if jnp.shape(param) != jnp.shape(update):
            raise TypeError(
                f"the optimizer's updates must have the shapes of their parameters, got {describe(update)}{at_leaf(path)} "
                f"for {describe(param)}."
            )


def describe(value: Any) -> str:
    """A value in a message: an array by dtype and shape, a container by its kind."""
    if _is_array(value) or hasattr(value, "dtype"):
        return f"{jnp.result_type(value) if _is_array(value) else value.dtype}{list(jnp.shape(value))}"
    return "None" if value is None else with_article(type(value).__name__)


def at_leaf(path: Any) -> str:
    """Where a leaf is, in a message; nothing of a tree that is one array."""
    return f" at leaf {jax.tree_util.keystr(path)}" if path else ""


def is_key(array: jax.Array) -> bool:
    """Whether these are typed PRNG keys, which NumPy cannot hold."""
    return jnp.issubdtype(array.dtype, jax.dtypes.prng_key)


def _kind(leaf: Any) -> str:
    return describe(leaf) if _is_array(leaf) else repr(leaf)


def _names(leaves: list[tuple[Any, Any]]) -> str:
    return ", ".join(jax.tree_util.keystr(path) for path, _ in leaves) or "none"


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic | bool | int | float | complex)


def _strong(leaf: Any) -> jax.Array:
    array = jnp.asarray(leaf)
    if jnp.issubdtype(array.dtype, jax.dtypes.extended):
        return array
    return jax.lax.convert_element_type(array, array.dtype)
