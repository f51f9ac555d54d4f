"""Many methods of one constructor are read as each by itself."""

import jax.numpy as jnp
import numpy as np
import pytest

import momentum_jax as mj
from momentum_jax import theory


def test_many_methods_of_a_constructor_are_read_as_each_by_itself():
    momenta = np.array([[0.0], [0.9]])
    for make in (mj.nesterov, lambda learning_rate, momentum: mj.pid(learning_rate, momentum)):
        found = theory.linearize_all(make, learning_rate=0.1, momentum=momenta)
        for each, momentum in zip(found, momenta.ravel(), strict=True):
            alone = theory.linearize(make(0.1, momentum))
            np.testing.assert_allclose(each.F[-1], alone.F[-1], atol=1e-15)
            np.testing.assert_allclose(each.b[-1], alone.b[-1], atol=1e-15)
            np.testing.assert_allclose(theory.stability_limit(each), theory.stability_limit(alone), rtol=1e-12)


def test_many_methods_that_do_not_settle_are_refused():
    with pytest.raises(ValueError, match="still change"):
        theory.linearize_all(mj.fista, learning_rate=[0.1, 0.2])
    with pytest.raises(ValueError, match=r"at momentum=0.9999 the coefficients still change"):
        theory.linearize_all(lambda momentum: mj.ema_momentum(0.1, momentum, debias=True), momentum=[0.5, 0.9, 0.9999])

    def warmed(length):
        return mj.heavy_ball(lambda t: 0.1 * jnp.minimum(1, (t + 1) / length), 0.9)

    with pytest.raises(ValueError, match=r"at length=600 the coefficients still change"):
        theory.linearize_all(warmed, length=[5.0, 600.0])
    with pytest.raises(ValueError, match="hyperparameters must not be empty"):
        theory.linearize_all(mj.heavy_ball, learning_rate=[])
    with pytest.raises(theory.NotLinear):
        theory.linearize_all(mj.adam, learning_rate=[0.1, 0.2])
