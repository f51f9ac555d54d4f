"""Any linear momentum method: a filter of gradients with n buffers, given by four matrices."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from momentum_jax._hyperparameters import DType, checked
from momentum_jax.optimizers._leaves import each
from momentum_jax.optimizers._state import average_dtype, first_step, next_step, zeros
from momentum_jax.optimizers._transformation import Transformation, transformation


class StateSpaceMomentumState(NamedTuple):
    step: jax.Array
    memory: tuple[optax.Updates, ...]

    def reset_momentum(self) -> "StateSpaceMomentumState":
        return jax.tree.map(jnp.zeros_like, self)


class _Real:
    """A real number, array or nested list of numbers, or a schedule of them; plain ones are finite."""

    def check(self, who: str, name: str, value: Any) -> Any:
        if callable(value) and not isinstance(value, type):
            return lambda step: self._array(f"{who}: the schedule of {name} must return a real array", value(step))
        array = self._array(f"{who}: {name} must be a real array or a schedule", value)
        if isinstance(array, np.ndarray):
            array = array.astype(np.float64)
            if not np.isfinite(array).all():
                raise ValueError(f"{who}: {name} must be finite, got {value}.")
        return array

    def _array(self, must: str, value: Any) -> Any:
        traced = any(isinstance(x, jax.Array) for x in jax.tree.leaves(value))
        try:
            array = jnp.asarray(value) if traced else np.asarray(value)
        except (TypeError, ValueError):
            raise TypeError(f"{must}, got {type(value).__name__}.") from None
        if not (jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)):
            found = type(value).__name__ if array.dtype == object else array.dtype
            raise TypeError(f"{must}, got {found}.")
        return array


Coefficients = Annotated[Any, _Real()]


@checked
def state_space_momentum(
    A: Coefficients, B: Coefficients, C: Coefficients, D: Coefficients, *, accumulator_dtype: DType = None
) -> Transformation:
    """The linear filter s' = A s + B u that returns C s + D u.

        s' = A s + B g          x' = x + C s + D g          s_0 = 0; A (n, n), B (n,), C (n,), D a number

    C and D meet s and g before s is renewed. A method that takes its gradient elsewhere, at y = x + E s, is in the point
    y this one with C + E A - E in place of C and D + E B in place of D. With that:

        gradient_descent            n = 0                                               D = -eta
        heavy_ball                  A = mu      B = -eta        C = mu                  D = -eta
        sgd (an accumulator)        A = mu      B = 1           C = -eta mu             D = -eta
        sgd, dampened by tau        A = mu      B = 1 - tau     C = -eta mu             D = -eta (1 - tau)
        ema_momentum                A = mu      B = 1 - mu      C = -eta mu             D = -eta (1 - mu)
        nesterov (in y)             A = mu      B = -eta        C = mu^2                D = -eta (1 + mu)
        quasi_hyperbolic_momentum   A = beta    B = 1 - beta    C = -eta nu beta        D = -eta (1 - nu beta)
        aggregated_momentum         A = diag(beta_i)   B = 1    C = -(eta / K) beta_i   D = -eta
        accelerated_sgd             A = zeta (1 - a)            B = zeta eta (1 - c xi)
                                    C = (1 - zeta) (1 - a)      D = -eta [zeta + (1 - zeta) c xi]
        triple_momentum and
        robust_momentum (in y)      A = beta    B = -alpha      C = beta + gamma (beta - 1)    D = -alpha (1 + gamma)
        ema_nesterov (in y)         A = gamma + (1 - gamma) beta    B = -(1 - gamma) eta
                                    C = beta A                      D = -eta [1 + beta (1 - gamma)]
        optimistic                  A = 0       B = 1           C = eta                 D = -2 eta
        grokfast, gradient_descent  A = alpha   B = 1 - alpha   C = -eta lambda alpha   D = -eta [1 + lambda (1 - alpha)]
        pid, s = (I, D, g_prev)     A = [[mu, 0, 0], [0, mu, mu - 1], [0, 0, 0]]        B = (1, 1 - mu, 1)
                                    C = -eta (k_i mu, k_d mu, -k_d (1 - mu))            D = -eta [1 + k_i + k_d (1 - mu)]

    optimistic, pid and grokfast treat their first gradient apart; as a schedule, the first step's matrices say how.

    Args:
      A: (n, n), real; an array, traced or not, nested lists, or a schedule `step -> array`. n may be 0. With n = 1 numbers
        do for all four. Entries of plain arrays that are 0 cost nothing.
      B, C: (n,), likewise.
      D: a number, likewise.
      accumulator_dtype: dtype of the n buffers; None: that of the parameter, float32 for 16-bit leaves.

    Raises:
      ValueError: shapes that do not fit together, a plain number that is not finite; in `update`, a gradient that does not fit
        the state or the parameters.
      TypeError: an argument of the wrong type.

    Example, the first iterates on x^2 / 2 from 1:

        >>> import momentum_jax as mj
        >>> optimizer = mj.state_space_momentum([[0.9]], [-0.1], [0.9], -0.1)
        >>> path = mj.descent.descend(lambda x: x @ x / 2, optimizer, [1.0], steps=4)
        >>> print(*(f"{x:.3f}" for x in path.points[:, 0]))
        1.000 0.900 0.720 0.486 0.227

    Convention: what is fed is filtered, and the result is the update. Fed gradients, with -eta inside the matrices, it is
    an optimizer; behind `scale_by_learning_rate`, with positive C and D, it is a core with eta inside, before it one with
    eta outside.
    State: `step`, int32 scalar; `memory` (s), a tuple of n trees in the shapes of the parameters, float32 for 16-bit
    leaves unless `accumulator_dtype` says otherwise.
    Memory: 1 buffer for each row of A.
    Stable on curvatures in (0, L] when for each of them, l, the eigenvalues of [[A, B l], [C, 1 + D l]] are inside the
    unit circle.
    Source: L. Lessard, B. Recht and A. Packard (2016), Analysis and design of optimization algorithms via integral
    quadratic constraints, SIAM J. Optim. 26(1), 57-95, arXiv:1408.3595.

    See also: `theory.linearize`, which reads these matrices out of any linear optimizer.
    """
    who = "state_space_momentum"
    n = _size(who, A)
    for name, value, shapes in (("B", B, ((n,), (n, 1))), ("C", C, ((n,), (1, n))), ("D", D, ((), (1,), (1, 1)))):
        if _shape(value) not in (shapes if name == "D" or n != 1 else ((), *shapes)):
            raise ValueError(
                f"{who}: {name} must have shape {shapes[0]} beside A of shape {_shape(A)}, got shape {_shape(value)}."
            )

    def init(params: optax.Params) -> StateSpaceMomentumState:
        return StateSpaceMomentumState(first_step(), tuple(zeros(params, average_dtype(accumulator_dtype)) for _ in range(n)))

    def now(state: StateSpaceMomentumState) -> dict[str, Any]:
        return {name: _at(block, state.step) for name, block in {"A": A, "B": B, "C": C, "D": D}.items()}

    def leaf(u: jax.Array, *memory: jax.Array, **entries: Any) -> tuple[jax.Array, ...]:
        inputs = (*memory, u)
        outputs = []
        for i in range(n + 1):
            terms = [entries[_place(i, j)] * x for j, x in enumerate(inputs) if _place(i, j) in entries]
            outputs.append(sum(terms[1:], terms[0]) if terms else jnp.zeros_like(u))
        return outputs[n], *outputs[:n]

    def update(
        who: str, updates: optax.Updates, state: StateSpaceMomentumState, params: Any
    ) -> tuple[optax.Updates, StateSpaceMomentumState]:
        del params
        buffers = {f"memory[{i}]": s for i, s in enumerate(state.memory)}
        h = now(state)
        entries = {
            **_entries(h["A"], (n, n), 0, 0),
            **_entries(h["B"], (n, 1), 0, n),
            **_entries(h["C"], (1, n), n, 0),
            **_entries(h["D"], (1, 1), n, n),
        }
        updates, *memory = each(who, leaf, updates, buffers, **entries)
        return updates, StateSpaceMomentumState(next_step(state.step), tuple(memory))

    return transformation(who, init, update, hyperparameters=now)


def _entries(block: Any, shape: tuple[int, int], row: int, column: int) -> dict[str, Any]:
    """The entries of one block of [[A, B], [C, D]] by their place in the whole, less the zeros of plain arrays."""
    block = block.reshape(shape)
    plain = isinstance(block, np.ndarray)
    places = [(i, j) for i in range(shape[0]) for j in range(shape[1]) if not plain or block[i, j] != 0]
    return {_place(row + i, column + j): float(block[i, j]) if plain else block[i, j] for i, j in places}


def _place(row: int, column: int) -> str:
    return f"entry_{row}_{column}"


def _at(value: Any, step: jax.Array) -> Any:
    return jnp.asarray(value(step)) if callable(value) else value


def _shape(value: Any) -> tuple[int, ...]:
    # Called rather than traced: in a loop without jit a schedule may look at the number of its step.
    return _at(value, first_step()).shape


def _size(who: str, A: Any) -> int:
    shape = _shape(A)
    if shape != () and (len(shape) != 2 or shape[0] != shape[1]):
        raise ValueError(f"{who}: A must be a number or a square array, got shape {shape}.")
    return shape[0] if shape else 1
