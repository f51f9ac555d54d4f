"""momentum_jax: every momentum method as an Optax gradient transformation, the experiment, and the theory.

    import momentum_jax as mj

    optimizer = mj.nesterov(0.01, momentum=mj.schedules.linear(0.5, 0.9, steps=1000))
    opt_state = optimizer.init(params)
    updates, opt_state = optimizer.update(gradients, opt_state, params)

Every real-valued hyperparameter is a number, a 0-d array (traced too) or a schedule `step -> value`.
"""

from momentum_jax import conventions as conventions, schedules as schedules
from momentum_jax.optimizers.adadelta import adadelta as adadelta, scale_by_adadelta as scale_by_adadelta
from momentum_jax.optimizers.adagrad import adagrad as adagrad, scale_by_adagrad as scale_by_adagrad
from momentum_jax.optimizers.adam import adam as adam, adamw as adamw, scale_by_adam as scale_by_adam
from momentum_jax.optimizers.ema_momentum import (
    ema_momentum as ema_momentum,
    scale_by_ema_momentum as scale_by_ema_momentum,
)
from momentum_jax.optimizers.gradient_descent import gradient_descent as gradient_descent
from momentum_jax.optimizers.heavy_ball import heavy_ball as heavy_ball, scale_by_heavy_ball as scale_by_heavy_ball
from momentum_jax.optimizers.learning_rate import scale_by_learning_rate as scale_by_learning_rate
from momentum_jax.optimizers.nadam import nadam as nadam, scale_by_nadam as scale_by_nadam
from momentum_jax.optimizers.nesterov import nesterov as nesterov, scale_by_nesterov as scale_by_nesterov
from momentum_jax.optimizers.per_layer import per_layer as per_layer
from momentum_jax.optimizers.quasi_hyperbolic_adam import (
    quasi_hyperbolic_adam as quasi_hyperbolic_adam,
    scale_by_quasi_hyperbolic_adam as scale_by_quasi_hyperbolic_adam,
)
from momentum_jax.optimizers.rmsprop import rmsprop as rmsprop, scale_by_rmsprop as scale_by_rmsprop
from momentum_jax.optimizers.sgd import scale_by_sgd as scale_by_sgd, sgd as sgd
from momentum_jax.optimizers.weight_decay import add_weight_decay as add_weight_decay
from momentum_jax.protocol import evaluation_params as evaluation_params, reset_momentum as reset_momentum

__version__ = "0.1.0"
