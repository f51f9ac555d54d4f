"""An atlas: its file, its cells, what their studies say together, and its page."""

import json
from dataclasses import replace

import browser
import jax
import pytest
from made_studies import made

from momentum_jax.cli import main
from momentum_jax.report.atlas import content, write
from momentum_jax.report.setting import html
from momentum_jax.studies import Arm, StudyError
from momentum_jax.studies.atlas import Atlas, findings as module, findings_in, run_atlas, wording
from momentum_jax.studies.atlas.findings import Beside, Cells, Finding
from momentum_jax.studies.atlas.run import store_of, with_wider_ranges
from momentum_jax.studies.run import run_study
from momentum_jax.studies.store import Store
from momentum_jax.training import program

DEVICES = jax.local_devices()[:1]
ARMS = ["gradient_descent(log_uniform(0.01, 3))", "heavy_ball(log_uniform(0.001, 1), 0.9)"]
LISTED = {
    "defaults": {"seeds": 8, "arms": ARMS, "search": {"trials": 12, "seeds": 1}, "ladder": False, "noise_floor": False},
    "study": [
        {
            "name": "Line, 10",
            "why": "Exact.",
            "problem": "linear_regression(10.0, 3, 16)",
            "batch": [4, 8, "all"],
            "steps": [20, 40],
            "search": {"seeds": 2},
            "more_arms": ["adam(0.1)"],
        },
        {"name": "digits", "steps": 60, "noise_floor": True},
    ],
}
ATLAS = Atlas.from_dict(LISTED)


def listing(study):
    return {**LISTED, "study": [*LISTED["study"], study]}


def changed(**study):
    return {**LISTED, "study": [{**LISTED["study"][0], **study}]}


def test_a_cell_is_an_ordinary_study_at_one_batch_size_and_one_budget():
    line, digits = ATLAS.entries
    assert [(cell.batch, cell.steps) for cell in line.cells] == [(4, 20), (4, 40), (8, 20), (8, 40), (None, 20), (None, 40)]
    assert line.cells[4].folder == "line-10/batch-all-steps-20"
    study = line.cells[1].study
    assert [arm.label for arm in study.arms] == ["gradient_descent, tuned", "heavy_ball, tuned", "adam(0.1)"]
    assert (study.search.trials, len(study.search.seeds), len(study.seeds)) == (12, 2, 8)
    assert (study.evaluate_every, study.noise_floor, digits.cells[0].study.noise_floor) == (4, False, True)
    assert digits.cells[0].study.problem is None


def test_a_first_look_has_the_shortest_budget_the_ends_of_the_batches_and_says_so():
    quick = ATLAS.quick()
    assert [(cell.batch, cell.steps) for cell in quick.cells] == [(4, 20), (None, 20), (100, 60)]
    for cell in quick.cells:
        assert (len(cell.study.seeds), cell.study.search.trials, len(cell.study.search.seeds)) == (6, 6, 1)
    assert "first look" in wording.banner(Cells("", True, (), ()))[0]
    assert wording.banner(Cells("", False, (), ())) == []


def test_the_librarys_own_atlas_has_the_problems_and_arms_that_it_promises():
    atlas = Atlas.from_toml()
    assert len(atlas.entries) >= 12
    assert all(entry.why and entry.expects for entry in atlas.entries)
    assert {len(cell.study.seeds) for cell in atlas.cells} == {10}
    assert {cell.study.search.trials for cell in atlas.cells} == {16}
    for entry in atlas.entries:
        names = {arm.expression.name for arm in entry.cells[0].study.arms}
        assert names >= {"gradient_descent", "heavy_ball", "nesterov", "ema_momentum", "adam"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, r"atlas: it must list at least one study, under \[\[study\]\], got none"),
        ({"studies": []}, "atlas: unknown key 'studies'; known keys: title, defaults, study"),
        ({**LISTED, "title": ""}, "atlas: title must be one line"),
        ({**LISTED, "defaults": 3}, "atlas: defaults must be a table"),
        ({"study": [{"steps": 3}]}, r"atlas: every \[\[study\]\] must be a table with a name"),
        (
            {**LISTED, "study": [LISTED["study"][0], {**LISTED["study"][0], "steps": 9}]},
            "must occur once, 'Line, 10' is there twice",
        ),
        (
            {**LISTED, "study": [*LISTED["study"], {"name": "again", "steps": 60, "noise_floor": True}]},
            "'again' is 'digits' under",
        ),
        (changed(stepz=3), "study 'Line, 10': unknown key 'stepz'; did you mean 'steps'"),
        (changed(batch=[]), "study 'Line, 10': batch must be a value, or a list of different ones"),
        (changed(batch=[4, 4]), "study 'Line, 10': batch must be a value, or a list of different ones"),
        (changed(steps=[20, 0]), "study 'Line, 10': Study: steps must be a whole number >= 1, got 0"),
        (changed(more_arms="adam(0.1)"), "study 'Line, 10': more_arms must be a list of arms"),
        (changed(why=3), "study 'Line, 10': why must be text, got 3"),
    ],
)
def test_what_cannot_be_an_atlas_is_refused(content, message):
    with pytest.raises(StudyError, match=message):
        Atlas.from_dict(content)


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ({"problem": "linear_regresion(10.0)"}, r"study 'Line, 10': .*linear_regression"),
        ({"arms": ["gradient_descend(0.1)"]}, r"study 'Line, 10': .*gradient_descent"),
        ({"batch": [4, 17]}, r"study 'Line, 10': .*17"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_run(tmp_path, study, message):
    with pytest.raises(StudyError, match=message):
        run_atlas(Atlas.from_dict(changed(**study)), tmp_path / "atlas")
    assert not (tmp_path / "atlas").exists()


def finding(p, *, direction=1, **fields):
    arms = (Beside("plain", "", 0.5), Beside("moving", "", 0.6, estimate=0.1, effect=2.0, direction=direction))
    return Finding("line", 4, 20, "", kind="helps", mark="Helps", p=p, question=("moving", "plain"), arms=arms, **fields)


def judged(monkeypatch, found):
    cells = iter(found)
    monkeypatch.setattr(module, "_finding", lambda cell, directory: next(cells))
    return module.findings_in(Atlas("", (replace(ATLAS.entries[0], cells=ATLAS.entries[0].cells[: len(found)]),)), ".").findings


def test_the_false_discovery_rate_is_that_of_benjamini_and_hochberg(monkeypatch):
    found = judged(monkeypatch, [finding(p) for p in (0.04, 0.002, 0.03, 0.2, None, 0.01)])
    # By hand: p in order, times 5 over its place, and none larger than a later one.
    assert [each.adjusted for each in found] == pytest.approx([0.05, 0.01, 0.05, 0.2, None, 0.025])
    assert [each.claimed for each in found] == [1, 1, 1, 0, 0, 1]
    assert wording.answer(found[3]) == "Not shown among so many"


def test_no_claim_comes_from_a_control_that_collapsed_or_an_answer_that_was_withheld(monkeypatch):
    fields = ({}, {"collapsed": "plain hardly learned"}, {"kind": "edge"}, {"kind": "diverged"})
    found = judged(monkeypatch, [replace(finding(0.001), **each) for each in fields])
    assert [each.claimed for each in found] == [1, 0, 0, 0]
    assert wording.answer(found[1]) == "No claim: plain hardly learned"
    assert judged(monkeypatch, [finding(0.001, direction=-1)])[0].claimed == -1


def test_cells_are_counted_by_the_place_of_their_batch_among_those_of_their_problem():
    line, digits = ATLAS.entries
    claims = {(4, 20): 0, (4, 40): 1, (8, 20): 1, (8, 40): 1, (None, 20): 1, (None, 40): -1}
    found = [
        replace(finding(0.01), entry=line.name, batch=batch, steps=steps, claimed=claimed)
        for (batch, steps), claimed in claims.items()
    ]
    found.append(replace(finding(0.5), entry=digits.name, batch=100, steps=60))
    cells = Cells("", False, ATLAS.entries, tuple(found))
    assert wording.by_batch(cells) == [
        ("smallest batch", "2", "1", "0", "+2"),
        ("between", "2", "2", "0", "+2"),
        ("largest batch", "2", "1", "1", "+2"),
        ("one batch size", "1", "0", "0", "+2"),
    ]
    assert wording.verdict(cells) == "Momentum beats tuned gradient descent in 4 of 7 cells and loses in 1."
    assert wording.by_problem(cells)[0] == ("Line, 10", "Exact.", "–", "better in 4, worse in 1 of 6 cells")


def test_a_control_that_diverged_explains_no_gain(tmp_path):
    study = replace(
        ATLAS.entries[1].cells[0].study, ladder=True, arms=(Arm("gradient_descent(0.01)"), Arm("heavy_ball(0.01, 0.9)"))
    )
    atlas = Atlas("", (replace(ATLAS.entries[1], cells=(replace(ATLAS.entries[1].cells[0], study=study),)),))
    for name, lost in (
        ("whole", lambda job: False),
        ("lost", lambda job: job.optimizer == "gradient_descent(0.1)" and job.seed == 3),
    ):
        made(store_of(tmp_path / name, atlas.cells[0]), study, diverged=lost)
    whole, lost = (findings_in(atlas, tmp_path / name).findings[0] for name in ("whole", "lost"))
    assert (whole.lost_control, lost.lost_control) == ("", "gradient_descent(0.1) diverged on 1 of 8 seeds")
    assert whole.gains == lost.gains
    assert lost.share is None
    assert (whole.share is None) != whole.gains


def test_theory_is_counted_only_where_it_and_the_study_both_name_a_winner():
    predicted = [replace(finding(0.01), predicted=each) for each in (1, -1, 0, None)]
    cells = Cells("", False, (), (*predicted, replace(finding(0.01, direction=0), predicted=1)))
    assert (len(cells.compared), cells.agreeing) == (2, 1)


@pytest.fixture(scope="module")
def small():
    """Two cells; the ranges of the second are too narrow."""
    narrow = [{"name": "narrow", "arms": ["gradient_descent(log_uniform(0.0001, 0.001))", "heavy_ball(0.1, 0.5)"]}]
    problem = {"problem": "linear_regression(10.0, 3, 16)", "batch": "all", "steps": 8}
    search = {"trials": 3, "seeds": 1}
    return Atlas.from_dict(
        {"defaults": {**LISTED["defaults"], **problem, "search": search}, "study": [{"name": "line"}, *narrow]}
    )


@pytest.fixture(scope="module")
def ran(small, tmp_path_factory):
    """The atlas of two cells, which was stopped after the first and then finished."""
    directory, stopped = tmp_path_factory.mktemp("atlas") / "atlas", []

    def stop(store):
        stopped.append(store.directory)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_atlas(small, directory, on_store=stop, devices=DEVICES)
    made = []
    run_atlas(small, directory, on_cell=lambda cell, study, place, times: made.append((place, times)), devices=DEVICES)
    # A process may not keep the programs of hundreds of studies.
    assert program._program.cache_info().currsize == 0
    return directory, stopped, made


def test_an_atlas_goes_on_where_it_was_stopped_to_the_runs_of_its_studies_alone(small, ran, tmp_path):
    directory, stopped, _ = ran
    first = store_of(directory, small.cells[0])
    assert stopped == [first]
    told = []
    alone = run_study(small.cells[0].study, tmp_path / "alone", devices=DEVICES, on_progress=told.append)
    values = [{run.name: run.test for run in store.runs} for store in (Store.read(first), alone)]
    assert values[0] == values[1]
    # Progress names what the runs are for, and never counts backwards.
    assert [*dict.fromkeys(each.part for each in told)] == ["tuning", "report"]
    shares = [each.model_steps / each.total_model_steps for each in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_a_range_that_stopped_the_search_is_made_wider_with_more_trials_at_most_twice(small, ran):
    directory, _, made = ran
    places = [(place.name, times) for place, times in made if place.parent.name == "narrow"]
    assert places == [("batch-all-steps-8", 0), ("batch-all-steps-8-wider-1", 1), ("batch-all-steps-8-wider-2", 2)]
    studies = [Store.read(directory / "narrow" / name).study for name, _ in places]
    assert [study.arms[0].optimizer for study in studies] == [
        "gradient_descent(log_uniform(0.0001, 0.001))",
        "gradient_descent(log_uniform(0.0001, 0.01))",
        "gradient_descent(log_uniform(0.0001, 0.1))",
    ]
    assert [study.search.trials for study in studies] == [3, 5, 8]
    found = findings_in(small, directory).findings[1]
    assert (found.folder, found.widened) == ("narrow/batch-all-steps-8-wider-2", 2)


def test_a_first_look_makes_no_range_wider(small, tmp_path):
    places = []
    narrow = small.only(("narrow",)).quick()
    run_atlas(narrow, tmp_path, on_cell=lambda cell, study, place, times: places.append(times), devices=DEVICES)
    assert places == [0]


def test_ranges_that_are_wide_enough_stay(tmp_path):
    study = replace(ATLAS.cells[0].study, arms=(Arm("sgd(0.1)"),))
    from momentum_jax.studies.analysis import analyse

    assert with_wider_ranges(study, analyse(made(tmp_path / "study", study))) is None


def test_the_page_and_the_numbers_have_every_cell_and_each_row_opens_its_study(small, ran):
    directory = ran[0]
    for cell in findings_in(small, directory).findings:
        (directory / cell.folder / "report.html").touch()
    page, numbers, picture = write(findings_in(small, directory), directory)
    said = json.loads(numbers.read_text())
    assert (said["cells"], said["answered"], len(said["findings"])) == (2, 2, 2)
    assert [each["runs"] == each["planned"] for each in said["findings"]] == [True, True]
    rows = content(findings_in(small, directory), None).sections[0].blocks[0].rows
    assert all((directory / row.href).is_file() for row in rows)
    assert "http" not in page.read_text().replace("http://www.w3.org/2000/svg", "")
    assert picture.stat().st_size > 1000


def test_the_command_reports_what_is_stored_and_what_is_not(tmp_path, capsys):
    file = tmp_path / "two.toml"
    defaults = 'problem = "linear_regression(10.0, 3, 16)"\nsteps = 8\narms = ["sgd(0.1)"]\n'
    file.write_text(f'[defaults]\n{defaults}[[study]]\nname = "a"\nbatch = [4, "all"]\n')
    assert main(["atlas", "report", str(file)]) == 0
    assert "No cell is answered yet" in capsys.readouterr().out
    assert json.loads((tmp_path / "two" / "atlas.json").read_text())["answered"] == 0
    assert main(["atlas", "run", str(file), "--only", "b"]) == 2
    assert "only must be among a, got 'b'" in capsys.readouterr().err


def test_an_effect_without_a_spread_over_seeds_is_not_drawn_as_none(small, ran):
    cells = findings_in(small, ran[0])
    (one, *rest) = cells.findings
    arms = tuple(replace(arm, effect=None, effect_interval=None) for arm in one.arms)
    page = html(content(replace(cells, findings=(replace(one, arms=arms), *rest)), None))
    assert "no spread over seeds" in page
    assert "no spread over seeds" not in html(content(cells, None))


def test_a_store_of_another_version_is_refused_by_its_name(small, ran, tmp_path):
    directory = tmp_path / "atlas"
    place = store_of(directory, small.cells[0])
    place.parent.mkdir(parents=True)
    made(place, replace(small.cells[0].study, problem=None, batch=8))
    manifest = json.loads((place / "manifest.json").read_text())
    (place / "manifest.json").write_text(json.dumps({**manifest, "schema": 999}))
    with pytest.raises(StudyError, match="999"):
        findings_in(small, directory)


@pytest.mark.slow
def test_the_page_filters_its_rows(window, small, ran):
    path = ran[0] / "filtered.html"
    path.write_text(html(content(findings_in(small, ran[0]), None)))
    window.open(path, width=390)
    assert window.run(browser.WIDE) == []
    shown = "[...document.querySelectorAll('[data-facets]')].filter(row => !row.hidden).length"
    choose = "(() => { const s = document.querySelectorAll('.filters select')[%d]; s.value = '%s'; s.onchange() })()"
    counts = [window.run(shown)]
    for each in ((2, ""), (0, "line"), (0, "narrow"), (0, "")):
        window.run(choose % each)
        counts.append(window.run(shown))
    # The question's arms are called otherwise in the two cells, so that only one of them is chosen at first.
    assert counts == [1, 2, 1, 1, 2]
