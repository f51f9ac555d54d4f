"""What an expression means: the optimizer that it makes, and that nothing else can be said in one."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from contract_rows import ROWS

import momentum_jax
from momentum_jax.studies import Arm, StudyError
from momentum_jax.studies.expression import Expression
from momentum_jax.studies.reader import names
from momentum_jax.studies.resolve import resolve, settle

W_AND_B = {"w": 0, "b": 1}
PARAMS = {"w": jnp.arange(6.0).reshape(2, 3), "b": jnp.ones(3)}


def read_and_resolve(text, axes=None):
    return resolve(Expression.read(text), axes=axes)


def one_step(optimizer):
    updates, _ = optimizer.update(PARAMS, optimizer.init(PARAMS), PARAMS)
    return updates


def test_numbers_are_kept_apart_from_structure():
    arm = read_and_resolve("sgd(0.1, momentum=0.9, nesterov=True)")
    assert arm.numbers == {"learning_rate": 0.1, "momentum": 0.9}
    assert arm.group == read_and_resolve("sgd(0.5, momentum=0.3, nesterov=True)").group
    assert arm.group != read_and_resolve("sgd(0.5, momentum=0.3, nesterov=False)").group
    assert arm.group != read_and_resolve("sgd(0.5)").group
    assert arm.group != read_and_resolve("heavy_ball(0.1, momentum=0.9)").group


def test_a_whole_number_given_where_a_real_one_is_meant_is_a_number():
    assert read_and_resolve("sgd(1, momentum=0)").numbers == {"learning_rate": 1.0, "momentum": 0.0}


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("heavy_ball(0.01, 0.9)", momentum_jax.heavy_ball(0.01, 0.9)),
        ("momentum_jax.nesterov(0.01)", momentum_jax.nesterov(0.01)),
        ("optax.sgd(0.1, momentum=0.9, nesterov=True)", optax.sgd(0.1, momentum=0.9, nesterov=True)),
        ("optax.chain(optax.clip(0.5), heavy_ball(0.1))", optax.chain(optax.clip(0.5), momentum_jax.heavy_ball(0.1))),
        ("heavy_ball(optax.linear_schedule(0.3, 0.0, 10))", momentum_jax.heavy_ball(0.3)),
        ("heavy_ball(0.1, linear(0.5, 0.9, steps=5))", momentum_jax.heavy_ball(0.1, 0.5)),
        ("heavy_ball(0.1, schedules.cosine(steps=5))", momentum_jax.heavy_ball(0.1, 0.5)),
        ("demon(0.1, total_steps=5)", momentum_jax.heavy_ball(0.1, 0.9)),
        ("heavy_ball(0.1, demon(0.5, total_steps=5))", momentum_jax.heavy_ball(0.1, 0.5)),
        ("optax.chain(momentum_jax.demon(0.1, total_steps=5))", momentum_jax.heavy_ball(0.1, 0.9)),
        ("nadam(0.1, variant='keras')", momentum_jax.nadam(0.1, variant="keras")),
        ("per_layer({'w': heavy_ball(0.1), '*': sgd(0.2)})", optax.partition({0: optax.sgd(0.1), 1: optax.sgd(0.2)}, W_AND_B)),
        ("optax.adam(0.001, b2=0.99, mu_dtype=None)", optax.adam(0.001, b2=0.99)),
        ("optax.sgd(+0.1, -0.5)", optax.sgd(0.1, -0.5)),
    ],
)  # fmt: skip
def test_an_expression_makes_the_optimizer_that_python_would(text, peer):
    arm = read_and_resolve(text)
    made, expected = one_step(arm.make(**arm.numbers)), one_step(peer)
    for leaf in PARAMS:
        np.testing.assert_array_equal(made[leaf], expected[leaf])


def test_traced_numbers_make_the_same_optimizer():
    arm = read_and_resolve("heavy_ball(0.25, 0.5)")
    traced = jax.jit(lambda numbers: one_step(arm.make(**numbers)))({"learning_rate": 0.25, "momentum": 0.5})
    np.testing.assert_array_equal(traced["w"], -0.25 * PARAMS["w"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("heavy_bal(0.01)", "unknown optimizer 'heavy_bal'; did you mean heavy_ball?"),
        ("adamax(0.1)", "unknown optimizer 'adamax'; did you mean optax.adamax or"),
        ("optax.adm(0.1)", "unknown name 'optax.adm'; did you mean optax.adam"),
        ("sgd(log_unifrom(0.01, 1))", "unknown name 'log_unifrom'; did you mean log_uniform"),
        ("sgd(search.log_uniform(0.01, 1))", "unknown name 'search.log_uniform'; did you mean log_uniform"),
        ("heavy_ball(0.01, 1.5)", "heavy_ball: momentum must be in [0, 1), got 1.5."),
        ("heavy_ball(0.01, momentm=0.9)", "did you mean momentum?"),
        ("heavy_ball()", "missing a required argument: 'learning_rate'; heavy_ball takes learning_rate, momentum"),
        ("heavy_ball(0.1, 0.9, 0.8)", "too many positional arguments; heavy_ball takes learning_rate, momentum"),
        ("heavy_ball(0.1, momentum=0.9, momentum=0.8)", "the argument momentum is given twice."),
        ("heavy_ball(0.1, linear(0.5, 0.9, steps=0))", "linear: steps must be at least 1, got 0."),
        ("heavy_ball(cosine_decay_schedule(0.1, 9))", "did you mean optax.cosine_decay_schedule?"),
        ("heavy_ball(rate)", "a string is written 'rate'."),
        ("heavy_ball", "give its arguments too"),
        ("heavy_ball(0.1", "not an expression"),
        ("", "not an expression"),
        ("0.1", "must be the call of an optimizer"),
        ("scale_by_heavy_ball(0.9)", "unknown optimizer 'scale_by_heavy_ball'; did you mean heavy_ball?"),
        ("optax.cosine_decay_schedule(0.1, 10)", "must make an optimizer, but cosine_decay_schedule makes a function."),
        ("optax.safe_increment(3)", "must make an optimizer, but safe_increment makes an ArrayImpl."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_beside_what_would_be_right(text, message):
    with pytest.raises(StudyError) as refused:
        read_and_resolve(text)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "eval('1')",
        "optax.os.system('true')",
        "optax._src.alias.sgd(0.1)",
        "optax.sgd.__globals__(0.1)",
        "schedules.math.exp(1)",
        "schedules.jnp.exp(1)",
        "optimizers.sgd.sgd(0.1)",
        "heavy_ball(0.1).init(1)",
        "heavy_ball((lambda: 0.1)())",
        "heavy_ball([x for x in (0.1,)][0])",
        "heavy_ball(*(0.1, 0.9))",
        "heavy_ball(**{'learning_rate': 0.1})",
        "heavy_ball(0.1 if True else 0.2)",
        "heavy_ball(10 ** 10 ** 10)",
        "heavy_ball(f'{1}')",
        "heavy_ball(learning_rate := 0.1)",
        "heavy_ball(1j)",
        "heavy_ball(b'a')",
        "heavy_ball(...)",
        "(" * 5000 + ")" * 5000,
        "heavy_ball(" + "-" * 5000 + "1)",
        "heavy_ball(0.1)\0",
    ],
)
def test_only_calls_of_known_names_and_literals_are_read(text):
    with pytest.raises(StudyError):
        read_and_resolve(text)


@pytest.mark.parametrize(
    "text",
    [
        "sgd(" + ", ".join(f"a{i}=1" for i in range(20_000)) + ")",
        "sgd(" + ", ".join(["a=1"] * 2_000) + ")",
        "sgd(" + ", ".join(f"a{i}=1" for i in range(1_000)) + ")",
        "sgd(" + ", ".join(["0.1"] * 1_500) + ")",
        "sgd(0.1, '" + "9" * 9_000 + "')",
        "sgd(0.1, " + "9" * 5_000 + ")",
        "sgd(0.1, " + "9" * 4_000 + ")",
        "sgd(" + "x" * 9_000 + ")",
        "x" * 9_000 + "(0.1)",
        "a" + ".a" * 900 + "(0.1)",
        "sgd(0.1, " + "[" * 150 + "]" * 150 + ")",
        "cautious(" * 5_000 + "sgd(0.1)" + ")" * 5_000,
        "sgd(log_uniform(" + "9" * 4_000 + ", 1))",
        "sgd(choice(" + "sgd(" * 90 + "0.1" + ")" * 90 + ", 1))",
        "sgd(" * 5_000,
    ],
    ids=lambda text: f"{text[:12]}...{text[-6:]}",
)
def test_a_message_quotes_no_more_than_can_be_read(text):
    with pytest.raises(StudyError) as refused:
        resolve(Expression.read(text).middle)
    # Quoted at most thrice: the arm, the argument, the constructor's own words.
    assert len(str(refused.value)) < 600
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("path", ["optax._src.alias.sgd", "optax.tree_utils.functools.partial", "schedules.math.exp"])
def test_no_name_leads_out_of_the_public_functions(path):
    with pytest.raises(StudyError, match="unknown name"):
        read_and_resolve(f"{path}(0.1)")


def test_every_optimizer_of_the_face_is_a_name():
    assert {"gradient_descent", "heavy_ball", "nesterov", "sgd", "adam", "adamw", "per_layer"} <= set(names())
    assert not [name for name in names() if name.startswith("scale_by_")]


def test_an_optimizer_that_cannot_be_built_from_traced_numbers_is_settled_as_structure(monkeypatch):
    def branching(learning_rate, cap=1.0):
        return optax.chain(optax.clip(cap) if cap > 0 else optax.identity(), optax.sgd(learning_rate))

    monkeypatch.setattr(optax, "branching", branching, raising=False)
    arm = read_and_resolve("optax.branching(0.1, cap=0.5)")
    assert arm.numbers == {"learning_rate": 0.1, "cap": 0.5}
    settled = settle(arm, PARAMS)
    assert settled.numbers == {}
    assert settled.group != settle(read_and_resolve("optax.branching(0.2, cap=0.5)"), PARAMS).group
    np.testing.assert_array_equal(one_step(settled.make())["b"], np.full(3, np.float32(-0.1) * np.float32(0.5)))
    free = read_and_resolve("sgd(0.1)")
    assert settle(free, PARAMS) is free


def test_an_optimizer_that_wants_more_than_the_trainer_has_is_refused():
    with pytest.raises(StudyError, match=r"arm 'optax.lbfgs\(0.1\)' cannot train this problem: "):
        settle(read_and_resolve("optax.lbfgs(0.1)"), PARAMS)


def test_an_optimizer_that_does_not_fit_the_network_is_refused_in_its_own_words():
    with pytest.raises(StudyError, match=r"every pattern must decide a leaf|must have a pattern for every leaf"):
        settle(read_and_resolve("per_layer({'nowhere': sgd(0.1)})"), PARAMS)


def test_updates_that_would_be_broadcast_are_refused():
    def of_one_entry():
        return optax.stateless(lambda updates, params: jax.tree.map(lambda leaf: leaf.sum(keepdims=True), updates))

    text = Arm.of(of_one_entry).optimizer
    with pytest.raises(StudyError, match=r"updates must have the shapes of their parameters, got float32\[1(, 1)?\] at leaf"):
        settle(resolve(Expression.read(text), lambda origin, name: of_one_entry), PARAMS)


# How an arm is written where a learning rate alone is not enough.
WRITTEN = {
    "aggregated_momentum": "aggregated_momentum(0.1)",
    "adaptive_restart": "adaptive_restart(nesterov(0.1))",
    "adaptive_restart, by the loss": "adaptive_restart(nesterov(0.1), criterion='function')",
    "averaged": "averaged(heavy_ball(0.1), 0.9)",
    "dion": "dion(0.01, rank=2)",
    "gpa": "gpa(adamw(0.001))",
    "cautious": "cautious(adam(0.001))",
    "demon": "demon(0.1, total_steps=100)",
    "ema_nesterov": "ema_nesterov(0.1, 0.6, 0.9)",
    "grokfast": "optax.chain(grokfast(), sgd(0.1))",
    "cautious_weight_decay": "optax.chain(cautious_weight_decay(0.1), sgd(0.1))",
    "momentum_correction": "momentum_correction(scale_by_heavy_ball(0.9), 0.1)",
    "per_layer": "per_layer({'w': heavy_ball(0.1), '*': adam(0.001)})",
    "quantized_state": "quantized_state(heavy_ball(0.1))",
    "robust_momentum": "robust_momentum(strong_convexity=1.0, smoothness=10.0, rate=0.9)",
    "state_space_momentum": "state_space_momentum(0.9, 1.0, -0.09, -0.1)",
    "triple_momentum": "triple_momentum(strong_convexity=1.0, smoothness=10.0)",
    "lion": "optax.lion(0.001)",
    "Signum": "optax.chain(optax.ema(0.9, debias=False), optax.sign_sgd(0.001))",
    "adabelief": "optax.adabelief(0.001)",
    "schedule_free": "optax.contrib.schedule_free_sgd(0.1)",
    "lookahead": "optax.lookahead(optax.sgd(0.1), 2, 0.5)",
}


def spelled(name: str) -> str:
    """With the numbers of its row in the contract."""
    (row,) = (row for row in ROWS if row.id == name)
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in row.numbers.items())})"


@pytest.mark.parametrize("name", sorted({*names(), *WRITTEN}))
def test_every_optimizer_of_the_house_and_those_of_optax_can_be_an_arm(name):
    arm = settle(read_and_resolve(WRITTEN.get(name) or spelled(name)), PARAMS)
    optimizer = optax.with_extra_args_support(arm.make(**arm.numbers))
    gradient = {"w": jnp.ones((2, 3)), "b": jnp.full(3, -1.0)}
    extra = {"value": jnp.float32(1.0), "grad_fn": lambda at: gradient}
    state, params = optimizer.init(PARAMS), PARAMS
    for _ in range(3):
        updates, state = optimizer.update(gradient, state, params, **extra)
        params = optax.apply_updates(params, updates)
    # Downhill, along a gradient that stays as it is.
    assert sum(jnp.vdot(gradient[key], params[key] - PARAMS[key]) for key in PARAMS) < 0


def test_a_filter_alone_is_no_arm():
    with pytest.raises(
        StudyError, match=r"grokfast only filters gradients; write optax\.chain\(grokfast\(\.\.\.\), sgd\(0\.1\)\)"
    ):
        read_and_resolve("grokfast()")


def test_an_arm_that_has_axes_and_was_given_none_takes_those_of_the_problem():
    kernels = {"conv": {"kernel": jnp.ones((3, 3, 2, 4))}}
    axes = {"conv/*": "in in in out"}
    with pytest.raises(StudyError, match="which axes must name"):
        settle(read_and_resolve("muon(0.02)"), kernels)
    arm = settle(read_and_resolve("muon(0.02)", axes), kernels)
    state = arm.make(**arm.numbers).init(kernels)
    assert jax.tree.leaves(state.matrices[0].first_moment)[0].shape == (3, 3, 2, 4)
    own = settle(read_and_resolve("muon(0.02, axes={'*': None}, fallback=sgd(0.1))", axes), kernels)
    assert not jax.tree.leaves(own.make(**own.numbers).init(kernels).matrices[0].first_moment)

    def of_ones_own(learning_rate=0.1, axes=None):
        return momentum_jax.muon(learning_rate, axes=axes)

    text = Arm.of(of_ones_own).optimizer
    settle(resolve(Expression.read(text), lambda origin, name: of_ones_own, axes), kernels)
    assert settle(read_and_resolve("sgd(0.1)", axes), kernels).make == read_and_resolve("sgd(0.1)").make


@pytest.mark.parametrize(
    "text",
    [
        "averaged(muon(0.02), 0.99)",
        "optax.chain(grokfast(), normuon(0.02))",
        "per_layer({'*': dion(0.02, rank=2)})",
        "cautious(gpa(soap(0.01)))",
        "optax.lookahead(scion(0.01), 5, 0.5)",
        "adaptive_restart(muon(0.02, axes=None))",
    ],
)
def test_a_constructor_inside_another_takes_the_axes_of_the_problem(text):
    # The last axis alone is the output: a constructor without axes refuses this leaf.
    kernels, axes = {"conv": {"kernel": jnp.ones((3, 3, 2, 4))}}, {"conv/*": "in in in out"}
    with pytest.raises(StudyError, match="which axes must name"):
        settle(read_and_resolve(text), kernels)
    told = read_and_resolve(text, axes)
    settle(told, kernels)
    assert told.group != read_and_resolve(text).group
    assert told.group == read_and_resolve(text, axes).group


def test_axes_of_a_further_call_stay_its_own():
    leaf, mine = (
        {"w": {"kernel": jnp.full((2, 3, 4), 0.5)}},
        "averaged(muon(0.1, axes={'*': 'batch in out'}, weight_decay=0.0), 0.9)",
    )
    told, alone = (read_and_resolve(mine, axes) for axes in ({"*": "in in out"}, None))
    ours, theirs = (arm.make(**arm.numbers) for arm in (told, alone))
    gradient = jax.tree.map(lambda x: x * jnp.arange(4.0), leaf)
    steps = [optimizer.update(gradient, optimizer.init(leaf), leaf)[0] for optimizer in (ours, theirs)]
    np.testing.assert_array_equal(*(step["w"]["kernel"] for step in steps))
    assert told.group == alone.group
