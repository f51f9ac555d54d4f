"""Theory that reads the code: what follows from an optimizer's own update on a quadratic.

On a quadratic a momentum step is linear. So rate, stability, noise and equivalences follow from an optimizer's own `update`.
The optimizer may be this library's, Optax's or one's own. No equation is written a second time.

    from momentum_jax import theory

    theory.rate(mj.heavy_ball(0.1, 0.9), curvature=[1.0, 10.0])
    theory.stability_limit(optax.sgd(0.1, 0.9, nesterov=True))
    theory.equivalent(mj.heavy_ball(0.1, 0.9), optax.sgd(0.1, 0.9)).same
"""

from momentum_jax.theory import tunings
from momentum_jax.theory.certificates import Certificate, certified_rate
from momentum_jax.theory.dynamics import Dynamics, NotLinear
from momentum_jax.theory.equivalence import Difference, Equivalence, equivalent
from momentum_jax.theory.many import linearize_all
from momentum_jax.theory.polynomials import NotPolynomial, Polynomials, fitted
from momentum_jax.theory.prediction import (
    ArmPrediction,
    Prediction,
    Spectrum,
    predict,
)
from momentum_jax.theory.rates import (
    effective_learning_rate,
    rate,
    roots,
    stability_limit,
    stable_intervals,
    transient_growth,
    worst_rate,
)
from momentum_jax.theory.reading import linearize
from momentum_jax.theory.responses import (
    expected_loss,
    frequency_response,
    impulse_response,
    limit_cycle,
    steady_state_variance,
)
from momentum_jax.theory.summary import Summary, summary
from momentum_jax.theory.systems import System
from momentum_jax.theory.tuning import critical_damping, tune
from momentum_jax.theory.tunings import Tuning

__all__ = [
    "ArmPrediction",
    "Certificate",
    "Difference",
    "Dynamics",
    "Equivalence",
    "NotLinear",
    "NotPolynomial",
    "Polynomials",
    "Prediction",
    "Spectrum",
    "Summary",
    "System",
    "Tuning",
    "certified_rate",
    "critical_damping",
    "effective_learning_rate",
    "equivalent",
    "expected_loss",
    "fitted",
    "frequency_response",
    "impulse_response",
    "limit_cycle",
    "linearize",
    "linearize_all",
    "predict",
    "rate",
    "roots",
    "stability_limit",
    "stable_intervals",
    "steady_state_variance",
    "summary",
    "transient_growth",
    "tune",
    "tunings",
    "worst_rate",
]


def __dir__() -> list[str]:
    return sorted(__all__)
