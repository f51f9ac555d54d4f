"""IDX files are read exactly, and whatever is not one is refused with a DataError that names the file."""

import gzip
import os
import struct
import tempfile
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from momentum_jax.data import DataError, idx, verify

images = arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4)))


def read(packed: bytes, shape: tuple[int | None, ...]) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.gz"
        path.write_bytes(packed)
        try:
            return idx.read(path, shape)
        except DataError as error:
            if not str(error).startswith(str(path)) or "\n" in str(error):
                pytest.fail(f"no line that begins with the path: {error}")
            raise


@given(arrays(np.uint8, st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)))
def test_what_was_written_is_read(to_idx, array):
    result = read(gzip.compress(to_idx(array)), (None,) * array.ndim)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, array)


@given(images, st.data())
def test_a_gzip_file_cut_anywhere_is_refused(to_idx, array, data):
    packed = gzip.compress(to_idx(array))
    cut = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(DataError):
        read(packed[:cut], (None, *array.shape[1:]))


@given(images, st.data())
def test_a_stream_cut_before_it_was_packed_is_refused(to_idx, array, data):
    content = to_idx(array)
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(DataError):
        read(gzip.compress(content[:cut]), (None, *array.shape[1:]))


@given(images, st.integers(0, 15), st.integers(1, 255))
def test_any_change_of_the_header_is_refused(to_idx, array, place, change):
    content = bytearray(to_idx(array))
    content[place] ^= change
    with pytest.raises(DataError):
        read(gzip.compress(bytes(content)), (None, *array.shape[1:]))


@given(images, st.data())
def test_a_changed_byte_of_the_packed_file_is_refused_or_changes_nothing(to_idx, array, data):
    packed = bytearray(gzip.compress(to_idx(array)))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        result = read(bytes(packed), (None, *array.shape[1:]))
    except DataError:
        return
    np.testing.assert_array_equal(result, array)


@given(st.binary(max_size=200), st.booleans())
def test_what_is_no_idx_file_at_all_is_refused(content, pack):
    with pytest.raises(DataError):
        read(gzip.compress(content) if pack else content, (None, 28, 28))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(bytes([0, 0, 13, 1, 0, 0, 0, 1, 0]), "magic number: must be 0x00000801, is 0x00000d01", id="type"),
        pytest.param(bytes([0, 0, 8, 3, 0, 0, 0, 1, 0]), "magic number: must be 0x00000801, is 0x00000803", id="rank"),
        pytest.param(b"\0\0", "magic number: must be 0x00000801, is 0x0000", id="two bytes"),
        pytest.param(bytes([0, 0, 8, 1, 0, 0]), "ends within its header", id="half a header"),
        pytest.param(bytes([0, 0, 8, 1, 0, 0, 0, 0]), "dimensions: must be n, n from 1, are 0", id="empty"),
        pytest.param(bytes([0, 0, 8, 1, 0, 0, 0, 2, 5]), "announces 2 bytes of entries, it holds only 1", id="short"),
        pytest.param(bytes([0, 0, 8, 1, 0, 0, 0, 2, 5, 5, 5]), "announces 2 bytes of entries, it holds more", id="long"),
        pytest.param(bytes([0, 0, 8, 1, 255, 0, 0, 0, 5]), "announces 4,278,190,080 bytes; the most", id="too much"),
    ],
)
def test_the_message_says_what_is_wrong(content, says):
    with pytest.raises(DataError, match=r"^/") as caught:
        read(gzip.compress(content), (None,))
    assert says in str(caught.value)


def test_wrong_dimensions_are_told_beside_the_right_ones(to_idx):
    with pytest.raises(DataError, match="must be n x 28 x 28, n from 1, are 2 x 28 x 27"):
        read(gzip.compress(to_idx(np.zeros((2, 28, 27), np.uint8))), (None, 28, 28))


def test_a_changed_entry_is_found_by_the_checksum_of_gzip(to_idx):
    packed = bytearray(gzip.compress(to_idx(np.arange(200, dtype=np.uint8)), compresslevel=0))
    packed[-20] ^= 1
    with pytest.raises(DataError, match="not a sound gzip file: CRC check failed"):
        read(bytes(packed), (None,))


def test_no_more_is_unpacked_than_the_header_announces(to_idx, tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(to_idx(np.zeros(10, np.uint8)) + bytes(2**27)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="it holds more"):
            idx.read(path, (None,))
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_no_memory_is_taken_for_entries_that_are_announced_but_not_there(tmp_path):
    path = tmp_path / "hollow.gz"
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 1]) + struct.pack(">I", 2**30) + bytes(100)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="it holds only 100"):
            idx.read(path, (None,))
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_a_missing_file_a_folder_and_a_link_to_itself_are_told_apart(tmp_path):
    with pytest.raises(DataError, match=r"missing\.gz does not exist"):
        idx.read(tmp_path / "missing.gz", (None,))
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        idx.read(tmp_path, (None,))
    (tmp_path / "loop.gz").symlink_to(tmp_path / "loop.gz")
    with pytest.raises(DataError, match=r"loop\.gz cannot be read: Too many levels of symbolic links"):
        idx.read(tmp_path / "loop.gz", (None,))


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    path = tmp_path / "mnist" / "train-images-idx3-ubyte.gz"
    path.parent.mkdir()
    os.mkfifo(path)
    # Whoever does wait gets an end of file.
    for _ in range(2):
        threading.Thread(target=lambda: open(path, "wb").close(), daemon=True).start()
    with pytest.raises(DataError, match="cannot be read: it is no regular file"):
        idx.read(path, (None, 28, 28))
    report = verify("mnist", tmp_path)[0]
    assert (report.status, report.sha256) == ("damaged", None)
