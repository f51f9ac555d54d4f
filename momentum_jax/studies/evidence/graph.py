"""A tree of hypotheses that share one level: a claim passes its weight on to what is asked next.

Each hypothesis j has a weight w_j, together at most 1, and is claimed where p_j <= a w_j. A claimed one hands its weight to the
others by its shares g_jk:

    w_k' = w_k + w_j g_jk         g_lk' = (g_lk + g_lj g_jk) / (1 - g_lj g_jl)

The chance that anything is claimed where no hypothesis differs is at most a, whatever their dependence.
Source: F. Bretz, W. Maurer, W. Brannath and M. Posch (2009), Stat. Med. 28, 586-604.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# Of the level: all of it but a fifth is for the question.
_QUESTION = 0.8
# What a parent keeps from its children, so that the level reaches the rest when all of them are claimed.
_PAST_CHILDREN = 1e-4


@dataclass(frozen=True)
class Questions:
    """What a study asks, by name: the question first (None: none), the heads beside it, and what explains each.

    children: by the name of a head, of the question or of another child, what is asked only once that is claimed.
    """

    question: str | None
    heads: tuple[str, ...] = ()
    children: Mapping[str, tuple[str, ...]] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All hypotheses, a parent before its children."""
        found = [*self._top]
        for name in found:
            found.extend(self._below(name))
        return tuple(found)

    @property
    def _top(self) -> tuple[str, ...]:
        return (self.question, *self.heads) if self.question is not None else self.heads

    def _below(self, name: str) -> tuple[str, ...]:
        return (self.children or {}).get(name, ())

    def parent(self, name: str) -> str | None:
        """Whose claim comes first; None for the question and the heads."""
        return next((parent for parent, children in (self.children or {}).items() if name in children), None)

    def weights(self) -> dict[str, float]:
        """The weight of each before anything is claimed."""
        found = dict.fromkeys(self.names, 0.0)
        share = 1.0 if self.question is None else 1 - _QUESTION
        found.update({head: share / len(self.heads) for head in self.heads})
        if self.question is not None:
            found[self.question] = _QUESTION if self.heads else 1.0
        return found

    def shares(self) -> dict[str, dict[str, float]]:
        """To whom each passes its weight, in shares that add up to at most 1."""
        return {name: self._passes_on(name) for name in self.names}

    def _passes_on(self, name: str) -> dict[str, float]:
        below, parent = self._below(name), self.parent(name)
        if name == self.question:
            return _equally((*self.heads, *below))
        others = tuple(each for each in self._top if each != name)
        nearest = below or (tuple(each for each in self._below(parent) if each != name) if parent is not None else ())
        if not nearest or not others:
            return _equally(nearest or others)
        return _equally(nearest, 1 - _PAST_CHILDREN) | _equally(others, _PAST_CHILDREN)


def _equally(names: Sequence[str], share: float = 1.0) -> dict[str, float]:
    return {name: share / len(names) for name in names}


def adjust(questions: Questions, pvalues: Mapping[str, float], level: float) -> dict[str, tuple[float, float]]:
    """For each hypothesis its adjusted p-value, claimed where that is at most `level`, and the weight at which it was tested.

    Of one that is not claimed the weight is that at which it would be tested now, 0 where its parent is not claimed.
    """
    names = questions.names
    position = {name: index for index, name in enumerate(names)}
    initial = questions.weights()
    w = np.array([initial[name] for name in names])
    g = np.zeros((len(names), len(names)))
    for name, shares in questions.shares().items():
        for other, share in shares.items():
            g[position[name], position[other]] = share
    p = np.array([pvalues[name] for name in names])
    adjusted, tested_at = np.ones(len(names)), w
    left, largest, is_over = [*range(len(names))], 0.0, False
    while left:
        ratios = [p[index] / w[index] if w[index] > 0 else np.inf for index in left]
        largest = max(largest, min(1.0, min(ratios)))
        if largest > level and not is_over:
            # The weights at which those that are left would be tested now; those before were set as they were claimed.
            is_over, tested_at = True, np.where(np.isin(range(len(names)), left), w, tested_at)
        first = left.pop(int(np.argmin(ratios)))
        adjusted[first] = largest
        if not is_over:
            tested_at = np.where(np.arange(len(names)) == first, w, tested_at)
        w, g = _without(w, g, first, left)
    return {name: (float(adjusted[index]), float(tested_at[index])) for name, index in position.items()}


def _without(w: np.ndarray, g: np.ndarray, claimed: int, left: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Weights and shares after a claim."""
    weights, shares = w.copy(), np.zeros_like(g)
    for one in left:
        weights[one] += w[claimed] * g[claimed, one]
        back = 1 - g[one, claimed] * g[claimed, one]
        for other in left:
            if other != one and back > 0:
                shares[one, other] = (g[one, other] + g[one, claimed] * g[claimed, other]) / back
    weights[claimed] = 0.0
    return weights, shares
