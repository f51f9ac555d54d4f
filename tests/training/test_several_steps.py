"""`several_steps` beside a loop of jitted steps, and `stacked` beside a loop over its iterator."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from hypothesis import given, settings, strategies as st

import momentum_jax as mj
from momentum_jax.training import several_steps, stacked


def net_params(dtype: Any = np.float32) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    shapes = {"hidden": (3, 8), "hidden_bias": (8,), "out": (8, 2), "out_bias": (2,)}
    return {name: jnp.asarray(rng.normal(0, 0.5, shape), dtype) for name, shape in shapes.items()}


def net_loss(params: dict[str, Any], batch: dict[str, Any]) -> jax.Array:
    hidden = jnp.tanh(batch["x"] @ params["hidden"] + params["hidden_bias"])
    return jnp.mean((hidden @ params["out"] + params["out_bias"] - batch["y"]) ** 2)


def net_batches(count: int, dtype: Any = np.float32) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(4)
    return [{"x": rng.normal(size=(5, 3)).astype(dtype), "y": rng.normal(size=(5, 2)).astype(dtype)} for _ in range(count)]


def step_of(optimizer: optax.GradientTransformation) -> Any:
    def step(params: Any, state: Any, batch: Any) -> Any:
        loss, gradients = jax.value_and_grad(net_loss)(params, batch)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, loss

    return step


def add(carry: Any, batch: Any) -> Any:
    """Exact in whole numbers, and no two orders of the batches end alike."""
    return jax.tree.map(lambda c: 3 * c + batch, carry), carry


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "stacked"]


OPTIMIZERS = {
    "heavy_ball with a schedule": lambda: mj.heavy_ball(0.05, mj.schedules.linear(0.5, 0.9, steps=6)),
    "a chain of Optax": lambda: optax.chain(optax.clip_by_global_norm(0.5), optax.adamw(0.01)),
    # Its state begins as the parameters themselves.
    "schedule_free_sgd": lambda: optax.contrib.schedule_free_sgd(0.05),
}


# XLA fuses the body of a loop as it likes: in float64 the last bits of a loop of jitted steps may differ.
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_groups_of_steps_are_a_loop_of_jitted_steps(name: str, x64: None) -> None:
    optimizer, batches = OPTIMIZERS[name](), net_batches(7, np.float64)
    step = step_of(optimizer)
    params = net_params(np.float64)
    state, losses = optimizer.init(params), []
    one = jax.jit(step)
    for batch in batches:
        params, state, loss = one(params, state, batch)
        losses.append(loss)
    ours = net_params(np.float64)
    our_state, our_losses = optimizer.init(ours), []
    run = several_steps(step, 3, unpacked=True)
    for group in stacked(batches, 3):
        ours, our_state, found = run(ours, our_state, group)
        our_losses.extend(found)
    assert len(our_losses) == 7
    close = {"rtol": 1e-12, "atol": 1e-13}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **close), (params, state, losses), (ours, our_state, our_losses))


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 3), max_size=5))
def test_any_groups_give_the_same_as_one_step_after_the_other_to_the_bit(sizes: list[int]) -> None:
    values = np.arange(1, sum(sizes) + 1, dtype=np.uint32)
    carry, seen, ours, metrics = np.uint32(1), [], {"n": np.uint32(1)}, []
    for value in values:
        seen.append(carry)
        carry = np.uint32((3 * int(carry) + int(value)) % 2**32)
    for group in np.split(values, np.cumsum(sizes)[:-1]) if sizes else []:
        ours, found = ADD(ours, group)
        metrics.extend(found["n"].tolist())
    assert int(ours["n"]) == carry
    assert metrics == seen


ADD = several_steps(add, 3)


COMPILED: list[str] = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, _, **about: COMPILED.extend(
        [about.get("fun_name", "")] * (event == "/jax/core/compile/backend_compile_duration")
    )
)


@pytest.mark.parametrize("number", [float, jnp.asarray])
def test_one_program_does_for_all_groups_and_a_shorter_one_adds_one(number: Any) -> None:
    chex.clear_trace_counter()
    run = several_steps(chex.assert_max_traces(lambda c, batch: ({"weak": c["weak"] + batch, "one": 1.0}, None), n=1), 4)
    carry = {"weak": number(0.0), "one": number(1.0)}  # Both weakly typed, and the second is it again after each step.
    COMPILED.clear()
    for size, programs in [(4, 1), (4, 1), (4, 1), (3, 2), (4, 2), (3, 2)]:
        carry, _ = run(carry, np.ones(size, np.float32))
        assert COMPILED.count("jit(scanned)") == programs
        assert not any(leaf.weak_type for leaf in jax.tree.leaves(carry))
    assert carry["weak"] == 22


def test_the_callers_carry_is_dead_after_the_call_and_numpys_is_untouched() -> None:
    same, host = jnp.ones(3), np.ones(1024, np.float32)
    carry = {"same": same, "twice": same, "host": host, "key": jax.random.key(0), "none": None, "empty": jnp.zeros(0)}

    def step(carry: Any, batch: Any) -> Any:
        return carry | {name: carry[name] + batch for name in ("same", "twice", "host")}, None

    run = several_steps(step, 2)
    after, _ = run(carry, np.ones(2, np.float32))
    assert same.is_deleted()
    assert carry["key"].is_deleted()
    np.testing.assert_array_equal(host, 1)
    for name in ("same", "twice", "host"):
        np.testing.assert_array_equal(after[name], 3)
    before = jax.tree.leaves(after)
    places = {leaf.unsafe_buffer_pointer() for leaf in before if leaf.dtype == np.float32 and leaf.size}
    latest, _ = run(after, np.ones(2, np.float32))
    assert all(leaf.is_deleted() for leaf in before)
    # The new carry lies where the old one was: nothing was copied.
    assert {latest[name].unsafe_buffer_pointer() for name in ("same", "twice", "host")} == places
    with pytest.raises(ValueError, match=r"carry must be what the last call returned, got a dead array at leaf \['empty'\]"):
        run(carry, np.ones(2, np.float32))


def test_arrays_that_share_memory_are_refused_and_stay_alive() -> None:
    array = jnp.ones(2)
    other = jax.make_array_from_single_device_arrays((2,), array.sharding, [array])
    for carry, batches in [({"a": array, "b": other}, jnp.ones(2)), ({"a": array}, other)]:
        with pytest.raises(ValueError, match=r"each array of the carry must have memory of its own, .* copy it with jnp\.copy"):
            several_steps(add, 2)(carry, batches)
    assert not array.is_deleted()


WRONG_STEPS = {
    "a dtype": (lambda c: {"w": c["w"].astype(jnp.bfloat16)}, r"got bfloat16\[2\] at leaf \['w'\] that began as float32\[2\]"),
    "a shape": (lambda c: {"w": c["w"][:1]}, r"keep its shapes and dtypes .* got float32\[1\] at leaf \['w'\] that began as"),
    "a leaf": (lambda c: {**c, "v": 1.0}, r"keep its structure .* got float32\[\] at leaf \['v'\] that began as nothing"),
    "no leaf": (lambda c: {"w": None}, r"got None at leaf \['w'\] that began as float32\[2\]"),
    "a name": (lambda c: [c["w"]], r"got nothing at leaf \['w'\] .* and float32\[2\] at leaf \[0\] that was not there"),
    "a kind of node": (lambda c: nnx.State(c), r"the carry must keep its structure .* got a State that began as a dict"),
}


@pytest.mark.parametrize("changed", WRONG_STEPS)
def test_a_step_that_changes_its_carry_is_told_what_it_changed(changed: str) -> None:
    after, message = WRONG_STEPS[changed]
    carry = {"w": jnp.ones(2)}
    with pytest.raises(TypeError, match=f"^several_steps: .*{message}"):
        several_steps(lambda carry, batch: (after(carry), None), 2)(carry, np.ones(2))
    assert not carry["w"].is_deleted()


def test_an_unpacked_step_is_told_which_of_its_two_it_changed() -> None:
    with pytest.raises(TypeError, match=r"the state must keep its shapes .* got float32\[1\] that began as float32\[2\]"):
        several_steps(lambda p, s, b: (p, s[:1], b), 2, unpacked=True)(jnp.ones(2), jnp.ones(2), np.ones(2))


CARRY = {"w": np.ones(2)}
REFUSED = [
    (lambda: several_steps(add, 0), ValueError, r"several_steps: n must be a whole number of at least 1, got 0\."),
    (lambda: several_steps(add, True), ValueError, "got True"),
    (lambda: stacked([], 2.0), ValueError, r"stacked: n must be a whole number of at least 1, got 2\.0\."),
    (lambda: several_steps("add", 2), TypeError, r"several_steps: step must be a function, got a str\."),
    (lambda: stacked(add, 2), TypeError, r"stacked: iterator must be iterable, got a function\."),
    (lambda: ADD(CARRY, {}), ValueError, r"batches must hold at least one array, got none\."),
    (lambda: ADD(CARRY, {"x": np.float32(1)}), ValueError, r"leading axis of steps, got a scalar at leaf \['x'\]\."),
    (lambda: ADD(CARRY, {"x": np.ones(2), "y": np.ones(3)}), ValueError, r"got 3 at leaf \['y'\] and 2 at leaf \['x'\]\."),
    (lambda: ADD(CARRY, np.ones((0, 2))), ValueError, r"a leading axis of 1 to 3 steps, got 0\."),
    (lambda: ADD(CARRY, np.ones((4, 2))), ValueError, r"a leading axis of 1 to 3 steps, got 4\."),
    (lambda: ADD({"w": "text"}, np.ones(2)), TypeError, r"the carry must hold arrays alone, got a str at leaf \['w'\]\."),
    (lambda: several_steps(lambda c, b: c, 2)(CARRY, np.ones(2)), TypeError, r"must return \(carry, metrics\), got a dict\."),
    (lambda: several_steps(lambda c, b: (c, b, b), 2)(CARRY, np.ones(2)), TypeError, r"\(carry, metrics\), got a tuple of 3\."),
    (lambda: several_steps(lambda c, b: (c, {"m": "x"}), 2)(CARRY, np.ones(2)), TypeError, r"the metrics .* a str at leaf"),
    (
        lambda: several_steps(lambda p, s, b: (p, s), 2, unpacked=True)(CARRY, CARRY, np.ones(2)),
        TypeError,
        r"step must return \(params, state, loss\), got a tuple of 2\.",
    ),
    (lambda: next(stacked([{"a": np.ones(2), "b": "x"}], 2)), TypeError, r"got a str at leaf \['b'\] of batch 0\."),
    (lambda: [*stacked([1.0, [np.ones(2), np.array(["x"])]], 2)], TypeError, r"got <U1\[1\] at leaf \[1\] of batch 1\."),
    (lambda: [*stacked([1.0, ()], 2)], ValueError, r"a batch must hold at least one array, got none in batch 1\."),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED, ids=[message for *_, message in REFUSED])
def test_a_mistake_is_named(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


def test_a_module_of_nnx_travels_as_what_split_gives() -> None:
    def made() -> Any:
        model = nnx.Sequential(
            nnx.Linear(3, 4, rngs=nnx.Rngs(0)), nnx.BatchNorm(4, rngs=nnx.Rngs(0)), nnx.Linear(4, 2, rngs=nnx.Rngs(1))
        )
        return model, nnx.Optimizer(model, mj.nesterov(0.1, 0.9), wrt=nnx.Param)

    def train(model: Any, optimizer: Any, batch: Any) -> Any:
        loss, gradients = nnx.value_and_grad(lambda model: jnp.mean((model(batch["x"]) - batch["y"]) ** 2))(model)
        optimizer.update(model, gradients)
        return loss

    model, optimizer = made()
    one = nnx.jit(train)
    losses = [one(model, optimizer, batch) for batch in net_batches(4)]
    ours = made()
    graph, variables = nnx.split(ours)

    def step(variables: Any, batch: Any) -> Any:
        both = nnx.merge(graph, variables)
        loss = train(*both, batch)
        return nnx.state(both), loss

    (group,) = stacked(net_batches(4), 4)
    variables, found = several_steps(step, 4)(variables, group)
    nnx.update(ours, variables)
    np.testing.assert_allclose(found, losses, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), nnx.state(ours[0]), nnx.state(model))


BATCHES = st.lists(st.integers(1, 2), max_size=9)


@settings(max_examples=50, deadline=None)
@given(rows=BATCHES, n=st.integers(1, 4), fails=st.booleans())
def test_groups_are_the_batches_in_their_order_up_to_the_error_of_the_iterator(rows: list[int], n: int, fails: bool) -> None:
    def batches() -> Iterator[Any]:
        buffers = {size: np.empty((size, 2)) for size in (1, 2)}
        for number, size in enumerate(rows):
            buffers[size][:] = number  # The same memory each time.
            yield {"x": buffers[size], "n": number}
        if fails:
            raise OSError("the disk is gone")

    seen: list[tuple[int, int]] = []
    groups: list[int] = []
    try:
        for group in stacked(batches(), n):
            assert len(group["n"]) == len(group["x"]) <= n
            groups.append(len(group["n"]))
            for x, number in zip(group["x"], group["n"], strict=True):
                assert (x == number).all()
                seen.append((len(x), number))
        assert not fails
    except OSError:
        assert fails
    assert seen == [(size, number) for number, size in enumerate(rows)]
    changes = sum(a != b for a, b in itertools.pairwise(rows))
    assert sum(size < n for size in groups) <= changes + 1
    assert not threads()


def test_arrays_of_jax_are_stacked_as_such_and_in_the_callers_width(x64: None) -> None:
    (group,) = stacked(({"a": jnp.ones(2) * i, "k": jax.random.key(i)} for i in range(3)), 3)
    assert isinstance(group["a"], jax.Array)
    assert group["a"].dtype == np.float64
    assert group["k"].shape == (3,)


def test_the_thread_works_one_group_ahead_and_ends_when_its_consumer_does() -> None:
    asked, enough = 0, threading.Event()

    def endless() -> Iterator[int]:
        nonlocal asked
        while True:
            asked += 1
            if asked == 6:
                enough.set()
            yield asked

    groups = stacked(endless(), 3)
    assert not threads()
    np.testing.assert_array_equal(next(groups), [1, 2, 3])
    assert enough.wait(10)
    assert len(threads()) == 1
    # The second group is made, and the third is not begun before it is taken.
    assert asked == 6
    groups.close()
    assert not threads()
    assert asked <= 7
    for _ in stacked(endless(), 2):
        break
    assert not threads()


def test_a_consumer_that_stops_before_a_group_cut_short_ends_the_thread() -> None:
    cut = threading.Event()

    def batches() -> Iterator[Any]:
        for size in (1, 1, 1, 2, 2, 1, 1):
            yield np.zeros(size)
            if size == 2:
                cut.set()

    groups = stacked(batches(), 3)
    assert next(groups).shape == (3, 1)
    # The second group ends with the batch after it, which waits in the thread.
    assert cut.wait(10)
    time.sleep(0.05)
    groups.close()
    assert not threads()


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, OSError])
def test_batches_before_whatever_an_iterator_raises_are_not_lost(raised: type[BaseException]) -> None:
    def batches() -> Iterator[Any]:
        yield np.ones(1)
        yield np.ones(1)
        raise raised

    groups = stacked(batches(), 3)
    assert next(groups).shape == (2, 1)
    with pytest.raises(raised):
        next(groups)


def test_a_batch_holds_numbers_of_any_width_and_no_records() -> None:
    narrow = [{"a": np.ones(2, jnp.bfloat16), "b": np.ones(2, bool), "c": np.ones(2, jnp.int4)}] * 2
    (group,) = stacked(narrow, 2)
    assert [leaf.dtype for leaf in jax.tree.leaves(group)] == [jnp.bfloat16, bool, jnp.int4]
    with pytest.raises(TypeError, match=r"arrays of numbers, got \[\('x', '<f4'\)\]\[3\] of batch 0"):
        next(stacked([np.zeros(3, [("x", np.float32)])], 2))


def test_a_dead_array_among_the_batches_is_named() -> None:
    dead = jnp.ones((2, 3))
    dead.delete()
    run = several_steps(lambda carry, batch: (carry + batch["x"].sum(), carry), 2)
    with pytest.raises(ValueError, match=r"batches must hold arrays that are alive, got a dead array at leaf \['x'\]"):
        run(jnp.zeros(()), {"x": dead})


def test_ctrl_c_reaches_the_consumer_and_ends_the_thread(ctrl_c: None) -> None:
    def interrupted() -> Iterator[int]:
        yield 0
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            yield 1

    with pytest.raises(KeyboardInterrupt):
        [threading.Event().wait(10 * group[0]) for group in stacked(interrupted(), 1)]
    assert not threads()


@pytest.mark.slow
def test_an_iterator_that_never_returns_does_not_keep_the_process() -> None:
    script = """
import threading
from momentum_jax.training import stacked
def stuck():
    yield 1
    threading.Event().wait()
for group in stacked(stuck(), 1):
    break
print(group)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (0, "[1]\n"), result.stderr
