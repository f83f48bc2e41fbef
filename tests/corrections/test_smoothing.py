"""What the anchors of a face say to each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facetrack.corrections.displacement import CLICK_ERROR, correlation
from facetrack.corrections.smoothing import DRIFT_VARIANCE, Link, smooth_offsets

AT = np.array([0, 0.2 + 0.1j, 0.5, 0.4 - 0.3j])
"""Places of four points on the face."""
COUNT = len(AT)
SURE, UNSURE = CLICK_ERROR, 0.05


def independent(*deviations: float) -> np.ndarray:
    """The covariance (2N, 2N) of points with these errors, the same in x and y."""
    return np.diag(np.tile(np.square(deviations), 2))


def link(shift: complex | np.ndarray, frames: float = 50) -> Link:
    return Link(np.broadcast_to(shift, COUNT).astype(complex), np.full(COUNT, frames))


def random_covariance(random: np.random.Generator) -> np.ndarray:
    root = random.normal(0, UNSURE, (2 * COUNT, 2 * COUNT))
    return root @ root.T + 1e-5 * np.eye(2 * COUNT)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_offsets_are_the_most_probable_ones(seed: int, anchors: int) -> None:
    """As found by inverting the joint covariance of all anchors at once."""
    random = np.random.default_rng(seed)
    covariances = [random_covariance(random) for _ in range(anchors)]
    links = [
        Link(random.normal(0, 0.05, (COUNT, 2)) @ [1, 1j], random.uniform(1, 300, COUNT))
        for _ in range(anchors - 1)
    ]
    size = 2 * COUNT
    precision, right = np.zeros((anchors * size,) * 2), np.zeros(anchors * size)
    for k, covariance in enumerate(covariances):
        part = slice(k * size, (k + 1) * size)
        precision[part, part] += np.linalg.inv(covariance)
    for k, between in enumerate(links):
        deviation = np.sqrt(DRIFT_VARIANCE * between.growth)
        drift = np.kron(np.eye(2), correlation(AT) * deviation * deviation[:, None])
        step = np.zeros((size, anchors * size))
        step[:, k * size : (k + 1) * size] = -np.eye(size)
        step[:, (k + 1) * size : (k + 2) * size] = np.eye(size)
        shift = np.concatenate([between.shift.real, between.shift.imag])
        precision += step.T @ np.linalg.inv(drift) @ step
        right += step.T @ np.linalg.inv(drift) @ shift
    expected = np.linalg.solve(precision, right).reshape(anchors, 2, COUNT)
    found = smooth_offsets(covariances, links, AT)
    np.testing.assert_allclose([f.real for f in found], expected[:, 0], atol=1e-6)
    np.testing.assert_allclose([f.imag for f in found], expected[:, 1], atol=1e-6)


def test_one_anchor_has_nobody_to_differ_from() -> None:
    (found,) = smooth_offsets([independent(*[UNSURE] * COUNT)], [], AT)
    np.testing.assert_array_equal(found, 0)


@pytest.mark.parametrize("frames", [1, 50, 1000])
def test_points_corrected_in_both_frames_agree_in_both(frames: float) -> None:
    """Whatever the tracker says between them."""
    sure = independent(*[SURE] * COUNT)
    for offsets in smooth_offsets([sure, sure, sure], [link(0.03 + 0.01j, frames)] * 2, AT):
        assert np.abs(offsets).max() < 0.002


def test_a_frame_without_corrections_gives_way_to_one_with() -> None:
    """The tracker says that the second anchor is off by 0.04 more than the first: so it is."""
    sure, unsure = independent(*[SURE] * COUNT), independent(*[UNSURE] * COUNT)
    first, second = smooth_offsets([sure, unsure], [link(0.04 - 0.02j)], AT)
    assert np.abs(first).max() < 1e-3
    np.testing.assert_allclose(second, 0.04 - 0.02j, atol=4e-3)
    first, second = smooth_offsets([unsure, sure], [link(0.04 - 0.02j)], AT)
    np.testing.assert_allclose(first, -0.04 + 0.02j, atol=4e-3)
    assert np.abs(second).max() < 1e-3


def test_two_equally_unsure_frames_meet_in_the_middle() -> None:
    unsure = independent(*[UNSURE] * COUNT)
    first, second = smooth_offsets([unsure, unsure], [link(0.04, 1)], AT)
    np.testing.assert_allclose(first, -second, atol=1e-9)
    np.testing.assert_allclose(second, 0.02, atol=1e-3)


def test_a_correction_passes_through_frames_in_between() -> None:
    """It reaches the next but one, and weighs less the longer the way."""
    sure, unsure = independent(*[SURE] * COUNT), independent(*[UNSURE] * COUNT)
    near = smooth_offsets([sure, unsure, unsure], [link(0.04, 20), link(0, 20)], AT)[2]
    far = smooth_offsets([sure, unsure, unsure], [link(0.04, 2e5), link(0, 2e5)], AT)[2]
    np.testing.assert_allclose(near, 0.04, atol=4e-3)
    assert np.abs(far).max() < 0.02


def test_only_the_points_that_are_sure_in_one_frame_move_the_other() -> None:
    """Point 2 was corrected in the first frame, point 0 in the second."""
    first = independent(UNSURE, UNSURE, SURE, UNSURE)
    second = independent(SURE, UNSURE, UNSURE, UNSURE)
    one, two = smooth_offsets([first, second], [link(0.04, 5)], AT)
    assert abs(one[2]) < 1e-3
    assert abs(two[2] - 0.04) < 2e-3
    assert abs(two[0]) < 1e-3
    assert abs(one[0] + 0.04) < 2e-3
