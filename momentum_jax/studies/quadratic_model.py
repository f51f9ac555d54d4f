"""The quadratic model of a study's loss at some parameters: the curvatures, what the gradient is along each, and the noise.

The curvature is that of the Hessian of the loss itself over training rows; a problem is any loss, so that there is no
Gauss-Newton matrix of it. Along negative curvature the model falls without end, which `theory.predict` minds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax.curvature import extreme_eigenvalues
from momentum_jax.spectra import gradient_noise, spectral_measure
from momentum_jax.studies.material import Material, said_in_one_line
from momentum_jax.theory.prediction import Spectrum
from momentum_jax.training import Problem, Stream, Table
from momentum_jax.training.opaque import put_together, take_apart

# Training rows that are looked at, of more a random sample: fewer where the loss of them takes more floating-point operations
# than so many, some minutes in all on two cores.
MOST_ROWS, LEAST_ROWS, MOST_OPERATIONS = 4096, 64, 1e9
# Products with the Hessian for the gradient, by the steps that they serve, and for each residual of a mini-batch.
SHORT, FEW, MANY, FOR_NOISE = 500, 40, 80, 12
RESIDUALS = 20
# Batches of a stream that are looked at.
_BATCHES = 8


@dataclass(frozen=True)
class QuadraticModel:
    """What was measured at the parameters of one seed.

    rows: training rows that were looked at, of `training_rows`; 0 of a problem without data. entries: of the parameters.
    loss: there. spectrum: for `theory.predict`. noise, noise_error: the variance of one example's gradient in all directions
    together and its standard error; None where every step sees all rows.
    """

    seed: int
    rows: int
    training_rows: int
    entries: int
    loss: float
    spectrum: Spectrum
    noise: float | None
    noise_error: float | None


def start_of(problem: Problem, seed: int) -> tuple[Any, Any]:
    """Parameters and state in which the trainer begins the run of a seed."""
    key, _, _ = jax.random.split(jax.random.key(np.uint32(seed)), 3)
    params, state = jax.jit(lambda key: tuple(put_together(*take_apart(tree)) for tree in problem.init(key)))(key)
    return params, state


def quadratic_model(whole: Material, seed: int, steps: int, *, noise: bool = True) -> QuadraticModel:
    """Measures the model of a study's problem where the run of a seed begins.

    Args:
      whole: of the study.
      seed: of the study's own; its split, its start and its key are used.
      steps: that the model is to serve.
      noise: whether the noise of mini-batches is measured, too.

    Raises:
      StudyError: the loss cannot be differentiated twice, parameters are not real, a stream's batches have no axis of rows.
        What a function of the user's raises passes as it is.
    """
    problem = whole.problem
    with said_in_one_line():
        params, state = start_of(problem, seed)
        loss, data, of = _loss(whole, seed, params, state)
        rows, chunk = _rows(data), _chunk(whole, data)
        products = FEW if steps <= SHORT else MANY
        measure = spectral_measure(loss, params, data, iterations=products, chunk_size=chunk)
        curvatures, gradients2 = np.asarray(measure.curvatures, float), np.asarray(measure.weights, float)
        noises: Any = np.zeros((1, len(curvatures)))
        total = error = None
        batch = batch_of(whole, seed)
        if noise and batch is not None and rows > 1:
            drawn = max(1, min(int(batch), rows // 2))
            found = gradient_noise(
                loss,
                params,
                data,
                batch_size=drawn,
                residuals=RESIDUALS,
                iterations=FOR_NOISE,
                key=jax.random.key(np.uint32(seed)),
                chunk_size=chunk,
            )
            nodes = np.asarray(found.curvatures, float).ravel()
            noises = np.zeros((RESIDUALS, len(curvatures) + len(nodes)))
            for k, (own, of_one) in enumerate(zip(np.split(nodes, RESIDUALS), np.asarray(found.variances, float), strict=True)):
                noises[k, len(curvatures) + k * len(own) : len(curvatures) + (k + 1) * len(own)] = of_one
            curvatures = np.concatenate([curvatures, nodes])
            gradients2 = np.concatenate([gradients2, np.zeros(len(nodes))])
            total, error = float(found.total), float(found.standard_error)
        value = float(loss(params) if data is None else jax.jit(loss)(params, data))
    return QuadraticModel(
        seed=seed,
        rows=rows,
        training_rows=of,
        entries=sum(np.size(leaf) for leaf in jax.tree.leaves(params)),
        loss=value,
        spectrum=Spectrum(curvatures, gradients2, noises),
        noise=total,
        noise_error=error,
    )


def sharpness_at(whole: Material, seed: int, at: tuple[Any, Any]) -> float | None:
    """The largest curvature of a problem at parameters and state, on the rows of a seed; None where it is not finite.

    By 40 products from a random vector, as the gradient may not see it. Errors are those of `quadratic_model`.
    """
    params, state = jax.tree.map(jnp.asarray, at[0]), at[1]
    with said_in_one_line():
        loss, data, _ = _loss(whole, seed, params, state)
        key = jax.random.key(np.uint32(seed))
        found = extreme_eigenvalues(loss, params, data, iterations=FEW, key=key, chunk_size=_chunk(whole, data))
    value = float(found.largest[0])
    return value if np.isfinite(value) else None


def batch_of(whole: Material, seed: int, sampling: str = "replacement") -> float | None:
    """Independent draws whose mean is as noisy as a mini-batch; None: every step sees all rows, or there are no data."""
    data = whole.problem.data
    if isinstance(data, Stream):
        return float(jnp.shape(jax.tree.leaves(data.train(whole.seeds[seed], 0))[0])[0])
    if not isinstance(data, Table) or whole.batch is None:
        return None
    rows = len(np.asarray(data.split(whole.seeds[seed])[0]))
    if sampling == "replacement":
        return float(whole.batch)
    return whole.batch * (rows - 1) / (rows - whole.batch) if whole.batch < rows else None


class _Loss:
    """The problem's loss as one of parameters and a batch."""

    def __init__(self, problem: Problem, state: Any, key: jax.Array, take: Callable[[Any], Any] | None) -> None:
        self.problem, self.state, self.key, self.take = problem, state, key, take

    def __call__(self, params: Any, batch: Any = None) -> jax.Array:
        batch = batch if self.take is None else self.take(batch)
        return self.problem.loss(params, self.state, batch, self.key)[0]


def _loss(whole: Material, seed: int, params: Any, state: Any) -> tuple[_Loss, Any, int]:
    """The loss, its data, and how many rows there are to train on."""
    # The key of the trainer's first step: dropout has one mask.
    key = jax.random.fold_in(jax.random.split(jax.random.key(np.uint32(seed)), 3)[2], 0)
    data, take, of = _data(whole, seed)
    loss = _Loss(whole.problem, state, key, take)
    if (rows := _rows(data)) > LEAST_ROWS:
        cost = jax.jit(loss).lower(params, data).cost_analysis() or {}
        affordable = int(rows * MOST_OPERATIONS / max(cost.get("flops", 0.0), 1.0))
        data = jax.tree.map(lambda leaf: leaf[: max(LEAST_ROWS, affordable)], data)
    return loss, data, of


def _rows(data: Any) -> int:
    return 0 if data is None else len(jax.tree.leaves(data)[0])


def _chunk(whole: Material, data: Any) -> int | None:
    return whole.problem.evaluation_batch if _rows(data) > whole.problem.evaluation_batch else None


def _data(whole: Material, seed: int) -> tuple[Any, Callable[[Any], Any] | None, int]:
    """Arrays with a leading axis of training rows, what makes of them a batch (None: they are one), and how many rows there are
    to train on; no arrays where there are no data."""
    data, own = whole.problem.data, whole.seeds[seed]
    if data is None:
        return None, None, 0
    if isinstance(data, Stream):
        batches = [jax.tree.map(np.asarray, data.train(own, step)) for step in range(_BATCHES)]
        if not _is_of_rows(batches[0]):
            raise ValueError("prediction: batches of the stream must have one leading axis of examples in common.")
        joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *batches)
        return joined, None, len(jax.tree.leaves(joined)[0])
    rows = np.asarray(data.split(own)[0])
    chosen = rows
    if len(rows) > MOST_ROWS:
        chosen = np.random.default_rng(seed).permutation(rows)[:MOST_ROWS]
    batch = jax.jit(lambda arrays, indices: data.take(arrays, indices))(data.arrays, jnp.asarray(chosen, jnp.int32))
    if _is_of_rows(batch):
        return batch, None, len(rows)
    # A batch of another form: its rows are gathered anew each time.
    arrays = jax.tree.map(jnp.asarray, data.arrays)
    return jnp.asarray(chosen, jnp.int32), lambda indices: data.take(arrays, indices), len(rows)


def _is_of_rows(batch: Any) -> bool:
    lengths = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(batch)}
    return len(lengths) == 1 and not lengths <= {(), (0,)}
