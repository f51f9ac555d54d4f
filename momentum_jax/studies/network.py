"""The net of a study of images."""

from __future__ import annotations

from dataclasses import dataclass

from momentum_jax.studies.errors import fail, require_choice, require_number, require_whole

ACTIVATIONS = ("relu", "tanh", "sigmoid")
INITIALIZATIONS = ("he_normal", "uniform", "glorot_uniform")
LOSSES = ("cross_entropy", "half_squared_error")
# Of a layer; 28 x 28 images into one of these take 3 GB of weights.
_MOST_UNITS = 1_000_000


@dataclass(frozen=True)
class Network:
    """A net: widths of its layers, what stands between them, how weights begin and what is minimised.

    `channels` makes it convolutional: for each entry a 3 x 3 convolution and 2 x 2 max pooling before the `hidden` layers.
    `output_activation` is applied to the last layer (None: nothing is).
    `initialization` is `he_normal` (weights N(0, 2 / fan_in), biases 0), `glorot_uniform` or `uniform` (all in [-0.5, 0.5]).
    `loss` is softmax `cross_entropy`, or `half_squared_error` on one-hot targets.
    """

    hidden: tuple[int, ...] = (256, 256)
    activation: str = "relu"
    output_activation: str | None = None
    initialization: str = "he_normal"
    loss: str = "cross_entropy"
    dropout: float = 0.0
    channels: tuple[int, ...] = ()

    def __post_init__(self):
        for name, what, each in (("hidden", "layer widths", "width"), ("channels", "numbers of channels", "number")):
            if not isinstance(getattr(self, name), tuple):
                raise fail("Network", name, f"a tuple (in TOML a list) of {what}", getattr(self, name))
            for value in getattr(self, name):
                require_whole("Network", f"every {each} in {name}", value, 1)
                if value > _MOST_UNITS:
                    raise fail("Network", f"every {each} in {name}", f"at most {_MOST_UNITS:,}", value)
        require_choice("Network", "activation", self.activation, ACTIVATIONS)
        if self.output_activation is not None:
            require_choice("Network", "output_activation", self.output_activation, ACTIVATIONS)
        require_choice("Network", "initialization", self.initialization, INITIALIZATIONS)
        require_choice("Network", "loss", self.loss, LOSSES)
        require_number("Network", "dropout", self.dropout, "in [0, 1)", 0.0, 1.0)
