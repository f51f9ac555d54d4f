"""Each layer its own momentum, or its own optimizer, chosen by its path."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import jax
import optax
from jax.tree_util import DictKey, FlattenedIndexKey, GetAttrKey, SequenceKey

from momentum_jax._hyperparameters import checked
from momentum_jax._trees import Path, leaves_by_path, same_leaves
from momentum_jax._wrappers import offer, reading
from momentum_jax.optimizers._leaves import refuse_what_is_no_array


@checked
def per_layer(optimizers: Mapping[str, optax.GradientTransformation]) -> optax.GradientTransformationExtraArgs:
    """An optimizer that gives every leaf to the optimizer of the first pattern that fits its path.

        per_layer({"*/hidden1/*": heavy_ball(0.2, 0.5), "*/hidden2/*": heavy_ball(0.2, 0.9), "*": adam(1e-3)})

    A leaf's path is its keys joined by "/": `params/Dense_0/kernel` in a Flax linen tree, `layers/0/kernel` in an NNX
    state (the `.value` of NNX's Variables is left out, so that `init` and `update` see the same path), `hidden1/w` in a
    plain dict. Patterns are those of the shell (`fnmatch`, case-sensitive; `*` crosses "/"), and the first that fits
    decides.

    Args:
      optimizers: pattern -> optimizer, in order of precedence; end with "*" for the rest. Any Optax transformations
        serve; `optax.set_to_zero()` freezes a layer.

    Returns:
      A gradient transformation that works on any tree of parameters.

    Raises:
      ValueError: no patterns; in `init` and `update`, a leaf whose path fits none; in `init`, a pattern that decides nothing
        (under `optax.masked`, where leaves may be hidden, that is no error).
      TypeError: a pattern that is no string, or a value that is no gradient transformation.

    Example, no weight decay on biases:

        >>> import jax.numpy as jnp, momentum_jax as mj
        >>> optimizer = mj.per_layer({"*/bias": mj.adamw(0.1, weight_decay=0.0), "*": mj.adamw(0.1, weight_decay=0.5)})
        >>> params = {"dense": {"kernel": jnp.ones(1), "bias": jnp.ones(1)}}
        >>> gradients = {"dense": {"kernel": jnp.zeros(1), "bias": jnp.zeros(1)}}
        >>> updates, _ = optimizer.update(gradients, optimizer.init(params), params)
        >>> print(updates["dense"]["kernel"], updates["dense"]["bias"])
        [-0.05] [-0.]

    State: that of `optax.partition`, one masked state for each pattern.
    Memory: that of its optimizers.
    Source: `optax.partition`.

    See also: `optax.partition`, which takes labels; `momentum_jax.hyperparameters`, which names the patterns.
    """
    if not isinstance(optimizers, Mapping):
        raise TypeError(f"per_layer: optimizers must be a dict pattern -> optimizer, got {type(optimizers).__name__}.")
    if not optimizers:
        raise ValueError("per_layer: optimizers must name at least one pattern, got an empty dict.")
    for pattern, optimizer in optimizers.items():
        if not isinstance(pattern, str):
            raise TypeError(f"per_layer: a pattern must be a string, got {pattern!r}.")
        if not isinstance(optimizer, optax.GradientTransformation):
            raise TypeError(
                f"per_layer: the optimizer of {pattern!r} must be a gradient transformation, got {type(optimizer).__name__}."
            )
    patterns = tuple(optimizers)

    def label(name: str) -> str:
        for pattern in patterns:
            if fnmatchcase(name, pattern):
                return pattern
        raise ValueError(f"per_layer: optimizers must have a pattern for every leaf, none of {patterns} fits {name!r}.")

    def labels(tree: Any) -> Any:
        # `None` is a leaf in the paths and a node without leaves in the tree.
        names = [label(layer_path(path)) for path, leaf in leaves_by_path(tree).items() if leaf is not None]
        return jax.tree.unflatten(jax.tree.structure(tree), names)

    inner = optax.partition({**optimizers}, labels)

    def init(params: optax.Params) -> Any:
        refuse_what_is_no_array("per_layer", params, "params")
        used = set(jax.tree.leaves(labels(params)))
        idle = [pattern for pattern in patterns if pattern not in used]
        paths = [layer_path(path) for path, leaf in leaves_by_path(params).items() if leaf is not None]
        nodes = jax.tree.leaves(params, is_leaf=lambda x: isinstance(x, optax.MaskedNode))
        if idle and paths and not any(isinstance(node, optax.MaskedNode) for node in nodes):
            raise ValueError(
                f"per_layer: every pattern must decide a leaf, {idle[0]!r} decides none of {', '.join(paths[:8])}"
                f"{', ...' if len(paths) > 8 else ''}."
            )
        return inner.init(params)

    def update(updates: optax.Updates, state: Any, params: Any = None, **extra_args: Any) -> tuple[optax.Updates, Any]:
        refuse_what_is_no_array("per_layer", updates, "the gradient")
        if params is not None:
            refuse_what_is_no_array("per_layer", params, "params")
            same_leaves("per_layer", updates, params, "the parameters")
        return inner.update(updates, state, params, **extra_args)

    offer(init, lambda state: reading(inner, state))
    return optax.GradientTransformationExtraArgs(init, update)


def layer_path(path: Path) -> str:
    """A path of `leaves_by_path` as text: its keys joined by "/"."""
    return "/".join(_key(key) for key in path)


def _key(key: Any) -> str:
    if isinstance(key, (DictKey, FlattenedIndexKey)):
        return str(key.key)
    if isinstance(key, SequenceKey):
        return str(key.idx)
    return key.name if isinstance(key, GetAttrKey) else str(key)
