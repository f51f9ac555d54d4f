"""Any optimizer down any function: the whole path as one jitted scan.

    path = descend(landscapes.two_gaussians, mj.nesterov(0.1, 0.9), [0.7, -0.2], steps=25)
    path.points[-1], path.values[-1]

Most optimizers take their gradients at the points that they have come to. Shifted ones (`nesterov`, `triple_momentum`,
`optax.contrib.schedule_free`, ...) take them elsewhere, at the parameters that the user of the optimizer holds. `points` are
the iterates (`evaluation_params`), which is what to draw and what to judge a method by; `gradient_points` are the others.
"""

import functools
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._hyperparameters import Count, checked
from momentum_jax.protocol import evaluation_params, update_of

__all__ = ["Path", "descend"]


class Path(NamedTuple):
    """Where a descent went. With several starts each array has a leading axis of n runs.

    Attributes:
      points: (steps + 1, d), the iterates: the start, then one after every update.
      values: (steps + 1,), the function at the points.
      gradients: (steps, d), the gradient that the optimizer was handed in each update.
      gradient_points: (steps, d), where it was taken; `points[:-1]` unless the method is a shifted one.
      velocities: (steps, d), points[t + 1] - points[t]: the distance of one update, whatever the optimizer calls its velocity.
    """

    points: jax.Array
    values: jax.Array
    gradients: jax.Array
    gradient_points: jax.Array
    velocities: jax.Array


@checked
def descend(
    function: Callable[[jax.Array], Any],
    optimizer: optax.GradientTransformation,
    start: Any,
    steps: Annotated[int, Count(0)],
) -> Path:
    """Run an optimizer down a function from one start or from several at once.

    Optimizers that take extra arguments are given `value=` and `grad=`, function and gradient at the held point, `value_fn=`
    and `grad_fn=`, both of them functions of a point; so Polyak steps, line searches, `optax.lbfgs`, `storm` and the like work.
    A descent that diverges goes on to the last step, in infinities and NaN.

    Compiled once for each pair of function and optimizer (the objects themselves), shape of the start and number of steps. It
    may be called under `jax.vmap` or `jax.jit`, with hyperparameters that are traced.

    Args:
      function: `function(x)`, a real scalar of a point x of shape (d,), differentiable by JAX; a `Landscape` is one.
      optimizer: any Optax optimizer, learning rate included.
      start: (d,), or (n, d) for n runs. Its floating dtype is that of the path, float64 when 64-bit JAX is on and it is of
        float64; integers and lists become JAX's default float dtype.
      steps: number of updates, at least 0.

    Returns:
      A `Path`, all of it in the dtype of the start (values in that of the function).

    Raises:
      ValueError: a start of another shape, steps below 0, a function whose value is no real scalar.
      TypeError: an optimizer that is none, or an argument of the wrong type.
    """
    if not callable(function):
        raise TypeError(f"descend: function must be a function of a point, got {type(function).__name__}.")
    if isinstance(optimizer, optax.MultiSteps):
        raise TypeError("descend: optimizer is an optax.MultiSteps; give its .gradient_transformation().")
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(f"descend: optimizer must be a gradient transformation, got {type(optimizer).__name__}.")
    try:
        start = jnp.asarray(start)
    except (TypeError, ValueError):
        raise TypeError(f"descend: start must be an array of real numbers, got {type(start).__name__}.") from None
    if not (jnp.issubdtype(start.dtype, jnp.floating) or jnp.issubdtype(start.dtype, jnp.integer)):
        raise TypeError(f"descend: start must be an array of real numbers, got {start.dtype}.")
    if start.ndim not in (1, 2) or start.size == 0:
        raise ValueError(f"descend: start must have shape (d,) or (n, d), got {start.shape}.")
    if not jnp.issubdtype(start.dtype, jnp.floating):
        start = start.astype(jnp.result_type(float))
    return _descend(function, optimizer, start, steps)


@functools.partial(jax.jit, static_argnames=("function", "optimizer", "steps"))
def _descend(function: Callable[[jax.Array], Any], optimizer: Any, start: jax.Array, steps: int) -> Path:
    value = jax.eval_shape(function, jax.ShapeDtypeStruct(start.shape[-1:], start.dtype))
    if getattr(value, "shape", None) != () or not jnp.issubdtype(value.dtype, jnp.floating):
        found = f"{value.dtype} of shape {value.shape}" if hasattr(value, "shape") else type(value).__name__
        raise ValueError(f"descend: function must return a real scalar, got {found}.")
    if start.ndim == 2:
        return jax.vmap(lambda one: _descend(function, optimizer, one, steps))(start)

    # Optax's line searches hand `value_fn` those extra arguments that they do not know, by the names of its parameters.
    def value_fn(x: jax.Array, grad_fn: Any = None) -> Any:
        del grad_fn
        return function(x)

    # Optax's SAM hands `grad_fn` the number of its step as well.
    def grad_fn(x: jax.Array, step: Any = None) -> jax.Array:
        del step
        return jax.grad(function)(x)

    def step(carry: tuple[jax.Array, Any], _: None) -> tuple[tuple[jax.Array, Any], tuple[jax.Array, ...]]:
        held, state = carry
        value, gradient = jax.value_and_grad(function)(held)
        update = update_of("descend", optimizer, value=value, grad=gradient, value_fn=value_fn, grad_fn=grad_fn)
        updates, new_state = update(gradient, state, held)
        new = jnp.asarray(optax.apply_updates(held, updates))
        return (new, new_state), (held, gradient, evaluation_params(new, new_state))

    state = optimizer.init(start)
    _, (gradient_points, gradients, landings) = jax.lax.scan(step, (start, state), length=steps)
    points = jnp.concatenate([evaluation_params(start, state)[None], landings])
    return Path(points, jax.vmap(function)(points), gradients, gradient_points, jnp.diff(points, axis=0))


def __dir__() -> list[str]:
    return sorted(__all__)
