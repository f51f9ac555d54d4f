"""What the targets of a translation ask of a one-pole form, and what they read from it."""

from collections.abc import Callable
from typing import Any

from momentum_jax.conventions.one_pole import PROBES, before, ratio
from momentum_jax.conventions.rule import Rule


def gain(rule: Rule) -> Callable[[Any], Any]:
    """L_t, the effective learning rate of the form with an average."""
    return lambda t: rule.direct(t) + (0.0 if rule.memoryless else rule.average_readout(t))


def inside(rule: Rule, rate: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The decay of a velocity that `rate` enters: p_t rate_t / rate_{t-1}, Goyal's momentum correction."""
    return lambda t: rule.decay(t) * ratio(rate(t), rate(before(t)))


def readout(rule: Rule) -> Callable[[Any], Any]:
    """X_t / E_t, what multiplies the velocity in a step."""
    return lambda t: 0.0 if rule.memoryless else ratio(rule.fresh(t), rule.direct(t))


def needs_plain(rule: Rule) -> None:
    if not rule.plain:
        raise ValueError(f"a step along the memory alone is {why(rule, 'nu = 1')}.")


def needs_direct(rule: Rule) -> None:
    if rule.plain and not rule.memoryless:
        raise ValueError(
            "its steps contain the gradient beside the memory, these do not: in terms of QHM it has nu < 1, here nu = 1."
        )


def reformulated(rule: Rule, momentum: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`momentum`, after a check that it is also what multiplies the memory."""
    needs_direct(rule)
    if not rule.always(readout(rule), momentum):
        raise ValueError(f"its momentum must be the decay and the factor of the memory at once, {why(rule, 'nu = momentum')}.")
    return momentum


def constant_inside(rule: Rule, names: str) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Decay and readout of a velocity that eta enters, both the same at every step."""
    needs_direct(rule)
    decay, factor = inside(rule, rule.direct), readout(rule)
    if not (rule.is_number(decay) and rule.is_number(factor)):
        raise ValueError(
            f"under these schedules its {names} at a step would depend on all steps before, and need not exist; QHM and "
            f"TripleMomentum follow every schedule that does not make their learning_rate or alpha 0."
        )
    return decay, factor


def why(rule: Rule, condition: str) -> str:
    """The condition in terms of QHM, and what is the case instead."""
    if not rule.is_known:
        return f"in terms of QHM {condition} at every step, which these schedules or traced numbers do not keep"
    nu = ratio(0.0 if rule.memoryless else rule.average_readout(PROBES[0]), gain(rule)(PROBES[0]))
    momentum = rule.decay(PROBES[0])
    return f"in terms of QHM {condition}, here nu = {nu:.12g} and momentum = {momentum:.12g}"
