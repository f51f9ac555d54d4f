"""The linear family: where the methods' authors and other libraries went with the same gradients, what each method is by its
own paper, and which ones are the same method in different clothes.

The trajectories were computed by the peers themselves, in float64; the files name peer, version and hyperparameters.
"""

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracles import FILES, Problems, assert_same_path, descend, join, largest_difference, peer_file, split

import momentum_jax as mj

PEERS = sorted(file.stem for file in (FILES / "linear").glob("*.npz"))


class Row(NamedTuple):
    """An optimizer of ours and the trajectory that it has to meet: "peer/name"."""

    trajectory: str
    make: Callable[..., optax.GradientTransformation]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def row(trajectory: str, make: Callable[..., optax.GradientTransformation], *args: Any, **kwargs: Any) -> Row:
    return Row(trajectory, make, args, kwargs)


def row_id(row: Row) -> str:
    shown = [getattr(a, "__name__", str(a)) for a in row.args] + [f"{name}={value}" for name, value in row.kwargs.items()]
    return f"{row.trajectory}-{row.make.__name__}({','.join(shown)})"


def rate(t: Any) -> Any:
    return jnp.where(t < 15, 0.05, jnp.where(t < 35, 0.005, 0.02))


def momentum(t: Any) -> Any:
    return 0.5 + 0.4 * jnp.minimum(t, 30) / 30


def at(hyperparameter: Any, t: int) -> float:
    return float(hyperparameter(t)) if callable(hyperparameter) else hyperparameter


def inside(core: optax.GradientTransformation, eta: Any) -> optax.GradientTransformation:
    return optax.chain(mj.scale_by_learning_rate(eta), core)


def coupled_decay(make: Callable[..., optax.GradientTransformation], *args: Any) -> optax.GradientTransformation:
    return optax.chain(mj.add_weight_decay(0.1), make(*args))


def decoupled_decay(core: Callable[..., optax.GradientTransformation], eta: float, *args: Any) -> optax.GradientTransformation:
    return optax.chain(core(*args), mj.add_weight_decay(0.1), mj.scale_by_learning_rate(eta))


def grokfast_before(make: Callable[..., optax.GradientTransformation], *args: Any) -> optax.GradientTransformation:
    return optax.chain(mj.grokfast(*args), make())


def descent_at_a_fiftieth() -> optax.GradientTransformation:
    return mj.gradient_descent(0.02)


def adam_without_eps() -> optax.GradientTransformation:
    """The peer takes the larger of root and eps, and the root is larger all the way."""
    return mj.adam(0.05, 0.9, 0.99, eps=0.0)


BETAS = (0.0, 0.9, 0.99)
MET = [
    *[
        row(f"{peer}/qhm", mj.quasi_hyperbolic_momentum, 0.5, 0.95, 0.7)
        for peer in ("qhoptim", "torch_optimizer", "pytorch_optimizer")
    ],
    row("qhoptim/qhm_wd", coupled_decay, mj.quasi_hyperbolic_momentum, 0.5, 0.95, 0.7),
    row("qhoptim/qhm_wd_direct", decoupled_decay, mj.scale_by_quasi_hyperbolic_momentum, 0.5, 0.95, 0.7),
    *[row(f"{peer}/aggmo", mj.aggregated_momentum, 0.05, BETAS) for peer in ("aggmo", "torch_optimizer", "pytorch_optimizer")],
    *[
        row(f"{peer}/aggmo_wd", coupled_decay, mj.aggregated_momentum, 0.05, BETAS)
        for peer in ("aggmo", "torch_optimizer", "pytorch_optimizer")
    ],
    *[
        row(f"{peer}/accsgd", mj.accelerated_sgd, 0.05, 100.0, 5.0, 0.7)
        for peer in ("accsgd", "torch_optimizer", "pytorch_optimizer")
    ],
    row("pytorch_optimizer/pid", mj.pid, 0.005),
    row("grokfast/grokfast_ema_sgd", grokfast_before, descent_at_a_fiftieth, 0.95, 2.0),
    row("pytorch_optimizer/grokfast_adamw", grokfast_before, adam_without_eps, 0.98, 2.0),
    row("optax/optimistic", mj.optimistic, 0.05),
]
KAPPA = 100.0
RHO = 0.3 * (1 - 1 / KAPPA) + 0.7 * (1 - 1 / KAPPA**0.5)
PUBLISHED_LOOPS = [
    row("pepit/triple_momentum", mj.triple_momentum, strong_convexity=0.1, smoothness=10.0),
    row("pepit/robust_momentum", mj.robust_momentum, strong_convexity=0.1, smoothness=10.0, rate=RHO),
    row("pepit/accelerated_gradient_convex", mj.fista, 0.1),
    row("modded-nanogpt/ema_nesterov_sgd", mj.ema_nesterov, 0.02, 0.6, 0.9),
]
DIFFERENT = [row("pidoptimizer/pid", mj.pid, 0.005), row("torch_optimizer/pid", mj.pid, 0.005)]


@pytest.fixture(scope="module")
def peers() -> dict[str, np.ndarray]:
    return {f"{peer}/{name}": array for peer in PEERS for name, array in peer_file(f"linear/{peer}")[1].items()}


@pytest.mark.parametrize("row", MET, ids=row_id)
@pytest.mark.parametrize("name", ["quad", "seq"])
def test_the_method_meets_the_peer_at_every_step(row: Row, name: str, problem: Problems, peers: dict[str, np.ndarray]) -> None:
    descent = descend(row.make(*row.args, **row.kwargs), getattr(problem, name), problem.theta0, 50)
    assert_same_path(descent.held, peers[f"{row.trajectory}/{name}"])


@pytest.mark.parametrize("row", PUBLISHED_LOOPS, ids=row_id)
@pytest.mark.parametrize("name", ["quad", "seq"])
def test_the_method_asks_where_the_published_loop_asks_and_reads_out_what_it_returns(
    row: Row, name: str, problem: Problems, peers: dict[str, np.ndarray]
) -> None:
    descent = descend(row.make(*row.args, **row.kwargs), getattr(problem, name), problem.theta0, 50)
    assert_same_path(descent.held[:-1], peers[f"{row.trajectory}/{name}"])
    outputs = {"iterate": descent.read, "final": descent.read[-1]}
    carried = [kind for kind in outputs if f"{row.trajectory}/{kind}_{name}" in peers]
    assert carried
    for kind in carried:
        assert_same_path(outputs[kind], peers[f"{row.trajectory}/{kind}_{name}"])


@pytest.mark.parametrize("row", DIFFERENT, ids=row_id)
def test_the_method_parts_from_a_peer_that_forgets_the_first_gradient(
    row: Row, problem: Problems, peers: dict[str, np.ndarray]
) -> None:
    ours, theirs = descend(row.make(*row.args), problem.seq, problem.theta0, 50).held, peers[f"{row.trajectory}/seq"]
    assert_same_path(ours[:2], theirs[:2])
    # D_2 = (1 - mu) g_2 there and (1 - mu) (g_2 - g_1) here: the difference (1 - mu) g_1 decays by mu and moves eta k_d each.
    weight = 0.005 * 10.0 * 0.1 * (1 - 0.9 ** np.arange(50)) / (1 - 0.9)
    assert_same_path(ours[1:] - np.outer(weight, problem.gseq[0]), theirs[1:])


def test_every_carried_trajectory_is_met_or_known_to_differ() -> None:
    used = {row.trajectory for row in (*MET, *PUBLISHED_LOOPS, *DIFFERENT)}
    assert used == {f"{peer}/{name}" for peer in PEERS for name in peer_file(f"linear/{peer}")[0]["trajectories"]}


@pytest.mark.parametrize("peer", PEERS)
def test_a_file_of_trajectories_names_the_peer_its_version_and_the_hyperparameters(peer: str) -> None:
    about, arrays = peer_file(f"linear/{peer}")
    assert about["peer"].lower().endswith(peer)
    assert about["version"]
    for name, trajectory in about["trajectories"].items():
        assert trajectory["hyperparameters"]
        assert arrays[f"{name}/quad"].dtype == arrays[f"{name}/seq"].dtype == np.float64


def path(optimizer: optax.GradientTransformation, problem: Problems, steps: int = 50) -> np.ndarray:
    return descend(optimizer, problem.bent, problem.theta0, steps).held


class Loop:
    """The algorithm of a paper in NumPy: query points and iterates of 50 steps on the bent quadratic."""

    def __init__(self, problem: Problems) -> None:
        self.gradient, self.x = problem.bent, problem.theta0
        self.queries: list[np.ndarray] = []
        self.iterates: list[np.ndarray] = [self.x]

    def ask(self, y: np.ndarray) -> np.ndarray:
        self.queries.append(y)
        return self.gradient(len(self.queries) - 1, y)

    def go(self, x: np.ndarray) -> None:
        self.x = x
        self.iterates.append(x)

    def equals(self, optimizer: optax.GradientTransformation) -> None:
        descent = descend(optimizer, self.gradient, self.iterates[0], 50)
        assert_same_path(descent.held[:-1], np.array(self.queries))
        assert_same_path(descent.read, np.array(self.iterates))


@pytest.mark.parametrize("eta", [0.05, rate], ids=["constant", "scheduled"])
def test_quasi_hyperbolic_momentum_is_its_papers_algorithm_under_schedules(eta: Any, problem: Problems) -> None:
    def nu(t: Any) -> Any:
        return 0.2 + 0.6 * t / 50

    loop, average = Loop(problem), np.zeros(17)
    for t in range(50):
        g = loop.ask(loop.x)
        average = at(momentum, t) * average + (1 - at(momentum, t)) * g
        loop.go(loop.x - at(eta, t) * ((1 - at(nu, t)) * g + at(nu, t) * average))
    loop.equals(mj.quasi_hyperbolic_momentum(eta, momentum, nu))


def test_aggregated_momentum_is_its_papers_algorithm_under_schedules(problem: Problems) -> None:
    betas = (0.0, momentum, 0.99, 0.99)
    loop, velocities = Loop(problem), [np.zeros(17)] * 4
    for t in range(50):
        g = loop.ask(loop.x)
        velocities = [at(beta, t) * v - g for beta, v in zip(betas, velocities, strict=True)]
        loop.go(loop.x + at(rate, t) / 4 * sum(velocities))
    loop.equals(mj.aggregated_momentum(rate, betas))


def test_accelerated_sgd_is_its_papers_algorithm_under_schedules_of_everything(problem: Problems) -> None:
    def kappa(t: Any) -> Any:
        return 40.0 + t

    def xi(t: Any) -> Any:
        return 3.0 + 0.05 * t

    def small(t: Any) -> Any:
        return 0.5 + 0.005 * t

    loop, b = Loop(problem), problem.theta0
    for t in range(50):
        eta, k, x, c = (at(h, t) for h in (rate, kappa, xi, small))
        g = loop.ask(loop.x)
        a = c * c * x / k
        b = (1 - a) * b + a * (loop.x - eta * k / c * g)
        loop.go(c / (c + a) * (loop.x - eta * g) + a / (c + a) * b)
    loop.equals(mj.accelerated_sgd(rate, kappa, xi, small))


@pytest.mark.parametrize("eta", [0.02, rate], ids=["constant", "scheduled"])
def test_ema_nesterov_is_its_papers_algorithm_under_schedules_and_around_adam(eta: Any, problem: Problems) -> None:
    def beta(t: Any) -> Any:
        return 0.9 - 0.01 * t

    loop, m = Loop(problem), np.zeros(17)
    for t in range(50):
        y = loop.x + at(beta, t) * m
        theta = y - at(eta, t) * loop.ask(y)
        m = at(momentum, t) * m + (1 - at(momentum, t)) * (theta - loop.x)
        loop.go(theta)
    loop.equals(mj.ema_nesterov(eta, beta, momentum))

    loop, m, adam = Loop(problem), np.zeros(17), mj.adam(eta)
    state = adam.init(split(problem.theta0))
    for t in range(50):
        y = loop.x + at(beta, t) * m
        step, state = adam.update(split(loop.ask(y)), state)
        theta = y + join(step)
        m = at(momentum, t) * m + (1 - at(momentum, t)) * (theta - loop.x)
        loop.go(theta)
    loop.equals(optax.chain(mj.adam(eta), mj.scale_by_ema_nesterov(beta, momentum)))


def test_grokfast_is_its_papers_filter_and_goes_before_any_optimizer(problem: Problems) -> None:
    loop, average = Loop(problem), None
    for t in range(50):
        g = loop.ask(loop.x)
        average = g if average is None else at(momentum, t) * average + (1 - at(momentum, t)) * g
        loop.go(loop.x - at(rate, t) * (g + (1 + 0.02 * t) * average))
    loop.equals(optax.chain(mj.grokfast(momentum, lambda t: 1 + 0.02 * t), mj.gradient_descent(rate)))


def test_optimistic_takes_its_guess_back_under_schedules(problem: Problems) -> None:
    """Optimistic mirror descent: x = z - eta M, z' = z - eta g(x), where the hint M is the last gradient."""
    loop = Loop(problem)
    # The first gradient is its own hint: z_0 lies where x_0 = z_0 - eta g(x_0).
    z = problem.theta0 + at(rate, 0) * problem.bent(0, problem.theta0)
    for t in range(50):
        g = loop.ask(loop.x)
        z = z - at(rate, t) * g
        loop.go(z - at(rate, t + 1) * g)
    loop.equals(mj.optimistic(rate))


def test_optimistic_at_a_constant_rate_is_twice_the_gradient_less_the_last(problem: Problems) -> None:
    loop, before = Loop(problem), None
    for _ in range(50):
        g = loop.ask(loop.x)
        loop.go(loop.x - 0.05 * (2 * g - (g if before is None else before)))
        before = g
    loop.equals(mj.optimistic(0.05))


def test_optimistic_solves_the_game_that_descent_circles() -> None:
    """min over x, max over y of x y."""

    def game(t: int, z: np.ndarray) -> np.ndarray:
        return np.array([z[1], -z[0]])

    start = np.array([1.0, 1.0])
    assert np.linalg.norm(descend(mj.optimistic(0.3), game, start, 400).held[-1]) < 1e-6
    assert np.linalg.norm(descend(mj.gradient_descent(0.3), game, start, 400).held[-1]) > 10


def test_pid_is_its_papers_controller_under_schedules(problem: Problems) -> None:
    loop, i, d, before = Loop(problem), np.zeros(17), np.zeros(17), None
    for t in range(50):
        g, mu = loop.ask(loop.x), at(momentum, t)
        i = mu * i + g
        d = mu * d + (1 - mu) * (g - (g if before is None else before))
        before = g
        loop.go(loop.x - 0.1 * at(rate, t) * (g + (5 - 0.02 * t) * i + (10 + 0.02 * t) * d))
    loop.equals(mj.pid(lambda t: 0.1 * rate(t), momentum, lambda t: 5 - 0.02 * t, lambda t: 10 + 0.02 * t))


@pytest.mark.parametrize("eta", [0.08, rate], ids=["constant", "scheduled"])
def test_fista_is_its_papers_recursion_and_nesterov_with_the_schedule_of_that_name(eta: Any, problem: Problems) -> None:
    loop, y, t = Loop(problem), problem.theta0, 1.0
    for step in range(50):
        x, t_next = y - at(eta, step) * loop.ask(y), (1 + math.sqrt(1 + 4 * t * t)) / 2
        y, t = x + (t - 1) / t_next * (x - loop.x), t_next
        loop.go(x)
    loop.equals(mj.fista(eta))
    loop.equals(mj.nesterov(eta, mj.schedules.fista(50)))


def test_a_reset_restarts_fista_at_its_first_momentum(problem: Problems) -> None:
    optimizer = mj.fista(0.08)
    first = descend(optimizer, problem.bent, problem.theta0, 20)
    fresh = mj.reset_momentum(first.states[-1])
    again = descend(optimizer, problem.bent, first.read[-1], 20, fresh)
    assert_same_path(again.held, descend(optimizer, problem.bent, first.read[-1], 20).held)
    types = [[(x.dtype, x.weak_type) for x in jax.tree.leaves(state)] for state in (first.states[0], fresh)]
    assert types[0] == types[1]


def test_fista_keeps_its_promise_on_convex_functions(problem: Problems) -> None:
    """f(x_k) - f* <= 2 |x_0 - x*|^2 / (eta (k + 1)^2)."""
    read = descend(mj.fista(0.1), problem.quad, problem.theta0, 200).read[1:] - problem.center
    gap = np.einsum("ki,ij,kj->k", read, problem.H, read) / 2
    bound = 2 * np.sum((problem.theta0 - problem.center) ** 2) / (0.1 * np.arange(2, 202) ** 2)
    assert (gap <= bound).all()


def test_triple_momentum_is_its_papers_recursion_under_schedules(problem: Problems) -> None:
    def curvatures(t: int) -> tuple[float, float]:
        return 0.1 + 0.002 * t, 11.0 - 0.01 * t

    loop, before = Loop(problem), problem.theta0
    xi = problem.theta0
    for t in range(50):
        rho = 1 - math.sqrt(curvatures(t)[0] / curvatures(t)[1])
        y = xi + rho**2 / ((1 + rho) * (2 - rho)) * (xi - before)
        moved = rho**2 / (2 - rho) * (xi - before) - (1 + rho) / curvatures(t)[1] * loop.ask(y)
        xi, before = xi + moved, xi
        rho = 1 - math.sqrt(curvatures(t + 1)[0] / curvatures(t + 1)[1])
        loop.go(xi + rho**2 / (1 - rho**2) * (xi - before))
    loop.equals(mj.triple_momentum(strong_convexity=lambda t: curvatures(t)[0], smoothness=lambda t: curvatures(t)[1]))


def test_robust_momentum_is_its_papers_recursion_under_schedules(problem: Problems) -> None:
    def rho_at(t: Any) -> Any:
        return 0.92 + 0.001 * t

    m, L, x, before = 0.1, 11.0, problem.theta0, problem.theta0
    kappa, loop = L / m, Loop(problem)
    for t in range(50):
        rho = rho_at(t)
        y = x + rho**3 / ((kappa - 1) * (1 - rho) ** 2 * (1 + rho)) * (x - before)
        moved = kappa * rho**3 / (kappa - 1) * (x - before) - kappa * (1 - rho) ** 2 * (1 + rho) / L * loop.ask(y)
        x, before = x + moved, x
        loop.go(x)
    loop.equals(mj.robust_momentum(strong_convexity=m, smoothness=L, rate=rho_at))


@pytest.mark.parametrize(
    "optimizer",
    [
        mj.triple_momentum(strong_convexity=0.1, smoothness=11.0),
        mj.robust_momentum(strong_convexity=0.1, smoothness=11.0, rate=0.95),
    ],
    ids=["triple", "robust"],
)
def test_the_rate_is_the_promised_one(optimizer: optax.GradientTransformation, problem: Problems) -> None:
    rho = 0.95 if optimizer.init(split(problem.theta0)).readout < 0 else 1 - math.sqrt(0.1 / 11)
    goal = descend(mj.fista(1 / 11), problem.bent, problem.theta0, 3000).read[-1]
    error = np.linalg.norm(descend(optimizer, problem.bent, problem.theta0, 300).read - goal, axis=1)
    assert (error <= 30 * error[0] * rho ** np.arange(301) + 1e-11).all()


def test_robust_momentum_runs_from_triple_momentum_to_gradient_descent(problem: Problems) -> None:
    m, L = 0.1, 11.0
    fast = mj.robust_momentum(strong_convexity=m, smoothness=L, rate=1 - 1 / math.sqrt(L / m))
    triple = mj.triple_momentum(strong_convexity=m, smoothness=L)
    assert_same_path(path(fast, problem), path(triple, problem))
    slow = mj.robust_momentum(strong_convexity=m, smoothness=L, rate=1 - m / L)
    assert_same_path(path(slow, problem), path(mj.gradient_descent(1 / L), problem))


def test_with_one_curvature_both_are_gradient_descent(problem: Problems) -> None:
    descent = path(mj.gradient_descent(1 / 11), problem)
    assert_same_path(path(mj.triple_momentum(strong_convexity=11, smoothness=11), problem), descent)
    assert_same_path(path(mj.robust_momentum(strong_convexity=11, smoothness=11, rate=0), problem), descent)


# What the same method is called elsewhere: (left, right), equal on every step from zero buffers.
ETA, MU, TAU = 0.02, 0.8, 0.3
QHM = mj.quasi_hyperbolic_momentum
K, XI, C = 40.0, 4.0, 0.7


def three_parameters(a: float, b: float, gm: float) -> optax.GradientTransformation:
    """x' = x + v', v' = b v - a g(y), in the point y = x + gm v that the user holds."""
    return mj.state_space_momentum([[b]], [-a], [b + gm * b - gm], -a * (1 + gm))


def from_three_parameters(a: float, b: float, gm: float) -> optax.GradientTransformation:
    return QHM(a / (1 - b), b, 1 - gm * (1 - b) / b)


def triple_coefficients(m: float, L: float) -> tuple[float, float, float]:
    rho = 1 - math.sqrt(m / L)
    return (1 + rho) / L, rho**2 / (2 - rho), rho**2 / ((1 + rho) * (2 - rho))


def robust_coefficients(m: float, L: float, rho: float) -> tuple[float, float, float]:
    k = L / m
    pull = (1 - rho) ** 2 * (1 + rho)
    return k * pull / L, k * rho**3 / (k - 1), rho**3 / ((k - 1) * pull)


SAME = {
    "an average is an accumulator at eta / (1 - beta)": (mj.ema_momentum(ETA / (1 - MU), MU), mj.sgd(ETA, MU)),
    "heavy ball is QHM(eta / (1 - mu), mu, 1)": (mj.heavy_ball(ETA, MU), QHM(ETA / (1 - MU), MU, 1.0)),
    "an average is QHM(eta, mu, 1)": (mj.ema_momentum(ETA, MU), QHM(ETA, MU, 1)),
    "gradient descent is QHM(eta, mu, 0)": (mj.gradient_descent(ETA), QHM(ETA, MU, 0)),
    "nesterov is QHM(eta / (1 - mu), mu, mu)": (mj.nesterov(ETA, MU), QHM(ETA / (1 - MU), MU, MU)),
    "PyTorch's nesterov is too": (mj.sgd(ETA, MU, nesterov=True), QHM(ETA / (1 - MU), MU, MU)),
    "(a, b, gm) is QHM": (three_parameters(0.05, 0.7, 0.4), from_three_parameters(0.05, 0.7, 0.4)),
    "QHM is (a, b, gm)": (QHM(0.3, 0.7, 0.6), three_parameters(0.3 * 0.3, 0.7, 0.7 * (1 - 0.6) / (1 - 0.7))),
    "triple momentum is QHM": (
        mj.triple_momentum(strong_convexity=0.1, smoothness=11.0),
        from_three_parameters(*triple_coefficients(0.1, 11.0)),
    ),
    "robust momentum is QHM": (
        mj.robust_momentum(strong_convexity=0.1, smoothness=11.0, rate=0.95),
        from_three_parameters(*robust_coefficients(0.1, 11.0, 0.95)),
    ),
    "AccSGD is QHM": (
        mj.accelerated_sgd(ETA, K, XI, C),
        QHM(ETA * C * (1 + XI) / (1 + C), (K - C * C * XI) / (K + C * XI), (C * XI - 1) / (C * (1 + XI))),
    ),
    "AccSGD without advantage is QHM with a negative nu": (
        mj.accelerated_sgd(ETA, K, 0.5, C),
        QHM(ETA * C * 1.5 / (1 + C), (K - C * C * 0.5) / (K + C * 0.5), (C * 0.5 - 1) / (C * 1.5)),
    ),
    "EMA-Nesterov is QHM": (mj.ema_nesterov(ETA, 0.6, 0.7), QHM(ETA / (1 - 0.6), 0.7 + 0.3 * 0.6, 0.6)),
    "EMA-Nesterov with gamma = 0 is nesterov": (mj.ema_nesterov(ETA, MU, 0.0), mj.nesterov(ETA, MU)),
    "AggMo with one beta is an accumulator": (mj.aggregated_momentum(ETA, (MU,)), mj.sgd(ETA, MU)),
    "AggMo with equal betas is an accumulator": (mj.aggregated_momentum(ETA, (MU, MU, MU)), mj.sgd(ETA, MU)),
    "AggMo([0, b]) is QHM": (mj.aggregated_momentum(ETA, (0, MU)), QHM(ETA / 2 * (1 + 1 / (1 - MU)), MU, 1 / (2 - MU))),
    "Grokfast without amplification is nothing": (
        optax.chain(mj.grokfast(0.9, 0.0), mj.heavy_ball(ETA, MU)),
        mj.heavy_ball(ETA, MU),
    ),
    "PID with the integral alone is a step and an accumulator": (
        mj.pid(ETA, MU, 3.0, 0.0),
        QHM(ETA * (1 + 3 / (1 - MU)), MU, 1 - 1 / (1 + 3 / (1 - MU))),
    ),
    "FISTA is nesterov with the schedule": (mj.fista(ETA), mj.nesterov(ETA, mj.schedules.fista(50))),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME.keys())
def test_two_names_of_one_method(pair: tuple[Any, Any], problem: Problems) -> None:
    for gradient in (problem.quad, problem.bent, problem.seq):
        left, right = (descend(optimizer, gradient, problem.theta0, 50).held for optimizer in pair)
        assert_same_path(left, right)


def silent_at_first(problem: Problems) -> Callable[[int, np.ndarray], np.ndarray]:
    """The quadratic, but a gradient of 0 at the first step: methods that treat the first gradient apart start from 0."""
    return lambda t, x: problem.bent(t, x) if t else np.zeros(17)


SAME_BUT_FOR_THE_FIRST_GRADIENT = {
    "dampened by tau is heavy ball at eta (1 - tau)": (
        mj.sgd(ETA, MU, dampening=TAU),
        mj.heavy_ball(ETA * (1 - TAU), MU),
    ),
    "dampened by mu is an average": (mj.sgd(ETA, MU, dampening=MU), mj.ema_momentum(ETA, MU)),
    "Grokfast is QHM": (
        optax.chain(mj.grokfast(0.9, 2.0), mj.gradient_descent(ETA)),
        QHM(ETA * (1 + 2.0), 0.9, 2.0 / (1 + 2.0)),
    ),
    "PID is QHM": (
        mj.pid(0.1 * ETA, MU, 5.0, 10.0),
        QHM(0.1 * ETA * (1 + 5 / (1 - MU)), MU, 1 - (1 + 10 * (1 - MU) / MU) / (1 + 5 / (1 - MU))),
    ),
    "optimistic is a filter with one pole at 0": (
        mj.optimistic(ETA),
        mj.state_space_momentum(0.0, 1.0, ETA, -2 * ETA),
    ),
}


@pytest.mark.parametrize("pair", SAME_BUT_FOR_THE_FIRST_GRADIENT.values(), ids=SAME_BUT_FOR_THE_FIRST_GRADIENT.keys())
def test_two_names_of_one_method_but_for_the_first_gradient(pair: tuple[Any, Any], problem: Problems) -> None:
    left, right = (descend(optimizer, silent_at_first(problem), problem.theta0, 50).held for optimizer in pair)
    assert_same_path(left, right)
    left, right = (descend(optimizer, problem.bent, problem.theta0, 50).held for optimizer in pair)
    assert largest_difference(left, right) > 1e-4


def test_dampening_leaves_a_known_trace_of_the_first_gradient(problem: Problems) -> None:
    """PyTorch's first buffer is undamped: -eta tau (1 - mu^t) / (1 - mu) g_1 against heavy ball at eta (1 - tau)."""
    dampened = descend(mj.sgd(ETA, MU, dampening=TAU), problem.seq, problem.theta0, 50).held
    heavy = descend(mj.heavy_ball(ETA * (1 - TAU), MU), problem.seq, problem.theta0, 50).held
    trace = np.outer(-ETA * TAU * (1 - MU ** np.arange(51)) / (1 - MU), problem.gseq[0])
    assert_same_path(dampened, heavy + trace)


def first(at_first: Any, later: Any) -> Callable[[Any], Any]:
    """A schedule that has its own value at step 0."""
    return lambda t: jnp.where(t == 0, jnp.asarray(at_first), jnp.asarray(later))


def accelerated(eta: float) -> tuple[Any, ...]:
    a = C * C * XI / K
    zeta = C / (C + a)
    return zeta * (1 - a), zeta * eta * (1 - C * XI), (1 - zeta) * (1 - a), -eta * (zeta + (1 - zeta) * C * XI)


def pid_matrices(eta: float, k_i: float, k_d: float) -> tuple[Any, ...]:
    return (
        [[MU, 0, 0], [0, MU, MU - 1], [0, 0, 0]],
        first([1, 0, 1], [1, 1 - MU, 1]),
        -eta * np.array([k_i * MU, k_d * MU, -k_d * (1 - MU)]),
        first(-eta * (1 + k_i), -eta * (1 + k_i + k_d * (1 - MU))),
    )


def look_ahead(a: float, b: float, gm: float) -> tuple[Any, ...]:
    return b, -a, b + gm * (b - 1), -a * (1 + gm)


def scheduled_nesterov(eta: float, mu: Callable[[Any], Any]) -> tuple[Any, ...]:
    return mu, -eta, lambda t: mu(t + 1) * mu(t), lambda t: -eta * (1 + mu(t + 1))


Q = 0.7 + 0.3 * 0.6
STATE_SPACE = {
    "gradient_descent": (mj.gradient_descent(ETA), (np.zeros((0, 0)), np.zeros(0), np.zeros(0), -ETA)),
    "heavy_ball": (mj.heavy_ball(ETA, MU), (MU, -ETA, MU, -ETA)),
    "sgd": (mj.sgd(ETA, MU), (MU, 1, -ETA * MU, -ETA)),
    "sgd, dampened": (
        mj.sgd(ETA, MU, dampening=TAU),
        (MU, first(1, 1 - TAU), -ETA * MU, first(-ETA, -ETA * (1 - TAU))),
    ),
    "sgd with nesterov": (mj.sgd(ETA, MU, nesterov=True), (MU, 1, -ETA * MU**2, -ETA * (1 + MU))),
    "ema_momentum": (mj.ema_momentum(ETA, MU), (MU, 1 - MU, -ETA * MU, -ETA * (1 - MU))),
    "nesterov": (mj.nesterov(ETA, MU), (MU, -ETA, MU**2, -ETA * (1 + MU))),
    "nesterov, scheduled": (mj.nesterov(ETA, momentum), scheduled_nesterov(ETA, momentum)),
    "fista": (mj.fista(ETA), scheduled_nesterov(ETA, mj.schedules.fista(50))),
    "quasi_hyperbolic_momentum": (QHM(0.1, MU, 0.7), (MU, 1 - MU, -0.1 * 0.7 * MU, -0.1 * (1 - 0.7 * MU))),
    "aggregated_momentum": (
        mj.aggregated_momentum(ETA, (0.0, 0.9, 0.99)),
        (np.diag([0, 0.9, 0.99]), np.ones(3), -ETA / 3 * np.array([0, 0.9, 0.99]), -ETA),
    ),
    "accelerated_sgd": (mj.accelerated_sgd(ETA, K, XI, C), accelerated(ETA)),
    "triple_momentum": (
        mj.triple_momentum(strong_convexity=0.1, smoothness=11.0),
        look_ahead(*triple_coefficients(0.1, 11.0)),
    ),
    "robust_momentum": (
        mj.robust_momentum(strong_convexity=0.1, smoothness=11.0, rate=0.95),
        look_ahead(*robust_coefficients(0.1, 11.0, 0.95)),
    ),
    "ema_nesterov": (mj.ema_nesterov(ETA, 0.6, 0.7), (Q, -0.3 * ETA, 0.6 * Q, -ETA * (1 + 0.6 * 0.3))),
    "optimistic": (mj.optimistic(ETA), (0, 1, ETA, first(-ETA, -2 * ETA))),
    "grokfast": (
        optax.chain(mj.grokfast(0.9, 2.0), mj.gradient_descent(ETA)),
        (0.9, first(1, 0.1), -ETA * 2 * 0.9, first(-ETA * 3, -ETA * (1 + 2 * 0.1))),
    ),
    "pid": (mj.pid(0.1 * ETA, MU), pid_matrices(0.1 * ETA, 5.0, 10.0)),
}


@pytest.mark.parametrize("pair", STATE_SPACE.values(), ids=STATE_SPACE.keys())
def test_every_linear_method_is_an_instance_of_the_general_form(pair: tuple[Any, Any], problem: Problems) -> None:
    method, (A, B, C, D) = pair
    general = mj.state_space_momentum(A, B, C, D)
    for gradient in (problem.bent, problem.seq):
        left, right = (descend(o, gradient, problem.theta0, 50).held for o in (method, general))
        assert_same_path(left, right)


def test_the_general_form_with_traced_matrices_and_as_a_core_on_either_side_of_the_rate(problem: Problems) -> None:
    matrices = (np.diag([0.5, 0.9]), np.ones(2), np.array([0.5, 0.9]), 2.0)
    plain = mj.state_space_momentum(*matrices)
    traced = mj.state_space_momentum(*(jnp.asarray(m) for m in matrices))
    for optimizer in (plain, traced):
        assert_same_path(path(inside(optimizer, ETA), problem), path(mj.aggregated_momentum(2 * ETA, (0.5, 0.9)), problem))
    outside = optax.chain(plain, mj.scale_by_learning_rate(rate))
    assert_same_path(path(outside, problem), path(mj.aggregated_momentum(lambda t: 2 * rate(t), (0.5, 0.9)), problem))
    assert largest_difference(path(outside, problem), path(inside(plain, rate), problem)) > 1e-3


def test_a_grid_of_matrices_runs_under_vmap() -> None:
    def last(beta: Any) -> Any:
        optimizer = mj.state_space_momentum([[beta]], [1.0], [-0.1 * beta], -0.1)
        state, x = optimizer.init(jnp.ones(2)), jnp.ones(2)
        for _ in range(3):
            update, state = optimizer.update(x, state, x)
            x = x + update
        return x

    grid = jnp.asarray([0.1, 0.5, 0.9])
    np.testing.assert_allclose(jax.vmap(last)(grid), [last(b) for b in grid], rtol=1e-12)


def test_a_grid_of_momenta_runs_under_vmap() -> None:
    grid = jnp.asarray([[0.0, 0.9], [0.5, 0.99]])

    def first_velocity(betas: Any) -> Any:
        optimizer = mj.aggregated_momentum(0.1, betas)
        _, state = optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)))
        updates, _ = optimizer.update(jnp.ones(2), state)
        return updates

    np.testing.assert_allclose(jax.vmap(first_velocity)(grid)[:, 0], -0.1 * (1 + grid.mean(axis=1)), rtol=1e-12)


STARTS_ANEW = {
    "quasi_hyperbolic_momentum": mj.quasi_hyperbolic_momentum(rate, momentum, 0.7),
    "aggregated_momentum": mj.aggregated_momentum(rate, (momentum, 0.99)),
    "accelerated_sgd": mj.accelerated_sgd(rate, 40.0, 4.0),
    "ema_nesterov": mj.ema_nesterov(rate, momentum, 0.7),
    "grokfast": optax.chain(mj.grokfast(), mj.gradient_descent(rate)),
    "optimistic": mj.optimistic(rate),
    "pid": mj.pid(lambda t: 0.1 * rate(t), momentum),
    "fista": mj.fista(rate),
    "triple_momentum": mj.triple_momentum(strong_convexity=0.1, smoothness=lambda t: 0.5 / rate(t)),
    "state_space_momentum": mj.state_space_momentum(0.9, 1.0, -0.09, -0.1),
}


@pytest.mark.parametrize("name", STARTS_ANEW)
def test_after_a_reset_the_first_steps_are_those_of_a_run_that_starts_there(name: str, problem: Problems) -> None:
    """The learning rate goes on: rates are constant over the steps that are compared, 16 to 20 and 36 to 40."""
    optimizer = STARTS_ANEW[name]
    run = descend(optimizer, problem.bent, problem.theta0, 36)
    fresh = mj.reset_momentum(run.states[-1])
    assert jax.tree.map(lambda x: (x.shape, x.dtype), fresh) == jax.tree.map(lambda x: (x.shape, x.dtype), run.states[-1])
    kept = [np.max(np.abs(leaf)) for leaf in jax.tree.leaves(fresh) if leaf.ndim]
    assert kept == [0.0] * len(kept)
    again = descend(optimizer, problem.bent, run.read[-1], 5, fresh)
    alone = descend(at_rate(name), problem.bent, run.read[-1], 5)
    assert_same_path(again.held, alone.held)


def at_rate(name: str) -> optax.GradientTransformation:
    """The same methods with the rate that `rate` ends in."""
    return {
        "quasi_hyperbolic_momentum": mj.quasi_hyperbolic_momentum(0.02, momentum, 0.7),
        "aggregated_momentum": mj.aggregated_momentum(0.02, (momentum, 0.99)),
        "accelerated_sgd": mj.accelerated_sgd(0.02, 40.0, 4.0),
        "ema_nesterov": mj.ema_nesterov(0.02, momentum, 0.7),
        "grokfast": optax.chain(mj.grokfast(), mj.gradient_descent(0.02)),
        "optimistic": mj.optimistic(0.02),
        "pid": mj.pid(0.002, momentum),
        "fista": mj.fista(0.02),
        "triple_momentum": mj.triple_momentum(strong_convexity=0.1, smoothness=25.0),
        "state_space_momentum": mj.state_space_momentum(0.9, 1.0, -0.09, -0.1),
    }[name]


BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no betas": (
        lambda: mj.aggregated_momentum(0.1, ()),
        ValueError,
        "aggregated_momentum: momenta must hold at least one number, got none.",
    ),
    "a beta of 1": (
        lambda: mj.scale_by_aggregated_momentum((0.0, 1.0)),
        ValueError,
        "scale_by_aggregated_momentum: momenta[1] must be in [0, 1), got 1.0.",
    ),
    "a number for betas": (
        lambda: mj.aggregated_momentum(0.1, 0.9),
        TypeError,
        "aggregated_momentum: momenta must be a tuple of numbers, 0-d arrays or schedules, got 0.9 (float).",
    ),
    "a word for a beta": (
        lambda: mj.aggregated_momentum(0.1, (0.9, "x")),
        TypeError,
        "aggregated_momentum: momenta[1] must be a number, a 0-d array or a schedule, got 'x' (str).",
    ),
    "curvatures in the wrong order": (
        lambda: mj.triple_momentum(strong_convexity=2, smoothness=1),
        ValueError,
        "triple_momentum: strong_convexity must be at most smoothness, got strong_convexity=2.0, smoothness=1.0.",
    ),
    "curvatures in the wrong order, robust": (
        lambda: mj.robust_momentum(strong_convexity=2, smoothness=1, rate=0.5),
        ValueError,
        "robust_momentum: strong_convexity must be at most smoothness, got strong_convexity=2.0, smoothness=1.0.",
    ),
    "too fast a rate": (
        lambda: mj.robust_momentum(strong_convexity=1, smoothness=100, rate=0.8),
        ValueError,
        "robust_momentum: rate must be in [1 - sqrt(m / L), 1 - m / L] = [0.9, 0.99] for strong_convexity m = 1.0 and "
        "smoothness L = 100.0, got 0.8.",
    ),
    "A of another shape": (
        lambda: mj.state_space_momentum(np.ones((2, 3)), np.ones(2), np.ones(2), 1.0),
        ValueError,
        "state_space_momentum: A must be a number or a square array, got shape (2, 3).",
    ),
    "B that does not fit": (
        lambda: mj.state_space_momentum(np.eye(2), np.ones(3), np.ones(2), 1.0),
        ValueError,
        "state_space_momentum: B must have shape (2,) beside A of shape (2, 2), got shape (3,).",
    ),
    "C, of a schedule, that does not fit": (
        lambda: mj.state_space_momentum(np.eye(2), np.ones(2), lambda t: jnp.ones(1), 1.0),
        ValueError,
        "state_space_momentum: C must have shape (2,) beside A of shape (2, 2), got shape (1,).",
    ),
    "D that is no number": (
        lambda: mj.state_space_momentum(np.eye(2), np.ones(2), np.ones(2), np.ones(2)),
        ValueError,
        "state_space_momentum: D must have shape () beside A of shape (2, 2), got shape (2,).",
    ),
    "a complex A": (
        lambda: mj.state_space_momentum(1j, 1.0, 1.0, 1.0),
        TypeError,
        "state_space_momentum: A must be a real array or a schedule, got complex128.",
    ),
    "a word": (
        lambda: mj.state_space_momentum("a", 1.0, 1.0, 1.0),
        TypeError,
        "state_space_momentum: A must be a real array or a schedule, got <U1.",
    ),
    "nothing": (
        lambda: mj.state_space_momentum(0.9, None, 1.0, 1.0),
        TypeError,
        "state_space_momentum: B must be a real array or a schedule, got NoneType.",
    ),
    "a ragged B": (
        lambda: mj.state_space_momentum(np.eye(2), [1, [2, 3]], np.ones(2), 1.0),
        TypeError,
        "state_space_momentum: B must be a real array or a schedule, got list.",
    ),
    "a D that is not finite": (
        lambda: mj.state_space_momentum(0.9, 1.0, 1.0, math.nan),
        ValueError,
        "state_space_momentum: D must be finite, got nan.",
    ),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_bad_input_is_answered_with_what_is_allowed(bad: tuple[Callable[[], Any], type[Exception], str]) -> None:
    build, kind, message = bad
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        build()


def test_a_gradient_that_does_not_fit_names_the_buffer() -> None:
    optimizer = mj.aggregated_momentum(0.1, (0.5, 0.9))
    with pytest.raises(ValueError, match=r"^aggregated_momentum: leaf \['w'\] .* but in the state's velocity\[0\] "):
        optimizer.update({"w": jnp.ones(3)}, optimizer.init({"w": jnp.ones(2)}))


def test_equal_betas_keep_a_velocity_each_and_zeros_of_plain_matrices_are_not_computed() -> None:
    params = jnp.ones(2)
    assert len(mj.aggregated_momentum(0.1, (0.9, 0.9, 0.0)).init(params)[0].velocity) == 3
    optimizer = mj.state_space_momentum(np.diag([0.5, 0.9]), np.ones(2), np.ones(2), 0.0)
    jaxpr = str(jax.make_jaxpr(optimizer.update)(params, optimizer.init(params)))
    assert jaxpr.count("mul") == 2 + 2 + 2
