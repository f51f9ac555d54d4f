"""`momentum-jax theory` and `momentum-jax tune`: what they print is what the library computes, and refusals are one line."""

import json

import pytest

import momentum_jax as mj
from momentum_jax import theory
from momentum_jax.cli import main


def said(capsys, *arguments):
    code = main([*arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_theory_prints_what_follows_from_an_optimizer(capsys):
    code, out, _ = said(capsys, "theory", "heavy_ball(0.1, 0.9)", "--curvatures", "1", "10")
    rows = {line[:28].strip(): line[28:].strip() for line in out.splitlines()}
    assert code == 0
    assert rows["memory"] == "velocity"
    assert rows["effective learning rate"] == "1"
    assert rows["stable on curvatures in"] == "(0, 38)"
    assert rows["at 1: rate"] == "0.948683"
    assert rows["at 10: variance for noise 1"] == "0.0678571"
    assert rows["certified for all functions"] == "none is proven"


def test_theory_sets_two_optimizers_side_by_side(capsys, tmp_path):
    figure = tmp_path / "both.png"
    code, out, _ = said(
        capsys, "theory", "heavy_ball(0.1, 0.9)", "--versus", "nesterov(0.1, 0.9)", "--figure", str(figure), "--noise", "2"
    )
    assert code == 0
    assert "Evaluated iterates: the same, for ever." in out
    assert "Points that you hold: different after step 0: a gradient of 1 at step 0 leads to -0.1 and to -0.19." in out
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_what_does_not_move_is_drawn_too(capsys, tmp_path):
    code, _, err = said(capsys, "theory", "gradient_descent(0.0)", "--figure", str(tmp_path / "still.png"))
    assert (code, err) == (0, "")


def test_theory_speaks_json(capsys):
    code, out, _ = said(
        capsys, "theory", "sgd(0.1, 0.9, weight_decay=0.1)", "--json", "--versus", "optax.sgd(0.1, momentum=0.9)"
    )
    found = json.loads(out)
    assert code == 0
    mine = theory.summary(mj.sgd(0.1, 0.9, weight_decay=0.1), [1.0])
    assert found["optimizers"]["sgd(0.1, 0.9, weight_decay=0.1)"]["rates"] == list(mine.rates)
    assert found["equivalent"]["held"]["same"] is False
    assert found["equivalent"]["held"]["first_difference"]["cause"] == "start"
    still = json.loads(said(capsys, "theory", "gradient_descent(0.0)", "--json")[1])
    assert still["optimizers"]["gradient_descent(0.0)"]["stable"] == [[0.0, "inf"]]


def test_theory_reads_one_step_of_what_does_not_settle(capsys):
    code, out, _ = said(capsys, "theory", "fista(0.1)", "--at-step", "20", "--horizon", "64")
    assert code == 0
    assert "changing at step 63 (64 read)" in out
    assert f"{theory.stability_limit(mj.fista(0.1), step=20):.6g}" in out


def test_an_optimizer_of_ones_own_is_read(capsys, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("import optax\n\ndef mine(rate=0.1):\n    return optax.sgd(rate, momentum=0.5)\n")
    code, out, _ = said(capsys, "theory", f"{file}:mine(0.2)")
    assert code == 0
    assert "(0, 15)" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["adam(0.1)"], "linearize: update is not linear: `mul` at"),
        (["heavy_bal(0.1)"], "did you mean heavy_ball?"),
        (["fista(0.1)"], "give --at-step, or a longer --horizon"),
        (["heavy_ball(0.1)", "--curvatures", "nan"], "curvatures must be finite, got nan"),
        (["heavy_ball(0.1)", "--noise", "-1"], "noise must be at least 0, got -1"),
        (["heavy_ball(0.1)", "--figure", "out.jpg"], "--figure must end in .png or .pdf, got 'out.jpg'"),
        (["fista(0.1)", "--at-step", "600"], "give a longer --horizon"),
        (["heavy_ball(0.1)", "--curvatures", "1e300"], "curvatures must be at most 1e+100, got 1e+300"),
        (["heavy_ball(0.1)", "--figure", "nowhere/out.png"], "must be in a directory that is there, got nowhere/out.png"),
        (["heavy_ball(0.1)", "--horizon", "0"], "horizon must be an int in [1, 1000000]"),
    ],
)
def test_theory_refuses_in_one_line(capsys, arguments, message):
    code, out, err = said(capsys, "theory", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_tune_prints_an_optimizer_to_copy(capsys):
    code, out, _ = said(capsys, "tune", "heavy_ball", "--m", "1", "--L", "9")
    assert code == 0
    assert out.splitlines() == [
        "heavy_ball(learning_rate=0.25, momentum=0.25)",
        "worst rate on quadratics: 0.5, at curvature " + out.split()[-1],
    ]


def test_tune_searches_the_ranges_that_are_given_and_says_where_they_end(capsys):
    code, out, _ = said(capsys, "tune", "heavy_ball(log_uniform(0.0001, 0.001), 0.9)", "--m", "1", "--L", "9", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["hyperparameters"] == {"learning_rate": pytest.approx(0.001)}
    assert found["at_end"] == ["learning_rate"]
    assert found["worst_quadratic_rate"] == pytest.approx(float(theory.worst_rate(mj.heavy_ball(0.001, 0.9), 1, 9)[0]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["heavy_ball", "--m", "5", "--L", "2"], "m must be in (0, L], got m = 5 and L = 2"),
        (["adam", "--m", "1", "--L", "2"], "update is not linear"),
        (["triple_momentum", "--m", "1", "--L", "2"], "give ranges to search"),
        (["heavy_ball(choice(0.1, 0.2))", "--m", "1", "--L", "2"], "between two ends, got choice(...) for learning_rate"),
        (["nesterov(0.1)", "--m", "1", "--L", "2"], "tune needs a range to search"),
        (["heavy_ball", "--m", "1", "--L", "2", "--steps", "5"], "--steps and --noise go with --objective expected_loss"),
        (["heavy_ball", "--m", "1", "--L", "2", "--noise", "5"], "--steps and --noise go with --objective expected_loss"),
        (["heavy_ball", "--m", "1", "--L", "2", "--objective", "expected_loss"], "--objective expected_loss needs --steps"),
    ],
)
def test_tune_refuses_in_one_line(capsys, arguments, message):
    code, out, err = said(capsys, "tune", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
