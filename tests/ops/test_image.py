"""Test the downscaling of images."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facetrack.ops.image import downscale

sides = st.integers(1, 200)


@given(sides, sides, st.sampled_from([(), (3,)]), st.integers(0, 255))
def test_one_colour_stays_and_the_size_is_right(width, height, channels, value):
    small = downscale(np.full((height, width, *channels), value, np.uint8), (20, 12))
    assert small.shape == (12, 20, *channels)
    assert (small == value).all()


@pytest.mark.parametrize("block", [1, 2, 7])
def test_whole_blocks_become_their_mean(block):
    image = np.random.default_rng(0).integers(0, 256, (12 * block, 20 * block, 3)).astype(np.uint8)
    small = downscale(image, (20, 12))
    mean = image.reshape(12, block, 20, block, 3).mean((1, 3))
    np.testing.assert_allclose(small, mean, atol=0.51)


@pytest.mark.parametrize("size", [(61, 97), (100, 100), (719, 1281)])
def test_less_than_a_block_is_left_out(size):
    height, width = size
    slope = np.add.outer(np.linspace(0, 127, height), np.linspace(0, 127, width))
    image = slope.round().astype(np.uint8)
    exact = cv2.resize(image, (20, 12), interpolation=cv2.INTER_AREA).astype(float)
    block = min(width // 20, height // 12)
    error = exact - downscale(image, (20, 12))
    assert error.max() <= 127 * block * (1 / height + 1 / width) + 1
    assert error.min() >= -1
