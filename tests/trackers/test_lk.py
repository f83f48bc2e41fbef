"""The Lucas-Kanade tracker on textures with exactly known motion."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facetrack.trackers.lk import MAX_ROUND_TRIP_PX, LucasKanadeTracker

SIZE = 160


def texture(height: int = SIZE, width: int = SIZE, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 smooth random texture, trackable everywhere."""
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    smooth = (smooth - smooth.min()) / np.ptp(smooth) * 255
    return np.repeat(smooth.astype(np.uint8)[..., None], 3, axis=2)


def translated(image: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """`image` moved by (dx, dy) pixels, mirrored at its border."""
    matrix = np.array([[1, 0, dx], [0, 1, dy]], float)
    size = (image.shape[1], image.shape[0])
    return cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


GRID = np.stack(np.meshgrid([50.0, 80.25, 109.5], [49.75, 80.0, 110.5]), -1).reshape(-1, 2)


@settings(max_examples=25)
@given(dx=st.floats(-6, 6), dy=st.floats(-6, 6))
def test_translation_is_tracked_to_a_tenth_of_a_pixel(dx: float, dy: float) -> None:
    image = texture()
    tracker = LucasKanadeTracker()
    state = tracker.start(image, GRID)
    found = tracker.step(state, np.stack([image, translated(image, dx, dy)]))
    np.testing.assert_allclose(found.xy[0], GRID, atol=0.01)
    np.testing.assert_allclose(found.xy[1], GRID + np.array([dx, dy]), atol=0.1)
    assert found.visible.all()


def test_steady_motion_adds_up_over_many_frames() -> None:
    image = texture()
    moves = np.stack([np.linspace(0, 20, 41), 4 * np.sin(np.linspace(0, 6, 41))], 1)
    frames = np.stack([translated(image, *m) for m in moves])
    tracker = LucasKanadeTracker()
    found = tracker.step(tracker.start(frames[0], GRID), frames)
    np.testing.assert_allclose(found.xy, GRID + moves[:, None], atol=0.3)


def test_centre_of_a_moving_dot_is_tracked() -> None:
    y, x = np.mgrid[:90, :120]
    centres = np.stack([np.linspace(30.25, 80.75, 21), np.linspace(40.5, 52.125, 21)], 1)
    frames = [200 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 50) for a, b in centres]
    frames_rgb = np.repeat(np.round(frames).astype(np.uint8)[..., None], 3, axis=-1)
    tracker = LucasKanadeTracker()
    found = tracker.step(tracker.start(frames_rgb[0], centres[:1]), frames_rgb)
    np.testing.assert_allclose(found.xy[:, 0], centres, atol=0.2)
    assert found.visible.all()


def test_chunk_sizes_do_not_change_the_result() -> None:
    image = texture()
    frames = np.stack([translated(image, 0.7 * k, -0.4 * k) for k in range(12)])
    tracker = LucasKanadeTracker()
    whole = tracker.step(tracker.start(frames[0], GRID), frames)
    state = tracker.start(frames[0], GRID)
    parts = [tracker.step(state, frames[a:b]) for a, b in ((0, 1), (1, 6), (6, 12))]
    for field in range(3):
        np.testing.assert_array_equal(np.concatenate([p[field] for p in parts]), whole[field])


def test_covered_point_is_not_visible_and_stays() -> None:
    image = texture()
    covered = image.copy()
    covered[60:101, 60:101] = 0  # a uniform patch cannot be matched
    tracker = LucasKanadeTracker()
    points = np.array([[80.0, 80.0], [120.0, 120.0]])
    found = tracker.step(tracker.start(image, points), np.stack([image, covered]))
    assert found.visible.tolist() == [[True, True], [False, True]]
    np.testing.assert_array_equal(found.xy[1, 0], found.xy[0, 0])
    assert found.confidence[1, 0] < 0.5 < found.confidence[1, 1]


def test_a_lost_point_is_found_again_at_its_last_position() -> None:
    image = texture()
    plain = np.zeros_like(image)
    moved = translated(image, 1.5, 0)
    tracker = LucasKanadeTracker()
    point = np.array([[80.0, 80.0]])
    found = tracker.step(tracker.start(image, point), np.stack([image, plain, image, moved]))
    assert found.visible[:, 0].tolist() == [True, False, False, True]
    np.testing.assert_allclose(found.xy[3, 0], (81.5, 80), atol=0.1)


def test_point_that_leaves_the_frame_is_not_visible() -> None:
    image = texture()
    frames = np.stack([translated(image, -2 * k, 0) for k in range(12)])
    tracker = LucasKanadeTracker()
    found = tracker.step(tracker.start(image, np.array([[12.0, 80.0], [90.0, 80.0]])), frames)
    assert found.visible[0].all()
    assert not found.visible[8:, 0].any()  # true x below -4
    assert found.visible[:, 1].all()


def test_confidence_is_one_half_at_the_threshold() -> None:
    frames = np.stack([texture(seed=s) for s in range(6)])  # nothing in common
    tracker = LucasKanadeTracker()
    points = np.random.default_rng(0).uniform(20, 140, (300, 2))
    found = tracker.step(tracker.start(frames[0], points), frames)
    in_doubt = (found.confidence > 0.01) & (found.confidence < 0.99)
    assert in_doubt.any()
    np.testing.assert_array_equal(found.visible, found.confidence > 0.5)
    assert MAX_ROUND_TRIP_PX == 1.0


def test_state_does_not_grow() -> None:
    image = texture()
    tracker = LucasKanadeTracker()
    state = tracker.start(image, GRID)

    def size() -> int:
        return sum(np.asarray(v).nbytes for v in vars(state).values())

    tracker.step(state, np.stack([image] * 2))
    before = size()
    chunk = np.stack([image] * 30)
    tracker.step(state, chunk)
    assert size() == before
    # A view would keep the whole chunk alive.
    assert not any(np.shares_memory(v, chunk) for v in vars(state).values())


def test_unknown_points_stay_unknown() -> None:
    image = texture()
    points = GRID.copy()
    points[3] = np.nan
    tracker = LucasKanadeTracker()
    found = tracker.step(tracker.start(image, points), image[None])
    assert np.isnan(found.xy[0, 3]).all()
    assert not found.visible[0, 3]
    assert found.confidence[0, 3] == 0
    assert found.visible[0, [0, 1, 2, 4]].all()


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 7, 3), (3, 200, 3)])
def test_tiny_frames_do_not_crash(shape: tuple[int, int, int]) -> None:
    frame = np.zeros(shape, np.uint8)
    tracker = LucasKanadeTracker()
    found = tracker.step(tracker.start(frame, np.zeros((2, 2))), frame[None])
    assert found.xy.shape == (1, 2, 2)


@pytest.mark.parametrize(("frames", "points"), [(0, 3), (2, 0)])
def test_empty_inputs_keep_the_shapes(frames: int, points: int) -> None:
    image = texture(40, 50)
    tracker = LucasKanadeTracker()
    state = tracker.start(image, np.full((points, 2), 20.0))
    found = tracker.step(state, np.repeat(image[None], frames, 0))
    assert found.xy.shape == (frames, points, 2)
    assert found.visible.shape == found.confidence.shape == (frames, points)


def test_points_of_the_caller_are_not_modified() -> None:
    image = texture()
    points = GRID.astype(np.float32)
    original = points.copy()
    tracker = LucasKanadeTracker()
    tracker.step(tracker.start(image, points), np.stack([translated(image, 3, 3)]))
    np.testing.assert_array_equal(points, original)
