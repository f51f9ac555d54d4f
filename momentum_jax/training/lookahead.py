"""Optax's Lookahead for whoever holds one set of parameters, as the trainer does: the slow ones go into the state.

    every k steps:  slow' = slow + a (fast - slow);  fast' = slow'

`optax.lookahead` itself is handed a pair of parameters. Source: M. Zhang, J. Lucas, G. Hinton and J. Ba (2019), Lookahead
Optimizer: k steps forward, 1 step back, NeurIPS, arXiv:1907.08610.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._wrappers import Reading, offer, reading, require_kind
from momentum_jax.protocol import reset_momentum


class LookaheadState(NamedTuple):
    """inner: of `optax.lookahead`. slow: the slow parameters, which are the ones to evaluate."""

    inner: Any
    slow: Any

    def evaluation_params(self, params: Any) -> Any:
        # A mask leaves a node without parameters: those stay as they are held.
        return jax.tree.map(lambda slow, held: held if _is_masked(slow) else slow, self.slow, params, is_leaf=_is_masked)

    def reset_momentum(self) -> "LookaheadState":
        return self._replace(inner=self.inner._replace(fast_state=reset_momentum(self.inner.fast_state)))


def _is_masked(node: Any) -> bool:
    return isinstance(node, optax.MaskedNode)


def lookahead(
    fast_optimizer: optax.GradientTransformation, sync_period: int, slow_step_size: float, reset_state: bool = False
) -> optax.GradientTransformation:
    """`optax.lookahead` on plain parameters, which are the fast ones; `evaluation_params` gives the slow."""
    pairs = optax.lookahead(fast_optimizer, sync_period, slow_step_size, reset_state)

    def init(params: optax.Params) -> LookaheadState:
        # A copy: a step that donates its state and its parameters must not donate one array twice.
        slow = jax.tree.map(jnp.copy, params)
        return LookaheadState(pairs.init(optax.LookaheadParams(params, slow)), slow)

    def update(updates: optax.Updates, state: Any, params: Any = None) -> tuple[Any, LookaheadState]:
        if params is None:
            raise ValueError("lookahead: update needs the parameters; call update(gradients, state, params).")
        steps: Any
        steps, inner = pairs.update(updates, state.inner, optax.LookaheadParams(params, state.slow))
        return steps.fast, LookaheadState(inner, optax.apply_updates(state.slow, steps.slow))

    def read(state: Any) -> Reading:
        require_kind("lookahead", LookaheadState, state)
        return reading(fast_optimizer, state.inner.fast_state)

    offer(init, read)
    return optax.GradientTransformation(init, update)
