"""The two nets of bench/train.py and the images that they learn."""

from typing import NamedTuple

import numpy as np

from momentum_jax.training import Model
from momentum_jax.training.model import mlp


class Net(NamedTuple):
    """Layer widths, and what the two nets differ in."""

    name: str
    widths: tuple[int, ...]
    activation: str
    squared_error: bool
    batch_size: int
    learning_rate: float
    momentum: float
    sampling: str
    side: int
    scale: int

    def model(self) -> Model:
        """The net as this library builds it."""
        last = self.activation if self.squared_error else None
        return mlp(
            self.widths[1:-1],
            self.activation,
            init="uniform" if self.squared_error else "he_normal",
            output_activation=last,
            loss="half_squared_error" if self.squared_error else "cross_entropy",
            input_shape=(self.side, self.side),
        )


NETS = (
    Net(
        name="784-256-256-10 ReLU, cross-entropy, batch 100",
        widths=(784, 256, 256, 10),
        activation="relu",
        squared_error=False,
        batch_size=100,
        learning_rate=0.01,
        momentum=0.9,
        sampling="shuffle",
        side=28,
        scale=255,
    ),
    Net(
        name="196-100-50-10 sigmoid, squared error, batch 64",
        widths=(196, 100, 50, 10),
        activation="sigmoid",
        squared_error=True,
        batch_size=64,
        learning_rate=0.2,
        momentum=0.9,
        sampling="replacement",
        side=14,
        scale=1020,
    ),
)


class Data(NamedTuple):
    """50,000 training and 10,000 test images that can be learned: a picture per class, and noise."""

    images: np.ndarray
    labels: np.ndarray
    train: int

    @classmethod
    def of(cls, net: Net) -> "Data":
        """The images of the size and integer type that the net takes."""
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 10, 60_000)
        pictures = rng.random((10, net.side, net.side), np.float32)
        images = (net.scale * (0.4 * pictures[labels] + 0.6 * rng.random((60_000, net.side, net.side), np.float32))).round()
        return cls(images.astype(np.uint8 if net.scale < 256 else np.uint16), labels.astype(np.uint8), 50_000)

    def training_floats(self, scale: float) -> tuple[np.ndarray, np.ndarray]:
        """Flat float32 images in [0, 1] and int64 labels of the training examples, as the peers want them."""
        images = self.images[: self.train].reshape(self.train, -1).astype(np.float32) / np.float32(scale)
        return images, self.labels[: self.train].astype(np.int64)
