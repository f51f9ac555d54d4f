"""Certified rates against closed forms, the paper's constraint itself, and functions that are not quadratic."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import momentum_jax as mj
from momentum_jax import theory
from momentum_jax.theory.certificates import certified

KAPPAS = (2.0, 5.0, 10.0, 25.0, 100.0, 1000.0)


def dynamics(F: object, b: object) -> theory.Dynamics:
    """A method by its matrices: no compiler is asked."""
    F, b = np.array(F, np.float64), np.array(b, np.float64)
    names = ("params", *(f"memory[{i}]" for i in range(len(b) - 1)))
    held = np.eye(len(b))[0]
    return theory.Dynamics(F[None], b[None], held[None], held, 0, 1, names)


def two_step(alpha: float, beta: float, gamma: float) -> theory.Dynamics:
    """x' = x + beta (x - x_prev) - alpha g(y) in y = x + gamma (x - x_prev); the memory is x - x_prev."""
    # y' = x' + gamma v', x' = x + v', v' = beta v - alpha g, x = y - gamma v
    return dynamics([[1.0, (1 + gamma) * beta - gamma], [0.0, beta]], [-(1 + gamma) * alpha, -alpha])


def polyak(kappa: float) -> theory.Dynamics:
    root = kappa**0.5
    return two_step(4 / (root + 1) ** 2, ((root - 1) / (root + 1)) ** 2, 0.0)


def standard_nesterov(kappa: float) -> theory.Dynamics:
    mu = (kappa**0.5 - 1) / (kappa**0.5 + 1)
    return two_step(1 / kappa, mu, mu)


@pytest.mark.parametrize("kappa", KAPPAS)
def test_gradient_descent_is_certified_at_its_known_rates(kappa: float) -> None:
    assert theory.certified_rate(two_step(2 / (1 + kappa), 0, 0), 1.0, kappa).rate == pytest.approx(
        (kappa - 1) / (kappa + 1), abs=1e-7
    )
    assert theory.certified_rate(two_step(1 / kappa, 0, 0), 1.0, kappa).rate == pytest.approx(1 - 1 / kappa, abs=1e-7)


@pytest.mark.parametrize("kappa", [2.0, 25.0, 1000.0])
def test_triple_and_robust_momentum_are_certified_at_the_rates_that_they_are_built_for(kappa: float) -> None:
    triple = mj.triple_momentum(strong_convexity=1.0, smoothness=kappa)
    assert theory.certified_rate(triple, 1.0, kappa).rate == pytest.approx(1 - kappa**-0.5, abs=1e-7)
    rate = 1 - 0.5 / kappa - 0.5 * kappa**-0.5
    robust = mj.robust_momentum(strong_convexity=1.0, smoothness=kappa, rate=rate)
    assert theory.certified_rate(robust, 1.0, kappa).rate == pytest.approx(rate, abs=1e-7)


def test_nesterovs_standard_pair_is_certified_below_the_textbooks_rate() -> None:
    found = theory.certified_rate(mj.nesterov(1 / 25, 2 / 3), 1.0, 25.0)
    assert found.rate == pytest.approx(0.84962, abs=5e-6)
    assert found.rate < 0.8**0.5
    assert found.quadratic_rate == pytest.approx(0.8, abs=1e-7)
    assert 0 <= found.multiplier <= found.rate**2


def test_heavy_ball_with_polyaks_pair_is_certified_up_to_a_kappa_of_17() -> None:
    assert theory.certified_rate(polyak(17.0), 1.0, 17.0).rate == pytest.approx(0.98814, abs=5e-6)
    beyond = theory.certified_rate(polyak(18.0), 1.0, 18.0)
    assert beyond.rate == np.inf
    assert np.isnan(beyond.multiplier)
    assert beyond.quadratic_rate == pytest.approx((18**0.5 - 1) / (18**0.5 + 1), abs=1e-7)


def test_where_heavy_ball_has_no_certificate_it_cycles() -> None:
    def gradient(x: float) -> float:
        return 25 * x if x < 1 else x + 24 if x < 2 else 25 * x - 24

    assert theory.certified_rate(polyak(25.0), 1.0, 25.0).rate == np.inf
    cycle = theory.limit_cycle(polyak(25.0), gradient, 3.3)
    assert cycle is not None
    np.testing.assert_allclose(np.sort(cycle), np.sort([792 / 1225, -2208 / 1225, 2592 / 1225]), atol=1e-7)


def fast(kappa: float) -> theory.Dynamics:
    """One that a multiplier above rho^2, which is not allowed, would certify at a lower rate."""
    return two_step(1.4 / kappa, 0.5, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "kappa"), [(standard_nesterov, 12.0), (polyak, 3.0), (polyak, 12.0), (fast, 7.0)])
def test_the_constraint_holds_at_the_certificate_and_not_below(method: object, kappa: float) -> None:
    read = method(kappa)
    found = theory.certified_rate(read, 1.0, kappa)
    frequencies = np.exp(1j * np.linspace(0, np.pi, 20_001))

    def excess(rho: float, h: float) -> float:
        z = rho * frequencies
        resolvent = np.linalg.inv(z[:, None, None] * np.eye(2) - read.F[0])
        G = resolvent[:, 0] @ read.b[0]
        return float(((1 - G).conj() * (1 - h / z) * (kappa * G - 1)).real.max())

    assert 0 <= found.multiplier <= found.rate**2 * (1 + 1e-9)
    assert excess(found.rate + 1e-6, found.multiplier) <= 1e-9
    below = found.rate - 1e-4
    assert min(excess(below, h) for h in np.linspace(0, below**2, 60)) > 1e-6


def test_no_certificate_is_below_the_quadratic_rate() -> None:
    random, proven = np.random.default_rng(1), 0
    for _ in range(60):
        kappa = float(np.exp(random.uniform(np.log(2), np.log(1000))))
        n = int(random.integers(1, 4))
        memory = np.diag(random.uniform(-0.3, 0.95, n))
        F = np.block([[np.ones((1, 1)), random.normal(size=(1, n))], [np.zeros((n, 1)), memory]])
        b = -random.uniform(0.1, 1.5) / kappa * np.concatenate([[1.0], random.uniform(-0.2, 0.5, n)])
        F[0, 1:] *= random.choice([0.05, 0.5])
        found = theory.certified_rate(dynamics(F, b), 1.0, kappa)
        assert found.rate >= found.quadratic_rate
        assert found.quadratic_rate == theory.worst_rate(dynamics(F, b), 1.0, kappa)[0]
        proven += np.isfinite(found.rate)
    assert proven >= 20


def test_units_do_not_matter() -> None:
    one, other = two_step(0.05, 0.6, 0.3), two_step(0.05e-5, 0.6, 0.3)
    there = theory.certified_rate(other, 1e5, 20e5)
    here = theory.certified_rate(one, 1.0, 20.0)
    assert here.rate < 1
    np.testing.assert_allclose(there, here, rtol=1e-8)


def test_one_curvature_has_its_quadratic_rate() -> None:
    assert theory.certified_rate(two_step(0.1, 0.5, 0.0), 2.0, 2.0).rate == pytest.approx(0.5**0.5, abs=1e-9)


def test_peaks_between_few_frequencies_are_found() -> None:
    read = standard_nesterov(25.0)
    p, q, _ = read.at(0).polynomials()
    exact = theory.certified_rate(read, 1.0, 25.0).rate

    def coarse(peaks: int) -> float:
        return float(certified(p[None], q[None], 1.0, 25.0, np.array([0.8]), count=33, peaks=peaks)[0][0])

    assert coarse(8) == pytest.approx(exact, abs=1e-9)
    assert coarse(0) < exact - 1e-6


METHODS = {
    "gradient descent": (lambda: mj.gradient_descent(2 / 11), 10.0),
    "heavy ball": (lambda: mj.heavy_ball(4 / (10**0.5 + 1) ** 2, ((10**0.5 - 1) / (10**0.5 + 1)) ** 2), 10.0),
    "nesterov": (lambda: mj.nesterov(0.04, 2 / 3), 25.0),
    "triple momentum": (lambda: mj.triple_momentum(strong_convexity=1.0, smoothness=25.0), 25.0),
    "mixture": (lambda: mj.quasi_hyperbolic_momentum(0.1, 0.6, 0.8), 12.0),
}


@pytest.mark.parametrize("name", METHODS)
def test_no_function_is_slower_than_the_certificate(name: str) -> None:
    """Sums of one-sided parabolas in three dimensions: their curvature jumps at every turn, however near the minimum."""
    build, kappa = METHODS[name]
    steps, functions = 400, 200
    with jax.enable_x64(True):
        optimizer = build()
        found = theory.certified_rate(optimizer, 1.0, kappa)
        random = np.random.default_rng(0)
        directions = random.normal(size=(functions, 6, 3))
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        weights = (kappa - 1) * random.dirichlet(np.full(6, 0.3), functions)
        # The first function is the least curved parabola, on which gradient descent reaches its certificate.
        weights[0] = 0.0

        def last(directions: jax.Array, weights: jax.Array, x: jax.Array) -> jax.Array:
            def step(carry: tuple, _: None) -> tuple:
                x, state = carry
                gradient = x + (weights * jnp.maximum(directions @ x, 0)) @ directions
                updates, state = optimizer.update(gradient, state, x)
                return (optax.apply_updates(x, updates), state), None

            (x, _), _ = jax.lax.scan(step, (x, optimizer.init(x)), length=steps)
            return jnp.linalg.norm(x)

        begin = jnp.asarray(random.normal(size=(functions, 3)))
        ends = jax.jit(jax.vmap(last))(jnp.asarray(directions), jnp.asarray(weights), begin)
        shrunk = np.asarray(ends / jnp.linalg.norm(begin, axis=-1)) ** (1 / steps)
    # A certificate allows a constant before rho^k: 100 of them here.
    assert shrunk.max() <= found.rate * 100 ** (1 / steps)
    assert shrunk.max() >= 0.8 * found.quadratic_rate


def test_a_method_that_stands_still_or_diverges_has_no_certificate() -> None:
    assert theory.certified_rate(mj.gradient_descent(0.0), 1.0, 2.0)[:2] == (np.inf, 1.0)
    diverging = theory.certified_rate(two_step(1.1, 0.0, 0.0), 1.0, 2.0)
    assert diverging.rate == np.inf
    assert diverging.quadratic_rate == pytest.approx(1.2)


REFUSED = {
    r"certified_rate: m must be in \(0, L\], got m = 5 and L = 2\.": (lambda: mj.heavy_ball(0.1, 0.9), 5.0, 2.0),
    r"certified_rate: m must be in \(0, L\], got m = nan and L = 2\.": (lambda: mj.heavy_ball(0.1, 0.9), np.nan, 2.0),
    r"certified_rate: weight decay moves the minimum; add the decay to m and L instead\.": (
        lambda: mj.sgd(0.1, 0.9, weight_decay=1e-4),
        1.0,
        2.0,
    ),
    r"certified_rate: its coefficients repeat after 2 steps; give step=\.": (
        lambda: optax.MultiSteps(optax.sgd(0.1), 2),
        1.0,
        2.0,
    ),
    r"linearize: update is not linear: .*": (lambda: optax.adam(0.1), 1.0, 2.0),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_certified_is_refused(message: str) -> None:
    build, m, L = REFUSED[message]
    with pytest.raises(ValueError, match=f"^{message}$"):
        theory.certified_rate(build(), m, L)
