"""The README: its Python runs, its commands are what .ci/run takes from it, its links and tables are true."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import momentum_jax as mj
from momentum_jax.studies import arms

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def names() -> dict:
    """What the Python blocks leave behind, run one after the other as a reader would; each block's names under its place."""
    space: dict = {}
    after = {}
    for place, block in enumerate(blocks("python")):
        exec(compile(block, f"README.md, python block {place}", "exec"), space)
        after[place] = dict(space)
    return after


def test_the_first_use_is_eight_lines_and_arrives_at_the_minimum(names: dict) -> None:
    lines = [line for line in blocks("python")[0].splitlines() if line]
    assert len(lines) == 8
    np.testing.assert_allclose(mj.evaluation_params(names[0]["params"], names[0]["state"]), 1.0, atol=5e-5)


def test_the_grid_has_a_loss_for_every_pair_and_momentum_helps_the_small_rate(names: dict) -> None:
    losses = next(after["losses"] for after in names.values() if "losses" in after)
    assert losses.shape == (2, 3)
    assert jnp.isfinite(losses).all()
    assert losses[0, 2] < losses[0, 1] < losses[0, 0]


def test_reset_momentum_of_the_readme_forgets_the_velocity(names: dict) -> None:
    restarted = next(after["restarted"] for after in names.values() if "restarted" in after)
    velocities = [leaf for leaf in jax.tree.leaves(restarted) if leaf.shape == (3,)]
    assert velocities
    assert not any(leaf.any() for leaf in velocities)


def test_the_sharded_state_of_the_readme_lies_as_its_parameters_on_four_devices() -> None:
    block = next(block for block in blocks("python") if "make_mesh" in block)
    check = """
import jax, optax, momentum_jax as mj
assert jax.device_count() == 4
exec(BLOCK)
for name, sharding in shardings.items():
    for moment in (state[0].first_moment[name], state[0].second_moment[name]):
        assert moment.sharding.is_equivalent_to(sharding, moment.ndim), (name, moment.sharding)
print(len(state[0].second_moment["w"].addressable_shards))
"""
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "4", "JAX_PLATFORMS": "cpu"}
    script = check.replace("BLOCK", repr(block))
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "4\n"


def test_each_command_stands_alone_in_a_block_of_its_own_exactly_once() -> None:
    commands = [block for block in blocks("bash") if block.startswith("pip install")]
    assert commands == ['pip install -e ".[experiments]" && momentum-jax compare\n', 'pip install -e ".[test]" && pytest\n']
    for command in commands:
        assert README.splitlines().count(command.strip()) == 1


def test_every_file_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"(?<!!)\[[^\]]*\]\(([^)#]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).is_file(), link


def test_every_optimizer_file_is_in_the_table_of_methods() -> None:
    shared = {"learning_rate", "weight_decay"}
    files = {file.stem for file in (ROOT / "momentum_jax" / "optimizers").glob("*.py") if not file.stem.startswith("_")}
    linked = {Path(link).stem for link in re.findall(r"\]\((momentum_jax/optimizers/[^)]+)\)", README)}
    assert linked == files - shared


def test_the_table_has_the_learning_rate_of_yellowfin_outside_its_buffer() -> None:
    (row,) = re.findall(r"^\| `yellowfin\(.*$", README, re.MULTILINE)
    assert "b' = μₜ b + g; x' = x − ηₜ b'" in row


def test_the_number_of_constructors_in_the_readme_is_that_of_the_library() -> None:
    (stated,) = re.findall(r"(\d+) constructors", README)
    assert int(stated) == len(arms.names())


def test_signatures_in_the_table_of_methods_are_those_of_the_library() -> None:
    table = re.findall(r"^\| `(\w+)\(([^`]*)\)`.* \| \[\w+\.py\]", README, re.MULTILINE)
    stated = {name: arguments for name, arguments in table if hasattr(mj, name) and name != "per_layer"}
    assert {"heavy_ball", "sgd", "nesterov", "rmsprop", "adam"} <= stated.keys()
    for name, arguments in stated.items():
        parameters = inspect.signature(getattr(mj, name)).parameters
        for argument in arguments.replace("*,", "").split(","):
            word, _, default = argument.strip().partition("=")
            if word in ("...", ""):
                continue
            assert word in parameters, f"{name}({word})"
            if default:
                assert str(parameters[word].default) == default, f"{name}({argument})"


def test_the_message_that_the_readme_quotes_is_the_one_that_is_raised() -> None:
    with pytest.raises(ValueError, match=r"heavy_ball: momentum must be in \[0, 1\), got 1\.5\.") as caught:
        mj.heavy_ball(0.1, 1.5)
    assert f"`{caught.value}`" in README


def test_ci_takes_both_commands_from_the_readme() -> None:
    command = ["bash", str(ROOT / ".ci" / "run"), "--list"]
    stages = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout
    for block in blocks("bash")[:2]:
        assert block.strip() in stages


def test_the_trainers_example_learns_the_digits(names: dict) -> None:
    best = next(after["best"] for after in names.values() if "best" in after)
    assert best.diverged == -1
    assert best.accuracy > 0.8
