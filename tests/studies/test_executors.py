"""Runs that are trained by workers: what the coordinator decides, what a worker refuses, and what goes between them."""

import base64
import collections
import dataclasses
import json
import math
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from executed_studies import FILES, content
from made_studies import environment, made
from scripted_executor import Scripted, answer_to

from momentum_jax.optimizers.sgd import sgd
from momentum_jax.problems import diabetes
from momentum_jax.report import content as report_of, markdown
from momentum_jax.studies import Arm, Search, Study, StudyError
from momentum_jax.studies.errors import StudyWarning
from momentum_jax.studies.executors.message import Answer, Garbled, Order
from momentum_jax.studies.jobs import reporting
from momentum_jax.studies.run import run_study
from momentum_jax.studies.store import Curves, Store

PROBLEM = f"{FILES / 'regression_file.py'}:make(width=4, rows=60)"
STUDY = Study(
    problem=PROBLEM,
    steps=12,
    evaluate_every=6,
    batch=12,
    seeds=(0, 1, 2),
    search=Search(trials=2, seeds=(9,)),
    arms=(Arm("gradient_descent(log_uniform(0.01, 0.1))"), Arm(f"{FILES / 'optimizers_file.py'}:my_momentum(0.01)")),
    ladder=False,
)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """What the study comes to in one process, on one device as a worker has it."""
    import jax

    directory = tmp_path_factory.mktemp("embedded") / "study"
    run_study(STUDY, directory, devices=jax.local_devices()[:1])
    return content(directory)


def faithful(before, order):
    return answer_to(order)


def twice(before, order):
    """All that was ever answered to such orders, each row twice."""
    answers.append(Answer.unpack(answer_to(order)))
    rows = tuple(row for answer in answers for row in answer.rows)
    return dataclasses.replace(answers[-1], rows=rows + rows).pack()


answers: list[Answer] = []


def half_at_first(before, order):
    answer = Answer.unpack(answer_to(order))
    return answer.pack() if before else dataclasses.replace(answer, rows=answer.rows[1:]).pack()


def garbled_at_first(before, order):
    text, archive = answer_to(order)
    return (text, archive) if before else (text, archive[:-200] + bytes(200))


def strange_at_first(before, order):
    answer = Answer.unpack(answer_to(order))
    ((run, curves), *others) = answer.rows
    strange = dataclasses.replace(run, key="0" * 32)
    return answer.pack() if before else dataclasses.replace(answer, rows=((strange, curves), *others)).pack()


def dead_at_first(before, order):
    if not before:
        raise ConnectionError("the worker is gone")
    return answer_to(order)


@pytest.mark.parametrize("script", [twice, half_at_first, garbled_at_first, strange_at_first, dead_at_first])
def test_whatever_becomes_of_the_answers_the_store_is_that_of_one_process(script, embedded, tmp_path):
    answers.clear()
    executor = Scripted(script)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", StudyWarning)
        store = run_study(STUDY, tmp_path / "study", executor=executor)
    assert content(tmp_path / "study") == embedded
    lost = [str(each.message) for each in said if "submitted again" in str(each.message)]
    faithful_calls = 2 + 9
    assert len(executor.orders) - faithful_calls == len(lost) == (0 if script is twice else faithful_calls)
    assert store.manifest["status"] == "complete"
    assert "any_bits" not in store.manifest


def test_answers_may_come_in_any_order(embedded, tmp_path):
    seen = []
    executor = Scripted(faithful, seconds=lambda number: 0.1 - 0.01 * number)
    run_study(STUDY, tmp_path / "study", executor=executor, on_progress=seen.append)
    assert content(tmp_path / "study") == embedded
    done = [progress.model_steps for progress in seen]
    assert done == sorted(done)
    assert done[-1] == seen[-1].total_model_steps == 11 * 12


def test_a_chunk_that_is_lost_four_times_ends_the_command_and_the_same_command_goes_on(embedded, tmp_path):
    def deadly(before, order):
        if '"seed": 1,' in order.split('"jobs"')[1]:
            raise ConnectionError("the worker is gone")
        return answer_to(order)

    executor = Scripted(deadly)
    with pytest.warns(StudyWarning, match=r"submitted again, [123] of 3 times"), pytest.raises(StudyError) as refused:
        run_study(STUDY, tmp_path / "study", executor=executor)
    assert str(refused.value) == (
        "1 run (from arm-0/seed-1 on) did not come back 4 times, the last time by ConnectionError: the worker is gone; "
        f"what was finished is in {tmp_path / 'study'}, and the same command goes on."
    )
    lost = collections.Counter(executor.orders)
    assert max(lost.values()) == 4
    stored = Store.read(tmp_path / "study").runs
    assert 2 < len(stored) < 11
    again = Scripted(faithful)
    run_study(STUDY, tmp_path / "study", executor=again, resume=True)
    assert content(tmp_path / "study") == embedded
    assert len(again.orders) == 11 - len(stored)


def test_dasks_own_attempts_count(tmp_path):
    def killed(before, order):
        error = RuntimeError("four workers died")
        error.allowed_failures = 3
        raise error

    executor = Scripted(killed)
    with pytest.raises(StudyError, match="did not come back 4 times"):
        run_study(STUDY, tmp_path / "study", executor=executor)
    # All chunks of the tuning are submitted at once.
    assert len(executor.orders) == 2


def test_an_executor_that_takes_nothing_more_ends_the_command(tmp_path):
    class Dead(Scripted):
        def submit(self, function, /, *arguments, **keywords):
            raise RuntimeError("cannot schedule new futures after shutdown")

    with pytest.warns(StudyWarning), pytest.raises(StudyError, match="RuntimeError: cannot schedule new futures"):
        run_study(STUDY, tmp_path / "study", executor=Dead(faithful))


def test_ctrl_c_keeps_what_came_back_and_cancels_the_rest(embedded, tmp_path):
    def stop(progress):
        if progress.phase == "train" and progress.total_model_steps - progress.model_steps == 4 * 12:
            raise KeyboardInterrupt

    executor = Scripted(faithful, seconds=lambda number: 0.0 if number < 7 else math.inf)
    with pytest.raises(KeyboardInterrupt):
        run_study(STUDY, tmp_path / "study", executor=executor, on_progress=stop)
    store = Store.read(tmp_path / "study")
    assert store.manifest["status"] == "interrupted"
    assert len(store.runs) == 7
    assert [future.cancelled() for future in executor.futures] == [False] * 7 + [True] * 4
    run_study(STUDY, tmp_path / "study", executor=Scripted(faithful), resume=True)
    assert content(tmp_path / "study") == embedded


def changed(change):
    def script(before, order):
        content = json.loads(order)
        change(content)
        return answer_to(json.dumps(content))

    return Scripted(script)


def other_versions(content):
    content["environment"]["versions"] |= {"jax": "0.1", "numpy": "9"}


def other_data(content):
    content["environment"]["data"] = "abc"


def other_loss(content):
    content["environment"]["problem"]["loss"] = "abc"


def other_optimizer(content):
    (label,) = content["environment"]["arms"]
    content["environment"]["arms"][label] = "abc"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_versions, r"jax is [\d.]+ there and 0\.1 here and numpy is [\d.]+ there and 9 here"),
        (other_data, "its data are not the same there and here"),
        (other_loss, "the problem's loss is not the same there and here"),
        (other_optimizer, r"the optimizer of arm my_momentum\(.*\) is not the same there and here"),
    ],
)
def test_a_worker_of_another_environment_refuses(change, said, tmp_path):
    with pytest.raises(StudyError, match=rf"^worker \S+: {said}\.$"):
        run_study(STUDY, tmp_path / "study", executor=changed(change))
    assert Store.read(tmp_path / "study").runs == []


def test_a_worker_whose_arithmetic_differs_refuses_unless_any_bits_will_do(embedded, tmp_path):
    def other_bits(content):
        content["canary"] = "0" * 32

    with pytest.raises(StudyError, match=r"^worker \S+: its arithmetic differs in the last bits, .* by --any-bits"):
        run_study(STUDY, tmp_path / "study", executor=changed(other_bits))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("momentum_jax.studies.run.canary", lambda device: "0" * 32)
        store = run_study(STUDY, tmp_path / "study", executor=Scripted(faithful), any_bits=True, resume=True)
    assert store.manifest["any_bits"] is True
    assert Store.read(tmp_path / "study").manifest["any_bits"] is True
    assert "whose arithmetic differs" in markdown(report_of(store))
    del store.manifest["any_bits"]
    assert "whose arithmetic differs" not in markdown(report_of(store))


def test_what_a_users_file_raises_on_a_worker_ends_the_command_with_the_workers_traceback(tmp_path):
    def broken(content):
        content["files"]["regression_file.py"]["regression_file.py"] = base64.b64encode(b"1 / 0").decode()

    with pytest.raises(StudyError, match=r"^worker \S+: ZeroDivisionError: division by zero\n") as refused:
        run_study(STUDY, tmp_path / "study", executor=changed(broken))
    assert "On the worker:\nTraceback" in refused.value.__notes__[-1]


def test_a_file_that_a_worker_cannot_have_is_named(tmp_path):
    def without_files(content):
        content["files"] = {}

    with pytest.raises(StudyError, match=r"^worker \S+: \S*regression_file\.py: there is no such file\.$"):
        run_study(STUDY, tmp_path / "study", executor=changed(without_files))


def test_files_of_the_users_travel_by_content_with_the_modules_beside_them(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    text = (FILES / "regression_file.py").read_text()
    (home / "mine.py").write_text(text.replace("import numpy as np\n", "import numpy as np\nfrom inner_part import scale\n"))
    (home / "inner_part.py").write_text("scale = 0.5\n")
    study = Study(problem=f"{home / 'mine.py'}:make()", arms=(Arm("sgd(0.1)"),), steps=4, batch=12, seeds=(0,))

    def elsewhere(before, order):
        if home.exists():
            shutil.rmtree(home)
            del sys.modules["inner_part"]
        return answer_to(order)

    run_study(dataclasses.replace(study, noise_floor=False, ladder=False), tmp_path / "study", executor=Scripted(elsewhere))
    assert len(Store.read(tmp_path / "study").runs) == 1
    assert not Path(sys.modules["inner_part"].__file__).is_relative_to(tmp_path)


REFUSED = {
    "a Problem object": (
        {"study": {"arms": (Arm("sgd(0.1)"),)}, "problem": diabetes},
        "run_study: executor needs problem and arms as expressions, got a Problem object.",
    ),
    "a function": (
        {"study": {"arms": (Arm.of(lambda learning_rate: sgd(learning_rate), label="mine", learning_rate=0.1),)}},
        "run_study: executor needs problem and arms as expressions, got a Python function in arm 'mine'.",
    ),
    "checkpoints": (
        {"checkpoints": True},
        "run_study: checkpoints must be False with an executor, which brings back no parameters.",
    ),
    "any bits of this process": (
        {"executor": None, "any_bits": True},
        "run_study: any_bits is of an executor, and there is none.",
    ),
    "no executor": ({"executor": 4}, "run_study: executor must be a concurrent.futures.Executor or None, got 4."),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_workers_cannot_have_is_refused_in_one_sentence(what, tmp_path):
    given, said = REFUSED[what]
    study = Study(**{"arms": STUDY.arms, **given.get("study", {})})
    options = {name: value for name, value in given.items() if name != "study"}
    if "problem" in options:
        options["problem"] = options["problem"]()
    with pytest.raises(StudyError) as refused:
        run_study(study, tmp_path / "study", **{"executor": Scripted(faithful), **options})
    assert str(refused.value) == said
    assert not (tmp_path / "study").exists()


def test_an_order_is_plain_json_and_comes_back_as_it_was(tmp_path):
    study = dataclasses.replace(
        STUDY, arms=(Arm("adam(0.1)", factors={"batch": None, "width": 3}), STUDY.arms[1]), search=Search()
    )
    order = Order(study.to_dict(), {"a.py": {"a.py": "YQ=="}}, None, environment(study), "abc", False, [])
    jobs = reporting(study, {arm.label: arm.expression for arm in study.arms})
    order = order.for_jobs(jobs)
    back = Order.of(order.text)
    assert back.read_jobs() == jobs
    assert [job.factors for job in back.read_jobs()] == [job.factors for job in jobs]
    assert back.text == order.text
    assert Study.from_dict(back.study, paths=study.paths) == study


def test_an_answer_comes_back_to_the_bit(tmp_path):
    store = made(tmp_path / "study", STUDY, diverged=lambda job: job.seed == 1)
    rows = tuple((run, store.curves(run)) for run in store.runs)
    run, curves = rows[0]
    odd = dataclasses.replace(run, test={"mse": math.nan, "pairs": ((1, 2), (3, 4)), "is": True, "tenth": 0.1})
    awkward = Curves(np.array([np.nan, -0.0, 1e-45], np.float32), curves.steps, curves.validation)
    answer = Answer("host", "abc", ((odd, awkward), *rows[1:]), {"training": 0.1}, "", ("a note",))
    back = Answer.unpack(answer.pack())
    assert repr([run for run, _ in back.rows]) == repr([run for run, _ in answer.rows])
    for (_, one), (_, other) in zip(back.rows, answer.rows, strict=True):
        for name, array in one.arrays().items():
            assert array.dtype == other.arrays()[name].dtype
            assert array.tobytes() == other.arrays()[name].tobytes()
    assert (back.host, back.canary, back.seconds, back.notes) == ("host", "abc", {"training": 0.1}, ("a note",))


@pytest.mark.parametrize("packed", [None, ("{}", b""), ("[]", b"PK"), (json.dumps({"host": "a"}), Answer("a").pack()[1])])
def test_what_is_no_answer_is_garbled(packed):
    with pytest.raises(Garbled, match="an answer cannot be read"):
        Answer.unpack(packed)
