"""Forms that mix the gradient with a memory of gradients: averages, and the methods that are such mixtures."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from momentum_jax._hyperparameters import Decay, LearningRate, NonNegative, OneOrMore, PositiveShare, Real, is_zero
from momentum_jax.conventions.conditions import constant_inside, gain, inside, needs_direct, needs_plain, readout, why
from momentum_jax.conventions.convention import Convention, Fields
from momentum_jax.conventions.one_pole import PROBES, OnePole, Probe, Rule, after, before, ratio


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
