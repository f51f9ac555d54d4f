"""What a quadratic model says of training before it begins, and where it must be silent.

Along a direction of curvature lam, with gradient g and noise of variance s in every gradient, T steps change the loss by

    - g^2 (1 - A_T^2) / (2 lam)  +  lam / 2 V_T s

A_T and V_T are the mean and the variance that the optimizer's own update gives (`responses.moments`). The first term is finite
where lam is 0; the distance to the minimum, g / lam, is not, and is never formed. Negative curvature counts as flat: along it
the quadratic falls without end, and the loss does not.

What was measured beside it limits what is said. Stability always. The order of arms, while the budget is short. "No
difference" below 1% of the best arm's decrease, and not where flat directions make up most of that. Nothing beyond the step
at which noise costs as much as the curved directions still earn.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from momentum_jax.theory.dynamics import Dynamics
from momentum_jax.theory.rates import curvatures, rate, stability_limit
from momentum_jax.theory.reading import linearize
from momentum_jax.theory.responses import moments

# Of the best arm's decrease; what is closer is no difference. Differences within so many standard errors are none either.
NO_DIFFERENCE, ERRORS = 0.01, 2.0
LEVEL, UNDECIDED = "no difference", "undecided"
# Steps that are read of an optimizer: at least, and at most.
HORIZON, MOST_READ = 512, 100_000
# Curvatures nearer to 0 than this share of the largest: the kernel's cancellation is 1e-7 there.
_FLAT = 1e-9
# Steps of a schedule at which it is looked at.
_LOOKS = 17


class Spectrum(NamedTuple):
    """A quadratic model of a loss: nodes of a quadrature over its curvatures, or all of its directions.

    Attributes:
      curvatures: (k,), loss / params^2.
      gradients2: (k,), the squared gradient along each, (loss / params)^2; they sum to |g|^2.
      noises: the variance of one example's gradient along each, (k,), or (samples, k) of samples whose mean it is.
    """

    curvatures: Any
    gradients2: Any
    noises: Any = 0.0

    @classmethod
    def of_distances(cls, curvatures: Any, distances2: Any, noises: Any = 0.0) -> "Spectrum":
        """The same from squared distances to the minimum: gradients2 = curvatures^2 distances2."""
        return cls(curvatures, np.square(curvatures) * np.asarray(distances2), noises)

    @property
    def sharpness(self) -> float:
        """The largest curvature."""
        return float(np.max(self.curvatures))


class ArmPrediction(NamedTuple):
    """What is said of one optimizer.

    Attributes:
      label: as it was given.
      limit: the least curvature at which it stops being stable, over the steps of the budget; None: it is not linear.
      ratio: sharpness / limit.
      is_stable: whether the sharpness is below the limit.
      rate: at the sharpness, settled; None where its coefficients still change.
      noise_floor: the first step at which noise costs as much as the second half of the steps earns along curved directions;
        None: not within the budget.
      decrease: of the loss, expected on the quadratic; None where nothing may be said. Not a prediction of a net's loss.
      refusal: why something is not said, a sentence; None.
    """

    label: str
    limit: float | None = None
    ratio: float | None = None
    is_stable: bool | None = None
    rate: float | None = None
    noise_floor: int | None = None
    decrease: float | None = None
    refusal: str | None = None


class Prediction(NamedTuple):
    """What `predict` says.

    Attributes:
      steps: the budget, the longest of several. sharpness: the largest curvature.
      arms: in the order in which they were given.
      order: labels, the best first. Those that share a place are within 1% of the best arm's decrease, or within two standard
        errors of the noise. Empty where fewer than two can be compared.
      ties: what is said of those that share one: "no difference", or "undecided" where flat directions earn most.
      refusal: why there is no order, a sentence; None.
    """

    steps: int
    sharpness: float
    arms: tuple[ArmPrediction, ...]
    order: tuple[tuple[str, ...], ...]
    ties: str
    refusal: str | None

    def place(self, label: str) -> int | None:
        """Of an arm in the order, from 1; arms that are no different share it. None: it is not in the order."""
        before = 0
        for group in self.order:
            if label in group:
                return before + 1
            before += len(group)
        return None


def predict(
    arms: Mapping[str, Any],
    spectrum: Spectrum,
    steps: int | Mapping[str, int],
    *,
    batch_size: float | Mapping[str, float | None] | None = None,
) -> Prediction:
    """Compare optimizers on a quadratic model of a loss: their stability, and for short budgets their order.

        >>> import momentum_jax as mj
        >>> spectrum = Spectrum(curvatures=[0.1, 10.0], gradients2=[0.01, 1.0])
        >>> arms = {"plain": mj.gradient_descent(0.1), "moving": mj.heavy_ball(0.1, 0.7)}
        >>> predict(arms, spectrum, 20).order
        (('moving',), ('plain',))

    Args:
      arms: optimizers, or their `Dynamics`, by label. A ValueError in the place of one, as `linearize` raises, is its refusal.
      spectrum: of the loss where training begins.
      steps: T >= 1, of the budget; one number, or one for each label.
      batch_size: of how many independent examples a gradient is the mean; one number, or one for each label. None: of all,
        and there is no noise.

    Returns:
      Plain data. `decrease` holds on the quadratic alone: on a net use the order only.

    Raises:
      ValueError: no arm; a spectrum that is empty or not finite, or negative where it must not be; steps or batch_size below 1.

    Source: the noisy quadratic model of G. Zhang et al. (2019), Which algorithmic choices matter at which batch sizes?,
    NeurIPS, arXiv:1907.04164, here for any linear update; the limits of what is said come from measurements of this library.
    """
    found = _checked(spectrum)
    if not arms:
        raise ValueError("predict: arms must hold at least one optimizer, got none.")
    budgets = steps if isinstance(steps, Mapping) else dict.fromkeys(arms, steps)
    for each in budgets.values():
        if isinstance(each, bool) or not isinstance(each, int | np.integer) or each < 1:
            raise ValueError(f"predict: steps must be an int of at least 1, got {each}.")
    longest = int(max(budgets[label] for label in arms))
    sizes = batch_size if isinstance(batch_size, Mapping) else dict.fromkeys(arms, batch_size)
    told = {label: _Told(label, each, found, int(budgets[label]), _size(sizes.get(label))) for label, each in arms.items()}
    compared = sorted((each for each in told.values() if each.gain is not None), key=lambda each: -each.mean_gain)
    order: list[list[_Told]] = []
    for each in compared:
        if order and not _differ(order[-1][0], each, compared[0]):
            order[-1].append(each)
        else:
            order.append([each])
    is_order = len(compared) > 1
    return Prediction(
        steps=longest,
        sharpness=found.sharpness,
        arms=tuple(each.arm for each in told.values()),
        order=tuple(tuple(each.arm.label for each in group) for group in order) if is_order else (),
        ties=UNDECIDED if compared and compared[0].is_flat else LEVEL,
        refusal=None if is_order else _refusal([each.arm for each in told.values()], longest),
    )


def says_nothing(steps: int, again: int) -> str:
    """The refusal of a budget that is too long, as a sentence without its full stop."""
    return f"the quadratic model says nothing of {steps:,} steps here; measure again at step {again:,}"


def read_for(optimizer: Any, steps: int, params: Any = None) -> Dynamics:
    """The dynamics of an optimizer over a budget, as `linearize`. Errors are those of `linearize`."""
    if isinstance(optimizer, Dynamics):
        return optimizer
    return linearize(optimizer, params=params, horizon=min(max(HORIZON, steps), MOST_READ))


class _Told:
    """One arm: what is said of it, and its expected decrease by each sample of the noise where it may be compared."""

    def __init__(self, label: str, optimizer: Any, spectrum: Spectrum, steps: int, batch_size: float | None) -> None:
        self.gain: np.ndarray | None = None
        self.is_flat = False
        self.arm = ArmPrediction(label)
        try:
            if isinstance(optimizer, ValueError):
                raise optimizer
            read = read_for(optimizer, steps)
            self._say(read, spectrum, steps, batch_size)
        except ValueError as error:
            # Not linear, leaves that are treated differently, a schedule beyond what was read: each says so itself.
            self.arm = self.arm._replace(refusal=str(error))

    @property
    def mean_gain(self) -> float:
        return -np.inf if self.gain is None else float(np.mean(self.gain))

    def _say(self, read: Dynamics, spectrum: Spectrum, steps: int, batch_size: float | None) -> None:
        sharpness, limit = spectrum.sharpness, _limit(read, steps)
        is_stable = sharpness < limit
        ratio = max(sharpness, 0.0) / limit if limit else np.inf
        self.arm = self.arm._replace(limit=limit, ratio=ratio, is_stable=is_stable)
        if read.settled is not None:
            self.arm = self.arm._replace(rate=float(rate(read, sharpness)))
        if not is_stable:
            self.arm = self.arm._replace(refusal="it is not stable at the largest curvature")
            return
        if _moves_the_minimum(read, steps):
            self.arm = self.arm._replace(refusal="weight decay moves the minimum, which the spectrum does not know of")
            return
        changes = _changes(read, spectrum, batch_size)
        floor = _floor(changes, steps)
        self.arm = self.arm._replace(noise_floor=floor)
        if floor is not None and floor < steps:
            self.arm = self.arm._replace(refusal=says_nothing(steps, floor))
            return
        last = changes(steps)
        self.gain, self.is_flat = last.curved + last.flat - last.noise, last.flat > last.curved
        self.arm = self.arm._replace(decrease=self.mean_gain)


class _Change(NamedTuple):
    """Of the loss after some steps: what curved and what flat directions have earned, and what noise costs, (samples,)."""

    curved: float
    flat: float
    noise: np.ndarray


def _changes(read: Dynamics, spectrum: Spectrum, batch_size: float | None) -> Callable[[int], _Change]:
    lam = spectrum.curvatures
    least = _FLAT * (np.abs(lam).max() or 1.0)
    is_curved, lam = lam > least, np.maximum(lam, least)
    known: dict[int, _Change] = {}

    def changes(steps: int) -> _Change:
        if steps not in known:
            mean, spread = moments(read, lam, steps, "iterate")
            earned = spectrum.gradients2 * (1 - mean**2) / (2 * lam)
            noise = spectrum.noises @ (lam / 2 * spread) / batch_size if batch_size else np.zeros(len(spectrum.noises))
            known[steps] = _Change(float(earned[is_curved].sum()), float(earned[~is_curved].sum()), noise)
        return known[steps]

    return changes


def _floor(changes: Callable[[int], _Change], steps: int) -> int | None:
    """The first step, of a grid, at which noise costs as much as the second half of the steps moves along curved directions."""
    doubles = 2 ** np.arange(1, max(2, int(steps).bit_length() + 1))
    for step in sorted({*doubles.tolist(), *(doubles * 3 // 2).tolist(), steps}):
        if 2 <= step <= steps:
            noise = float(np.mean(changes(step).noise))
            # Momentum swings: its end alone may stand where the middle stood.
            second_half = [changes(each).curved for each in (step // 2, 3 * step // 4, step)]
            if noise > 0 and noise >= max(second_half) - min(second_half):
                return step
    return None


def _differ(one: _Told, other: _Told, best: _Told) -> bool:
    """Whether the first is surely ahead of the second."""
    difference = np.asarray(one.gain) - np.asarray(other.gain)
    error = np.std(difference, ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else 0.0
    return bool(np.mean(difference) >= NO_DIFFERENCE * best.mean_gain and np.mean(difference) > ERRORS * error)


def _refusal(arms: Sequence[ArmPrediction], steps: int) -> str:
    ends = [arm.noise_floor for arm in arms if arm.noise_floor is not None and arm.noise_floor < steps]
    if ends:
        return says_nothing(steps, min(ends))
    return "fewer than two arms can be compared"


def _limit(read: Dynamics, steps: int) -> float:
    """The least stability limit over the steps of the budget; a schedule is looked at at some of them."""
    if read.settled is not None and read.settled <= steps // 16:
        return stability_limit(read)
    looks = np.unique(np.linspace(0, min(steps, read.horizon) - 1, _LOOKS).astype(int))
    return min(stability_limit(read, step=int(step)) for step in looks)


def _moves_the_minimum(read: Dynamics, steps: int) -> bool:
    """Whether the rule is another one where the minimum lies elsewhere: without gradients the held point moves."""
    until = min(steps, read.horizon)
    return not np.allclose(read.F[:until] @ read.start, read.start, rtol=1e-9, atol=1e-12)


def _checked(spectrum: Spectrum) -> Spectrum:
    lam = np.atleast_1d(curvatures("predict", spectrum.curvatures, "curvatures"))
    squares = curvatures("predict", spectrum.gradients2, "gradients2")
    noises = np.atleast_2d(curvatures("predict", spectrum.noises, "noises"))
    if lam.ndim != 1:
        raise ValueError(f"predict: curvatures must be (k,), got shape {lam.shape}.")
    for name, values in (("gradients2", squares), ("noises", noises)):
        if values.shape[max(0, values.ndim - 1) :] not in (lam.shape, (1,), ()) or values.ndim > 1 + (name == "noises"):
            raise ValueError(f"predict: {name} must be one for each of {lam.size} curvatures, got shape {values.shape}.")
    squares, noises = np.broadcast_to(squares, lam.shape), np.broadcast_to(noises, (len(noises), len(lam)))
    for name, values in (("gradients2", squares), ("noises", noises)):
        if (values < 0).any():
            raise ValueError(f"predict: {name} must be at least 0, got {values[values < 0].flat[0]:g}.")
    return Spectrum(lam, squares, noises)


def _size(batch_size: float | None) -> float | None:
    if batch_size is not None and not batch_size >= 1:
        raise ValueError(f"predict: batch_size must be at least 1, or None, got {batch_size}.")
    return batch_size
