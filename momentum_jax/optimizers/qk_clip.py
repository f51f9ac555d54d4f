"""QK-clip: heads whose attention logits have grown too large get smaller query and key weights."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from momentum_jax._hyperparameters import Positive, Share, checked, value_at
from momentum_jax._text import listed, quoted
from momentum_jax._trees import Path, is_inexact, is_none, leaves_by_path, path_name
from momentum_jax.optimizers._leaves import fitting
from momentum_jax.optimizers._precision import as_scalar, widen, working_precision
from momentum_jax.optimizers._state import first_step, next_step
from momentum_jax.optimizers._transformation import Transformation, transformation
from momentum_jax.optimizers.per_layer import layer_path


class QkClipState(NamedTuple):
    step: jax.Array

    def reset_momentum(self) -> "QkClipState":
        return self


class _Clipped(NamedTuple):
    """A query leaf and the key leaf beside it, None for a query alone; and the axis of their heads."""

    query: Path
    key: Path | None
    axis: int | None


@checked
def qk_clip(
    pairs: Mapping[str, tuple[str | None, int | None]], *, tau: Positive = 100.0, balance: Share = 0.5
) -> Transformation:
    """The link that shrinks the query and key weights of heads with large logits.

        W = x + u          eta_h = min(1, tau / S_h)
        W_q <- eta_h^a W_q          W_k <- eta_h^(1-a) W_k          u' = W - x

    S_h is the largest logit q.k / sqrt(d) of head h over the batch, at x. a is `balance`. Equivalent form: the logits of a head
    are multiplied by eta_h, so that they are at most tau where the weights stay as they are.

    `update(updates, state, params, max_logits=S)` reads S, a tree of the largest logits: one leaf for each query leaf, under
    its path, or one for all of them. A leaf has an entry for each head, (heads,), or the axes of the query leaf, each of its
    length or 1.

    Args:
      pairs: pattern of query leaves -> (pattern of the key leaf beside each, axis of the heads in both). Patterns as in
        `per_layer`, of `*` and `?`; in the key's they stand for what they stood for in the query's. Key None: the query takes
        all of eta. Axis None: a leaf is one head.
      tau: largest logit > 0; a number, a 0-d array or a schedule `step -> value`.
      balance: a in [0, 1], likewise: the query's share of eta.

    Raises:
      ValueError: a hyperparameter out of range; in `init`, a pattern without a query leaf or a query without its key; in
        `update`, no params or no `max_logits=`, heads that do not fit, or a gradient that does not fit the parameters.
      TypeError: an argument of the wrong type.

    Example: `qk_clip({"*/query/kernel": ("*/key/kernel", 1)}, tau=100.0)` for Flax's attention.

    Example, one head whose logits reached 200:

        >>> import jax.numpy as jnp, momentum_jax as mj, optax
        >>> optimizer = optax.chain(mj.sgd(0.0), mj.qk_clip({"query": ("key", 1)}, tau=100.0))
        >>> params = {"query": jnp.ones((2, 1)), "key": jnp.ones((2, 1))}
        >>> updates, _ = optimizer.update(params, optimizer.init(params), params, max_logits=jnp.array([200.0]))
        >>> print(*(f"{x:.3f}" for x in optax.apply_updates(params, updates)["query"][:, 0]))
        0.707 0.707

    Convention: the last link of a chain, as it acts on the parameters after the step: `optax.chain(muon(0.02),
    qk_clip({"*/query/kernel": ("*/key/kernel", 1)}))`. Where several query heads share a key head, all of them get the eta of
    the largest S among them; they stand side by side. Biases of queries and keys are pairs of their own. With multi-head latent
    attention the parts with rotary positions share one key, which stays: `{"*/q_c": ("*/k_c", 1), "*/q_r": (None, 1)}` gives
    q_c and k_c the root of eta, and q_r all of it.
    State: `step`, int32 scalar.
    Memory: none. Needs: params.
    Source: Kimi Team (2025), Kimi K2: Open Agentic Intelligence, arXiv:2507.20534, section 2.1.

    See also: `muon`, behind which it usually stands.
    """
    who = "qk_clip"
    _check_pairs(pairs)

    def clipped(tree: Any) -> dict[str, list[_Clipped]]:
        """The leaves of each pattern."""
        leaves = leaves_by_path(tree)
        named = {layer_path(path): path for path, leaf in leaves.items() if is_inexact(leaf)}
        found: dict[str, list[_Clipped]] = {}
        for pattern, (key, axis) in pairs.items():
            for name, path in named.items():
                if not (match := re.fullmatch(_expression(pattern), name, re.DOTALL)):
                    continue
                beside = None if key is None else _filled(key, match.groups())
                if beside is not None and beside not in named:
                    raise ValueError(f"{who}: pairs must name the key of every query, {name!r} has none at {beside!r}.")
                one = _Clipped(path, None if beside is None else named[beside], axis)
                _check_heads(one, leaves)
                found.setdefault(pattern, []).append(one)
        return found

    def init(params: optax.Params) -> QkClipState:
        found, nodes = clipped(params), jax.tree.leaves(params, is_leaf=lambda x: isinstance(x, optax.MaskedNode))
        idle = [pattern for pattern in pairs if pattern not in found]
        names = [layer_path(path) for path, leaf in leaves_by_path(params).items() if leaf is not None]
        if idle and names and not any(isinstance(node, optax.MaskedNode) for node in nodes):
            raise ValueError(f"{who}: every pattern of pairs must fit a leaf, {idle[0]!r} fits none of {listed(names, 8)}.")
        return QkClipState(first_step())

    def now(state: QkClipState) -> dict[str, Any]:
        return {"tau": value_at(tau, state.step), "balance": value_at(balance, state.step)}

    def update(
        who: str, updates: optax.Updates, state: QkClipState, params: Any, **extra_args: Any
    ) -> tuple[optax.Updates, QkClipState]:
        logits = extra_args.get("max_logits")
        if params is None or logits is None:
            missing = "the parameters" if params is None else "the largest logit of each head"
            raise ValueError(f"{who}: it needs {missing}: call update(gradients, state, params, max_logits=max_logits).")
        moved = leaves_by_path(updates)
        at = dict(zip(moved, fitting(who, updates, params), strict=True))
        largest = {layer_path(path): leaf for path, leaf in leaves_by_path(logits).items()}
        h = now(state)
        for one in (each for several in clipped(updates).values() for each in several):
            of_query, of_key = _largest_logits(who, one, at, largest)
            powers = (
                [(one.query, of_query, 1.0)]
                if one.key is None
                else [(one.query, of_query, h["balance"]), (one.key, of_key, 1 - h["balance"])]
            )
            for path, s, power in powers:
                real = working_precision(moved[path], at[path])
                u, p = widen(moved[path], real), widen(at[path], real)
                # As a product with p + u it would lose the digits of a small step; where eta is 1, u stays u.
                moved[path] = u + _power_less_one(s, h["tau"], power, real) * (p + u)
        return jax.tree.unflatten(jax.tree.structure(updates, is_leaf=is_none), list(moved.values())), QkClipState(
            next_step(state.step)
        )

    return transformation(who, init, update, extra=("max_logits",), hyperparameters=now)


def _power_less_one(s: jax.Array, tau: Any, power: Any, real: Any) -> jax.Array:
    """min(1, tau / s)^power - 1."""
    s, tau, power = s.astype(real), as_scalar(tau, real), as_scalar(power, real)
    large = s > tau
    return jnp.where(large, jnp.expm1(power * jnp.log(tau / jnp.where(large, s, 1))), 0)


def _largest_logits(who: str, one: _Clipped, at: Mapping[Path, Any], largest: Mapping[str, Any]) -> tuple[jax.Array, jax.Array]:
    """The largest logits of the heads of a query leaf, and of its key leaf's, as they spread over the leaves."""
    name, axis, query = layer_path(one.query), one.axis, np.shape(at[one.query])
    found = largest.get(name, largest.get(""))
    if found is None:
        raise ValueError(f"{who}: max_logits must have a leaf for each query leaf, got none for {name!r}.")
    s = jnp.asarray(found)
    if s.size == 1:
        s = s.reshape((1,) * len(query))
    elif axis is not None and s.shape == (query[axis],):
        s = s.reshape([query[axis] if i == axis % len(query) else 1 for i in range(len(query))])
    fits = s.ndim == len(query) and all(n in (1, m) for n, m in zip(s.shape, query, strict=True))
    if not fits or (axis is None and s.size > 1):
        heads = "one entry" if axis is None else f"{query[axis]} heads"
        raise ValueError(f"{who}: max_logits of {name!r}, of shape {query}, must have {heads}, got shape {s.shape}.")
    if one.key is None or axis is None or s.shape[axis] == 1:
        return s, s
    axis, keys = axis % len(query), np.shape(at[one.key])[axis]
    groups = s.reshape(*s.shape[:axis], keys, s.shape[axis] // keys, *s.shape[axis + 1 :])
    of_key = jnp.max(groups, axis=axis + 1)
    return jnp.repeat(of_key, s.shape[axis] // keys, axis=axis), of_key


def _check_pairs(pairs: Any) -> None:
    """Raises where `pairs` is not what `qk_clip` says."""
    if not isinstance(pairs, Mapping):
        raise TypeError(f"qk_clip: pairs must be a dict query -> (key, axis of heads), got {type(pairs).__name__}.")
    if not pairs:
        raise ValueError("qk_clip: pairs must name at least one query, got an empty dict.")
    for query, pair in pairs.items():
        if not isinstance(query, str) or not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(f"qk_clip: pairs must be query -> (key, axis of heads), got {quoted(query)}: {quoted(pair)}.")
        key, axis = pair
        if not (key is None or isinstance(key, str)) or isinstance(axis, bool) or not (axis is None or isinstance(axis, int)):
            raise TypeError(f"qk_clip: pairs[{query!r}] must be (a pattern or None, an axis or None), got {quoted(pair)}.")
        if key is not None and len(re.findall(r"[*?]", key)) != len(re.findall(r"[*?]", query)):
            raise ValueError(f"qk_clip: pairs must have as many * and ? in a key as in its query, got {query!r} and {key!r}.")


def _check_heads(one: _Clipped, leaves: Mapping[Path, Any]) -> None:
    """Raises ValueError where a leaf has no such axis, or the heads of a key do not divide those of its query."""
    if one.axis is None:
        return
    paths = [path for path in (one.query, one.key) if path is not None]
    for path in paths:
        if not -np.ndim(leaves[path]) <= one.axis < np.ndim(leaves[path]):
            shape = np.shape(leaves[path])
            raise ValueError(f"qk_clip: {path_name(path)} must have the axis of heads, {one.axis}, got shape {shape}.")
    queries, keys = (np.shape(leaves[path])[one.axis] for path in (paths[0], paths[-1]))
    if not keys or queries % keys:
        raise ValueError(
            f"qk_clip: the heads of {path_name(paths[-1])} must divide those of its query, got {keys} and {queries}."
        )


def _expression(pattern: str) -> str:
    """The regular expression of a pattern, with a group for each `*` and `?`."""
    parts = {"*": "(.*)", "?": "(.)"}
    return "".join(parts.get(letter) or re.escape(letter) for letter in pattern)


def _filled(pattern: str, found: tuple[str, ...]) -> str:
    """A pattern with what was found in place of each `*` and `?`."""
    each = iter(found)
    return re.sub(r"[*?]", lambda _: next(each), pattern)
