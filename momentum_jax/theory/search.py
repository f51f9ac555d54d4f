"""The least value of a function on the unit box, from its values alone: evolution strategies that adapt a covariance.

Worst rates have kinks, and where two roots meet they have cusps: gradients do not help there. A function takes points
(k, d) and gives values (k,); inf is allowed. All draws come from one seed.

Source: N. Hansen (2016), The CMA evolution strategy: a tutorial, arXiv:1604.00772.
"""

from collections.abc import Callable, Sequence

import numpy as np

# Generations without a better point after which a strategy has ended.
PATIENCE = 40
Function = Callable[[np.ndarray], np.ndarray]


def spread(count: int, dimensions: int) -> np.ndarray:
    """(count, d): points that fill the unit box evenly, a lattice of the generalised golden ratio."""
    root = 2.0
    for _ in range(64):
        root = (1 + root) ** (1 / (dimensions + 1))
    return (0.5 + np.arange(1, count + 1)[:, None] * root ** -np.arange(1.0, dimensions + 1)) % 1


def distinct(points: np.ndarray, values: np.ndarray, count: int, apart: float = 0.1) -> list[np.ndarray]:
    """The best points (d,) of (k, d), at most `count`, no two of them closer than `apart` in every coordinate."""
    found: list[np.ndarray] = []
    for i in np.argsort(np.nan_to_num(values, nan=np.inf), kind="stable"):
        if all(np.abs(points[i] - other).max() >= apart for other in found):
            found.append(points[i])
        if len(found) == count:
            break
    return found


def least(function: Function, starts: Sequence[np.ndarray], *, width: float, finest: float, most: int) -> np.ndarray:
    """The best point (d,) that strategies from several starts find together.

    A strategy may pass a point that is better than where it ends. The search then begins again there, with finer draws.

    Args:
      function: of the unit box; draws are moved into it.
      starts: points (d,).
      width: standard deviation of the first draws.
      finest: that of draws at which a strategy has arrived.
      most: generations, each time.
    """
    random = np.random.default_rng(0)
    found = _ended(function, starts, width, finest, most, random)
    for _ in range(20):
        if np.abs(found.best - found.mean).max() <= 1e3 * finest:
            break
        width /= 4
        again = _ended(function, [found.best], width, finest, most, random)
        is_better = again.value < found.value - 1e-9 * abs(found.value)
        found = again if again.value < found.value else found
        if not is_better and width < 1e-3:
            break
    return found.best


def _ended(
    function: Function, starts: Sequence[np.ndarray], width: float, finest: float, most: int, random: np.random.Generator
) -> "_Strategy":
    """The best of some strategies at its end; after every 20 generations the worse half of them ends."""
    strategies = [_Strategy(start, width) for start in starts]
    for generation in range(1, most + 1):
        drawn = [each.draw(random) for each in strategies]
        values = np.split(function(np.concatenate(drawn)), len(drawn))
        for each, points, found in zip(strategies, drawn, values, strict=True):
            each.tell(points, np.nan_to_num(found, nan=np.inf))
        if generation % 20 == 0:
            strategies = sorted(strategies, key=lambda each: each.value)[: -(-len(strategies) // 2)]
        if all(each.finest() < finest or each.since > PATIENCE for each in strategies):
            break
    return min(strategies, key=lambda each: each.value)


class _Strategy:
    """One mean, one step size, one covariance: of the best half of each generation."""

    def __init__(self, start: np.ndarray, width: float) -> None:
        d = len(start)
        self.mean, self.width, self.best, self.value, self.since = start, width, start, np.inf, 0
        self.count = 4 * (4 + int(3 * np.log(d + 1)))
        weights = np.log(self.count / 2 + 0.5) - np.log(np.arange(1, self.count // 2 + 1))
        self.weights = weights / weights.sum()
        mass = 1 / (self.weights**2).sum()
        self.mass = mass
        self.path_share = (4 + mass / d) / (d + 4 + 2 * mass / d)
        self.width_share = (mass + 2) / (d + mass + 5)
        self.damping = 1 + self.width_share + 2 * max(0.0, np.sqrt((mass - 1) / (d + 1)) - 1)
        self.rank_one = 2 / ((d + 1.3) ** 2 + mass)
        self.rank_many = min(1 - self.rank_one, 2 * (mass - 2 + 1 / mass) / ((d + 2) ** 2 + mass))
        self.expected = np.sqrt(d) * (1 - 1 / (4 * d) + 1 / (21 * d**2))
        self.covariance, self.path, self.width_path = np.eye(d), np.zeros(d), np.zeros(d)
        self.axes, self.scales = np.eye(d), np.ones(d)

    def draw(self, random: np.random.Generator) -> np.ndarray:
        steps = random.standard_normal((self.count, len(self.mean))) * self.scales @ self.axes.T
        return np.clip(self.mean + self.width * steps, 0, 1)

    def tell(self, points: np.ndarray, values: np.ndarray) -> None:
        order = np.argsort(values, kind="stable")
        self.since += 1
        if values[order[0]] < self.value:
            self.since = 0
            self.best, self.value = points[order[0]], float(values[order[0]])
        steps = (points[order[: len(self.weights)]] - self.mean) / self.width
        step = self.weights @ steps
        self.mean = self.mean + self.width * step
        white = self.axes @ ((self.axes.T @ step) / self.scales)
        keep = np.sqrt(self.width_share * (2 - self.width_share) * self.mass)
        self.width_path = (1 - self.width_share) * self.width_path + keep * white
        length = np.linalg.norm(self.width_path)
        is_steady = length < (1.4 + 2 / (len(step) + 1)) * self.expected
        keep = np.sqrt(self.path_share * (2 - self.path_share) * self.mass)
        self.path = (1 - self.path_share) * self.path + is_steady * keep * step
        self.covariance = (
            (1 - self.rank_one - self.rank_many) * self.covariance
            + self.rank_one * np.outer(self.path, self.path)
            + self.rank_many * (self.weights * steps.T) @ steps
        )
        self.width *= float(np.exp(min(1.0, (self.width_share / self.damping) * (length / self.expected - 1))))
        size, axes = np.linalg.eigh((self.covariance + self.covariance.T) / 2)
        # Where a coordinate has stopped at an end of the box, its variance dies; draws keep a little of it.
        size = np.maximum(size, 1e-14 * size.max())
        self.axes, self.scales = axes, np.sqrt(size)

    def finest(self) -> float:
        return self.width * float(self.scales.max())
