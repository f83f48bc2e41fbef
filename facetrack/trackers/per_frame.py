"""No tracking at all: the detector on every frame, the other baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from facetrack.detectors.base import LandmarkDetector
from facetrack.errors import FacetrackError
from facetrack.face_detectors.base import FaceDetector
from facetrack.trackers.base import PointTracker, StepResult


@dataclass
class PerFrameState:
    """Which face is followed.

    Attributes:
        count: N, the number of points.
        box: (4,) x0 y0 x1 y1 in pixels, where the face last was.
        missed: frames since then.
    """

    count: int
    box: np.ndarray
    missed: int = 0


class PerFrame(PointTracker):
    """Detects the face and places its landmarks anew on every frame.

    Of several faces the one nearest to where the face last was is taken, as long as its centre
    has moved by no more than the face's own size for each frame since; so while a face is
    undetected, its points are NaN and not another person's.
    """

    name = "per-frame"

    def __init__(self, detector: LandmarkDetector, faces: FaceDetector) -> None:
        self._detector = detector
        self._faces = faces

    def start(self, frame: np.ndarray, points: np.ndarray) -> PerFrameState:
        """Remember the face that `points` (N, 2) of `frame` (H, W, 3) uint8 RGB belong to.

        Raises:
            FacetrackError: they are not the detector's own N points, or none is known.
        """
        points = np.asarray(points, np.float32).reshape(-1, 2)
        count = self._detector.detect(frame, np.empty((0, 4), np.float32)).xy.shape[1]
        if len(points) != count:
            raise FacetrackError(
                f"the per-frame tracker places the {count} points of {self._detector.name}, "
                f"it cannot follow {len(points)} points of another kind; choose another tracker"
            )
        known = points[np.isfinite(points).all(-1)]
        if not len(known):
            raise FacetrackError("the per-frame tracker needs a face to follow; no point is known")
        return PerFrameState(count, np.concatenate([known.min(0), known.max(0)]))

    def step(self, state: PerFrameState, frames: np.ndarray) -> StepResult:
        """Detect the face in `frames` (K, H, W, 3) uint8 RGB; updates `state` in place.

        A point is visible where the face was found and the point lies inside the frame.
        """
        xy = np.full((len(frames), state.count, 2), np.nan, np.float32)
        confidence = np.zeros((len(frames), state.count), np.float32)
        for k, frame in enumerate(frames):
            boxes = self._faces.detect(frame).boxes
            chosen = _same_face(boxes, state)
            if chosen is None:
                state.missed += 1
                continue
            state.box, state.missed = boxes[chosen], 0
            landmarks = self._detector.detect(frame, boxes[chosen : chosen + 1])
            xy[k], confidence[k] = landmarks.xy[0], landmarks.score[0]
        height, width = frames.shape[1:3]
        inside = (xy >= -0.5) & (xy < np.array([width - 0.5, height - 0.5]))
        return StepResult(xy, inside[..., 0] & inside[..., 1], confidence)

    def describe(self) -> dict[str, Any]:
        """What the sidecar says of this tracker: the detectors it runs."""
        return {
            "name": self.name,
            "detector": self._detector.describe(),
            "faces": self._faces.describe(),
        }


def _same_face(boxes: np.ndarray, state: PerFrameState) -> int | None:
    """Index of the box (F, 4) that continues the state's face; None where there is none."""
    if not len(boxes):
        return None
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    away = np.linalg.norm(centres - (state.box[:2] + state.box[2:]) / 2, axis=-1)
    nearest = int(np.argmin(away))
    size = float(np.max(state.box[2:] - state.box[:2]))
    return nearest if away[nearest] <= size * (1 + state.missed) else None
