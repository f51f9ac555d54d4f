"""Classification of a table: whether a breast tumour is benign, from the shape of its cell nuclei, by a net of Flax linen.

Thirty measurements of each of 569 tumours: mean, standard error and largest value of ten features of the nuclei.
Source: W. N. Street, W. H. Wolberg and O. L. Mangasarian (1993), Nuclear feature extraction for breast tumor diagnosis,
Proc. SPIE 1905, 861-870; the table is scikit-learn's.
"""

from typing import Any

import flax.linen as nn
import numpy as np

from momentum_jax.problems._arguments import require_whole
from momentum_jax.training import Problem, classifier, of_linen


def breast_cancer(width: int = 16) -> Problem:
    """Two classes, one hidden layer of `width` tanh units; scores accuracy, loss, mcc and confusion.

    Measurements have mean 0 and variance 1 over the table. A fifth of the tumours is held out for the test, the same for
    every seed.

    Raises:
      ValueError: `width` is no whole number from 1 to 1,000,000.

    Example: `train_many(keys, optax.sgd, {"learning_rate": 0.1}, breast_cancer(), steps=300, batch_size=32)`.
    """
    from sklearn.datasets import load_breast_cancer

    require_whole("breast_cancer", 1_000_000, width=width)
    table: Any = load_breast_cancer(return_X_y=True)
    x = ((table[0] - table[0].mean(0)) / table[0].std(0)).astype(np.float32)
    net = nn.Sequential([nn.Dense(width), nn.tanh, nn.Dense(2)])
    return classifier(*of_linen(net, x[:1]), x, table[1])
