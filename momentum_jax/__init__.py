"""momentum_jax: every momentum method as an Optax gradient transformation, the experiment, and the theory.

    import momentum_jax as mj

    optimizer = mj.nesterov(0.01, momentum=mj.schedules.linear(0.5, 0.9, steps=1000))
    opt_state = optimizer.init(params)
    updates, opt_state = optimizer.update(gradients, opt_state, params)

Every real-valued hyperparameter is a number, a 0-d array (traced too) or a schedule `step -> value`.

An update has the dtype of its parameter. `optax.apply_if_finite`, `conditionally_mask` and `conditionally_transform` ask for
that of its gradient. Around bfloat16 parameters with float32 gradients they fail with "cond branches must have equal output
types", as they do around most of Optax's own optimizers. Cast the gradients, `optax.tree.cast_like(gradients, params)`. Or
give `update` no parameters where the optimizer needs none: its updates then have the dtype of the gradients.
"""

import ast
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from momentum_jax import (
        conventions as conventions,
        curvature as curvature,
        descent as descent,
        landscapes as landscapes,
        schedules as schedules,
        smoothing as smoothing,
        spectra as spectra,
        theory as theory,
    )
    from momentum_jax.optimizers._axes import Matrix as Matrix
    from momentum_jax.optimizers.accelerated_sgd import (
        accelerated_sgd as accelerated_sgd,
        scale_by_accelerated_sgd as scale_by_accelerated_sgd,
    )
    from momentum_jax.optimizers.adadelta import adadelta as adadelta, scale_by_adadelta as scale_by_adadelta
    from momentum_jax.optimizers.adagrad import adagrad as adagrad, scale_by_adagrad as scale_by_adagrad
    from momentum_jax.optimizers.adam import adam as adam, adamw as adamw, scale_by_adam as scale_by_adam
    from momentum_jax.optimizers.adamuon import adamuon as adamuon, scale_by_adamuon as scale_by_adamuon
    from momentum_jax.optimizers.adan import adan as adan
    from momentum_jax.optimizers.adaptive_restart import adaptive_restart as adaptive_restart
    from momentum_jax.optimizers.ademamix import ademamix as ademamix, scale_by_ademamix as scale_by_ademamix
    from momentum_jax.optimizers.aggregated_momentum import (
        aggregated_momentum as aggregated_momentum,
        scale_by_aggregated_momentum as scale_by_aggregated_momentum,
    )
    from momentum_jax.optimizers.averaged import averaged as averaged
    from momentum_jax.optimizers.cautious import cautious as cautious
    from momentum_jax.optimizers.cautious_weight_decay import cautious_weight_decay as cautious_weight_decay
    from momentum_jax.optimizers.demon import demon as demon
    from momentum_jax.optimizers.dion import dion as dion, scale_by_dion as scale_by_dion
    from momentum_jax.optimizers.ema_momentum import (
        ema_momentum as ema_momentum,
        scale_by_ema_momentum as scale_by_ema_momentum,
    )
    from momentum_jax.optimizers.ema_nesterov import (
        ema_nesterov as ema_nesterov,
        scale_by_ema_nesterov as scale_by_ema_nesterov,
    )
    from momentum_jax.optimizers.fista import fista as fista, scale_by_fista as scale_by_fista
    from momentum_jax.optimizers.gpa import gpa as gpa
    from momentum_jax.optimizers.gradient_descent import gradient_descent as gradient_descent
    from momentum_jax.optimizers.grokfast import grokfast as grokfast
    from momentum_jax.optimizers.heavy_ball import heavy_ball as heavy_ball, scale_by_heavy_ball as scale_by_heavy_ball
    from momentum_jax.optimizers.laprop import laprop as laprop
    from momentum_jax.optimizers.lars import lars as lars
    from momentum_jax.optimizers.learning_rate import scale_by_learning_rate as scale_by_learning_rate
    from momentum_jax.optimizers.mars import mars as mars, scale_by_mars as scale_by_mars
    from momentum_jax.optimizers.momentum_correction import momentum_correction as momentum_correction
    from momentum_jax.optimizers.momo import momo as momo
    from momentum_jax.optimizers.muon import muon as muon, scale_by_muon as scale_by_muon
    from momentum_jax.optimizers.nadam import nadam as nadam, scale_by_nadam as scale_by_nadam
    from momentum_jax.optimizers.nesterov import nesterov as nesterov, scale_by_nesterov as scale_by_nesterov
    from momentum_jax.optimizers.nigt import nigt as nigt
    from momentum_jax.optimizers.normalized_momentum import normalized_momentum as normalized_momentum
    from momentum_jax.optimizers.normuon import normuon as normuon, scale_by_normuon as scale_by_normuon
    from momentum_jax.optimizers.optimistic import optimistic as optimistic
    from momentum_jax.optimizers.per_layer import per_layer as per_layer
    from momentum_jax.optimizers.pid import pid as pid, scale_by_pid as scale_by_pid
    from momentum_jax.optimizers.qk_clip import qk_clip as qk_clip
    from momentum_jax.optimizers.quantized_state import quantized_state as quantized_state
    from momentum_jax.optimizers.quasi_hyperbolic_adam import (
        quasi_hyperbolic_adam as quasi_hyperbolic_adam,
        scale_by_quasi_hyperbolic_adam as scale_by_quasi_hyperbolic_adam,
    )
    from momentum_jax.optimizers.quasi_hyperbolic_momentum import (
        quasi_hyperbolic_momentum as quasi_hyperbolic_momentum,
        scale_by_quasi_hyperbolic_momentum as scale_by_quasi_hyperbolic_momentum,
    )
    from momentum_jax.optimizers.rmsprop import rmsprop as rmsprop, scale_by_rmsprop as scale_by_rmsprop
    from momentum_jax.optimizers.robust_momentum import robust_momentum as robust_momentum
    from momentum_jax.optimizers.scion import scale_by_scion as scale_by_scion, scion as scion
    from momentum_jax.optimizers.sgd import scale_by_sgd as scale_by_sgd, sgd as sgd
    from momentum_jax.optimizers.simplified_ademamix import (
        scale_by_simplified_ademamix as scale_by_simplified_ademamix,
        simplified_ademamix as simplified_ademamix,
    )
    from momentum_jax.optimizers.soap import scale_by_soap as scale_by_soap, soap as soap
    from momentum_jax.optimizers.state_space_momentum import state_space_momentum as state_space_momentum
    from momentum_jax.optimizers.storm import storm as storm
    from momentum_jax.optimizers.triple_momentum import triple_momentum as triple_momentum
    from momentum_jax.optimizers.weight_decay import add_weight_decay as add_weight_decay
    from momentum_jax.optimizers.yellowfin import yellowfin as yellowfin
    from momentum_jax.protocol import (
        evaluation_params as evaluation_params,
        hyperparameters as hyperparameters,
        reset_momentum as reset_momentum,
    )

if TYPE_CHECKING:
    # What needs more than JAX, Optax and NumPy: `from momentum_jax import *` leaves it out.
    from momentum_jax import (
        data as data,
        figures as figures,
        problems as problems,
        report as report,
        studies as studies,
        textbook as textbook,
        training as training,
    )

__version__ = "0.1.0"


def _homes() -> tuple[dict[str, str], dict[str, str]]:
    """By name the module that each block above imports it from: they are read here, and not written twice."""
    source = __spec__.loader.get_source(__name__)  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    blocks = [node.body for node in ast.parse(source).body if isinstance(node, ast.If)]
    face, wings = (
        {alias.name: node.module or "" for node in body if isinstance(node, ast.ImportFrom) for alias in node.names}
        for body in blocks[:2]
    )
    return face, wings


_FACE, _WINGS = _homes()
__all__ = [*_FACE]  # noqa: PLE0604  # pyright: ignore[reportUnsupportedDunderAll]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """What the face offers is imported when it is first asked for: JAX takes a second, and not every command needs it."""
        home = {**_FACE, **_WINGS}.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = (
            importlib.import_module(f"{__name__}.{name}") if home == __name__ else getattr(importlib.import_module(home), name)
        )
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({"__version__", *_FACE, *_WINGS})
