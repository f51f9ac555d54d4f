"""Images of one's own: what a .npz file must hold, and that it is read without unpickling."""

import io
import os
import threading
import tracemalloc
import zipfile

import numpy as np
import pytest

from momentum_jax import data
from momentum_jax.data import DataError

IMAGES = np.arange(40 * 6 * 5).reshape(40, 6, 5).astype(np.uint8)
LABELS = np.arange(40) % 3


def saved(path, **arrays):
    np.savez(path / "mine.npz", **arrays)
    return str(path / "mine.npz")


def test_images_and_labels_are_read_and_divided_like_any_others(tmp_path):
    found = data.load(saved(tmp_path, images=IMAGES, labels=LABELS))
    assert found.name == "mine"
    assert found.classes == ("0", "1", "2")
    assert found.scale == 255.0
    np.testing.assert_array_equal(found.images, IMAGES)
    np.testing.assert_array_equal(found.labels, LABELS)
    assert sum(map(len, found.split(0))) == 40


def test_a_test_set_of_its_own_is_the_test_set_of_every_seed(tmp_path):
    found = data.load(saved(tmp_path, images=IMAGES[:30], labels=LABELS[:30], test_images=IMAGES[30:], test_labels=LABELS[30:]))
    assert found.split(3).test.tolist() == list(range(30, 40))
    np.testing.assert_array_equal(found.images, IMAGES)


def test_16_bit_images_have_their_own_scale(tmp_path):
    assert data.load(saved(tmp_path, images=IMAGES.astype(np.uint16), labels=LABELS)).scale == 65535.0


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_colour_images_keep_their_channels_which_are_no_size(tmp_path, channels):
    images = np.stack([IMAGES + 50 * each for each in range(channels)], axis=3)
    path = saved(tmp_path, images=images.astype(np.uint16), labels=LABELS)
    for size in (None, 6, 5):
        np.testing.assert_array_equal(data.load(path, size=size).images, images)
    with pytest.raises(DataError, match=f"size must be None for images of one's own, got {channels}"):
        data.load(path, size=channels)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": IMAGES}, "must hold images and labels, got images"),
        ({"images": IMAGES / 255, "labels": LABELS}, r"of 1 to 4 channels, uint8 or uint16, got float64 of shape \(40, 6, 5\)"),
        (
            {"images": IMAGES[:, 0], "labels": LABELS},
            r"images must be \(n, height, width\) or \(n, height, width, channels\) .* of shape \(40, 5\)",
        ),
        ({"images": IMAGES[:, :, :, None].repeat(5, 3), "labels": LABELS}, r"1 to 4 channels, .* of shape \(40, 6, 5, 5\)"),
        ({"images": IMAGES[:, :, :0, None], "labels": LABELS}, r"1 to 4 channels, .* of shape \(40, 6, 0, 1\)"),
        ({"images": IMAGES[..., None, None], "labels": LABELS}, r"1 to 4 channels, .* of shape \(40, 6, 5, 1, 1\)"),
        (
            {"images": IMAGES, "labels": LABELS, "test_images": IMAGES[..., None], "test_labels": LABELS},
            r"test_images must be like images, uint8 of \(6, 5\), got uint8 of \(6, 5, 1\)",
        ),
        ({"images": IMAGES, "labels": LABELS[:7]}, r"labels must be 40 integers, one an image, got int64 of shape \(7,\)"),
        ({"images": IMAGES, "labels": LABELS / 2}, "labels must be 40 integers, one an image, got float64"),
        ({"images": IMAGES, "labels": LABELS - 1}, "labels must be from 0 to 255, got -1 to 1"),
        ({"images": IMAGES, "labels": LABELS, "test_images": IMAGES}, "must hold test_images and test_labels"),
        (
            {"images": IMAGES, "labels": LABELS, "test_images": IMAGES[:, :3], "test_labels": LABELS},
            "test_images must be like images",
        ),
        ({"images": np.array([{}], object), "labels": LABELS}, "is no sound .npz file"),
    ],
)
def test_what_is_no_data_set_is_refused_in_one_sentence(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message) as refused:
        data.load(saved(tmp_path, **arrays))
    assert str(refused.value).count("\n") == 0


def test_a_file_that_is_missing_or_no_archive_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.npz cannot be read"):
        data.load(str(tmp_path / "none.npz"))
    (tmp_path / "text.npz").write_text("not an archive")
    with pytest.raises(DataError, match=r"text\.npz is no sound \.npz file"):
        data.load(str(tmp_path / "text.npz"))


def test_one_array_an_encrypted_and_a_strange_archive_are_no_sound_files(tmp_path):
    path = tmp_path / "mine.npz"
    with open(path, "wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(DataError, match=r"mine\.npz is no sound \.npz file \(it is no archive of arrays\)"):
        data.load(str(path))
    np.savez(path, images=IMAGES, labels=LABELS)
    sound = path.read_bytes()
    entry = sound.find(b"PK\x01\x02")
    for offset, value in ((8, 1), (10, 99)):
        damaged = bytearray(sound)
        damaged[entry + offset] |= value
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"mine\.npz is no sound \.npz file"):
            data.load(str(path))


def archive(path, *, compression=zipfile.ZIP_STORED, **entries):
    """An archive of entries as they are given, in bytes; of arrays as NumPy writes them."""
    with zipfile.ZipFile(path / "mine.npz", "w", compression) as file:
        for name, entry in entries.items():
            if not isinstance(entry, bytes):
                np.save(packed := io.BytesIO(), entry)
                entry = packed.getvalue()
            file.writestr(f"{name}.npy", entry)
    return str(path / "mine.npz")


def header(shape):
    np.lib.format.write_array_header_1_0(start := io.BytesIO(), {"descr": "|u1", "fortran_order": False, "shape": shape})
    return start.getvalue()


@pytest.mark.parametrize(
    "entry",
    [
        b"nothing that NumPy wrote",
        b"",
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b" " * 100_000,
        header((2**24, 2**10, 2**10)) + b"abc",
        header((-3, 2, 2)) + b"abc",
        header((40, 6, 5)) + bytes(40 * 6 * 5 + 1),
        b"\x93NUMPY\x01\x00\x00\x10" + b"-" * 4095 + b"1",
        b"\x93NUMPY\x01\x00\x00\x10" + b"(" * 4096,
    ],
    ids=["text", "nothing", "no header", "longest header", "16 TB", "negative", "a byte more", "signs", "brackets"],
)
def test_an_entry_that_is_not_the_array_it_announces_is_refused_in_one_sentence(tmp_path, entry):
    with pytest.raises(DataError, match=r"mine\.npz is no sound \.npz file \(.*images") as refused:
        data.load(archive(tmp_path, images=entry, labels=LABELS))
    assert len(str(refused.value)) < 300 + len(str(tmp_path))
    assert "\n" not in str(refused.value)


def test_a_changed_entry_is_found_by_its_checksum(tmp_path):
    path = tmp_path / "mine.npz"
    archive(tmp_path, images=IMAGES, labels=LABELS)
    content = path.read_bytes()
    place = content.index(IMAGES.tobytes())
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with pytest.raises(DataError, match=r"no sound \.npz file .*CRC"):
        data.load(str(path))


@pytest.mark.parametrize("labels", [LABELS, np.arange(2**17) / 2], ids=["too few", "of another kind"])
def test_nothing_is_unpacked_of_what_the_headers_already_rule_out(tmp_path, labels):
    images = header((2**17, 8, 8)) + bytes(2**23)
    path = archive(tmp_path, compression=zipfile.ZIP_DEFLATED, images=images, labels=labels, unasked=bytes(2**23))
    del images
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="labels must be 131072 integers"):
            data.load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_what_a_file_holds_besides_is_not_read(tmp_path):
    path = archive(tmp_path, images=IMAGES, labels=LABELS, notes=b"no array")
    np.testing.assert_array_equal(data.load(path).images, IMAGES)


def test_more_images_than_are_read_are_refused_by_their_size(tmp_path, monkeypatch):
    monkeypatch.setattr("momentum_jax.data.own.MOST_BYTES", 1000)
    with pytest.raises(DataError, match="images would unpack to 1,328 bytes, more than 1,000"):
        data.load(saved(tmp_path, images=IMAGES, labels=LABELS))


def test_images_that_do_not_fit_into_memory_are_named(tmp_path, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    path = saved(tmp_path, images=IMAGES, labels=LABELS)
    monkeypatch.setattr("momentum_jax.data.own.read_array", full)
    with pytest.raises(DataError, match=r"mine\.npz does not fit into memory"):
        data.load(path)


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    path = tmp_path / "pipe.npz"
    os.mkfifo(path)
    # Whoever does wait gets an end of file.
    threading.Thread(target=lambda: open(path, "wb").close(), daemon=True).start()
    with pytest.raises(DataError, match=r"pipe\.npz cannot be read \(it is no regular file\)"):
        data.load(str(path))


def test_a_name_that_no_file_can_have_is_refused():
    with pytest.raises(DataError, match="cannot be read"):
        data.load("a\0.npz")
