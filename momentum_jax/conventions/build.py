"""The optimizer of this library that a convention's hyperparameters describe."""

from typing import Any

from momentum_jax._hyperparameters import is_zero
from momentum_jax.conventions.convention import Convention
from momentum_jax.conventions.mixtures import EMA, PID, QHM, AggMo, Grokfast
from momentum_jax.conventions.one_pole import value_of
from momentum_jax.conventions.two_sequences import AcceleratedSGD, EMANesterov, TripleMomentum
from momentum_jax.conventions.velocities import HeavyBall, Keras, Nesterov, Optax, PyTorch, ReformulatedNesterov
from momentum_jax.optimizers._transformation import Transformation, chain
from momentum_jax.optimizers.accelerated_sgd import accelerated_sgd
from momentum_jax.optimizers.aggregated_momentum import aggregated_momentum
from momentum_jax.optimizers.ema_momentum import ema_momentum
from momentum_jax.optimizers.ema_nesterov import ema_nesterov
from momentum_jax.optimizers.grokfast import grokfast
from momentum_jax.optimizers.heavy_ball import heavy_ball
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate
from momentum_jax.optimizers.nesterov import nesterov
from momentum_jax.optimizers.pid import pid
from momentum_jax.optimizers.quasi_hyperbolic_momentum import quasi_hyperbolic_momentum
from momentum_jax.optimizers.sgd import momentum_and_rate, sgd
from momentum_jax.optimizers.state_space_momentum import state_space_momentum


def build(hyperparameters: Convention) -> Transformation:
    """The optimizer of this library with these hyperparameters, numbers or schedules.

    Raises:
      TypeError: what is given are no hyperparameters of a convention.
    """
    match hyperparameters:
        case PyTorch(lr, momentum, dampening, nesterov=look_ahead):
            return sgd(lr, momentum, dampening=dampening, nesterov=look_ahead)
        case Optax(learning_rate, momentum, nesterov=look_ahead):
            # Without momentum it is gradient descent, and `sgd` refuses to call that Nesterov.
            return sgd(learning_rate, momentum, nesterov=look_ahead and not is_zero(momentum))
        case HeavyBall(learning_rate, momentum) | Keras(learning_rate, momentum, nesterov=False):
            return heavy_ball(learning_rate, momentum)
        case Keras(learning_rate, momentum) | ReformulatedNesterov(learning_rate, momentum):
            return momentum_and_rate(
                "reformulated_nesterov", (), learning_rate, momentum, nesterov=not is_zero(momentum), rate_inside=True
            )
        case Nesterov(learning_rate, momentum):
            return nesterov(learning_rate, momentum)
        case EMA(learning_rate, momentum):
            return ema_momentum(learning_rate, momentum)
        case QHM(learning_rate, momentum, nu):
            return quasi_hyperbolic_momentum(learning_rate, momentum, nu)
        case AcceleratedSGD(learning_rate, kappa, xi, small_const):
            return accelerated_sgd(learning_rate, kappa, xi, small_const)
        case PID(learning_rate, momentum, integral, derivative):
            return pid(learning_rate, momentum, integral, derivative)
        case Grokfast(learning_rate, alpha, lamb):
            return chain("grokfast", grokfast(alpha, lamb), scale_by_learning_rate(learning_rate))
        case EMANesterov(learning_rate, beta, gamma):
            return ema_nesterov(learning_rate, beta, gamma)
        case AggMo(learning_rate, momentum):
            return aggregated_momentum(learning_rate, (0.0, momentum))
        case TripleMomentum():
            return _three_parameters(hyperparameters)
    raise TypeError(f"build: hyperparameters must be those of a convention, got {type(hyperparameters).__name__}.")


def _three_parameters(h: TripleMomentum) -> Transformation:
    """xi' = xi + b v - a g(y) in the point y = xi + gamma v, with v for the state: v' = b v - a g, y' = y + C v + D g."""

    def at(hyperparameter: Any, t: Any) -> Any:
        """In the widest float, as the translations compute: they cancel, and the optimizer rounds only what is left."""
        return value_of(hyperparameter, t) if callable(hyperparameter) else hyperparameter

    def a(t: Any) -> Any:
        return at(h.beta, t)

    def b(t: Any) -> Any:
        return -at(h.alpha, t)

    def c(t: Any) -> Any:
        return (1 + at(h.gamma, t + 1)) * at(h.beta, t) - at(h.gamma, t)

    def d(t: Any) -> Any:
        return -(1 + at(h.gamma, t + 1)) * at(h.alpha, t)

    if any(callable(each) for each in (h.alpha, h.beta, h.gamma)):
        return state_space_momentum(a, b, c, d)
    return state_space_momentum(a(0), b(0), c(0), d(0))
