import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import momentum_jax as mj
from momentum_jax.training import classification, train_many
from momentum_jax.training.loop import Recipe, Run, Tables, Task, advance, begin, evaluate, initialise
from momentum_jax.training.opaque import put_together, take_apart
from momentum_jax.training.sampling import Replacement, draw


def one(key, make_optimizer, hyperparameters, model, examples, **options):
    options = {"steps": 20, "batch_size": 16, **options}
    (run,) = train_many(jax.random.key(key)[None], make_optimizer, [hyperparameters], model, examples, **options).runs
    return run


def tables(examples):
    return Tables((jnp.asarray(examples.images), jnp.asarray(examples.labels)), jnp.asarray(examples.train))


def task_of(model, examples, **changed):
    """What `train_many` makes of a model and its examples, with batches of 16 drawn with replacement."""
    problem = classification(model, examples)
    parts = (problem.init, problem.loss, problem.measure, tuple(problem.scores.items()), problem.data.take)
    return Task(*parts, Replacement(230, 16), 2048)._replace(**changed)


def by_hand(key, optimizer, model, examples, steps, batch_size):
    """A plain Python loop with replacement: the batches of step t come from fold_in(batch key, t)."""
    init_key, batch_key, _ = jax.random.split(jax.random.key(key), 3)
    params, state = model.init(init_key)
    opt_state, losses, norms = optimizer.init(params), [], []

    def objective(params, x, y):
        outputs, _ = model.apply(params, state, x, key=None, train=True)
        return jnp.mean(model.loss(outputs, y))

    @jax.jit
    def step(params, opt_state, x, y):
        loss, g = jax.value_and_grad(objective)(params, x, y)
        updates, opt_state = optimizer.update(g, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss, [optax.tree.norm(g), optax.tree.norm(updates)]

    for t in range(steps):
        drawn = draw(jax.random.fold_in(batch_key, t), batch_size, examples.train.shape[1])
        chosen = examples.train[0][np.asarray(drawn)]
        x, y = examples.images[chosen] / np.float32(255), examples.labels[chosen].astype(np.int32)
        params, opt_state, loss, both = step(params, opt_state, x, y)
        losses.append(loss)
        norms.append(both)
    return params, losses, np.array(norms)


def test_a_run_is_what_a_plain_loop_computes(linear, examples):
    params, losses, norms = by_hand(3, optax.sgd(0.3, 0.9), linear, examples, 20, 16)
    run = one(3, optax.sgd, {"learning_rate": 0.3, "momentum": 0.9}, linear, examples, sampling="replacement", norms=True)
    np.testing.assert_allclose(run.losses, losses, rtol=2e-5)
    np.testing.assert_allclose(np.stack([run.gradient_norms, run.update_norms], 1), norms, rtol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), run.params, params)
    assert run.diverged == -1


def test_evaluation_is_of_the_whole_split_with_the_parameters_of_its_step(linear, examples):
    def measured(params, rows):
        outputs, _ = linear.apply(params, {}, examples.images[rows] / np.float32(255), key=None, train=False)
        labels = examples.labels[rows].astype(int)
        predictions = np.argmax(outputs, axis=-1)
        confusion = np.zeros((4, 4), int)
        np.add.at(confusion, (labels, predictions), 1)
        return np.mean(linear.loss(outputs, labels)), np.mean(predictions == labels), confusion

    arguments = (7, optax.sgd, {"learning_rate": 0.2}, linear, examples)
    run = one(*arguments, evaluate_at=6)
    np.testing.assert_array_equal(run.evaluation_steps, [0, 6, 12, 18, 20])
    for i, step in [(1, 6), (4, 20)]:
        loss, share, _ = measured(one(*arguments, steps=step).params, examples.validation[0])
        np.testing.assert_allclose(run.evaluation_losses[i], loss, rtol=1e-5)
        np.testing.assert_allclose(run.evaluation_accuracies[i], share, rtol=1e-6)
    loss, share, confusion = measured(run.params, examples.test[0])
    np.testing.assert_allclose([run.test_loss, run.accuracy], [loss, share], rtol=1e-5)
    np.testing.assert_array_equal(run.confusion, confusion)


def test_chunks_change_no_number(linear, examples, equal):
    arguments = (5, optax.adam, {"learning_rate": 0.03}, linear, examples)
    whole = one(*arguments, steps=60)
    cut = one(*arguments, steps=60, chunk_seconds=1e-9)
    evaluated = one(*arguments, steps=60, evaluate_at=[1, 2, 3, 14, 15, 16, 44])
    for other in (cut, evaluated):
        assert equal((whole.losses, whole.params, whole.confusion), (other.losses, other.params, other.confusion))


def test_the_optimizer_gets_the_loss_and_a_gradient_function_of_the_same_batch_and_dropout(linear, examples):
    def noisy(params, model_state, x, *, key, train):
        kept = jax.random.bernoulli(key, 0.5, x.shape) if train else 1.0
        return linear.apply(params, model_state, x * kept, key=key, train=train)

    def by_gradient_function(learning_rate):
        def update(updates, state, params=None, *, value, grad_fn, **extra):
            again = grad_fn(params)
            apart = optax.tree.norm(jax.tree.map(jnp.subtract, again, updates))
            elsewhere = optax.tree.norm(grad_fn(jax.tree.map(jnp.zeros_like, params)))
            return jax.tree.map(lambda g: -learning_rate * g, again), {"value": value, "apart": apart, "elsewhere": elsewhere}

        zeros = {"value": jnp.zeros(()), "apart": jnp.zeros(()), "elsewhere": jnp.zeros(())}
        return optax.GradientTransformationExtraArgs(lambda params: zeros, update)

    model = linear._replace(apply=noisy)
    task = task_of(model, examples)
    recipe = Recipe(task, by_gradient_function, 5, False)
    run = Run(jax.random.key(0), jnp.int32(0), {"learning_rate": jnp.float32(0.1)})
    state = jax.jit(lambda: advance(recipe, run, begin(recipe, run, initialise(task, run)), tables(examples), 0, 5))()
    apart, elsewhere, value = state.arrays
    assert apart == 0
    assert elsewhere > 0.1
    assert value == state.losses[4]
    plain = one(0, optax.sgd, {"learning_rate": 0.1}, model, examples, steps=5, sampling="replacement")
    np.testing.assert_allclose(state.losses, plain.losses, rtol=1e-5)
    assert not np.allclose(plain.losses, one(0, optax.sgd, {"learning_rate": 0.1}, linear, examples).losses[:5])


def test_the_hyperparameters_of_each_step_are_those_that_its_update_took(linear, examples):
    def decaying(learning_rate):
        return mj.per_layer({"*": optax.chain(optax.identity(), mj.gradient_descent(lambda t: learning_rate / (1 + t)))})

    rates = np.array([0.1, 0.3], np.float32)
    asked = {"steps": 6, "batch_size": 16, "norms": True, "log_hyperparameters": True, "lanes": 2}
    result = train_many(jax.random.split(jax.random.key(0), 2), decaying, {"learning_rate": rates}, linear, examples, **asked)
    for rate, run in zip(rates, result.runs, strict=True):
        assert run.hyperparameters is not None
        assert run.hyperparameters.keys() == {"*/identity", "*/gradient_descent"}
        assert run.hyperparameters["*/identity"] is None
        taken = run.hyperparameters["*/gradient_descent"]["learning_rate"]
        assert taken.dtype == np.float32
        np.testing.assert_allclose(taken, rate / (1 + np.arange(6)), rtol=1e-6)
        np.testing.assert_allclose(taken, np.asarray(run.update_norms) / np.asarray(run.gradient_norms), rtol=1e-5)


def test_hyperparameters_that_nobody_asks_for_are_no_part_of_a_run(linear, examples):
    task = task_of(linear, examples)
    run = Run(jax.random.key(1), jnp.int32(0), {"learning_rate": jnp.float32(0.1)})

    def leaves(asked):
        recipe = Recipe(task, mj.heavy_ball, 5, False, asked)
        return len(jax.tree.leaves(jax.eval_shape(lambda: begin(recipe, run, initialise(task, run)))))

    assert leaves(True) == leaves(False) + 2
    assert one(0, optax.sgd, {"learning_rate": 0.1}, linear, examples, steps=2).hyperparameters is None


@pytest.fixture
def exploding(linear):
    """The loss is infinite as soon as the bias has moved far."""

    def loss(outputs, labels):
        return linear.loss(outputs, labels) + jnp.where(jnp.abs(outputs).max() > 8, jnp.inf, 0.0)

    return linear._replace(loss=loss)


def test_a_diverged_run_is_frozen_to_the_bit_from_the_first_loss_that_is_not_finite(exploding, examples, equal):
    arguments = (1, optax.inject_hyperparams(optax.adam), {"learning_rate": 0.3}, exploding, examples)
    run = one(*arguments, steps=40, evaluate_at=1, norms=True, log_hyperparameters=True)
    first = run.diverged
    assert 2 < first < 30
    assert np.isfinite(run.losses[:first]).all()
    assert np.isinf(run.losses[first])
    assert np.isnan(run.losses[first + 1 :]).all()
    assert np.isnan(run.evaluation_losses[first + 1 :]).all()
    assert np.isnan(run.evaluation_accuracies[first + 1 :]).all()
    assert np.isnan(np.asarray(run.update_norms)[first + 1 :]).all()
    rate = (run.hyperparameters or {})["adam"]["learning_rate"]
    assert np.array_equal(rate, np.where(np.arange(40) > first, np.float32(np.nan), np.float32(0.3)), equal_nan=True)
    assert equal(run.params, one(*arguments, steps=first, evaluate_at=1, norms=True).params)


def test_optimizer_and_model_state_are_frozen_too_while_other_runs_of_the_wave_go_on(exploding, examples, equal):
    def count(params, model_state, x, *, key, train):
        outputs, _ = exploding.apply(params, {}, x, key=key, train=train)
        return outputs, {"calls": model_state["calls"] + 1}

    model = exploding._replace(init=lambda key: (exploding.init(key)[0], {"calls": jnp.int32(0)}), apply=count)
    task = task_of(model, examples)
    recipe = Recipe(task, optax.adam, 40, False)

    @jax.jit
    def ended(last):
        def one_run(rate):
            run = Run(jax.random.key(1), jnp.int32(0), {"learning_rate": rate})
            return advance(recipe, run, begin(recipe, run, initialise(task, run)), tables(examples), 0, last)

        return jax.vmap(one_run)(jnp.array([0.3, 0.001]))

    early, late = ended(30), ended(40)
    assert early.diverged[0] > 0
    assert early.diverged[1] == -1

    def pick(state, lane):
        return jax.tree.map(lambda leaf: leaf[lane], (state.params, state.model_state, state.arrays))

    assert equal(pick(early, 0), pick(late, 0))
    assert not equal(pick(early, 1), pick(late, 1))
    assert np.isnan(late.losses[0, int(late.diverged[0]) + 1 :]).all()
    assert early.model_state["calls"][0] == early.diverged[0]
    assert early.model_state["calls"][1] == 30


def test_an_update_that_spoils_the_parameters_in_the_last_step_is_a_divergence_of_the_step_after(linear, examples):
    run = one(0, optax.sgd, {"learning_rate": float("inf")}, linear, examples, steps=1)
    assert run.diverged == 1
    assert np.isfinite(run.losses).all()


def test_states_may_hold_strings_functions_python_numbers_and_typed_keys(linear, examples, equal):
    def odd(learning_rate):
        def init(params):
            return {"name": "odd", "rule": jnp.negative, "key": jax.random.key(3), "steps": 0, "nothing": None}

        def update(updates, state, params=None):
            key, noise = jax.random.split(state["key"])
            scale = learning_rate * jax.random.uniform(noise)
            moved = jax.tree.map(lambda g: scale * state["rule"](g), updates)
            return moved, {**state, "key": key, "steps": state["steps"] + 1}

        return optax.GradientTransformation(init, update)

    run = one(0, odd, {"learning_rate": 0.5}, linear, examples, steps=12)
    assert run.losses[-1] < run.losses[0]
    assert equal(run.params, one(0, odd, {"learning_rate": 0.5}, linear, examples, steps=12, chunk_seconds=1e-9).params)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            lambda mu: mu.astype(jnp.bfloat16),
            r"optimizer's state .* got bfloat16\[4\] at leaf \['mu'\] that began as float32",
        ),
        (lambda mu: mu[None], r"got float32\[1, 4\] at leaf \['mu'\]"),
        (
            lambda mu: {"more": mu},
            r"its structure .* got nothing at leaf \['mu'\] that began as float32\[4\], and .* at leaf \['mu'\]\['more'\]",
        ),
        (lambda mu: "text", r"got 'text' at leaf \['mu'\] that began as float32\[4\]"),
    ],
)
def test_an_optimizer_whose_state_changes_its_kind_is_named_with_the_leaf(changed, message, linear, examples):
    def drifting():
        return optax.GradientTransformation(
            lambda params: {"mu": jnp.zeros(4)}, lambda updates, state, params=None: (updates, {"mu": changed(state["mu"])})
        )

    with pytest.raises(TypeError, match=message):
        one(0, drifting, {}, linear, examples)


def test_the_iterate_that_is_evaluated_and_returned_is_the_optimizers_readout(linear, examples):
    def averaged(learning_rate):
        return optax.contrib.schedule_free_sgd(learning_rate, b1=0.9)

    task = task_of(linear, examples)
    recipe = Recipe(task, averaged, 20, False)
    run = Run(jax.random.key(0), jnp.int32(0), {"learning_rate": jnp.float32(0.1)})
    state = jax.jit(lambda: advance(recipe, run, begin(recipe, run, initialise(task, run)), tables(examples), 0, 20))()
    _, skeleton = take_apart(averaged(0.1).init(state.params))
    expected = optax.contrib.schedule_free_eval_params(put_together(state.arrays, skeleton), state.params)
    assert not np.allclose(expected["kernel"], state.params["kernel"], atol=1e-3)

    found = one(0, averaged, {"learning_rate": 0.1}, linear, examples, sampling="replacement")
    np.testing.assert_allclose(found.params["kernel"], expected["kernel"], rtol=1e-4, atol=1e-5)
    outputs, _ = linear.apply(found.params, {}, examples.images[examples.test[0]] / np.float32(255), key=None, train=False)
    labels = examples.labels[examples.test[0]].astype(int)
    np.testing.assert_allclose(found.test_loss, np.mean(linear.loss(outputs, labels)), rtol=1e-5)


def test_batches_that_a_set_does_not_fill_count_no_example_twice(linear, examples):
    run = Run(jax.random.key(0), jnp.int32(0), {})
    params, _ = linear.init(jax.random.key(1))

    def measure(evaluation_batch):
        task = task_of(linear, examples, evaluation_batch=evaluation_batch)
        return jax.jit(lambda: evaluate(task, run, params, {}, tables(examples), jnp.asarray(examples.test)))()

    whole, cut = measure(2048), measure(20)
    assert whole["confusion"].sum() == 99
    np.testing.assert_array_equal(cut["confusion"], whole["confusion"])
    np.testing.assert_allclose(cut["loss"], whole["loss"], rtol=1e-6)


@pytest.mark.slow
def test_sixteen_bit_parameters_stay_sixteen_bit(linear, examples):
    def init(key):
        params, state = linear.init(key)
        return jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params), state

    run = one(0, optax.sgd, {"learning_rate": 0.1}, linear._replace(init=init), examples)
    assert {leaf.dtype for leaf in jax.tree.leaves(run.params)} == {jnp.dtype(jnp.bfloat16)}
    assert run.losses.dtype == np.float32
    assert run.losses[-1] < run.losses[0]
