"""A leaf as one stack of whole matrices, for methods that factorise a matrix instead of iterating on it.

A factorisation needs its matrix in one piece: on a mesh of explicit axes it is gathered on every device first, and what comes
back lies where the leaf lay. Elsewhere the compiler sees to that.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec

from momentum_jax._trees import Path, path_name
from momentum_jax.optimizers._axes import View


def side_of_stack(who: str, path: Path, view: View) -> tuple[int, int]:
    """(inputs, outputs) of the matrices of a leaf.

    Raises:
      ValueError: blocks of several sizes, which do not make one stack.
    """
    sides = view.sides
    if len(set(sides)) > 1:
        raise ValueError(
            f"{who}: axes of {path_name(path)} must have blocks of one size, got {view.blocks}; without blocks the leaf is one "
            "matrix."
        )
    return sides[0]


def gathered(x: jax.Array, view: View) -> jax.Array:
    """A leaf as (matrices, inputs, outputs): its blocks one after the other, each with its batch."""
    if _is_explicit(x):
        x = jax.sharding.reshard(x, PartitionSpec(*(None,) * x.ndim))
    parts = view.matrices(x)
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts)


def returned(stack: jax.Array, view: View, like: jax.Array) -> jax.Array:
    """The leaf that `gathered` made `stack` of, lying as `like` does."""
    leaf = view.leaf(jnp.split(stack, len(view.blocks)) if len(view.blocks) > 1 else [stack])
    return jax.sharding.reshard(leaf, jax.typeof(like).sharding.spec) if _is_explicit(like) else leaf


def in_tree_of(tree: Any, leaves: list[Any]) -> Any:
    """`leaves`, in the order of `leaves_by_path`, in the structure of `tree`."""
    return jax.tree.unflatten(jax.tree.structure(tree, is_leaf=lambda node: node is None), leaves)


def _is_explicit(x: jax.Array) -> bool:
    return AxisType.Explicit in jax.typeof(x).sharding.mesh.axis_types
