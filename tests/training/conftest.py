import jax
import jax.numpy as jnp
import numpy as np
import pytest

from momentum_jax.training import Examples, Model

SIDE, CLASSES = 6, 4


@pytest.fixture(scope="session")
def examples() -> Examples:
    """Noisy copies of four pictures, 6 x 6, and two splits of them whose sizes no batch size divides."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, CLASSES, 400).astype(np.uint8)
    pictures = rng.integers(0, 150, (CLASSES, SIDE, SIDE))
    images = (pictures[labels] + rng.integers(0, 100, (400, SIDE, SIDE))).astype(np.uint8)
    orders = np.stack([rng.permutation(400) for _ in range(2)]).astype(np.int32)
    return Examples(images, labels, 255.0, orders[:, :230], orders[:, 230:301], orders[:, 301:])


def _init(key):
    return {"kernel": 0.3 * jax.random.normal(key, (SIDE * SIDE, CLASSES)), "bias": jnp.zeros(CLASSES)}, {}


def _apply(params, model_state, x, *, key, train):
    return x.reshape(x.shape[0], -1) @ params["kernel"] + params["bias"], model_state


def _loss(outputs, labels):
    return -jnp.take_along_axis(jax.nn.log_softmax(outputs), labels[:, None], axis=-1)[:, 0]


@pytest.fixture(scope="session")
def linear() -> Model:
    """Softmax regression, without Flax."""
    return Model(_init, _apply, _loss)


@pytest.fixture(scope="session")
def equal():
    """Whether two trees are the same to the bit, NaNs included."""

    def compare(a, b):
        same = jax.tree.map(lambda x, y: np.asarray(x).tobytes() == np.asarray(y).tobytes(), a, b)
        return all(jax.tree.leaves(same))

    return compare
