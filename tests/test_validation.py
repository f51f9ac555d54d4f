"""Arguments are checked when the optimizer is built; the message says who, which argument, what is allowed, what came."""

import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contract_rows import ROWS
from contract_rows.row import FROM_ONE, HALF_LINE, LINE, POSITIVE, POSITIVE_SHARE, SHARE, Row
from decays_of_averages import averages_of

import momentum_jax as mj

BUILT_HERE = [(row, name) for row in ROWS if not row.wraps for name in row.numbers]
every_number = pytest.mark.parametrize(("row", "name"), BUILT_HERE, ids=lambda x: getattr(x, "id", x))
DECAY = "in [0, 1)"
USUAL: dict[str, str] = dict.fromkeys(
    ("learning_rate", "eps", "weight_decay", "initial_accumulator", "c", "w", "trust_coefficient"), HALF_LINE
)
NOWHERE = [math.nan, math.inf, -math.inf, np.float32("nan")]
NEGATIVE = [-0.1, -1, np.array(-1.0)]
REFUSED = {
    HALF_LINE: NEGATIVE,
    LINE: [],
    SHARE: [*NEGATIVE, 1.5],
    DECAY: [*NEGATIVE, 1, 1.0, 1.5],
    POSITIVE: [*NEGATIVE, 0, 0.0],
    POSITIVE_SHARE: [*NEGATIVE, 0, 0.0, 1.5],
    FROM_ONE: [*NEGATIVE, 0, 0.9],
}
TAKEN = {
    HALF_LINE: [0, 0.5, 100],
    LINE: [-100, 0, 0.5, 100],
    SHARE: [0, 0.5, 1, 1.0],
    DECAY: [0.5, np.nextafter(1, 0)],
    POSITIVE: [0.5, 100],
    POSITIVE_SHARE: [0.5, 1, 1.0],
    FROM_ONE: [1, 100],
}


def allowed(row: Row, name: str) -> str:
    return row.allowed[name] if name in row.allowed else USUAL.get(name, DECAY)


@every_number
def test_a_number_out_of_range_is_refused_and_one_within_is_taken(row: Row, name: str) -> None:
    who, what = row.id.split("-")[0], allowed(row, name)
    for value in [*NOWHERE, *REFUSED[what]]:
        with pytest.raises(ValueError, match=rf"^{who}: {name} must be {re.escape(what)}, got {value}\.$"):
            row.build(**{name: value})
    if name not in row.related:
        for value in TAKEN[what]:
            row.build(**{name: value})


WRONG_TYPES = [True, "0.9", 0.5 + 0j, [0.9], np.ones(2), jnp.float32, jnp.ones(2), jnp.asarray(True), jnp.asarray(1j)]


def none_is_allowed(row: Row, name: str) -> bool:
    """Whether None means no buffer."""
    return name == "momentum" and row.file in ("rmsprop", "sgd") and not row.id.startswith("scale_by")


@pytest.mark.parametrize(
    ("row", "name"), [each for each in BUILT_HERE if not none_is_allowed(*each)], ids=lambda x: getattr(x, "id", x)
)
def test_none_is_refused(row: Row, name: str) -> None:
    with pytest.raises(TypeError, match=rf"{name} must be a number(,| or) a 0-d array"):
        row.build(**{name: None})


@every_number
def test_a_value_of_the_wrong_type_is_refused(row: Row, name: str) -> None:
    for value in WRONG_TYPES:
        with pytest.raises(TypeError, match=rf"{name} must be a number(,| or) a 0-d array"):
            row.build(**{name: value})


@every_number
def test_zero_an_int_and_arrays_of_any_value_are_allowed(row: Row, name: str) -> None:
    if not row.structure.get("nesterov") and 0 not in REFUSED[allowed(row, name)] and name not in row.related:
        row.build(**{name: 0})
    row.build(**{name: np.array(row.numbers[name])})
    if name not in averages_of(row):
        row.build(**{name: np.asarray(row.numbers[name] * 0.99, jnp.bfloat16)[()]})
    row.build(**{name: jnp.asarray(7.0)})
    jax.eval_shape(lambda v: row.build(**{name: v}).init({"w": jnp.ones(2)}), 3.0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: mj.heavy_ball(0.1, 1.5), "heavy_ball: momentum must be in [0, 1), got 1.5."),
        (lambda: mj.sgd(0.1, nesterov=True), "sgd: nesterov=True needs momentum above 0, got momentum=0.0."),
        (lambda: mj.sgd(0.1, None, nesterov=True), "sgd: nesterov=True needs momentum above 0, got momentum=None."),
        (lambda: mj.sgd(0.1, 0.9, nesterov=True, dampening=0.5), "sgd: nesterov=True needs dampening 0, got dampening=0.5."),
        (lambda: mj.rmsprop(0.1, nesterov=True), "rmsprop: nesterov=True needs momentum above 0, got momentum=0.0."),
        (lambda: mj.scale_by_sgd(0.0, nesterov=True), "scale_by_sgd: nesterov=True needs momentum above 0, got momentum=0.0."),
    ],
)
def test_contradictory_options_and_the_house_form_of_a_message(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        build()


def test_a_flag_must_be_a_bool() -> None:
    with pytest.raises(TypeError, match=r"^sgd: nesterov must be True or False, got 1 \(int\)\.$"):
        mj.sgd(0.1, 0.9, nesterov=1)  # pyright: ignore[reportArgumentType]


def test_wrong_arguments_are_answered_with_the_right_ones() -> None:
    with pytest.raises(TypeError, match=r"^heavy_ball: .*'beta'; its arguments are \(learning_rate, momentum=0\.9"):
        mj.heavy_ball(0.1, beta=0.9)  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize("optimizer", [mj.adamw(0.1), mj.sgd(0.1, weight_decay=0.1), mj.add_weight_decay(0.1)])
def test_weight_decay_without_parameters_says_what_is_missing(optimizer: Any) -> None:
    g = {"w": jnp.ones(2)}
    with pytest.raises(ValueError, match=r"weight_decay needs the parameters: call update\(gradients, state, params\)"):
        optimizer.update(g, optimizer.init(g))
