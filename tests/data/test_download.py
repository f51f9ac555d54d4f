"""Downloads come from the first mirror that serves the published file; whatever else is served leaves no trace."""

import io
import os
import socket
import sys
import time

import pooch
import pytest

from momentum_jax import data
from momentum_jax.data import DataError, download


@pytest.fixture
def refusing() -> str:
    """The address of a port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


def contents(folder) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


def fails(*says: str) -> None:
    with pytest.raises(DataError) as caught:
        data.fetch("mnist")
    for part in ("fetch: ", *says, "or set MOMENTUM_JAX_DATA to "):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_loading_downloads_once_and_reads_the_cache_thereafter(mirrors, publish, cache, files):
    publish(mirrors.good)
    assert len(data.load("mnist").images) == 16
    assert contents(cache) == files
    assert mirrors.asked == [f"/good/{file}" for file in files]
    assert len(data.load("mnist").images) == 16
    assert len(mirrors.asked) == 4


def test_fetch_returns_the_folder_and_leaves_sound_files_alone(mirrors, publish, cache, files):
    publish(mirrors.good)
    cache.mkdir(parents=True)
    first, *rest = files
    (cache / first).write_bytes(files[first])
    before = (cache / first).stat()
    assert data.fetch("mnist") == cache
    assert mirrors.asked == [f"/good/{file}" for file in rest]
    assert (cache / first).stat().st_mtime_ns == before.st_mtime_ns


def test_force_downloads_everything_anew(mirrors, publish, files):
    publish(mirrors.good)
    data.fetch("mnist")
    data.fetch("mnist", force=True)
    assert len(mirrors.asked) == 8


def test_fetched_files_have_the_permissions_of_any_new_file(mirrors, publish, cache, tmp_path):
    publish(mirrors.good)
    data.fetch("mnist")
    (tmp_path / "new").write_bytes(b"")
    assert {entry.stat().st_mode for entry in cache.iterdir()} == {(tmp_path / "new").stat().st_mode}


def test_a_mirror_without_the_file_gives_way_to_the_next_which_is_asked_first_from_then_on(mirrors, publish, cache):
    publish(mirrors.bad, mirrors.good)
    data.fetch("mnist")
    assert [path.split("/")[1] for path in mirrors.asked] == ["bad", "good", "good", "good", "good"]
    assert all(report.ok for report in data.verify("mnist"))


def test_a_mirror_that_refuses_the_connection_gives_way_to_the_next(mirrors, publish, cache, files, refusing):
    publish(refusing, mirrors.good)
    data.fetch("mnist")
    assert contents(cache) == files


def test_a_mirror_that_serves_something_else_gives_way_to_the_next(mirrors, publish, cache, files):
    publish(mirrors.bad, mirrors.good)
    mirrors.answers |= {f"/bad/{file}": b"<html>Please log in</html>" for file in files}
    data.fetch("mnist")
    assert contents(cache) == files


@pytest.mark.parametrize("announced", [True, False])
def test_a_mirror_that_breaks_off_gives_way_to_the_next(mirrors, publish, cache, files, announced):
    publish(mirrors.bad, mirrors.good)
    for file, content in files.items():
        mirrors.answers[f"/bad/{file}"] = content[: len(content) // 2]
        if announced:
            mirrors.announced[f"/bad/{file}"] = len(content)
    data.fetch("mnist")
    assert contents(cache) == files


def test_when_every_mirror_fails_the_reasons_are_told_and_the_cache_stays_clean(mirrors, publish, cache, refusing):
    first = "train-images-idx3-ubyte.gz"
    mirrors.answers[f"/bad/{first}"] = b"something else"
    del mirrors.answers[f"/good/{first}"]
    publish(refusing, mirrors.bad, mirrors.good)
    fails(
        f"{cache / first} could not be downloaded ({refusing}{first}: the connection failed; ",
        f"{mirrors.bad}{first}: wrong checksum, the SHA-256 is not that of the published file; ",
        f"{mirrors.good}{first}: 404 Not Found). Check the network, or put the published files of mnist there yourself",
    )
    assert contents(cache) == {}


def test_a_connection_that_breaks_off_everywhere_is_told_and_leaves_nothing(mirrors, publish, cache, files):
    first = "train-images-idx3-ubyte.gz"
    mirrors.answers[f"/good/{first}"] = files[first][:1000]
    mirrors.announced[f"/good/{first}"] = len(files[first])
    publish(mirrors.good)
    fails(f"{mirrors.good}{first}: the connection broke off")
    assert contents(cache) == {}


def test_files_that_were_had_before_a_failure_are_kept(mirrors, publish, cache, files):
    del mirrors.answers["/good/t10k-images-idx3-ubyte.gz"]
    publish(mirrors.good)
    fails("t10k-images-idx3-ubyte.gz could not be downloaded")
    assert contents(cache) == {file: files[file] for file in list(files)[:2]}


def test_a_mirror_that_stays_silent_is_told(mirrors, publish, monkeypatch):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setattr(download, "TIMEOUT", (1, 0.05))
        publish(f"http://127.0.0.1:{silent.getsockname()[1]}/")
        fails("no answer in time")


def test_a_bad_file_in_the_cache_is_replaced(mirrors, publish, cache, files):
    publish(mirrors.good)
    cache.mkdir(parents=True)
    (cache / "train-images-idx3-ubyte.gz").write_bytes(files["train-images-idx3-ubyte.gz"][:-4])
    data.load("mnist")
    assert contents(cache) == files


def test_a_bad_file_in_the_cache_does_not_stay_when_no_mirror_has_a_better_one(publish, cache, refusing):
    publish(refusing)
    cache.mkdir(parents=True)
    (cache / "train-images-idx3-ubyte.gz").write_bytes(b"bad")
    fails("could not be downloaded")
    assert contents(cache) == {}


def test_an_interrupt_leaves_nothing(mirrors, publish, cache, monkeypatch):
    def interrupted(*arguments, **keywords):
        (partial,) = (entry for entry in cache.iterdir() if entry.name.startswith(".partial-"))
        (partial / "half").write_bytes(b"half")
        raise KeyboardInterrupt

    publish(mirrors.good)
    monkeypatch.setattr("pooch.retrieve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.fetch("mnist")
    assert contents(cache) == {}


def test_scratch_folders_of_killed_processes_are_swept_those_of_others_at_work_are_not(mirrors, publish, cache):
    for name, age in ((".partial-killed", 2 * 24 * 3600), (".partial-at-work", 60)):
        (cache / name).mkdir(parents=True)
        os.utime(cache / name, (time.time() - age, time.time() - age))
    publish(mirrors.good)
    data.fetch("mnist")
    assert not (cache / ".partial-killed").exists()
    assert (cache / ".partial-at-work").exists()


def test_fetch_fills_a_directory_of_the_users(mirrors, publish, tmp_path, files, monkeypatch):
    publish(mirrors.good)
    assert data.fetch("mnist", directory=tmp_path / "mine") == tmp_path / "mine" / "mnist"
    assert contents(tmp_path / "mine" / "mnist") == files
    monkeypatch.setenv("MOMENTUM_JAX_DATA", str(tmp_path / "of the environment"))
    data.fetch("mnist")
    assert contents(tmp_path / "of the environment" / "mnist") == files


def test_a_file_of_the_users_is_replaced_only_by_force(mirrors, publish, directory, files):
    publish(mirrors.good)
    theirs = directory / "mnist" / "t10k-labels-idx1-ubyte.gz"
    theirs.write_bytes(b"theirs")
    with pytest.raises(DataError) as caught:
        data.fetch("mnist", directory=directory)
    assert str(caught.value).startswith(f"fetch: {theirs} is not the published file: its SHA-256 is ")
    assert str(caught.value).endswith(f"`momentum-jax data fetch mnist --directory '{directory}' --force`.")
    assert theirs.read_bytes() == b"theirs"
    assert mirrors.asked == []
    data.fetch("mnist", directory=directory, force=True)
    assert contents(directory / "mnist") == files


def test_loading_from_a_directory_of_the_users_downloads_nothing(mirrors, publish, directory):
    publish(mirrors.good)
    (directory / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="does not exist"):
        data.load("mnist", directory=directory)
    assert mirrors.asked == []


def test_a_folder_that_cannot_be_made_is_named_with_the_remedy(mirrors, publish, tmp_path):
    publish(mirrors.good)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        data.fetch("mnist", directory=tmp_path / "file")
    assert str(caught.value).startswith(f"fetch: {tmp_path / 'file'}")
    assert "Not a directory. Make " in str(caught.value)
    assert str(caught.value).endswith("a folder that can be written, or set MOMENTUM_JAX_DATA to one that can.")


def test_there_is_nothing_to_fetch_of_digits():
    assert data.fetch("digits", force=True) == data.path("digits")


def test_a_download_without_pooch_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataError, match=r"^fetch: a download needs pooch, which is not installed; "):
        data.fetch("mnist", directory=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_where_there_is_no_terminal_progress_is_a_plain_line_for_each_file(mirrors, publish, files, capfd, caplog):
    pooch.get_logger().addHandler(caplog.handler)
    publish(mirrors.good)
    data.fetch("mnist")
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == [f"mnist: {file} from {mirrors.good}{file}" for file in files]
    data.fetch("mnist")
    assert capfd.readouterr().err == ""
    pooch.get_logger().removeHandler(caplog.handler)
    assert caplog.records == []


def test_in_a_terminal_progress_is_a_bar_that_ends_full(mirrors, publish, files, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    publish(mirrors.good)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "160")
    data.fetch("mnist")
    shown = terminal.getvalue()
    assert "\x1b[" in shown
    for file, content in files.items():
        last = [line for line in shown.splitlines() if f"mnist: {file} from 127.0.0.1" in line][-1]
        assert "━" * 40 in last
        assert "kB" in last or f"{len(content)}/{len(content)} bytes" in last
