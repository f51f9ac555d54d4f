"""Forms that mix the gradient with a memory of gradients: averages, and the methods that are such mixtures."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from momentum_jax._hyperparameters import Decay, LearningRate, NonNegative, Real, is_zero
from momentum_jax.conventions.conditions import gain, needs_direct, needs_plain, why
from momentum_jax.conventions.convention import Convention, Fields
from momentum_jax.conventions.one_pole import OnePole, ratio
from momentum_jax.conventions.rule import Rule


@dataclasses.dataclass(frozen=True, repr=False)
class EMA(Convention):
    """A step along an average, `momentum_jax.ema_momentum`: m' = b m + (1 - b) g, x' = x - eta m'."""

    learning_rate: LearningRate
    momentum: Decay = 0.9

    def one_pole(self, h: Any, following: Any) -> OnePole:
        return OnePole(0.0, h.learning_rate, h.momentum, 1 - h.momentum)

    @classmethod
    def read(cls, rule: Rule, **chosen: Any) -> Fields:
        needs_plain(rule)
        return {"learning_rate": gain(rule), "momentum": rule.average_decay}


@dataclasses.dataclass(frozen=True, repr=False)
class QHM(Convention):
    """Quasi-hyperbolic momentum: m' = b m + (1 - b) g, x' = x - L ((1 - nu) g + nu m'). Ma and Yarats (2019)."""

    learning_rate: LearningRate
    momentum: Decay = 0.999
    nu: Real = 0.7

    def one_pole(self, h: Any, following: Any) -> OnePole:
        return OnePole(h.learning_rate * (1 - h.nu), h.learning_rate * h.nu, h.momentum, 1 - h.momentum)

    @classmethod
    def read(cls, rule: Rule, **chosen: Any) -> Fields:
        rate = gain(rule)
        if rule.vanishes(rate):
            raise ValueError("what its gradients count adds up to 0, and a multiple of 0 is 0.")
        nu = 1.0 if rule.plain and not rule.memoryless else lambda t: ratio(rule.average_readout(t), rate(t))
        return {"learning_rate": rate, "momentum": rule.average_decay, "nu": nu}


@dataclasses.dataclass(frozen=True, repr=False)
class PID(Convention):
    """An et al. (2018): I = mu I + g, D = mu D + (1 - mu) (g - g_prev), x' = x - eta (g + ki I + kd D), D = 0 at first."""

    learning_rate: LearningRate
    momentum: Decay = 0.9
    integral: NonNegative = 5.0
    derivative: NonNegative = 10.0
    open: ClassVar[Mapping[str, float]] = MappingProxyType({"derivative": 0.0})

    def one_pole(self, h: Any, following: Any) -> OnePole:
        if is_zero(self.derivative):
            return OnePole(h.learning_rate, h.learning_rate * h.integral, h.momentum, 1.0)
        if is_zero(self.momentum):
            raise ValueError("without momentum PID remembers one gradient and no more, which no decaying memory does.")
        if not callable(self.momentum):
            slope = h.derivative * (1 - h.momentum) / h.momentum
            return OnePole(
                h.learning_rate * (1 + slope), h.learning_rate * (h.integral - slope * (1 - h.momentum)), h.momentum, 1.0
            )
        if callable(self.integral) or callable(self.derivative):
            raise ValueError("under a schedule of momentum and of a gain PID needs two memories.")
        slope = h.derivative * (1 - following.momentum) / following.momentum
        weight = h.integral + h.derivative * (1 - h.momentum) - slope
        return OnePole(h.learning_rate * (1 + slope), h.learning_rate, h.momentum, weight)

    @classmethod
    def read(cls, rule: Rule, **chosen: Any) -> Fields:
        needs_direct(rule)
        kd = chosen["derivative"]
        if is_zero(kd):
            return {
                "learning_rate": rule.direct,
                "momentum": rule.decay,
                "integral": lambda t: ratio(rule.fresh(t), rule.direct(t)) if not rule.memoryless else 0.0,
                "derivative": 0.0,
            }
        if rule.memoryless or not rule.is_number(rule.decay):
            raise ValueError("a derivative above 0 needs a decay that is above 0 and the same at every step.")

        def slope(t: Any) -> Any:
            return kd * (1 - rule.decay(t)) / rule.decay(t)

        def rate(t: Any) -> Any:
            return rule.direct(t) / (1 + slope(t))

        return {
            "learning_rate": rate,
            "momentum": rule.decay,
            "integral": lambda t: ratio(rule.fresh(t), rate(t)) + slope(t) * (1 - rule.decay(t)),
            "derivative": kd,
        }

    def start(self) -> str:
        if is_zero(self.derivative):
            return ""
        return (
            "PID's derivative is 0 at first: step t of a PID is smaller by its own "
            "learning_rate derivative (1 - momentum) momentum^t g_0."
        )


@dataclasses.dataclass(frozen=True, repr=False)
class Grokfast(Convention):
    """Grokfast-EMA in front of gradient descent: h' = a h + (1 - a) g, x' = x - eta (g + lamb h'), h = g at first."""

    learning_rate: LearningRate
    alpha: Decay = 0.98
    lamb: NonNegative = 2.0

    def one_pole(self, h: Any, following: Any) -> OnePole:
        return OnePole(h.learning_rate, h.learning_rate * h.lamb, h.alpha, 1 - h.alpha)

    @classmethod
    def read(cls, rule: Rule, **chosen: Any) -> Fields:
        needs_direct(rule)
        lamb = 0.0 if rule.memoryless else lambda t: ratio(rule.average_readout(t), rule.direct(t))
        return {"learning_rate": rule.direct, "alpha": rule.average_decay, "lamb": lamb}

    def start(self) -> str:
        if is_zero(self.alpha) or is_zero(self.lamb):
            return ""
        return (
            "Grokfast's average is the first gradient at first: step t of Grokfast is larger by "
            "learning_rate lamb alpha^(t+1) g_0."
        )


@dataclasses.dataclass(frozen=True, repr=False)
class AggMo(Convention):
    """Aggregated momentum with the momenta [0, momentum]: v' = momentum v + g, x' = x - eta (g + v') / 2."""

    learning_rate: LearningRate
    momentum: Decay = 0.9

    def one_pole(self, h: Any, following: Any) -> OnePole:
        return OnePole(h.learning_rate / 2, h.learning_rate / 2, h.momentum, 1.0)

    @classmethod
    def read(cls, rule: Rule, **chosen: Any) -> Fields:
        if rule.memoryless:
            return {"learning_rate": rule.rate, "momentum": 0.0}
        if not rule.always(rule.direct, rule.fresh):
            raise ValueError(f"AggMo([0, momentum]) is {why(rule, 'nu = 1 / (2 - momentum)')}.")
        return {"learning_rate": lambda t: 2 * rule.direct(t), "momentum": rule.decay}
