"""A study with `[prediction]`: what is measured in its course, what is stored and reported, and what must not change by it."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from made_studies import TUNED, environment, made

from momentum_jax.report import write
from momentum_jax.studies import Arm, PredictionAt, Study, StudyError, course, jobs
from momentum_jax.studies.errors import StudyWarning
from momentum_jax.studies.predicted import StudyPrediction
from momentum_jax.studies.run import run_study
from momentum_jax.studies.store import MANIFEST, Damaged, Store
from momentum_jax.studies.store.records import digest_of_json
from momentum_jax.studies.wording.predictions import row_in_training

FILES = Path(__file__).parents[1] / "own_files"


def study_of(**options):
    """Rosenbrock's valley: its curvature changes on the way."""
    given = {
        "problem": "no_data_file.py:make()",
        "steps": 20,
        "evaluate_every": 10,
        "seeds": (3, 4),
        "arms": (Arm("gradient_descent(0.005)"), Arm("heavy_ball(0.005, 0.5)", "moving"), Arm("adam(0.01)")),
        "noise_floor": False,
        "ladder": False,
        "prediction": PredictionAt((0, 0.25, 1)),
    }
    return Study(**{**given, **options})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The directory of a finished study with its report, and of its problem."""
    directory = tmp_path_factory.mktemp("predicted")
    shutil.copy(FILES / "no_data_file.py", directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        run_study(study_of(), "store", on_complete=write)
        yield directory


def sharpness_by_hand(seed, momentum, steps):
    """The largest eigenvalue where heavy ball arrives from the trainer's start; gradient and Hessian are written out."""
    x = float(jax.random.normal(jax.random.split(jax.random.key(np.uint32(seed)), 3)[0]))
    p, velocity = np.array([x, 0.0]), np.zeros(2)
    for _ in range(steps):
        off = p[1] - p[0] ** 2
        velocity = momentum * velocity - 0.005 * np.array([-2 * (1 - p[0]) - 40 * p[0] * off, 20 * off])
        p = p + velocity
    bend = 2 - 40 * (p[1] - p[0] ** 2) + 80 * p[0] ** 2
    return np.linalg.eigvalsh(np.array([[bend, -40 * p[0]], [-40 * p[0], 20]]))[-1]


def test_sharpness_is_that_of_the_parameters_that_the_arm_reaches(finished) -> None:
    found = Store.read(finished / "store").prediction
    assert found.at == (0.0, 0.25, 1.0)
    plain, moving, adam = found.arms
    for arm, momentum, limit in ((plain, 0.0, 2 / 0.005), (moving, 0.5, 2 * 1.5 / 0.005)):
        assert arm.steps == (0, 5, 20)
        assert arm.limit == pytest.approx(limit)
        by_hand = [sharpness_by_hand(3, momentum, steps) for steps in arm.steps]
        np.testing.assert_allclose(arm.sharpness, by_hand, rtol=1e-3)
        assert abs(by_hand[2] / by_hand[0] - 1) > 0.05
    assert (adam.steps, adam.sharpness, adam.limit) == ((), (), None)


def test_the_report_has_it_in_a_section_of_its_own(finished) -> None:
    text, page = ((finished / "store" / name).read_text() for name in ("report.md", "report.html"))
    section = text.split("## What does the curvature predict?")[1].split("\n## ")[0]
    assert "| sharpness / limit after 25% of the steps |" in section
    limit = Store.read(finished / "store").prediction.arms[1].limit
    assert f"| moving | 600 | {sharpness_by_hand(3, 0.5, 0) / limit:.3g} |" in section
    assert "No claim and no verdict depends on them." in section
    assert "adam(0.01): linearize: update is not linear" in section.replace("\\", "")
    assert "What does the curvature predict?" in page
    stored = json.loads((finished / "store" / "report.json").read_text())["prediction"]
    assert stored["arms"][0]["steps"] == [0, 5, 20]


def without(path):
    """What a report says less what it says of the prediction, of the time and of its own file."""
    content = json.loads((path / "report.json").read_text())
    return {name: value for name, value in content.items() if name not in ("prediction", "study", "seconds")}


def test_without_it_a_study_is_stored_and_reported_as_ever(finished, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(finished)
    plain = study_of(prediction=None)
    store = run_study(plain, tmp_path / "plain", on_complete=write)
    beside = Store.read(finished / "store")
    assert "prediction" not in (tmp_path / "plain" / MANIFEST).read_text()
    assert "prediction" not in json.loads((tmp_path / "plain" / "report.json").read_text())
    assert "What does the curvature predict?" not in (tmp_path / "plain" / "report.md").read_text()
    assert {run.name: run.key for run in store.runs} == {run.name: run.key for run in beside.runs}
    assert [run.test for run in store.runs] == [run.test for run in beside.runs]
    one, other = (json.loads(json.dumps(without(path))) for path in (tmp_path / "plain", finished / "store"))
    for content in (one, other):
        for arm in content["arms"]:
            del arm["seconds"]
    assert one == other


def test_keys_and_fields_of_a_study_of_today_are_as_they_were() -> None:
    asked = dataclasses.replace(TUNED, prediction=PredictionAt())
    assert "prediction" not in TUNED.to_dict()
    assert jobs.keys(TUNED, environment(TUNED), jobs.tuning(TUNED)) == jobs.keys(asked, environment(asked), jobs.tuning(asked))
    assert asked == TUNED


@pytest.mark.slow
def test_a_finished_study_can_be_asked_for_it_and_keeps_its_runs(finished, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(finished)
    shutil.copytree(finished / "store", tmp_path / "store")
    before = (tmp_path / "store" / "runs.jsonl").read_bytes()
    store = run_study(study_of(prediction=PredictionAt((0.5,))), tmp_path / "store", resume=True)
    assert [arm.steps for arm in store.prediction.arms] == [(10,), (10,), ()]
    assert (tmp_path / "store" / "runs.jsonl").read_bytes() == before
    # What is there is not measured again, by a further run or by a report.
    monkeypatch.setattr(course, "course", None)
    again = run_study(study_of(prediction=PredictionAt((0.5,))), tmp_path / "store", resume=True)
    assert again.prediction == store.prediction
    write(Store.read(tmp_path / "store"))
    assert "after 50% of the steps" in (tmp_path / "store" / "report.md").read_text()


@pytest.mark.slow
def test_an_arm_with_ranges_is_measured_as_it_was_settled(finished, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(finished)
    tuned = study_of(arms=(Arm("gradient_descent(log_uniform(0.001, 0.005))"),), prediction=PredictionAt((0,)))
    store = run_study(dataclasses.replace(tuned, search=dataclasses.replace(tuned.search, trials=2)), tmp_path / "tuned")
    (arm,) = store.prediction.arms
    assert arm.optimizer == jobs.choose(store.study, store.scores, store.runs)[arm.label].text
    assert arm.label == "gradient_descent, tuned"


@pytest.mark.slow
def test_a_run_that_diverged_has_no_sharpness(finished, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(finished)
    wild = study_of(arms=(Arm("gradient_descent(50.0)"),), prediction=PredictionAt((0, 1)))
    store = run_study(wild, tmp_path / "wild")
    (arm,) = store.prediction.arms
    assert arm.is_stable is False
    assert arm.sharpness[1] is None
    assert row_in_training(arm, store.prediction)[3] == "diverged"


def test_what_cannot_be_measured_withholds_no_run(finished, tmp_path, monkeypatch) -> None:
    def refuse(*arguments):
        raise StudyError("the loss cannot be differentiated twice.")

    monkeypatch.chdir(finished)
    monkeypatch.setattr(course, "course", refuse)
    with pytest.warns(StudyWarning, match="There is no prediction: the loss cannot be differentiated twice"):
        store = run_study(study_of(seeds=(3,)), tmp_path / "store")
    assert (store.manifest["status"], len(store.runs), store.prediction) == ("complete", 3, None)


def test_ctrl_c_while_it_is_measured_leaves_a_study_that_can_be_finished(finished, tmp_path, monkeypatch) -> None:
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.chdir(finished)
    shutil.copytree(finished / "store", tmp_path / "store")
    asked = study_of(prediction=PredictionAt((0,)))
    with monkeypatch.context() as patch:
        patch.setattr(course, "course", stop)
        with pytest.raises(KeyboardInterrupt):
            run_study(asked, tmp_path / "store", resume=True)
    assert Store.read(tmp_path / "store").manifest["status"] == "interrupted"
    store = run_study(asked, tmp_path / "store", resume=True)
    assert (store.manifest["status"], store.prediction.at) == ("complete", (0.0,))


def test_toml_says_where_and_nothing_else(tmp_path) -> None:
    path = tmp_path / "study.toml"
    path.write_text('arms = ["sgd(0.1)"]\n[prediction]\nat = [0, 0.1, 0.5]\n')
    study = Study.from_toml(path)
    assert study.prediction == PredictionAt((0.0, 0.1, 0.5))
    assert study.to_dict()["prediction"] == {"at": [0.0, 0.1, 0.5]}
    assert Study.from_dict(study.to_dict()).prediction == study.prediction


@pytest.mark.parametrize("at", [[], [0.5, 0.1], [0, 1.5], [-0.1], ["0"], [0.1, 0.1], 0.5, [float("nan")], [True]])
def test_shares_that_are_none_are_refused(at) -> None:
    with pytest.raises(StudyError, match=r"Study.prediction: at must be increasing shares of the budget in \[0, 1\]"):
        Study.from_dict({"arms": ["sgd(0.1)"], "prediction": {"at": at}})


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(StudyError, match=r"Study.prediction: unknown key 'when'"):
        Study.from_dict({"arms": ["sgd(0.1)"], "prediction": {"when": [0]}})


@pytest.mark.parametrize("harm", [{"arms": [{"label": 3}]}, {"steps": "many"}, {"more": 1}, None, []])
def test_a_stored_prediction_that_is_none_is_damage(harm, tmp_path) -> None:
    store = made(tmp_path / "store", TUNED)
    arm = {"label": "plain", "optimizer": "sgd(0.1)", "limit": "inf", "ratio": 0.0, "is_stable": True, "rate": 0.5}
    arm |= {"noise_floor": None, "place": 1, "refusal": None, "steps": [0], "sharpness": [1.5]}
    sound = {"steps": 9, "seed": 0, "rows": 5, "training_rows": 5, "sharpness": 1.5, "noise": None, "noise_error": None}
    sound |= {"arms": [arm], "ties": "no difference", "refusal": None, "at": [0.0]}
    store.note(prediction=sound)
    assert Store.read(tmp_path / "store").prediction.arms[0].limit == float("inf")
    assert StudyPrediction.from_dict(sound).to_dict()["arms"][0]["limit"] == "inf"
    content = json.loads((tmp_path / "store" / MANIFEST).read_text())
    del content["sha256"]
    content["prediction"] = {**sound, **harm} if isinstance(harm, dict) else harm
    (tmp_path / "store" / MANIFEST).write_text(json.dumps({**content, "sha256": digest_of_json(content)}))
    with pytest.raises(Damaged, match="prediction must be what was predicted of the arms"):
        Store.read(tmp_path / "store")
