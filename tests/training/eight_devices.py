"""Run in a process of its own with eight CPU devices: prints a digest of results for each number of devices that it is given.

Then one for two devices and another order of the waves.
"""

import hashlib
import sys

from momentum_jax.training import Examples, train_many, use_all_cpu_cores

use_all_cpu_cores(8)

import jax  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

from momentum_jax.training.model import cnn, mlp  # noqa: E402

PROBLEMS = {
    "a wide net": lambda: (mlp((256, 256), dropout=0.1), (28, 28), 100, "shuffle", 1000),
    "a batch so large that XLA splits its sums if it may": lambda: (
        mlp((100,), "tanh", dropout=0.1, loss="half_squared_error", input_shape=(14, 14)),
        (14, 14),
        1000,
        "replacement",
        1000,
    ),
    "convolutions": lambda: (cnn((4,), (8,), input_shape=(14, 14)), (14, 14), 32, "shuffle", 100),
}


def digest(devices, order, model, shape, batch_size, sampling, evaluated):
    """SHA-256 over all numbers of five runs, put back into the order of their seeds."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (4000, *shape)).astype(np.uint8), rng.integers(0, 10, 4000).astype(np.uint8)
    rows = rng.permutation(4000).astype(np.int32)[None]
    result = train_many(
        jax.random.split(jax.random.key(0), 5)[np.array(order)],
        optax.sgd,
        [{"learning_rate": 0.01 * (seed + 1), "momentum": 0.9} for seed in order],
        model,
        Examples(images, labels, 255.0, rows[:, :1500], *np.split(rows[:, 1500 : 1500 + 2 * evaluated], 2, axis=1)),
        steps=6,
        batch_size=batch_size,
        sampling=sampling,
        evaluate_at=4,
        norms=True,
        devices=jax.devices()[:devices],
    )
    found = hashlib.sha256()
    for place in np.argsort(order):
        run = result.runs[place]
        numbers = (run.losses, run.evaluation_losses, run.evaluation_accuracies, run.gradient_norms, run.confusion)
        for leaf in [*numbers, *jax.tree.leaves(run.params), run.test_loss, run.mcc]:
            found.update(np.asarray(leaf).tobytes())
    return found.hexdigest()[:16]


if __name__ == "__main__":
    problem = PROBLEMS[sys.argv[1]]()
    print(*(digest(int(devices), range(5), *problem) for devices in sys.argv[2:]), digest(2, (3, 0, 4, 2, 1), *problem))
