"""Optimizer states with leaves that are no arrays (strings, functions): the arrays travel, the rest stays in the program."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr

from momentum_jax._text import with_article
from momentum_jax._trees import is_none


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
    arrays = [strong(leaf) for leaf in leaves if is_array(leaf)]
    return arrays, Skeleton(treedef, tuple(ARRAY if is_array(leaf) else leaf for leaf in leaves))


def put_together(arrays: list[jax.Array], skeleton: Skeleton) -> Any:
    """The tree that `take_apart` took apart."""
    rest = iter(arrays)
    return jax.tree.unflatten(skeleton.treedef, [next(rest) if leaf is ARRAY else leaf for leaf in skeleton.leaves])


def require_same_kind(what: str, before: Any, after: Any, *, who: str = "train_many") -> None:
    """Raises TypeError where one step changed the leaves, a shape or a dtype of what a run carries, and names the leaf."""
    old, new = (dict(jax.tree.leaves_with_path(tree, is_leaf=is_none)) for tree in (before, after))
    for path in [*old, *new]:
        was, became = (_kind(leaves[path]) if path in leaves else "nothing" for leaves in (old, new))
        if was != became:
            kept = "shapes and dtypes" if path in old and path in new else "structure"
            added = next((each for each in new if each not in old), None) if path not in new else None
            elsewhere = f", and {_kind(new[added])}{at_leaf(added)} that was not there" if added else ""
            raise TypeError(
                f"{who}: {what} must keep its {kept} from step to step, got {became}{at_leaf(path)} that began as "
                f"{was}{elsewhere}."
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
    if is_array(value) or hasattr(value, "dtype"):
        return f"{jnp.result_type(value) if is_array(value) else value.dtype}{list(jnp.shape(value))}"
    return "None" if value is None else with_article(type(value).__name__)


def at_leaf(path: Any) -> str:
    """Where a leaf is, in a message; nothing of a tree that is one array."""
    return f" at leaf {keystr(path)}" if path else ""


def is_key(array: jax.Array) -> bool:
    """Whether these are typed PRNG keys, which NumPy cannot hold."""
    return jnp.issubdtype(array.dtype, jax.dtypes.prng_key)


def is_array(leaf: Any) -> bool:
    """Whether a program can take the leaf as an argument."""
    return isinstance(leaf, jax.Array | np.ndarray | np.generic | bool | int | float | complex)


def strong(leaf: Any) -> jax.Array:
    """The leaf as an array whose dtype is its own, not one that gives way to another's."""
    array = jnp.asarray(leaf)
    if jnp.issubdtype(array.dtype, jax.dtypes.extended):
        return array
    return jax.lax.convert_element_type(array, array.dtype)


def _kind(leaf: Any) -> str:
    return describe(leaf) if is_array(leaf) else repr(leaf)
