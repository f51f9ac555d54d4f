"""The README and the pages of docs/: their Python runs, their commands are what .ci/run takes, their links and tables are true.

A block of Python is run with those above it on its page, and what its prints say in a comment must come out. After the language
its fence may say `fragment`, not run; `slow`, run with the slow tests; `needs NAME`, run where that package is installed.
"""

import importlib
import importlib.util
import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import momentum_jax as mj
from momentum_jax import theory
from momentum_jax.studies import Study
from momentum_jax.studies.atlas import Atlas
from momentum_jax.studies.evidence import LEVEL, Questions, fewest_pairs
from momentum_jax.studies.evidence.graph import adjust
from momentum_jax.studies.reader import names
from momentum_jax.training import Problem, Table

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [README, *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


class Block(NamedTuple):
    """Fenced code: its language, the words after it, its text and the line of its fence."""

    language: str
    marks: list[str]
    text: str
    line: int


def blocks(page: Path, language: str) -> Iterator[Block]:
    text = page.read_text()
    for found in re.finditer(r"^```(\w+)([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if found[1] == language:
            yield Block(language, found[2].split(), found[3], text.count("\n", 0, found.start()) + 1)


def run(page: Path, *, slow: bool = False) -> dict[str, Any]:
    """The names that the blocks of a page leave behind, after a look at what they print."""
    space: dict[str, Any] = {}
    for block in blocks(page, "python"):
        match block.marks:
            case []:
                pass
            case ["slow"]:
                if not slow:
                    continue
            case ["needs", package]:
                if importlib.util.find_spec(package) is None:
                    continue
            case _:
                assert block.marks == ["fragment"], f"{page}, line {block.line}: {block.marks}"
                continue
        run_block(page, block, space)
    return space


def run_block(page: Path, block: Block, space: dict[str, Any]) -> None:
    said: dict[int, list[str]] = {}

    def show(*values: Any) -> None:
        said.setdefault(sys._getframe(1).f_lineno, []).append(" ".join(map(str, values)))

    space["print"] = show
    exec(compile("\n" * block.line + block.text, str(page), "exec"), space)
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if found := re.match(r"\s*print\(.*\)  # (.*)$", line):
            assert said[number] == [found[1]], f"{page}, line {number}"
    space["printed"] = [text for texts in said.values() for text in texts]


def test_the_readme_is_short_and_its_first_use_is_eight_lines() -> None:
    assert len(README.read_text().splitlines()) <= 150
    assert len([line for line in next(blocks(README, "python")).text.splitlines() if line]) == 8


def test_the_readme_runs_and_its_own_problem_is_learned() -> None:
    names = run(README)
    np.testing.assert_allclose(mj.evaluation_params(names["params"], names["state"]), 1.0, atol=5e-5)
    require_sound(names)


def test_the_optimizers_page_has_a_loss_for_every_pair_and_momentum_helps_the_small_rate() -> None:
    names = run(DOCS / "optimizers.md")
    losses = names["losses"]
    assert losses.shape == (2, 3)
    assert jnp.isfinite(losses).all()
    assert losses[0, 2] < losses[0, 1] < losses[0, 0]
    velocities = [leaf for leaf in jax.tree.leaves(names["restarted"]) if leaf.shape == (3,)]
    assert velocities
    assert not any(leaf.any() for leaf in velocities)


def test_the_page_of_logs_tells_what_the_next_update_takes() -> None:
    names = run(DOCS / "logging.md")
    assert mj.hyperparameters(names["optimizer"], names["state"])["clip_by_global_norm"] is None
    assert names["told"] == {"nesterov/learning_rate": 0.05, "nesterov/momentum": pytest.approx(0.9)}


def test_the_page_of_methods_says_of_each_when_to_use_it() -> None:
    stated = re.findall(r"^\| `(\w+)` \| \S.*\. \|$", (DOCS / "choosing.md").read_text(), re.MULTILINE)
    assert sorted(stated) == names()


def test_the_evidence_page_runs_and_its_fewest_seeds_are_those_of_the_rule() -> None:
    run(DOCS / "evidence.md")
    rows = re.findall(r"^\| .* \| (\d+) to (\d+) \|$", (DOCS / "evidence.md").read_text(), re.MULTILINE)
    for of_question, row in zip((0.0, 1.0), rows, strict=True):
        fewest = []
        for count in (1, 5):
            heads = tuple("abcde"[:count])
            found = adjust(Questions("question", heads), {"question": of_question, **dict.fromkeys(heads, 1.0)}, LEVEL)
            fewest.append(str(fewest_pairs(LEVEL * found["a"][1])))
        assert (*fewest,) == row


def test_the_conventions_page_translates_as_it_says() -> None:
    names = run(DOCS / "conventions.md")
    assert (names["ema"].learning_rate, names["ema"].momentum) == (pytest.approx(1.0), pytest.approx(0.9))
    names["same"].init(jnp.zeros(2))


def test_the_theory_page_runs_and_refuses_as_it_says() -> None:
    page = DOCS / "theory.md"
    run(page)
    (said,) = [block.text.splitlines() for block in blocks(page, "text")]
    refused = [
        optax.lion(0.1),
        optax.chain(optax.centralize(), mj.heavy_ball(0.1)),
        mj.heavy_ball(0.1, accumulator_dtype=jnp.bfloat16),
    ]
    for optimizer, message in zip(refused, said, strict=True):
        with pytest.raises(theory.NotLinear) as refusal:
            theory.linearize(optimizer, horizon=4)
        # Lines of Optax's files move with its versions.
        assert re.sub(r":\d+ ", ": ", str(refusal.value)) == re.sub(r":\d+ ", ": ", message)


def test_the_page_of_large_models_runs_and_restores_what_it_saved() -> None:
    names = run(DOCS / "large_scale.md")
    np.testing.assert_array_equal(names["restored"]["params"]["w"], names["params"]["w"])
    state = names["small"].init({"w": jnp.zeros((256, 256))})
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(state)) < 0.27 * 2 * 4 * 256**2


@pytest.mark.slow
def test_the_sharded_state_lies_as_its_parameters_on_four_devices() -> None:
    (block,) = [block for block in blocks(DOCS / "large_scale.md", "python") if "make_mesh" in block.text]
    check = """
import jax
exec(BLOCK)
assert jax.device_count() == 4
for name, sharding in shardings.items():
    for moment in (state[0].first_moment[name], state[0].second_moment[name]):
        assert moment.sharding.is_equivalent_to(sharding, moment.ndim), (name, moment.sharding)
print(len(state[0].second_moment["w"].addressable_shards))
"""
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu"}
    script = check.replace("BLOCK", repr(block.text))
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "4\n"


@pytest.mark.slow
def test_the_script_of_sharded_training_ends_on_other_numbers_of_devices_as_on_one(tmp_path: Path) -> None:
    page = DOCS / "sharded_training.md"
    (script,), (said,) = list(blocks(page, "python")), list(blocks(page, "text"))
    (tmp_path / "sharded_training.py").write_text(script.text)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    for command, line in zip(commands(page), said.text.splitlines(), strict=True):
        whole = [sys.executable, *shlex.split(command)[1:]]
        result = subprocess.run(whole, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        shown, _, loss = result.stdout.strip().rpartition(" ")
        expected, _, stated = line.rpartition(" ")
        assert shown == expected
        assert float(loss) == pytest.approx(float(stated), rel=1e-3)
    sharded, single = (np.load(tmp_path / name / "step-110.npz") for name in ("sharded", "single"))
    assert len(sharded.files) == 6
    for name in sharded.files:
        np.testing.assert_allclose(sharded[name], single[name], rtol=0, atol=2e-4)


def test_the_page_of_ones_own_problem_runs_and_is_refused_as_it_says() -> None:
    page = DOCS / "your_own_problem.md"
    names = run(page)
    (messages,) = [block.text for block in blocks(page, "text")]
    assert names["printed"] == messages.splitlines()
    require_sound(names)
    x, y = names["cancer"].data.arrays
    margins = x @ names["run"].params["w"] + names["run"].params["b"]
    from sklearn.metrics import roc_auc_score

    _, _, test = names["cancer"].data.split(0)
    assert names["run"].test["auc"] == pytest.approx(roc_auc_score(y[test], margins[test]))


# The page of frameworks trains a module of each.
@pytest.mark.parametrize(
    "name",
    [
        "tokens",
        "streams",
        "problems",
        "trainer",
        "instrument",
        "performance",
        "lesson",
        "house",
        "schedules",
        "per_layer",
        "muon",
        "migration",
        "training_loop",
        pytest.param("frameworks", marks=pytest.mark.slow),
    ],
)
def test_a_page_runs_and_its_problems_are_sound(name: str) -> None:
    require_sound(run(DOCS / f"{name}.md"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    # A model of tokens trains for a minute.
    [
        pytest.param(page, id=str(page.relative_to(ROOT)), marks=[pytest.mark.exhaustive] * (page.stem == "tokens"))
        for page in PAGES
    ],
)
def test_a_page_runs_with_its_slow_blocks(page: Path) -> None:
    if any("slow" in block.marks for block in blocks(page, "python")):
        run(page, slow=True)


def files_of(page: Path) -> dict[str, str]:
    """What stands on a page as a file, by the name that the paragraph before it calls it."""
    text = page.read_text()
    named = []
    for found in re.finditer(r"^```(python|toml)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        paragraph = text[: found.start()].rstrip().rpartition("\n\n")[2]
        named.append((re.findall(rf"`(\w+\.{found[1][:2]}\w*)`", paragraph), found[2]))
    return {names[-1]: text for names, text in named if names}


def commands(page: Path) -> list[str]:
    return "".join(block.text for block in blocks(page, "sh")).splitlines()


@pytest.mark.slow
def test_the_commands_of_the_readme_run_on_its_files(tmp_path: Path) -> None:
    page = README
    # The page of one's own problem has no others.
    assert {*commands(DOCS / "your_own_problem.md")} <= {*commands(page)}
    for name, text in files_of(page).items():
        (tmp_path / name).write_text(text)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for command in commands(page):
        program, *arguments = shlex.split(command)
        assert program == "momentum-jax"
        whole = [sys.executable, "-m", "momentum_jax.cli", *arguments]
        result = subprocess.run(whole, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, (command, result.stderr)
    assert "r2" in (tmp_path / "study" / "report.md").read_text()


def test_the_files_of_the_pages_are_found() -> None:
    assert files_of(README).keys() == {"my_problem.py", "study.toml"}
    assert files_of(DOCS / "your_own_problem.md").keys() == {"my_problem.py", "study.toml", "my_optimizers.py"}


def test_no_page_with_python_is_left_out() -> None:
    source = Path(__file__).read_text()
    for page in PAGES:
        if any(not block.marks for block in blocks(page, "python")):
            assert page == README or f'"{page.stem}"' in source or f'"{page.name}"' in source, page


def batch_of(problem: Problem) -> Any:
    match problem.data:
        case None:
            return None
        case Table(arrays, _, take):
            return jax.tree.map(np.asarray, take(jax.tree.map(jnp.asarray, arrays), jnp.arange(4)))
        case stream:
            return stream.train(0, 0)


def require_sound(names: dict[str, Any]) -> None:
    """Every problem among the names is what `Problem` says, by the shapes of a batch."""
    for problem in [each for each in names.values() if isinstance(each, Problem)]:
        key = jax.random.key(0)
        params, state = jax.eval_shape(problem.init, key)
        batch = batch_of(problem)
        loss, after = jax.eval_shape(problem.loss, params, state, batch, key)
        assert loss.shape == ()
        assert jax.tree.structure(after) == jax.tree.structure(state)
        measured = jax.eval_shape(problem.measure, params, state, batch, key)
        scored = jax.eval_shape(
            lambda values, scores=problem.scores: {name: each(values) for name, each in scores.items()}, measured
        )
        assert all(scored[name].shape == () for name, each in problem.scores.items() if each.better is not None)


@each_page
def test_every_file_that_a_page_links_to_exists(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        assert link.startswith("https://") or (page.parent / link).exists(), link


def test_every_page_is_linked_from_the_index_or_from_that_of_the_api() -> None:
    for index in (DOCS / "index.md", DOCS / "api" / "index.md"):
        listed = "\n".join(re.findall(r"^```{toctree}\n(.*?)^```$", index.read_text(), re.MULTILINE | re.DOTALL)).splitlines()
        pages = {str(page.relative_to(index.parent).with_suffix("")) for page in PAGES if page.parent == index.parent}
        assert pages - {"index"} <= {*listed}
    notebooks = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert notebooks <= {*re.findall(r"notebooks/(\w+)", (DOCS / "index.md").read_text())}


@pytest.mark.parametrize(
    ("plain", "shown"),
    [
        ("v' = mu_{t+1} v - eta g", "v′ = μ<sub>t+1</sub> v − η g"),
        ("Optax's m' of b1", "Optax's m′ of b<sub>1</sub>"),
        ("x_prev, evaluation_params, beta = 0.9", "x<sub>prev</sub>, evaluation_params, β = 0.9"),
        ("sqrt(s' / c2) + |g|^2 <= X^H", "√(s′ / c<sub>2</sub>) + |g|<sup>2</sup> ≤ X<sup>H</sup>"),
    ],
)
def test_a_plain_equation_is_shown_as_mathematics(plain: str, shown: str) -> None:
    spec = importlib.util.spec_from_file_location("equations", DOCS / "_ext" / "equations.py")
    assert spec is not None
    assert spec.loader is not None
    equations = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(equations)
    text = equations.as_html(plain)
    assert re.sub(r"^<div[^>]*>|</div>$", "", text).replace("&lt;", "<") == shown


def table() -> dict[str, tuple[str, str, str]]:
    """The table of optimizers: by name the arguments, the module that the link names, and the rule."""
    row = r"^\| \[`(\w+)\(([^`]*)\)`\]\(#momentum_jax\.optimizers\.(\w+)\.(\w+)\) \| (.*?) \|"
    found = re.findall(row, (DOCS / "optimizers.md").read_text(), re.MULTILINE)
    assert all(name == linked for name, _, _, linked, _ in found)
    return {name: (arguments, module, rule) for name, arguments, module, _, rule in found}


def test_every_optimizer_file_is_in_the_table_of_methods() -> None:
    shared = {"learning_rate", "weight_decay"}
    files = {file.stem for file in (ROOT / "momentum_jax" / "optimizers").glob("*.py") if not file.stem.startswith("_")}
    assert {module for _, module, _ in table().values()} == files - shared


def test_signatures_in_the_table_of_methods_are_those_of_the_library() -> None:
    stated = {name: arguments for name, (arguments, _, _) in table().items() if name != "per_layer"}
    assert len(stated) > 40
    for name, arguments in stated.items():
        parameters = inspect.signature(getattr(mj, name)).parameters
        for argument in arguments.replace("*,", "").split(","):
            word, _, default = argument.strip().partition("=")
            if word in ("...", ""):
                continue
            assert word in parameters, f"{name}({word})"
            if default:
                assert str(parameters[word].default) == default, f"{name}({argument})"


def test_the_table_has_the_learning_rate_of_yellowfin_outside_its_buffer() -> None:
    assert "b' = μₜ b + g; x' = x − ηₜ b'" in table()["yellowfin"][2]


@pytest.mark.parametrize("page", [README, DOCS / "optimizers.md"], ids=lambda page: page.name)
def test_the_number_of_constructors_is_that_of_the_library(page: Path) -> None:
    (stated,) = re.findall(r"(\d+) constructors", page.read_text())
    assert int(stated) == len(names())


def test_the_message_that_the_pages_quote_is_the_one_that_is_raised() -> None:
    with pytest.raises(ValueError, match=r"heavy_ball: momentum must be in \[0, 1\), got 1\.5\.") as caught:
        mj.heavy_ball(0.1, 1.5)
    assert f"`{caught.value}`" in (DOCS / "sharp_edges.md").read_text()


def test_each_command_stands_alone_in_a_block_of_its_own_exactly_once_and_ci_takes_it() -> None:
    commands = [block.text for block in blocks(README, "bash")]
    assert commands == ['pip install -e ".[experiments]" && momentum-jax compare\n', 'pip install -e ".[test]" && pytest\n']
    command = ["bash", str(ROOT / ".ci" / "run"), "--list"]
    stages = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout
    for command in commands:
        assert README.read_text().splitlines().count(command.strip()) == 1
        assert command in stages


def test_the_extras_that_the_pages_install_are_those_of_the_project() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    started = (DOCS / "getting_started.md").read_text()
    rows = re.search(r"^\| extra \|.*?\n\n", started, re.MULTILINE | re.DOTALL)
    assert rows is not None
    assert {*re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in rows[0].strip().splitlines()))} == extras.keys()


@each_page
def test_the_toml_of_a_page_is_toml_and_a_study_of_images_or_an_atlas_is_one(page: Path) -> None:
    for block in blocks(page, "toml"):
        content = tomllib.loads(block.text)
        if "study" in content:
            assert Atlas.from_dict(content).cells
        if "dataset" in content:
            assert Study.from_dict(content).to_dict()["steps"] == content["steps"]


def test_the_page_of_the_shipped_problems_names_each_with_its_arguments() -> None:
    text = (DOCS / "problems.md").read_text()
    files = {file.stem for file in (ROOT / "momentum_jax" / "problems").glob("[!_]*.py")}
    rows = dict(re.findall(r"^\| `(\w+)\(([^`]*)\)` \|", text, re.MULTILINE))
    assert files == rows.keys()
    for name, arguments in [(name, rows[name]) for name in files]:
        module = importlib.import_module(f"momentum_jax.problems.{name}")
        function = getattr(module, name)
        bare = [parameter.replace(annotation=parameter.empty) for parameter in inspect.signature(function).parameters.values()]
        assert arguments == ", ".join(map(str, bare))
