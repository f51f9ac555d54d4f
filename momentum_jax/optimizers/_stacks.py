"""Newton-Schulz on the matrices of a tree: each by itself, or stacked by shape and dealt out over the devices.

On one device every leaf is iterated by itself. `stack=True` puts matrices of one shape and dtype, the smaller side first, into
one call. Over several devices a stack is a matter of traffic. A sharded matrix would be gathered on every device, and every
device would iterate all of them. A stack of sharded matrices is exchanged for a sharded stack of whole ones, by one all-to-all
a mesh axis, and back by another. Stacks are transient: no state knows of them.

Under `AxisType.Explicit` the sharding of a leaf is in its type, and sharded leaves are stacked. Under `AxisType.Auto` it is not
known while tracing, and `spread` names the mesh axes to deal the stacks out over.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from momentum_jax._text import joined, quoted
from momentum_jax._trees import Path
from momentum_jax.optimizers._axes import View
from momentum_jax.optimizers._newton_schulz import Iteration, narrowed, orthogonalise
from momentum_jax.optimizers._precision import as_scalar

# Entries of the largest stack that is iterated at once: the iteration holds a few arrays of its size.
_MOST = 2**27

Names = tuple[str, ...]


class _SpreadRule:
    """For signatures: one mesh axis or several, by name."""

    def check(self, who: str, name: str, value: Any) -> "Spread | None":
        if value is None or isinstance(value, Spread):
            return value
        names = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Sequence) else ()
        if not names or not all(isinstance(each, str) for each in names):
            raise TypeError(f"{who}: {name} must be the name of a mesh axis, or several, or None, got {quoted(value)}.")
        if len({*names}) < len(names):
            raise ValueError(f"{who}: {name} must name each mesh axis once, got {quoted(value)}.")
        return Spread(names)


@dataclass(frozen=True)
class Spread:
    """A checked `spread`."""

    names: Names


SpreadArgument = Annotated[Any, _SpreadRule()]


@dataclass(frozen=True)
class Orthogonaliser:
    """Newton-Schulz with all its arguments; called on leaves, it gives the orthogonal step of each.

    who: the optimizer, for messages. dtype: of the iteration; None: that of the leaf.
    """

    who: str
    method: Iteration
    dtype: Any = None
    stack: bool = False
    spread: Spread | None = None

    def __call__(self, leaves: dict[Path, jax.Array], seen: dict[Path, View], eps: Any) -> dict[Path, jax.Array]:
        """Of leaves in working precision, each read as its view says, in the same shapes and dtypes.

        Raises:
          ValueError: a mesh has not the axes of `spread`.
        """
        done: dict[Path, jax.Array] = {}
        explicit: dict[Any, list[tuple[Path, _Sharded]]] = {}
        parts: dict[Any, list[tuple[Path, int, bool, jax.Array]]] = {}
        for path, x in leaves.items():
            view, mesh = seen[path], jax.typeof(x).sharding.mesh
            if AxisType.Explicit in mesh.axis_types and any(_entries(x)):
                sharded = _Sharded.of(view, x)
                explicit.setdefault(sharded.key(path), []).append((path, sharded))
                continue
            names = self._names(x)
            if view.plain and not (self.stack or names or self.method.function):
                done[path] = self._iterated(x, eps)
                continue
            for block, matrices in enumerate(view.matrices(x)):
                tall = matrices.shape[1] > matrices.shape[2]
                matrices = jnp.matrix_transpose(matrices) if tall else matrices
                group = (*matrices.shape[1:], matrices.dtype, mesh if names else None)
                own = () if self.stack or names else (path, block)
                parts.setdefault((group, own), []).append((path, block, tall, matrices))
        done |= self._stacked(parts, leaves, seen, eps)
        for members in explicit.values():
            done |= self._exchanged(members, eps)
        return {path: done[path] for path in leaves}

    def _iterated(self, x: jax.Array, eps: Any) -> jax.Array:
        return orthogonalise(x, self.method, as_scalar(eps, jnp.finfo(x.dtype).dtype), self.dtype)

    def _stacked(
        self, groups: dict[Any, Any], leaves: dict[Path, jax.Array], seen: dict[Path, View], eps: Any
    ) -> dict[Path, jax.Array]:
        found: dict[Path, dict[int, jax.Array]] = {}
        for members in groups.values():
            stack = _joined([matrices for *_, matrices in members])
            names = self._names(stack)
            stack, at = _in_chunks(stack, names, lambda chunk, names=names: self._spread(chunk, names, eps)), 0
            for path, block, tall, matrices in members:
                own = stack[at : at + len(matrices)]
                found.setdefault(path, {})[block] = jnp.matrix_transpose(own) if tall else own
                at += len(matrices)
        done = {path: seen[path].leaf([blocks[i] for i in range(len(blocks))]) for path, blocks in found.items()}
        return {path: _home(o, leaves[path]) if self._names(leaves[path]) else o for path, o in done.items()}

    def _spread(self, stack: jax.Array, names: Names, eps: Any) -> jax.Array:
        """Newton-Schulz on a stack (n, m, k), dealt out over the mesh axes of these names."""
        if not names:
            return self._iterated(stack, eps)
        mesh, home, count = jax.typeof(stack).sharding.mesh, stack.dtype, len(stack)
        stack = _padded(narrowed(stack, self.dtype), _size(mesh, names))
        # One mesh axis after the other: XLA would gather a stack of which two have to move at once.
        free, dealt = PartitionSpec.UNCONSTRAINED, names[::-1]
        specs = [PartitionSpec(dealt[:i], free, free) for i in range(1, len(names))] + [PartitionSpec(dealt, None, None)]
        for spec in specs:
            stack = jax.lax.with_sharding_constraint(stack, NamedSharding(mesh, spec))
        stack = self._iterated(stack, eps)
        for spec in reversed(specs):
            stack = jax.lax.with_sharding_constraint(stack, NamedSharding(mesh, spec))
        return stack[:count].astype(home)

    def _names(self, x: jax.Array) -> Names:
        """The mesh axes to deal stacks out over: none on one device."""
        mesh = jax.typeof(x).sharding.mesh
        if self.spread is None or mesh.empty:
            return ()
        types = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
        for name in self.spread.names:
            if name not in types:
                raise ValueError(f"{self.who}: spread must name axes of the mesh, {joined([*types])}, got {name!r}.")
            if types[name] != AxisType.Auto:
                raise ValueError(
                    f"{self.who}: spread must name mesh axes of AxisType.Auto, got {name!r}, which is {types[name].name}; "
                    "stacks are dealt out over Explicit axes as the leaves' own shardings say."
                )
        return self.spread.names

    def _exchanged(self, members: "list[tuple[Path, _Sharded]]", eps: Any) -> dict[Path, jax.Array]:
        """Newton-Schulz on leaves of one shape and one explicit sharding."""
        first, home = members[0][1], members[0][1].stack.dtype
        lengths = [len(sharded.stack) for _, sharded in members]
        stack = _joined([sharded.stack for _, sharded in members])
        over = tuple(name for names in first.sides for name in names)

        def whole(stack: jax.Array) -> jax.Array:
            specs = first.steps()
            stack, count = narrowed(stack, self.dtype), len(stack)
            if not first.lead:
                stack = _padded(stack, _size(first.mesh, over))
            for spec in specs[1:]:
                stack = jax.sharding.reshard(stack, NamedSharding(first.mesh, spec))
            view = first.view._replace(shape=stack.shape)
            stack = view.leaf([self._iterated(part, eps) for part in view.matrices(stack)])
            for spec in reversed(specs[:-1]):
                stack = jax.sharding.reshard(stack, NamedSharding(first.mesh, spec))
            return stack[:count].astype(home) if len(stack) > count else stack.astype(home)

        stack, done, at = whole(stack) if first.lead else _in_chunks(stack, over, whole), {}, 0
        for (path, sharded), length in zip(members, lengths, strict=True):
            own = stack if length == len(stack) else stack[at : at + length]
            done[path] = sharded.back(own)
            at += length
        return done


class _Sharded(NamedTuple):
    """A leaf with an explicit sharding, ready to be stacked.

    stack: the leaf with its batch axes as one, first, then the axes of its sides. view: reads `stack`. lead, sides: the mesh
    axes that the first and the other axes are sharded over. order, shape, home: of the leaf itself; shape in that order.
    """

    stack: jax.Array
    view: View
    lead: Names
    sides: tuple[Names, ...]
    mesh: Any
    order: tuple[int, ...]
    shape: tuple[int, ...]
    home: Any

    @classmethod
    def of(cls, view: View, x: jax.Array) -> "_Sharded":
        home = jax.typeof(x).sharding
        entries, batch = _entries(x), sorted(view.batch, key=lambda axis: not _entries(x)[axis])
        inputs, outputs = view.inputs, view.outputs
        if view.plain and x.shape[inputs[0]] > x.shape[outputs[0]]:
            inputs, outputs = outputs, inputs
        order = (*batch, *inputs, *outputs)
        lead, sides = entries[batch[0]] if batch else (), tuple(entries[axis] for axis in (*inputs, *outputs))
        rows = math.prod(x.shape[axis] for axis in batch)
        if lead and rows % _size(home.mesh, (*lead, *(name for names in sides for name in names))):
            sides = ((),) * len(sides)  # the devices of these mesh axes repeat one another's work
        ahead = [*[lead or None] * bool(batch), *[None] * (len(batch) - 1)]
        x = jax.sharding.reshard(x.transpose(order), NamedSharding(home.mesh, PartitionSpec(*ahead, *_spec(sides))))
        flat = NamedSharding(home.mesh, PartitionSpec(lead or None, *_spec(sides)))
        stack = jnp.reshape(x, (rows, *x.shape[len(batch) :]), out_sharding=flat)
        split = 1 + len(inputs)
        read = View(stack.shape, tuple(range(1, split)), tuple(range(split, stack.ndim)), view.blocks, view.named)
        if view.plain:
            read = read._replace(blocks=stack.shape[-1:])
        return cls(stack, read, lead, sides, home.mesh, order, x.shape, home)

    def key(self, path: Path) -> Any:
        own = path if self.lead else ()
        return self.stack.shape[1:], self.stack.dtype, self.view[1:4], self.lead, self.sides, self.mesh, own

    def steps(self) -> list[PartitionSpec]:
        """The shardings of the stack on its way to whole matrices: each moves one mesh axis from a side to the stack."""
        lead, sides, found = [*self.lead], [[*names] for names in self.sides], []
        found.append(PartitionSpec(tuple(lead) or None, *_spec(sides)))
        for names in sides:
            while names:
                lead.append(names.pop())
                found.append(PartitionSpec(tuple(lead), *_spec(sides)))
        return found

    def back(self, stack: jax.Array) -> jax.Array:
        """The leaf itself, where it was."""
        batch = len(self.shape) - len(self.sides)
        spec = PartitionSpec(*([self.lead or None] + [None] * (batch - 1) if batch else []), *_spec(self.sides))
        x = jnp.reshape(stack, self.shape, out_sharding=NamedSharding(self.mesh, spec))
        back = sorted(range(len(self.order)), key=lambda i: self.order[i])
        return jax.sharding.reshard(x.transpose(back), self.home)


def _entries(x: jax.Array) -> list[Names]:
    """The mesh axes that each axis is sharded over."""
    spec = jax.typeof(x).sharding.spec
    entries = [*spec, *[None] * (x.ndim - len(spec))]
    return [() if each is None else (each,) if isinstance(each, str) else tuple(each) for each in entries]


def _spec(sides: Sequence[Sequence[str]]) -> list[Names | None]:
    return [tuple(names) or None for names in sides]


def _size(mesh: Any, names: Names) -> int:
    return math.prod(mesh.shape[name] for name in names)


def _joined(stacks: list[jax.Array]) -> jax.Array:
    return jnp.concatenate(stacks) if len(stacks) > 1 else stacks[0]


def _home(o: jax.Array, x: jax.Array) -> jax.Array:
    """`o`, sharded as `x` is, by an operation on both that changes nothing: a NaN in `x` has made all of `o` NaN.

    How `x` is sharded is not known while tracing under `AxisType.Auto`; XLA knows it when it compiles.
    """
    return jnp.where(jnp.isnan(x), x, o)


def _padded(stack: jax.Array, multiple: int) -> jax.Array:
    """The stack with matrices of zeros, which stay zeros, up to a multiple."""
    missing = -len(stack) % multiple
    return jnp.pad(stack, [(0, missing)] + [(0, 0)] * (stack.ndim - 1)) if missing else stack


def _in_chunks(stack: jax.Array, names: Names, run: Any) -> jax.Array:
    """`run` on chunks of the stack that have at most `_MOST` entries, in multiples of the devices that they are dealt to."""
    size = _size(jax.typeof(stack).sharding.mesh, names)
    most = max(_MOST // max(math.prod(stack.shape[1:]), 1) // size, 1) * size
    if len(stack) <= most:
        return run(stack)
    return jnp.concatenate([run(stack[at : at + most]) for at in range(0, len(stack), most)])
