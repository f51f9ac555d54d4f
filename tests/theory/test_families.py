"""Methods of one constructor at arrays of hyperparameters against each of them read by itself."""

from typing import Any

import numpy as np
import optax
import pytest

import momentum_jax as mj
from momentum_jax import theory
from momentum_jax.theory.families import family


def aggregated(learning_rate: Any, a: Any, b: Any) -> Any:
    return mj.aggregated_momentum(learning_rate, (0.0, a, b))


FAMILIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "heavy_ball": (mj.heavy_ball, {"learning_rate": [0.1, 0.2, 0.0], "momentum": [0.9, 0.0, 0.5]}),
    "nesterov": (mj.nesterov, {"learning_rate": [0.1, 0.2, 0.3], "momentum": [0.9, 0.1, 0.5]}),
    "quasi_hyperbolic_momentum": (
        mj.quasi_hyperbolic_momentum,
        {"learning_rate": [0.1, 0.2, 0.3], "momentum": [0.9, 0.0, 0.5], "nu": [0.0, 1.0, 0.7]},
    ),
    "triple_momentum": (mj.triple_momentum, {"strong_convexity": [1.0, 2.0, 3.0], "smoothness": [5.0, 9.0, 30.0]}),
    "pid": (mj.pid, {"learning_rate": [0.1, 0.2, 0.3], "momentum": [0.9, 0.4, 0.5], "derivative": [1.0, 0.0, 2.0]}),
    "aggregated": (aggregated, {"learning_rate": [0.1, 0.2, 0.3], "a": [0.9, 0.4, 0.5], "b": [0.99, 0.5, 0.0]}),
    "optax.sgd": (optax.sgd, {"learning_rate": [0.1, 0.2, 0.3], "momentum": [0.9, 0.4, 0.5]}),
}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("example", [0, 2])
def test_every_method_of_a_family_is_what_linearize_reads(name: str, example: int) -> None:
    """Whatever the point at which linearity was proven: there a coefficient may be 0."""
    constructor, points = FAMILIES[name]
    arrays = {each: np.array(values) for each, values in points.items()}
    found = family(constructor, {each: float(values[example]) for each, values in arrays.items()}).at(arrays)
    for i in (0, 1):
        read = theory.linearize(constructor(**{each: float(values[i]) for each, values in arrays.items()}))
        whole = theory.Dynamics(
            found.F[i, None], found.b[i, None], found.c_iterate[i, None], found.start[i], 0, 1, ("",) * len(found.b[i])
        )
        for length in ("update", "iterate"):
            np.testing.assert_allclose(
                theory.impulse_response(whole, 12, of=length),
                theory.impulse_response(read, 12, at=read.settled or 0, of=length),
                atol=1e-13,
            )
        # What is left out was not seen.
        small = found.pruned()
        kept = theory.Dynamics(
            small.F[i, None], small.b[i, None], small.c_iterate[i, None], small.start[i], 0, 1, ("",) * len(small.b[i])
        )
        np.testing.assert_allclose(theory.rate(kept, [0.5, 3.0]), theory.rate(read, [0.5, 3.0]), atol=1e-7)


def test_an_entry_that_nothing_reads_is_pruned() -> None:
    constructor, points = FAMILIES["aggregated"]
    found = family(constructor, {"learning_rate": 0.1, "a": 0.9, "b": 0.99}).at({k: np.array(v) for k, v in points.items()})
    assert found.F.shape == (3, 4, 4)
    assert found.pruned().F.shape == (3, 3, 3)


def test_polynomials_of_many_are_those_of_each() -> None:
    constructor, points = FAMILIES["pid"]
    found = family(constructor, {"learning_rate": 0.1, "momentum": 0.9, "derivative": 1.0}).at(
        {k: np.array(v) for k, v in points.items()}
    )
    p, q = found.polynomials()
    for i in range(3):
        np.testing.assert_allclose(p[i], np.poly(found.F[i]), atol=1e-12)
        closed = np.poly(found.F[i] + 2.0 * np.outer(found.b[i], found.c_held[i]))
        np.testing.assert_allclose(p[i] - 2.0 * q[i], closed, atol=1e-12)
    # The filters of PID share their root, and the last gradient cancels one of the parameter.
    alone = found.minimal()
    assert alone.F.shape == (3, 2, 2)
    for i in range(3):
        mine = np.abs(np.linalg.eigvals(alone.closed_loop(np.array([2.0]))[i, 0])).max()
        read = mj.pid(**{k: v[i] for k, v in points.items()})
        assert mine == pytest.approx(float(theory.rate(read, 2.0)), abs=1e-7)


def test_many_methods_are_read_whatever_the_first_point() -> None:
    found = theory.linearize_all(mj.heavy_ball, learning_rate=[0.0, 0.1], momentum=0.5)
    assert theory.stability_limit(found[1]) == pytest.approx(30.0)
    assert found[1].names == ("params", "velocity")
