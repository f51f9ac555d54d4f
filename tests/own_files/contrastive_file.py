"""A contrastive loss, scored by nearest neighbours over the whole set."""

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax.training import Problem, Table, higher, random_split


def make():
    rng = np.random.default_rng(0)
    kinds = np.arange(90) % 3
    x = (3 * rng.normal(size=(3, 5))[kinds] + rng.normal(size=(90, 5))).astype(np.float32)

    def embed(params, x):
        z = x @ params
        return z / jnp.linalg.norm(z, axis=-1, keepdims=True)

    def loss(params, state, batch, key):
        x, _ = batch
        one, two = (embed(params, x + 0.1 * jax.random.normal(k, x.shape)) for k in jax.random.split(key))
        return -jnp.mean(jnp.diag(jax.nn.log_softmax(one @ two.T / 0.2))), state

    def neighbours(values):
        nearness = values["z"] @ values["z"].T - 4 * jnp.eye(len(values["z"]))
        return jnp.mean(values["kind"][jnp.argmax(nearness, -1)] == values["kind"])

    return Problem(
        init=lambda key: (jax.random.normal(key, (5, 2)), {}),
        loss=loss,
        measure=lambda params, state, batch, key: {"z": embed(params, batch[0]), "kind": batch[1]},
        scores={"neighbours": higher(neighbours, worst=0.0, percent=True)},
        data=Table((x, kinds), random_split(90)),
    )
