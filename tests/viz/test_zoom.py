"""The part of the frame that follows the faces."""

from __future__ import annotations

import numpy as np
import pytest

from facetrack.viz.zoom import FaceZoom, enlarge, transform

SIZE = (640, 480)


def face(x: float, y: float, side: float) -> np.ndarray:
    """Four corners (1, 4, 2) of a face."""
    half = side / 2
    return np.array([[[x - half, y - half], [x + half, y - half], [x, y + half], [x, y]]])


def inside(points: np.ndarray) -> bool:
    return bool(((points >= -0.5) & (points <= np.array(SIZE) - 0.5)).all())


def test_a_face_fills_half_of_the_height() -> None:
    xy = face(200, 150, 60)
    shown = transform(xy, FaceZoom(SIZE).follow(xy, 0.0))
    assert np.ptp(shown[0, :, 1]) == pytest.approx(240, rel=0.01)
    assert inside(shown)


@pytest.mark.parametrize("corner", [(10, 10), (630, 470), (5, 400)])
def test_nothing_beside_the_frame_is_shown(corner: tuple[float, float]) -> None:
    matrix = FaceZoom(SIZE).follow(face(*corner, 40), 0.0)
    edges = transform(np.array([[-0.5, -0.5], [639.5, 479.5]]), matrix)
    assert (edges[0] <= -0.5 + 1e-9).all()
    assert (edges[1] >= np.array(SIZE) - 0.5 - 1e-9).all()


def test_the_window_is_calm_and_keeps_the_face_inside() -> None:
    random = np.random.default_rng(0)
    zoom, offsets = FaceZoom(SIZE), []
    for frame in range(120):
        xy = face(150 + 2.5 * frame, 240, 60) + random.normal(0, 3, (1, 1, 2))
        matrix = zoom.follow(xy, frame / 30)
        offsets.append(matrix[0, 2] / matrix[0, 0])
        assert inside(transform(xy, matrix)), frame
    shaking = np.abs(np.diff(offsets, 2))[30:].mean()
    assert shaking < 1.0, "the face itself shakes by 7 pixels"


def test_a_jump_is_followed_at_once_and_a_lost_face_is_waited_for() -> None:
    zoom = FaceZoom(SIZE)
    zoom.follow(face(100, 100, 60), 0.0)
    moved = face(500, 400, 60)
    assert inside(transform(moved, zoom.follow(moved, 1 / 30)))
    nothing = np.full((1, 4, 2), np.nan)
    assert zoom.follow(nothing, 0.5)[0, 0] > 2
    for frame in range(200):
        matrix = zoom.follow(nothing[:0], 0.5 + frame / 30)
    np.testing.assert_allclose(matrix, [[1, 0, 0], [0, 1, 0]], atol=0.01)


def test_picture_and_points_agree() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    image[200:204, 300:304] = 255
    matrix = FaceZoom(SIZE).follow(face(310, 210, 60), 0.0)
    rows, columns = np.nonzero(enlarge(image, matrix)[..., 0] > 128)
    middle = transform(np.array([301.5, 201.5]), matrix)
    np.testing.assert_allclose([columns.mean(), rows.mean()], middle, atol=0.6)
