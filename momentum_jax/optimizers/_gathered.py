"""A leaf as one stack of whole matrices, for methods that factorise a matrix instead of iterating on it.

A factorisation needs its matrix in one piece: on a mesh it is gathered on every device first, and what comes back lies where
the leaf lay. So the result is that of one device to the last digit. Where a matrix has no gradient in some directions, its last
digits choose the basis of those.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

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
    kinds, whole = _kinds(x), PartitionSpec(*(None,) * x.ndim)
    if AxisType.Explicit in kinds:
        x = jax.sharding.reshard(x, whole)
    elif kinds == {AxisType.Auto}:
        # The compiler takes a constraint for one of what is constrained too, and so of the buffer itself, but for the barrier.
        x = jax.lax.optimization_barrier(x)
        x = jax.lax.with_sharding_constraint(x, NamedSharding(jax.typeof(x).sharding.mesh, whole))
    parts = view.matrices(x)
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts)


def returned(stack: jax.Array, view: View, like: jax.Array) -> jax.Array:
    """The leaf that `gathered` made `stack` of, lying as `like` does; NaN where that is."""
    leaf, kinds = view.leaf(jnp.split(stack, len(view.blocks)) if len(view.blocks) > 1 else [stack]), _kinds(like)
    if AxisType.Explicit in kinds:
        return jax.sharding.reshard(leaf, jax.typeof(like).sharding.spec)
    if kinds == {AxisType.Auto}:
        # Where a leaf lies is not known while tracing, but the compiler lays the operands of one operation alike.
        return jnp.where(like == like, leaf, like.astype(leaf.dtype))
    return leaf


def _kinds(x: jax.Array) -> set[AxisType]:
    """Of the axes of the mesh that an array is on, none on a single device."""
    return {*jax.typeof(x).sharding.mesh.axis_types}


def in_tree_of(tree: Any, leaves: list[Any]) -> Any:
    """`leaves`, in the order of `leaves_by_path`, in the structure of `tree`."""
    return jax.tree.unflatten(jax.tree.structure(tree, is_leaf=lambda node: node is None), leaves)
