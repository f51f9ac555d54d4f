"""A study on colour images of one's own: its network reads all channels."""

import numpy as np
import pytest

from momentum_jax.studies import Arm, Network, Study
from momentum_jax.studies.run import run_study


@pytest.fixture
def colours(tmp_path):
    """Two classes that differ in their second channel alone."""
    labels = np.arange(120) % 2
    images = np.random.default_rng(0).integers(0, 100, (120, 4, 6, 3)).astype(np.uint8)
    images[..., 1] += (100 * labels[:, None, None]).astype(np.uint8)
    np.savez(tmp_path / "colours.npz", images=images, labels=labels)
    return str(tmp_path / "colours.npz")


@pytest.mark.slow
def test_a_study_tells_classes_apart_that_differ_in_one_channel(tmp_path, colours):
    study = Study(
        dataset=colours,
        network=Network((4,), channels=(4,)),
        steps=60,
        batch=16,
        seeds=(0, 1),
        arms=(Arm("adam(0.03)"),),
        ladder=False,
        noise_floor=False,
    )
    store = run_study(study, tmp_path / "study")
    assert [run.test["accuracy"] for run in store.runs] == [1.0, 1.0]
