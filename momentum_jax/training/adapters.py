"""A module of Flax NNX, Flax linen or Equinox as two plain functions, `(init, apply)`.

    init(key) -> (params, state)
    apply(params, state, *inputs, key, train) -> (outputs, state)

Modules are called as their framework calls them. Of the arguments that say in which mode a call is (`train`, `training`,
`deterministic`, `use_running_average`) a module is given those that its `__call__` names. Each adapter imports its framework
when it is called.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from momentum_jax.training.users import UserFunction


class Functions(NamedTuple):
    """What an adapter returns; `regression`, `classifier` and `next_token` take it apart as `*functions`."""

    init: Callable[[jax.Array], tuple[Any, Any]]
    apply: Callable[..., tuple[Any, Any]]


def of_nnx(build: Callable[..., Any]) -> Functions:
    """(init, apply) of a Flax NNX module.

    Every call sets the mode by `module.train()` or `module.eval()`. A `__call__` that names `rngs` is given fresh ones; layers
    that hold rngs of their own draw from those, which travel in the state.

    Args:
      build: `build(rngs)` makes the module.

    Returns:
      params: a dict of the module's `nnx.Param`; state: a dict of all its other variables (`nnx.BatchStat`, keys and counts
      of rngs).

    Example: `regression(*of_nnx(lambda rngs: Net(rngs)), x, y)`.
    """
    from flax import nnx

    build = UserFunction("the module's constructor", build)
    abstract = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
    graph = nnx.split(abstract, nnx.Param, ...)[0]
    names = _arguments(type(abstract).__call__)

    def init(key: jax.Array) -> tuple[Any, Any]:
        _, params, state = nnx.split(build(nnx.Rngs(key)), nnx.Param, ...)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(state)

    def apply(params: Any, state: Any, *inputs: Any, key: jax.Array, train: bool) -> tuple[Any, Any]:
        # NNX writes into what a Variable holds: a caller's NumPy array would change under its hands.
        module = nnx.merge(graph, *jax.tree.map(jnp.asarray, (params, state)))
        module.train() if train else module.eval()
        options = _mode(names, train) | ({"rngs": nnx.Rngs(key)} if "rngs" in names else {})
        outputs = UserFunction("the module", module)(*inputs, **options)
        return outputs, nnx.to_pure_dict(nnx.state(module, nnx.Not(nnx.Param)))

    return Functions(init, apply)


def of_linen(module: Any, *example: Any) -> Functions:
    """(init, apply) of a Flax linen module.

    Args:
      module: the module. `make_rng("dropout")`, and any other stream, draws from a fresh key in every call.
      example: inputs of the shapes and dtypes that it will be called with; the number of rows is free.

    Returns:
      params: the collection "params"; state: all other collections (such as "batch_stats"), which training calls may change.
      What is sown into "intermediates" is dropped.

    Example: `classifier(*of_linen(Net(), x[:1]), x, y)`.
    """
    names = _arguments(type(module).__call__)

    def init(key: jax.Array) -> tuple[Any, Any]:
        variables = UserFunction("the module", module.init)(key, *example, **_mode(names, train=False))
        state = {name: each for name, each in variables.items() if name not in ("params", "intermediates")}
        return variables.get("params", {}), state

    def apply(params: Any, state: Any, *inputs: Any, key: jax.Array, train: bool) -> tuple[Any, Any]:
        # A stream without a key of its own draws from "params".
        outputs, changed = UserFunction("the module", module.apply)(
            {"params": params, **state},
            *inputs,
            **_mode(names, train),
            rngs={"params": key, "dropout": key},
            mutable=list(state) if train else [],
        )
        return outputs, {**state, **changed}

    return Functions(init, apply)


def of_equinox(build: Callable[[jax.Array], Any]) -> Functions:
    """(init, apply) of an Equinox module, which is called on single examples, over the axis "batch" of the inputs.

    Training and evaluation are told apart by `equinox.nn.inference_mode`. A `__call__` that names `key` is given a fresh key
    for each example.

    Args:
      build: `build(key)` makes the module, or the module and its `equinox.nn.State`, as `equinox.nn.make_with_state` does.

    Returns:
      params: a dict of the module's floating arrays by their paths, "layers.0.weight"; state: its other arrays, and those of
      its State.

    Example: `of_equinox(lambda key: eqx.nn.make_with_state(Net)(key))`, or `of_equinox(Net)`.
    """
    import equinox as eqx

    build = UserFunction("the module's constructor", build)

    def parts(key: jax.Array) -> tuple[Any, Any, Any]:
        built = build(key)
        module, state = built if isinstance(built, tuple) else (built, None)
        trained, rest = eqx.partition(module, eqx.is_inexact_array)
        return trained, rest, state

    # One skeleton for all runs: the markers in a State are those of the build that made it.
    skeleton = eqx.filter_eval_shape(parts, jax.random.key(0))
    is_shape = lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct)  # noqa: E731
    arrays, static = eqx.partition(skeleton, is_shape)
    paths = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in jax.tree.leaves_with_path(arrays[0])]
    (_, _, has_state), names = skeleton, _arguments(type(eqx.combine(*skeleton[:2])).__call__)

    def init(key: jax.Array) -> tuple[Any, Any]:
        trained, rest, state = parts(key)
        others = [leaf for leaf in jax.tree.leaves((rest, state)) if eqx.is_array(leaf)]
        return dict(zip(paths, jax.tree.leaves(trained), strict=True)), others

    def apply(params: Any, state: Any, *inputs: Any, key: jax.Array, train: bool) -> tuple[Any, Any]:
        leaves = [*(params[path] for path in paths), *state]
        trained, rest, held = eqx.combine(jax.tree.unflatten(jax.tree.structure(arrays), leaves), static)
        module = eqx.nn.inference_mode(eqx.combine(trained, rest), value=not train)
        keys = jax.random.split(key, len(jax.tree.leaves(inputs)[0]))

        def one(key: jax.Array, *example: Any) -> Any:
            options = {"key": key} if "key" in names else {}
            called = UserFunction("the module", module)
            return called(*example, **options) if held is None else called(*example, held, **options)

        if has_state is None:
            return jax.vmap(one, axis_name="batch")(keys, *inputs), state
        outputs, held = jax.vmap(one, axis_name="batch", out_axes=(0, None))(keys, *inputs)
        others = [leaf for leaf in jax.tree.leaves((rest, held)) if eqx.is_array(leaf)]
        return outputs, others

    return Functions(init, apply)


def _arguments(function: Callable[..., Any]) -> set[str]:
    """The arguments that a function names; not what it would take as `**options`, and hand on to it knows not whom."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name for name, each in inspect.signature(function).parameters.items() if each.kind in kinds}


def _mode(names: set[str], train: bool) -> dict[str, bool]:
    """The arguments that say in which mode a call is, of those that it names."""
    said = {"train": train, "training": train, "deterministic": not train, "use_running_average": not train}
    return {name: value for name, value in said.items() if name in names}
