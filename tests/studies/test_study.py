"""The specification: what it refuses, and that it survives JSON."""

import json
import os
import threading

import numpy as np
import pytest

from momentum_jax.studies import Arm, Network, Study, StudyError

ARMS = (Arm("gradient_descent(0.1)"), Arm("heavy_ball(0.01, 0.9)", "momentum"))


def test_a_study_goes_to_json_and_back():
    study = Study(
        dataset="mnist",
        size=14,
        examples=16_384,
        network=Network(hidden=(100, 50), activation="sigmoid", output_activation="sigmoid", loss="half_squared_error"),
        steps=40_000,
        batch=64,
        sampling="replacement",
        seeds=(3, 1, 2**32 - 1),
        arms=ARMS,
        target=0.25,
        evaluate_every=500,
    )
    assert Study.from_dict(json.loads(json.dumps(study.to_dict()))) == study


def test_what_a_description_leaves_out_has_its_default():
    assert Study.from_dict({"arms": ["gradient_descent(0.1)"]}) == Study(arms=(Arm("gradient_descent(0.1)"),))


def test_an_arm_is_kept_in_canonical_spelling_and_is_its_own_label():
    arm = Arm("heavy_ball( 1e-2,momentum = .9 )")
    assert arm.optimizer == "heavy_ball(0.01, momentum=0.9)"
    assert arm.label == arm.optimizer
    assert Arm("heavy_ball(0.01)", "tuned").label == "tuned"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"dataset": "mnits"},
            "Study: dataset must be one of digits, mnist, fashion_mnist, a path to a .npz file, got 'mnits' (perhaps mnist?).",
        ),
        ({"size": 0}, "Study: size must be a whole number >= 1, got 0."),
        ({"examples": 0}, "Study: examples must be a whole number >= 1, got 0."),
        ({"steps": 0}, "Study: steps must be a whole number >= 1, got 0."),
        ({"steps": True}, "Study: steps must be a whole number >= 1, got True."),
        ({"batch": 2.0}, "Study: batch must be a whole number >= 1, got 2.0."),
        ({"sampling": "random"}, "Study: sampling must be one of shuffle, replacement, got 'random'."),
        ({"evaluate_every": 0}, "Study: evaluate_every must be a whole number >= 1, got 0."),
        ({"target": 0.0}, "Study: target must be a positive, finite loss, got 0.0."),
        ({"target": float("nan")}, "Study: target must be a positive, finite loss, got nan."),
        ({"target": float("inf")}, "Study: target must be a positive, finite loss, got inf."),
        ({"seeds": []}, "Study: seeds must be a tuple of at least one seed (in TOML a list, or how many), got ()."),
        ({"seeds": [0, 1, 0]}, "Study: every seed must occur once, 0 is repeated."),
        ({"seeds": [-1]}, "Study: every seed must be a whole number >= 0, got -1."),
        ({"seeds": [2**32]}, f"Study: every seed must be below 2**32, got {2**32}."),
        ({"network": {"hidden": [100, 0]}}, "Network: every width in hidden must be a whole number >= 1, got 0."),
        ({"network": {"hidden": [10**6 + 1]}}, "Network: every width in hidden must be at most 1,000,000, got 1000001."),
        ({"network": {"channels": [10**9]}}, "Network: every number in channels must be at most 1,000,000, got 1000000000."),
        ({"target": 10**400}, "Study: target must be a positive, finite loss, got 1000"),
        ({"network": {"dropout": 1.0}}, "Network: dropout must be in [0, 1), got 1.0."),
        ({"network": {"activation": "swish"}}, "Network: activation must be one of relu, tanh, sigmoid, got 'swish'."),
        ({"network": {"width": 3}}, "Study.network: unknown key 'width'; known keys: hidden, activation"),
        ({"stesp": 3}, "Study: unknown key 'stesp'; did you mean 'steps'?"),
        ({"arms": []}, "Study: arms must hold at least one arm"),
        ({"arms": "sgd(0.1)"}, "Study: arms must be a list of arms, got 'sgd(0.1)'."),
        ({"arms": [{"label": "x"}]}, "Study.arms: the key 'optimizer' is missing."),
        ({"arms": [{"optimizer": "sgd(0.1)", "lable": "x"}]}, "Study.arms: unknown key 'lable'; did you mean 'label'?"),
        ({"arms": ["sgd(0.1)", "sgd(.1)"]}, "Study: every label must occur once, 'sgd(0.1)' is repeated"),
        ({"arms": ["sgd(0.1"]}, "arm 'sgd(0.1': not an expression"),
    ],
)
def test_a_wrong_field_is_named_with_what_is_allowed_and_what_came(change, message):
    with pytest.raises(StudyError) as refused:
        Study.from_dict({"arms": ["gradient_descent(0.1)"], **change})
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_two_arms_with_one_optimizer_are_told_apart_by_their_labels():
    study = Study(arms=(Arm("sgd(0.1)", "one"), Arm("sgd(0.1)", "two")))
    assert [arm.label for arm in study.arms] == ["one", "two"]


def test_more_seeds_than_anybody_runs_are_refused_before_they_are_numbered():
    with pytest.raises(StudyError, match="Study: seeds must be at most 100,000, got 5000000000"):
        Study.from_dict({"arms": ["sgd(0.1)"], "seeds": 5_000_000_000})


def test_two_arms_of_one_label_are_told_how_to_name_them_in_toml():
    arms = ["sgd(log_uniform(0.01, 1))", "sgd(log_uniform(0.01, 1), 0.9)"]
    with pytest.raises(StudyError, match=r'in TOML \{ optimizer = "heavy_ball'):
        Study.from_dict({"arms": arms})


@pytest.mark.parametrize(
    "field", ["dataset", "size", "steps", "sampling", "seeds", "arms", "target", "network", "search", "ladder"]
)
def test_arrays_in_the_place_of_a_field_are_named_by_their_kind_and_shape(field):
    given = (np.zeros((1000, 28, 28), np.uint8), np.arange(1000))
    with pytest.raises(StudyError) as refused:
        Study(**{"arms": ARMS, field: given})
    assert "uint8[1000, 28, 28]" in str(refused.value)
    for one in given:
        with pytest.raises(StudyError):
            Study(**{"arms": ARMS, field: one})


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 10**5000},
        {"steps": -(10**5000)},
        {"seeds": [10**5000]},
        {"seeds": 10**5000},
        {"target": 10**5000},
        {"target": "x" * 10_000},
        {"steps": list(range(10_000))},
        {"x" * 10_000: 1},
        {"dataset": "x" * 10_000},
        {"network": {"x" * 10_000: 1}},
        {"network": {"hidden": [10**5000]}},
        {"network": {"activation": "x" * 10_000}},
        {"search": {"score": "x" * 10_000}},
        {"search": {"trials": 10**5000}},
        {"arms": [{"optimizer": "sgd(0.1)", "label": "x" * 100_000}]},
        {"arms": ["x" * 10_000]},
        {"arms": [{"optimizer": "sgd(0.1)", "label": "x" * 5_000}] * 2},
        {"seeds": [*range(9_000), *range(9_000)]},
    ],
    ids=lambda change: next(iter(change))[:9],
)
def test_a_message_quotes_no_more_than_can_be_read(change):
    with pytest.raises(StudyError) as refused:
        Study.from_dict({"arms": ["gradient_descent(0.1)"], **change})
    assert len(str(refused.value)) < 450


@pytest.mark.parametrize("name", ["a\0.npz", "\ud800.npz"])
def test_a_data_set_that_no_file_can_be_is_refused(name):
    with pytest.raises(StudyError, match=r"Study: dataset must be a path to a \.npz file, got"):
        Study(dataset=name, arms=ARMS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"steps = " + b"9" * 5000, "is not TOML .*limit"),
        (b"x = " + b"[" * 20_000, "nested too deeply"),
        (b"x = " + b"{a=" * 20_000, "nested too deeply"),
        (b"x = " + b"[" * 20_000 + b"]" * 20_000, "nested too deeply"),
        (b"x = '\xff'", "is not TOML"),
        (b"# " + b"x" * 2**20, "must have at most 1,048,576 bytes"),
        (b"steps = " + b"x" * 2**19, "is not TOML"),
    ],
)
def test_a_file_that_is_no_study_is_refused_by_its_name(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_bytes(b'arms = ["sgd(0.1)"]\n' + text)
    with pytest.raises(StudyError, match=rf"mine\.toml: .*{message}") as refused:
        Study.from_toml(path)
    assert len(str(refused.value)) < 200 + len(str(path))


def test_a_pipe_a_device_and_an_impossible_name_are_no_file_of_a_study(tmp_path):
    path = tmp_path / "mine.toml"
    os.mkfifo(path)
    # Whoever does wait gets an end of file.
    threading.Thread(target=lambda: open(path, "wb").close(), daemon=True).start()
    for name, message in ((path, "no regular file"), ("/dev/null", "no regular file"), ("a\0.toml", "cannot be read")):
        with pytest.raises(StudyError, match=message):
            Study.from_toml(name)
