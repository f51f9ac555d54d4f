"""Studies of problems and optimizers of one's own: what is run, what is stored, and what a resumed study refuses."""

import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from made_studies import made

from momentum_jax.studies import Arm, Search, Study, StudyError, wording
from momentum_jax.studies.analysis import analyse
from momentum_jax.studies.errors import StudyWarning
from momentum_jax.studies.run import add_seeds, run_study
from momentum_jax.studies.scores import RankedScore, Scores
from momentum_jax.studies.search import Choice, LogUniform
from momentum_jax.studies.store import Store
from momentum_jax.training import Problem, Stream, Table, kept, lower, train_many
from momentum_jax.training.results import Interrupted

FILES = Path(__file__).parents[1] / "own_files"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A directory with a regression and optimizers of one's own, from which relative paths are seen."""
    for name in ("regression_file.py", "optimizers_file.py"):
        shutil.copy(FILES / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def study_of(problem="regression_file.py:make(rows=60)", **options):
    given = {
        "steps": 24,
        "evaluate_every": 8,
        "batch": 12,
        "seeds": (0, 1),
        "search": Search(trials=2, seeds=(9,)),
        "arms": (Arm("sgd(0.1)"), Arm("optimizers_file.py:my_momentum(log_uniform(0.01, 0.1))")),
        "noise_floor": False,
    }
    return Study(problem=problem, **{**given, **options})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study in a directory of its own, beside the files that it is of."""
    directory = tmp_path_factory.mktemp("own")
    for name in ("regression_file.py", "optimizers_file.py"):
        shutil.copy(FILES / name, directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        run_study(study_of(), "store")
    return directory


@pytest.fixture
def again(finished, tmp_path, monkeypatch):
    """A copy of that directory, to be changed."""
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    monkeypatch.chdir(copy)
    return copy


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_study_of_a_file_has_its_scores_and_those_of_the_trainer(finished):
    store = Store.read(finished / "store")
    assert store.manifest["status"] == "complete"
    assert [(each.name, each.better) for each in store.scores.ranked] == [("mse", "lower"), ("near", "higher")]
    from own_files.regression_file import make

    (run,) = (run for run in store.of("sgd(0.1)") if run.seed == 1)
    options = {"steps": 24, "batch_size": 12, "splits": [1], "evaluate_at": 8}
    keys = jax.random.key(1)[None]
    (alone,) = train_many(keys, optax.sgd, {"learning_rate": 0.1}, make(rows=60), **options).runs
    assert run.test == {name: value.item() for name, value in alone.test.items()}
    np.testing.assert_array_equal(store.curves(run).validation["mse"], alone.validation["mse"])
    assert set(run.validation) == {"mse", "near"}


def test_the_best_trial_of_a_score_that_is_better_lower_has_the_least(finished):
    store = Store.read(finished / "store")
    label = "my_momentum, tuned"
    trials = {run.optimizer: run.validation["mse"] for run in store.of(label, "tuning")}
    assert {run.optimizer for run in store.of(label)} == {min(trials, key=trials.__getitem__)}
    assert all(run.test == {} for run in store.of(label, "tuning"))
    assert all(text.startswith("optimizers_file.py:my_momentum(learning_rate=0.0") for text in trials)


def test_reports_and_lists_import_no_file_of_the_users(again):
    (again / "regression_file.py").write_text("raise SystemExit('imported')")
    (again / "optimizers_file.py").write_text("raise SystemExit('imported')")
    analysis = analyse(Store.read("store"))
    assert [arm.optimizer.partition("(")[0] for arm in analysis.arms] == ["sgd", "optimizers_file.py:my_momentum"]
    assert not analysis.damage
    assert analysis.comparisons[0].score.n == 2


@pytest.mark.parametrize(
    ("file", "old", "new", "what"),
    [
        ("regression_file.py", "error(params, batch) ** 2), state", "jnp.abs(error(params, batch))), state", "loss"),
        (
            "regression_file.py",
            '{"squared": error(params, batch) ** 2}',
            '{"squared": 2 * error(params, batch) ** 2}',
            "measure",
        ),
        ("regression_file.py", "0.5 * jax", "0.6 * jax", "init"),
        ("regression_file.py", "< 0.1", "< 0.2", "score 'near'"),
        ("regression_file.py", 'lower("squared")', 'higher("squared")', "score 'mse'"),
        ("regression_file.py", "default_rng(0)", "default_rng(1)", "data of the problem"),
        ("regression_file.py", "random_split(rows)", "random_split(rows, validation=0.3)", None),
        ("optimizers_file.py", "trace(momentum)", "trace(momentum, nesterov=True)", "optimizer of arm my_momentum, tuned"),
    ],
)
def test_another_problem_or_optimizer_is_not_resumed(again, file, old, new, what):
    before = (again / "store" / "runs.jsonl").read_bytes()
    change(again / file, old, new)
    with pytest.raises(StudyError, match="cannot be resumed") as refused:
        run_study(study_of(), "store", resume=True)
    assert what is None or what in str(refused.value)
    assert (again / "store" / "runs.jsonl").read_bytes() == before


def test_comments_names_of_files_and_their_places_do_not_count(again):
    change(again / "regression_file.py", "    def init", "\n    # Drawn anew for every run.\n    def init")
    (again / "elsewhere").mkdir()
    (again / "regression_file.py").rename(again / "elsewhere" / "renamed.py")
    seen = []
    run_study(study_of("elsewhere/renamed.py:make(rows=60)"), "store", resume=True, on_progress=seen.append)
    assert not seen, "something was run again"


def test_seeds_are_added_with_the_files_where_they_lay(again):
    store = add_seeds("store", 1)
    assert {run.seed for run in store.of("sgd(0.1)")} == {0, 1, 2}
    before = Store.read(again / "store")
    assert [run for run in before.runs if run.seed < 2] == [run for run in store.runs if run.seed < 2]


@pytest.mark.slow
def test_a_study_that_was_cut_off_goes_on_to_the_same_bits(finished, place):
    whole = Store.read(finished / "store")

    def stop(progress):
        if progress.model_steps > 60:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        run_study(study_of(), "store", on_progress=stop)
    partly = Store.read("store")
    assert 0 < len(partly.runs) < len(whole.runs)
    store = run_study(study_of(), "store", resume=True)
    assert {run.name: (run.test, run.validation, run.key) for run in store.runs} == {
        run.name: (run.test, run.validation, run.key) for run in whole.runs
    }
    for run in store.runs:
        np.testing.assert_array_equal(store.curves(run).train_loss, whole.curves(run).train_loss)


def valley():
    return Problem(
        init=lambda key: ({"x": jax.random.normal(key, (2,))}, {}),
        loss=lambda params, state, batch, key: (jnp.sum(params["x"] ** 2), state),
        measure=lambda params, state, batch, key: {"height": params["x"] ** 2},
        scores={"height": lower(lambda values: jnp.sum(values["height"]))},
    )


def bare(*arms, **options):
    """A study of these arms and nothing else."""
    return Study(**{"steps": 4, "seeds": (0,), "arms": arms, "ladder": False, "noise_floor": False, **options})


def my_adam(learning_rate, b1=0.9):
    return optax.adam(learning_rate, b1)


def test_a_tuned_optimizer_may_decide_by_the_value_of_its_number(tmp_path):
    def halved_where_large(learning_rate):
        return optax.sgd(learning_rate / 2 if learning_rate > 0.05 else learning_rate)

    arm = Arm.of(halved_where_large, label="deciding", learning_rate=Choice((0.02, 0.1)))
    tuned = bare(arm, Arm("sgd(0.05)"), search=Search(trials=2, seeds=(9,)))
    store = run_study(tuned, tmp_path / "store", problem=valley())
    assert len({run.optimizer for run in store.of("deciding", "tuning")}) == 2
    assert store.of("deciding")[0].validation == store.of("sgd(0.05)")[0].validation


def test_an_optimizer_whose_state_changes_its_kind_is_refused_before_anything_is_written(tmp_path):
    def growing(learning_rate):
        twice = lambda updates, state, params=None: (updates, jnp.concatenate([jnp.atleast_1d(state)] * 2))  # noqa: E731
        return optax.GradientTransformation(lambda params: jnp.zeros(()), twice)

    with pytest.raises(StudyError, match="the optimizer's state must keep its shapes and dtypes"):
        run_study(bare(Arm.of(growing, learning_rate=0.1)), tmp_path / "store", problem=valley())
    assert not (tmp_path / "store").exists()


def test_a_problem_and_optimizers_of_python_are_studied_and_resumed(tmp_path):
    arms = (
        Arm.of(my_adam, learning_rate=LogUniform(0.01, 1), b1=Choice((0.0, 0.9))),
        Arm.of(lambda: optax.sgd(0.1, 0.9), label="mine"),
        Arm("heavy_ball(0.1, 0.9)"),
    )
    study = Study(steps=10, seeds=(0, 1), arms=arms, search=Search(trials=2, seeds=(9,)), noise_floor=False, evaluate_every=5)
    store = run_study(study, tmp_path / "store", problem=valley())
    assert not store.scores.tested
    assert all(run.test == {} for run in store.runs)
    # The same method under two names, from the same keys.
    mine, house = ([run.validation["height"] for run in store.of(label)] for label in ("mine", "heavy_ball(0.1, 0.9)"))
    assert mine == pytest.approx(house, rel=1e-5)
    seen = []
    run_study(study, tmp_path / "store", problem=valley(), resume=True, on_progress=seen.append)
    assert not seen
    steeper = valley()._replace(loss=lambda params, state, batch, key: (2 * jnp.sum(params["x"] ** 2), state))
    with pytest.raises(StudyError, match="the problem's loss is not the one it was run with"):
        run_study(study, tmp_path / "store", problem=steeper, resume=True)


@pytest.mark.parametrize(("score", "target", "sign"), [("mse", 0.5, -1), ("near", 0.5, 1)])
def test_a_target_is_met_from_the_side_that_is_better(tmp_path, score, target, sign):
    arms = (Arm("sgd(0.3)"), Arm("adam(0.03)"))
    study = Study(problem="own.py:make()", steps=40, evaluate_every=4, arms=arms, target=target, target_score=score)
    store = made(tmp_path / "store", study, scores=Scores((RankedScore("mse", "lower"), RankedScore("near", "higher"))))
    steps = [step for arm in analyse(store).arms[:2] for step in arm.steps_to_target]
    runs = [run for arm in arms for run in store.of(arm.label)]
    for run, step in zip(runs, steps, strict=True):
        curves = store.curves(run)
        met = [s for s, v in zip(curves.steps, curves.validation[score], strict=True) if sign * v >= sign * target]
        assert step == (met[0] if met else None)
        assert step


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"problem": "regression_file.py:mke()"}, "regression_file.py has no function 'mke'; did you mean make?"),
        ({"problem": "absent.py:make()"}, "absent.py: there is no such file."),
        ({"problem": "regression_file.py"}, 'Study: problem must be a call such as "my_problem.py:make(width=64)"'),
        ({"problem": "no_such_module:make()"}, "there is no module 'no_such_module'"),
        ({"problem": "diabets()"}, "perhaps diabetes?"),
        ({"problem": "regression_file.py:make(widht=3)"}, "make takes width, rows."),
        ({"problem": "regression_file.py:make(width=int(3))"}, "arguments must be literals"),
        ({"problem": "optimizers_file.py:my_momentum(0.1)"}, "must return a training.Problem, got a Gradient"),
        ({"problem": "builtins:enumerate([1])"}, "must return a training.Problem, got an enumerate."),
        (
            {"search": Search(trials=2, seeds=(9,), score="ms")},
            "Search: score must be one of mse, near, got 'ms' (perhaps mse?).",
        ),
        ({"target": 1.0, "target_score": "r2"}, "Study: target_score must be one of mse, near, got 'r2'."),
        ({"batch": 61}, 'Study: batch must be at most 36, the training rows, or "all", got 61.'),
        ({"problem": "factorisation()", "batch": 7}, "Study: batch is of a Table, got 7 with a problem of no data."),
        ({"arms": (Arm("optimizers_file.py:my_momntum(0.1)"),)}, "did you mean my_momentum?"),
        ({"arms": (Arm("optimizers_file.py:my_momentum(rate=0.1)"),)}, "my_momentum takes learning_rate, momentum"),
    ],
)
def test_what_cannot_be_studied_is_refused_before_anything_is_written(place, options, said):
    problem = options.pop("problem", "regression_file.py:make(rows=60)")
    with pytest.raises(StudyError) as refused:
        run_study(study_of(problem, **options), "store")
    assert said in str(refused.value)
    assert not Path("store").exists()


def test_constructors_of_one_name_stay_apart(tmp_path):
    def scaled(factor):
        def own(learning_rate):
            return optax.sgd(factor * learning_rate)

        return own

    arms = [Arm.of(scaled(factor), label=f"{factor}", learning_rate=0.01) for factor in (1, 5)]
    arms += [Arm.of(lambda rate: optax.sgd(rate), label="one", rate=0.01), Arm.of(lambda rate: optax.sgd(rate * 5), rate=0.01)]
    store = run_study(bare(*arms), tmp_path / "store", problem=valley())
    first, fifth, one, five = (store.of(arm.label)[0].validation for arm in arms)
    assert first == one != five == fifth
    # As a cell of a notebook that is run again.
    assert Arm.of(scaled(5), label="5", learning_rate=0.01) == arms[1]


def test_arguments_that_have_no_names_stay_where_they_are(place):
    (place / "nameless.py").write_text(
        "import optax\ndef rate_first(rate=0.1, /, momentum=0.5):\n    return optax.sgd(rate, momentum)\n"
    )
    arms = (Arm("nameless.py:rate_first(0.01)", "own"), Arm("sgd(0.01, 0.5)"))
    store = run_study(bare(*arms), "store", problem=valley())
    own, same = (store.of(label)[0] for label in ("own", "sgd(0.01, 0.5)"))
    assert own.optimizer == "nameless.py:rate_first(0.01)"
    assert own.validation == same.validation


def test_a_split_that_raises_is_raised_with_its_name(place):
    (place / "unsplit.py").write_text(
        "from momentum_jax.problems.diabetes import diabetes\n"
        "def divide(seed):\n    raise ValueError('my own')\n"
        "def make():\n    made = diabetes()\n    return made._replace(data=made.data._replace(split=divide))\n"
    )
    with pytest.raises(ValueError, match="my own") as raised:
        run_study(study_of("unsplit.py:make()"), "store")
    assert any("divide in" in note for note in raised.value.__notes__)


@pytest.mark.parametrize("field", ["dataset", "size", "examples", "network"])
def test_a_problem_excludes_what_describes_images(field):
    value = {"dataset": "mnist", "size": 14, "examples": 10, "network": {"hidden": [3]}}[field]
    with pytest.raises(StudyError, match=f"problem and {field} exclude each other"):
        Study.from_dict({"problem": "diabetes()", "arms": ["sgd(0.1)"], field: value})


def test_what_a_file_raises_is_raised_with_its_name(place):
    (place / "broken.py").write_text("def make():\n    raise KeyError('my own')\n")
    with pytest.raises(KeyError, match="my own") as raised:
        run_study(study_of("broken.py:make()"), "store")
    assert any("broken.py" in note for note in raised.value.__notes__)
    (place / "mistyped.py").write_text("def make(:\n")
    with pytest.raises(StudyError, match="is not Python"):
        run_study(study_of("mistyped.py:make()"), "store")


def test_large_arrays_that_a_function_captures_are_warned_of(tmp_path):
    large = jnp.asarray(np.random.default_rng(0).normal(size=300_000), jnp.float32)
    problem = valley()._replace(loss=lambda params, state, batch, key: (jnp.sum(params["x"]) * jnp.sum(large), state))
    study = bare(Arm("sgd(0.1)"))
    with pytest.warns(StudyWarning, match="loss captures arrays of 1.2 MB"):
        run_study(study, tmp_path / "store", problem=problem)


def test_a_kept_score_that_no_store_could_read_back_is_refused(tmp_path):
    scores = {"height": lower("height"), "all": kept(lambda values: jnp.zeros((300, 300)))}
    study = bare(Arm("sgd(0.1)"))
    with pytest.raises(StudyError, match="score 'all' must have at most 50,000 entries to be stored, got 90,000"):
        run_study(study, tmp_path / "store", problem=valley()._replace(scores=scores))


def test_a_stream_may_be_measured_on_other_arrays_than_it_is_trained_on(tmp_path):
    def batch(*numbers):
        return np.random.default_rng(numbers).normal(size=(4, 3)).astype(np.float32)

    problem = Problem(
        init=lambda key: ({"x": jnp.ones(3)}, {}),
        loss=lambda params, state, batch, key: (jnp.mean((batch["unlabelled"] @ params["x"]) ** 2), state),
        measure=lambda params, state, batch, key: {"error": (batch["x"] @ params["x"] - batch["y"]) ** 2},
        scores={"mse": lower("error"), "rows": kept(lambda values: values["error"])},
        data=Stream(
            lambda seed, step: {"unlabelled": batch(seed, step)},
            lambda: [{"x": batch(1), "y": np.ones(4, np.float32)}],
            lambda: [{"x": batch(2), "y": np.ones(4, np.float32)}],
        ),
    )
    store = run_study(bare(Arm("sgd(0.1)"), batch=None), tmp_path / "store", problem=problem)
    assert store.of("sgd(0.1)")[0].test["mse"] > 0


def test_a_table_that_holds_no_test_rows_is_refused(tmp_path):
    from momentum_jax.training import random_split

    data = Table(np.zeros((20, 2), np.float32), random_split(20, test=0.0))
    study = bare(Arm("sgd(0.1)"), batch=4)
    with pytest.raises(StudyError, match="must have test rows"):
        run_study(
            study, tmp_path / "store", problem=valley()._replace(data=data, measure=lambda p, s, b, k: {"height": b[:, 0]})
        )


def test_a_study_goes_to_json_and_back_with_its_files(place):
    study = study_of("regression_file.py:make(rows=60)", target=0.5, target_score="near", batch=None)
    stored = json.loads(json.dumps(study.to_dict()))
    assert Study.from_dict(stored, paths=study.paths) == study
    assert stored["problem"] == "regression_file.py:make(rows=60)"
    assert not {"dataset", "size", "examples", "network", "paths"} & stored.keys()
    assert study.paths["regression_file.py"] == str(place / "regression_file.py")


def test_two_files_of_one_name_are_refused(place):
    (place / "other").mkdir()
    shutil.copy(place / "optimizers_file.py", place / "other")
    arms = (Arm("optimizers_file.py:my_momentum(0.1)"), Arm("other/optimizers_file.py:my_momentum(0.1)", "b"))
    with pytest.raises(StudyError, match="two different files are called optimizers_file"):
        study_of(arms=arms)


def test_a_path_in_a_toml_file_is_seen_from_it(place, monkeypatch):
    (place / "study.toml").write_text('problem = "regression_file.py:make(rows=60)"\nbatch = "all"\narms = ["sgd(0.1)"]\n')
    (place / "below").mkdir()
    monkeypatch.chdir(place / "below")
    study = Study.from_toml("../study.toml")
    assert study.paths["regression_file.py"] == str(place / "regression_file.py")
    assert study.batch is None


@pytest.mark.slow
def test_arms_may_differ_in_budget_and_in_the_arguments_of_the_problem(place):
    """Each run is what the trainer makes of its own steps, batch and problem."""
    from own_files.regression_file import make

    arms = (
        Arm("sgd(0.1)"),
        Arm("sgd(0.1)", factors={"steps": 12, "batch": 6}),
        Arm("sgd(log_uniform(0.05, 0.2))", "wide", factors={"width": 16, "batch": "all"}),
    )
    study = study_of(arms=arms, target=0.5, ladder=False)
    assert [arm.label for arm in study.arms] == ["sgd(0.1)", "sgd(0.1), steps 12, batch 6", "wide"]
    assert Study.from_dict(json.loads(json.dumps(study.to_dict())), paths=study.paths) == study
    store = run_study(study, "store")
    chosen = float(store.of("wide")[0].optimizer.removeprefix("sgd(").removesuffix(")"))
    for label, rate, steps, batch, width in (
        ("sgd(0.1), steps 12, batch 6", 0.1, 12, 6, 8),
        ("wide", chosen, 24, None, 16),
    ):
        (run,) = (run for run in store.of(label) if run.seed == 1)
        options = {"steps": steps, "batch_size": batch, "splits": [1]}
        problem = make(rows=60, width=width)
        (alone,) = train_many(jax.random.key(1)[None], optax.sgd, {"learning_rate": rate}, problem, **options).runs
        np.testing.assert_array_equal(store.curves(run).train_loss, alone.losses)
    again = Store.read("store")
    assert not again.damage
    assert len({run.key for run in again.runs}) == len(again.runs)
    analysis = analyse(again)
    assert [(arm.factors, arm.budget) for arm in analysis.arms] == [
        ({}, 24),
        ({"steps": 12, "batch": 6}, 12),
        ({"width": 16, "batch": None}, 24),
    ]
    assert any("Arms differ in steps, batch and width besides the optimizer" in said for said in wording.remarks(analysis))
    # Steps of runs with other budgets are not compared.
    assert [each.steps is None for each in analysis.comparisons] == [True, False]
    seen = []
    run_study(study, "store", resume=True, on_progress=seen.append)
    assert not seen


@pytest.mark.slow
def test_an_arms_own_data_are_those_that_it_is_resumed_with(place):
    text = (place / "regression_file.py").read_text()
    noisy = text.replace("rows=120", "rows=120, noise=0.0").replace("sum(1)", "sum(1) + np.float32(noise) * x[:, 0]")
    (place / "noisy.py").write_text(noisy)
    study = study_of("noisy.py:make(rows=60)", arms=(Arm("sgd(0.1)", factors={"noise": 1.0}),), ladder=False, seeds=(0,))
    run_study(study, "store")
    run_study(study, "store", resume=True)
    (place / "noisy.py").write_text(noisy.replace("x[:, 0]", "x[:, 1]"))
    with pytest.raises(StudyError, match=r"the problem's data \(arm sgd\(0\.1\), noise 1\.0\) is not the one"):
        run_study(study, "store", resume=True)


@pytest.mark.slow
def test_an_own_optimizer_is_known_again_on_its_arms_own_problem(place):
    text = """
import optax


def by_width(learning_rate):
    def update(updates, state, params=None):
        # Of the net of 8 units, and of 16.
        factor = {8: 1.0, 16: 2.0}[updates["v"].shape[0]]
        return optax.tree.scale(-factor * learning_rate, updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
"""
    (place / "shaped.py").write_text(text)
    study = study_of(arms=(Arm("sgd(0.1)"), Arm("shaped.py:by_width(0.1)", "wide", {"width": 16})), ladder=False)
    run_study(study, "store")
    (place / "shaped.py").write_text(text.replace("8: 1.0", "8: 3.0"))
    seen = []
    run_study(study, "store", resume=True, on_progress=seen.append)
    assert not seen, "something was run again"
    (place / "shaped.py").write_text(text.replace("16: 2.0", "16: 3.0"))
    with pytest.raises(StudyError, match="the optimizer of arm wide is not the one it was run with"):
        run_study(study, "store", resume=True)


@pytest.mark.slow
def test_arrays_that_are_kept_may_have_other_shapes_where_the_problem_has_other_arguments(place):
    text = (place / "regression_file.py").read_text()
    text = text.replace("lower, random_split", "kept, lower, random_split").replace(
        'scores={"mse"', 'scores={"all": kept(lambda values: values["squared"]), "mse"'
    )
    (place / "keeping.py").write_text(text)
    arms = (Arm("sgd(0.1)"), Arm("sgd(0.1)", factors={"rows": 80}))
    store = run_study(study_of("keeping.py:make(rows=60)", arms=arms, ladder=False, seeds=(0,)), "store")
    again = Store.read("store")
    assert not again.damage
    assert {np.shape(run.test["all"]) for run in again.runs} == {(12,), (16,)}
    assert len(again.runs) == len(store.runs) == 2


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ({"optimizer": "sgd(0.1)", "batch": 0}, "Arm: batch must be a whole number >= 1, got 0."),
        ({"optimizer": "sgd(0.1)", "steps": 1.5}, "Arm: steps must be a whole number >= 1, got 1.5."),
        ({"optimizer": "sgd(0.1)", "width": [3]}, "Arm: width must be a number, a text, true or false, got [3]."),
        ({"optimizer": "sgd(0.1)", "widht": 3}, "make takes width, rows."),
    ],
)
def test_factors_that_no_run_can_have_are_refused(place, arm, said):
    with pytest.raises(StudyError) as refused:
        run_study(Study.from_dict({"problem": "regression_file.py:make()", "batch": 12, "arms": [arm]}), "store")
    assert said in str(refused.value)


def test_an_arm_of_images_has_no_arguments_of_a_problem():
    with pytest.raises(StudyError, match="unknown key 'width'"):
        Study.from_dict({"arms": [{"optimizer": "sgd(0.1)", "width": 3}]})
    study = Study.from_dict({"arms": [{"optimizer": "sgd(0.1)", "batch": 32}, "sgd(0.1)"]})
    assert study.arms[0].factors == {"batch": 32}
    assert study.to_dict()["arms"][0] == {"optimizer": "sgd(0.1)", "label": "sgd(0.1), batch 32", "batch": 32}


def test_a_function_may_import_what_lies_beside_its_file_when_it_is_called(place, monkeypatch):
    from momentum_jax.studies.expression import Expression
    from momentum_jax.studies.material import problem_of

    (place / "beside_the_lazy.py").write_text("ROWS = 60\n")
    (place / "lazy.py").write_text(
        "def make():\n    from beside_the_lazy import ROWS\n    from regression_file import make\n    return make(rows=ROWS)\n"
    )
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    problem = problem_of(Expression.read("lazy.py:make()"), {})
    assert problem.data.arrays[0].shape == (60, 3)
