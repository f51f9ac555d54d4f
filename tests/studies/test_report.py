"""The report of a study: every number comes from stored runs, whatever the study, and a label is only ever text."""

import dataclasses
import json
import re
import tomllib
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
from made_studies import made
from scipy import stats

from momentum_jax import figures
from momentum_jax.report import content, html, markdown, write
from momentum_jax.report.assembly import given, said
from momentum_jax.report.reproduce import toml
from momentum_jax.studies import Arm, Search, Study, wording
from momentum_jax.studies.scores import RankedScore, Scores
from momentum_jax.studies.store import Store, archives
from momentum_jax.studies.study import Network

TUNED = (
    Arm("gradient_descent(log_uniform(0.001, 1))", "plain"),
    Arm("heavy_ball(log_uniform(0.001, 1), one_minus_log_uniform(0.5, 0.99))", "heavy"),
    Arm("adam(0.001)"),
)
WHOLE = Study(steps=200, seeds=tuple(range(10)), target=0.3, evaluate_every=10, arms=TUNED, search=Search(trials=4))
HOSTILE = "<script>alert(1)</script> & $x_1$ | `a` *b* </svg> [c](http://d) \"e\" 'f'"
# What nothing stands in.
VOID = {"meta", "br", "link", "img", "wbr", "use", "circle", "path", "line", "rect"}


class Page(HTMLParser):
    """Checks that tags are balanced; keeps tables as rows of cells, tags with attributes, visible text and its paragraphs."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.tables, self.words, self.links, self.paragraphs = [], [], [], [], {}, []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in VOID:
            return
        self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag in ("p", "li", "caption", "small", "h1"):
            self.paragraphs.append("")
        elif tag == "a" and "data-src" in dict(attrs):
            self.links.setdefault(dict(attrs)["data-src"], []).append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"style", "script"} & {*self.open}:
            return
        self.words.append(data)
        if {"td", "th"} & {*self.open}:
            self.tables[-1][-1][-1] += data
        elif {"p", "li", "caption", "small", "h1"} & {*self.open}:
            self.paragraphs[-1] += data
        if self.open and self.open[-1] == "a" and (last := self.tags[-1][1].get("data-src")):
            self.links[last][-1] += data

    def table(self, *headings):
        """Rows by their first cell, each as cells by heading."""
        found = next(table for table in self.tables if {*headings} <= {*table[0]})
        return {row[0]: dict(zip(found[0], row, strict=True)) for row in found[1:]}

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def found_in(pattern, text):
    match = re.search(pattern, text, re.DOTALL)
    assert match is not None, pattern
    return match


def numbers(text):
    return [float(number.replace(",", "")) for number in re.findall(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?", text)]


def bare(text):
    """A page as a browser without scripts has it."""
    return re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return made(tmp_path_factory.mktemp("report") / "store", WHOLE, diverged=lambda job: job.name == "arm-2/seed-4")


@pytest.fixture(scope="module")
def written(whole):
    return write(whole)


@pytest.fixture(scope="module")
def found(whole):
    return given(whole)


@pytest.fixture(scope="module")
def source(written):
    return written[0].read_text()


@pytest.fixture(scope="module")
def page(source):
    return Page(bare(source))


@pytest.fixture(scope="module")
def data(source):
    return json.loads(found_in(r'id="data">(.*?)</script>', source)[1], parse_constant=pytest.fail)


@pytest.fixture(scope="module")
def lines(whole):
    """The stored runs as they lie on the disk: label -> runs in the order of their seeds."""
    found = {}
    for line in map(json.loads, (whole.directory / "runs.jsonl").read_text().splitlines()):
        if line["phase"] in ("report", "ladder"):
            found.setdefault(line["arm"], []).append(line)
    return {label: sorted(runs, key=lambda run: run["seed"]) for label, runs in found.items()}


def accuracies(runs):
    return np.array([0.0 if run["diverged"] is not None else run["test"]["accuracy"] for run in runs])


def shown(label):
    return f"gradient descent at {float(label[17:-1]):.4g}" if label.startswith("gradient_descent(0") else label


def test_the_page_without_its_script_holds_every_number(found, page):
    analysis = found.analysis
    assert wording.verdict(analysis) in page.text
    for claim in analysis.claims:
        for part in (wording.signed(analysis, claim, claim.evidence.estimate), wording.interval(analysis, claim)):
            assert part in page.text
    for arm in analysis.arms:
        for value in arm.values["accuracy"]:
            assert f"{100 * value:.2f}" in page.text or "diverged at 7" in page.text
        for score in analysis.scores.ranked:
            assert f"{score.factor * arm.described[score.name].mean:{score.form()}}" in page.text


def test_every_source_of_a_number_exists_and_rounds_to_it(page, data):
    assert len(page.links) > 25
    assert {*page.links} == {*data["sources"]}
    for key, texts in page.links.items():
        what, exact, runs = data["sources"][key]
        assert "".join(data["parts"][part] for part in what)
        # Of an arm one run diverged.
        assert re.search(r"(arm-\d|ladder/\d)/seed-\{0( to|, 1, 2, 3, 5, 6, 7, 8,) 9\}", runs)
        for text in texts:
            number = found_in(r"^[-+]?[\d,]+(\.\d*)?", text)
            last = 10.0 ** -max(0, len(number[1] or "") - 1)
            assert float(number[0].replace(",", "")) == pytest.approx(float(exact), abs=0.501 * last), (text, what)


def test_what_the_page_claims_is_what_the_json_claims(written, page):
    claimed = json.loads(written[2].read_text())["claims"]
    rows = page.table("adjusted p", "claimed")
    assert len(rows) == len(claimed) > 8
    for row, claim in zip(rows.values(), claimed, strict=True):
        is_claimed = claim["evidence"]["claimed"]
        assert (row["claimed"] in ("better", "worse", "differs, no direction")) == is_claimed
        assert row["claimed"] == {1: "better", -1: "worse"}.get(claim["evidence"]["direction"], row["claimed"])
        ends = [100 * end if claim["measure"] == "score" else end for end in claim["evidence"]["interval"]]
        assert numbers(row["interval"].replace("above 0", "0").replace("below 0", "0"))[:2] == pytest.approx(ends, abs=0.51)


def test_the_claims_are_recomputed_from_the_stored_runs(lines, page):
    rows = page.table("adjusted p", "claimed")
    recomputed = 0
    for name, row in rows.items():
        first, second = name.removesuffix(", steps").split(" against ")
        if name.endswith(", steps") or "adam" in name:
            continue
        pair = [accuracies(next(runs for label, runs in lines.items() if shown(label) == each)) for each in (first, second)]
        differences = 100 * (pair[0] - pair[1])
        walsh = [(one + other) / 2 for i, one in enumerate(differences) for other in differences[i:]]
        places = len(row["difference"].split(" ")[0].partition(".")[2])
        assert numbers(row["difference"])[0] == pytest.approx(np.median(walsh), abs=0.501 * 10**-places)
        assert float(row["p"]) == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue, rel=0.051)
        recomputed += 1
    assert recomputed >= 3


def test_the_table_of_arms_is_of_the_stored_runs(lines, page):
    rows = page.table("median", "IQM")
    assert list(rows) == [shown(label) for label in lines]
    assert len(rows) == 5
    for label, runs in lines.items():
        row, values = rows[shown(label)], 100 * accuracies(runs)
        low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
        assert numbers(row["test accuracy, %"]) == pytest.approx([values.mean(), stats.sem(values)], abs=0.00501)
        assert numbers(row["accuracy: 95% t interval"]) == pytest.approx([low, high], abs=0.00501)
        assert float(row["median"]) == pytest.approx(np.median(values), abs=0.00501)
        assert float(row["IQM"]) == pytest.approx(stats.trim_mean(values, 0.25), abs=0.00501)
        losses = [run["test"]["loss"] for run in runs if run["diverged"] is None]
        found, error = numbers(row["test loss"])
        assert found == pytest.approx(np.mean(losses), rel=1e-3)
        assert error == pytest.approx(stats.sem(losses), rel=0.0501)
        kind = "tuned" if label in ("plain", "heavy") else "as given" if label == "adam(0.001)" else "added"
        assert (row["runs"], row["diverged"]) == (f"10, {kind}", str(int(label == "adam(0.001)")))


def test_the_table_of_runs_has_every_run(lines, page):
    rows = page.table("seed 0", "seed 9")
    for label, runs in lines.items():
        for run in runs:
            cell = rows[shown(label)][f"seed {run['seed']}"]
            if run["diverged"] is not None:
                assert cell == "diverged at 7"
            else:
                assert float(cell) == pytest.approx(100 * run["test"]["accuracy"], abs=0.00501)


def test_the_steps_to_the_target_are_of_the_stored_curves(whole, page):
    rows = page.table("median step")
    for label in ("plain", "heavy"):
        steps = []
        for run in whole.of(label):
            curves = whole.curves(run)
            steps.append(curves.steps[curves.validation["loss"] <= 0.3][0])
        assert rows[label]["reached"] == "10 of 10"
        assert float(rows[label]["median step"]) == np.median(steps)
        assert float(rows[label]["mean step"]) == pytest.approx(np.mean(steps), abs=0.501)
    assert rows["adam(0.001)"]["reached"] == "9 of 10"


def test_the_tables_of_searches_show_every_trial_and_what_choosing_cost(whole, page):
    searched = page.table("luck of the choice", "searched")
    assert list(searched) == [arm.label for arm in WHOLE.tuned]
    trials = [table for table in page.tables if table and table[0][0] == "trial"]
    for arm, cells, table in zip(WHOLE.tuned, searched.values(), trials, strict=True):
        assert cells["searched"] == arm.optimizer
        fresh = np.mean([run.validation["accuracy"] for run in whole.of(arm.label)])
        assert float(cells["on fresh seeds"]) == pytest.approx(100 * fresh, abs=0.00501)
        luck = float(cells["accuracy, % when chosen"]) - float(cells["on fresh seeds"])
        assert float(cells["luck of the choice"]) == pytest.approx(luck, abs=0.0151)
        assert len(table) == 5
        assert sum("chosen" in row[0] for row in table) == 1
        column = table[0].index("validation accuracy, %")
        best = max(table[1:], key=lambda row: float(row[column]))
        assert "chosen" in best[0]
        by_name = {run.name: run for run in whole.of(arm.label, "tuning")}
        for number, row in enumerate(table[1:]):
            runs = [run.validation["accuracy"] for name, run in by_name.items() if f"/trial-{number}/" in name]
            assert float(row[column]) == pytest.approx(100 * np.mean(runs), abs=0.00501)


def test_means_against_the_first_arm_are_of_the_stored_runs(lines, page):
    first = accuracies(lines["plain"])
    for label, row in page.table("mean difference", "correlation").items():
        other = accuracies(lines[label])
        low, high = stats.ttest_rel(other, first).confidence_interval(0.95)
        assert float(row["mean difference"]) == pytest.approx(100 * (other - first).mean(), abs=0.00501)
        assert numbers(row["95% t interval"]) == pytest.approx([100 * low, 100 * high], abs=0.00501)
        assert float(row["correlation"]) == pytest.approx(np.corrcoef(other, first)[0, 1], abs=0.00501)


def test_rings_lie_where_their_values_are(source):
    figure = source[source.index('id="arms"') : source.index('id="curves"')]
    rows = [each for each in figure.split('role="img"')[1:] if "seed 0" in each]
    values = [float(value) for row in rows for value in re.findall(r"seed \d+: ([\d.]+)%", row.partition(">")[0])]
    places = np.array([float(place) for row in rows for place in re.findall(r'class="d" style=left:([\d.]+)%', row)])
    assert len(places) == len(values) == 49
    values = np.array(values)
    slope, offset = np.polyfit(values, places, 1)
    assert slope > 0
    np.testing.assert_allclose(places, slope * values + offset, atol=0.1)
    assert figure.count("✕") == 1


def test_curves_are_those_of_the_store(whole, data):
    chart = data["charts"]["validation_score"]
    for line, label in zip(chart["series"], ("plain", "heavy"), strict=False):
        curves = [whole.curves(run).validation["accuracy"] for run in whole.of(label)]
        assert chart["x"] == [*range(0, 201, 10)]
        for name, reduce in (("mean", np.mean), ("low", np.min), ("high", np.max)):
            np.testing.assert_allclose(line[name], 100 * reduce(curves, axis=0), rtol=1e-3, atol=1e-9)


def test_every_stored_run_is_named(whole, page):
    text = page.text
    for run in whole.runs:
        head, _, seed = run.name.rpartition("-")
        if run.phase == "tuning":
            assert f"runs in tuning/arm-{run.name[11]}" in text
            head = head.removeprefix(f"tuning/arm-{run.name[11]}/")
        assert re.search(rf"{re.escape(head)}-(\{{[^}}]*\b{seed}\b[^}}]*\}}|\{{\d+ to \d+\}}|{seed})", text), run.name


def test_the_page_needs_nothing_but_itself_and_has_no_id_twice(source):
    page = Page(source)
    names = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(names) == len({*names}) > 0
    for tag, attrs in page.tags:
        assert tag not in ("iframe", "object", "img")
        for name, value in attrs.items():
            if name.split(":")[-1] in ("src", "href"):
                assert value.startswith("#") or value == "data:,", (tag, value[:80])
                assert not value.startswith("#") or value[1:] in names, value
    style = found_in(r"<style>(.*?)</style>", source)[1]
    assert not re.search(r"@import|url\(|https?:", style)
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|https?:(?!//www\.w3\.org/2000/svg)", source)


def test_the_page_says_its_language_width_and_answer_and_every_figure_in_words(found, page):
    assert ("html", {"lang": "en"}) in page.tags
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags
    assert ("meta", {"name": "description", "content": wording.verdict(found.analysis)}) in page.tags
    drawn = [attrs for _, attrs in page.tags if attrs.get("role") == "img" or "data-chart" in attrs]
    assert len(drawn) > 20
    assert all(attrs["aria-label"] for attrs in drawn)


def test_a_sentence_has_at_most_25_words(page):
    for paragraph in page.paragraphs:
        for sentence in re.split(r"(?<=[.?!])\s", " ".join(paragraph.split())):
            assert len(sentence.split()) <= 25, sentence


def test_figures_lie_beside_the_report_as_png_and_pdf_and_belong_to_the_store(whole, written):
    pages = [path.name for path in written]
    assert pages == ["report.html", "report.md", "report.json"]
    known = {*Store.read(whole.directory).manifest["files"]}
    assert {*pages} <= known
    linked = re.findall(r"\]\((figures/\w+\.png)\)", (whole.directory / "report.md").read_text())
    drawn = {path.name for path in (whole.directory / "figures").glob("*.png")}
    assert {name.removeprefix("figures/") for name in linked} == drawn
    assert len(linked) == len(drawn) == 11
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


@pytest.mark.parametrize("label", ["{}", f"{'a label longer than anybody wants ' * 2}{{}}"])
def test_a_page_of_ten_arms_of_their_own_with_two_rungs_has_at_most_250_kb(tmp_path, label):
    names = ("adam", "rmsprop", "adagrad", "nadam", "optax.lion", "optax.adamw", "optax.radam")
    written = ["gradient_descent(log_uniform(0.001, 1))"]
    written += [f"{name}(log_uniform(0.001, 1), 0.9)" for name in ("heavy_ball", "nesterov")]
    written += [f"{name}(log_uniform(0.0001, 1))" for name in names]
    arms = tuple(Arm(optimizer, label.format(optimizer)) for optimizer in written)
    study = Study(steps=1000, seeds=tuple(range(10)), evaluate_every=10, target=0.3, arms=arms, search=Search(trials=16))
    found = content(made(tmp_path / "store", study))
    assert len(found.arms) == 12
    assert len(html(found).encode()) <= 250_000


def test_a_report_opens_each_archive_once_a_pass(tmp_path, monkeypatch):
    store = made(tmp_path / "store", WHOLE)
    opened, real = [], archives.open_archive
    monkeypatch.setattr(archives, "open_archive", lambda file: opened.append(file.name) or real(file))
    given(store)
    assert opened
    assert max(map(opened.count, opened)) <= 2


def test_long_curves_and_many_seeds_are_thinned(tmp_path):
    study = Study(steps=20_000, seeds=tuple(range(40)), evaluate_every=10, arms=(Arm("sgd(0.1)"),), noise_floor=False)
    found = content(made(tmp_path / "store", study))
    assert all(len(chart["x"]) <= 90 for chart in found.data["charts"].values())
    assert found.data["charts"]["validation_score"]["x"][-1] == 20_000
    assert len(html(found).encode()) <= 100_000


def test_a_label_is_text_in_page_and_markdown(tmp_path):
    study = Study(steps=100, seeds=(0, 1, 2), target=0.3, arms=(Arm("adam(0.001)", HOSTILE), Arm("sgd(0.1)", "y" * 100)))
    found = content(made(tmp_path / "store", study))
    source = html(found)
    assert source.count("<script") == source.count("</script>") == 2
    page = Page(bare(source))
    assert not [tag for tag, attrs in page.tags if "http" in attrs.get("href", "")]
    assert HOSTILE in page.table("median", "IQM")
    assert page.text.count("<script>alert(1)</script>") > 5
    text = markdown(found)
    unescaped = re.sub(r"\\.|<summary>.*?</summary>|```.*?```", "", text, flags=re.DOTALL)
    assert "<script" not in unescaped
    assert "](http" not in unescaped


def test_a_name_cannot_turn_the_sentence_around_it(tmp_path):
    study = Study(problem="mine.py:make()", steps=20, seeds=(0, 1, 2), arms=(Arm("sgd(0.1)", "אבג 12"), Arm("adam(0.1)")))
    store = made(tmp_path / "store", study, scores=Scores((RankedScore("mse", "lower"),)))
    store.manifest["machine"]["system"] = "a\u202eb"
    found = html(content(store))
    assert "\u202e" not in found
    assert "a\\u202eb" in found
    assert "<bdi>אבג</bdi> 12" in found


def test_a_check_in_markdown_is_two_sentences(whole):
    lines = [line for line in markdown(content(whole)).splitlines() if re.match("- [✓○⚠] ", line)]
    assert any(re.fullmatch(r"- ✓ Exact signed-rank test: adjusted p is [\d.]+\. p alone is .*\.", line) for line in lines)
    assert any(line.startswith("- ✓ The same arm twice shows no difference. The same arm twice: ") for line in lines)


@pytest.mark.slow
def test_most_of_many_seeds_are_on_the_scale_of_a_difference(tmp_path):
    arms = (Arm("gradient_descent(0.01)"), Arm("heavy_ball(0.01, 0.9)"))
    study = Study(steps=20, seeds=tuple(range(100)), evaluate_every=10, arms=arms, noise_floor=False)
    effect = content(made(tmp_path / "store", study)).effect
    assert effect.drawn.count('class="d"') >= 98


def test_a_label_that_is_read_from_the_right_takes_no_number_beside_it_along(tmp_path):
    arms = (Arm("gradient_descent(log_uniform(0.001, 1))", "אבג"), Arm("heavy_ball(log_uniform(0.001, 1), 0.9)"))
    found = html(content(made(tmp_path / "store", replaced(arms=arms))))
    assert "<summary>All trials of <bdi>אבג</bdi> <small>4, chosen" in found
    assert "<bdi>אבג</bdi> <small>4 trials</small></figcaption>" in found


def test_the_source_of_a_mean_has_the_runs_that_have_a_score(tmp_path):
    study = Study(problem="mine.py:make()", steps=20, seeds=tuple(range(6)), arms=(Arm("sgd(0.1)"), Arm("adam(0.1)")))
    scores = Scores((RankedScore("mse", "lower"),))
    store = made(tmp_path / "store", study, scores=scores, diverged=lambda job: job.name == "arm-1/seed-3")
    data = content(store).data
    sources = {"".join(data["parts"][part] for part in what): runs for what, _, runs in data["sources"].values()}
    assert sources["mean of 5 runs: final test mse of adam(0.1)"] == "arm-1/seed-{0, 1, 2, 4, 5}"
    both = "arm-1/seed-{0, 1, 2, 4, 5} - arm-0/seed-{0, 1, 2, 4, 5}"
    assert sources["mean of 5 differences: mse of adam(0.1) less sgd(0.1)"] == both


@pytest.mark.parametrize("percent", [False, True])
def test_a_scores_name_is_text_in_page_and_markdown(tmp_path, percent):
    name = "a $_$ <i> | `b` *c* _{d}"
    scores = Scores((RankedScore(name, "lower", percent=percent), RankedScore("fit", "higher")))
    found = content(made(tmp_path, dataclasses.replace(WHOLE, problem="mine.py:make()"), scores=scores))
    text = re.sub(r"\\.", "", markdown(found))
    assert "<i>" not in text
    assert "$" not in text
    page = Page(bare(html(found)))
    assert any(name in words for words in page.words)
    assert "i" not in [tag for tag, attrs in page.tags if not attrs]


def test_rows_of_markdown_tables_have_as_many_cells_as_their_headings(tmp_path):
    study = Study(steps=100, seeds=(0, 1, 2), target=0.3, arms=(Arm("adam(0.001)", HOSTILE), Arm("sgd(0.1)", "a|b")))
    text = markdown(content(made(tmp_path / "store", study)))
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) > 4
    for lines in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def replaced(**fields):
    return dataclasses.replace(WHOLE, seeds=tuple(range(6)), **fields)


DEGENERATE = {
    "one seed": (dataclasses.replace(WHOLE, seeds=(0,)), {}),
    "one arm": (replaced(arms=TUNED[2:]), {}),
    "no target": (replaced(target=None), {}),
    "no momentum": (replaced(arms=(Arm("adam(0.001)"), Arm("rmsprop(0.001)"))), {}),
    "no question": (replaced(arms=(Arm("adam(0.001)"), Arm("rmsprop(0.001)"), Arm("adagrad(0.01)"))), {}),
    "no tuning": (replaced(arms=(*TUNED[2:], Arm("heavy_ball(0.01, 0.9)"))), {}),
    "no runs": (WHOLE, {"left_out": lambda job: True}),
    "an arm without runs": (WHOLE, {"left_out": lambda job: job.name.startswith(("arm-1", "control", "ladder"))}),
    "searches alone": (WHOLE, {"left_out": lambda job: job.phase != "tuning"}),
    "runs missing": (WHOLE, {"left_out": lambda job: job.seed in (3, 4)}),
    "all diverged": (WHOLE, {"diverged": lambda job: True}),
    "an arm diverged": (WHOLE, {"diverged": lambda job: job.arm == "heavy"}),
    "some diverged": (WHOLE, {"diverged": lambda job: job.seed in (0, 1000)}),
    "loss decides": (replaced(search=Search(trials=2, score="loss")), {}),
    "loss decides of nothing": (
        replaced(search=Search(trials=2, score="loss")),
        {"diverged": lambda job: job.phase == "tuning"},
    ),
    "no controls": (replaced(noise_floor=False, ladder=False), {}),
    "looks": (dataclasses.replace(WHOLE, seeds=tuple(range(8)), looks=(8, 16)), {}),
    "steps decide": (replaced(measure="steps", matters=10.0), {}),
    "a title": (replaced(title="Mine: <b>which</b>?"), {}),
    "factors": (replaced(arms=(Arm("sgd(0.1)"), Arm("sgd(0.1, 0.9)", factors={"batch": 50}))), {}),
}


QUICK = ("one seed", "no question", "no runs", "searches alone", "all diverged", "some diverged", "steps decide")


@pytest.mark.parametrize("case", [pytest.param(case, marks=() if case in QUICK else pytest.mark.slow) for case in DEGENERATE])
def test_a_study_that_lacks_something_has_a_report_without_it(tmp_path, case):
    study, how = DEGENERATE[case]
    found = given(made(tmp_path / "store", study, **how))
    analysis, told = found.analysis, said(found)
    source = html(told)
    page, keys = Page(bare(source)), [section.key for section in told.sections]
    assert keys[-3:] == ["evidence", "reproduce", "words"]
    assert ("checks" in keys) == bool(analysis.runs)
    assert ("cost" in keys) == ("arms" in keys) == bool(analysis.arms)
    assert ("rate" in keys) == bool(analysis.tunings)
    assert ("why" in keys) <= (analysis.ladder is not None)
    assert (told.effect is None) == (analysis.answer.kind in ("nothing", "diverged", "noquestion"))
    assert (page.text.count("Steps until the validation loss 0.3") == 1) == (study.target is not None and bool(analysis.arms))
    for word in ("nan", "None", "inf", "-0"):
        assert not any(word in cell.split() for table in page.tables for row in table for cell in row)
        assert word not in re.findall(r"[-\w.]+", " ".join(page.paragraphs))
    # An axis or a chart that could not be placed.
    assert not re.search(r"(left|top|width):(nan|-?inf)|NaN|Infinity", source)
    assert markdown(told).startswith(f"# {'Mine: ' if case == 'a title' else ''}")


def test_figures_leave_out_what_would_flatten_them_and_say_so(tmp_path, rows):
    from filled_stores import CONTROL, MOMENTUM, OWN, PLAIN, SHARED, filled

    study = Study(steps=400, seeds=tuple(range(8)), target=0.5, noise_floor=False, arms=(Arm(PLAIN), Arm(MOMENTUM)))
    scores = {PLAIN: 0.8 + SHARED, MOMENTUM: 0.9 + SHARED + OWN, CONTROL: np.full(8, 0.1)}
    store = filled(tmp_path, study, rows, scores, phases={CONTROL: "ladder"}, flat=(CONTROL,))
    source = html(content(store))
    assert source.count("off the scale: hardly learned") == 1
    assert len(re.findall(r"◀ off the scale<|>off the scale ▶", source)) == 2
    ticks = re.findall(r"<span style=left:[\d.]+%>(\d+)%</span>", source[source.index('id="arms"') :])
    assert min(map(float, ticks)) >= 75


def test_what_is_missing_damaged_or_added_later_is_said_above_everything(tmp_path):
    store = made(tmp_path / "store", WHOLE, left_out=lambda job: job.seed == 5, seeds_added=[4, 5])
    with open(store.directory / "runs.jsonl", "r+b") as file:
        file.seek(200)
        file.write(b"#")
    found = content(Store.read(store.directory))
    source = html(found)
    banner = source[source.index('class="banner"') : source.index("<nav")]
    planned = f"of {store.manifest['planned']} planned"
    for sentence in ("This study is not finished", planned, "were added", "Damaged files were found"):
        assert sentence in banner
        assert sentence in markdown(found)
    assert 'class="banner"' not in html(content(made(tmp_path / "sound", WHOLE)))


def test_a_search_that_stopped_at_its_edge_is_shown_what_to_search_instead(tmp_path):
    arms = (Arm("gradient_descent(log_uniform(0.001, 1))", "plain"), Arm("heavy_ball(log_uniform(0.001, 1), 0.9)", "moving"))
    found = given(made(tmp_path / "store", replaced(arms=arms, search=Search(trials=1))))
    short = [tuning.arm for tuning in found.analysis.tunings if not tuning.wide_enough]
    assert short == ["plain", "moving"]
    rate = next(section for section in said(found).sections if section.key == "rate")
    assert rate.take.text == "Not for plain and moving: the best trial lies at the edge of what was searched."


STUDIES = {
    "tuned": WHOLE,
    "declared": dataclasses.replace(
        WHOLE, seeds=(3, 1, *range(20, 26)), looks=(8, 16), question=("heavy", "plain"), title='a "title" \\ here', matters=0.5
    ),
    "network": dataclasses.replace(
        WHOLE, target=None, batch=None, size=4, network=Network(hidden=(), output_activation="tanh", dropout=0.5)
    ),
    "problem": Study(
        problem="mine.py:make(width=64)",
        steps=20,
        seeds=(0, 1, 2),
        arms=(Arm("sgd(0.1)", HOSTILE), Arm("adam(0.1)", factors={"batch": None, "width": 8, "kind": "a"})),
        search=Search(score="mse", seeds=(5, 6)),
    ),
}


@pytest.mark.parametrize("study", STUDIES)
def test_the_toml_of_a_page_is_the_study(study):
    assert Study.from_dict(tomllib.loads(toml(STUDIES[study]))) == STUDIES[study]


def test_arms_with_steps_of_their_own_share_a_chart(found):
    first, second = found.scores[:2]
    cut = dataclasses.replace(second, **{name: getattr(second, name)[:11] for name in ("steps", "mean", "low", "high")})
    told = said(dataclasses.replace(found, scores=(first, cut)))
    chart = told.data["charts"]["validation_score"]
    assert chart["x"][-1] == 200
    assert [value is None for value in chart["series"][1]["mean"]] == [False] * 11 + [True] * 10


def test_what_the_page_is_set_with_travels_with_the_package():
    for name in ("page.html.jinja", "page.css", "page.js", "theme.js"):
        assert (files("momentum_jax.report") / name).is_file()


def test_the_page_uses_no_plotting_library(source):
    assert "matplotlib" not in source.lower()
    assert not hasattr(figures, "svg")
