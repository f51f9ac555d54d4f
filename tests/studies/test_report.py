"""The report of a study: every number comes from stored runs, whatever the study, and a label is only ever text."""

import dataclasses
import re
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
from made_studies import made
from scipy import stats

from momentum_jax.cli.report import write
from momentum_jax.studies import Arm, Search, Study
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.report import content, html, markdown, write_report
from momentum_jax.studies.scores import RankedScore, Scores
from momentum_jax.studies.store import Store

TUNED = (
    Arm("gradient_descent(log_uniform(0.001, 1))", "plain"),
    Arm("heavy_ball(log_uniform(0.001, 1), one_minus_log_uniform(0.5, 0.99))", "heavy"),
    Arm("adam(0.001)"),
)
WHOLE = Study(steps=200, seeds=tuple(range(6)), target=0.3, arms=TUNED, search=Search(trials=4))
HOSTILE = "<script>alert(1)</script> & $x_1$ | `a` *b* </svg> [c](http://d)"
VOID = {"meta", "br", "link", "img", "wbr"}


class Page(HTMLParser):
    """Checks that tags are balanced; keeps tables as rows of cells, tags with attributes, and visible text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.tables, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)
        if {"td", "th"} & {*self.open}:
            self.tables[-1][-1][-1] += data

    def table(self, *headings):
        """Rows by their first cell, each as cells by heading."""
        found = next(table for table in self.tables if {*headings} <= {*table[0]})
        return {row[0]: dict(zip(found[0], row, strict=True)) for row in found[1:]}


def numbers(text):
    return [float(number.replace(",", "")) for number in re.findall(r"[-+]?\d[\d,]*\.?\d*", text)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return made(tmp_path_factory.mktemp("report") / "store", WHOLE)


@pytest.fixture(scope="module")
def written(whole):
    return write(whole)


@pytest.fixture(scope="module")
def page(written):
    return Page(written[0].read_text())


def said(store, pictures=()):
    return content(store, analyse(store), ["One sentence."], pictures)


def test_the_table_of_arms_is_of_the_stored_runs(whole, page):
    rows = page.table("test accuracy, %", "loss", "mcc")
    assert list(rows)[:3] == [arm.label for arm in WHOLE.arms]
    assert len(rows) == 5
    for label, row in rows.items():
        runs = whole.of(label, "report", "ladder")
        values = 100 * np.array([run.test["accuracy"] for run in runs])
        sem = stats.sem(values)
        low, high = stats.t.interval(0.95, 5, values.mean(), sem)
        assert row["optimizer as run"] == runs[0].optimizer
        assert list(row)[-1] == "optimizer as run", "on a phone the numbers are to be seen first"
        assert numbers(row["test accuracy, %"]) == pytest.approx([values.mean(), sem], abs=0.00501)
        assert numbers(row["95% t interval"]) == pytest.approx([low, high], abs=0.00501)
        assert float(row["median"]) == pytest.approx(np.median(values), abs=0.00501)
        assert float(row["IQM"]) == pytest.approx(stats.trim_mean(values, 0.25), abs=0.00501)
        for score in ("loss", "mcc"):
            values = np.array([run.test[score] for run in runs])
            found, error = numbers(row[score])
            assert found == pytest.approx(values.mean(), abs=0.0000501)
            # Of two digits.
            assert error == pytest.approx(stats.sem(values), rel=0.0501)
        assert (
            row["runs"] == f"6, {'tuned' if label in ('plain', 'heavy') else 'fixed' if label == 'adam(0.001)' else 'ladder'}"
        )


def test_the_comparisons_are_of_the_stored_runs(whole, page):
    rows = page.table("Holm p", "Wilcoxon p")
    assert list(rows) == ["heavy", "adam(0.001)"]
    first = np.array([run.test["accuracy"] for run in whole.of("plain")])
    for label, row in rows.items():
        other = np.array([run.test["accuracy"] for run in whole.of(label)])
        test = stats.ttest_rel(other, first)
        low, high = test.confidence_interval(0.95)
        assert float(row["difference, points"]) == pytest.approx(100 * (other - first).mean(), abs=0.00501)
        assert numbers(row["95% t interval"]) == pytest.approx([100 * low, 100 * high], abs=0.00501)
        shown = row["t test p"]
        assert (test.pvalue < 1e-4) if shown == "< 0.0001" else float(shown) == pytest.approx(test.pvalue, rel=0.051)
        assert float(row["Wilcoxon p"]) == pytest.approx(stats.wilcoxon(other, first).pvalue, rel=0.051)
        assert float(row["correlation"]) == pytest.approx(np.corrcoef(other, first)[0, 1], abs=0.00501)


def test_the_steps_to_the_target_are_of_the_stored_curves(whole, page):
    rows = page.table("median step")
    for label, row in rows.items():
        steps = []
        for run in whole.of(label, "report", "ladder"):
            curves = whole.curves(run)
            steps.append(curves.steps[curves.validation["loss"] <= 0.3][0])
        assert row["reached"] == "6 of 6"
        assert float(row["mean step"]) == pytest.approx(np.mean(steps), abs=0.501)


def test_the_ladder_is_of_the_stored_runs(whole, page):
    table = next(table for table in page.tables if "share of the gain" in table[0])
    heavy, plain, control = (
        np.array([run.test["accuracy"] for run in whole.of(label, "report", "ladder")])
        for label in ("heavy", *list(page.table("test accuracy, %"))[3:])
    )
    rows = [dict(zip(table[0], row, strict=True)) for row in table[1:]]
    expected = [heavy - plain, control - plain, heavy - control]
    for row, difference in zip(rows[:3], expected, strict=True):
        assert float(row["mean"]) == pytest.approx(100 * difference.mean(), abs=0.00501)
    assert [row["what"] for row in rows[:4]] == ["the whole gain", "the larger step", "momentum itself", "both tuned"]


def test_the_tuning_shows_every_trial_and_what_selection_cost(whole, page):
    for arm in WHOLE.tuned:
        row = page.table("optimism, points")[arm.label]
        assert row["searched"] == arm.optimizer
        fresh = np.mean([run.validation["accuracy"] for run in whole.of(arm.label)])
        assert float(row["fresh accuracy, %"]) == pytest.approx(100 * fresh, abs=0.00501)
        tuned, fresh, optimism = (float(row[name]) for name in ("tuned accuracy, %", "fresh accuracy, %", "optimism, points"))
        assert optimism == pytest.approx(tuned - fresh, abs=0.0151)
    trials = [table for table in page.tables if table[0][0] == "trial"]
    assert [len(table) for table in trials] == [5, 5]
    for table in trials:
        assert sum("chosen" in row[0] for row in table) == 1


def test_every_stored_run_is_named_behind_an_arm(whole, page):
    named = {
        name for row in next(t for t in page.tables if t[0] == ["arm", "phase", "runs"])[1:] for name in row[2].split(", ")
    }
    assert named == {run.name for run in whole.runs}


def test_the_page_needs_nothing_but_itself_and_has_no_id_twice(page):
    names = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(names) == len({*names}) > 0
    for tag, attrs in page.tags:
        assert tag not in ("script", "link", "iframe", "object")
        for name, value in attrs.items():
            if name.split(":")[-1] in ("src", "href"):
                assert value.startswith(("#", "data:image/png")), (tag, value[:80])
                assert not value.startswith("#") or value[1:] in names
    assert "@import" not in "".join(page.rawdata)


def test_the_page_says_its_language_width_and_title_and_every_figure_in_words(page):
    assert ("html", {"lang": "en"}) in page.tags
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags
    drawn = [attrs for tag, attrs in page.tags if tag == "figure"]
    assert len(drawn) == 6 + 5
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in drawn)


def test_figures_lie_beside_the_report_as_png_and_pdf_and_belong_to_the_store(whole, written):
    pages = [path.name for path in written]
    assert pages == ["report.html", "report.md", "report.json"]
    known = {*Store.read(whole.directory).manifest["files"]}
    assert {*pages} <= known
    linked = re.findall(r"\]\((figures/\w+\.png)\)", (whole.directory / "report.md").read_text())
    assert len(linked) == 11
    for name in linked:
        assert (whole.directory / name).read_bytes()[:4] == b"\x89PNG"
        assert (whole.directory / name).with_suffix(".pdf").read_bytes()[:4] == b"%PDF"
        assert {name, name.replace(".png", ".pdf")} <= known


@pytest.mark.slow
def test_the_same_store_gives_the_same_bytes_and_a_figure_that_is_no_more_goes(tmp_path):
    study = Study(steps=100, seeds=(0, 1), arms=(Arm("adam(0.001)"),), noise_floor=False)
    store = made(tmp_path / "store", study)
    paths = write(store)
    figures = sorted((store.directory / "figures").iterdir())
    before = [path.read_bytes() for path in (*paths, *figures)]
    stale = store.directory / "figures" / "ladder.png"
    stale.write_bytes(b"of an earlier report")
    store.note(files=[stale])
    strangers = store.directory / "figures" / "mine.png"
    strangers.write_bytes(b"not of the report")
    write(Store.read(store.directory))
    assert [path.read_bytes() for path in (*paths, *figures)] == before
    assert not stale.exists()
    assert strangers.exists()


def test_a_label_is_text_in_page_and_markdown(tmp_path):
    study = Study(steps=100, seeds=(0, 1, 2), target=0.3, arms=(Arm("adam(0.001)", HOSTILE), Arm("sgd(0.1)", "y" * 100)))
    paths = write(made(tmp_path / "store", study))
    page = Page(paths[0].read_text())
    assert not [tag for tag, attrs in page.tags if tag == "script" or "http" in attrs.get("href", "")]
    assert HOSTILE in page.table("test accuracy, %")
    # In the figures too, where a legend may break the line.
    assert "".join(page.words).count("<script>alert(1)</script>") > 5
    text = paths[1].read_text()
    unescaped = re.sub(r"\\.|<summary>.*?</summary>", "", text)
    assert "<script" not in unescaped
    assert "](http" not in unescaped


@pytest.mark.parametrize("percent", [False, True])
def test_a_scores_name_is_text_in_page_markdown_and_figures(tmp_path, percent):
    name = "a $_$ <i> | `b` *c* _{d}"
    scores = Scores((RankedScore(name, "lower", percent=percent), RankedScore("fit", "higher")))
    study = dataclasses.replace(WHOLE, problem="mine.py:make()")
    write(made(tmp_path, study, scores=scores))
    text = re.sub(r"\\.", "", (tmp_path / "report.md").read_text())
    assert "<i>" not in text
    assert "$" not in text
    page = Page((tmp_path / "report.html").read_text())
    assert any(name in words for words in page.words)
    assert "i" not in [tag for tag, _ in page.tags]


@pytest.mark.parametrize(("factors", "is_one"), [({}, True), ({"batch": 5}, True), ({"noise": 1.0}, False)])
def test_arms_with_arguments_of_their_own_are_not_said_to_share_a_test_set(tmp_path, factors, is_one):
    arms = (Arm("sgd(0.1)"), Arm("adam(0.1)", factors=factors))
    study = Study(problem="mine.py:make()", steps=20, seeds=(0, 1, 2), arms=arms)
    store = made(tmp_path, study, scores=Scores((RankedScore("mse", "lower"),)))
    assert ("one and the same test set" in markdown(content(store, analyse(store), [], ()))) == is_one


def test_rows_of_markdown_tables_have_as_many_cells_as_their_headings(tmp_path):
    study = Study(steps=100, seeds=(0, 1, 2), target=0.3, arms=(Arm("adam(0.001)", HOSTILE), Arm("sgd(0.1)", "a|b")))
    text = markdown(said(made(tmp_path / "store", study)))
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert blocks
    for lines in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def replaced(**fields):
    return dataclasses.replace(WHOLE, **fields)


DEGENERATE = {
    "one seed": (replaced(seeds=(0,)), {}),
    "one arm": (replaced(arms=TUNED[2:]), {}),
    "no target": (replaced(target=None), {}),
    "no momentum": (replaced(arms=(Arm("adam(0.001)"), Arm("rmsprop(0.001)"))), {}),
    "no tuning": (replaced(arms=(*TUNED[2:], Arm("heavy_ball(0.01, 0.9)"))), {}),
    "no runs": (WHOLE, {"left_out": lambda job: True}),
    "an arm without runs": (WHOLE, {"left_out": lambda job: job.name.startswith(("arm-1", "control", "ladder"))}),
    "runs missing": (WHOLE, {"left_out": lambda job: job.seed in (3, 4)}),
    "all diverged": (WHOLE, {"diverged": lambda job: True}),
    "an arm diverged": (WHOLE, {"diverged": lambda job: job.arm == "heavy"}),
    "some diverged": (WHOLE, {"diverged": lambda job: job.seed in (0, 1000)}),
    "loss decides": (replaced(search=Search(trials=2, score="loss")), {}),
    "loss decides of nothing": (
        replaced(search=Search(trials=2, score="loss")),
        {"diverged": lambda job: job.phase == "tuning"},
    ),
}


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case in ("one seed", "some diverged") else pytest.mark.slow) for case in DEGENERATE]
)
def test_a_study_that_lacks_something_has_a_report_without_it(tmp_path, case):
    from momentum_jax import figures
    from momentum_jax.studies.conclusions import conclusions
    from momentum_jax.studies.learning_curves import learning_curves, score_curves

    study, how = DEGENERATE[case]
    store = made(tmp_path / "store", study, **how)
    analysis = analyse(store)
    drawn = figures.report(analysis, learning_curves(store, ladder=True), score_curves(store, ladder=True))
    pictures = {name: figures.svg(figure, name) for name, figure in drawn.items()}
    paths = write_report(store, analysis, conclusions(analysis), pictures)
    page, text = Page(paths[0].read_text()), paths[1].read_text()
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert ("Steps to the target" in headings) == (study.target is not None and bool(analysis.arms))
    assert ("Where momentum's gain comes from" in headings) == (analysis.ladder is not None) == ("ladder" in drawn)
    assert ("Tuning and sensitivity" in headings) == bool(analysis.tunings) == ("sensitivity" in drawn)
    assert ("Compared with the first arm" in headings) == bool(analysis.comparisons)
    for word in ("nan", "None", "inf"):
        assert not any(word in cell.split() for table in page.tables for row in table for cell in row)


def test_what_is_missing_damaged_or_added_later_is_said(tmp_path):
    store = made(tmp_path / "store", WHOLE, left_out=lambda job: job.seed == 5, seeds_added=[4, 5])
    with open(store.directory / "runs.jsonl", "r+b") as file:
        file.seek(200)
        file.write(b"#")
    text = markdown(said(Store.read(store.directory)))
    planned = store.manifest["planned"]
    assert "runs are missing" in text
    assert f"of {planned} planned" in text
    assert "Seeds 4, 5 were added" in text
    assert "Damaged files were found" in text
    assert "planned" not in markdown(said(made(tmp_path / "sound", WHOLE)))


def test_a_diverged_run_is_named_as_such(tmp_path):
    store = made(tmp_path / "store", WHOLE, diverged=lambda job: job.name == "arm-2/seed-1")
    page = Page(html(said(store), {}))
    row = page.table("seed 0", "seed 1")["adam(0.001)"]
    assert row["seed 1"] == "diverged at 7"
    assert "diverged" not in row["seed 0"]
    assert page.table("test accuracy, %")["adam(0.001)"]["diverged"] == "1"


def test_a_choice_at_the_edge_of_its_range_is_warned_of(tmp_path):
    arms = (Arm("gradient_descent(log_uniform(0.001, 1))", "plain"),)
    store = made(tmp_path / "store", replaced(arms=arms, search=Search(trials=1)))
    tuning = analyse(store).tunings[0]
    moved = dataclasses.replace(analyse(store), tunings=(dataclasses.replace(tuning, edges=("learning_rate",)),))
    warned = markdown(content(store, moved, [], ()))
    assert "plain: the chosen learning\\_rate lies in the outer tenth of its range" in warned
    inside = dataclasses.replace(moved, tunings=(dataclasses.replace(tuning, edges=()),))
    assert "outer tenth" not in markdown(content(store, inside, [], ()))


def test_the_template_travels_with_the_package():
    assert (files("momentum_jax.studies.report") / "page.html.jinja").is_file()
