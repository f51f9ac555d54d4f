"""`momentum-jax reproduce`: the list, the tables, the exit codes, and what lacks its data."""

import json
import re
import sys
from dataclasses import replace

import jax
import pytest

from momentum_jax import cli, data, textbook
from momentum_jax.figures import textbook as drawings
from momentum_jax.textbook import Claim, Table

# The backend starts as it does in the rest of the suite: `main` finds it running and leaves the number of devices alone.
jax.devices()

ONE = textbook.find("one-dimension")
WRONG = Claim("figure 11-2: times it changed sides", 14, 0.5, "T4, figure 11-2")


@pytest.fixture
def reproduce(capfd, tmp_path, monkeypatch):
    """Exit code, standard output and standard error of `momentum-jax reproduce` with these arguments, into `tmp_path`.

    Figures take longer than the experiment, so they are left out where they are not asked for.
    """

    def run(*arguments, drawn=False):
        with monkeypatch.context() as patch:
            if not drawn:
                patch.setattr(drawings, "write", lambda result, directory: [])
            code = cli.main(["reproduce", *arguments, "--out", str(tmp_path)])
        return code, *capfd.readouterr()

    return run


def test_without_a_name_every_experiment_is_listed_with_its_figures_and_the_documents(reproduce) -> None:
    code, out, err = reproduce()
    assert (code, err) == (0, "")
    for experiment in textbook.EXPERIMENTS:
        assert experiment.name in out
        for number in experiment.reproduces:
            assert number in out
    for document in textbook.DOCUMENTS.values():
        assert document in out


def test_one_is_run_by_the_number_of_its_figure_and_prints_its_claims(reproduce, tmp_path) -> None:
    code, out, err = reproduce("11-6", "--quick", drawn=True)
    assert (code, err) == (0, "")
    for words in (
        "one-dimension, quick size",
        "published",
        "ours",
        "tolerance",
        "verdict",
        "yes",
        "a known fault of the source",
    ):
        assert words in out
    files = {path.name for path in (tmp_path / "one-dimension-quick").iterdir()}
    assert files == {"result.json", "report.html", "figure_11-1.png", "figure_11-2.png", "figure_11-6.png"}
    assert all(str(tmp_path / "one-dimension-quick" / name) in out for name in files)


def test_the_page_shows_published_beside_ours_beside_the_picture_without_a_network(reproduce, tmp_path) -> None:
    reproduce("11-6", "--quick", drawn=True)
    page = (tmp_path / "one-dimension-quick" / "report.html").read_text()
    assert page.count('<img class="picture"') == 3
    assert "8 of 9 claims hold; 1 of 9 are known faults of their sources." in page
    assert "R. T. Kneusel, Math for Deep Learning" in page
    assert "Buduma" not in page
    assert not re.findall(r"(?:src|href)=[\"']?(?:https?:|/)", page)
    row = page[page.index("figure 11-6: x after 50 updates") :]
    assert re.findall(r"<td>([^<]*)</td>", row)[1:5] == ["1.000215", "1.000215", "1e-12", "yes"]


def test_a_claim_that_does_not_hold_is_shown_and_makes_the_exit_code_1(reproduce, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(textbook, "EXPERIMENTS", (replace(ONE, claims=(*ONE.claims, WRONG)),))
    code, out, _ = reproduce("one-dimension", "--quick")
    assert code == 1
    assert "NO: off by 1, allowed" in out
    assert json.loads((tmp_path / "one-dimension-quick" / "result.json").read_text())["ok"] is False
    code, out, _ = reproduce("--all", "--quick")
    assert code == 1
    assert "1 do not hold and should" in out


def test_a_finding_against_a_source_is_a_row_and_leaves_the_exit_code_0(reproduce, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(textbook, "EXPERIMENTS", (replace(ONE, claims=(*ONE.claims, replace(WRONG, finding=True))),))
    code, out, _ = reproduce("one-dimension", "--quick")
    assert code == 0
    assert "no, our measurement does not" in out
    kept = json.loads((tmp_path / "one-dimension-quick" / "result.json").read_text())
    assert (kept["ok"], kept["claims"][-1]["status"], kept["claims"][-1]["holds"]) == (True, "not confirmed", False)
    page = (tmp_path / "one-dimension-quick" / "report.html").read_text()
    assert "1 of 10 are claims of their sources that our measurement does not confirm" in page
    assert "Reproduced in part" in page
    code, out, _ = reproduce("--all", "--quick")
    assert code == 0
    assert "1 are not confirmed by our measurement, 0 do not hold and should" in out


def test_where_nothing_was_checked_it_is_said(reproduce, monkeypatch) -> None:
    claims = tuple(replace(claim, full_only=True) for claim in ONE.claims)
    monkeypatch.setattr(textbook, "EXPERIMENTS", (replace(ONE, claims=claims),))
    assert f"one-dimension: the quick size tests none of its {len(claims)} claims." in reproduce("11-6", "--quick")[1]
    assert "are not tested by this size, which tests nothing of one-dimension" in reproduce("--all", "--quick")[1]
    assert "tests none" not in reproduce("11-6")[1]


def test_what_lacks_its_data_says_so_in_one_line_and_the_others_run(reproduce, monkeypatch, tmp_path) -> None:
    def measure(settings, surroundings):
        return data.load("mnist", directory=surroundings.data_directory)

    lacking = replace(ONE, name="lacking", reproduces=("T1 figure 0-0",), measure=measure, datasets=("mnist",))
    monkeypatch.setattr(textbook, "EXPERIMENTS", (lacking, ONE))
    nowhere = tmp_path / "nowhere"
    code, out, err = reproduce("--all", "--quick", "--data", str(nowhere))
    assert code == 0
    (line,) = [line for line in err.splitlines() if "lacking" in line]
    assert line.startswith("momentum-jax: lacking was not run: load: ")
    assert f"momentum-jax data fetch mnist --directory {nowhere}" in line
    assert "1 experiments: 8 claims hold, 1 are known faults of their sources, 0 are not confirmed" in out
    assert out.rstrip().endswith("not run: lacking")
    code, _, err = reproduce("lacking", "--data", str(nowhere))
    assert code == 2
    assert "momentum-jax data fetch mnist" in err
    assert {path.name for path in tmp_path.iterdir()} == {"one-dimension-quick"}


def test_a_data_set_that_could_not_be_had_is_tried_once_and_its_remedy_is_the_one_line(reproduce, monkeypatch) -> None:
    tried = []

    def load(name, **options):
        tried.append(name)
        print(f"{name}: train-images from a mirror", file=sys.stderr)
        raise data.DataError(f"fetch: {name} could not be downloaded. Check the network.")

    monkeypatch.setattr(data, "load", load)
    lacking = [replace(ONE, name=name, reproduces=(), datasets=("mnist",)) for name in ("first", "second")]
    monkeypatch.setattr(textbook, "EXPERIMENTS", (*lacking, ONE))
    code, _, err = reproduce("--all", "--quick", "--cores", "1")
    assert code == 0
    assert tried == ["mnist"]
    assert err.splitlines() == [
        f"momentum-jax: {name} was not run: fetch: mnist could not be downloaded. Check the network."
        for name in ("first", "second")
    ]


def test_a_quick_run_does_not_replace_the_result_of_a_full_one(reproduce, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(textbook, "EXPERIMENTS", (ONE,))
    assert reproduce("one-dimension", "--quick")[0] == 0
    assert reproduce("one-dimension")[0] == 0
    sizes = {path.parent.name: json.loads(path.read_text())["size"] for path in tmp_path.glob("*/result.json")}
    assert sizes == {"one-dimension": "full", "one-dimension-quick": "quick"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "there is no experiment, figure or table 'nothing'; the experiments are random-walk"),
        (["--quick"], "reproduce: give an experiment or --all with --quick, got neither."),
        (["11-1", "--all"], "give an experiment or --all, got both '11-1' and --all."),
    ],
)
def test_what_is_asked_for_wrongly_is_answered_in_one_line_and_exit_code_2(reproduce, arguments, message) -> None:
    code, out, err = reproduce(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_the_tables_of_the_source_are_printed(reproduce, monkeypatch) -> None:
    made = Table("T2, costs", ("step", "cost"), (("0", 0.1234567891), ("100", (1.0, 2.5))))
    experiment = replace(ONE, measure=lambda settings, where: replace(ONE.measure(settings, where), tables=(made,)))
    monkeypatch.setattr(textbook, "EXPERIMENTS", (experiment,))
    code, out, _ = reproduce("one-dimension")
    assert code == 0
    for text in ("T2, costs", "step", "0.1234568", "100", "(1, 2.5)"):
        assert text in out
