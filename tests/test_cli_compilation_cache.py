"""Compiled programs are kept between commands: where, for whom, and what happens when that fails."""

import os
import subprocess
import sys
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cli_runs import run
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from momentum_jax.cli import arguments, compilation_cache
from momentum_jax.cli.compilation_cache import programs_kept

SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_enable_compilation_cache",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_compilation_cache_max_size",
)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Where a user's programs are kept who has told JAX nothing."""
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in SETTINGS:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", raising=False)
    for name, value in zip(SETTINGS, (None, True, 1.0, -1), strict=True):
        jax.config.update(name, value)
    reset_cache()
    yield compilation_cache.directory()
    for name, value in before.items():
        jax.config.update(name, value)
    reset_cache()


class Counted:
    """How often a program was read from the cache, and what was said; and a small computation that compiles each time."""

    def __init__(self):
        self.hits, self.said = 0, []
        jax.monitoring.register_event_listener(self._count)

    def compute(self, **options):
        jax.clear_caches()
        with programs_kept(self.said.append, **options):
            return np.asarray(jax.jit(lambda x: jnp.sin(x) @ x.T)(np.arange(12.0, dtype=np.float32).reshape(3, 4)))

    def _count(self, event, **_):
        self.hits += event == "/jax/compilation_cache/cache_hits"


@pytest.fixture
def counted():
    found = Counted()
    yield found
    jax.monitoring.unregister_event_listener(found._count)


def entries(place):
    return sorted(place.glob("*-cache"))


def test_a_program_is_read_by_the_next_command_and_computes_the_same_bits(home, counted):
    anew = counted.compute(keep=False)
    assert not home.exists()
    first = counted.compute()
    assert (len(entries(home)), counted.hits) == (1, 0)
    second = counted.compute()
    assert (len(entries(home)), counted.hits, counted.said) == (1, 1, [])
    assert anew.tobytes() == first.tobytes() == second.tobytes()
    assert [getattr(jax.config, name) for name in SETTINGS] == [None, True, 1.0, -1]


def test_what_the_user_told_jax_wins(home, counted, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "mine"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    counted.compute()
    assert len(entries(tmp_path / "mine")) == 1
    counted.compute(keep=False)
    assert counted.hits == 0
    jax.config.update("jax_enable_compilation_cache", False)
    reset_cache()
    counted.compute()
    assert counted.hits == 0
    assert not home.exists()


def test_a_setting_of_the_environment_is_kept(home, counted, monkeypatch):
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "1000")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1000.0)
    counted.compute()
    assert entries(home) == []


@pytest.mark.parametrize("content", [b"", b"no program", None])
def test_a_damaged_entry_costs_one_sentence_and_is_replaced(home, counted, content):
    first = counted.compute()
    (entry,) = entries(home)
    sound = entry.read_bytes()
    entry.write_bytes(sound[: len(sound) // 2] if content is None else content)
    # The same with two programs that are damaged.
    (home / f"other{entry.name}").write_bytes(b"")
    assert counted.compute().tobytes() == first.tobytes()
    (said,) = counted.said
    assert said.startswith(f"the compiled programs in {home} could not be read or written (")
    assert said.endswith("); what is needed is compiled anew.")
    assert [path.name for path in entries(home)] == [entry.name]
    assert counted.compute().tobytes() == first.tobytes()
    assert (len(counted.said), counted.hits) == (1, 1)


def test_a_directory_that_cannot_be_made_costs_one_sentence(home, counted):
    home.parent.parent.mkdir()
    home.parent.write_text("in the way")
    counted.compute()
    reason = "Not a directory"
    assert counted.said == [f"compiled programs cannot be kept in {home} ({reason}). Set XDG_CACHE_HOME, or give --no-cache."]


def test_other_processors_and_versions_have_other_directories(home, tmp_path, monkeypatch):
    info = tmp_path / "cpuinfo"

    def processor(flags, clock="2596.1"):
        info.write_text(
            f"processor\t: 0\nvendor_id\t: AMD\nmodel\t\t: 17\ncpu MHz\t\t: {clock}\nflags\t\t: {flags}\n\nprocessor\t: 1\n"
        )
        return compilation_cache._processor(info)

    assert processor("fpu avx2") == processor("fpu avx2", clock="1800.0")
    assert processor("fpu avx2") != processor("fpu avx2 avx512f")
    assert "avx2" in processor("fpu avx2")
    info.write_text("")
    monkeypatch.setattr(compilation_cache.platform, "node", lambda: "this-machine")
    assert "this-machine" in compilation_cache._processor(info)
    monkeypatch.setattr(compilation_cache, "version", lambda name: f"of {name}")
    assert compilation_cache.directory().name == home.name.replace(version("jaxlib"), "of jaxlib")


def test_the_command_shows_and_clears_all_versions(home, counted, capfd):
    counted.compute()
    old = home.parent / "jaxlib-0.0-x86"
    old.mkdir()
    (old / "f-cache").write_bytes(bytes(2_000_000))
    code, out, _ = run(capfd, "cache")
    assert code == 0
    assert f"{home}: 1 program, 0.0 MB of at most 34 MB" in out
    assert f"{old}: 1 program, 2.0 MB of at most 34 MB" in out
    code, out, _ = run(capfd, "cache", "--clear")
    assert out == f"{home}: 0 programs, 0.0 MB of at most 34 MB\n"
    assert entries(home) == entries(old) == []
    counted.compute()
    assert (len(entries(home)), counted.said) == (1, [])


def test_what_could_not_be_removed_is_said(home, counted, capfd, monkeypatch):
    import filelock

    counted.compute()
    monkeypatch.setattr(compilation_cache, "_PATIENCE", 0.05)
    with filelock.FileLock(home / ".lockfile"):
        code, _, said = run(capfd, "cache", "--clear")
    assert (code, len(entries(home))) == (1, 1)
    assert said == f"momentum-jax: the programs in {home} could not all be removed (another process is writing there).\n"


def test_the_command_says_when_jax_was_told_to_keep_nothing(home, capfd, monkeypatch):
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "false")
    assert "no program is kept or read" in run(capfd, "cache")[1]


def test_the_command_says_when_jax_was_told_of_another_directory(home, capfd, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/mine")
    _, out, _ = run(capfd, "cache")
    assert out.startswith("/mine is JAX's own compilation cache, as JAX_COMPILATION_CACHE_DIR says; these are not used:\n")


def test_theory_keeps_its_programs_unless_told_otherwise(home, capfd):
    command = ("theory", "heavy_ball(0.1, 0.9)", "--horizon", "8")
    code, plain, _ = run(capfd, *command, "--no-cache")
    assert (code, home.exists()) == (0, False)
    code, kept, err = run(capfd, *command)
    assert (code, err) == (0, "")
    assert kept == plain
    assert entries(home)


def test_every_command_that_compiles_has_the_option():
    compiling = {arguments.Compare, arguments.Train, arguments.StudyRun, arguments.StudyAddSeeds, arguments.AtlasRun}
    compiling |= {
        arguments.ProblemCommand,
        arguments.Predict,
        arguments.Reproduce,
        arguments.Theory,
        arguments.Tune,
        arguments.Explore,
    }
    commands = {each for each in vars(arguments).values() if isinstance(each, type) and each.__module__ == arguments.__name__}
    shared = {arguments.Compiles, arguments.Described, arguments.Options}
    assert {each for each in commands if issubclass(each, arguments.Compiles)} - shared == compiling


def test_the_command_does_not_import_jax():
    code = "import sys; from momentum_jax.cli import main; main(['cache']); assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.slow
def test_two_commands_at_once_warn_of_nothing_and_end_at_the_bits_of_one_without(tmp_path):
    sizes = ["--steps", "20", "--hidden", "8", "--batch", "32", "--evaluate-every", "10", "--target", "2.2", "--seeds", "2"]
    command = [sys.executable, "-W", "error", "-m", "momentum_jax.cli", "compare", *sizes, "--arm", "heavy_ball(0.05, 0.9)"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment["XDG_CACHE_HOME"] = str(tmp_path)

    def started(name, *options):
        whole = [*command, *options, "--out", str(tmp_path / name)]
        return subprocess.Popen(whole, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    for commands in ([("plain", "--no-cache")], [("first",), ("second",)], [("third",)]):
        for process in [started(*each) for each in commands]:
            said = process.communicate()[1]
            assert process.returncode == 0, said
            assert "compiled programs" not in said
    plain = np.load(tmp_path / "plain" / "curves.npz")
    for name in ("first", "second", "third"):
        kept = np.load(tmp_path / name / "curves.npz")
        assert {key: value.tobytes() for key, value in kept.items()} == {key: value.tobytes() for key, value in plain.items()}
