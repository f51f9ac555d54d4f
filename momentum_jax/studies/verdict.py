"""One sentence on momentum: how much of its gain a larger step alone would have brought.

Momentum mu moves along a steady gradient 1/(1 - mu) times as far as gradient descent at the same learning rate eta.
So the control of momentum at eta is gradient descent at eta/(1 - mu), the same effective learning rate: what momentum
gains over gradient descent at eta but not over the control, it gains by the larger step.

The sentence compares by steps to the target where all runs reached it, else by the primary score. Arms share splits,
initialisations and batches seed by seed, so differences are paired; one counts as a difference when its 95% t
interval leaves out zero. That the larger step explains the gain is said only where the control's own gain over gradient
descent at eta is, at the low end of its interval, twice what momentum itself may still be worth at the high end of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from momentum_jax.studies.expression import Expression
from momentum_jax.studies.jobs import rate_and_momentum
from momentum_jax.studies.scores import IMAGES, RankedScore, Scores
from momentum_jax.studies.statistics import FEWEST_PAIRS, PairedComparison, paired
from momentum_jax.studies.study import Study
from momentum_jax.studies.summary import ArmSummary, estimate

_FEWEST_SEEDS = 3
# The larger step explains the gain where it surely brings this many times what momentum itself may still bring.
_EXPLAINED = 2.0


@dataclass(frozen=True)
class Ladder:
    """Momentum at eta, its control (gradient descent at eta/(1-mu)) and gradient descent at eta (or None)."""

    momentum: ArmSummary
    control: ArmSummary
    plain: ArmSummary | None


def ladder(summaries: Sequence[ArmSummary]) -> Ladder | None:
    """The first arm with constant momentum whose control is among the arms, with `plain` beside it if possible."""
    plain: list[tuple[float, ArmSummary]] = []
    moving: list[tuple[float, float, ArmSummary]] = []
    for summary in summaries:
        found = rate_and_momentum(Expression.read(summary.optimizer))
        if found is None:
            continue
        rate, momentum = found
        if momentum == 0:
            plain.append((rate, summary))
        else:
            moving.append((rate, momentum, summary))

    def at(rate: float, like: ArmSummary) -> ArmSummary | None:
        alike = (each for each in plain if each[1].factors == like.factors)
        return next((summary for other, summary in alike if math.isclose(other, rate, rel_tol=1e-6)), None)

    found = [
        Ladder(summary, control, at(rate, summary)) for rate, mu, summary in moving if (control := at(rate / (1 - mu), summary))
    ]
    return next((each for each in found if each.plain), found[0] if found else None)


def verdict(study: Study, summaries: Sequence[ArmSummary], scores: Scores = IMAGES) -> str:
    """The sentence; says what is missing where the arms or the seeds do not allow one."""
    rungs = ladder(summaries)
    if rungs is None:
        return (
            "No arm here is the control of a momentum arm: to see how much of momentum's effect is only a larger step, "
            "add gradient_descent(eta / (1 - mu)) beside heavy_ball(eta, mu)."
        )
    m, c = rungs.momentum, rungs.control
    if m.diverged or c.diverged:
        return f"{m.label} {_divergence(m)} and {_described(c)} {_divergence(c)}, so their scores cannot be compared."
    if study.target is not None and not (m.never and c.never):
        return _by_steps(study, rungs)
    return _by_score(rungs, scores)


def _by_steps(study: Study, rungs: Ladder) -> str:
    m, c, p = rungs.momentum, rungs.control, rungs.plain
    mean = {arm.label: _mean_steps(arm) for arm in (m, c, p) if arm}
    text = f"{m.label} reached the target in {_at_least(m)}{mean[m.label]:,.0f} steps"
    alone = f"{_described(c)} took {_at_least(c)}{mean[c.label]:,.0f}"
    gain = None
    if p and p.diverged:
        text += f", {p.label} {_divergence(p)}"
    elif p:
        least = _at_least(p)
        text += f", {p.label} in {least}{mean[p.label]:,.0f}"
        if mean[p.label] > mean[m.label] and not m.never:
            text += f" ({least}{mean[p.label] / mean[m.label]:.1f} times as many)"
        if mean[p.label] > mean[c.label] and not c.never:
            alone += f" ({least}{mean[p.label] / mean[c.label]:.1f} times fewer than {p.label})"
        # A run of `plain` that never got there counts with the whole budget: the gain is then at least this.
        gain = _paired_steps(p, c)
    ahead = _paired_steps(c, m)
    # A run that never got there counts with the whole budget. Where only those of the arm behind do, the difference is at least
    # the one that is seen; else it may be any.
    behind, leading = (c, m) if ahead and ahead.mean_difference > 0 else (m, c)
    least = "at least " if behind.never and not leading.never else ""
    cut_off = bool(m.never or c.never)
    return f"{text}; {alone}: {_conclusion(ahead, gain, 'steps', ',.0f', study.evaluate_every, least, cut_off)}"


def _by_score(rungs: Ladder, scores: Scores) -> str:
    m, c, p = rungs.momentum, rungs.control, rungs.plain
    primary = scores.primary

    def ended(arm: ArmSummary) -> str:
        return primary.value(arm.score(primary).mean)

    text = f"{m.label} ended at {ended(m)} {scores.where}{primary.name}"
    if m.never < len(m.seeds) or c.never < len(c.seeds):
        reached = [f"{len(arm.seeds) - arm.never} of {len(arm.seeds)} runs of {arm.label}" for arm in (m, c)]
        text = f"{reached[0]} and {reached[1]} reached the target; {text}"
    if p:
        text += f", {p.label} " + (_divergence(p) if p.diverged else f"at {ended(p)}")
    gain = _paired_scores(c, p, primary) if p and not p.diverged else None
    ahead = _paired_scores(m, c, primary)
    text += f"; {_described(c)} ended at {ended(c)}"
    unit = "points" if primary.percent else f"of {primary.name}"
    return f"{text}: {_conclusion(ahead, gain, unit, primary.form(), 0.0)}"


def _conclusion(
    ahead: PairedComparison | None,
    gain: PairedComparison | None,
    unit: str,
    form: str,
    resolution: float,
    least: str = "",
    cut_off: bool = False,
) -> str:
    """What the seeds allow to say.

    Args:
      ahead: by how much momentum was ahead of its control; None: no seed has run both.
      gain: by how much the control was ahead of gradient descent at momentum's own learning rate; None: not known.
      resolution: differences below it are not seen.
      least: "at least " where the difference is a lower bound.
      cut_off: some runs count with the whole budget; without `least` the difference is no bound, and not claimed.
    """
    seeds = ahead.n if ahead else 0
    if ahead is None or seeds < _FEWEST_SEEDS:
        return f"{seeds} seed{' is' if seeds == 1 else 's are'} too few to tell their difference from chance."
    mean, noise = ahead.mean_difference, _half_width(ahead)
    size = f"{abs(mean):{form}} ± {ahead.standard_error or 0.0:{form}} {unit} over {seeds} seeds"
    unresolved = abs(mean) < resolution
    few = _is_too_few(ahead)
    unbounded = cut_off and not least
    if not unresolved and not few and not unbounded and abs(mean) > noise:
        if mean > 0:
            return f"momentum itself is worth {least}{size} beyond the larger effective step."
        return f"at equal effective step momentum was behind, by {least}{size}."
    reason = (
        f"less than the {resolution:{form}} {unit} between evaluations"
        if unresolved
        else "too few seeds"
        if few
        else "within noise"
        if abs(mean) <= noise
        else "which the budget decides"
    )
    seen = f"no effect of momentum itself is seen (difference {size}, {reason})"
    # The largest effect of momentum itself that these seeds leave possible.
    possible = max(abs(mean) + noise, resolution)
    room = f"these seeds leave room for up to {possible:{form}} {unit}"
    if cut_off:
        return f"{seen}, but not every run reached the target, so the steps are lower bounds."
    if gain is not None and gain.n >= _FEWEST_SEEDS and not _is_too_few(gain):
        sure = gain.mean_difference - _half_width(gain)
        if sure > _EXPLAINED * possible:
            return f"the larger effective step explains the gain, and {seen}."
        if sure > resolution:
            return f"the larger effective step brings a gain, and {seen}; {room}."
    return f"{seen}; {room}."


def _paired_steps(slow: ArmSummary, fast: ArmSummary) -> PairedComparison | None:
    """How many steps `fast` was ahead of `slow`; a run that never got there counts with the whole budget."""
    return _paired(slow, fast, lambda arm: [arm.budget if steps is None else steps for steps in arm.steps_to_target])


def _paired_scores(first: ArmSummary, second: ArmSummary, score: RankedScore) -> PairedComparison | None:
    """By how much the first was the better, as it is written."""
    return _paired(first, second, lambda arm: [score.sign * score.factor * value for value in arm.values[score.name]])


def _paired(first: ArmSummary, second: ArmSummary, of: Callable[[ArmSummary], Sequence[float]]) -> PairedComparison | None:
    """The first arm less the second at the seeds that both have run; None: there are none."""
    a, b = (dict(zip(arm.seeds, of(arm), strict=True)) for arm in (first, second))
    shared = [seed for seed in a if seed in b]
    return paired([a[seed] for seed in shared], [b[seed] for seed in shared]) if shared else None


def _half_width(difference: PairedComparison) -> float:
    """Of the 95% t interval; 0 where the differences have no spread."""
    low, high = difference.t_interval or (0.0, 0.0)
    return (high - low) / 2


def _is_too_few(difference: PairedComparison) -> bool:
    """Without a spread there is the exact rank test alone."""
    return difference.without_spread and difference.n < FEWEST_PAIRS


def _described(control: ArmSummary) -> str:
    return f"{control.label}, the same effective learning rate without momentum,"


def _at_least(arm: ArmSummary) -> str:
    return "more than " if arm.never else ""


def _divergence(arm: ArmSummary) -> str:
    return f"diverged in {arm.diverged} of {len(arm.seeds)} runs" if arm.diverged else "did not diverge"


def _mean_steps(arm: ArmSummary) -> float:
    """A lower bound where some runs never reached the target: they count with the whole budget."""
    return estimate([arm.budget if steps is None else steps for steps in arm.steps_to_target]).mean
