"""Theory that reads the code: what follows from an optimizer's own update on a quadratic.

On a quadratic a momentum step is linear. So rate, stability, noise and equivalences follow from an optimizer's own `update`.
The optimizer may be this library's, Optax's or one's own. No equation is written a second time.

    from momentum_jax import theory

    theory.rate(mj.heavy_ball(0.1, 0.9), curvature=[1.0, 10.0])
    theory.stability_limit(optax.sgd(0.1, 0.9, nesterov=True))
    theory.equivalent(mj.heavy_ball(0.1, 0.9), optax.sgd(0.1, 0.9)).same
"""

from momentum_jax.theory import tunings as tunings
from momentum_jax.theory.certificates import Certificate as Certificate, certified_rate as certified_rate
from momentum_jax.theory.dynamics import Dynamics as Dynamics, NotLinear as NotLinear
from momentum_jax.theory.equivalence import Difference as Difference, Equivalence as Equivalence, equivalent as equivalent
from momentum_jax.theory.many import linearize_all as linearize_all
from momentum_jax.theory.polynomials import NotPolynomial as NotPolynomial, Polynomials as Polynomials, fitted as fitted
from momentum_jax.theory.prediction import (
    ArmPrediction as ArmPrediction,
    Prediction as Prediction,
    Spectrum as Spectrum,
    predict as predict,
)
from momentum_jax.theory.rates import (
    effective_learning_rate as effective_learning_rate,
    rate as rate,
    roots as roots,
    stability_limit as stability_limit,
    stable_intervals as stable_intervals,
    transient_growth as transient_growth,
    worst_rate as worst_rate,
)
from momentum_jax.theory.reading import linearize as linearize
from momentum_jax.theory.responses import (
    expected_loss as expected_loss,
    frequency_response as frequency_response,
    impulse_response as impulse_response,
    limit_cycle as limit_cycle,
    steady_state_variance as steady_state_variance,
)
from momentum_jax.theory.summary import Summary as Summary, summary as summary
from momentum_jax.theory.systems import System as System
from momentum_jax.theory.tuning import critical_damping as critical_damping, tune as tune
from momentum_jax.theory.tunings import Tuning as Tuning
