"""One training run as pure functions: its beginning, any number of its steps, its evaluation.

Everything that is random in step t comes from (key of the run, t), so steps may be cut into chunks anywhere. Per step:

    loss_t, g = value and gradient at the held point, on batch t
    update    = optimizer.update(g, state, params, value=loss_t, grad_fn=f)     f(p): gradient at p on the same batch
    params    = params + update                                                unless a loss was not finite

From the first non-finite loss on nothing changes any more: parameters, optimizer state and model state are frozen bit by
bit, and later losses are recorded as NaN.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from momentum_jax._scaling import norm
from momentum_jax.protocol import evaluation_params, update_of
from momentum_jax.training.metrics import accuracy, confusion_matrix, matthews_correlation
from momentum_jax.training.opaque import put_together, require_same_kind, take_apart
from momentum_jax.training.problem import Model, batch_of
from momentum_jax.training.sampling import Sampler

_EVALUATION_BATCH = 2048


class Task(NamedTuple):
    """What is trained and on which batches: what runs with different optimizers share. Plain Python, hashable."""

    model: Model
    sampler: Sampler
    scale: float


class Recipe(NamedTuple):
    """What all runs of one program share. Plain Python, hashable.

    `make_optimizer(**hyperparameters)` is called with one run's traced scalars; `norms` asks for the norms of gradients
    and updates.
    """

    task: Task
    make_optimizer: Callable[..., optax.GradientTransformation]
    steps: int
    norms: bool


class Run(NamedTuple):
    """What makes one run: its key, its row of the splits, its numbers. In a wave each has a leading axis."""

    key: jax.Array
    split: jax.Array
    hyperparameters: dict[str, jax.Array]


class Tables(NamedTuple):
    """The examples on the device, the same for all runs."""

    images: jax.Array
    labels: jax.Array
    train: jax.Array


class Start(NamedTuple):
    """A run before its optimizer is known; `plan` is the sampler's."""

    params: Any
    model_state: Any
    plan: jax.Array


class RunState(NamedTuple):
    """Where one run is. `arrays` are those of the optimizer's state; `diverged` is -1 or the step that diverged.

    `losses` is (steps,), filled as far as the run has come; the norms are (steps,) when asked for, else (0,).
    """

    params: Any
    model_state: Any
    arrays: list[jax.Array]
    plan: jax.Array
    diverged: jax.Array
    losses: jax.Array
    gradient_norms: jax.Array
    update_norms: jax.Array


class Evaluation(NamedTuple):
    """Mean loss and metrics over a whole set."""

    loss: jax.Array
    accuracy: jax.Array
    mcc: jax.Array
    confusion: jax.Array


def initialise(task: Task, run: Run) -> Start:
    """Parameters, model state and first batches of a run: the same for every optimizer."""
    init_key, batch_key, _ = jax.random.split(run.key, 3)
    params, model_state = (put_together(*take_apart(tree)) for tree in task.model.init(init_key))
    return Start(params, model_state, task.sampler.start(batch_key))


def begin(recipe: Recipe, run: Run, start: Start) -> RunState:
    """The state before step 0."""
    arrays, _ = take_apart(_optimizer(recipe, run).init(start.params))
    norms = jnp.full((recipe.steps if recipe.norms else 0,), jnp.nan, jnp.float32)
    return RunState(
        params=start.params,
        model_state=start.model_state,
        arrays=arrays,
        plan=start.plan,
        diverged=jnp.asarray(-1, jnp.int32),
        losses=jnp.full((recipe.steps,), jnp.nan, jnp.float32),
        gradient_norms=norms,
        update_norms=norms,
    )


def advance(recipe: Recipe, run: Run, state: RunState, tables: Tables, first: jax.Array, last: jax.Array) -> RunState:
    """The state after the steps `first` .. `last` - 1; both are data, so one program serves chunks of every length."""
    _, batch_key, noise_key = jax.random.split(run.key, 3)
    train = tables.train[run.split]
    optimizer = _optimizer(recipe, run)
    # Called for the leaves that are no arrays; its arrays are not used and cost nothing.
    _, skeleton = take_apart(optimizer.init(state.params))

    def step(t: jax.Array, state: RunState, positions: jax.Array) -> RunState:
        x, y = batch_of(tables.images, tables.labels, recipe.task.scale, train[positions])
        key = jax.random.fold_in(noise_key, t)

        def objective(params: Any) -> tuple[jax.Array, Any]:
            outputs, model_state = recipe.task.model.apply(params, state.model_state, x, key=key, train=True)
            return jnp.mean(recipe.task.model.loss(outputs, y)), model_state

        (loss, model_state), gradient = jax.value_and_grad(objective, has_aux=True)(state.params)
        grad_fn = lambda params, *_: jax.grad(objective, has_aux=True)(params)[0]  # noqa: E731
        update = update_of("train_many", optimizer, value=loss, grad_fn=grad_fn)
        updates, opt_state = update(gradient, put_together(state.arrays, skeleton), state.params)
        arrays, after = take_apart(opt_state)
        require_same_kind("the optimizer's state", put_together(state.arrays, skeleton), put_together(arrays, after))
        require_same_kind("model_state", state.model_state, model_state)
        params = optax.apply_updates(state.params, updates)
        running = state.diverged < 0
        healthy = running & jnp.isfinite(loss)
        old = (state.params, state.model_state, state.arrays)
        new_params, new_model_state, new_arrays = jax.tree.map(
            lambda a, b: jnp.where(healthy, a, b), (params, model_state, arrays), old
        )

        def record(history: jax.Array, value: jax.Array) -> jax.Array:
            return history.at[t].set(jnp.where(running, value.astype(jnp.float32), jnp.nan))

        norms = (state.gradient_norms, state.update_norms)
        if recipe.norms:
            norms = (record(norms[0], _norm(gradient)), record(norms[1], _norm(updates)))
        return RunState(
            params=new_params,
            model_state=new_model_state,
            arrays=new_arrays,
            plan=state.plan,
            diverged=jnp.where(running & ~healthy, t, state.diverged),
            losses=record(state.losses, loss),
            gradient_norms=norms[0],
            update_norms=norms[1],
        )

    def segment(carry: tuple[jax.Array, RunState]) -> tuple[jax.Array, RunState]:
        t, state = carry
        batches = recipe.task.sampler.segment(batch_key, state.plan, t)
        end = jnp.minimum(batches.end, last)
        # The plan stays outside the inner loop, which would carry it from step to step.
        state = state._replace(plan=recipe.task.sampler.keep(batches))
        state = jax.lax.fori_loop(t, end, lambda i, s: step(i, s, recipe.task.sampler.batch(batches, i)), state)
        return end, state

    return jax.lax.while_loop(lambda carry: carry[0] < last, segment, (first, state))[1]


def evaluate(task: Task, run: Run, params: Any, model_state: Any, tables: Tables, indices: jax.Array) -> Evaluation:
    """Loss and metrics of `params` over the run's row of `indices` (splits, size), in a few large batches."""
    rows = indices[run.split]
    (size,) = rows.shape
    batches = -(-size // _EVALUATION_BATCH)
    width = -(-size // batches)
    rows = jnp.concatenate([rows, jnp.zeros((batches * width - size,), rows.dtype)]).reshape(batches, width)
    counted = (jnp.arange(batches * width) < size).reshape(batches, width)

    def batch(some: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        chosen, mask = some
        x, y = batch_of(tables.images, tables.labels, task.scale, chosen)
        outputs, _ = task.model.apply(params, model_state, x, key=run.key, train=False)
        losses = jnp.where(mask, task.model.loss(outputs, y).astype(jnp.float32), 0)
        return jnp.sum(losses), confusion_matrix(y, jnp.argmax(outputs, axis=-1), outputs.shape[-1], mask)

    losses, confusions = jax.lax.map(batch, (rows, counted))
    confusion = jnp.sum(confusions, axis=0)
    return Evaluation(jnp.sum(losses) / size, accuracy(confusion), matthews_correlation(confusion), confusion)


def readout(recipe: Recipe, run: Run, state: RunState) -> Any:
    """The parameters to evaluate and to save: those held, or the iterate of a method that holds another point."""
    _, skeleton = take_apart(_optimizer(recipe, run).init(state.params))
    return evaluation_params(state.params, put_together(state.arrays, skeleton))


def _norm(tree: Any) -> jax.Array:
    return norm(*(x.astype(jnp.promote_types(x.dtype, jnp.float32)) for x in jax.tree.leaves(tree)))


def _optimizer(recipe: Recipe, run: Run) -> optax.GradientTransformationExtraArgs:
    return optax.with_extra_args_support(recipe.make_optimizer(**run.hyperparameters))
