"""The notebooks: stored with their outputs, calling the library and defining nothing, and running from top to bottom."""

import ast
import io
import math
import warnings
from pathlib import Path

import nbformat
import numpy as np
import pytest
import store_outputs
from PIL import Image

from momentum_jax import data

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
# The data sets that a notebook cannot do without.
DATA = {
    "04_does_it_help": ("mnist", "fashion_mnist"),
    "05_optimizers_side_by_side": ("mnist",),
    "06_curvature": ("mnist",),
}
# Those that are about what a reader defines.
OWN = ("07_your_own_problem",)
# Those that train for a minute.
LONG = ("04_does_it_help", "05_optimizers_side_by_side", "06_curvature")
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_is_a_notebook_to_begin_with() -> None:
    assert [path.stem for path in NOTEBOOKS][:1] == ["01_momentum_in_five_minutes"]


@each_notebook
def test_a_notebook_is_stored_as_it_ran_and_small(path: Path) -> None:
    assert path.stat().st_size <= store_outputs.MORE.get(path.stem, store_outputs.MOST)
    cells = code(read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    for output in outputs:
        assert output.output_type != "error"
        assert output.get("name") != "stderr"
        assert "/tmp" not in output.get("text", "")


def test_a_stored_picture_is_narrow_enough_and_keeps_the_colours_of_thin_lines() -> None:
    picture = Image.new("RGB", (1000, 400), "white")
    for row, colour in enumerate(["#d55e00", "#0072b2"]):
        picture.paste(colour, (0, 100 * row + 50, 1000, 100 * row + 54))
    written = io.BytesIO()
    picture.save(written, "PNG")
    stored = Image.open(io.BytesIO(store_outputs.smaller(written.getvalue(), 500, 8))).convert("RGB")
    assert stored.size == (500, 200)
    for row, colour in enumerate([(0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2)]):
        found = stored.getpixel((250, 50 * row + 26))
        assert isinstance(found, tuple)
        assert max(abs(a - b) for a, b in zip(found, colour, strict=True)) < 12


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem not in OWN], ids=lambda path: path.stem)
def test_a_notebook_calls_the_library_and_defines_nothing(path: Path) -> None:
    for cell in code(read(path)):
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda), cell.source


@each_notebook
def test_a_notebook_names_the_data_sets_that_it_needs_and_no_others(path: Path) -> None:
    words = "".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    assert {name for name in data.NAMES if f"data fetch {name}`" in words} == set(DATA.get(path.stem, ()))


@pytest.mark.parametrize("methods", [1, 5, 8])
def test_the_panels_of_the_family_are_as_many_as_its_methods(methods: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.pyplot as plt

    family = next(path for path in NOTEBOOKS if path.stem == "02_the_momentum_family")
    (panels,) = [cell.source for cell in code(read(family)) if "plt.subplots(rows" in cell.source]
    monkeypatch.setattr(plt, "show", plt.gcf)
    group = {f"method {i}": None for i in range(methods)}
    space = {
        "math": math,
        "np": np,
        "plt": plt,
        "paths": dict.fromkeys(group, np.zeros((2, 2))),
        "linear": group,
        "others": group,
    }
    exec(panels, space)
    shown = [axes for axes in space["figure"].axes if axes.get_visible()]
    plt.close("all")
    assert [axes.get_title() for axes in shown] == list(group)


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=[pytest.mark.exhaustive] * (path.stem in LONG)) for path in NOTEBOOKS],
)
def test_a_notebook_runs_from_top_to_bottom_and_draws(path: Path, tmp_path: Path) -> None:
    for name in DATA.get(path.stem, ()):
        try:
            data.load(name)
        except data.DataError as missing:
            pytest.skip(str(missing))
    with warnings.catch_warnings():
        # The Jupyter stack warns of its own affairs; a warning of the notebook's code would be among its outputs.
        warnings.simplefilter("ignore")
        from nbclient import NotebookClient

        notebook = read(path)
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    complaints = [output.text for output in outputs if output.get("name") == "stderr"]
    assert not complaints, complaints
    assert not list(tmp_path.iterdir()), "a notebook leaves nothing behind"
