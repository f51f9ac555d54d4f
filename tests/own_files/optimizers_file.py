"""Optimizers of one's own."""

import optax


def my_momentum(learning_rate, momentum=0.9):
    return optax.chain(optax.trace(momentum), optax.scale_by_learning_rate(learning_rate))
