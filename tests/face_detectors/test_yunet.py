"""YuNet, whose weights are not part of facetrack: what is around the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facetrack import weights
from facetrack.errors import FacetrackError
from facetrack.face_detectors import yunet

# One face as OpenCV gives it: x, y, width, height, five points, score.
ROW = [10, 20, 40, 50, 20, 35, 40, 35, 30, 45, 22, 58, 38, 58, 0.95]
PICTURE = np.zeros((100, 200, 3), np.uint8)


class Model:
    """Answers as OpenCV's FaceDetectorYN does, and keeps what it saw."""

    def __init__(self, rows: np.ndarray | None) -> None:
        self.rows = rows

    def setInputSize(self, size: tuple[int, int]) -> None:  # noqa: N802
        self.size = size

    def detect(self, image: np.ndarray) -> tuple[int, np.ndarray | None]:
        self.image = image
        return 1, self.rows


def with_model(rows: np.ndarray | None) -> tuple[yunet.YuNet, Model]:
    detector, model = yunet.YuNet(), Model(rows)
    detector.__dict__["_model"] = model
    return detector, model


def test_rows_become_boxes_and_points() -> None:
    found = yunet.from_rows(np.array([ROW]), PICTURE, PICTURE)
    np.testing.assert_allclose(found.boxes, [[10, 20, 49, 69]])
    np.testing.assert_allclose(found.points[0], [(20, 35), (40, 35), (30, 45), (22, 58), (38, 58)])
    assert found.score.tolist() == [0.95]


def test_rows_of_a_shrunk_picture_are_mapped_back() -> None:
    found = yunet.from_rows(np.array([ROW]), PICTURE, np.zeros((300, 600, 3), np.uint8))
    np.testing.assert_allclose(found.points[0, 0], [3 * 20.5 - 0.5, 3 * 35.5 - 0.5])
    np.testing.assert_allclose(found.boxes[0, :2], [3 * 10.5 - 0.5, 3 * 20.5 - 0.5])


def test_no_rows_are_no_faces() -> None:
    detector, _ = with_model(None)
    found = detector.detect(PICTURE)
    assert (found.boxes.shape, found.score.shape) == ((0, 4), (0,))


def test_network_sees_blue_first_at_a_bounded_size() -> None:
    detector, model = with_model(None)
    detector.detect(np.full((720, 1280, 3), (1, 2, 3), np.uint8))
    assert model.size == (640, 360)
    assert model.image.shape == (360, 640, 3)
    assert model.image[0, 0].tolist() == [3, 2, 1]


def test_box_is_the_rule_s_square_on_the_landmarks() -> None:
    detector, _ = with_model(np.array([ROW]))
    box = detector.detect(PICTURE).boxes[0]
    eyes, mouth = 35, 58
    np.testing.assert_allclose((box[1] + box[3]) / 2, eyes + yunet.DOWN * (mouth - eyes), rtol=1e-5)
    assert box[2] - box[0] == pytest.approx(box[3] - box[1], rel=1e-5)


def test_missing_weights_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACETRACK_HOME", str(tmp_path))
    with pytest.raises(FacetrackError, match="facetrack weights fetch yunet"):
        yunet.YuNet().detect(PICTURE)


def test_a_file_that_is_no_model_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "yunet.onnx"
    path.write_bytes(b"<html>not found</html>")
    monkeypatch.setattr(weights, "resolve", lambda part: weights.ResolvedWeights(path, None))
    with pytest.raises(FacetrackError, match="is not a YuNet model"):
        yunet.YuNet().detect(PICTURE)
