"""A search for the best hyperparameters of any constructor of linear methods, from its own code.

`linearize` proves at one point of the ranges that the methods are linear; their coefficients at all other points come from
one compiled program (`families`). The search (`search`) is minimax where the objective is a worst rate: it looks at a few
curvatures, and adds those at which what it found is worse than it saw.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from momentum_jax._text import joined
from momentum_jax.theory.certificates import certified, moves_the_minimum
from momentum_jax.theory.families import Family, Systems, family
from momentum_jax.theory.ranges import Scale, name_of, scales
from momentum_jax.theory.rates import bounds, curvatures as numbers, worst_of
from momentum_jax.theory.responses import Affine
from momentum_jax.theory.search import distinct, least, spread
from momentum_jax.theory.systems import System, minimal, spectral_radius
from momentum_jax.theory.tunings import Tuning

Objective = Literal["quadratic", "certified", "expected_loss"]
OBJECTIVES = ("quadratic", "certified", "expected_loss")
# Points of the box that are looked at before the search begins from the best of them.
LOOKED_AT = 1024
# Of the unit box: where the search stops.
FINEST = 1e-12
# Curvatures of a worst rate, to begin with.
SEEN = 9
STARTS = 4


def tune(
    constructor: Callable[..., Any],
    ranges: Mapping[str, tuple[float, float]],
    m: float,
    L: float,
    *,
    objective: Objective = "quadratic",
    steps: int | None = None,
    curvatures: Any = None,
    noise: Any = 0.0,
    distances: Any = 1.0,
) -> Tuning:
    """The best hyperparameters in ranges, for curvatures in [m, L].

        >>> import momentum_jax as mj
        >>> tuned = tune(mj.heavy_ball, {"learning_rate": (1e-3, 10), "momentum": (0, 0.999)}, 1.0, 9.0)
        >>> round(tuned.rate, 9), round(tuned.hyperparameters["momentum"], 8)
        (0.5, 0.25)

    The search takes the logarithm of 1 - x of a hyperparameter that its constructor holds to [0, 1), the logarithm of one that
    it holds above 0, and any other as it is. A signature may not say what is allowed. Then the range decides: the logarithm of
    x where its ends differ by a factor of 100, that of 1 - x where it comes ten times closer to 1, else x.

    Args:
      constructor: takes the hyperparameters by name, as numbers or arrays, and makes an optimizer; `functools.partial` fixes
        others.
      ranges: low and high of each hyperparameter that is searched, both included.
      m, L: 0 < m <= L, in loss / params^2.
      objective: "quadratic": the worst rate on quadratics, to 1e-9. "certified": the rate that `certified_rate` proves, to
        1e-6. "expected_loss": the sum of the expected losses after `steps` steps.
      steps: with "expected_loss": T >= 1.
      curvatures, noise, distances: with "expected_loss": the curvature along each direction, in [m, L]; the variance of the
        gradient; theta_0. They are broadcast together. Curvatures default to 32 that are logarithmically even in [m, L].

    Returns:
      The hyperparameters and what they reach: `rate` is the worst rate on quadratics, with "certified" the certified one;
      `loss` the expected loss. The same arguments give the same result.

    Raises:
      NotLinear: the constructor makes methods that are not linear.
      ValueError: a name is no hyperparameter; a range is empty or outside of what it may be; m is not in (0, L]; the methods do
        not settle on one set of coefficients; none of them converges.
    """
    who = "tune"
    bounds(who, m, L)
    if objective not in OBJECTIVES:
        raise ValueError(
            f"{who}: objective must be {joined([*map(repr, OBJECTIVES)]).replace(' and ', ' or ')}, got {objective!r}."
        )
    box = scales(who, constructor, ranges)
    methods = _settled_family(who, constructor, {each.name: each.at(0.5) for each in box})
    search = _Search(methods, box)
    if objective == "expected_loss":
        best = search.expected_loss(*_directions(m, L, curvatures, noise, distances), _checked_steps(steps))
    elif steps is not None or curvatures is not None or np.any(np.not_equal(noise, 0)) or np.any(np.not_equal(distances, 1)):
        raise ValueError(
            f"{who}: steps, curvatures, noise and distances go with objective 'expected_loss', got objective {objective!r}."
        )
    else:
        best = search.worst_rate(m, L) if objective == "quadratic" else search.certified_rate(m, L)
    point = {each.name: float(each.at(place)) for each, place in zip(box, best.place, strict=True)}
    _refuse_what_still_changes(who, methods, point)
    searched = joined([f"{each.name} in [{each.low:g}, {each.high:g}]" for each in box])
    return Tuning(
        point,
        best.rate,
        f"tune: {objective} on curvatures in [{m:g}, {L:g}]; {searched}",
        best.loss,
        tuple(each.name for each, place in zip(box, best.place, strict=True) if not 1e-9 < place < 1 - 1e-9),
    )


class _Best(NamedTuple):
    """A place in the unit box and what it reaches."""

    place: np.ndarray
    rate: float
    loss: float | None = None


class _Search:
    """Methods at places (k, d) in the unit box, and the searches for the best of them."""

    def __init__(self, methods: Family, box: Sequence[Scale]) -> None:
        self.methods, self.box = methods, box
        self.lattice = spread(LOOKED_AT, len(box))
        # PID's unseen mode, and those like it, would pose as the rate.
        some = self._systems(self.lattice[:64], reduced=False).pruned()
        self.is_reducible = some.minimal().b.shape != some.b.shape

    def worst_rate(self, m: float, L: float) -> _Best:
        """Minimax: the curvatures that are looked at grow by those where the best is worse than it seemed."""
        seen = np.geomspace(m, L, SEEN)
        place = self._least(lambda places: self._rates(places, seen), STARTS)
        for _ in range(8):
            rate, curvature = self._worst(place, m, L)
            if rate <= self._rates(place[None], seen)[0] + 1e-11:
                break
            seen = np.append(seen, curvature)
            place = least(functools.partial(self._rates, seen=seen), [place], width=1e-2, finest=FINEST, most=300)
        rate, _ = self._worst(place, m, L)
        if rate >= 1:
            raise ValueError(f"tune: nothing in the ranges converges on curvatures in [{m:g}, {L:g}].")
        return _Best(place, rate)

    def certified_rate(self, m: float, L: float) -> _Best:
        seen = np.geomspace(m, L, 65)

        def rates(places: np.ndarray, count: int) -> np.ndarray:
            systems = self._systems(places)
            p, q = systems.polynomials()
            return certified(p, q, m, L, _radius(systems, seen), count=count, peaks=0, resolution=1e-8)[0]

        if moves_the_minimum(self._systems(self.lattice[:1]).polynomials()[0][0]):
            raise ValueError("tune: weight decay moves the minimum; add the decay to m and L instead.")
        values = rates(self.lattice, 65)
        if not np.isfinite(values).any():
            raise ValueError(f"tune: nothing in the ranges is certified on curvatures in [{m:g}, {L:g}].")
        starts = distinct(self.lattice, values, 2)
        for count in (257, 1025, 4001):
            place = least(functools.partial(rates, count=count), starts, width=0.1, finest=1e-8, most=80)
            rate = self._certificate(place, m, L)
            # Between few frequencies the search may have found what is no certificate.
            if rate <= rates(place[None], count)[0] + 1e-6:
                return _Best(place, rate)
        raise ValueError(f"tune: nothing near the best of the ranges is certified on curvatures in [{m:g}, {L:g}].")

    def expected_loss(self, values: np.ndarray, noise: np.ndarray, distances: np.ndarray, steps: int) -> _Best:
        def losses(places: np.ndarray) -> np.ndarray:
            with np.errstate(all="ignore"):
                mean, variance = self._moments(places, values, steps)
                return (values / 2 * ((distances * mean) ** 2 + noise * variance)).sum(-1)

        place = self._least(losses, 6)
        return _Best(place, self._worst(place, float(values.min()), float(values.max()))[0], float(losses(place[None])[0]))

    def _least(self, function: Callable[[np.ndarray], np.ndarray], count: int) -> np.ndarray:
        starts = distinct(self.lattice, function(self.lattice), count)
        return least(function, starts, width=0.2, finest=FINEST, most=300)

    def _systems(self, places: np.ndarray, step: int | None = None, *, reduced: bool = True) -> Systems:
        points = {each.name: each.at(places[:, i]) for i, each in enumerate(self.box)}
        found = self.methods.at(points, step)
        if not reduced:
            return found
        return found.pruned().minimal() if self.is_reducible else found.pruned()

    def _rates(self, places: np.ndarray, seen: np.ndarray) -> np.ndarray:
        return _radius(self._systems(places), seen)

    def _one(self, place: np.ndarray) -> System:
        found = self._systems(place[None], reduced=False)
        return minimal(System(*(each[0] for each in found[:4])))

    def _worst(self, place: np.ndarray, m: float, L: float) -> tuple[float, float]:
        return worst_of(self._one(place), m, L)

    def _certificate(self, place: np.ndarray, m: float, L: float) -> float:
        p, q, _ = self._one(place).polynomials()
        rate, _ = certified(p[None], q[None], m, L, np.array([self._worst(place, m, L)[0]]))
        return float(rate[0])

    def _moments(self, places: np.ndarray, values: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean of theta_T from theta_0 = 1 and variance under noise of variance 1, (k, curvatures) each."""
        settled = self.methods.read.settled
        assert settled is not None
        count = min(steps, settled + 1)
        found = None
        for step in range(count):
            systems = self._systems(places, step, reduced=False)
            M, noise = systems.closed_loop(values), systems.b[:, None, :, None] * systems.b[:, None, None, :]
            this = Affine(M, np.broadcast_to(noise, M.shape))
            this = this.repeated(steps - settled) if step == settled else this
            found = this if found is None else found.then(this)
        assert found is not None
        last = self._systems(places, count - 1, reduced=False)
        row = last.c_iterate
        mean = np.einsum("ki,kcij,kj->kc", row, found.M, last.start)
        return mean, np.einsum("ki,kcij,kj->kc", row, found.P, row)


def critical_damping(constructor: Callable[..., Any], curvature: Any, learning_rate: Any) -> np.ndarray:
    """The least momentum at which the two roots of a one-memory method meet: below it the method creeps, above it swings.

        >>> import momentum_jax as mj
        >>> round(float(critical_damping(mj.heavy_ball, 1.0, 0.01)), 9)
        0.81

    Args:
      constructor: takes `learning_rate` and `momentum`, as arrays too.
      curvature, learning_rate: above 0, broadcast together; loss / params^2 and params^2 / loss.

    Returns:
      Momenta in [0, 1), float64 of their shape; found from the constructor's own code, to about 1e-14.

    Raises:
      NotLinear: the constructor makes methods that are not linear.
      ValueError: they have not one memory, or do not settle; a number is not above 0; the roots do not meet.
    """
    who = "critical_damping"
    values, rates = np.broadcast_arrays(_positive(who, "curvature", curvature), _positive(who, "learning_rate", learning_rate))
    methods = _settled_family(who, constructor, {"learning_rate": 0.1, "momentum": 0.5})
    if len(methods.read.at(methods.read.horizon - 1).F) != 2:
        raise ValueError(f"{who}: {name_of(constructor)} must have one memory, got {methods.read}.")
    flat, eta = values.ravel(), rates.ravel()

    def discriminant(momenta: np.ndarray) -> np.ndarray:
        """Of the characteristic polynomial, (k, ...) at momenta (k, ...)."""
        shape = momenta.shape
        each = [np.broadcast_to(array.reshape(-1, *[1] * (len(shape) - 1)), shape).ravel() for array in (flat, eta)]
        systems = methods.at({"learning_rate": each[1], "momentum": momenta.ravel()})
        M = systems.F + (each[0][:, None] * systems.b)[:, :, None] * systems.c_held[:, None]
        return ((M[:, 0, 0] - M[:, 1, 1]) ** 2 + 4 * M[:, 0, 1] * M[:, 1, 0]).reshape(shape)

    momenta = np.broadcast_to(np.concatenate([[0.0], 1 - np.geomspace(1, 1e-9, 512)[1:]]), (len(flat), 512))
    swings = discriminant(momenta) <= 0
    if not swings.any(1).all():
        where = np.flatnonzero(~swings.any(1))[0]
        raise ValueError(
            f"{who}: the roots of {name_of(constructor)} must meet at a momentum in [0, 1), and do not at curvature "
            f"{flat[where]:g} and learning rate {eta[where]:g}."
        )
    first = swings.argmax(1)
    index = np.arange(len(flat))
    low, high = momenta[index, np.maximum(first - 1, 0)], momenta[index, first]
    for _ in range(60):
        middle = (low + high) / 2
        is_beyond = discriminant(middle) <= 0
        low, high = np.where(is_beyond, low, middle), np.where(is_beyond, middle, high)
    return high.reshape(values.shape)


def _settled_family(who: str, constructor: Callable[..., Any], example: Mapping[str, float]) -> Family:
    found = family(constructor, example)
    found.settled_on_one(who)
    return found


def _refuse_what_still_changes(who: str, methods: Family, point: Mapping[str, float]) -> None:
    """Where the example has settled, the method at this point must have settled too."""
    points = {name: np.array([value]) for name, value in point.items()}
    settled, last = methods.at(points), methods.at(points, methods.read.horizon - 1)
    if settled.differ(last).any():
        at = ", ".join(f"{name} {value:.6g}" for name, value in point.items())
        raise ValueError(f"{who}: the coefficients still change at step {methods.read.settled} at {at}; narrow the ranges.")


def _radius(systems: Systems, seen: np.ndarray) -> np.ndarray:
    """(k,): the largest spectral radius on some curvatures; inf where an entry is not finite."""
    is_finite = np.all(np.isfinite(systems.F), axis=(1, 2)) & np.all(np.isfinite(systems.b), axis=1)
    found = np.full(len(systems.b), np.inf)
    sound = Systems(*(array[is_finite] for array in systems))
    found[is_finite] = spectral_radius(sound.closed_loop(seen)).max(1)
    return found


def _directions(m: float, L: float, values: Any, noise: Any, distances: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Curvatures, noise and distances of the directions of a loss, (directions,) each."""
    who = "tune"
    values = np.geomspace(m, L, 32) if values is None else numbers(who, values, "curvatures")
    found = np.broadcast_arrays(values, numbers(who, noise, "noise"), numbers(who, distances, "distances"))
    values, noise, distances = (np.atleast_1d(each).ravel() for each in found)
    if (values < m * (1 - 1e-12)).any() or (values > L * (1 + 1e-12)).any():
        raise ValueError(f"{who}: curvatures must be in [m, L] = [{m:g}, {L:g}], got {values.min():g} to {values.max():g}.")
    if (noise < 0).any():
        raise ValueError(f"{who}: noise must be at least 0, got {noise.min():g}.")
    return values, noise, distances


def _checked_steps(steps: Any) -> int:
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise ValueError(f"tune: steps must be an int of at least 1 with objective 'expected_loss', got {steps}.")
    return int(steps)


def _positive(who: str, name: str, values: Any) -> np.ndarray:
    found = numbers(who, values, name)
    if (found <= 0).any():
        raise ValueError(f"{who}: {name} must be above 0, got {found[found <= 0].flat[0]:g}.")
    return found
