"""The per-frame tracker: the choice of the face, and frames without a face."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from skimage.data import astronaut

from facetrack.detectors.base import Landmarks
from facetrack.detectors.ert import Ert
from facetrack.errors import FacetrackError
from facetrack.face_detectors.base import FaceBoxes, largest_first
from facetrack.face_detectors.dlib_hog import DlibHog
from facetrack.trackers.per_frame import PerFrameTracker


class Corners:
    """A landmark detector whose two points are the box's corners."""

    name = "corners"
    scheme = "2"

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        xy = np.asarray(boxes, np.float32).reshape(-1, 2, 2)
        return Landmarks(xy, np.full(xy.shape[:2], 0.75, np.float32))

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}


class Scripted:
    """A face detector that returns the script's boxes of frame k; k is the frame's value."""

    name = "scripted"

    def __init__(self, *script: list[tuple[float, float, float, float]]) -> None:
        self.script = script

    def detect(self, image: np.ndarray) -> FaceBoxes:
        boxes = self.script[int(image.flat[0])]
        return largest_first(np.array(boxes), np.ones(len(boxes)))

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}


def frames(count: int) -> np.ndarray:
    return np.broadcast_to(
        np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 90, 120, 3)
    )


A, B = (10.0, 10.0, 30.0, 30.0), (60.0, 10.0, 100.0, 50.0)  # B is the larger face


def follow(first: tuple, *script: list) -> Any:
    tracker = PerFrameTracker(Corners(), Scripted(*script))
    video = frames(len(script))
    return tracker.step(tracker.start(video[0], np.reshape(first, (2, 2))), video)


@pytest.mark.parametrize("face", [A, B])
def test_the_face_of_the_query_points_is_followed(face: tuple) -> None:
    found = follow(face, [A, B], [B, A])
    np.testing.assert_array_equal(found.xy, np.broadcast_to(np.reshape(face, (2, 2)), (2, 2, 2)))


def test_a_moving_face_is_followed_past_another() -> None:
    way = [(x, 10.0, x + 20, 30.0) for x in (10.0, 22.0, 34.0, 46.0, 58.0, 70.0)]
    found = follow(way[0], *([face, (40.0, 40.0, 80.0, 80.0)] for face in way))
    np.testing.assert_array_equal(found.xy, np.reshape(way, (6, 2, 2)))


def test_points_without_a_face_are_nan() -> None:
    found = follow(A, [A], [], [A])
    assert np.isnan(found.xy[1]).all()
    assert found.visible.all(1).tolist() == [True, False, True]
    assert found.confidence[:, 0].tolist() == [0.75, 0.0, 0.75]


def test_another_person_does_not_replace_the_missing_face() -> None:
    found = follow(A, [A, B], [B])
    assert np.isnan(found.xy[1]).all()


def test_search_widens_while_the_face_is_missing() -> None:
    far = (60.0, 10.0, 80.0, 30.0)  # two and a half times its size away
    found = follow(A, [A], [far], [far], [far])
    assert np.isfinite(found.xy[:, 0, 0]).tolist() == [True, False, False, True]


def test_points_outside_the_frame_are_not_visible() -> None:
    found = follow((-5.0, 10.0, 15.0, 30.0), [(-5.0, 10.0, 15.0, 30.0)])
    assert found.visible.tolist() == [[False, True]]
    assert found.xy[0, 0].tolist() == [-5, 10]


def test_points_of_another_layout_are_refused() -> None:
    tracker = PerFrameTracker(Corners(), Scripted([A]))
    with pytest.raises(FacetrackError, match="2 points of corners: it cannot follow 5 points"):
        tracker.start(frames(1)[0], np.zeros((5, 2)))


def test_no_known_point_is_refused() -> None:
    tracker = PerFrameTracker(Corners(), Scripted([A]))
    with pytest.raises(FacetrackError, match="needs a face"):
        tracker.start(frames(1)[0], np.full((2, 2), np.nan))


def test_no_frames_keep_the_shapes() -> None:
    tracker = PerFrameTracker(Corners(), Scripted([A]))
    state = tracker.start(frames(1)[0], np.reshape(A, (2, 2)))
    found = tracker.step(state, frames(1)[:0])
    assert (found.xy.shape, found.visible.shape) == ((0, 2, 2), (0, 2))


def test_real_detectors_reproduce_the_query_points() -> None:
    photo = astronaut()
    hog, ert = DlibHog(), Ert()
    points = ert.detect(photo, hog.detect(photo).boxes[:1]).xy[0]
    tracker = PerFrameTracker(ert, hog)
    found = tracker.step(tracker.start(photo, points), np.stack([photo, np.zeros_like(photo)]))
    np.testing.assert_array_equal(found.xy[0], points)
    assert found.visible.sum(1).tolist() == [68, 0]


def test_describe_names_both_detectors() -> None:
    entry = PerFrameTracker(Corners(), Scripted()).describe()
    assert entry["detector"]["name"] == "corners"
    assert entry["faces"]["name"] == "scripted"
