"""Head poses of each frame, by landmarks and by the network, in one form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rendered_heads
from still_images import photo, save, stand_in

from facetrack.errors import FacetrackError
from facetrack.face_detectors.base import FaceBoxes
from facetrack.face_detectors.dlib_hog import DlibHog
from facetrack.head_pose.picture_pose import PicturePoses
from facetrack.images.poses import (
    FromLandmarks,
    FromNetwork,
    PoseOptions,
    PosePipeline,
)
from facetrack.measures import face_model, rotations


def plain(method: str, **options: Any) -> PosePipeline:
    return PosePipeline(PoseOptions(method=method, face_detector="hog", device="cpu", **options))


class Scripted(FromLandmarks):
    """Sees given landmarks (F, 68, 2) in one image after another."""

    def __init__(self, script: list[np.ndarray], focal: float | None = None) -> None:
        self._script, self._focal = script, focal

    def see(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for _, seen in zip(images, self._script, strict=False):
            yield seen


@pytest.fixture(autouse=True)
def _quick_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)


def heads(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (count, 68, 2) of the generic face in the middle of `dots`, and its rotations."""
    rotation = rendered_heads.turns(count, 40.0)
    points = rendered_heads.project(face_model.load().mean, rotation)
    return points - rendered_heads.CAMERA.centre + (48, 32), rotation


def test_landmarks_of_all_faces_of_all_frames_are_solved_together(dots: Path) -> None:
    points, rotation = heads(4)
    none = np.zeros((0, 68, 2))
    pipeline = PosePipeline(PoseOptions())
    pipeline.__dict__["method"] = Scripted([points[:2], none, points[2:3], points[3:]], 500)
    found = pipeline.run(dots)
    assert found.frame.tolist() == [0, 0, 1, 2, 3]
    assert found.face_id.tolist() == [0, 1, -1, 0, 0]
    assert found.known.tolist() == [True, True, False, True, True]
    assert np.diff(found.time).tolist()[0] == 0
    assert (np.diff(found.time[1:]) > 0).all()
    assert rotations.angle_between(found.rotation[found.known], rotation).max() < 1
    assert found.angles.shape == (5, 3)
    assert np.isnan(found.translation[2]).all()


def test_unknown_landmarks_have_no_pose() -> None:
    points = heads(1)[0]
    points[:, 10:] = np.nan
    pipeline = PosePipeline(PoseOptions())
    pipeline.__dict__["method"] = Scripted([points])
    found = pipeline.run(photo())
    assert found.face_id.tolist() == [0]
    assert not found.known.any()


def test_the_network_turns_picture_poses_into_those_of_one_camera(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The nearest face of all frames decides the focal length, which is the same in all."""
    near, far = (
        PicturePoses(np.eye(3)[None], np.full((1, 2), 99.0), np.array([s])) for s in (3, 1)
    )
    method = object.__new__(FromNetwork)
    method._focal = None
    both = PicturePoses.joined([near, far])
    rotation, translation, camera = method.solve([both, PicturePoses.joined([]), near], (320, 256))
    assert rotation.shape == (3, 3, 3)
    assert camera.focal == pytest.approx(1200)
    assert translation[:, 2] == pytest.approx([400, 1200, 400])
    assert method.solve([], (320, 256))[0].shape == (0, 3, 3)


@pytest.mark.parametrize("method", ["landmarks", "network"])
def test_both_methods_see_the_same_head(method: str, tmp_path: Path) -> None:
    pipeline = plain(method)
    (first, second) = (pipeline.run(source) for source in (photo(), save(tmp_path / "a.png")))
    assert first.size == second.size == (320, 256)
    assert first.frame.tolist() == [0]
    assert np.isnan(first.time).all()
    assert np.allclose(first.rotation, second.rotation)
    pitch, yaw, roll = np.degrees(first.angles[0])
    # The astronaut lowers her head a little, and looks past the camera.
    assert abs(pitch - 15) < 15
    assert abs(yaw) < 15
    assert abs(roll) < 12
    assert 380 < first.translation[0, 2] < 2000


@pytest.mark.parametrize("method", ["landmarks", "network"])
def test_a_picture_without_a_face_has_one_row(method: str) -> None:
    found = plain(method).run(np.full((64, 96, 3), 99, np.uint8))
    assert found.face_id.tolist() == [-1]
    assert not found.known.any()
    assert found.rotation.shape == (1, 3, 3)


@pytest.mark.parametrize(("faces", "count"), [("largest", 1), ("all", 2)])
def test_faces_are_chosen(faces: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = np.array([(60, 60, 200, 200), (70, 70, 190, 190)], np.float32)
    monkeypatch.setattr(DlibHog, "detect", lambda self, image: FaceBoxes(boxes, np.ones(2)))
    found = plain("network", faces=faces).run(photo())
    assert found.face_id.tolist() == list(range(count))


def test_a_focal_length_changes_the_distance() -> None:
    found = [plain("network", focal=focal).run(photo()) for focal in (800.0, 1600.0)]
    assert found[0].focal == 800
    assert found[1].translation[0, 2] == pytest.approx(2 * found[0].translation[0, 2])


@pytest.mark.parametrize(
    "options", [{"method": "pnp"}, {"faces": "some"}, {"focal": 0.0}, {"focal": float("nan")}]
)
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(FacetrackError):
        PoseOptions(**options)


def test_landmarks_must_include_the_68() -> None:
    with pytest.raises(FacetrackError, match="Head poses need the 68 points"):
        _ = plain("landmarks", init="dcnn").method


def test_options_of_the_other_method_have_no_effect() -> None:
    assert plain("network").method.warnings == []
    (warning,) = plain("network", init="ert").method.warnings
    assert warning.startswith("--init has no effect")
