"""A deep and narrow net of tanh units, which plain gradient descent trains slowly: handwritten digits pass through ten layers.

Each layer squashes what it is given, so curvature differs by orders of magnitude between directions.
Sources: I. Sutskever, J. Martens, G. Dahl and G. Hinton (2013), On the importance of initialization and momentum in deep
learning, ICML; for the initial weights X. Glorot and Y. Bengio (2010), Understanding the difficulty of training deep
feedforward neural networks, AISTATS. The digits are scikit-learn's.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from momentum_jax.problems._arguments import require_whole
from momentum_jax.training import Problem, classifier, of_linen


class _Net(nn.Module):
    depth: int
    width: int

    @nn.compact
    def __call__(self, images: Any) -> Any:
        x = images.astype(jnp.float32) / 16
        for _ in range(self.depth):
            x = nn.tanh(nn.Dense(self.width, kernel_init=nn.initializers.glorot_normal())(x))
        return nn.Dense(10, kernel_init=nn.initializers.glorot_normal())(x)


def narrow_net(depth: int = 10, width: int = 10) -> Problem:
    """The 1,797 digits of 8 x 8 pixels through `depth` layers of `width` tanh units; scores accuracy, loss, mcc, confusion.

    A fifth of the digits is held out for the test, the same for every seed.

    Raises:
      ValueError: an argument is no whole number from 1 to 4,096.

    Example: `train_many(keys, optax.sgd, {"learning_rate": 0.1}, narrow_net(), steps=500, batch_size=64)`.
    """
    from sklearn.datasets import load_digits

    require_whole("narrow_net", 4096, depth=depth, width=width)
    table: Any = load_digits(return_X_y=True)
    x = table[0].astype(np.uint8)
    return classifier(*of_linen(_Net(depth, width), x[:1]), x, table[1])
