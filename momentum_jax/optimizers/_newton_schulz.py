"""Newton-Schulz on matrices, alone or in stacks: what its arguments may be, and the iteration.

    X <- a X + (b A + c A^2) X,  A = X X^H,  from X / (s |X| + eps)

It acts on the singular values alone, each by x -> a x + b x^3 + c x^5. `stacks` says where the matrices of a tree are iterated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from momentum_jax._hyperparameters import Count, FloatingDType, Interval, NullOr
from momentum_jax._scaling import norm, norms
from momentum_jax._text import quoted
from momentum_jax.optimizers._arithmetic import ratio
from momentum_jax.optimizers._precision import complex_of

Triple = tuple[float, float, float]

# Polar Express holds every norm below 1 in spite of rounding: but for the last triple it is run on X / 1.01.
_SAFETY = 1.01
_POLAR_EXPRESS = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
    (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
    (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
    (1.875, -1.25, 0.375),
)


@dataclass(frozen=True)
class Iteration:
    """A checked `newton_schulz`: triples, of which the last repeats, and what the norm is multiplied by; or a function."""

    triples: tuple[Triple, ...] = ()
    safety: float = 1.0
    function: Callable[..., Any] | None = None
    steps: int = 5


# Keller Jordan's: steepest at 0 for an image within about [0.7, 1.2].
QUINTIC = Iteration(((3.4445, -4.7750, 2.0315),))
_PRESETS = {
    "quintic": QUINTIC,
    "polar_express": Iteration(
        tuple((a / _SAFETY, b / _SAFETY**3, c / _SAFETY**5) for a, b, c in _POLAR_EXPRESS[:-1]) + _POLAR_EXPRESS[-1:], _SAFETY
    ),
}
_REAL = Interval(float("-inf"), float("inf"), schedule=False)


class _IterationRule:
    """For signatures: what `newton_schulz` may be. An `Iteration` is itself, so that an optimizer hands it on to its core."""

    def check(self, who: str, name: str, value: Any) -> Iteration:
        allowed = "'quintic', 'polar_express', triples (a, b, c) or a function"
        if isinstance(value, Iteration):
            return value
        if isinstance(value, str):
            if value not in _PRESETS:
                raise ValueError(f"{who}: {name} must be {allowed}, got {value!r}.")
            return _PRESETS[value]
        if callable(value) and not isinstance(value, type):
            return Iteration(function=value)
        if not isinstance(value, Sequence) or not value or any(not isinstance(t, Sequence) or len(t) != 3 for t in value):
            raise TypeError(f"{who}: {name} must be {allowed}, got {quoted(value)}.")
        triples = tuple(
            tuple(_REAL.check(who, f"{name}[{i}][{j}]", number) for j, number in enumerate(triple))
            for i, triple in enumerate(value)
        )
        return Iteration(triples, steps=len(triples))  # pyright: ignore[reportArgumentType]


class _WideOrBfloat16:
    """For signatures: a dtype for matrices of any size, and of gradients as small as they come, which float16 has not."""

    def check(self, who: str, name: str, value: Any) -> Any:
        dtype = FloatingDType().check(who, name, value)
        if dtype is not None and dtype not in (jnp.bfloat16, jnp.float32, jnp.float64):
            raise ValueError(f"{who}: {name} must be bfloat16, float32, float64 or None, got {dtype}.")
        return dtype


NewtonSchulz = Annotated[Any, _IterationRule()]
StepsOfNewtonSchulz = Annotated[int | None, NullOr(Count(1))]
NewtonSchulzDType = Annotated[Any, _WideOrBfloat16()]


def iteration(who: str, method: Iteration, steps: int | None) -> Iteration:
    """`method` with so many steps; None: as many as it has of its own.

    Raises:
      ValueError: steps for a function, which has its own.
    """
    if steps is None:
        return method
    if method.function is not None:
        raise ValueError(f"{who}: ns_steps must be None where newton_schulz is a function, got {steps}.")
    return Iteration(method.triples, method.safety, steps=steps)


def orthogonalise(x: jax.Array, method: Iteration, eps: Any, dtype: Any = None) -> jax.Array:
    """Newton-Schulz on every matrix of `x` (..., m, n): towards U V^H of its singular value decomposition.

    Args:
      x: in working precision, or narrowed already; tall matrices are transposed, so that the products are of the smaller side.
        A function of one's own is given stacks (n, m, k).
      eps: added to the norm of every matrix.
      dtype: of the iteration; None: that of `x`. The norm is taken in at least float32.

    Returns:
      An array in the shape and dtype of `x`.
    """
    home, tall = x.dtype, x.shape[-2] > x.shape[-1]
    x = adjoint(x) if tall else x
    x = normalised(narrowed(x, dtype), method, eps)
    if method.function is not None:
        y = method.function(x)
        if jnp.shape(y) != x.shape:
            raise ValueError(f"newton_schulz: a function must return the shape it is given, {x.shape}, got {jnp.shape(y)}.")
        x = y
    else:
        for i in range(method.steps):
            a, b, c = method.triples[min(i, len(method.triples) - 1)]
            gram = product(x, adjoint(x))
            x = a * x + product(b * gram + c * product(gram, gram), x)
    x = adjoint(x) if tall else x
    return x.astype(home)


def narrowed(x: jax.Array, dtype: Any) -> jax.Array:
    """`x` in the dtype of Newton-Schulz; complex matrices in the complex one, of at least 32 bits a part."""
    if dtype is None:
        return x
    if jnp.iscomplexobj(x):
        return x.astype(complex_of(dtype))
    return x.astype(dtype)


def normalised(x: jax.Array, method: Iteration, eps: Any) -> jax.Array:
    """x / (s |x| + eps) for every matrix, the norm taken in at least float32."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    size = norm(wide) if wide.ndim == 2 else norms(wide)
    size = size if method.safety == 1.0 else method.safety * size
    return ratio(wide, size + eps, eps).astype(x.dtype)


def adjoint(x: jax.Array) -> jax.Array:
    """X^H of every matrix of a stack."""
    transposed = jnp.matrix_transpose(x)
    return jnp.conj(transposed) if jnp.iscomplexobj(x) else transposed


def product(x: jax.Array, y: jax.Array) -> jax.Array:
    """X Y of every pair of matrices, in their full precision; of 16-bit ones as the device does it."""
    wide = jnp.finfo(x.dtype).bits >= 32
    return jnp.matmul(x, y, precision=jax.lax.Precision.HIGHEST if wide else None)
