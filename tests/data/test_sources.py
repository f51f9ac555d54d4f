"""`verify` tells the published files from others, `path` where they are; no package is loaded before it is needed."""

import gzip
import hashlib
import sys

import numpy as np
import pytest

from momentum_jax import data
from momentum_jax.data import DataError


def test_every_name_has_a_line():
    assert list(data.NAMES) == ["digits", "mnist", "fashion_mnist"]
    assert all(line and "\n" not in line for line in data.NAMES.values())


def test_the_published_files_are_recognised(directory, publish):
    publish()
    reports = data.verify("mnist", directory)
    assert [report.status for report in reports] == ["published"] * 4
    assert all(report.ok for report in reports)
    assert [report.path for report in reports] == sorted((directory / "mnist").iterdir(), key=lambda p: order(p.name))


def order(name: str) -> tuple[bool, bool]:
    return name.startswith("t10k"), "labels" in name


def test_what_is_wrong_with_a_file_is_reported(directory, publish, to_idx):
    publish()
    folder = directory / "mnist"
    other = gzip.compress(to_idx(np.zeros((3, 28, 28))))
    (folder / "train-images-idx3-ubyte.gz").write_bytes(other)
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(b"no gzip")
    different, missing, damaged, published = data.verify("mnist", directory)
    assert [report.status for report in (different, missing, damaged, published)] == [
        "different",
        "missing",
        "damaged",
        "published",
    ]
    assert [report.ok for report in (different, missing, damaged, published)] == [False, False, False, True]
    assert different.sha256 == hashlib.sha256(other).hexdigest()
    assert different.detail.endswith(f"its SHA-256 is {different.sha256}. It is a sound file of 3 x 28 x 28.")
    assert missing.sha256 is None
    assert missing.detail.endswith("train-labels-idx1-ubyte.gz does not exist.")
    assert "is not a sound gzip file" in damaged.detail


def test_a_file_that_cannot_be_read_is_reported(tmp_path):
    (tmp_path / "mnist").write_bytes(b"a file in the place of the folder")
    reports = data.verify("mnist", tmp_path)
    assert [report.status for report in reports] == ["damaged"] * 4
    assert reports[0].detail.endswith("cannot be read: Not a directory.")


def test_verify_downloads_nothing_and_makes_nothing(cache):
    assert [report.status for report in data.verify("mnist")] == ["missing"] * 4
    assert not cache.exists()


def test_digits_are_found_and_verified_inside_scikit_learn():
    (report,) = data.verify("digits")
    assert report.ok, report
    assert report.path == data.path("digits")
    assert report.path.is_file()


@pytest.mark.parametrize("function", [data.path, data.verify, data.fetch])
def test_unknown_names_are_refused_in_the_functions_own_name(function):
    with pytest.raises(DataError, match=f"^{function.__name__}: name must be one of digits, mnist, fashion_mnist, got"):
        function("mnits")


def test_the_cache_without_pooch_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataError) as caught:
        data.path("mnist")
    message = "path: the cache (neither a directory nor MOMENTUM_JAX_DATA is given) needs pooch, which is not installed; "
    assert str(caught.value) == message + "install it by `pip install 'momentum_jax[experiments]'`."


def test_a_directory_of_the_users_needs_no_optional_package(directory, monkeypatch):
    for package in ("pooch", "rich", "sklearn", "requests"):
        monkeypatch.setitem(sys.modules, package, None)
    assert len(data.load("mnist", directory=directory).images) == 16
