"""The experiments: their claims hold at quick size, their known faults stay, every figure is found by its number."""

import dataclasses

import numpy as np
import pytest
from textbook_runs import quick_run

from momentum_jax import textbook
from momentum_jax.textbook import toy_regressions

NEEDS_NO_DATA = [experiment for experiment in textbook.EXPERIMENTS if not experiment.datasets]
ONE = textbook.find("one-dimension")
each_experiment = pytest.mark.parametrize("experiment", NEEDS_NO_DATA, ids=lambda experiment: experiment.name)


@each_experiment
def test_every_claim_holds_or_is_a_known_fault_that_is_still_one(experiment) -> None:
    result = quick_run(experiment.name)
    assert len(result.verdicts) == len(experiment.claims) > 0
    for verdict in result.verdicts:
        expected = "holds" if verdict.claim.known_fault is None else "known fault"
        assert verdict.status == ("not checked" if verdict.claim.full_only else expected), verdict


def test_the_known_faults_of_the_sources_are_these() -> None:
    faults = {
        (experiment.name, claim.quantity)
        for experiment in NEEDS_NO_DATA
        for claim in experiment.claims
        if claim.known_fault is not None
    }
    assert faults == {
        ("one-dimension", "figure 11-1: updates until x = 0.997648"),
        ("rolling-ball", "from (1.5, 1.5), Nesterov: end"),
        ("rolling-ball", "from (0.7, -0.2), Nesterov: end"),
        ("rolling-ball", "deeper minimum"),
        ("rolling-ball", "shallower minimum"),
        ("poor-minima", "share in the shallower minimum, gradient descent less momentum at η = 0.02"),
        ("adaptive-methods", "aligned, RMSprop: updates to 1e-4 of the first value"),
        ("adaptive-methods", "turned, RMSprop: updates to 1e-4 of the first value"),
        ("adaptive-methods", "aligned, RMSprop: distance that is left, over that at a tenth of the rate"),
        (
            "adaptive-methods",
            "turned: the smaller of Adam's gains, shorter across and longer along than gradient descent",
        ),
        ("toy-regressions", "line: least cost of any line"),
        ("toy-regressions", "network: cost at step 0"),
        ("toy-regressions", "network: largest cost at step 0 over 2,000 draws of the data"),
        ("toy-regressions", "network: least cost of the printed last weights over 2,000 draws of the data"),
    }


FOUND_BY = {
    "random-walk": ["4-8", "figure 4-8", "T1 figure 4-8", "random-walk"],
    "one-dimension": ["11-1", "figure 11-2", "T4 figure 11-2", "11-6", "11-2", "11.3"],
    "two-dimensions": ["11-3", "11-4", "11-5", "table 11-1"],
    "rolling-ball": ["11-7", "11-10", "table 11-2", "T4, figure 11-7", "Figure 11-7", "T4, table 11-2", "Rolling-ball"],
    "fair-comparison": ["T4, figure 11-8, tuned", "T4 figure 11-8, tuned"],
    "fashion-mnist": ["T4, figure 11-8", "confusion matrices"],
    "toy-regressions": ["T2", "t2", "NumPy listing"],
}


@pytest.mark.parametrize(("name", "wanted"), [(name, wanted) for name, texts in FOUND_BY.items() for wanted in texts])
def test_an_experiment_is_found_by_its_name_and_by_the_numbers_of_its_figures_and_tables(name, wanted) -> None:
    assert textbook.find(wanted).name == name


# All that the sources number, by document; a bare number of several is a figure's, else a table's.
NUMBERED = {
    "T1": ["figure 4-8", "figure 4-9", "note 4", "note 5"],
    "T2": ["NumPy listing", "TensorFlow listing"],
    "T4": [
        *(f"figure 11-{number}" for number in range(1, 12)),
        *(f"equation 11.{number}" for number in range(1, 11)),
        *(f"listing 11-{number}" for number in range(1, 8)),
        *(f"table 11-{number}" for number in (1, 2)),
        *("file gd_1d", "file gd_2d", "file gd_multiple", "file gd_1d_momentum", "file gd_momentum", "file gd_nesterov"),
        *("file NN", "file fmnist", "file fmnist_momentum", "file fmnist_analyze", "file fmnist_repeat"),
    ],
}


@pytest.mark.parametrize(("document", "number"), [(label, each) for label, all_of in NUMBERED.items() for each in all_of])
def test_whatever_a_source_numbers_is_found_by_that_number(document, number) -> None:
    found = textbook.find(f"{document}, {number}")
    assert f"{document} {number}" in found.reproduces
    assert textbook.find(number) is found
    if number.startswith(("figure", "equation", "file")):
        assert textbook.find(number.split()[-1]) is found


def test_what_several_experiments_have_is_asked_back(monkeypatch) -> None:
    first, second = (dataclasses.replace(ONE, name=name, reproduces=(f"{name} annealing",)) for name in ("T3", "T5"))
    monkeypatch.setattr(textbook, "EXPERIMENTS", (first, second))
    with pytest.raises(ValueError, match=r"^find: 'annealing' is T3 annealing of T3 and T5 annealing of T5; say which\.$"):
        textbook.find("annealing")
    assert textbook.find("T5 annealing") is second


def test_a_document_with_several_experiments_is_asked_back_with_all_of_them() -> None:
    with pytest.raises(
        ValueError, match=r"^find: 'T5' is T5 pathological curvature of ravine.*T5 RMSprop of adaptive-methods.*; say which\.$"
    ):
        textbook.find("T5")


@pytest.mark.parametrize("wanted", ["nothing", "", "1-2", "figure"])
def test_what_there_is_not_is_answered_by_the_names_that_there_are(wanted) -> None:
    with pytest.raises(ValueError, match=r"^find: there is no experiment, figure or table .* random-walk, "):
        textbook.find(wanted)


def test_names_and_numbers_are_given_once() -> None:
    names = [experiment.name for experiment in textbook.EXPERIMENTS]
    numbers = [number for experiment in textbook.EXPERIMENTS for number in experiment.reproduces]
    assert len(set(names)) == len(names)
    assert len(set(numbers)) == len(numbers)
    assert {number.split()[0] for number in numbers} <= set(textbook.DOCUMENTS)


def _gradient(p: np.ndarray) -> np.ndarray:
    x, y = p
    deep, shallow = 2 * np.exp(-((x + 1) ** 2 + (y - 1) ** 2) / 2), np.exp(-((x - 1) ** 2 + (y + 1) ** 2) / 2)
    return np.array([(x + 1) * deep + (x - 1) * shallow, (y - 1) * deep + (y + 1) * shallow])


def test_the_listings_nesterov_is_that_of_a_loop_that_shifts_one_axis_at_a_time() -> None:
    trace = quick_run("rolling-ball").data.by_start[0]["listing"]
    p, v, points = np.array([0.7, -0.2]), np.zeros(2), [np.array([0.7, -0.2])]
    for _ in range(25):
        shifts = np.diag(0.9 * v)
        v = 0.9 * v - 0.1 * np.array([_gradient(p + shifts[0])[0], _gradient(p + shifts[1])[1]])
        p = p + v
        points.append(p)
    np.testing.assert_allclose(trace.points, points, atol=1e-13)


def test_the_line_fits_as_least_squares_do_and_the_network_is_never_below_its_least_cost() -> None:
    data = quick_run("toy-regressions").data
    slope, offset = np.polyfit(data.line.x, data.line.y, 1)
    for fitted in data.line.fitted.values():
        np.testing.assert_allclose(fitted, slope * data.line.x + offset, rtol=1e-6)
    for costs in data.network.costs.values():
        assert costs.min() >= data.network.least


def test_the_regressions_have_the_data_and_the_start_of_the_listings() -> None:
    data = quick_run("toy-regressions").data
    np.testing.assert_allclose(data.line.x, np.arange(-10, 10, 0.1), atol=1e-12)
    for costs in data.line.costs.values():
        assert costs[0] == pytest.approx(np.mean((0.5 - 0.5 * data.line.x - data.line.x**2) ** 2), rel=1e-12)
    x = data.network.x
    assert x.shape == (10,)
    for costs in data.network.costs.values():
        assert costs[0] == pytest.approx(np.mean(((1 + x) / 4 - x**2) ** 2), rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_least_cost_of_the_network_is_that_of_a_search_over_hinges(seed) -> None:
    x = np.sort(np.random.default_rng(seed).uniform(-1, 1, 10))
    least = np.inf
    for hinge in np.linspace(-1, 1, 4001):
        for side in (np.maximum(x - hinge, 0), np.maximum(hinge - x, 0)):
            features = np.stack([side, np.ones_like(x)], axis=1)
            fitted = features @ np.linalg.lstsq(features, x**2)[0]
            least = min(least, np.mean((fitted - x**2) ** 2))
    found = toy_regressions._least_of_network(x)
    assert least - 1e-6 <= found <= least


def test_the_tutorials_faults_are_told_with_what_is_done_instead() -> None:
    faults = quick_run("toy-regressions").as_dict()["tables"][-1]
    assert faults["title"] == "T2, what is wrong in it"
    told = [row[1] for row in faults["rows"]]
    for words in (
        *("each other's names", "no known method", "never initialises", "makes the list longer", "parameters themselves"),
        *("`float(loss)`", "never called", "888.778", "`tf.matmul`", "one variable of four", "`grad / (1 - momentum)`"),
        *("names that do not exist", "1.389", "0.0007"),
    ):
        assert sum(words in fault for fault in told) == 1


def test_the_starts_of_table_11_1_have_the_symbols_of_the_source() -> None:
    (table,) = quick_run("two-dimensions").outcome.tables
    assert [row[0] for row in table.rows] == ["circle", "square", "plus", "triangle", "star"]
    assert [row[0] for row in table.rows if row[-1] == "shallower"] == ["square", "triangle"]


def test_the_tables_of_the_sources_have_their_rows() -> None:
    (ends,) = quick_run("rolling-ball").outcome.tables
    assert len(ends.rows) == 6
    assert ends.rows[0][2:4] == ((0.8807, -0.9063), pytest.approx((0.880716, -0.906319), abs=1e-6))
    for table in quick_run("toy-regressions").outcome.tables[:2]:
        assert [row[0] for row in table.rows] == [str(step) for step in range(0, 1001, 100)]
        assert table.rows[0][1] == table.rows[0][2]
