"""The comparison that is run when nothing else is asked for, one declaration for each data set.

The net of MNIST is the textbook's (784-256-256-10, ReLU, He-normal, softmax cross-entropy, batch 100, cost 0.1). The
arms are gradient descent at eta = 0.01, momentum 0.9 at the same eta, and between them gradient descent at
eta / (1 - mu) = 0.1: the same effective learning rate without momentum, which shows how much of momentum's gain is only
a larger step. The digits' cost is low enough to lie several evaluations, 100 steps apart, from the start.
"""

from momentum_jax.studies.arm import Arm
from momentum_jax.studies.study import Study

ARMS = (
    Arm("gradient_descent(0.01)"),
    Arm("gradient_descent(0.1)"),
    Arm("heavy_ball(0.01, 0.9)"),
    Arm("nesterov(0.01, 0.9)"),
    Arm("adam(0.001)"),
)

STUDIES = {
    "digits": Study(dataset="digits", arms=ARMS, target=0.15),
    "mnist": Study(dataset="mnist", arms=ARMS, target=0.1),
    "fashion_mnist": Study(dataset="fashion_mnist", arms=ARMS, target=0.4),
}
