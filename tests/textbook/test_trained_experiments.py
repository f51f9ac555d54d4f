"""The experiments that train: their declared sizes, what they read from runs, and each from end to end on the digits."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from momentum_jax import data, textbook
from momentum_jax.cli import main
from momentum_jax.figures import textbook as figures
from momentum_jax.studies import Network, Search, Study, StudyError
from momentum_jax.studies.material import build_model
from momentum_jax.studies.store import Curves, Run, Store
from momentum_jax.textbook import (
    batch_size,
    fair_comparison,
    fashion_mnist,
    flat_minima,
    hundred_runs,
    mnist,
    nesterov_batches,
    optimizers_side_by_side,
)
from momentum_jax.textbook.experiment import Surroundings
from momentum_jax.textbook.trained import mean_and_error
from momentum_jax.training.checkpoint import restore_params

TRAINED = [experiment for experiment in textbook.EXPERIMENTS if hasattr(experiment.quick, "study")]
each_experiment = pytest.mark.parametrize("experiment", TRAINED, ids=lambda experiment: experiment.name)


def small(experiment: textbook.Experiment, **changes) -> textbook.Experiment:
    """The experiment on the digits, with a small net and few steps."""
    study = experiment.quick.study
    channels = study.network.channels[:1]
    network = replace(study.network, hidden=(6,), channels=channels)
    search = Search(trials=2, seeds=(1000,)) if study.tuned else study.search
    study = replace(
        study,
        dataset="digits",
        size=None,
        examples=None,
        network=network,
        steps=30,
        batch=20,
        seeds=study.seeds[:2],
        search=search,
    )
    return replace(experiment, quick=replace(experiment.quick, study=replace(study, evaluate_every=10), **changes))


def test_the_experiments_that_train_are_all_here() -> None:
    assert {experiment.name for experiment in TRAINED} == {
        "mnist-momentum",
        "fashion-mnist",
        "fair-comparison",
        "hundred-runs",
        "batch-size",
        "nesterov-batches",
        "optimizers-side-by-side",
        "flat-minima",
    }


@pytest.mark.parametrize(
    ("name", "runs", "steps", "batch", "dataset"),
    [
        ("4-9", 3 * 5, 20_000, 100, "mnist"),
        ("11-8", 4 * 22, 40_000, 64, "fashion_mnist"),
        ("fair-comparison", 2 * 22, 40_000, 64, "fashion_mnist"),
        ("11-9", 100, 10_000, 64, "fashion_mnist"),
        ("11-11", 5 * 5, 12 * 16_384 // 128, 128, "mnist"),
    ],
)
def test_the_full_size_is_that_of_the_source(name, runs, steps, batch, dataset) -> None:
    study = textbook.find(name).full.study
    assert (len(study.arms) * len(study.seeds), study.steps, study.batch, study.dataset) == (runs, steps, batch, dataset)


def test_the_nets_are_those_of_the_sources() -> None:
    book = Network((100, 50), "sigmoid", "sigmoid", "uniform", "half_squared_error")
    for name in ("11-8", "11-9", "fair-comparison"):
        study = textbook.find(name).full.study
        assert (study.network, study.size, study.sampling) == (book, 14, "replacement")
    assert textbook.find("4-9").full.study.network == Network((256, 256))
    assert textbook.find("11-11").full.study.examples == 16_384


def test_the_tuned_arms_have_the_same_budget_and_are_reported_on_seeds_that_the_search_did_not_see() -> None:
    for name in ("fair-comparison", "flat-minima", "batch-size", "nesterov-batches"):
        study = textbook.find(name).full.study
        assert study.tuned == study.arms
        assert not {*study.seeds} & {*study.search.seeds}
    assert not {*textbook.find("fair-comparison").full.study.seeds} & {*textbook.find("11-8").full.study.seeds}


@each_experiment
def test_numbers_of_the_full_size_are_not_checked_at_another(experiment) -> None:
    for claim in experiment.claims:
        measured = np.full(np.shape(claim.value), np.nan)
        status = textbook.check(claim, measured, size="quick").status
        assert (status == "not checked") == (claim.full_only)


def test_figure_11_11_checks_the_orders_and_nan_is_none_of_them() -> None:
    experiment = textbook.find("11-11")
    nothing = textbook.Outcome({claim.quantity: np.nan for claim in experiment.claims}, None)
    result = textbook.run(replace(experiment, measure=lambda settings, surroundings: nothing))
    assert {verdict.status for verdict in result.verdicts} == {"does not hold"}


def test_flatter_minima_are_claimed_by_the_rule_and_a_measurement_against_them_is_a_finding() -> None:
    experiment = textbook.find("flat-minima")
    measured = {claim.quantity: 0.0 for claim in experiment.claims}
    result = textbook.run(replace(experiment, measure=lambda settings, surroundings: textbook.Outcome(measured, None)))
    assert result.ok
    assert [verdict.status for verdict in result.verdicts] == ["not confirmed", "not confirmed", "holds"]
    assert "the ratio and its interval are in the table below" in result.verdicts[1].reason


def test_the_lower_curvature_is_claimed_of_the_arm_that_has_it() -> None:
    random = np.random.default_rng(0)
    values = {
        label: {name: level * np.exp(0.1 * random.standard_normal(10)) for name in flat_minima.MEASURES}
        for label, level in ((flat_minima.MOMENTUM, 1.0), (flat_minima.ADAM, 2.0))
    }
    values[flat_minima.ADAM]["trace"] = values[flat_minima.MOMENTUM]["trace"][::-1]
    found = flat_minima._evidence(values)
    table = flat_minima._ratios(found)
    assert [row[-1] for row in table.rows] == ["lower", "no difference is shown", "lower"]
    for name in ("largest eigenvalue", "training loss"):
        low, high = flat_minima._interval(found[name])
        assert low < np.exp(-found[name].estimate) < high < 1
        assert np.exp(-found[name].estimate) == pytest.approx(0.5, abs=0.05)


def test_a_mean_leaves_out_what_is_not_finite_and_says_so() -> None:
    assert mean_and_error([1.0, 3.0], ".1f") == "2.0 ± 1.0"
    assert mean_and_error([1.0, np.inf, 3.0], ".1f") == "2.0 ± 1.0, 1 of 3 not finite"
    assert mean_and_error([np.nan, np.inf]) == "2 of 2 not finite"


def test_a_larger_batch_is_had_for_as_many_examples_and_for_as_many_updates() -> None:
    study = textbook.find("batch-size").full.study
    small, examples, updates = (study.with_factors(arm.factors) for arm in study.arms)
    assert small.steps * small.batch == examples.steps * examples.batch
    assert (small.steps, updates.batch) == (updates.steps, examples.batch)
    assert examples.batch == batch_size.TIMES * small.batch


def test_noise_of_small_batches_leaves_the_minimum_and_without_noise_nothing_does() -> None:
    noise = batch_size.Noise(batches=(1, 64), updates=300, runs=100)
    shares = batch_size._escaped(noise)
    assert shares[1] > 0.3
    assert shares[64] == 0
    assert batch_size._escaped(replace(noise, spread=0.0)) == {1: 0, 64: 0}


@pytest.mark.parametrize("method", nesterov_batches.METHODS)
def test_the_distance_that_is_left_is_that_of_the_equations(method) -> None:
    quadratic = nesterov_batches.Quadratic(condition_number=10.0, curvatures=3, updates=30)
    (left,) = nesterov_batches._left(quadratic, method, np.array([0.8]))
    curvatures, x, v = np.geomspace(0.1, 1, 3), np.ones(3), np.zeros(3)
    for _ in range(30):
        ahead = x + 0.8 * v if method == nesterov_batches.NESTEROV else x
        v = 0.8 * v - curvatures * ahead
        x = x + v
    assert left == pytest.approx(np.linalg.norm(x) / np.sqrt(3), rel=1e-9)


def test_the_lower_training_loss_is_claimed_of_the_method_that_has_it() -> None:
    random = np.random.default_rng(0)
    losses = np.exp(0.1 * random.standard_normal((10, 2)))
    found = nesterov_batches._evidence({nesterov_batches.FULL: losses * (1.0, 0.5), nesterov_batches.MINI: losses * (0.5, 1.0)})
    assert [each.direction for each in found.values()] == [1, -1]


@pytest.mark.parametrize(
    ("name", "quantity", "excused", "refused"),
    [
        ("mnist-momentum", mnist._to_cost(mnist.WITHOUT), 13_900, 30_000),
        ("mnist-momentum", mnist._OF_MOMENTUM, 1.0, 90.0),
        ("mnist-momentum", mnist._OF_MOMENTUM, 1.0, 0.1),
        ("fashion-mnist", fashion_mnist._OWN, -0.0001, 0.02),
        ("fashion-mnist", fashion_mnist._OWN, -0.0001, -0.02),
        ("fashion-mnist", fashion_mnist._PUBLISHED_U_P2, 2.523e-6, 1e-3),
        ("fair-comparison", fair_comparison._GAIN, -0.008, 0.05),
    ],
)
def test_a_known_fault_excuses_only_what_is_said_to_be_true_instead(name, quantity, excused, refused) -> None:
    claims = [claim for claim in textbook.find(name).claims if claim.quantity == quantity]
    ours = [claim for claim in claims if claim.source.startswith("ours, ")]
    assert any(textbook.check(claim, excused).status == "known fault" for claim in claims)
    assert ours
    assert all(textbook.check(claim, excused).status == "holds" for claim in ours)
    assert any(textbook.check(claim, refused).status == "known fault" for claim in claims)
    assert not all(textbook.check(claim, refused).acceptable for claim in ours)


@pytest.mark.parametrize(
    # The digits come with scikit-learn.
    "experiment",
    [each for each in TRAINED if each.datasets != ("digits",)],
    ids=lambda experiment: experiment.name,
)
def test_without_its_data_an_experiment_says_so_in_a_line_with_the_remedy(experiment, tmp_path, capsys) -> None:
    # One core: there may be no more devices in a process where JAX has started.
    place = ["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--cores", "1"]
    assert main(["reproduce", experiment.name, "--quick", *place]) != 0
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert f"momentum-jax data fetch {experiment.datasets[0]}" in said[0]
    with pytest.raises(data.DataError):
        textbook.run(experiment, tmp_path / "out", quick=True, data_directory=tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_full_size_is_run_unless_the_quick_one_is_asked_for() -> None:
    sizes = []
    experiment = textbook.Experiment(
        name="sizes",
        title="",
        reproduces=(),
        claims=(),
        full="full",
        quick="quick",
        measure=lambda settings, surroundings: (sizes.append(settings), textbook.Outcome({}, None))[1],
        duration="",
    )
    for options in ({}, {"quick": True}):
        textbook.run(experiment, **options)
    assert sizes == ["full", "quick"]


def test_steps_to_the_cost_are_read_from_each_curve_as_it_is_shown() -> None:
    random = np.random.default_rng(3)
    losses = (0.3 * 0.999 ** np.arange(3000) * random.uniform(0.5, 1.5, 3000)).astype(np.float32)
    validation = {"accuracy": np.zeros(4), "loss": np.array([2.0, 0.2, 0.09, 0.05])}
    curves = Curves(losses, np.array([0, 1000, 2000, 3000]), validation)
    run = Run(
        "r", "report", "a", "a", 0, {"accuracy": 0.9, "mcc": 0.9, "loss": 0.1}, {"accuracy": 0.9, "loss": 0.05}, None, 1.0
    )
    assert mnist._reached(run, curves, mnist.HELD_OUT, 0.1) == 2000
    means = np.convolve(losses, np.ones(100) / 100, "valid")
    assert mnist._reached(run, curves, mnist.MEAN, 0.1) == np.flatnonzero(means <= 0.1)[0] + 100
    points = np.unique(np.linspace(0, 2999, 1000).astype(int))
    last, weight, smoothed = 0.0, 0.0, []
    for point in points:
        # TensorBoard's own recursion.
        last, weight = 0.6 * last + 0.4 * losses[point], 0.6 * weight + 0.4
        smoothed.append(last / weight)
    first = int(points[np.array(smoothed) <= 0.1][0]) + 1
    assert mnist._reached(run, curves, mnist.TENSORBOARD, 0.1) == first
    assert (mnist._reached(run, curves, mnist.SMOOTHER, 0.1) or 0) > first
    assert mnist._reached(replace(run, diverged=2999), curves, mnist.TENSORBOARD, 0.1) is None
    assert mnist._reached(run, curves, mnist.SMOOTHER, 1e-6) is None


def test_the_published_p_of_u_is_scipys_one_sided_one() -> None:
    # Two samples of 22 without ties, 41 of whose 484 pairs have the larger value in the first.
    second = 1000.0 * np.arange(22)
    first = np.concatenate([[18_500.0, 21_500.0], -1.0 - np.arange(20)])
    found = stats.mannwhitneyu(first, second, alternative="less", method="asymptotic")
    assert found.statistic == fashion_mnist.PUBLISHED_U
    assert found.pvalue == pytest.approx(fashion_mnist.PUBLISHED_U_P, rel=1e-2)


def test_a_class_that_is_hardly_ever_recognised_is_not_learned() -> None:
    learned = np.diag([90, 80, 70]) + 10
    lost = np.array([[90, 10, 10], [80, 5, 25], [30, 0, 80]])
    scores = {"accuracy": 0.9, "mcc": 0.9, "loss": 0.1}
    runs = [
        Run("r", "report", "a", "a", 0, {**scores, "confusion": tuple(map(tuple, counts.tolist()))}, scores, None, 1.0)
        for counts in (learned, lost)
    ]
    assert hundred_runs._unlearned(runs).tolist() == [0, 1]


def test_the_mode_is_where_most_runs_are() -> None:
    values = np.concatenate([np.full(5, 0.801), np.linspace(0.825, 0.835, 60), [0.85]])
    assert hundred_runs._mode(values) == pytest.approx(0.83, abs=hundred_runs.READ)


def test_the_mode_does_not_hang_on_the_lowest_run() -> None:
    values = np.concatenate([[0.795], np.linspace(0.8305, 0.8395, 40), np.linspace(0.841, 0.849, 20)])
    for lowest in (0.791, 0.7935, 0.796, 0.799):
        values[0] = lowest
        assert hundred_runs._mode(values) == pytest.approx(0.835)


def test_a_long_left_tail_is_more_than_a_skewness_that_normal_results_have() -> None:
    (claim,) = [claim for claim in textbook.find("11-9").claims if claim.quantity == hundred_runs._SKEWNESS]
    assert textbook.check(claim, -3.4).status == "holds"
    random = np.random.default_rng(0)
    skewnesses = stats.skew(random.normal(size=(500, 100)), axis=1)
    assert not any(textbook.check(claim, skewness).acceptable for skewness in skewnesses)


def test_equal_times_are_one_measurement_and_the_odd_run_of_a_smaller_wave_is_none() -> None:
    assert optimizers_side_by_side._by_wave([13.7, 13.7, 20.5, 20.5, 9.1]).tolist() == [13.7, 20.5]
    assert optimizers_side_by_side._by_wave([3.0, 1.0, 2.0]).tolist() == [1.0, 2.0, 3.0]
    assert optimizers_side_by_side._by_wave([5.0] * 5).tolist() == [5.0]


def test_a_time_has_a_standard_error_from_three_waves_on() -> None:
    assert optimizers_side_by_side._median_and_error(np.array([13.7332, 20.4671])) == "17.1"
    assert optimizers_side_by_side._median_and_error(np.array([1.0, 2.0, 6.0])) == "2 ± 1.5"


def test_every_published_number_of_the_22_runs_has_a_claim_at_which_our_full_runs_stand() -> None:
    claims = textbook.find("11-8").claims
    for words, published in (
        ("gradient descent: standard error of MCC", 0.00056),
        ("momentum: standard error of MCC", 0.00075),
    ):
        (claim,) = [claim for claim in claims if claim.quantity == words]
        assert claim.value == published
        assert all(textbook.check(claim, error).status == "holds" for error in (0.00049, 0.00091))
        assert textbook.check(claim, 3 * published).status == "does not hold"
    (claim,) = [claim for claim in claims if claim.quantity == "p of U, one-sided"]
    assert claim.value == fashion_mnist.PUBLISHED_U_P
    assert [textbook.check(claim, p).status for p in (1e-5, 0.01)] == ["holds", "does not hold"]


def end_to_end(experiment: textbook.Experiment, directory: Path) -> textbook.Result:
    result = textbook.run(small(experiment), directory, quick=True)
    written = figures.write(result, directory)
    assert written
    assert all(path.stat().st_size > 10_000 for path in written)
    content = json.loads((directory / "result.json").read_text())
    assert [claim["published"] is not None for claim in content["claims"]] == [True] * len(experiment.claims)
    assert Study.from_dict(content["settings"]["study"]) == result.settings.study
    return result


def test_an_experiment_trains_draws_and_goes_on_from_its_store(tmp_path, monkeypatch) -> None:
    first = end_to_end(textbook.find("11-9"), tmp_path)
    monkeypatch.setattr(Store, "add", lambda self, wave: pytest.fail("a run was repeated"))
    again = textbook.run(small(textbook.find("11-9")), tmp_path, quick=True)
    np.testing.assert_array_equal(again.data.mccs, first.data.mccs)
    store = Store.read(tmp_path / "study-30-steps")
    assert first.data.mccs.tolist() == pytest.approx([run.test["mcc"] for run in store.runs])


@pytest.mark.slow
@each_experiment
def test_every_experiment_trains_and_draws(experiment, tmp_path) -> None:
    result = end_to_end(experiment, tmp_path)
    assert {claim.quantity for claim in experiment.claims} <= result.outcome.quantities.keys()


@pytest.mark.slow
def test_the_statistics_of_the_runs_are_those_of_scipy(tmp_path) -> None:
    result = end_to_end(textbook.find("11-8"), tmp_path)
    store = Store.read(tmp_path / "study-30-steps")
    without, with_momentum = (
        np.array([run.test["mcc"] for run in store.of(label)]) for label in (fashion_mnist.WITHOUT, fashion_mnist.WITH)
    )
    quantities = result.outcome.quantities
    t = stats.ttest_ind(with_momentum, without)
    assert quantities["t of 22 against 22"] == pytest.approx(t.statistic)
    assert quantities["p of t"] == pytest.approx(t.pvalue)
    assert quantities["Mann-Whitney U"] == stats.mannwhitneyu(without, with_momentum).statistic


@pytest.mark.slow
def test_the_curvatures_are_those_of_the_dense_hessian(tmp_path) -> None:
    experiment = small(textbook.find("flat-minima"), examples=100, probes=400)
    experiment = replace(
        experiment, quick=replace(experiment.quick, study=replace(experiment.quick.study, network=Network(hidden=(2,))))
    )
    result = textbook.run(experiment, tmp_path, quick=True)
    store = Store.read(tmp_path / "study-30-steps")
    dataset = data.load("digits")
    model = build_model(store.study, dataset)
    for index, run in enumerate(store.of(flat_minima.ADAM)):
        flat, tree = jax.flatten_util.ravel_pytree(restore_params(store.directory / "checkpoints" / run.name))
        chosen = dataset.split(run.seed).train[:100]

        def loss(flat, chosen=chosen, tree=tree):
            images = jnp.asarray(dataset.images[chosen] / dataset.scale, jnp.float32)
            outputs, _ = model.apply(tree(flat), {}, images, key=jax.random.key(0), train=False)
            return jnp.mean(model.loss(outputs, jnp.asarray(dataset.labels[chosen], int)))

        eigenvalues = np.linalg.eigvalsh(jax.hessian(loss)(flat))
        found = {name: values[index] for name, values in result.data.values[flat_minima.ADAM].items()}
        assert found["largest eigenvalue"] == pytest.approx(eigenvalues[-1], rel=1e-3)
        assert found["trace"] == pytest.approx(eigenvalues.sum(), rel=0.2)
        assert found["training loss"] == pytest.approx(float(loss(flat)), rel=1e-5)


@pytest.mark.slow
def test_without_a_directory_nothing_is_left_behind(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    experiment = small(textbook.find("11-9"))
    outcome = experiment.measure(experiment.quick, Surroundings())
    assert len(outcome.data.mccs) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_another_study_in_the_place_of_a_store_is_refused(tmp_path) -> None:
    experiment = small(textbook.find("11-9"))
    textbook.run(experiment, tmp_path, quick=True)
    other = replace(experiment, quick=replace(experiment.quick, study=replace(experiment.quick.study, batch=10)))
    with pytest.raises(StudyError, match=r"study\.batch is 20 there and 10 now"):
        textbook.run(other, tmp_path, quick=True)
