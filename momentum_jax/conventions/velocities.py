"""Forms with a velocity, or an accumulator, and a momentum: the frameworks' SGD, heavy ball and Nesterov."""

import dataclasses
from typing import Any, ClassVar

from momentum_jax._hyperparameters import Bool, Decay, LearningRate, is_zero
from momentum_jax.conventions.conditions import inside, needs_direct, needs_plain, readout, reformulated, why
from momentum_jax.conventions.convention import Convention, Fields
from momentum_jax.conventions.one_pole import OnePole, before
from momentum_jax.conventions.rule import Rule


@dataclasses.dataclass(frozen=True, repr=False)
class PyTorch(Convention):
    """`torch.optim.SGD`: b' = mu b + (1 - tau) g, x' = x - eta b'; with Nesterov x' = x - eta (g + mu b').

    Under a schedule of momentum PyTorch leaves b as it is at steps where mu is 0, does not dampen there, nor dampens the
    gradient that b begins with at the first where it is not; these equations, with a tau of 0 where mu is 0, are its own where
    no mu above 0 follows a mu of 0.
    """

    lr: LearningRate
    momentum: Decay = 0.0
    dampening: Decay = 0.0
    nesterov: Bool = False
    rate: ClassVar[str] = "lr"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and (is_zero(self.momentum) or not is_zero(self.dampening)):
            raise ValueError("PyTorch: nesterov=True needs momentum above 0 and dampening 0.")

    def one_pole(self, h: Any, following: Any) -> OnePole:
        if self.nesterov:
            return OnePole(h.lr, h.lr * h.momentum, h.momentum, 1.0)
        # Of schedules `looks.in_force` has seen to it.
        dampens = callable(self.momentum) or h.momentum != 0
        return OnePole(0.0, h.lr, h.momentum, 1 - h.dampening * dampens)

    @classmethod
    def read(cls, rule: Rule, **chosen: Any) -> Fields:
        if rule.plain:
            return {"lr": rule.rate, "momentum": rule.decay, "nesterov": False}
        return {"lr": rule.direct, "momentum": reformulated(rule, rule.decay), "nesterov": True}

    def start(self) -> str:
        if is_zero(self.dampening) or is_zero(self.momentum):
            return ""
        return (
            "PyTorch does not dampen the first gradient: multiply it by 1 / (1 - dampening) for the same trajectory; otherwise "
            "step t of the translation is smaller by lr dampening momentum^t g_0."
        )


@dataclasses.dataclass(frozen=True, repr=False)
class Optax(Convention):
    """`optax.sgd`: PyTorch's without dampening."""

    learning_rate: LearningRate
    momentum: Decay = 0.0
    nesterov: Bool = False

    def one_pole(self, h: Any, following: Any) -> OnePole:
        if self.nesterov:
            return OnePole(h.learning_rate, h.learning_rate * h.momentum, h.momentum, 1.0)
        return OnePole(0.0, h.learning_rate, h.momentum, 1.0)

    @classmethod
    def read(cls, rule: Rule, **chosen: Any) -> Fields:
        fields = PyTorch.read(rule)
        return {"learning_rate": fields.pop("lr"), **fields}


@dataclasses.dataclass(frozen=True, repr=False)
class HeavyBall(Convention):
    """Polyak's and Sutskever's, `momentum_jax.heavy_ball`: v' = mu v - eta g, x' = x + v'."""

    learning_rate: LearningRate
    momentum: Decay = 0.9

    def one_pole(self, h: Any, following: Any) -> OnePole:
        return OnePole(0.0, 1.0, h.momentum, h.learning_rate)

    @classmethod
    def read(cls, rule: Rule, **chosen: Any) -> Fields:
        needs_plain(rule)
        return {"learning_rate": rule.rate, "momentum": inside(rule, rule.rate)}


@dataclasses.dataclass(frozen=True, repr=False)
class ReformulatedNesterov(Convention):
    """Nesterov with mu_t in both places, eta inside: v' = mu v - eta g, x' = x + mu v' - eta g."""

    learning_rate: LearningRate
    momentum: Decay = 0.9

    def one_pole(self, h: Any, following: Any) -> OnePole:
        return OnePole(h.learning_rate, h.momentum, h.momentum, h.learning_rate)

    @classmethod
    def read(cls, rule: Rule, **chosen: Any) -> Fields:
        return {"learning_rate": rule.direct, "momentum": reformulated(rule, inside(rule, rule.direct))}


@dataclasses.dataclass(frozen=True, repr=False)
class Keras(Convention):
    """`keras.optimizers.SGD` and TensorFlow's: heavy ball, or with Nesterov the reformulated one, eta inside.

    Under a schedule of momentum Keras leaves v as it is at steps where mu is 0; these equations are its own where no mu above 0
    follows a mu of 0.
    """

    learning_rate: LearningRate
    momentum: Decay = 0.0
    nesterov: Bool = False

    def one_pole(self, h: Any, following: Any) -> OnePole:
        return (ReformulatedNesterov if self.nesterov else HeavyBall).one_pole(self, h, following)  # pyright: ignore[reportArgumentType]

    @classmethod
    def read(cls, rule: Rule, **chosen: Any) -> Fields:
        form = HeavyBall if rule.plain else ReformulatedNesterov
        return {**form.read(rule), "nesterov": not rule.plain}


@dataclasses.dataclass(frozen=True, repr=False)
class Nesterov(Convention):
    """Look-ahead Nesterov, `momentum_jax.nesterov`: v' = mu_t v - eta g(x + mu_t v), x' = x + v'."""

    learning_rate: LearningRate
    momentum: Decay = 0.9
    ahead: ClassVar[tuple[str, ...]] = ("momentum",)

    def one_pole(self, h: Any, following: Any) -> OnePole:
        return OnePole(h.learning_rate, following.momentum, h.momentum, h.learning_rate)

    @classmethod
    def read(cls, rule: Rule, **chosen: Any) -> Fields:
        needs_direct(rule)
        momentum = inside(rule, rule.direct)
        if not rule.always(lambda t: readout(rule)(before(t)), momentum):
            raise ValueError(
                f"a look-ahead by mu_(t+1) and a decay of mu_t ask for different momenta, {why(rule, 'nu = momentum')}."
            )
        return {"learning_rate": rule.direct, "momentum": momentum}
