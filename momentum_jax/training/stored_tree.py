"""A tree as a list of NumPy arrays and a description in plain JSON, and back: what a file that knows only names would lose.

Kept are the kinds of keys (0 is not "0"), lists and tuples, `None`, empty containers, arrays without elements, and typed PRNG
keys with their implementation. Children of other nodes (named tuples, Flax's states) are kept under their names, as in a dict.
"""

import numbers
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import DictKey, FlattenedIndexKey, GetAttrKey, SequenceKey

from momentum_jax._trees import Path, is_none, leaves_by_path, path_name
from momentum_jax.training.opaque import is_key


def describe(who: str, tree: Any) -> tuple[Any, list[np.ndarray]]:
    """The description of `tree`, and the arrays that it counts, none of size 0.

    Raises:
      TypeError: a leaf that is neither an array of numbers nor a typed key, or a key that is neither a string nor an int.
    """
    arrays: list[np.ndarray] = []
    return _described(who, tree, (), arrays), arrays


def _described(who: str, node: Any, path: Path, arrays: list[np.ndarray]) -> Any:
    if node is None:
        return None
    if type(node) in (list, tuple):
        kind = type(node).__name__
        return [kind, [_described(who, child, (*path, SequenceKey(i)), arrays) for i, child in enumerate(node)]]
    if isinstance(node, dict):
        children = [((DictKey(key),), child) for key, child in node.items()]
    elif jax.tree_util.all_leaves([node]):
        return _leaf(who, node, path, arrays)
    else:
        children, _ = jax.tree.flatten_with_path(node, is_leaf=lambda x: x is not node)
        if _is_variable(node):
            return _described(who, children[0][1], path, arrays)
    return ["dict", [[_name(who, step, path), _described(who, child, (*path, step), arrays)] for (step,), child in children]]


def _leaf(who: str, leaf: Any, path: Path, arrays: list[np.ndarray]) -> Any:
    if isinstance(leaf, jax.Array) and is_key(leaf):
        implementation = jax.random.key_impl(leaf)
        if not isinstance(implementation, str):
            raise TypeError(f"{who}: {path_name(path)} must be a key of an implementation with a name, got {implementation!r}.")
        return ["key", implementation, _leaf(who, jax.random.key_data(leaf), path, arrays)]
    array = np.asarray(leaf)
    if not (jnp.issubdtype(array.dtype, np.number) or array.dtype == np.bool_):
        raise TypeError(f"{who}: {path_name(path)} must be an array of numbers or a typed key, got {type(leaf).__name__}.")
    if not array.size:
        return ["empty", array.dtype.name, list(array.shape)]
    arrays.append(array)
    return ["array", len(arrays) - 1]


def _name(who: str, step: Any, path: Path) -> str | int:
    key = _key(step)
    if isinstance(key, str):
        return key
    if isinstance(key, numbers.Integral) and not isinstance(key, bool):
        return int(key)
    raise TypeError(f"{who}: the keys at {path_name(path)} must be strings or ints, got {key!r}.")


def _key(step: Any) -> Any:
    if isinstance(step, DictKey | FlattenedIndexKey):
        return step.key
    if isinstance(step, SequenceKey):
        return step.idx
    return step.name if isinstance(step, GetAttrKey) else step


def _is_variable(node: Any) -> bool:
    nnx: Any = sys.modules.get("flax.nnx")
    return nnx is not None and isinstance(node, nnx.Variable)


def rebuild(description: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The tree that `describe` was given, in dicts, lists and tuples; the arrays are named by their numbers."""
    match description:
        case None:
            return None
        case ["dict", children]:
            return {key: rebuild(child, arrays) for key, child in children}
        case ["list", children]:
            return [rebuild(child, arrays) for child in children]
        case ["tuple", children]:
            return tuple(rebuild(child, arrays) for child in children)
        case ["key", implementation, data]:
            return jax.random.wrap_key_data(jnp.asarray(rebuild(data, arrays)), impl=implementation)
        case ["empty", dtype, shape]:
            return np.zeros(shape, jnp.dtype(dtype))
        case ["array", index]:
            return arrays[str(index)]
    raise ValueError(f"stored tree: {description!r} describes no tree that this version knows.")


def fill(who: str, like: Any, stored: Any) -> Any:
    """The leaves of `stored`, a rebuilt tree, in the tree of `like`, whose leaves have shapes and dtypes.

    Raises:
      ValueError: a leaf that only one of them has, or of another shape or dtype.
    """
    found = dict(_leaves(stored))
    wanted = {tuple(map(_key, path)): (path, leaf) for path, leaf in leaves_by_path(like).items()}
    for names in [*wanted, *found]:
        path, leaf = wanted.get(names, (tuple(map(_step, names)), None))
        saved = _kind(found[names]) if names in found else "no leaf"
        given = _kind(leaf) if names in wanted else "no leaf"
        if saved != given:
            raise ValueError(f"{who}: like must be as what was saved, {saved} at {path_name(path)}, got {given}.")
    return jax.tree.unflatten(jax.tree.structure(like, is_leaf=is_none), [found[names] for names in wanted])


def _leaves(tree: Any, names: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(tree, dict | list | tuple):
        for name, child in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _leaves(child, (*names, name))
    else:
        yield names, tree


def _step(name: str | int) -> Any:
    return DictKey(name) if isinstance(name, str) else SequenceKey(name)


def _kind(leaf: Any) -> str:
    return "None" if leaf is None else f"{leaf.dtype} of shape {leaf.shape}"
