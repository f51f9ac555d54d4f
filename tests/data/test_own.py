"""Images of one's own: what a .npz file must hold, and that it is read without unpickling."""

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


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": IMAGES}, "must hold images and labels, got images"),
        ({"images": IMAGES / 255, "labels": LABELS}, r"images must be \(n, height, width\), uint8 or uint16, got float64 of"),
        ({"images": IMAGES[:, 0], "labels": LABELS}, r"images must be \(n, height, width\), .* of shape \(40, 5\)"),
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
