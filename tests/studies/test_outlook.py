"""What is known before a study runs: its runs, about what they take, and what it cannot answer."""

import time
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_studies import made

from momentum_jax.studies import Arm, Search, Study, outlook as outlooks
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.analysis.claims import fewest_seeds
from momentum_jax.studies.material import Material, scores_of
from momentum_jax.studies.outlook import in_bytes, in_time, outlook
from momentum_jax.studies.scores import IMAGES
from momentum_jax.training import Examples, Problem, Stream, classification, lower
from momentum_jax.training.model import mlp

STUDY = Study(steps=50, batch=10, target=0.1, seeds=tuple(range(10)), arms=(Arm("sgd(0.1)"), Arm("sgd(0.2)")))
MODEL = mlp((16,), input_shape=(8, 8))
PICTURES = np.random.default_rng(0).integers(0, 17, (60, 8, 8)).astype(np.uint8)
ROWS = np.arange(60)
EXAMPLES = Examples(PICTURES, ROWS % 10, 16.0, ROWS[None, :40], ROWS[None, 40:50], ROWS[None, 50:])
WHOLE, TUNING = (classification(MODEL, EXAMPLES._replace(test=ROWS[None, 50:end])) for end in (60, 50))
MATERIAL = Material(WHOLE, TUNING, IMAGES, dict.fromkeys(STUDY.seeds, 0), STUDY.batch, {})


def look(study, tmp_path, *, tuning=0, reporting=20, stored=0):
    return outlook(study, tmp_path, MATERIAL, tuning=tuning, reporting=reporting, stored=stored)


def test_a_study_that_can_answer_draws_no_caution(tmp_path):
    found = look(STUDY, tmp_path, tuning=12, stored=3)
    assert (found.left, found.seconds, found.cautions) == (29, None, ())
    assert 29 * 4 * 50 < found.bytes < 29 * 10_000


TUNED = replace(STUDY, arms=(Arm("sgd(log_uniform(0.1, 1))", "tuned"), Arm("sgd(0.2)")))


@pytest.mark.parametrize(
    ("study", "caution"),
    [
        (replace(STUDY, seeds=(0, 1, 2, 3, 4)), "With 5 seeds no difference between arms can be shown; 6 are needed."),
        (replace(STUDY, target=None), "No target is given"),
        (replace(STUDY, target=9.0), "The untrained network's validation loss, 2."),
        (replace(TUNED, search=Search(trials=1)), "One trial of every arm"),
        (replace(TUNED, arms=(Arm("sgd(uniform(0.5, 0.50000001))", "tuned"),)), "The ranges of arm 'tuned' hold one point"),
        (replace(TUNED, arms=(Arm("sgd(0.1, choice(0.9, 0.9))", "tuned"),)), "The ranges of arm 'tuned' hold one point"),
    ],
)
def test_what_a_study_cannot_answer_is_said(study, caution, tmp_path):
    (said,) = look(study, tmp_path).cautions
    assert said.startswith(caution)


PAIR = (Arm("gradient_descent(log_uniform(0.01, 1))"), Arm("heavy_ball(log_uniform(0.01, 1), 0.9)"))
FIVE = tuple(Arm(f"adam({rate})") for rate in (0.1, 0.2, 0.3, 0.4, 0.5))


@pytest.mark.parametrize(
    ("fields", "fewest"),
    [
        ({"arms": PAIR}, 6),
        # A question that shares its level has four fifths of it: 0.8 x 0.0158 is below 2 / 2^7.
        ({"arms": PAIR, "looks": (5, 8, 12, 16, 20)}, 8),
        ({"arms": STUDY.arms, "looks": (5, 8, 12, 16, 20), "target": None}, 7),
        # Without a question four heads share it: 0.0125.
        ({"arms": FIVE}, 8),
    ],
)
def test_the_fewest_seeds_are_those_with_which_the_report_can_claim_anything(fields, fewest, tmp_path):
    planned = replace(STUDY, seeds=tuple(range(5)), **fields)
    assert fewest_seeds(planned) == fewest
    said = f"With 5 seeds no difference between arms can be shown; {fewest} are needed."
    assert said in look(planned, tmp_path).cautions
    report = analyse(made(tmp_path / "store", replace(planned, search=Search(trials=2))))
    assert min(claim.evidence.fewest for claim in report.claims if claim.evidence.tested) == fewest


def test_a_study_of_one_arm_asks_nothing():
    assert fewest_seeds(replace(STUDY, arms=STUDY.arms[:1], ladder=False)) is None


@pytest.mark.slow
def test_the_untrained_loss_is_that_of_the_first_run(tmp_path):
    key, _, _ = jax.random.split(jax.random.key(0), 3)
    params, state = MODEL.init(key)
    outputs, _ = MODEL.apply(params, state, jnp.asarray(PICTURES[40:50]) / 16, key=key, train=False)
    first = float(jnp.mean(MODEL.loss(outputs, jnp.arange(40, 50) % 10)))
    assert look(replace(STUDY, target=first * 0.999), tmp_path).cautions == ()
    assert len(look(replace(STUDY, target=first * 1.001), tmp_path).cautions) == 1


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(outlooks.shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000))
    (said,) = look(STUDY, tmp_path).cautions
    assert said.endswith("has 10 kB.")


@pytest.mark.slow
def test_time_is_measured_where_it_is_long_and_grows_with_the_work(tmp_path, monkeypatch):
    clock = iter(np.arange(0.0, 1000.0))
    # Each look at the clock comes a second after the other: four steps take one, and so do four evaluations.
    monkeypatch.setattr(outlooks.time, "perf_counter", lambda: float(next(clock)))
    long = replace(STUDY, steps=100_000, evaluate_every=100_000)
    found = look(long, tmp_path, reporting=20)
    each = (100_000 + 2) / 4
    assert found.seconds == pytest.approx(20 * each / found.devices)
    assert look(long, tmp_path, reporting=20, stored=10).seconds == pytest.approx(10 * each / min(found.devices, 10))
    assert look(long, tmp_path, reporting=20, stored=20).seconds is None


def test_sizes_and_times_are_said_as_they_are_read():
    assert [in_bytes(n) for n in (0, 999, 2_100, 46_000, 3_400_000, 12e9, 5e13)] == [
        "0.0 kB", "1.0 kB", "2.1 kB", "46 kB", "3.4 MB", "12 GB", "50 TB"
    ]  # fmt: skip
    assert [in_time(s) for s in (0.2, 20, 59.9, 600, 5400, 90_000)] == ["1 s", "20 s", "1 min", "10 min", "1.5 h", "25 h"]


@pytest.mark.slow
def test_the_time_of_a_stream_has_that_of_drawing_its_batches_and_of_reading_all_of_its_validation_set(tmp_path):
    def batch(*numbers):
        time.sleep(0.002)
        return np.ones((4, 3), np.float32)

    problem = Problem(
        init=lambda key: (jnp.ones(3), {}),
        loss=lambda params, state, batch, key: (jnp.mean((batch @ params) ** 2), state),
        measure=lambda params, state, batch, key: {"square": (batch @ params) ** 2},
        scores={"mean": lower("square")},
        data=Stream(batch, lambda: map(batch, range(9)), lambda: map(batch, range(9))),
    )
    stream = Material(problem, problem, scores_of(problem), {seed: seed for seed in STUDY.seeds}, None, {})
    study = Study(problem="python:any()", steps=50, evaluate_every=50, arms=STUDY.arms)
    asked = {"tuning": 0, "reporting": 20, "stored": 0, "devices": jax.devices()[:1]}
    found = outlook(study, tmp_path, stream, **asked).seconds
    assert found is not None
    assert 20 * (50 + 2 * 9) * 0.002 < found < 20 * (50 + 2 * 9) * 0.02
    assert outlook(study, tmp_path, stream, **{**asked, "stored": 20}).seconds is None
