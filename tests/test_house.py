"""The house: who may import whom, what an import may cost, and that every optimizer stands in the contract."""

import ast
import doctest
import functools
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import pytest
from contract_rows import ROWS, constructor_of
from contract_rows.row import Row

import momentum_jax

HOUSE = Path(momentum_jax.__file__).parent

GROUND = {"_text", "_files", "_trees", "_scaling", "_hyperparameters", "_npz", "_hessians", "_wrappers", "protocol"}
OPTIMIZERS = {"optimizers", "schedules"}
TOOLS = {"landscapes", "descent", "curvature", "spectra", "smoothing"}
ALLOWED = {
    "_text": set(),
    "_files": set(),
    "_trees": set(),
    "_npz": {"_text"},
    "_scaling": {"_trees"},
    "_wrappers": {"_text", "_trees"},
    "protocol": {"_text", "_trees", "_wrappers"},
    "_hyperparameters": {"_text"},
    "schedules": {"_hyperparameters"},
    "landscapes": {"_hyperparameters"},
    "descent": {"_hyperparameters", "protocol"},
    "_hessians": {"_hyperparameters", "_trees"},
    "spectra": {"_hessians", "_hyperparameters", "_scaling"},
    "curvature": {"_hessians", "_hyperparameters", "_scaling", "_trees"},
    "smoothing": {"_hyperparameters"},
    "theory": {"_text", "_trees", "_hyperparameters", "protocol"},
    "optimizers": GROUND | {"schedules"},
    "conventions": OPTIMIZERS | {"_hyperparameters"},
    "data": {"_text", "_files", "_npz"},
    "training": GROUND,
    "problems": {"_text", "data", "training"},
    "studies": GROUND | OPTIMIZERS | TOOLS | {"theory", "data", "problems", "training", "momentum_jax"},
    "textbook": GROUND | OPTIMIZERS | TOOLS | {"data", "training", "studies", "theory", "momentum_jax"},
    "figures": {"_files", "studies", "textbook"},
    "report": {"_files", "data", "studies", "figures", "textbook", "theory", "optimizers", "momentum_jax"},
    "cli": GROUND
    | OPTIMIZERS
    | {"conventions", "data", "training", "studies", "textbook", "theory", "figures", "report", "momentum_jax"},
}
ONLY_IN = {
    "flax": {"training/model.py", "training/adapters.py", "problems"},
    "equinox": {"training/adapters.py"},
    "matplotlib": {"figures"},
}


def _files() -> list[Path]:
    return sorted(HOUSE.rglob("*.py"))


@functools.cache
def _imports(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _room(file: Path) -> str:
    return file.relative_to(HOUSE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", [f for f in _files() if f != HOUSE / "__init__.py"], ids=lambda f: str(f.relative_to(HOUSE)))
def test_a_room_imports_only_what_stands_below_it(file: Path) -> None:
    room = _room(file)
    for name in _imports(file):
        if name.split(".")[0] != "momentum_jax":
            continue
        first = name.split(".")[1] if "." in name else ""
        target = first if (first and (HOUSE / first).is_dir()) or (HOUSE / f"{first}.py").exists() else "momentum_jax"
        assert target == room or target in ALLOWED[room], f"{file.relative_to(HOUSE)} imports {name}"


@pytest.mark.parametrize("library", sorted(ONLY_IN))
def test_a_heavy_library_is_imported_in_its_own_room_only(library: str) -> None:
    users = {str(file.relative_to(HOUSE)) for file in _files() if any(name.split(".")[0] == library for name in _imports(file))}
    assert users, f"nobody imports {library}: the rule would hold of anything"
    assert all(any(user == room or user.startswith(f"{room}/") for room in ONLY_IN[library]) for user in users), users


# One after the other in a process, and what each loads of the heavy libraries. Optax itself must not be charged for.
LOADED = {
    "import momentum_jax": [],
    "import momentum_jax.data": [],
    "import momentum_jax.problems as problems": [],
    "import momentum_jax.problems.factorisation; assert callable(problems.factorisation)": [],
    "from momentum_jax.cli import main; help('compare')": ["tyro"],
    "assert callable(problems.diabetes)": ["flax", "rich"],
}


def test_a_heavy_library_is_loaded_when_it_is_needed() -> None:
    heavy = {"flax", "scipy", "matplotlib", "sklearn", "orbax", "tyro", "rich", "pooch", "chex", "requests"}
    script = f"""
import contextlib, io, sys, jax, optax
def help(command):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main([command, "--help"])
for step in {[*LOADED]}:
    before = set(sys.modules)
    exec(step)
    print(sorted({heavy} & {{name.split(".")[0] for name in set(sys.modules) - before}}))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == [str(libraries) for libraries in LOADED.values()]


def test_help_and_mistakes_are_answered_without_jax() -> None:
    script = """
import contextlib, io, sys
from momentum_jax.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    for arguments in (["--help"], ["compare", "--stepz", "3"], ["--version"]):
        with contextlib.suppress(SystemExit):
            main(arguments)
print({"jax", "optax"} & {*sys.modules})
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_the_face_offers_what_it_says_and_nothing_else() -> None:
    assert {"heavy_ball", "theory", "training", "evaluation_params"} <= {*dir(momentum_jax)}
    assert momentum_jax.theory is sys.modules["momentum_jax.theory"]
    assert not {"training", "figures"} & {*momentum_jax.__all__}
    with pytest.raises(AttributeError, match="has no attribute 'heavy_bal'"):
        momentum_jax.heavy_bal  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def test_every_file_of_the_optimizers_has_a_row_in_the_contract_and_a_line_in_the_face() -> None:
    files = {f.stem for f in (HOUSE / "optimizers").glob("*.py") if not f.stem.startswith("_")}
    assert files == {row.file for row in ROWS}
    face = (HOUSE / "__init__.py").read_text()
    for name in files:
        assert f"from momentum_jax.optimizers.{name} import" in face


def test_every_optimizer_in_the_face_has_a_row_in_the_contract() -> None:
    ids = {row.id.split("-")[0] for row in ROWS}
    public = {
        name
        for name in momentum_jax.__all__
        if getattr(value := getattr(momentum_jax, name), "__module__", "").startswith("momentum_jax.optimizers")
        and callable(value)
        and not isinstance(value, type)
    }
    assert public == ids


DOCSTRINGS = {
    file.stem: inspect.getdoc(constructor_of(file.stem)) or ""
    for file in (HOUSE / "optimizers").glob("*.py")
    if not file.stem.startswith("_")
}


@pytest.mark.parametrize("file", sorted(DOCSTRINGS))
def test_every_optimizer_file_names_its_state_memory_and_source(file: str) -> None:
    docstring = DOCSTRINGS[file]
    for field in ["State: ", "Memory: "] + ["Source: "] * (file != "learning_rate"):
        assert f"\n{field}" in docstring, field
    # A paragraph of equations stands first.
    assert re.match(r"[^\n]+\n\n    \S", docstring)


@pytest.mark.parametrize("row", [row for row in ROWS if row.id == row.file], ids=lambda row: row.id)
def test_the_memory_and_needs_that_a_file_names_are_those_of_its_optimizer(row: Row) -> None:
    (said,) = re.findall(r"^Memory: (.*)$", DOCSTRINGS[row.file], re.MULTILINE)
    optimizer, params = row.build(), {"w": jnp.ones((64, 64))}
    buffers = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(optimizer.init, params))) // 64**2
    if not said.startswith(("that of", "about")):
        assert said.startswith("none" if buffers == 0 else f"{buffers} buffer{'s' * (buffers > 1)}")
    if row.needs_params:
        assert "Needs: params" in said


def public(module: ModuleType) -> Iterator[ModuleType]:
    """A module of the face and those that it offers."""
    yield module
    for value in (getattr(module, name) for name in dir(module)):
        if isinstance(value, ModuleType):
            yield from public(value)


def test_completion_offers_what_is_public_and_no_import() -> None:
    for module in public(momentum_jax):
        shown = [name for name in dir(module) if name != "__version__"]
        assert {*module.__all__} <= {*shown}, module.__name__
        for value in (getattr(module, name) for name in shown):
            home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "momentum_jax")
            assert home.split(".")[0] in ("momentum_jax", "builtins", "typing", "collections"), (module.__name__, value)


@pytest.mark.parametrize("row", [row for row in ROWS if row.id == row.file], ids=lambda row: row.id)
def test_a_signature_shows_short_types(row: Row) -> None:
    said = str(inspect.signature(constructor_of(row.file)))
    assert not re.search(r"[a-z_]\.[A-Za-z]|Union|Annotated", said), said
    if not row.wraps and "learning_rate" in row.numbers and "learning_rate" not in row.no_schedule:
        assert "learning_rate: ScalarOrSchedule" in said


@pytest.mark.slow
@pytest.mark.parametrize("file", sorted(DOCSTRINGS))
def test_the_example_of_a_constructor_comes_out_as_it_says(file: str) -> None:
    constructor = constructor_of(file)
    (example,) = doctest.DocTestFinder(recurse=False).find(constructor, file, globs={})
    found = doctest.DocTestRunner().run(example)
    assert found.failed == 0
    assert found.attempted >= 2


@pytest.mark.parametrize("file", sorted(DOCSTRINGS))
def test_a_constructor_names_those_beside_it(file: str) -> None:
    (said,) = re.findall(r"^See also: (.*?)(?=^[A-Z]|\Z)", DOCSTRINGS[file], re.MULTILINE | re.DOTALL)
    named = re.findall(r"`([\w.]+)`", said)
    assert named
    for name in named:
        home = importlib.import_module("optax") if name.startswith("optax.") else momentum_jax
        functools.reduce(getattr, name.removeprefix("optax.").removeprefix("momentum_jax.").split("."), home)
