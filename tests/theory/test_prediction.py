"""Predictions: against runs of the optimizers themselves on quadratics, and silence where the model must be silent."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import momentum_jax as mj
from momentum_jax.protocol import evaluation_params
from momentum_jax.theory.prediction import NO_DIFFERENCE, Spectrum, predict

CURVATURES = np.array([0.02, 0.3, 4.0])
GRADIENTS = np.array([0.1, 0.6, -3.0])
NOISES = np.array([0.5, 1.0, 8.0])
SPECTRUM = Spectrum(CURVATURES, GRADIENTS**2, NOISES)


def loss_after(optimizer, steps, batch_size=None, chains=1):
    """The mean loss of chains of the optimizer's own steps on the quadratic, in float64, and its standard error."""
    with jax.enable_x64(True):
        x = jnp.broadcast_to(GRADIENTS / CURVATURES, (chains, 3))
        state = optimizer.init(x)
        scale = np.sqrt(NOISES / batch_size) if batch_size else np.zeros(3)

        @jax.jit
        def step(carry, key):
            x, state = carry
            updates, state = optimizer.update(CURVATURES * x + scale * jax.random.normal(key, x.shape), state, x)
            return (x + updates, state), None

        (x, state), _ = jax.lax.scan(step, (x, state), jax.random.split(jax.random.key(0), steps))
        at = evaluation_params(x, state)
        losses = np.asarray((CURVATURES * at**2 / 2).sum(-1))
    return losses.mean(), losses.std() / np.sqrt(chains)


START = float((GRADIENTS**2 / CURVATURES / 2).sum())
METHODS = {
    "plain": mj.gradient_descent(0.1),
    "moving": mj.heavy_ball(0.1, 0.8),
    "ahead": mj.nesterov(0.1, 0.8),
    "dampened": mj.sgd(0.1, 0.8, dampening=0.5),
    "falling": optax.sgd(optax.cosine_decay_schedule(0.3, 25), 0.5),
}


@pytest.mark.parametrize("label", METHODS)
def test_the_decrease_is_that_of_the_optimizer_run_on_the_quadratic(label) -> None:
    (arm,) = predict({label: METHODS[label]}, SPECTRUM, 25).arms
    assert arm.decrease == pytest.approx(START - loss_after(METHODS[label], 25)[0], rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("label", METHODS)
def test_the_cost_of_noise_is_that_of_many_runs_with_noise(label) -> None:
    (arm,) = predict({label: METHODS[label]}, SPECTRUM, 25, batch_size=64).arms
    loss, error = loss_after(METHODS[label], 25, 64, chains=20_000)
    without = START - loss_after(METHODS[label], 25)[0]
    assert abs(arm.decrease - (START - loss)) < 5 * error
    # The noise is not lost in that: it costs many errors.
    assert without - arm.decrease > 10 * error


@pytest.mark.slow
def test_the_order_is_that_of_the_runs() -> None:
    methods = {f"{name} {rate}": each(rate) for rate in (0.03, 0.1, 0.3) for name, each in FAMILY.items()}
    found = predict(methods, SPECTRUM, 15)
    measured = {label: START - loss_after(each, 15)[0] for label, each in methods.items()}
    best = max(measured.values())
    places = [found.place(label) for label in sorted(measured, key=measured.__getitem__, reverse=True)]
    assert places == sorted(places)
    assert places[0] == 1
    assert len(set(places)) > 4
    for one in measured:
        for other in measured:
            if found.place(one) == found.place(other):
                assert abs(measured[one] - measured[other]) < NO_DIFFERENCE * best


FAMILY = {"plain": mj.gradient_descent, "moving": mj.heavy_ball, "ahead": lambda rate: mj.nesterov(rate, 0.5)}


def test_distances_and_gradients_say_the_same() -> None:
    distances = GRADIENTS / CURVATURES
    one = predict(METHODS, SPECTRUM, 10)
    assert one == predict(METHODS, Spectrum.of_distances(CURVATURES, distances**2, NOISES), 10)


@pytest.mark.parametrize("curvature", [0.0, 1e-15, -1e-15])
def test_a_flat_direction_earns_its_gradient_in_every_step(curvature) -> None:
    # A step of 0.1 g earns 0.1 g^2 to first order, and the distance g / 0 is nowhere.
    (arm,) = predict({"plain": mj.gradient_descent(0.1)}, Spectrum([curvature, 1.0], [4.0, 0.0]), 50).arms
    assert arm.decrease == pytest.approx(0.1 * 4.0 * 50, rel=1e-6)


def test_stability_is_told_of_the_largest_curvature_and_of_every_budget() -> None:
    arms = {"stable": mj.heavy_ball(0.1, 0.9), "not": mj.gradient_descent(0.6), "adam": mj.adam(0.1)}
    for steps in (1, 100, 100_000):
        stable, unstable, adam = predict(arms, SPECTRUM, steps, batch_size=1).arms
        assert stable.limit == pytest.approx(2 * 1.9 / 0.1)
        assert stable.ratio == pytest.approx(4.0 / 38.0)
        assert stable.is_stable
        assert stable.rate == pytest.approx(np.sqrt(0.9))
        assert unstable.limit == pytest.approx(2 / 0.6)
        assert unstable.is_stable is False
        assert unstable.decrease is None
        assert "not stable" in unstable.refusal
        assert adam.limit is adam.is_stable is None
        assert re.fullmatch(r"linearize: update is not linear: `\w+` at .*adam\.py:\d+.*", adam.refusal)


def test_a_schedule_is_as_stable_as_its_largest_step() -> None:
    # Settled at rate 0 it would be stable for every curvature.
    (arm,) = predict({"cosine": optax.sgd(optax.cosine_decay_schedule(1.0, 50))}, SPECTRUM, 50).arms
    assert arm.limit == pytest.approx(2.0)
    assert arm.is_stable is False


def test_less_than_1_percent_is_no_difference() -> None:
    close = predict({"one": mj.gradient_descent(0.1), "other": mj.gradient_descent(0.1 * (1 + 1e-4))}, SPECTRUM, 20)
    apart = predict({"one": mj.gradient_descent(0.1), "other": mj.gradient_descent(0.11)}, SPECTRUM, 20)
    assert close.order == (("other", "one"),)
    assert close.place("one") == 1
    assert apart.order == (("other",), ("one",))
    assert apart.place("one") == 2


def test_what_samples_of_the_noise_do_not_show_is_no_difference() -> None:
    one, other = mj.gradient_descent(0.1), mj.heavy_ball(0.1, 0.2)
    spread = Spectrum(CURVATURES, GRADIENTS**2, np.outer([0.0, 10.0], [0, 0, 40.0]))
    certain = spread._replace(noises=np.mean(spread.noises, 0))
    assert predict({"one": one, "other": other}, certain, 3, batch_size=64).order == (("other",), ("one",))
    assert len(predict({"one": one, "other": other}, spread, 3, batch_size=64).order) == 1


def test_beyond_the_noise_floor_it_says_nothing_but_stability() -> None:
    arms = {"fast": mj.heavy_ball(0.2, 0.9), "slow": mj.gradient_descent(0.1)}
    short, long = (predict(arms, SPECTRUM, steps, batch_size=8) for steps in (10, 20_000))
    assert short.refusal is None
    assert short.order
    assert long.order == ()
    assert all(arm.is_stable and arm.decrease is None for arm in long.arms)
    floors = [arm.noise_floor for arm in long.arms]
    assert floors[0] < floors[1]
    told = f"the quadratic model says nothing of 20,000 steps here; measure again at step {floors[0]:,}"
    assert long.refusal == long.arms[0].refusal == told
    # On the quadratic itself nothing is gained after the later floor: the next doubling moves less than the noise costs.
    losses = [loss_after(arms["slow"], steps, 8, chains=500) for steps in (floors[1], 2 * floors[1])]
    without = START - predict(arms, SPECTRUM, floors[1]).arms[1].decrease
    assert abs(losses[0][0] - losses[1][0]) < losses[0][0] - without


def test_one_arm_beyond_its_floor_leaves_the_order_of_the_others() -> None:
    arms = {"loud": mj.heavy_ball(0.5, 0.9), "plain": mj.gradient_descent(0.02), "slower": mj.gradient_descent(0.01)}
    found = predict(arms, SPECTRUM, 64, batch_size=100)
    assert found.arms[0].noise_floor == 24
    assert found.refusal is None
    assert found.order == (("plain",), ("slower",))
    assert found.place("loud") is None


def test_without_noise_swings_of_momentum_are_no_floor() -> None:
    quiet = SPECTRUM._replace(noises=1e-9 * NOISES)
    found = predict({"swinging": mj.heavy_ball(0.3, 0.98), "plain": mj.gradient_descent(0.3)}, quiet, 64, batch_size=1)
    assert [arm.noise_floor for arm in found.arms] == [None, None]


def test_negative_curvature_counts_as_flat_and_leaves_ties_undecided() -> None:
    # -1/10 grows by 1.01 a step and would decide alone; along 0 each step of 0.1 g earns 0.1 g^2.
    bent = Spectrum([-0.1, 5.0], [4.0, 0.0])
    arms = {"a": mj.gradient_descent(0.1), "b": mj.gradient_descent(0.05), "c": mj.gradient_descent(0.1001)}
    found = predict(arms, bent, 500)
    assert found.arms[0].decrease == pytest.approx(0.1 * 4.0 * 500, rel=1e-6)
    assert found.order == (("c", "a"), ("b",))
    assert found.ties == "undecided"
    assert predict(arms, bent._replace(curvatures=[0.1, 5.0]), 5).ties == "no difference"


def test_weight_decay_leaves_stability_alone() -> None:
    decayed = optax.chain(optax.add_decayed_weights(0.01), optax.sgd(0.1))
    (arm,) = predict({"decayed": decayed}, SPECTRUM, 20).arms
    assert arm.limit == pytest.approx(20 - 0.01)
    assert arm.is_stable
    assert arm.decrease is None
    assert "weight decay" in arm.refusal


def test_mini_batches_of_an_arm_are_its_own() -> None:
    arms = {"small": mj.gradient_descent(0.1), "large": mj.gradient_descent(0.1), "all": mj.gradient_descent(0.1)}
    found = predict(arms, SPECTRUM, 20, batch_size={"small": 100, "large": 400, "all": None})
    small, large, whole = (arm.decrease for arm in found.arms)
    assert whole - small == pytest.approx(4 * (whole - large), rel=1e-9)
    assert whole > large


@pytest.mark.parametrize(
    ("spectrum", "options", "message"),
    [
        (Spectrum([], []), {}, "curvatures must not be empty"),
        (Spectrum([np.nan], [1.0]), {}, "curvatures must be finite, got nan"),
        (Spectrum([1.0], [-1.0]), {}, "gradients2 must be at least 0, got -1"),
        (Spectrum([1.0], [1.0], [-2.0]), {}, "noises must be at least 0, got -2"),
        (Spectrum([1.0, 2.0], [1.0, 2.0, 3.0]), {}, r"gradients2 must be one for each of 2 curvatures, got shape \(3,\)"),
        (Spectrum([[1.0]], [1.0]), {}, r"curvatures must be \(k,\), got shape \(1, 1\)"),
        (SPECTRUM, {"steps": 0}, "steps must be an int of at least 1, got 0"),
        (SPECTRUM, {"batch_size": 0.5}, "batch_size must be at least 1, or None, got 0.5"),
        (SPECTRUM, {"arms": {}}, "arms must hold at least one optimizer, got none"),
    ],
)
def test_bad_input_is_named(spectrum, options, message) -> None:
    arguments = {"arms": {"plain": mj.gradient_descent(0.1)}, "steps": 10} | options
    with pytest.raises(ValueError, match=f"^predict: {message}"):
        predict(spectrum=spectrum, **arguments)
