"""`from_torch` and `from_keras` build the optimizers that those frameworks have, or say which setting is wrong."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from convention_methods import BOTH, assert_goes_along, momentum, rate
from oracles import Problems, assert_same_path, descend, peer_file

import momentum_jax as mj
from momentum_jax.conventions import (
    from_keras,
    from_torch,
)

TORCH_NAMES = {
    "sgd": "SGD",
    "momentum": "SGD",
    "dampening": "SGD",
    "ema_dampening": "SGD",
    "nesterov": "SGD",
    "rmsprop": "RMSprop",
}
TORCH_NAMES |= {
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
    "adam": "Adam",
    "amsgrad": "Adam",
    "adamw": "AdamW",
    "nadam": "NAdam",
}
KERAS_NAMES = {"momentum": "sgd", "nesterov": "sgd", "rmsprop": "rm_sprop", "amsgrad": "adam", "adamw": "adam_w"}
# Centred paths amplify rounding (tests/optimizers/test_trajectories.py); schedules and Goyal's recipe are not in a dict.
SKIPPED = ("sched", "centered", "goyal", "both")


def class_of(name: str, names: dict[str, str]) -> str:
    root = max((n for n in names if name.startswith(n)), key=len, default=name.split("_")[0])
    return names.get(root, root)


def recorded(peer: str) -> list[tuple[str, str]]:
    files = (peer, f"conventions/{peer}")
    return [(f, n) for f in files for n in peer_file(f)[0]["trajectories"] if not any(word in n for word in SKIPPED)]


@pytest.mark.parametrize(("file", "name"), recorded("torch"))
def test_from_torch_builds_what_went_along_pytorchs_trajectory(file: str, name: str, problem: Problems) -> None:
    about, arrays = peer_file(file)
    given = dict(about["trajectories"][name]["hyperparameters"])
    optimizer = from_torch(given, optimizer=given.pop("optimizer", None) or class_of(name, TORCH_NAMES))
    assert_goes_along(optimizer, arrays, name, problem)


@pytest.mark.parametrize(("file", "name"), recorded("keras"))
def test_from_keras_builds_what_went_along_keras_trajectory(file: str, name: str, problem: Problems) -> None:
    about, arrays = peer_file(file)
    given = {"name": class_of(name, KERAS_NAMES), **about["trajectories"][name]["hyperparameters"]}
    given.setdefault("beta_2", 0.9 if "amsgrad" in name else 0.999) if "adam" in given["name"] else None
    assert_goes_along(from_keras(given), arrays, name, problem)


def test_a_schedule_may_stand_in_the_dict(problem: Problems) -> None:
    for name, nesterov in BOTH.items():
        group = {"lr": rate, "momentum": momentum, "nesterov": nesterov}
        assert_goes_along(from_torch(group, optimizer="SGD"), peer_file("conventions/torch")[1], name, problem)
        config = {"name": "sgd", "learning_rate": rate, "momentum": momentum, "nesterov": nesterov}
        assert_goes_along(from_keras(config), peer_file("conventions/keras")[1], name, problem)
    group = {"lr": rate, "momentum": momentum, "dampening": 0.5}
    assert_goes_along(from_torch(group), peer_file("conventions/torch")[1], "dampening_both", problem)


def from_zero(t: Any) -> Any:
    return jnp.minimum(t / 10, 0.9)


SWITCHES = {"maximize": False, "foreach": None, "differentiable": False}
GROUPS = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "dampening": 0, "weight_decay": 0, "nesterov": True, **SWITCHES, "fused": None},
    "RMSprop": {"lr": 0.01, "momentum": 0, "alpha": 0.99, "eps": 1e-8, "centered": False, "weight_decay": 0, **SWITCHES,
                "capturable": False},
    "Adam": {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "amsgrad": False, **SWITCHES,
             "capturable": False, "fused": None, "decoupled_weight_decay": False},
    "AdamW": {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01, "amsgrad": False, **SWITCHES,
              "capturable": False, "fused": None, "decoupled_weight_decay": True},
    "Adagrad": {"lr": 0.01, "lr_decay": 0, "eps": 1e-10, "weight_decay": 0, "initial_accumulator_value": 0, **SWITCHES,
                "fused": None},
    "Adadelta": {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0, **SWITCHES, "capturable": False},
    "NAdam": {"lr": 0.002, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "momentum_decay": 0.004,
              "decoupled_weight_decay": False, **SWITCHES, "capturable": False},
}  # fmt: skip
# Groups of classes that are not translated, as PyTorch 2.13 makes them.
FOREIGN = {
    "Muon": {"lr": 0.001, "weight_decay": 0.1, "momentum": 0.95, "nesterov": True, "ns_coefficients": (3.4445, -4.775, 2.0315),
             "eps": 1e-7, "ns_steps": 5, "adjust_lr_fn": None},
    "Adafactor": {"lr": 0.01, "beta2_decay": -0.8, "eps": (None, 0.001), "d": 1.0, "weight_decay": 0.0, "foreach": None,
                  "maximize": False},
    "LBFGS": {"lr": 1, "max_iter": 20, "max_eval": 25, "tolerance_grad": 1e-7, "tolerance_change": 1e-9, "history_size": 100,
              "line_search_fn": None},
    "SparseAdam": {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-8, "maximize": False},
}  # fmt: skip
SAME = {
    "SGD": mj.sgd(0.1, 0.9, nesterov=True),
    "RMSprop": mj.rmsprop(0.01, 0.99),
    "Adam": mj.adam(0.001),
    "AdamW": mj.adamw(0.001, weight_decay=0.01),
    "Adagrad": mj.adagrad(0.01),
    "Adadelta": mj.adadelta(1.0, 0.9),
    "NAdam": mj.nadam(0.002),
}


@pytest.mark.parametrize("name", GROUPS)
def test_the_class_of_a_whole_param_group_is_found_from_its_settings(name: str, problem: Problems) -> None:
    group = {"params": [object()], "initial_lr": 0.5, **GROUPS[name]}
    expected = descend(SAME[name], problem.quad, problem.theta0, 10).held
    for optimizer in (from_torch(group), from_torch(group, optimizer=name), from_torch(name, group)):
        np.testing.assert_array_equal(descend(optimizer, problem.quad, problem.theta0, 10).held, expected)


def test_lr_momentum_and_nesterov_alone_are_sgds_and_not_muons(problem: Problems) -> None:
    optimizer = from_torch({"lr": 0.1, "momentum": 0.9, "nesterov": True})
    expected = descend(SAME["SGD"], problem.quad, problem.theta0, 5).held
    np.testing.assert_array_equal(descend(optimizer, problem.quad, problem.theta0, 5).held, expected)


def test_what_schedulers_add_to_a_group_is_passed_over(problem: Problems) -> None:
    expected = descend(SAME["SGD"], problem.quad, problem.theta0, 5).held
    one_cycle = {"initial_lr": 4e-3, "max_lr": 0.1, "min_lr": 4e-7, "base_momentum": 0.85, "max_momentum": 0.95}
    for added in (one_cycle, {"swa_lr": 0.05}):
        for optimizer in (from_torch(GROUPS["SGD"] | added), from_torch(GROUPS["SGD"] | added, optimizer="SGD")):
            np.testing.assert_array_equal(descend(optimizer, problem.quad, problem.theta0, 5).held, expected)


@pytest.mark.parametrize(("name", "decay"), [("Adam", 0.0), ("AdamW", 0.01)])
def test_a_switch_of_adam_does_not_change_the_default_of_the_class_that_was_named(
    name: str, decay: float, problem: Problems
) -> None:
    optimizer = from_torch({"lr": 0.05, "decoupled_weight_decay": True}, optimizer=name)
    expected = descend(mj.adamw(0.05, weight_decay=decay), problem.quad, problem.theta0, 5).held
    np.testing.assert_array_equal(descend(optimizer, problem.quad, problem.theta0, 5).held, expected)


def test_a_schedule_of_kerass_epsilon_is_corrected_at_its_step(problem: Problems) -> None:
    optimizer = from_keras({"name": "adam", "learning_rate": 0.05, "epsilon": lambda t: 0.1 / (1.0 + t)})
    x, m, v = problem.theta0, 0.0, 0.0
    points = [x]
    for t in range(10):
        g = problem.seq(t, x)
        m, v = m + 0.1 * (g - m), v + 0.001 * (g * g - v)
        alpha = 0.05 * np.sqrt(1 - 0.999 ** (t + 1)) / (1 - 0.9 ** (t + 1))
        x = x - alpha * m / (np.sqrt(v) + 0.1 / (1.0 + t))
        points.append(x)
    assert_same_path(descend(optimizer, problem.seq, problem.theta0, 10).held, np.array(points))


@pytest.mark.parametrize(
    ("group", "options", "message"),
    [
        ({"lr": 0.1, "momentum": 0.9}, {}, "SGD and RMSprop have the settings lr, momentum; give the name as optimizer=."),
        (
            {"lr": 0.1, "betas": (0.9, 0.99)},
            {},
            "Adam, AdamW and NAdam have the settings betas, lr (RAdam, Adamax and SparseAdam, too, but cannot be translated);",
        ),
        ({"lr": 0.1, "beta": 1}, {}, "no optimizer of PyTorch has the setting 'beta'; leave it out."),
        ({**GROUPS["SGD"], "params": [], "name": "layer1"}, {}, "has the setting 'name'; leave it out."),
        ({"lr": 0.1, "name": "layer1", 3: 1}, {}, "has the settings 'name' and 3; leave them out."),
        (
            {"betas": (0.9, 0.999), "momentum": 0.9},
            {},
            "no optimizer of PyTorch has all of the settings betas, momentum; give those of one class.",
        ),
        (FOREIGN["Muon"], {}, "Muon is not translated; momentum_jax.muon has settings of its own."),
        (FOREIGN["Muon"], {"optimizer": "Muon"}, "Muon is not translated; momentum_jax.muon has settings of its own."),
        (FOREIGN["Adafactor"], {}, "Adafactor is not translated; Optax has optax.adafactor."),
        (FOREIGN["Adafactor"], {"optimizer": "Adafactor"}, "Adafactor is not translated; Optax has optax.adafactor."),
        (FOREIGN["LBFGS"], {}, "LBFGS is not translated; Optax has optax.lbfgs."),
        (FOREIGN["LBFGS"], {"optimizer": "LBFGS"}, "LBFGS is not translated; Optax has optax.lbfgs."),
        (
            FOREIGN["SparseAdam"],
            {},
            "Adam, AdamW and NAdam have the settings betas, eps, lr (RAdam, Adamax and SparseAdam, too, but cannot be",
        ),
        (FOREIGN["SparseAdam"], {"optimizer": "SparseAdam"}, "SparseAdam is not translated; momentum_jax.adam is that of"),
        ({"lr": 0.1, "lambd": 1e-4}, {}, "ASGD is not translated."),
        ({"lr": 0.1, "alpha": 0.9, "weight_decay": 0}, {}, "RMSprop has the settings alpha, lr, weight_decay (ASGD, too, but"),
        ({}, {}, "as none is given: optimizer= one of SGD, RMSprop, Adam, AdamW, Adagrad, Adadelta, NAdam."),
        ({"maximize": False}, {}, "the settings must name their class, as none is given: optimizer= one of SGD"),
        (
            {"lr": 0.1},
            {"optimizer": ["SGD"]},
            "optimizer must be one of SGD, RMSprop, Adam, AdamW, Adagrad, Adadelta, NAdam, got ['",
        ),
        ({"lr": 0.1}, {"optimizer": "RAdam"}, "RAdam is not translated; Optax has optax.radam."),
        ({"lr": 0.1, "rho": 1}, {"optimizer": "SGD"}, "SGD has no setting 'rho'; its settings are lr, momentum, dampening"),
        ({"lr": 0.1}, {"optimizer": "sgd"}, "optimizer must be one of SGD, RMSprop, Adam, AdamW, Adagrad, Adadelta"),
        ({"lr": 0.1, "etas": (0.5, 1.2)}, {}, "Rprop is not translated; Optax has optax.rprop."),
        ({"lr": -0.1, "nesterov": False}, {}, "from_torch: lr must be finite and at least 0, got -0.1."),
        ({"lr": 0.1, "nesterov": True}, {}, "from_torch: nesterov=True needs momentum above 0, got momentum=0.0."),
        ({"lr": 0.1, "betas": (0.9, 1.0)}, {"optimizer": "Adam"}, "from_torch: betas[1] must be in [0, 1), got 1.0."),
        ({"lr": 0.1, "lr_decay": -1}, {}, "from_torch: lr_decay must be finite and at least 0, got -1.0."),
        (
            {"betas": (momentum, 0.9)},
            {"optimizer": "Adam"},
            "from_torch: betas of Adam must be constant, for there its averages",
        ),
        ({"betas": (0.9, momentum)}, {"optimizer": "AdamW"}, "momentum_jax.adamw corrects schedules exactly."),
        ({"momentum_decay": momentum}, {"optimizer": "NAdam"}, "from_torch: momentum_decay of NAdam must be constant"),
        ({"momentum": from_zero}, {"optimizer": "SGD"}, "momentum of SGD must not be 0 at step 0 and above it at step 1"),
        ({"momentum": from_zero}, {"optimizer": "RMSprop"}, "momentum of RMSprop must not be 0 at step 0 and above it at"),
        ({"lr": 0.1, "lr_decay": float("nan")}, {}, "from_torch: lr_decay must be finite and at least 0, got nan."),
    ],
)
def test_a_param_group_that_cannot_be_built_says_why(group: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"^from_torch: ") as caught:
        from_torch(group, **options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "setting", "wrong"),
    [
        ("SGD", "nesterov", "no"),
        ("SGD", "maximize", "no"),
        ("SGD", "lr", "0.1"),
        ("Adagrad", "lr_decay", "a"),
        ("Adagrad", "lr_decay", None),
        ("Adam", "betas", 0.9),
        ("Adam", "betas", (0.9,)),
        ("Adam", "betas", ("a", 0.9)),
        ("Adam", "decoupled_weight_decay", "no"),
        ("NAdam", "decoupled_weight_decay", "no"),
        ("AdamW", "eps", None),
    ],
)
def test_a_setting_of_pytorch_of_the_wrong_type_is_named_as_pytorch_names_it(name: str, setting: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match=rf"^from_torch: {setting}(\[0\])? must be "):
        from_torch({**GROUPS[name], setting: wrong}, optimizer=name)


def test_booleans_of_numpy_are_booleans(problem: Problems) -> None:
    expected = descend(mj.sgd(0.1, 0.9, nesterov=True), problem.quad, problem.theta0, 5).held
    group = {**GROUPS["SGD"], "nesterov": np.True_, "maximize": np.False_}
    np.testing.assert_array_equal(descend(from_torch(group), problem.quad, problem.theta0, 5).held, expected)
    config = keras_config(nesterov=np.False_, use_ema=np.False_, loss_scale_factor=np.float64(1.0))
    expected = descend(mj.heavy_ball(0.01, 0.9), problem.quad, problem.theta0, 5).held
    np.testing.assert_array_equal(descend(from_keras(config), problem.quad, problem.theta0, 5).held, expected)


def ascends_by_sgd(x: np.ndarray, gradient: Any) -> np.ndarray:
    """torch.optim.SGD(lr=0.02, momentum=0.9, weight_decay=0.1, nesterov=True, maximize=True)."""
    b = np.zeros_like(x)
    points = [x]
    for t in range(20):
        g = -gradient(t, x)
        g = g + 0.1 * x
        b = 0.9 * b + g
        x = x - 0.02 * (g + 0.9 * b)
        points.append(x)
    return np.array(points)


def ascends_by_adam(decoupled: bool) -> Callable[..., np.ndarray]:
    def run(x: np.ndarray, gradient: Any) -> np.ndarray:
        """torch.optim.Adam or AdamW(lr=0.02, weight_decay=0.1, maximize=True)."""
        m = v = np.zeros_like(x)
        points = [x]
        for t in range(20):
            g = -gradient(t, x)
            if decoupled:
                x = x * (1 - 0.02 * 0.1)
            else:
                g = g + 0.1 * x
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            x = x - 0.02 * (m / (1 - 0.9 ** (t + 1))) / (np.sqrt(v / (1 - 0.999 ** (t + 1))) + 1e-8)
            points.append(x)
        return np.array(points)

    return run


@pytest.mark.parametrize(
    ("group", "name", "oracle"),
    [
        ({"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True}, "SGD", ascends_by_sgd),
        ({"lr": 0.02, "weight_decay": 0.1}, "Adam", ascends_by_adam(decoupled=False)),
        ({"lr": 0.02, "weight_decay": 0.1}, "AdamW", ascends_by_adam(decoupled=True)),
    ],
)
@pytest.mark.parametrize("true", [True, np.True_])
def test_maximize_climbs_and_weight_decay_still_pulls_to_zero(
    group: Any, name: str, oracle: Any, true: Any, problem: Problems
) -> None:
    optimizer = from_torch({**group, "maximize": true}, optimizer=name)
    held = descend(optimizer, problem.seq, problem.theta0, 20).held
    assert_same_path(held, oracle(problem.theta0, problem.seq))


def keras_config(**changed: Any) -> dict[str, Any]:
    return {
        "name": "sgd_1", "learning_rate": 0.01, "weight_decay": None, "clipnorm": None, "global_clipnorm": None,
        "clipvalue": None, "use_ema": False, "ema_momentum": 0.99, "ema_overwrite_frequency": None, "loss_scale_factor": None,
        "gradient_accumulation_steps": None, "momentum": 0.9, "nesterov": False, **changed,
    }  # fmt: skip


def test_a_whole_keras_configuration_is_built(problem: Problems) -> None:
    expected = descend(mj.heavy_ball(0.01, 0.9), problem.quad, problem.theta0, 10).held
    for config in (keras_config(), keras_config(name="mine"), {"class_name": "SGD", "config": keras_config(name="mine")}):
        named = {"optimizer": "SGD"} if config.get("name") == "mine" else {}
        held = descend(from_keras(config, **named), problem.quad, problem.theta0, 10).held
        np.testing.assert_array_equal(held, expected)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (keras_config(name="mine"), """'mine' names no optimizer; give optimizer= or a "name" of SGD, RMSprop, Adam"""),
        (keras_config(clipnorm=1.0), "clipnorm=1.0 of SGD is not translated; leave it out and clip each gradient"),
        (keras_config(use_ema=True), "use_ema=True of SGD is not translated"),
        (keras_config(gradient_accumulation_steps=4), "gradient_accumulation_steps=4 of SGD is not translated"),
        (keras_config(rho=0.9), "SGD has no setting 'rho'; its settings are learning_rate, weight_decay, momentum, nesterov."),
        (
            keras_config(learning_rate={"class_name": "CosineDecay"}),
            "learning_rate is Keras's schedule CosineDecay; put a function",
        ),
        (
            {"name": "adam", "beta_2": momentum},
            "beta_2 of Adam must be constant, for there its averages are corrected by powers",
        ),
        ({"name": "sgd", "momentum": from_zero}, "momentum of SGD must not be 0 at step 0 and above it at step 1"),
        ({"name": "adamw", "beta_1": momentum}, "beta_1 of AdamW must be constant"),
        ({"name": "nadam", "beta_1": momentum}, "beta_1 of NAdam must be constant"),
        ({"name": "lion"}, "from_keras: Lion is not translated; Optax has optax.lion."),
        ({"name": "adamax_2"}, "from_keras: Adamax is not translated; Optax has optax.adamax."),
        ({"name": "adam", "epsilon": -1}, "from_keras: epsilon must be finite and at least 0, got -1.0."),
        ({"name": "adam", "beta_1": 1.0}, "from_keras: beta_1 must be in [0, 1), got 1.0."),
        ({"name": "sgd", "learning_rate": -1}, "from_keras: learning_rate must be finite and at least 0, got -1.0."),
        (keras_config(use_ema=0), "use_ema=0 of SGD is not translated"),
    ],
)
def test_a_keras_configuration_that_cannot_be_built_says_why(config: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"^from_keras: ") as caught:
        from_keras(config)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adam", "adamw", "nadam", "adagrad", "adadelta"])
@pytest.mark.parametrize(
    ("setting", "wrong"), [("weight_decay", "a"), ("epsilon", None), ("epsilon", "a"), ("learning_rate", None)]
)
def test_a_setting_of_keras_of_the_wrong_type_is_named_as_keras_names_it(name: str, setting: str, wrong: Any) -> None:
    if (name, setting) == ("sgd", "epsilon"):
        setting, wrong = "nesterov", "no"
    with pytest.raises(TypeError, match=f"^from_keras: {setting} must be "):
        from_keras({"name": name, setting: wrong})


def test_what_is_not_a_dict_is_refused() -> None:
    with pytest.raises(TypeError, match="from_torch: the settings must be a dict, got list"):
        from_torch([{"lr": 0.1}])
    with pytest.raises(TypeError, match="from_keras: the settings must be a dict, got str"):
        from_keras("sgd")
    with pytest.raises(TypeError, match="give the name once"):
        from_torch("SGD")


def test_the_recorded_trajectories_name_their_peer_and_version() -> None:
    for peer in ("torch", "keras"):
        about, arrays = peer_file(f"conventions/{peer}")
        assert (about["peer"], about["version"][0].isdigit()) == (peer, True)
        assert all(array.dtype == np.float64 for array in arrays.values())
