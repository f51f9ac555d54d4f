"""Models from a plain specification, built of Flax NNX modules."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from flax.core import FrozenDict

from momentum_jax.training.adapters import of_nnx
from momentum_jax.training.classification import Model

_ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
}
Activation = str | Callable[[jax.Array], jax.Array]


def mlp(
    hidden: Sequence[int] = (256, 256),
    activation: Activation = "relu",
    dropout: float = 0.0,
    *,
    init: str = "he_normal",
    output_activation: Activation | None = None,
    loss: str = "cross_entropy",
    input_shape: Sequence[int] = (28, 28),
    classes: int = 10,
) -> Model:
    """A multilayer perceptron on flattened images. The same arguments give the same `Model` object.

    Args:
      hidden: widths of the hidden layers; () for a linear model.
      activation: "relu", "tanh", "sigmoid" or a function, after every hidden layer.
      dropout: share of hidden units dropped while training, in [0, 1).
      init: "he_normal" (weights N(0, 2 / fan_in), biases 0), "glorot_uniform" (weights uniform within the root of
        6 / (fan_in + fan_out), biases 0; the default of Keras) or "uniform" (weights and biases uniform in [-0.5, 0.5]).
      output_activation: the same choice after the last layer; None for none.
      loss: "cross_entropy" (softmax, of logits) or "half_squared_error" (half the sum of squares against one-hot targets).
      input_shape: shape of one image, (height, width) or (height, width, channels).
      classes: number of classes.

    Returns:
      A `Model` whose params are a dict of layers `hidden_0`, ..., `output`, each with `kernel` (in, out) and `bias`.

    Raises:
      ValueError: an argument out of its range.
    """
    widths = tuple(_at_least_one("mlp", "every width in hidden", width) for width in hidden)
    return _mlp(widths, activation, *_common("mlp", activation, dropout, init, output_activation, loss, input_shape, classes))


def cnn(
    channels: Sequence[int] = (16, 32),
    hidden: Sequence[int] = (64,),
    activation: Activation = "relu",
    dropout: float = 0.0,
    *,
    init: str = "he_normal",
    output_activation: Activation | None = None,
    loss: str = "cross_entropy",
    input_shape: Sequence[int] = (28, 28),
    classes: int = 10,
) -> Model:
    """A small convolutional net: per entry of `channels` a 3x3 convolution and 2x2 max pooling, then an `mlp`.

    Arguments as in `mlp`. Layers `convolution_0`, ..., `hidden_0`, ..., `output`; pooling rounds down, so each side of an
    image needs at least 2^len(channels) pixels.

    Raises:
      ValueError: an argument out of its range, or an image too small for that many poolings.
    """
    planes = tuple(_at_least_one("cnn", "every number in channels", number) for number in channels)
    widths = tuple(_at_least_one("cnn", "every width in hidden", width) for width in hidden)
    if len(input_shape) not in (2, 3) or min(input_shape[:2]) < 2 ** len(planes):
        raise ValueError(
            f"cnn: input_shape must be (height, width) or (height, width, channels) of at least {2 ** len(planes)} pixels each "
            f"for {len(planes)} poolings, got {tuple(input_shape)}."
        )
    return _cnn(
        planes, widths, activation, *_common("cnn", activation, dropout, init, output_activation, loss, input_shape, classes)
    )


def from_nnx(build: Callable[[nnx.Rngs], Any], loss: Callable[[jax.Array, jax.Array], jax.Array], axes: Any = None) -> Model:
    """A `Model` of any NNX module, by `momentum_jax.training.of_nnx`.

    Args:
      build: `build(rngs)` makes the module, called as `module(x)`, and with `train` and `rngs` where it names them. Layers
        that draw numbers take them from `rngs` of the call, or from those that the module was built with; everything in the
        module but its `nnx.Param` is model state: `nnx.BatchStat`, and the key and count of rngs of its own.
      loss: `loss(outputs, labels) -> (batch,)`.
      axes: as in `Model`.
    """
    return Model(*of_nnx(build), loss, axes)


class Mlp(nnx.Module):
    """Dense layers with an activation and dropout after each hidden one."""

    def __init__(
        self,
        inputs: int,
        hidden: tuple[int, ...],
        activation: Callable[[jax.Array], jax.Array],
        dropout: float,
        init: str,
        output_activation: Callable[[jax.Array], jax.Array],
        classes: int,
        rngs: nnx.Rngs,
    ):
        self.activation, self.output_activation, self.depth = activation, output_activation, len(hidden)
        for i, (fan_in, fan_out) in enumerate(zip((inputs, *hidden), hidden, strict=False)):
            setattr(self, f"hidden_{i}", nnx.Linear(fan_in, fan_out, rngs=rngs, **_INITS[init]))
        self.output = nnx.Linear((inputs, *hidden)[-1], classes, rngs=rngs, **_INITS[init])
        self.dropout = nnx.Dropout(dropout)

    def __call__(self, x: jax.Array, *, train: bool, rngs: nnx.Rngs) -> jax.Array:
        x = x.reshape(x.shape[0], -1)
        for i in range(self.depth):
            x = self.activation(getattr(self, f"hidden_{i}")(x))
            x = self.dropout(x, deterministic=not train, rngs=rngs)
        return self.output_activation(self.output(x))


class Cnn(nnx.Module):
    """Convolutions with pooling, then an `Mlp` whose layers are this module's own."""

    def __init__(
        self,
        shape: tuple[int, ...],
        channels: tuple[int, ...],
        hidden: tuple[int, ...],
        init: str,
        rngs: nnx.Rngs,
        **dense: Any,
    ):
        self.activation, self.depth = dense["activation"], len(channels)
        colours = math.prod(shape[2:])
        for i, (fan_in, fan_out) in enumerate(zip((colours, *channels), channels, strict=False)):
            layer = nnx.Conv(fan_in, fan_out, (3, 3), conv_general_dilated=convolve, rngs=rngs, **_INITS[init])
            setattr(self, f"convolution_{i}", layer)
        pixels = (shape[0] >> self.depth) * (shape[1] >> self.depth)
        self.dense = Mlp(pixels * (colours, *channels)[-1], hidden, init=init, rngs=rngs, **dense)

    def __call__(self, x: jax.Array, *, train: bool, rngs: nnx.Rngs) -> jax.Array:
        x = x[..., None] if x.ndim == 3 else x
        for i in range(self.depth):
            x = halve(self.activation(getattr(self, f"convolution_{i}")(x)))
        return self.dense(x, train=train, rngs=rngs)


def convolve(x: jax.Array, kernel: jax.Array, window_strides: Sequence[int], padding: Any, **options: Any) -> jax.Array:
    """`jax.lax.conv_general_dilated`; on a CPU a product of two matrices, where the two are the same.

    They are the same for images (n, height, width, channels) without dilation or groups, with any strides and
    padding. Inside a loop XLA's gradient of a convolution on a CPU takes ten times as long.

    Args:
      x, kernel: images and the kernel, in the layout that `dimension_numbers` of the options says.
      window_strides, padding, options: those of `jax.lax.conv_general_dilated`.

    Example: `nnx.Conv(3, 16, (3, 3), conv_general_dilated=convolve, rngs=rngs)`.
    """
    product = {name: options.get(name) for name in ("precision", "preferred_element_type")}

    def by_patches(x: jax.Array, kernel: jax.Array) -> jax.Array:
        sides, strides = kernel.shape[:2], window_strides
        margins = padding
        if isinstance(padding, str):
            margins = jax.lax.padtype_to_pads(x.shape[1:3], sides, strides, padding)
        # A negative margin cuts.
        padded = jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((low, high, 0) for low, high in margins), (0, 0, 0)])
        rows, columns = (max(0, whole - side + 1) for whole, side in zip(padded.shape[1:3], sides, strict=True))
        places = [(i, j) for i in range(sides[0]) for j in range(sides[1])]
        shifted = [padded[:, i : rows + i : strides[0], j : columns + j : strides[1]] for i, j in places]
        patches = jnp.concatenate(shifted, axis=-1)
        # A product of more dimensions than two would copy the gradient to transpose it.
        flat = jnp.matmul(patches.reshape(-1, patches.shape[-1]), kernel.reshape(-1, kernel.shape[-1]), **product)
        return flat.reshape(*patches.shape[:3], kernel.shape[-1])

    def by_xla(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(x, kernel, window_strides, padding, **options)

    layout = functools.partial(jax.lax.conv_dimension_numbers, x.shape, kernel.shape)
    ones = [*(options.get("lhs_dilation") or ()), *(options.get("rhs_dilation") or ())]
    ones += [options.get("feature_group_count", 1), options.get("batch_group_count", 1)]
    images = x.ndim == 4 and layout(options.get("dimension_numbers")) == layout(("NHWC", "HWIO", "NHWC"))
    if not images or any(each != 1 for each in ones):
        return by_xla(x, kernel)
    return jax.lax.platform_dependent(x, kernel, cpu=by_patches, default=by_xla)


def halve(x: jax.Array) -> jax.Array:
    """The largest of each 2 x 2 pixels of images (n, height, width, channels): `nnx.max_pool(x, (2, 2), strides=(2, 2))`.

    It is that bit for bit, and so are its derivatives, which are those of the first of tied maxima. On a CPU XLA's own
    pooling takes three times as long; there it is a reshape.
    """

    def by_xla(x: jax.Array) -> jax.Array:
        return nnx.max_pool(x, (2, 2), strides=(2, 2))

    return jax.lax.platform_dependent(x, cpu=_halve, default=by_xla)


@jax.custom_jvp
def _halve(x: jax.Array) -> jax.Array:
    return _in_windows(x).max((2, 4))


def _in_windows(x: jax.Array) -> jax.Array:
    """(n, height // 2, 2, width // 2, 2, channels): the last row and column of odd sides are in no window."""
    n, height, width, channels = x.shape
    return x[:, : height // 2 * 2, : width // 2 * 2].reshape(n, height // 2, 2, width // 2, 2, channels)


@_halve.defjvp
def _halve_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (dx,) = primals, tangents
    largest = _halve(x)
    is_largest = _in_windows(x) == largest[:, :, None, :, None]
    # Of the four places of a window, row by row.
    before = [is_largest[:, :, i, :, j] for i, j in ((0, 0), (0, 1), (1, 0))]
    first = jnp.where(before[0], 0, jnp.where(before[1], 1, jnp.where(before[2], 2, 3)))
    place = jnp.arange(4, dtype=jnp.int8).reshape(2, 2)[None, None, :, None, :, None]
    chosen = first.astype(jnp.int8)[:, :, None, :, None] == place
    return largest, jnp.where(chosen, _in_windows(dx), 0).sum((2, 4))


def cross_entropy(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Softmax cross-entropy of logits (batch, classes) and labels (batch,), in nats, (batch,)."""
    return optax.softmax_cross_entropy_with_integer_labels(outputs, labels)


def half_squared_error(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Half the sum over the classes of (output - one-hot target)^2, (batch,)."""
    return 0.5 * jnp.sum((outputs - jax.nn.one_hot(labels, outputs.shape[-1], dtype=outputs.dtype)) ** 2, axis=-1)


LOSSES = {"cross_entropy": cross_entropy, "half_squared_error": half_squared_error}


@functools.lru_cache(maxsize=64)
def _mlp(hidden, activation, dropout, init, output_activation, loss, shape, classes) -> Model:
    def build(rngs: nnx.Rngs) -> Mlp:
        return Mlp(
            inputs=math.prod(shape),
            hidden=hidden,
            activation=_function(activation),
            dropout=dropout,
            init=init,
            output_activation=_function(output_activation),
            classes=classes,
            rngs=rngs,
        )

    return from_nnx(build, LOSSES[loss])


@functools.lru_cache(maxsize=64)
def _cnn(channels, hidden, activation, dropout, init, output_activation, loss, shape, classes) -> Model:
    def build(rngs: nnx.Rngs) -> Cnn:
        return Cnn(
            shape,
            channels,
            hidden,
            init,
            rngs,
            activation=_function(activation),
            dropout=dropout,
            output_activation=_function(output_activation),
            classes=classes,
        )

    return from_nnx(build, LOSSES[loss], _AXES if channels else None)


# Frozen: a model can be the key of a cache.
_AXES = FrozenDict({"convolution_*/kernel": "in in in out"})


def _uniform_half(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32, **_: Any) -> jax.Array:
    return jax.random.uniform(key, shape, dtype, -0.5, 0.5)


_INITS: dict[str, dict[str, Any]] = {
    # Flax's own he_normal cuts the normal distribution off at two standard deviations; the textbook's does not.
    "he_normal": {
        "kernel_init": nnx.initializers.variance_scaling(2.0, "fan_in", "normal"),
        "bias_init": nnx.initializers.zeros,
    },
    "glorot_uniform": {
        "kernel_init": nnx.initializers.variance_scaling(1.0, "fan_avg", "uniform"),
        "bias_init": nnx.initializers.zeros,
    },
    "uniform": {"kernel_init": _uniform_half, "bias_init": _uniform_half},
}


def _common(
    who: str,
    activation: Activation,
    dropout: float,
    init: str,
    output_activation: Activation | None,
    loss: str,
    input_shape: Sequence[int],
    classes: int,
) -> tuple[Any, ...]:
    """The arguments after `activation` that all models share, checked, in the order in which the cached builders take them."""
    for name, value in (("activation", activation), ("output_activation", output_activation)):
        if not callable(value) and value not in _ACTIVATIONS and not (value is None and name == "output_activation"):
            raise ValueError(f"{who}: {name} must be one of {', '.join(_ACTIVATIONS)} or a function, got {value!r}.")
    if isinstance(dropout, bool) or not 0 <= dropout < 1:
        raise ValueError(f"{who}: dropout must be in [0, 1), got {dropout!r}.")
    if init not in _INITS:
        raise ValueError(f"{who}: init must be one of {', '.join(_INITS)}, got {init!r}.")
    if loss not in LOSSES:
        raise ValueError(f"{who}: loss must be one of {', '.join(LOSSES)}, got {loss!r}.")
    shape = tuple(_at_least_one(who, "every side of input_shape", side) for side in input_shape)
    return float(dropout), init, output_activation, loss, shape, _at_least_one(who, "classes", classes)


def _at_least_one(who: str, what: str, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
        raise ValueError(f"{who}: {what} must be a whole number of at least 1, got {value!r}.")
    return int(value)


def _function(activation: Activation | None) -> Callable[[jax.Array], jax.Array]:
    if activation is None:
        return _identity
    return _ACTIVATIONS[activation] if isinstance(activation, str) else activation


def _identity(x: jax.Array) -> jax.Array:
    return x
