"""Forms of two sequences of points, and of a velocity that is the difference of the last two."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from momentum_jax._hyperparameters import Decay, LearningRate, NonNegative, OneOrMore, PositiveShare, Real, is_zero
from momentum_jax.conventions.conditions import constant_inside, inside, needs_direct, readout
from momentum_jax.conventions.convention import Convention, Fields
from momentum_jax.conventions.one_pole import PROBES, OnePole, Probe, after, before, ratio
from momentum_jax.conventions.rule import Rule


@dataclasses.dataclass(frozen=True, repr=False)
class AcceleratedSGD(Convention):
    """AccSGD of Kidambi et al. (2018): a long step eta kappa / c beside a short step eta, mixed by xi."""

    learning_rate: LearningRate
    kappa: OneOrMore = 1000.0
    xi: NonNegative = 10.0
    small_const: PositiveShare = 0.7
    open: ClassVar[Mapping[str, float]] = MappingProxyType({"small_const": 0.7})

    def one_pole(self, h: Any, following: Any) -> OnePole:
        c = h.small_const
        a = c * c * h.xi / h.kappa
        return OnePole(h.learning_rate, a / c, c / (c + a) * (1 - a), c / (c + a) * (c * h.xi - 1) * h.learning_rate)

    @classmethod
    def read(cls, rule: Rule, **chosen: Any) -> Fields:
        c = chosen["small_const"]
        if rule.memoryless:
            return {"learning_rate": rule.rate, "kappa": 1.0, "xi": 1 / c, "small_const": c}
        q, y = constant_inside(rule, "kappa and xi")

        def a(t: Any) -> Any:
            return c * (1 - q(t)) / (c + q(t))

        def c_xi(t: Any) -> Any:
            return 1 + y(t) * (c + a(t)) / a(t)

        return {
            "learning_rate": rule.direct,
            "kappa": lambda t: c * c_xi(t) / a(t),
            "xi": lambda t: c_xi(t) / c,
            "small_const": c,
        }


@dataclasses.dataclass(frozen=True, repr=False)
class TripleMomentum(Convention):
    """The form of triple and robust momentum: xi' = xi + b v - a g(y), y = xi + gamma v, v = xi - xi_prev.

    Every other convention has this form, under every schedule but those whose alpha would be 0, but for
    rounding too, where their memory goes on. Van Scoy, Freeman and Lynch (2018).
    """

    alpha: LearningRate
    beta: Real
    gamma: Real
    rate: ClassVar[str] = "alpha"
    ahead: ClassVar[tuple[str, ...]] = ("gamma",)

    def one_pole(self, h: Any, following: Any) -> OnePole:
        if is_zero(self.beta) and not is_zero(self.gamma):
            raise ValueError(
                "with beta = 0 and gamma above 0 it remembers one gradient and no more, which no decaying memory does."
            )
        # Where a schedule of beta is 0 so must gamma be, and then any share will do.
        share = 0.0 if is_zero(self.beta) or is_zero(self.gamma) else ratio(h.gamma, h.beta)
        return OnePole(share * h.alpha, 1 + following.gamma - share, h.beta, h.alpha)

    @classmethod
    def read(cls, rule: Rule, **chosen: Any) -> Fields:
        def quotient(pole: OnePole) -> Any:
            return 0.0 if rule.plain and not rule.memoryless else ratio(pole.direct, pole.weight)

        always = rule.is_number(lambda t: quotient(rule.pole(t)))
        known = quotient(rule.pole(PROBES[0]._replace(keep_traced=True)))

        def share(t: Any) -> Any:
            """E_t / W_t. Where both are 0, as Keras's under a learning rate of 0, any will do, as long as all read the same."""
            return known if always and not isinstance(t, Probe) else quotient(rule.pole(t))

        def scaled(t: Any) -> Any:
            """alpha_t / W_t."""
            pole, following = rule.pole(t), rule.pole(after(t))
            return share(t) + pole.readout - share(after(t)) * following.decay

        def gamma(t: Any) -> Any:
            pole = rule.pole(t)
            # Where alpha is 0 so is the velocity, and any gamma will do, if the gradient's own share of a step is 0 as well.
            return ratio(share(t) * pole.decay, scaled(before(t)))

        return {
            "alpha": lambda t: rule.pole(t).weight * scaled(t),
            "beta": lambda t: rule.pole(t).decay * ratio(scaled(t), scaled(before(t))),
            "gamma": 0.0 if rule.plain else gamma,
        }


@dataclasses.dataclass(frozen=True, repr=False)
class EMANesterov(Convention):
    """m' = gamma m + (1 - gamma) (x' - x), x' = y - eta g(y), y = x + beta m; gamma = 0 is look-ahead Nesterov."""

    learning_rate: LearningRate
    beta: Decay
    gamma: Decay
    ahead: ClassVar[tuple[str, ...]] = ("beta",)

    def one_pole(self, h: Any, following: Any) -> OnePole:
        decay = h.gamma + (1 - h.gamma) * h.beta
        return OnePole(h.learning_rate, following.beta, decay, (1 - h.gamma) * h.learning_rate)

    @classmethod
    def read(cls, rule: Rule, **chosen: Any) -> Fields:
        needs_direct(rule)
        decay = inside(rule, rule.direct)
        if rule.always(lambda t: readout(rule)(before(t)), decay):
            return {"learning_rate": rule.direct, "beta": decay, "gamma": 0.0}
        q, y = constant_inside(rule, "beta and gamma")
        return {
            "learning_rate": rule.direct,
            "beta": lambda t: y(t) / (1 - q(t) + y(t)),
            "gamma": lambda t: q(t) - y(t),
        }
