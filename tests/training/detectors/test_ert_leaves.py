"""Rounded leaves of dlib's shape predictors: what dlib reads back, and what is refused."""

from __future__ import annotations

from pathlib import Path

import dlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facetrack.errors import FacetrackError
from facetrack.training.detectors.ert_leaves import _Copy, round_leaves

BOX = dlib.rectangle(10, 10, 69, 69)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small predictor of 19 points."""
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 255, (80, 80)).astype(np.uint8) for _ in range(12)]
    shapes = [
        [dlib.full_object_detection(BOX, [dlib.point(*map(int, xy)) for xy in some])]
        for some in random.integers(10, 70, (12, 19, 2))
    ]
    options = dlib.shape_predictor_training_options()
    options.cascade_depth, options.num_trees_per_cascade_level, options.tree_depth = 3, 8, 3
    options.oversampling_amount, options.feature_pool_size, options.num_threads = 2, 60, 1
    path = tmp_path_factory.mktemp("ert") / "small.dat"
    dlib.train_shape_predictor(pictures, shapes, options).save(str(path))
    return path.read_bytes()


def placed(data: bytes, folder: Path) -> np.ndarray:
    """Landmarks (19, 2) on a plain picture, where no rounding sends a tree another way."""
    path = folder / "read.dat"
    path.write_bytes(data)
    picture = np.full((800, 800), 128, np.uint8)
    shape = dlib.shape_predictor(str(path))(picture, dlib.rectangle(100, 100, 699, 699))
    return np.array([(p.x, p.y) for p in shape.parts()])


def test_all_digits_are_a_copy(file: bytes) -> None:
    assert round_leaves(file, 24) == file


def test_rounded_leaves_take_a_third_less_and_place_alike(file: bytes, tmp_path: Path) -> None:
    short = round_leaves(file)
    assert len(short) < 0.75 * len(file)
    whole = placed(file, tmp_path)
    assert np.abs(placed(short, tmp_path) - whole).max() <= 3  # of a box of 600 pixels
    assert np.ptp(whole, axis=0).min() > 60
    assert round_leaves(short) == short


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(1, 24))
def test_a_number_is_rounded_to_the_nearest(value: float, digits: int) -> None:
    fraction, exponent = np.frexp(np.float64(value))
    whole = _Copy(b"", digits)
    whole.write(int(fraction * 2**24))
    whole.write(int(exponent) - 24)
    copy = _Copy(bytes(whole.out), digits)
    copy.real(rounded=True)
    back = _Copy(bytes(copy.out), digits)
    mantissa, power = back.read(), back.read()
    assert abs(mantissa) < 2**digits or value == 0
    made = mantissa * 2.0**power
    assert abs(made - value) <= abs(value) * 2.0**-digits


def test_what_is_no_predictor_is_refused(file: bytes) -> None:
    with pytest.raises(FacetrackError, match="not a file of dlib's shape predictor"):
        round_leaves(b"not trees")
    for end in (0, 1, 7, 100, len(file) // 2):
        with pytest.raises(FacetrackError, match="not a file of dlib's shape predictor"):
            round_leaves(file[:end])
    with pytest.raises(FacetrackError, match="counts"):
        # version 1, no first shape, and more cascades than there are bytes
        round_leaves(bytes([1, 1, 0x81, 0, 0x81, 1, 4, 255, 255, 255, 127]))
