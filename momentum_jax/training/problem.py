"""What the trainer is given: a problem as pure functions, the scores that judge it, and its data.

minimise loss over params        measure each example        score = a function of all that was measured
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# A mean is summed in blocks of this many examples, whatever the evaluation's batches, so that these change no bit of it.
_BLOCK = 2048
# Chooses the test rows, which are the same for every seed; not among the seeds that anybody counts up to.
_FIXED = 2**64 - 1


class Score(NamedTuple):
    """A number that judges a run, made by `higher`, `lower` or `kept`.

    of: the name of a measured value, whose float32 mean over the set it is, or a function `values -> scalar` of all examples
      of the set, traceable by JAX.
    better: "higher" or "lower"; None: kept, never ranked, and possibly an array.
    worst: the value that a diverged run counts as; None: there is no such value.
    percent: whether the score is a share that is written in percent.
    """

    of: str | Callable[[Mapping[str, jax.Array]], jax.Array]
    better: Literal["higher", "lower"] | None
    worst: float | None = None
    percent: bool = False

    def __call__(self, values: Mapping[str, jax.Array]) -> jax.Array:
        """The score of `values`, each (n, ...), of all n examples."""
        return _mean(values[self.of]) if isinstance(self.of, str) else self.of(values)


def higher(of: str | Callable[..., Any], worst: float | None = None, percent: bool = False) -> Score:
    """A score of which more is better; arguments as in `Score`. Example: `higher("hit", worst=0.0, percent=True)`."""
    return Score(of, "higher", worst, percent)


def lower(of: str | Callable[..., Any], worst: float | None = None, percent: bool = False) -> Score:
    """A score of which less is better; arguments as in `Score`. Example: `lower(lambda values: jnp.max(values["error"]))`."""
    return Score(of, "lower", worst, percent)


def kept(of: str | Callable[..., Any]) -> Score:
    """What is stored with a run and never ranked; it may be an array, such as a confusion matrix."""
    return Score(of, None)


def rows(arrays: Any, indices: jax.Array) -> Any:
    """The rows at `indices` of every array of a tree."""
    return jax.tree.map(lambda array: array[indices], arrays)


class Table(NamedTuple):
    """Data that fit on a device.

    arrays: a tree of arrays that share their first axis, kept on the device in their own dtypes.
    split: `split(seed) -> (train, validation, test)`, integer indices of rows. The three are disjoint and their sizes are the
      same for all seeds. `validation` and `test` may be empty: runs are then not evaluated on them.
    take: `take(arrays, indices) -> batch`, called inside the program: gathers, casts, cuts windows out of a token sequence.
    """

    arrays: Any
    split: Callable[[int], tuple[Any, Any, Any]]
    take: Callable[[Any, jax.Array], Any] = rows


class Stream(NamedTuple):
    """Data that do not fit on a device: batches from the host, made by a thread of their own while the devices work.

    train: `train(seed, step) -> batch`, a tree of NumPy arrays that is a function of the two alone, in the same shapes and
      dtypes in every step. So a run goes on anywhere, and runs of one seed share their batches.
    validation, test: `validation() -> batches`, the same whenever it is called. The last one may be smaller. None: runs are not
      evaluated on such a set.

    Example: `Stream(lambda seed, step: draw(seed, step), lambda: map(read, range(9)), lambda: map(read, range(9, 18)))`.
    """

    train: Callable[[int, int], Any]
    validation: Callable[[], Iterable[Any]] | None = None
    test: Callable[[], Iterable[Any]] | None = None


class Problem(NamedTuple):
    """Whatever JAX can differentiate, as pure functions.

    init: `init(key) -> (params, state)`: a tree of floating arrays to train, and what the loss changes beside them (running
      averages, keys); `{}` for none.
    loss: `loss(params, state, batch, key) -> (scalar, state)`, what is minimised. The key is fresh in every step.
    measure: `measure(params, state, batch, key) -> {name: (n, ...)}`, one row for each of n examples. A row must not depend
      on other rows. The key is fixed for a run.
    scores: by name; the first ranked one is the primary score, by which runs are selected and compared.
    data: None: `batch` is None in loss and measure, and what is measured is handed to the scores as it is.
    evaluation_batch: the most examples that `measure` sees at once; a `Stream` has batches of its own.
    axes: which axes of the parameters form matrices, as in `momentum_jax.muon`; handed to an optimizer's constructor that has
      an argument `axes` and was given none. In an arm's text they reach the constructors inside it too. A constructor of your
      own hands them on: `lambda learning_rate, axes=None: averaged(muon(learning_rate, axes=axes), 0.99)`.

    Example, the line through points `x` and `y`:

        Problem(
            init=lambda key: ({"slope": jnp.zeros(()), "offset": jnp.zeros(())}, {}),
            loss=lambda params, state, batch, key: (jnp.mean(error(params, batch) ** 2), state),
            measure=lambda params, state, batch, key: {"squared": error(params, batch) ** 2},
            scores={"mse": lower("squared")},
            data=Table((x, y), random_split(len(x))),
        )
    """

    init: Callable[..., Any]
    loss: Callable[..., Any]
    measure: Callable[..., Any]
    scores: Mapping[str, Score]
    data: Table | Stream | None = None
    evaluation_batch: int = 2048
    axes: Any = None


def random_split(
    n: int, validation: float = 0.2, test: float = 0.2, stratify: Sequence[Any] | np.ndarray | None = None
) -> Callable[[int], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Divides n rows: the test rows are the same for every seed, of the others the seed chooses those for validation.

    The same seed gives the same split on every platform and with every NumPy, which promises to keep the raw outputs of PCG64.

    Args:
      n: how many rows there are.
      validation, test: shares of the n rows, in [0, 1), together below 1.
      stratify: (n,) labels; of each label validation and test then get that share.

    Returns:
      `split(seed) -> (train, validation, test)`, int32 indices; training and validation rows are in random order.

    Raises:
      ValueError: an argument out of its range, or no row that is left for training.

    Example: `Table((x, y), random_split(len(x), stratify=y))`.
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"random_split: n must be a whole number of at least 1, got {n!r}.")
    for name, share in (("validation", validation), ("test", test)):
        if not 0 <= share < 1:
            raise ValueError(f"random_split: {name} must be in [0, 1), got {share!r}.")
    if validation + test >= 1:
        raise ValueError(f"random_split: validation and test must be below 1 together, got {validation!r} and {test!r}.")
    labels = np.zeros(n, np.int8) if stratify is None else np.asarray(stratify)
    if labels.shape != (n,):
        raise ValueError(f"random_split: stratify must be ({n},), one label for each row, got shape {labels.shape}.")
    _, labels, counts = np.unique(labels, return_inverse=True, return_counts=True)
    tested = _first(_order(_FIXED, n), labels, np.floor(counts * test + 0.5))
    held_out = np.sort(tested)
    validated = np.minimum(np.floor(counts * validation + 0.5), counts - np.bincount(labels[held_out], minlength=len(counts)))
    if n == len(held_out) + validated.sum():
        raise ValueError(f"random_split: n must leave rows for training, got {n} with validation={validation}, test={test}.")

    def split(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        order = _order(seed, n)
        order = order[~np.isin(order, held_out)]
        chosen = _first(order, labels, validated)
        return order[~np.isin(order, chosen)], chosen, held_out

    return split


def fixed_split(train: Any, validation: Any, test: Any) -> Callable[[int], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The same three index arrays for every seed. Example: `fixed_split(range(800), range(800, 900), range(900, 1000))`."""
    parts = tuple(np.asarray(part, None if len(part) else np.int32) for part in (train, validation, test))

    def split(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        del seed
        return parts[0], parts[1], parts[2]

    return split


def _order(seed: int, count: int) -> np.ndarray:
    """A random order of `count` indices."""
    return np.argsort(np.random.PCG64(int(seed)).random_raw(count), kind="stable").astype(np.int32)


def _first(order: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Of each label the first so many rows in that order."""
    place = np.empty(len(order), int)
    for label in range(len(counts)):
        of_label = np.flatnonzero(labels[order] == label)
        place[of_label] = np.arange(len(of_label))
    return order[place < counts[labels[order]]]


def _mean(values: jax.Array) -> jax.Array:
    """The float32 mean of all entries, summed in equal blocks of at most `_BLOCK` rows."""
    values = values.astype(jnp.float32)
    if not values.ndim:
        return values
    blocks = -(-len(values) // _BLOCK)
    width = -(-len(values) // blocks)
    missing = jnp.zeros((blocks * width - len(values), *values.shape[1:]), jnp.float32)
    sums = jax.lax.map(jnp.sum, jnp.concatenate([values, missing]).reshape(blocks, width, *values.shape[1:]))
    return jnp.sum(sums) / values.size
