"""A language model of characters: a small transformer of Flax linen learns the text of Python's own help.

The text is what `help("while")` and the like show, from the running Python's `pydoc_data.topics`.
Another Python has another text. Topics repeat one another, so each paragraph is kept once.
Sources: A. Vaswani et al. (2017), Attention is all you need, NeurIPS; for the normalisation before
each layer R. Xiong et al. (2020), On layer normalization in the transformer architecture, ICML.
"""

from typing import Any

import flax.linen as nn
import numpy as np

from momentum_jax.problems._arguments import require_whole
from momentum_jax.training import Problem, next_token, of_linen


class Transformer(nn.Module):
    """Logits (n, length, alphabet) of the character after each of (n, length) tokens."""

    alphabet: int
    layers: int
    width: int
    heads: int

    @nn.compact
    def __call__(self, tokens: Any) -> Any:
        mask, small = nn.make_causal_mask(tokens), nn.initializers.normal(0.02)
        x = nn.Embed(self.alphabet, self.width)(tokens) + self.param("places", small, (tokens.shape[1], self.width))
        for _ in range(self.layers):
            x += nn.MultiHeadDotProductAttention(self.heads)(nn.LayerNorm()(x), mask=mask)
            x += nn.Dense(self.width)(nn.gelu(nn.Dense(4 * self.width)(nn.LayerNorm()(x))))
        return nn.Dense(self.alphabet, kernel_init=small)(nn.LayerNorm()(x))


def characters(layers: int = 2, width: int = 64, heads: int = 4, length: int = 64) -> Problem:
    """Windows of `length` characters, each predicted from those before it; scores bits_per_token and perplexity.

    Untrained parameters know nothing: log2 of the alphabet, about 6.7 bits.

    Raises:
      ValueError: an argument is no whole number from 1 to 4,096, or `heads` does not divide `width`.

    Example: `train_many(keys, optax.adam, {"learning_rate": 0.003}, characters(), steps=500, batch_size=16)`.
    """
    from pydoc_data.topics import topics

    require_whole("characters", 4096, layers=layers, width=width, heads=heads, length=length)
    if width % heads:
        raise ValueError(f"characters: heads must divide the width of {width}, got {heads}.")
    text = "\n\n".join(dict.fromkeys("\n\n".join(topics.values()).split("\n\n")))
    alphabet, tokens = np.unique(list(text), return_inverse=True)
    net = Transformer(len(alphabet), layers, width, heads)
    axes = {
        "*/query/kernel": "in out out",
        "*/key/kernel": "in out out",
        "*/value/kernel": "in out out",
        "*/out/kernel": "in in out",
        # The table of places multiplies nothing, and the output layer goes where embeddings go.
        "places": None,
        f"Dense_{2 * layers}/kernel": None,
    }
    return next_token(*of_linen(net, np.zeros((1, length), np.int32)), tokens.astype(np.uint8), length, axes=axes)
