"""`load` gives integer images and labels as they lie in the files, and one line that says what is wrong otherwise."""

import gzip
import os
import sys

import numpy as np
import pytest
from hypothesis import given, strategies as st

from momentum_jax import data
from momentum_jax.data import DataError, Dataset


def unpacked(content: bytes, header: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress(content), np.uint8)[header:]


def test_the_training_images_come_first_then_the_test_images(directory, files):
    mnist = data.load("mnist", directory=directory)
    train, train_labels, test, test_labels = (
        unpacked(content, header) for content, header in zip(files.values(), (16, 8, 16, 8), strict=True)
    )
    assert mnist.images.shape == (16, 28, 28)
    assert mnist.images.dtype == np.uint8
    assert mnist.labels.dtype == np.uint8
    np.testing.assert_array_equal(mnist.images.ravel(), np.concatenate([train, test]))
    np.testing.assert_array_equal(mnist.labels, np.concatenate([train_labels, test_labels]))
    assert (mnist.name, mnist.scale, mnist.official_test) == ("mnist", 255.0, range(12, 16))
    assert mnist.classes == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")


def test_the_arrays_cannot_be_written(directory):
    mnist = data.load("mnist", directory=directory)
    with pytest.raises(ValueError, match="read-only"):
        mnist.images[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        mnist.labels[0] = 0


def test_size_14_sums_blocks_of_four(directory):
    whole, halved = data.load("mnist", directory=directory), data.load("mnist", directory=directory, size=14)
    assert halved.images.dtype == np.uint16
    assert halved.scale == 1020.0
    blocks = whole.images.reshape(16, 14, 2, 14, 2).sum(axis=(2, 4))
    np.testing.assert_array_equal(halved.images, blocks)
    assert blocks.max() > 255


def test_white_stays_white_at_size_14(directory, to_idx):
    white = np.full((12, 28, 28), 255, np.uint8)
    (directory / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(to_idx(white)))
    halved = data.load("mnist", directory=directory, size=14)
    assert np.all(halved.images[:12] / halved.scale == 1.0)


def test_the_images_own_size_leaves_them_as_they_are(directory):
    whole = data.load("mnist", directory=directory)
    np.testing.assert_array_equal(data.load("mnist", directory=directory, size=28).images, whole.images)
    np.testing.assert_array_equal(data.load("digits", size=8).images, data.load("digits").images)


def test_digits_are_the_published_pixels():
    digits = data.load("digits")
    assert digits.images.shape == (1797, 8, 8)
    assert (digits.images.dtype, digits.labels.dtype, digits.scale) == (np.uint8, np.uint8, 16.0)
    assert digits.official_test is None
    np.testing.assert_array_equal(digits.images[0, 0], [0, 0, 5, 13, 9, 1, 0, 0])
    assert digits.images.max() == 16
    np.testing.assert_array_equal(np.bincount(digits.labels), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_digits_are_split_by_class(seed):
    digits = data.load("digits")
    split = digits.split(seed)
    assert [len(part) for part in split] == [1079, 359, 359]
    for part in (split.validation, split.test):
        shares = np.bincount(digits.labels[part]) / np.bincount(digits.labels)
        np.testing.assert_allclose(shares, 0.2, atol=0.5 / 174)


def test_the_published_test_set_is_the_test_set_of_every_seed(directory):
    mnist = data.load("mnist", directory=directory)
    for seed in range(5):
        split = mnist.split(seed)
        np.testing.assert_array_equal(split.test, [12, 13, 14, 15])
        assert (len(split.train), len(split.validation)) == (10, 2)


def synthetic(labels: np.ndarray, official_test: range | None) -> Dataset:
    images = np.zeros((len(labels), 1, 1), np.uint8)
    return Dataset("synthetic", images, labels, 255.0, tuple("0123456789"), official_test)


@given(
    st.lists(st.integers(0, 9), min_size=40, max_size=300),
    st.booleans(),
    st.integers(0, 2**64),
)
def test_a_split_is_a_partition_and_the_seed_alone_decides_it(labels, published, seed):
    whole = synthetic(np.array(labels, np.uint8), range(len(labels) - 10, len(labels)) if published else None)
    split, again = whole.split(seed), whole.split(seed)
    assert all(part.dtype == np.int32 for part in split)
    np.testing.assert_array_equal(np.sort(np.concatenate(split)), np.arange(len(labels)))
    for part, same in zip(split, again, strict=True):
        np.testing.assert_array_equal(part, same)


def test_splits_are_those_of_every_other_platform_and_numpy():
    labels = (np.arange(60) % 10).astype(np.uint8)
    published, stratified = synthetic(labels, range(48, 60)).split(3), synthetic(labels, None).split(3)
    assert published.validation.tolist() == [20, 28, 0, 31, 4, 47, 9, 7]
    assert published.train[:8].tolist() == [34, 39, 1, 16, 19, 36, 22, 23]
    assert stratified.test.tolist() == [2, 21, 23, 24, 27, 39, 40, 45, 56, 58]
    assert stratified.validation.tolist() == [20, 28, 31, 4, 47, 9, 55, 16, 53, 22]


def test_other_seeds_choose_other_validation_images(directory):
    validation = [tuple(data.load("digits").split(seed).validation) for seed in range(4)]
    assert len(set(validation)) == 4


def test_validation_is_drawn_uniformly():
    whole = synthetic(np.zeros(80, np.uint8), range(60, 80))
    times = np.zeros(80)
    for seed in range(2000):
        times[whole.split(seed).validation] += 1
    assert times[60:].sum() == 0
    # Binomial(2000, 1/6): mean 333, standard deviation 17; 4.5 of these on either side of 60 counts
    assert np.all(np.abs(times[:60] - 2000 / 6) < 75)


@pytest.mark.parametrize("seed", [1.0, True, "0", None])
def test_a_seed_that_is_no_integer_is_a_type_error(seed):
    with pytest.raises(TypeError, match=r"^split: seed must be an integer >= 0, got "):
        synthetic(np.zeros(80, np.uint8), None).split(seed)


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match=r"^split: seed must be an integer >= 0, got -1\.$"):
        synthetic(np.zeros(80, np.uint8), None).split(-1)


@pytest.mark.parametrize("official_test", [None, range(1, 2)])
def test_too_few_images_for_three_parts_are_refused(official_test):
    with pytest.raises(ValueError, match=r"^split: 'synthetic' has too few images to be divided: [12] for train, 0 for "):
        synthetic(np.zeros(2, np.uint8), official_test).split(0)


@pytest.mark.parametrize(
    ("name", "directory", "size", "message"),
    [
        ("mnits", None, None, "load: name must be one of digits, mnist, fashion_mnist, got 'mnits'."),
        ("", None, None, "load: name must be one of digits, mnist, fashion_mnist, got ''."),
        ("mnist", "", None, "load: directory must be a path or None, got ''."),
        ("mnist", None, 7, "load: size must be 28 or 14 or None for 'mnist', got 7."),
        ("digits", None, 14, "load: size must be 8 or None for 'digits', got 14."),
    ],
)
def test_bad_arguments_are_refused_in_one_line(name, directory, size, message):
    with pytest.raises(DataError) as caught:
        data.load(name, directory=directory, size=size)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": 3}, "load: name must be a string, got 3."),
        ({"name": "mnist", "directory": 3}, "load: directory must be a path or None, got 3."),
        ({"name": "mnist", "size": 14.0}, "load: size must be an integer or None, got 14.0."),
        ({"name": "mnist", "size": True}, "load: size must be an integer or None, got True."),
    ],
)
def test_arguments_of_a_wrong_type_are_type_errors(arguments, message):
    with pytest.raises(TypeError) as caught:
        data.load(**arguments)
    assert str(caught.value) == message


PUT_IT_THERE = "Put the published file there by `momentum-jax data fetch mnist --directory "


def refused(directory, problem: str, remedy: str = PUT_IT_THERE) -> None:
    with pytest.raises(DataError) as caught:
        data.load("mnist", directory=directory)
    message = str(caught.value)
    assert message.startswith(f"load: {directory / 'mnist'}{os.sep}")
    assert problem in message
    assert remedy in message
    assert "\n" not in message


def test_a_missing_file_is_named_with_the_remedy(directory):
    (directory / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    refused(directory, "t10k-labels-idx1-ubyte.gz does not exist.")


def test_a_missing_directory_is_named_with_the_remedy(tmp_path):
    refused(tmp_path / "nowhere", "train-images-idx3-ubyte.gz does not exist.")


def test_a_truncated_file_is_named_with_the_remedy(directory, files):
    file = "train-images-idx3-ubyte.gz"
    (directory / "mnist" / file).write_bytes(files[file][:5000])
    refused(directory, f"{file} is truncated: the gzip stream ends early.")
    refused(directory, "--force`")


def test_a_file_that_is_not_gzip_is_named_with_the_remedy(directory):
    file = "train-labels-idx1-ubyte.gz"
    (directory / "mnist" / file).write_bytes(b"<html>404</html>")
    refused(directory, f"{file} is not a sound gzip file: Not a gzipped file (b'<h').")


def test_labels_in_the_place_of_images_are_refused(directory, files):
    (directory / "mnist" / "t10k-images-idx3-ubyte.gz").write_bytes(files["t10k-labels-idx1-ubyte.gz"])
    refused(directory, "t10k-images-idx3-ubyte.gz has the wrong magic number: must be 0x00000803, is 0x00000801.")


def test_images_of_another_size_are_refused(directory, to_idx):
    file = "train-images-idx3-ubyte.gz"
    (directory / "mnist" / file).write_bytes(gzip.compress(to_idx(np.zeros((12, 32, 32)))))
    refused(directory, f"{file} has the wrong dimensions: must be n x 28 x 28, n from 1, are 12 x 32 x 32.")


def test_a_label_too_many_is_refused(directory, to_idx):
    (directory / "mnist" / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(to_idx(np.zeros(13))))
    refused(directory, "train-labels-idx1-ubyte.gz has 13 labels, ")
    refused(directory, "train-images-idx3-ubyte.gz has 12 images.")


def test_a_label_out_of_range_is_refused(directory, to_idx):
    labels = np.array([0, 9, 1, 10])
    (directory / "mnist" / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(to_idx(labels)))
    refused(directory, "t10k-labels-idx1-ubyte.gz: labels must be from 0 to 9, label 3 is 10.")


def test_a_directory_that_cannot_be_read_is_named_with_the_remedy(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    readable = "Make it a file that can be read, or give another directory, as argument or by MOMENTUM_JAX_DATA."
    refused(tmp_path / "loop", "cannot be read: Too many levels of symbolic links.", readable)
    (tmp_path / "file").write_bytes(b"")
    refused(tmp_path / "file", "cannot be read: Not a directory.", readable)


def test_a_forbidden_directory_is_named_with_the_remedy(directory):
    (directory / "mnist").chmod(0)
    try:
        if os.access(directory / "mnist", os.X_OK):
            pytest.skip("nothing is forbidden to this user, who is root it seems")
        refused(directory, "cannot be read: Permission denied.", "Make it a file that can be read")
    finally:
        (directory / "mnist").chmod(0o700)


def test_the_argument_comes_before_the_environment_variable_before_the_cache(directory, cache, monkeypatch, tmp_path):
    assert data.path("mnist") == cache
    monkeypatch.setenv("MOMENTUM_JAX_DATA", str(directory))
    assert data.path("mnist") == directory / "mnist"
    assert len(data.load("mnist").images) == 16
    assert data.path("mnist", tmp_path) == tmp_path / "mnist"
    with pytest.raises(DataError, match="does not exist"):
        data.load("mnist", directory=tmp_path)


def test_an_empty_environment_variable_counts_as_none(cache, monkeypatch):
    monkeypatch.setenv("MOMENTUM_JAX_DATA", "")
    assert data.path("mnist") == cache


def test_a_tilde_is_the_home_directory(directory, monkeypatch):
    monkeypatch.setenv("HOME", str(directory.parent))
    assert data.path("mnist", f"~/{directory.name}") == directory / "mnist"


def test_digits_without_scikit_learn_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError) as caught:
        data.load("digits")
    assert str(caught.value).endswith("install it by `pip install 'momentum_jax[experiments]'`.")


@pytest.fixture(params=["mnist", "fashion_mnist"])
def real_files(request):
    if not os.environ.get("MOMENTUM_JAX_DATA"):
        pytest.skip("MOMENTUM_JAX_DATA is not set: it names the directory of the real files")
    return request.param


def test_the_real_files_are_the_published_ones_and_load(real_files):
    assert [report.status for report in data.verify(real_files)] == ["published"] * 4
    loaded = data.load(real_files)
    assert loaded.images.shape == (70_000, 28, 28)
    assert loaded.official_test == range(60_000, 70_000)
    # Published: each fashion class 6,000 and 1,000 times; of MNIST's training digits 5,923 are zeros, 6,742 ones
    firsts = {"mnist": [5923, 6742], "fashion_mnist": [6000, 6000]}
    assert np.bincount(loaded.labels[:60_000])[:2].tolist() == firsts[real_files]
    split = loaded.split(0)
    assert [len(part) for part in split] == [50_000, 10_000, 10_000]
    assert split.test[0] == 60_000


@pytest.mark.slow
def test_real_images_keep_their_mean_at_size_14(real_files):
    whole, halved = data.load(real_files), data.load(real_files, size=14)
    assert halved.images.shape == (70_000, 14, 14)
    assert halved.images.sum(dtype=np.int64) == whole.images.sum(dtype=np.int64)
