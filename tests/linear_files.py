"""Which files of momentum_jax/optimizers hold a linear rule of each coordinate: what the theory can read."""

LINEAR = {
    "accelerated_sgd", "aggregated_momentum", "demon", "ema_momentum", "ema_nesterov", "fista", "gradient_descent", "grokfast",
    "heavy_ball", "learning_rate", "momentum_correction", "nesterov", "optimistic", "per_layer", "pid",
    "quasi_hyperbolic_momentum", "robust_momentum", "sgd", "state_space_momentum", "triple_momentum", "weight_decay",
}  # fmt: skip
