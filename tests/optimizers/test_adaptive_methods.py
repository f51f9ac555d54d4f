"""RMSprop, Adagrad, Adadelta, Adam and AMSGrad in NumPy, every average written as the sum of what each gradient weighs.

All hyperparameters follow schedules, so that one read at the wrong step shows.
"""

import numpy as np
import pytest
from adaptive_problems import START, STEPS, G, b1, b2, column, eps, rate, sequence, steps_of
from oracles import assert_same_path, averages, descend, discounted_sums, weighted_means

import momentum_jax as mj


def momentum(t):
    return 0.2 + 0.7 * t / 60


def root_of(second_moments: np.ndarray, inside: bool) -> np.ndarray:
    epsilon = column(eps(STEPS))
    return np.sqrt(second_moments + epsilon) if inside else np.sqrt(second_moments) + epsilon


@pytest.mark.parametrize("inside", [False, True], ids=["eps outside the root", "eps inside the root"])
@pytest.mark.parametrize("centered", [False, True], ids=["plain", "centred"])
def test_rmsprop_divides_by_the_root_of_the_average_square(inside: bool, centered: bool) -> None:
    spread = averages(b2(STEPS), G**2)
    if centered:
        spread = np.maximum(spread - averages(b2(STEPS), G) ** 2, 0)
    expected = -column(rate(STEPS)) * G / root_of(spread, inside)
    options = {"eps_inside_sqrt": inside, "centered": centered}
    # A variance is a difference of two nearly equal numbers: it keeps fewer digits.
    tolerance = 1e-10 if centered else 1e-12
    for memory in (0.0, None):
        assert_same_path(steps_of(mj.rmsprop(rate, b2, eps=eps, momentum=memory, **options)), expected, tolerance)


@pytest.mark.parametrize("inside", [False, True], ids=["rate outside", "rate inside"])
@pytest.mark.parametrize("nesterov", [False, True], ids=["momentum", "nesterov"])
def test_rmsprop_with_momentum_sums_its_scaled_gradients(inside: bool, nesterov: bool) -> None:
    scaled = G / root_of(averages(b2(STEPS), G**2), inside=False)
    fed = column(rate(STEPS)) * scaled if inside else scaled
    step = discounted_sums(momentum(STEPS), fed)
    if nesterov:
        step = fed + column(momentum(STEPS)) * step
    expected = -step if inside else -column(rate(STEPS)) * step
    options = {"nesterov": nesterov, "learning_rate_inside": inside}
    assert_same_path(steps_of(mj.rmsprop(rate, b2, eps=eps, momentum=momentum, **options)), expected)


@pytest.mark.parametrize("inside", [False, True], ids=["eps outside the root", "eps inside the root"])
@pytest.mark.parametrize("initial", [0.0, 0.7])
def test_adagrad_divides_by_the_root_of_the_sum_of_squares(inside: bool, initial: float) -> None:
    expected = -column(rate(STEPS)) * G / root_of(initial + np.cumsum(G**2, axis=0), inside)
    optimizer = mj.adagrad(rate, initial_accumulator=initial, eps=eps, eps_inside_sqrt=inside)
    assert_same_path(steps_of(optimizer), expected)


def test_adadelta_is_the_ratio_of_two_running_root_mean_squares() -> None:
    second_moments = averages(b2(STEPS), G**2)
    changes = np.zeros_like(G)
    for t in STEPS:
        # The average of squared changes ends one step earlier: this step's change is what it serves to find.
        past = averages(b2(STEPS[:t]), changes[:t] ** 2)[-1] if t else 0.0
        changes[t] = G[t] * np.sqrt(past + eps(t)) / np.sqrt(second_moments[t] + eps(t))
    assert_same_path(steps_of(mj.adadelta(rate, b2, eps=eps)), -column(rate(STEPS)) * changes)


def adam_steps() -> np.ndarray:
    return weighted_means(b1(STEPS), G) / (np.sqrt(weighted_means(b2(STEPS), G**2)) + column(eps(STEPS)))


def test_adam_is_a_weighted_mean_over_the_root_of_a_weighted_mean_square() -> None:
    assert_same_path(steps_of(mj.adam(rate, b1, b2, eps=eps)), -column(rate(STEPS)) * adam_steps())


@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam_without_correction_is_its_averages_as_they_are(amsgrad: bool) -> None:
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(6, 3)) * np.array([2, 1, 0.5, 0.1, 3, 0.2])[:, None]
    optimizer = mj.adamw(0.1, 0.8, 0.9, eps=1e-3, amsgrad=amsgrad, debias=False, weight_decay=0.0)
    x = np.zeros(3)
    state = optimizer.init(x)
    m, s, largest = np.zeros(3), np.zeros(3), np.zeros(3)
    for g in gradients:
        updates, state = optimizer.update(g, state, x)
        m, s = 0.8 * m + 0.2 * g, 0.9 * s + 0.1 * g**2
        largest = np.maximum(largest, s) if amsgrad else s
        np.testing.assert_allclose(updates, -0.1 * m / (np.sqrt(largest) + 1e-3), rtol=1e-12)


def test_amsgrad_takes_the_largest_raw_second_moment_and_then_corrects_it() -> None:
    largest = np.maximum.accumulate(averages(b2(STEPS), G**2), axis=0)
    weight = column(averages(b2(STEPS), np.ones(60)))
    expected = weighted_means(b1(STEPS), G) / (np.sqrt(largest / weight) + column(eps(STEPS)))
    assert np.abs(expected - adam_steps()).max() > 1e-2
    optimizer = mj.adam(rate, b1, b2, eps=eps, amsgrad=True)
    assert_same_path(steps_of(optimizer), -column(rate(STEPS)) * expected)


def test_adamw_shrinks_the_parameters_by_rate_times_decay_before_adams_step() -> None:
    def weight_decay(t):
        return 0.4 / (1 + 0.2 * t)

    x, expected = START, [START]
    for t, step in enumerate(adam_steps()):
        x = x * (1 - rate(t) * weight_decay(t)) - rate(t) * step
        expected.append(x)
    optimizer = mj.adamw(rate, b1, b2, eps=eps, weight_decay=weight_decay)
    assert_same_path(descend(optimizer, sequence, START, 60).held, np.array(expected))


@pytest.mark.parametrize(
    "optimizer",
    [
        mj.rmsprop(0.1, eps=0.0),
        mj.rmsprop(0.1, eps=0.0, centered=True, eps_inside_sqrt=True),
        mj.adagrad(0.1, eps=0.0),
        mj.adam(0.1, eps=0.0),
    ],
    ids=["rmsprop", "rmsprop centred", "adagrad", "adam"],
)
def test_a_coordinate_that_never_had_a_gradient_stays_where_it_is_without_eps(optimizer) -> None:
    steps = steps_of(optimizer)
    np.testing.assert_array_equal(steps[:20, 1], 0)
    assert np.isfinite(steps).all()


def test_centred_rmsprop_survives_a_variance_that_rounds_below_0() -> None:
    constant = np.linspace(0.1, 7, 6)
    mean = square = np.zeros(6)
    rounded_below_0 = np.zeros(6, bool)
    for _ in range(600):
        mean, square = 0.9 * mean + (1 - 0.9) * constant, 0.9 * square + (1 - 0.9) * constant**2
        rounded_below_0 |= square < mean**2
    assert rounded_below_0.any()
    path = descend(mj.rmsprop(0.1, eps=1e-3, centered=True), lambda t, x: constant, START, 600).held
    assert np.isfinite(path).all()


@pytest.mark.parametrize("scale", [1e-3, 1e5])
def test_without_eps_the_scale_of_the_gradient_does_not_matter(scale: float) -> None:
    for make in (mj.rmsprop, mj.adagrad, mj.adam):
        optimizer = make(0.1, eps=0.0)
        once = descend(optimizer, sequence, START, 60).held
        scaled = descend(optimizer, lambda t, x: scale * G[t], START, 60).held
        assert_same_path(scaled, once, 1e-11)
