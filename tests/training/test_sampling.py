import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from momentum_jax.training.sampling import Replacement, Shuffle, make_sampler, permutation


def batches(sampler, key, steps, cuts=()):
    """All batches, the steps done in chunks that end at `cuts`, as the loop does them."""
    segment, batch = jax.jit(sampler.segment), jax.jit(jax.vmap(sampler.batch, in_axes=(None, 0)))
    plan, found, t = sampler.start(key), [], 0
    for last in (*cuts, steps):
        while t < last:
            batches = segment(key, plan, np.int32(t))
            plan, end = sampler.keep(batches), min(int(batches.end), last)
            some = np.asarray(batch(batches, t + np.arange(steps, dtype=np.int32)))
            found.append(some[: end - t])
            t = end
    return np.concatenate(found)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 1000, 65_537])
def test_a_permutation_holds_every_index_once(n):
    order = jax.jit(permutation, static_argnums=1)(jax.random.key(n), n)
    assert order.dtype == jnp.int32
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


def test_all_orders_of_four_are_equally_likely():
    keys = jax.random.split(jax.random.key(0), 24_000)
    orders = np.asarray(jax.jit(jax.vmap(lambda key: permutation(key, 4)))(keys))
    counts = [np.sum(np.all(orders == order, axis=1)) for order in itertools.permutations(range(4))]
    chi_squared = np.sum((np.array(counts) - 1000) ** 2) / 1000
    assert chi_squared < 50  # 23 degrees of freedom: 1 in 1,000 lies above 50


def test_every_index_is_equally_likely_in_every_place():
    keys = jax.random.split(jax.random.key(1), 20_000)
    orders = np.asarray(jax.jit(jax.vmap(lambda key: permutation(key, 50)))(keys))
    counts = np.stack([np.bincount(orders[:, place], minlength=50) for place in range(50)])
    assert np.abs(counts - 400).max() < 5 * 20


@pytest.mark.parametrize("batch_size", [1, 7, 10, 23])
def test_each_epoch_of_the_stream_holds_every_example_once(batch_size):
    n = 23
    stream = batches(Shuffle(n, batch_size), jax.random.key(2), 60).ravel()
    epochs = stream[: len(stream) // n * n].reshape(-1, n)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.broadcast_to(np.arange(n), epochs.shape))
    assert len({tuple(epoch) for epoch in epochs}) == len(epochs)


@pytest.mark.parametrize("sampler", [Shuffle(23, 7), Replacement(23, 7)])
def test_batches_do_not_depend_on_how_the_steps_are_cut(sampler):
    key = jax.random.key(3)
    whole = batches(sampler, key, 150)
    np.testing.assert_array_equal(batches(sampler, key, 150, cuts=(1, 2, 3, 4, 64, 127, 128, 129)), whole)
    assert not np.array_equal(batches(sampler, jax.random.key(4), 150), whole)


def test_positions_in_the_stream_are_right_where_their_product_passes_2_to_the_31():
    sampler = Shuffle(50_000, 96)
    for step in (0, 1, 520, 521, 22_369_621, 22_369_622, 2_000_000_000):
        epoch, offset = sampler._position(jnp.int32(step))
        assert (int(epoch), int(offset)) == divmod(step * 96, 50_000)


def test_draws_with_replacement_are_uniform_and_repeat():
    drawn = batches(Replacement(20, 50), jax.random.key(5), 400)
    counts = np.bincount(drawn.ravel(), minlength=20)
    assert counts.sum() == 20_000
    assert np.sum((counts - 1000) ** 2) / 1000 < 44  # 19 degrees of freedom
    assert any(len(set(batch)) < 50 for batch in drawn)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bootstrap", 10, 5), "train_many: sampling must be 'shuffle' or 'replacement', got 'bootstrap'."),
        (("shuffle", 10, 11), "batch_size must be at most the 10 training examples"),
    ],
)
def test_a_sampler_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_sampler(*arguments)
