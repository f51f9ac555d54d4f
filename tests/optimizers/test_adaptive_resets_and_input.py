"""What a reset makes each adaptive relative forget, and what NAdam and MoMo answer to bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from adaptive_problems import START, Parabola
from oracles import assert_same_path, descend

import momentum_jax as mj
from momentum_jax.optimizers.learning_rate import ScaleByLearningRateState
from momentum_jax.optimizers.weight_decay import AddWeightDecayState

LINKS = (ScaleByLearningRateState, AddWeightDecayState)

FORGOTTEN = {
    "quasi_hyperbolic_adam": {"momentum_step", "first_moment", "log_product1"},
    "nadam": {"momentum_step", "first_moment", "log_product1"},
    "adan": {"momentum_step", "first_moment", "difference", "log_product1", "log_product2"},
    "laprop": {"momentum_step", "first_moment", "average_rate"},
    "ademamix": {"momentum_step", "first_moment", "slow_moment", "log_product1"},
    "simplified_ademamix": {"momentum_step", "first_moment"},
    "demon": {"step", "velocity"},
    "mars": {"momentum_step", "first_moment", "log_product1"},
    "momo": {"momentum_step", "first_moment", "average_loss", "average_product"},
    "yellowfin": {"velocity"},
}


@pytest.mark.parametrize("name", FORGOTTEN)
def test_a_reset_forgets_the_momentum_and_nothing_else(name: str, parabola: Parabola) -> None:
    options = {"total_steps": 100} if name == "demon" else {}
    state = descend(getattr(mj, name)(0.01, **options), parabola.gradient, START, 5, value=parabola.loss).states[-1]
    # The links that only scale keep their place in the schedule.
    links = [s for s in (state if type(state) is tuple else (state,)) if not isinstance(s, LINKS)]
    for link in jax.tree.leaves(links, is_leaf=lambda s: hasattr(s, "_fields")):
        reset = mj.reset_momentum(link)
        for field in link._fields:
            for before, after in zip(
                jax.tree.leaves(getattr(link, field)), jax.tree.leaves(getattr(reset, field)), strict=True
            ):
                assert np.any(before)
                np.testing.assert_array_equal(after, np.zeros_like(before) if field in FORGOTTEN[name] else before)


def test_momo_starts_its_averages_anew_after_a_reset(parabola: Parabola) -> None:
    run = descend(mj.momo(), parabola.gradient, START, 10, value=parabola.loss)
    reset = mj.reset_momentum(run.states[-1])
    assert int(reset.step) == 10
    again = descend(mj.momo(), parabola.gradient, run.held[-1], 5, state=reset, value=parabola.loss).held
    assert_same_path(again, descend(mj.momo(), parabola.gradient, run.held[-1], 5, value=parabola.loss).held)


def test_nadam_refuses_a_decay_that_its_variant_would_not_read() -> None:
    with pytest.raises(
        ValueError, match=r"^nadam: variant='keras' has a momentum_decay of its own, got momentum_decay=1\.0\.$"
    ):
        mj.nadam(0.1, momentum_decay=1.0, variant="keras")
    with pytest.raises(ValueError, match=r"^nadam: variant must be 'torch', 'keras' or 'optax', got 'jax'\.$"):
        mj.nadam(0.1, variant="jax")
    with pytest.raises(TypeError, match=r"^nadam: variant must be 'torch', 'keras' or 'optax', got None \(NoneType\)\.$"):
        mj.nadam(0.1, variant=None)


def test_momo_without_a_loss_says_how_to_hand_it_one() -> None:
    optimizer, params = mj.momo(), {"w": jnp.ones(2)}
    state = optimizer.init(params)
    with pytest.raises(
        ValueError, match=r"^momo: value must be the loss .* call update\(gradients, state, params, value=loss\)\.$"
    ):
        optimizer.update(params, state, params)
    with pytest.raises(
        ValueError, match=r"^momo: the parameters are needed: call update\(gradients, state, params, value=loss\)\.$"
    ):
        optimizer.update(params, state, value=1.0)
    for value in (jnp.ones(2), 1j, True):
        with pytest.raises(TypeError, match=r"^momo: value must be the loss at params, a real number, got an array of "):
            optimizer.update(params, state, params, value=value)
    for value in ("x", [1.0, [2.0]], object()):
        found = rf"got {type(value).__name__}\.$"
        with pytest.raises(TypeError, match=rf"^momo: value must be the loss at params, a real number, {found}"):
            optimizer.update(params, state, params, value=value)
