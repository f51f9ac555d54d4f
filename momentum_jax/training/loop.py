"""One training run as pure functions: its beginning, any number of its steps, its evaluation.

Everything that is random in step t comes from (key of the run, t), so steps may be cut into chunks anywhere. Per step:

    loss_t, g = value and gradient of the problem's loss at the held point, on batch t
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
from momentum_jax.protocol import evaluation_params, hyperparameters, update_of
from momentum_jax.training.opaque import describe, put_together, require_same_kind, require_updates_of, take_apart
from momentum_jax.training.problem import Score
from momentum_jax.training.sampling import Sampler, Segment, Steady, Streamed


class Task(NamedTuple):
    """What is trained and on which batches: what runs with different optimizers share. Plain Python, hashable.

    The functions are those of the problem and of its table.
    """

    init: Callable[..., Any]
    loss: Callable[..., Any]
    measure: Callable[..., Any]
    scores: tuple[tuple[str, Score], ...]
    take: Callable[..., Any]
    sampler: Sampler
    evaluation_batch: int


class Recipe(NamedTuple):
    """What all runs of one program share. Plain Python, hashable.

    `make_optimizer(**hyperparameters)` is called with one run's traced scalars; `norms` asks for the norms of gradients
    and updates, `log_hyperparameters` for what every update takes.
    """

    task: Task
    make_optimizer: Callable[..., optax.GradientTransformation]
    steps: int
    norms: bool
    log_hyperparameters: bool = False


class Run(NamedTuple):
    """What makes one run: its key, its row of the splits, its numbers. In a wave each has a leading axis."""

    key: jax.Array
    split: jax.Array
    hyperparameters: dict[str, jax.Array]

    @property
    def bare(self) -> "Run":
        """The run without its numbers, for what reads none of them: one program then serves every optimizer."""
        return self._replace(hyperparameters={})


class Tables(NamedTuple):
    """The data on the device, the same for all runs: all rows, and for each split the training rows; None without data.

    Of a stream: the batches from step `begin` on, (seeds, steps, ...), and for each split its place among the seeds.
    """

    arrays: Any
    train: jax.Array | None
    begin: jax.Array | None = None


class Start(NamedTuple):
    """A run before its optimizer is known; `plan` is the sampler's."""

    params: Any
    model_state: Any
    plan: jax.Array


class RunState(NamedTuple):
    """Where one run is. `arrays` are those of the optimizer's state; `diverged` is -1 or the step that diverged.

    `losses` is (steps,), filled as far as the run has come; the norms are (steps,) when asked for, else (0,). Hyperparameters
    are a tree of (steps, ...) when asked for, else empty.
    """

    params: Any
    model_state: Any
    arrays: list[jax.Array]
    plan: jax.Array
    diverged: jax.Array
    losses: jax.Array
    gradient_norms: jax.Array
    update_norms: jax.Array
    hyperparameters: dict[str, Any]


def initialise(task: Task, run: Run) -> Start:
    """Parameters, model state and first batches of a run: the same for every optimizer."""
    init_key, batch_key, _ = jax.random.split(run.key, 3)
    params, model_state = (put_together(*take_apart(tree)) for tree in task.init(init_key))
    return Start(params, model_state, task.sampler.start(batch_key))


def begin(recipe: Recipe, run: Run, start: Start) -> RunState:
    """The state before step 0."""
    optimizer = _optimizer(recipe, run)
    opt_state = optimizer.init(start.params)
    arrays, _ = take_apart(opt_state)
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
        hyperparameters=jax.tree.map(
            lambda value: jnp.full((recipe.steps, *jnp.shape(value)), jnp.nan, jnp.float32),
            hyperparameters(optimizer, opt_state) if recipe.log_hyperparameters else {},
        ),
    )


def advance(recipe: Recipe, run: Run, state: RunState, tables: Tables, first: jax.Array, last: jax.Array) -> RunState:
    """The state after the steps `first` .. `last` - 1; both are data, so one program serves chunks of every length."""
    _, batch_key, noise_key = jax.random.split(run.key, 3)
    batch_at = _batches(recipe.task, run, tables)
    optimizer = _optimizer(recipe, run)
    # Called for the leaves that are no arrays; its arrays are not used and cost nothing.
    _, skeleton = take_apart(optimizer.init(state.params))

    def step(t: jax.Array, state: RunState, batch: Any) -> RunState:
        key = jax.random.fold_in(noise_key, t)

        def objective(params: Any) -> tuple[jax.Array, Any]:
            return recipe.task.loss(params, state.model_state, batch, key)

        (loss, model_state), gradient = jax.value_and_grad(objective, has_aux=True)(state.params)
        grad_fn = lambda params, *_: jax.grad(objective, has_aux=True)(params)[0]  # noqa: E731
        update = update_of("train_many", optimizer, value=loss, grad_fn=grad_fn)
        before = put_together(state.arrays, skeleton)
        updates, opt_state = update(gradient, before, state.params)
        arrays, after = take_apart(opt_state)
        require_same_kind("the optimizer's state", before, put_together(arrays, after))
        require_same_kind("the state", state.model_state, model_state)
        require_updates_of(state.params, updates)
        params = optax.apply_updates(state.params, updates)
        running = state.diverged < 0
        healthy = running & jnp.isfinite(loss)
        old = (state.params, state.model_state, state.arrays)
        new_params, new_model_state, new_arrays = jax.tree.map(
            lambda a, b: jnp.where(healthy, a, b), (params, model_state, arrays), old
        )

        def record(history: jax.Array, value: Any) -> jax.Array:
            return history.at[t].set(jnp.where(running, jnp.asarray(value, jnp.float32), jnp.nan))

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
            hyperparameters=jax.tree.map(
                record, state.hyperparameters, hyperparameters(optimizer, before) if recipe.log_hyperparameters else {}
            ),
        )

    def segment(carry: tuple[jax.Array, RunState]) -> tuple[jax.Array, RunState]:
        t, state = carry
        batches = recipe.task.sampler.segment(batch_key, state.plan, t)
        end = jnp.minimum(batches.end, last)
        # The plan stays outside the inner loop, which would carry it from step to step.
        state = state._replace(plan=recipe.task.sampler.keep(batches))
        state = jax.lax.fori_loop(t, end, lambda i, s: step(i, s, batch_at(batches, i)), state)
        return end, state

    return jax.lax.while_loop(lambda carry: carry[0] < last, segment, (first, state))[1]


def _batches(task: Task, run: Run, tables: Tables) -> Callable[[Segment, jax.Array], Any]:
    """`batch_at(segment, t)`: the batch of step t."""
    if tables.train is None:
        return lambda segment, t: None
    train, sampler = tables.train[run.split], task.sampler
    if isinstance(sampler, Streamed):
        begin: Any = tables.begin
        return lambda segment, t: jax.tree.map(lambda each: each[train, t - begin], tables.arrays)
    if isinstance(sampler, Steady):
        whole = task.take(tables.arrays, train)
        return lambda segment, t: whole
    return lambda segment, t: task.take(tables.arrays, train[sampler.batch(segment, t)])


def evaluate(
    task: Task, run: Run, params: Any, model_state: Any, tables: Tables, indices: jax.Array | None
) -> dict[str, jax.Array]:
    """The scores of `params` over the run's row of `indices` (splits, size), measured in a few large batches; None: no data."""
    if indices is None:
        values = task.measure(params, model_state, None, run.key)
        _require_names(values)
        return score(task, values)
    rows = indices[run.split]
    (size,) = rows.shape
    batches = -(-size // task.evaluation_batch)
    width = -(-size // batches)
    # Copies of a row fill up the last batch. They are cut off before any score sees them.
    filled = jnp.concatenate([rows, jnp.broadcast_to(rows[:1], (batches * width - size,))]).reshape(batches, width)

    def batch(some: jax.Array) -> Any:
        return measure(task, run, params, model_state, task.take(tables.arrays, some), width)

    values = jax.lax.map(batch, filled)
    return score(task, jax.tree.map(lambda each: each.reshape(batches * width, *each.shape[2:])[:size], values))


def measure(task: Task, run: Run, params: Any, model_state: Any, batch: Any, size: int | None = None) -> Any:
    """What is measured of each example of one batch, which has `size` of them; None: as its first array."""
    values = task.measure(params, model_state, batch, run.key)
    _require_rows(values, jax.tree.leaves(batch)[0].shape[0] if size is None else size)
    return values


def score(task: Task, values: Any) -> dict[str, jax.Array]:
    """The scores of what was measured; ranked ones are float32 scalars."""
    found = {}
    for name, each in task.scores:
        if isinstance(each.of, str) and each.of not in values:
            raise ValueError(
                f"Problem: score {name!r} reads {each.of!r}, which measure does not return; "
                f"it returns {', '.join(map(repr, values))}."
            )
        found[name] = jnp.asarray(each(values))
        if each.better is not None:
            if found[name].shape:
                raise ValueError(
                    f"Problem: score {name!r} must be a scalar, got {describe(found[name])}; keep arrays with kept()."
                )
            found[name] = found[name].astype(jnp.float32)
    return found


def _require_names(values: Any) -> None:
    if not isinstance(values, dict) or not values:
        raise ValueError(f"Problem: measure must return a dict of measured values by name, got {describe(values)}.")


def _require_rows(values: Any, size: int) -> None:
    """Raises ValueError where `measure` did not return a dict, or not one row for each of `size` examples."""
    _require_names(values)
    for path, leaf in jax.tree.leaves_with_path(values):
        if jnp.shape(leaf)[:1] != (size,):
            raise ValueError(
                f"Problem: measure must return one row for each of {size} examples, got {describe(leaf)} "
                f"at {jax.tree_util.keystr(path)}."
            )


def readout(recipe: Recipe, run: Run, state: RunState) -> Any:
    """The parameters to evaluate and to save: those held, or the iterate of a method that holds another point."""
    _, skeleton = take_apart(_optimizer(recipe, run).init(state.params))
    return evaluation_params(state.params, put_together(state.arrays, skeleton))


def _norm(tree: Any) -> jax.Array:
    return norm(*(x.astype(jnp.promote_types(x.dtype, jnp.float32)) for x in jax.tree.leaves(tree)))


def _optimizer(recipe: Recipe, run: Run) -> optax.GradientTransformationExtraArgs:
    return optax.with_extra_args_support(recipe.make_optimizer(**run.hyperparameters))
