"""Classification of colour images: from which of two photographs a small patch is, and from which quarter of it.

The photographs are scikit-learn's, of a temple and of a flower. The patches do not overlap, so no
pixel is both trained on and tested on. The net is a ResNet of Flax NNX, with batch normalisation.
Source: K. He et al. (2016), Deep residual learning for image recognition, CVPR.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from momentum_jax.problems._arguments import require_whole
from momentum_jax.training import Problem, classifier, of_nnx
from momentum_jax.training.model import convolve


class Block(nnx.Module):
    """relu(x + norm(conv(relu(norm(conv(x))))))."""

    def __init__(self, width: int, rngs: nnx.Rngs):
        self.inner = nnx.Sequential(*layer(width, width, rngs), nnx.relu, *layer(width, width, rngs))

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.relu(x + self.inner(x))


def layer(inputs: int, width: int, rngs: nnx.Rngs) -> list[nnx.Module]:
    """A convolution and its normalisation."""
    conv = nnx.Conv(inputs, width, (3, 3), use_bias=False, conv_general_dilated=convolve, rngs=rngs)
    return [conv, nnx.BatchNorm(width, momentum=0.9, rngs=rngs)]


def photographs(width: int = 16, blocks: int = 2, size: int = 8) -> Problem:
    """Patches of `size` x `size` pixels, a net of so many residual blocks; scores accuracy, loss, mcc and confusion.

    Raises:
      ValueError: an argument is no whole number from 1 to 4,096, `size` to 64.

    Example: `train_many(keys, optax.sgd, {"learning_rate": 0.1}, photographs(), steps=300, batch_size=64)`.
    """
    from sklearn.datasets import load_sample_images

    require_whole("photographs", 4096, width=width, blocks=blocks)
    require_whole("photographs", 64, size=size)
    images = np.stack(load_sample_images()["images"])
    down, across = images.shape[1] // size, images.shape[2] // size
    tiles = images[:, : down * size, : across * size].reshape(2, down, size, across, size, 3).swapaxes(2, 3)
    photograph, row, column = np.indices((2, down, across))
    quarters = 4 * photograph + 2 * (2 * row // down) + 2 * column // across

    def net(rngs: nnx.Rngs) -> nnx.Module:
        body = [*layer(3, width, rngs), nnx.relu, *(Block(width, rngs) for _ in range(blocks))]
        head = nnx.Linear(width, 8, kernel_init=nnx.initializers.normal(0.02), rngs=rngs)
        return nnx.Sequential(lambda x: x.astype(jnp.float32) / 128 - 1, *body, lambda x: x.mean((1, 2)), head)

    axes = {"layers/1/kernel": "in in in out", "*/inner/*/kernel": "in in in out"}
    return classifier(*of_nnx(net), tiles.reshape(-1, size, size, 3), quarters.ravel(), axes=axes)
