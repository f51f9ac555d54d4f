"""Stores of a problem that has no test set, whose score is the better the lower, and where a diverged run has none."""

import dataclasses
import io
import json
import re
import shutil

import numpy as np
import pytest
from made_studies import environment, made
from matplotlib.text import Text
from old_stores import signed
from rich.console import Console

from momentum_jax import figures
from momentum_jax.cli.table import print_table
from momentum_jax.report import write
from momentum_jax.studies import Arm, Search, Study, wording
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.scores import RankedScore, Scores
from momentum_jax.studies.store import Store
from momentum_jax.studies.summary import summarize, write_summary

EXCESS = RankedScore("excess", "lower")
SCORES = Scores((EXCESS,), tested=False)
STUDY = Study(
    problem="my_problem.py:make(width=64)",
    steps=200,
    seeds=tuple(range(8)),
    target=0.5,
    evaluate_every=20,
    arms=(
        Arm("gradient_descent(log_uniform(0.001, 1))", "plain"),
        Arm("heavy_ball(log_uniform(0.001, 1), 0.9)", "moving"),
    ),
    search=Search(trials=2),
)
LOST = "arm-1/seed-3"


def is_lost(job):
    return job.name == LOST


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    directory = tmp_path_factory.mktemp("problem") / "store"
    made(directory, STUDY, scores=SCORES, diverged=is_lost)
    return Store.read(directory)


def of(store, arm):
    """The excess of the arm's runs by seed, but for the diverged one."""
    return {run.seed: run.validation["excess"] for run in store.of(arm) if run.name != LOST}


def test_a_store_of_a_problem_is_read_back_with_its_scores(tmp_path):
    whole = made(tmp_path, STUDY, scores=SCORES, diverged=is_lost)
    for again in (Store.read(tmp_path), Store.resume(tmp_path, STUDY, environment(STUDY), scores=SCORES)):
        assert again.damage == []
        assert (again.study, again.scores) == (STUDY, SCORES)
        assert [repr(run) for run in again.runs] == [repr(run) for run in whole.runs]
        assert all(run.test == {} and list(run.validation) == ["excess"] for run in again.runs)


def test_a_seed_at_which_one_arm_diverged_is_not_described_but_ranks(store):
    analysis = analyse(store)
    plain, moving = of(store, "plain"), of(store, "moving")
    differences = [moving[seed] - plain[seed] for seed in moving]
    (found,) = analysis.comparisons
    assert len(differences) == found.score.n == 7
    assert found.score.mean_difference == pytest.approx(np.mean(differences))
    arm = analysis.arm("moving")
    assert (arm.values["excess"][3], arm.diverged) == (None, 1)
    assert arm.described["excess"].n == 7
    assert arm.described["excess"].mean == pytest.approx(np.mean(list(moving.values())))
    # A gain, which is the other way round, and without end for gradient descent where momentum diverged.
    question = analysis.claim("question")
    assert question.differences[3] == -np.inf
    finite = [gain for gain in question.differences if np.isfinite(gain)]
    assert finite == pytest.approx([-difference for difference in differences])


def test_the_trial_of_the_lowest_score_is_chosen(store):
    for tuning in analyse(store).tunings:
        means = [trial.means["excess"] for trial in tuning.trials]
        assert tuning.chosen == int(np.argmin(means))
        # Optimism is what the winner loses, here by a higher excess.
        if tuning.fresh is not None:
            assert tuning.optimism == pytest.approx(tuning.fresh - tuning.tuned)


@pytest.mark.parametrize(("shift", "direction", "ahead"), [(-0.2, 1, "moving"), (0.2, -1, "plain")])
def test_of_a_score_that_is_the_better_the_lower_the_lower_arm_is_ahead(tmp_path, shift, direction, ahead):
    made(tmp_path, STUDY, scores=SCORES, diverged=is_lost)
    lines = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    plain = {line["seed"]: line["validation"]["excess"] for line in lines if line["name"].startswith("arm-0")}
    for line in lines:
        if line["name"].startswith("arm-1") and line["name"] != LOST:
            line["validation"]["excess"] = plain[line["seed"]] + shift + 0.001 * line["seed"]
    # Without the seed of the run that was lost: of eight, its rank below all others leaves no claim.
    lost = {LOST, "arm-0/seed-3"}
    (tmp_path / "runs.jsonl").write_text("".join(json.dumps(signed(line)) + "\n" for line in lines if line["name"] not in lost))
    analysis = analyse(Store.read(tmp_path))
    question = analysis.claim("question").evidence
    assert (question.n, question.claimed, question.direction) == (7, True, direction)
    assert wording.lead(analysis).startswith(f"{ahead.capitalize()} is ahead on 7 of 7 seeds")


@pytest.fixture
def drawn(monkeypatch):
    """Names and texts of the figures of reports; their files stay empty."""
    found, draw = {}, figures.report

    def noted(*arguments):
        made = draw(*arguments)
        found.update({name: " ".join(text.get_text() for text in each.findobj(Text)) for name, each in made.items()})
        return made

    monkeypatch.setattr(figures, "report", noted)
    monkeypatch.setattr(figures, "save", lambda figure, path: path.touch())
    return found


def test_pages_figures_and_tables_know_no_test_set_and_no_accuracy(store, drawn):
    paths = write(store)
    text = paths[1].read_text()
    pages = "".join(path.read_text() for path in paths)
    analysis = analyse(store)
    assert list(drawn) == ["learning_curves", "validation_score", "final_score", "steps_to_target", "ladder", "sensitivity"]
    words = " ".join(drawn.values())
    console = Console(width=160, markup=False, file=(file := io.StringIO()))
    print_table(console, store, summarize(store))
    for said in (pages, words, file.getvalue(), " ".join((wording.verdict(analysis), *wording.remarks(analysis)))):
        assert "excess" in said
        assert not re.search(r"accurac|mcc|images|test (set|excess|score)|\bnan\b", said)
    assert "lower is better" in words
    mean = np.mean(list(of(store, "moving").values()))
    for said in (text, file.getvalue()):
        assert f"{mean:.4g}" in said
    assert "diverged at 7" in text


def test_the_summary_has_null_for_the_run_without_a_score(store, tmp_path):
    write_summary(tmp_path / "summary.json", summarize(store))
    _, moving = json.loads((tmp_path / "summary.json").read_text(), parse_constant=pytest.fail)
    assert list(moving["scores"]) == ["excess"]
    found = moving["scores"]["excess"]
    assert found["values"][3] is None
    assert found["mean"] == pytest.approx(np.mean(list(of(store, "moving").values())))
    assert moving["diverged"] == 1


def test_an_arm_all_of_whose_runs_diverged_has_no_score_and_no_figure_fails(tmp_path, drawn):
    store = made(tmp_path, STUDY, scores=SCORES, diverged=lambda job: job.name.startswith("arm-1"))
    analysis = analyse(store)
    assert analysis.comparisons == ()
    assert analysis.arm("moving").described == {"excess": None}
    assert analysis.answer.kind == "diverged"
    assert analysis.claim("question").differences == (-np.inf,) * 8
    assert write(store)
    assert "final_score" in drawn


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Stores without and with a test set."""
    kinds = (dataclasses.replace(SCORES, tested=tested) for tested in (False, True))
    return [made(tmp_path_factory.mktemp("sound") / "store", STUDY, scores=scores).directory for scores in kinds]


HOSTILE = [
    ("excess", True),
    ("excess", "0.1"),
    ("excess", [0.1]),
    ("excess", None),
    ("excess", 1e300),
    ("excess", 10**400),
]


@pytest.mark.parametrize(("name", "value"), HOSTILE, ids=lambda value: str(value)[:16])
@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_score_that_no_run_has_is_damage(sound, tmp_path, part, name, value):
    shutil.copytree(sound[part == "test"], tmp_path, dirs_exist_ok=True)
    lines = (tmp_path / "runs.jsonl").read_text().splitlines()
    index, content = next((i, c) for i, c in enumerate(map(json.loads, lines)) if c["name"] == "arm-1/seed-2")
    lines[index] = json.dumps(signed({**content, part: {**content[part], name: value}}))
    (tmp_path / "runs.jsonl").write_text("\n".join(lines) + "\n")
    store = Store.read(tmp_path)
    (sentence,) = store.damage
    assert re.search(rf"(line {index + 1}|run arm-1/seed-2) is not a stored run", sentence)
    assert analyse(store).runs == len(lines) - 1


@pytest.mark.parametrize("kept", [True, 3, (0.5, float("nan")), ((True, False), (False, True))], ids=str)
def test_what_a_problem_keeps_of_a_run_is_read_back(tmp_path, kept):
    scores = dataclasses.replace(SCORES, tested=True)
    whole = made(tmp_path / "whole", STUDY, scores=scores)
    runs = [dataclasses.replace(run, test={**run.test, "kept": kept}) for run in whole.runs if run.phase != "tuning"]
    store = Store.create(tmp_path / "store", STUDY, environment(STUDY), scores=scores)
    store.add(list(zip(runs, whole.curves_of(runs), strict=True)))
    again = Store.read(tmp_path / "store")
    assert again.damage == []
    assert [repr(run) for run in again.runs] == [repr(run) for run in runs]
