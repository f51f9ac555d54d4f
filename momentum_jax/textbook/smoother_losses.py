"""Do batch normalisation and residual connections smooth the loss? The sharpness along training, with and without them (T5).

T5 says that both do. A loss is L-smooth where no eigenvalue of its Hessian passes L in size. Measured is the largest one, the
sharpness, of the loss on all training examples: its highest value along training, and its value at one loss. ReLU networks of
two depths learn digits by full-batch gradient descent. They are plain, or have batch normalisation in each hidden layer, or
residual connections around all hidden layers but the first. Widths, examples, first weights (He's) and learning rate are
equal. The rule of studies decides, seed by seed.

Residual branches are divided by the root of their number; without that the signal's mean square would at least double at each.
Three reservations:

- Weights before a normalisation may be rescaled without any change of the loss. Curvature there goes with the inverse square of
  their size, so a sharpness depends on how large the first weights are.
- Gradient descent is unstable where the sharpness passes 2 / η, the edge of stability. That bounds what it can meet for long,
  whatever the network.
- The sharpness of the cross-entropy falls with the loss, and the nets do not learn equally fast. So one loss is set too.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from momentum_jax import data, gradient_descent
from momentum_jax.curvature import extreme_eigenvalues
from momentum_jax.studies.evidence import Differences, Evidence, Questions, decide
from momentum_jax.textbook.experiment import Claim, Experiment, Outcome, Surroundings, Table
from momentum_jax.textbook.trained import mean_and_error

PLAIN, NORMALISED, RESIDUAL = NETS = "plain", "batch normalisation", "residual connections"
SHALLOW, DEEP = 8, 16
HIGHEST, AT_LOSS = MEASURES = "highest along training", "at a loss of 0.5"
LEVEL = 0.5
# Added to the variance that a layer's inputs are divided by.
_EPS = 1e-5


@dataclass(frozen=True)
class Settings:
    """Hidden layers of each depth, all of one `width`; the learning rate; the steps at which the sharpness is measured."""

    depths: tuple[int, ...] = (SHALLOW, DEEP)
    width: int = 32
    examples: int = 400
    learning_rate: float = 0.02
    steps: tuple[int, ...] = (0, 5, 10, 20, 40, 60, 90, 130, 200, 300, 450, 600)
    products: int = 15
    seeds: tuple[int, ...] = tuple(range(10))


@dataclass(frozen=True, eq=False)
class Trained:
    """A net of one depth: `sharpness` and `losses` (seeds, measurements), infinite from where a run diverged; `residual` is the
    worst |H y - λ y| / λ.
    """

    sharpness: np.ndarray
    losses: np.ndarray
    residual: float

    def by(self, measure: str) -> np.ndarray:
        """The sharpness by one of `MEASURES`, (seeds,); infinite of a run that does not come to the loss."""
        if measure == HIGHEST:
            return self.sharpness.max(axis=1)
        return np.array([_at_level(*each) for each in zip(self.sharpness, self.losses, strict=True)])


def _at_level(sharpness: np.ndarray, losses: np.ndarray) -> float:
    """Between the two measurements where the loss first passes `LEVEL`, straight in logarithms."""
    below = np.flatnonzero(losses <= LEVEL)
    if not below.size or below[0] == 0:
        return float(sharpness[0]) if below.size else math.inf
    around = slice(below[0] - 1, below[0] + 1)
    return float(np.exp(np.interp(-math.log(LEVEL), -np.log(losses[around]), np.log(sharpness[around]))))


@dataclass(frozen=True, eq=False)
class Data:
    """By depth and net what was measured, at `steps` (measurements,); the learning rate."""

    steps: np.ndarray
    trained: Mapping[tuple[int, str], Trained]
    learning_rate: float


def measure(settings: Settings, surroundings: Surroundings) -> Outcome:
    batches = [_examples(settings, surroundings, seed) for seed in settings.seeds]
    trained = {(depth, net): _train(settings, depth, net, batches) for depth in settings.depths for net in NETS}
    found = _evidence(settings, trained)
    quantities: dict[str, object] = {
        # The quick size has one depth.
        **{claim.quantity: math.nan for claim in EXPERIMENT.claims},
        **{_over(*key): math.exp(-each.estimate) for key, each in found.items()},
        **{_claimed(*key): -each.direction for key, each in found.items()},
        **{
            f"{depth} layers, {net}: sharpness {measure}": each.by(measure).mean()
            for (depth, net), each in trained.items()
            for measure in MEASURES
        },
        **{
            _begun(depth): _mean_at_start(trained, depth, RESIDUAL) / _mean_at_start(trained, depth, PLAIN)
            for depth in settings.depths
        },
        _RESIDUAL: max(each.residual for each in trained.values()),
    }
    tables = (_table(trained), _ratios(found))
    return Outcome(quantities, Data(np.array(settings.steps), trained, settings.learning_rate), tables)


def _mean_at_start(trained: Mapping[tuple[int, str], Trained], depth: int, net: str) -> float:
    return float(trained[depth, net].sharpness[:, 0].mean())


def _examples(settings: Settings, surroundings: Surroundings, seed: int) -> tuple[jax.Array, jax.Array]:
    """Centred images with a mean square of 1, and their labels."""
    digits = data.load("digits", directory=surroundings.data_directory)
    chosen = digits.split(seed).train[: settings.examples]
    images = jnp.asarray(digits.images[chosen] / digits.scale, jnp.float32).reshape(len(chosen), -1)
    images = images - images.mean(0)
    return images / jnp.sqrt(jnp.mean(images**2)), jnp.asarray(digits.labels[chosen], int)


def _begin(settings: Settings, depth: int, inputs: int, seed: int) -> list[tuple[jax.Array, jax.Array, jax.Array]]:
    """Weights, biases and scales by layer; scales are used by a normalisation only."""
    widths = (inputs, *(settings.width,) * depth, 10)
    keys = jax.random.split(jax.random.key(seed), len(widths) - 1)
    gains = (*(2.0,) * depth, 1.0)
    return [
        (jax.random.normal(key, (before, after)) * math.sqrt(gain / before), jnp.zeros(after), jnp.ones(after))
        for key, gain, before, after in zip(keys, gains, widths[:-1], widths[1:], strict=True)
    ]


def _loss(net: str, params: Any, batch: Any) -> jax.Array:
    """The cross-entropy of a batch, which is normalised by its own statistics."""
    images, labels = batch
    first, *blocks, last = params
    signal = _layer(net, first, images)
    for block in blocks:
        ahead = _layer(net, block, signal)
        signal = signal + ahead / math.sqrt(len(blocks)) if net == RESIDUAL else ahead
    weights, biases, _ = last
    scores = jax.nn.log_softmax(signal @ weights + biases)
    return -jnp.mean(jnp.take_along_axis(scores, labels[:, None], axis=1))


def _layer(net: str, params: tuple[jax.Array, jax.Array, jax.Array], signal: jax.Array) -> jax.Array:
    weights, biases, scale = params
    ahead = signal @ weights
    if net == NORMALISED:
        ahead = scale * (ahead - ahead.mean(0)) / jnp.sqrt(ahead.var(0) + _EPS)
    return jax.nn.relu(ahead + biases)


# One function object a net, so that nothing is compiled twice.
LOSSES: Mapping[str, Callable[[Any, Any], jax.Array]] = {net: functools.partial(_loss, net) for net in NETS}


def _train(settings: Settings, depth: int, net: str, batches: list[tuple[jax.Array, jax.Array]]) -> Trained:
    loss = LOSSES[net]
    optimizer = gradient_descent(settings.learning_rate)
    value = jax.jit(loss)

    @jax.jit
    def some_steps(count: int, carry: Any, batch: Any) -> Any:
        def step(_: Any, carry: Any) -> Any:
            params, state = carry
            updates, state = optimizer.update(jax.grad(loss)(params, batch), state, params)
            return jax.tree.map(jnp.add, params, updates), state

        return jax.lax.fori_loop(0, count, step, carry)

    sharpness, losses = np.full((2, len(settings.seeds), len(settings.steps)), np.inf)
    residual = 0.0
    for row, (seed, batch) in enumerate(zip(settings.seeds, batches, strict=True)):
        params = _begin(settings, depth, batch[0].shape[1], seed)
        carry = params, optimizer.init(params)
        for column, count in enumerate(np.diff(settings.steps, prepend=0)):
            carry = some_steps(int(count), carry, batch)
            reached = float(value(carry[0], batch))
            if not math.isfinite(reached):
                break
            key = jax.random.key(seed)
            ends = extreme_eigenvalues(loss, carry[0], batch, iterations=settings.products, key=key)
            sharpness[row, column], losses[row, column] = float(ends.largest[0]), reached
            residual = max(residual, float(ends.largest_residuals[0] / ends.largest[0]))
    return Trained(sharpness, losses, residual)


def _evidence(settings: Settings, trained: Mapping[tuple[int, str], Trained]) -> dict[tuple[int, str, str], Evidence]:
    """By depth, net and measure: whether its sharpness is below that of the plain net, seed by seed, in logarithms."""
    asked = {
        f"{depth} {net} {measure}": (depth, net, measure)
        for depth in settings.depths
        for net in (NORMALISED, RESIDUAL)
        for measure in MEASURES
    }
    differences = {
        name: Differences.of(-np.log(trained[depth, net].by(measure)), -np.log(trained[depth, PLAIN].by(measure)))
        for name, (depth, net, measure) in asked.items()
    }
    found = decide(differences, Questions(None, tuple(asked)))
    return {each: found[name] for name, each in asked.items()}


def _table(trained: Mapping[tuple[int, str], Trained]) -> Table:
    rows = tuple(
        (
            str(depth),
            net,
            *(mean_and_error(each, ".4g") for each in (found.sharpness[:, 0], *map(found.by, MEASURES), found.losses[:, -1])),
        )
        for (depth, net), found in trained.items()
    )
    title = "The largest eigenvalue of the Hessian, mean ± standard error over seeds"
    return Table(title, ("hidden layers", "net", "at the start", *MEASURES, "loss at the end"), rows)


def _ratios(found: Mapping[tuple[int, str, str], Evidence]) -> Table:
    rows = tuple(
        (
            str(depth),
            net,
            measure,
            math.exp(-each.estimate),
            tuple(math.exp(-end) for end in reversed(each.interval)) if each.interval else "too few seeds",
            f"{each.confidence:.1%}",
            each.adjusted,
            _WORDS[each.direction],
        )
        for (depth, net, measure), each in found.items()
    )
    return Table("Sharpness over that of the plain net, typical ratio over seeds", _RATIO_COLUMNS, rows)


_RATIO_COLUMNS = ("hidden layers", "net", "sharpness", "ratio", "interval", "confidence", "adjusted p", "claimed")
_WORDS = {1: "lower", -1: "higher", 0: "no difference is shown"}
_RESIDUAL = "largest residual of an eigenvalue, over the eigenvalue"


def _begun(depth: int) -> str:
    return f"{depth} layers: mean sharpness at the start, {RESIDUAL} over plain"


def _over(depth: int, net: str, measure: str) -> str:
    return f"{depth} layers: sharpness {measure}, {net} over plain"


def _claimed(depth: int, net: str, measure: str) -> str:
    return f"{depth} layers: sharpness {measure}, {net} against plain (-1 lower, 0 not shown, 1 higher)"


_SMOOTHS = {NORMALISED: "T5: batch normalisation smooths the loss", RESIDUAL: "T5: residual connections smooth the loss"}
# With more layers the gradients of normalised nets grow towards the first one at the start, and curvature with them.
_EXPLODES = (
    "without residual connections the gradients of a normalised ReLU net grow at the start by at least π / (π - 1) a layer in "
    "mean square (G. Yang et al., 2019, ICLR, arXiv:1902.08129)"
)
_BEGINS = "residual nets begin sharper than plain ones, and the start counts as well; at one loss they are smoother"
_FAULTS = {
    **{(DEEP, NORMALISED, measure): _EXPLODES for measure in MEASURES},
    **{(depth, RESIDUAL, HIGHEST): _BEGINS for depth in (SHALLOW, DEEP)},
}
_NOT_LOWER = "both measures and the values at the start stand in the tables below"

EXPERIMENT = Experiment(
    name="smoother-losses",
    title="The sharpness along training: plain nets, with batch normalisation, with residual connections",
    reproduces=("T5 batch normalisation", "T5 residual connections"),
    claims=(
        *(
            Claim(
                _claimed(depth, net, measure),
                -1,
                0,
                source,
                relation="at most",
                known_fault=_FAULTS.get((depth, net, measure)),
                full_only=True,
                finding=True,
                remark=_NOT_LOWER,
            )
            for measure in MEASURES
            for net, source in _SMOOTHS.items()
            for depth in (SHALLOW, DEEP)
        ),
        *(
            Claim(
                _over(DEEP, NORMALISED, measure),
                1.5,
                0,
                f"ours, beside {_SMOOTHS[NORMALISED]}: with 16 layers it makes it sharper",
                relation="at least",
                full_only=True,
            )
            for measure in MEASURES
        ),
        *(
            Claim(
                _begun(depth),
                2,
                0,
                f"ours, beside {_SMOOTHS[RESIDUAL]}: they begin sharper",
                relation="at least",
                full_only=True,
            )
            for depth in (SHALLOW, DEEP)
        ),
        Claim(_RESIDUAL, 0, 0.05, "|H y - λ y| / λ of the measurement itself", relation="at most"),
    ),
    full=Settings(),
    quick=Settings(depths=(SHALLOW,), width=8, examples=100, steps=(0, 20), products=20, seeds=(0, 1)),
    measure=measure,
    duration="2 min, quick 20 s",
    datasets=("digits",),
)
