"""Feature maps within the part of the window that the points can reach."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facetrack.trackers.tapir import TAPIR_S
from facetrack.trackers.tapir.compact import build_network
from facetrack.trackers.tapir.config import RESOLUTION
from facetrack.trackers.tapir.search_region import (
    CELL,
    REGION_MARGIN,
    REGION_SIDES,
    choose_region,
    extract_within,
)

CALM = np.array([[51.0, 51.0], [205.0, 51.0], [128.0, 205.0]])


def test_a_calm_face_needs_the_smallest_region():
    assert choose_region(CALM, CALM, 8) == (32, 32, REGION_SIDES[0])


def test_a_face_that_moves_needs_a_larger_region_for_more_frames():
    moved = CALM + 1.5
    few, many = choose_region(CALM, moved, 1), choose_region(CALM, moved, 8)
    assert few is not None
    assert few[2] == REGION_SIDES[0]
    assert many is None or many[2] > few[2]


def test_points_all_over_the_window_are_sought_everywhere():
    assert choose_region(CALM, np.array([[2.0, 2.0], [254.0, 254.0]] * 2)[:3], 8) is None


points = st.lists(st.tuples(*[st.floats(-300, 600)] * 2), min_size=1, max_size=20).map(np.array)


@given(points, st.floats(-30, 30), st.integers(1, 8))
def test_a_region_holds_the_points_that_the_window_shows(now, motion, frames):
    region = choose_region(now - motion, now, frames)
    if region is None:
        return
    left, top, side = region
    assert side in REGION_SIDES
    assert left % CELL == top % CELL == 0
    assert 0 <= left <= RESOLUTION - side
    assert 0 <= top <= RESOLUTION - side
    shown = np.clip(now, 0, RESOLUTION)[((now >= 0) & (now <= RESOLUTION)).all(1)]
    corner = np.array([left, top])
    low, high = np.maximum(shown - REGION_MARGIN, 0), np.minimum(shown + REGION_MARGIN, RESOLUTION)
    assert (low >= corner).all()
    assert (high <= corner + side).all()


@pytest.mark.parametrize("region", [(32, 32, 192), (0, 24, 224), (64, 0, 192)])
def test_maps_within_a_region_are_those_of_the_cut_out_picture(region):
    torch.manual_seed(0)
    network = build_network(TAPIR_S).eval()
    pictures = torch.randn(2, 3, RESOLUTION, RESOLUTION)
    left, top, side = region
    with torch.inference_mode():
        whole = extract_within(network, pictures, None)
        maps = extract_within(network, pictures, region)
        alone = network.extract_features(
            pictures[:, :, top : top + side, left : left + side].contiguous()
        )
    for within, everywhere, own in zip(maps, whole, alone, strict=True):
        assert within.shape == everywhere.shape
        stride = RESOLUTION // within.shape[1]
        rows = slice(top // stride, (top + side) // stride)
        columns = slice(left // stride, (left + side) // stride)
        torch.testing.assert_close(within[:, rows, columns], own, atol=1e-4, rtol=1e-4)
        outside = within.clone()
        outside[:, rows, columns] = 0
        assert not outside.any()
