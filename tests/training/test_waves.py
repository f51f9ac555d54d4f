import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from momentum_jax.problems import diabetes
from momentum_jax.training import Interrupted, program, train_many
from momentum_jax.training.devices import available_cores
from momentum_jax.training.plan import plan_waves
from momentum_jax.training.settings import Settings

SETTINGS = {"steps": 12, "batch_size": 16}


def keys(runs):
    return jax.random.split(jax.random.key(42), runs)


def numbers(run):
    return run.losses, run.evaluation_losses, run.evaluation_accuracies, run.confusion, run.params


def test_a_grid_of_numbers_is_traced_once_and_not_again_in_a_second_call(linear, examples):
    traced = []

    def counted(learning_rate, momentum):
        if isinstance(learning_rate, jax.core.Tracer):
            traced.append(1)
        return optax.sgd(learning_rate, momentum)

    grid = [{"learning_rate": rate, "momentum": m} for rate in (0.01, 0.1) for m in (0.0, 0.5, 0.9)]
    first = train_many(keys(6), counted, grid, linear, examples, **SETTINGS)
    once = len(traced)
    assert len({run.losses[-1] for run in first.runs}) == 6
    assert first.compile_seconds > 0
    second = train_many(keys(6), counted, [{**h, "momentum": 0.3} for h in grid], linear, examples, **SETTINGS)
    assert len(traced) == once
    assert second.compile_seconds == 0


def test_programs_are_not_shared_where_anything_else_differs(linear, examples):
    def program(**changed):
        settings = Settings(**{**SETTINGS, "sampling": "shuffle", **changed})
        (wave,) = plan_waves(keys(1), optax.sgd, {"learning_rate": 0.1}, linear, examples, settings)
        return wave.programs.advance

    assert program() is program()
    assert len({program(), program(sampling="replacement"), program(batch_size=17), program(steps=13)}) == 4


def test_results_come_in_the_order_of_the_keys_whatever_the_groups(linear, examples, equal):
    makers = [optax.sgd, optax.adam, optax.sgd, optax.sgd]
    hyperparameters = [
        {"learning_rate": 0.1, "nesterov": True, "momentum": 0.9},
        {"learning_rate": 0.01},
        {"learning_rate": 0.1, "nesterov": False, "momentum": 0.9},
        {"learning_rate": 0.2, "nesterov": True, "momentum": 0.8},
    ]
    together = train_many(keys(4), makers, hyperparameters, linear, examples, **SETTINGS)
    assert [run.run for run in together.runs] == [0, 1, 2, 3]
    for i, run in enumerate(together.runs):
        alone = train_many(keys(4)[i : i + 1], makers[i], [hyperparameters[i]], linear, examples, **SETTINGS)
        assert equal(numbers(run), numbers(alone.runs[0]))


def test_runs_that_differ_in_a_structural_argument_alone_are_compiled_apart(linear, examples):
    same = {"learning_rate": 0.1, "momentum": 0.9}
    arms = [{**same, "nesterov": True}, {**same, "nesterov": False}]
    waves = []
    train_many(keys(1)[np.zeros(2, int)], optax.sgd, arms, linear, examples, on_wave=waves.append, **SETTINGS)
    one, other = (wave.runs[0] for wave in waves)
    assert one.losses[0] == other.losses[0]
    assert not np.allclose(one.losses, other.losses)


def groups(count, traced):
    """Constructors whose programs are compiled apart; each notes when it is traced."""

    def make(number):
        def of_group(learning_rate):
            if isinstance(learning_rate, jax.core.Tracer):
                traced.append(number)
            return optax.sgd(learning_rate)

        return of_group

    return [make(number) for number in range(count)]


def test_the_next_two_groups_compile_before_their_turn_and_no_more(linear, examples, equal):
    traced, seen = [], []
    rate = {"learning_rate": 0.1}
    together = train_many(
        keys(1)[np.zeros(4, int)],
        groups(4, traced),
        rate,
        linear,
        examples,
        on_wave=lambda wave: seen.append(sorted({*traced})),
        **SETTINGS,
    )
    assert seen == [[0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]]
    # In `begin`, `advance` and `readout`, once each.
    assert sorted(traced) == sorted([*range(4)] * (len(traced) // 4))
    alone = train_many(keys(1), optax.sgd, rate, linear, examples, **SETTINGS)
    for run in together.runs:
        assert equal(numbers(run), numbers(alone.runs[0]))


def test_what_is_wrong_with_a_later_group_is_raised_when_its_turn_comes(linear, examples):
    def broken(learning_rate):
        return optax.GradientTransformation(lambda params: (), lambda updates, state, params=None: (updates, (1.0,)))

    finished = []
    with pytest.raises(TypeError, match="the optimizer's state must keep its structure"):
        train_many(keys(2), [optax.sgd, broken], {"learning_rate": 0.1}, linear, examples, on_wave=finished.append, **SETTINGS)
    assert [wave.runs[0].run for wave in finished] == [0]


def test_what_runs_once_is_compiled_quickly_to_the_same_bits(equal):
    settings = Settings(4, 32)
    (wave,) = plan_waves(keys(4)[:1], optax.adam, {"learning_rate": 0.1}, diabetes(), None, settings)
    initialise, run = wave.programs.initialise, wave.run.bare
    thorough = program._ON_A_CPU | {"xla_backend_optimization_level": 3}
    expected = initialise._jitted.lower(run).compile(thorough)(run)
    assert initialise._options == program._ON_A_CPU | {"xla_backend_optimization_level": 1}
    assert equal(initialise(run), expected)


def test_what_was_given_up_is_compiled_when_it_is_needed_after_all(linear, examples, equal):
    makers, rate = groups(4, []), {"learning_rate": 0.1}

    def stop(progress):
        assert progress.phase == "compile"
        raise KeyboardInterrupt

    # Until then the compiler's threads have other work.
    busy = threading.Event()
    for _ in range(available_cores()):
        program._compilers().submit(busy.wait)
    with pytest.raises(Interrupted):
        train_many(keys(4), makers, rate, linear, examples, on_progress=stop, **SETTINGS)
    busy.set()
    again = train_many(keys(4), makers, rate, linear, examples, **SETTINGS)
    expected = train_many(keys(4), optax.sgd, rate, linear, examples, **SETTINGS)
    for run, other in zip(again.runs, expected.runs, strict=True):
        assert equal(numbers(run), numbers(other))


def test_the_order_of_the_runs_changes_no_number(linear, examples, equal):
    rates = [{"learning_rate": rate} for rate in (0.01, 0.03, 0.1)]
    forward = train_many(keys(3), optax.sgd, rates, linear, examples, splits=[0, 1, 0], **SETTINGS)
    backward = train_many(keys(3)[::-1], optax.sgd, rates[::-1], linear, examples, splits=[0, 1, 0], **SETTINGS)
    for a, b in zip(forward.runs, backward.runs[::-1], strict=True):
        assert equal(numbers(a), numbers(b))


def test_lanes_change_a_run_by_rounding_only_and_padding_is_dropped(linear, examples):
    arguments = (keys(4), optax.sgd, {"learning_rate": np.array([0.01, 0.03, 0.1, 0.3])}, linear, examples)
    single = train_many(*arguments, lanes=1, **SETTINGS)
    waves = []
    lanes = train_many(*arguments, lanes=3, on_wave=waves.append, **SETTINGS)
    assert [len(wave.runs) for wave in waves] == [3, 1]
    for a, b in zip(single.runs, lanes.runs, strict=True):
        np.testing.assert_allclose(a.losses, b.losses, rtol=1e-5)
        np.testing.assert_allclose(a.test_loss, b.test_loss, rtol=1e-5)


def test_a_run_sees_its_own_row_of_the_splits_alone(linear, examples, equal):
    second = examples._replace(train=examples.train[1:], validation=examples.validation[1:], test=examples.test[1:])
    both = train_many(keys(2), optax.sgd, {"learning_rate": 0.1}, linear, examples, splits=[0, 1], **SETTINGS)
    alone = train_many(keys(2)[1:], optax.sgd, {"learning_rate": 0.1}, linear, second, **SETTINGS)
    assert equal(numbers(both.runs[1]), numbers(alone.runs[0]))
    assert not equal(numbers(both.runs[0]), numbers(alone.runs[0]))


def test_a_wave_is_handed_out_before_the_next_begins_and_progress_adds_up(linear, examples):
    events, reports = [], []

    def progress(report):
        reports.append(report)
        events.append(("train", report.wave))

    train_many(
        keys(3),
        optax.sgd,
        {"learning_rate": 0.1},
        linear,
        examples,
        on_progress=progress,
        on_wave=lambda wave: events.append(("stored", wave.wave)),
        chunk_seconds=1e-9,
        **SETTINGS,
    )
    stored = [events.index(("stored", wave)) for wave in range(3)]
    for wave in (1, 2):
        assert stored[wave - 1] < events.index(("train", wave)) < stored[wave]
    assert {report.phase for report in reports} == {"compile", "evaluate", "train", "done"}
    done = [report.model_steps for report in reports]
    assert done == sorted(done)
    assert done[-1] == reports[-1].total_model_steps == 36
    assert reports[-1].seconds_left == 0
    assert all(report.losses.shape == (1,) for report in reports)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_acts_between_chunks_and_leaves_what_was_finished(linear, examples, equal):
    before, stored = signal.getsignal(signal.SIGINT), []

    def press(report):
        if report.wave == 1 and report.step == 5 and report.phase == "train":
            os.kill(os.getpid(), signal.SIGINT)

    arguments = (keys(3), optax.sgd, {"learning_rate": 0.1}, linear, examples)
    with pytest.raises(Interrupted, match="1 runs were finished") as caught:
        train_many(*arguments, on_progress=press, on_wave=stored.append, chunk_seconds=1e-9, **SETTINGS)
    assert isinstance(caught.value, KeyboardInterrupt)
    assert signal.getsignal(signal.SIGINT) is before
    whole = train_many(*arguments, **SETTINGS)
    assert [wave.wave for wave in stored] == [0]
    assert equal(numbers(caught.value.result.runs[0]), numbers(whole.runs[0]))


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_while_a_wave_is_stored_waits_until_it_is_stored(linear, examples):
    stored = []

    def store(wave):
        os.kill(os.getpid(), signal.SIGINT)
        stored.append(wave)

    with pytest.raises(Interrupted) as caught:
        train_many(keys(2), optax.sgd, {"learning_rate": 0.1}, linear, examples, on_wave=store, **SETTINGS)
    assert len(stored) == len(caught.value.result.runs) == 1


def test_a_chunk_takes_over_the_buffers_of_the_state(linear, examples):
    (wave,) = plan_waves(keys(1), optax.sgd, {"learning_rate": 0.1}, linear, examples, Settings(**SETTINGS))
    state = wave.programs.begin(wave.run, wave.programs.initialise(wave.run.bare))
    after = wave.programs.advance(wave.run, state, wave.place().tables, np.int32(0), np.int32(3))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves((state.params, state.plan, state.losses)))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(after))


def test_without_validation_or_test_examples_nothing_is_evaluated(linear, examples):
    bare = examples._replace(validation=examples.validation[:, :0], test=examples.test[:, :0])
    run = train_many(keys(1), optax.sgd, {"learning_rate": 0.1}, linear, bare, keep_params=False, **SETTINGS).runs[0]
    assert run.evaluation_steps.size == run.evaluation_losses.size == 0
    assert run.confusion is None
    assert run.params is None
    assert np.isnan([run.accuracy, run.mcc, run.test_loss]).all()
    assert run.diverged == -1


def test_a_wave_in_which_every_run_diverged_is_not_trained_on(linear, examples):
    steps = []
    result = train_many(
        keys(1),
        optax.sgd,
        {"learning_rate": float("nan")},
        linear,
        examples,
        steps=10_000,
        batch_size=16,
        chunk_seconds=1e-9,
        evaluate_at=5_000,
        on_progress=lambda report: steps.append(report.step),
    )
    (run,) = result.runs
    assert run.diverged == 1
    assert max(step for step in steps if step < 10_000) < 10
    assert np.isnan(run.losses[1:]).all()
    np.testing.assert_array_equal(np.isnan(run.evaluation_losses), [False, True, True])


def test_a_number_that_the_optimizer_refuses_is_refused_before_anything_is_compiled(linear, examples):
    def strict(learning_rate):
        if not isinstance(learning_rate, jax.core.Tracer) and learning_rate < 0:
            raise ValueError(f"strict: learning_rate must be >= 0, got {learning_rate}.")
        raise AssertionError("nothing should be traced")

    with pytest.raises(ValueError, match=r"strict: learning_rate must be >= 0, got -1\.0"):
        train_many(keys(1), strict, {"learning_rate": -1.0}, linear, examples, **SETTINGS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keys": jax.random.key(0)}, r"keys must be typed keys of shape \(runs,\), .* got key<fry> of shape \(\)"),
        ({"keys": jnp.zeros((2, 2), jnp.uint32)}, "keys must be typed keys"),
        ({"hyperparameters": [{}] * 3}, "hyperparameters must be one for all or a sequence of one for each of 2 runs"),
        ({"make_optimizer": [optax.sgd]}, "make_optimizer must be one for all or .* got a sequence of 1"),
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number of at least 1, got 2.5"),
        ({"batch_size": 1000}, "batch_size must be at most the 230 training examples"),
        ({"lanes": 0}, "lanes must be a whole number of at least 1, got 0"),
        ({"sampling": "bootstrap"}, "sampling must be 'shuffle' or 'replacement'"),
        ({"splits": [0, 2]}, r"splits must be one row in \[0, 2\) for each of 2 runs"),
        ({"evaluate_at": 0}, "evaluate_at must be a whole number of at least 1 or steps"),
        ({"evaluate_at": [13]}, r"steps in \[0, 12\]"),
        ({"devices": []}, "devices must be a sequence of at least one device"),
    ],
)
def test_arguments_that_do_not_fit_are_named(changes, message, linear, examples):
    arguments = {
        "keys": keys(2),
        "make_optimizer": optax.sgd,
        "hyperparameters": {"learning_rate": 0.1},
        "problem": linear,
        "data": examples,
        **SETTINGS,
        **changes,
    }
    with pytest.raises(ValueError, match=f"train_many: .*{message}"):
        train_many(**arguments)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("labels", np.zeros(3), r"images must be \(n, height, width\) and labels \(n,\)"),
        ("scale", 0.0, "scale must be positive"),
        ("train", np.zeros(5, int), r"train must be integer indices of shape \(splits, size\)"),
        ("train", np.zeros((2, 0), int), "train must have at least one split of at least one example"),
        ("test", np.zeros((1, 5), int), "test must be .*one row per split in each"),
        ("validation", np.full((2, 3), 400), "validation must index the 400 images, got 400 to 400"),
    ],
)
def test_examples_that_do_not_fit_are_named(field, value, message, linear, examples):
    with pytest.raises(ValueError, match=f"Examples: {message}"):
        train_many(keys(1), optax.sgd, {"learning_rate": 0.1}, linear, examples._replace(**{field: value}), **SETTINGS)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (lambda labels: labels.astype(np.int8) - 1, "labels must be integers from 0, got int8, at least -1"),
        (lambda labels: labels + 0.5, "labels must be integers from 0, got float64"),
        (lambda labels: labels + 4, "labels must be below 4, the classes of the model, got 7"),
    ],
)
def test_labels_that_are_no_classes_of_the_model_are_refused(labels, message, linear, examples):
    with pytest.raises(ValueError, match=message):
        train_many(
            keys(1), optax.sgd, {"learning_rate": 0.1}, linear, examples._replace(labels=labels(examples.labels)), **SETTINGS
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: m._replace(loss=lambda *a: m.loss(*a).mean()),
            r"loss must return one floating loss for each of 8 examples, got float32 of shape \(\)",
        ),
        (lambda m: m._replace(loss=lambda o, y: (o[:, 0], 1)), "one floating loss for each of 8 examples, got tuple"),
        (lambda m: m._replace(loss=lambda o, y: y), r"one floating loss for each of 8 examples, got int32 of shape \(8,\)"),
        (lambda m: m._replace(apply=lambda *a, **k: m.apply(*a, **k)[0]), r"apply must return \(outputs, model_state\), got"),
        (lambda m: m._replace(init=lambda key: m.init(key)[0]["kernel"]), r"init must return \(params, model_state\), got"),
        (
            lambda m: m._replace(apply=lambda *a, **k: (m.apply(*a, **k)[0].sum(1), {})),
            r"outputs of shape \(batch, classes\), got float32 of shape \(8,\) for a batch of 8",
        ),
    ],
)
def test_a_model_that_does_not_give_what_model_says_is_refused(change, message, linear, examples):
    settings = SETTINGS | {"batch_size": 8}
    with pytest.raises(ValueError, match=f"Model: .*{message}"):
        train_many(keys(1), optax.sgd, {"learning_rate": 0.1}, change(linear), examples, **settings)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_in_the_last_wave_comes_too_late_to_stop_anything(linear, examples):
    def stored(wave):
        signal.raise_signal(signal.SIGINT)

    result = train_many(keys(1), optax.sgd, {"learning_rate": 0.1}, linear, examples, on_wave=stored, **SETTINGS)
    assert len(result.runs) == 1


def test_a_compilation_that_another_call_gives_up_is_begun_anew_for_who_waits(monkeypatch):
    pool, waits = ThreadPoolExecutor(1), threading.Event()
    monkeypatch.setattr(program, "_compilers", lambda: pool)
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("runs",))
    doubled = program.Program(lambda part, x: 2 * x, None, mesh, 1, own=1)
    numbers = jnp.ones((1, 3))
    pool.submit(waits.wait)
    doubled.announce(numbers)
    found = ThreadPoolExecutor(1).submit(doubled.prepare, numbers)
    while not doubled._compiled:
        pass
    doubled.give_up()
    waits.set()
    np.testing.assert_array_equal(found.result(timeout=60)(numbers), 2 * numbers)


def test_a_compilation_that_failed_is_tried_again(monkeypatch):
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("runs",))
    doubled = program.Program(lambda part, x: 2 * x, None, mesh, 1, own=1)
    numbers, options = jnp.ones((1, 3)), doubled._options
    doubled._options = {"there_is_no_such_option": 1}
    with pytest.raises(Exception, match="there_is_no_such_option"):
        doubled.prepare(numbers)
    doubled._options = options
    np.testing.assert_array_equal(doubled(numbers), 2 * numbers)
