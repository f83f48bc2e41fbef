"""The detector on every frame, without tracking: a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from facetrack.detectors.base import LandmarkDetector
from facetrack.errors import FacetrackError
from facetrack.face_detectors.base import FaceDetector
from facetrack.landmarks.geometry import inside_size
from facetrack.orientation.search import find_turned, places_any_roll, quarter_of
from facetrack.trackers.base import PointTracker, StepResult


@dataclass
class PerFrameState:
    """The followed face.

    Attributes:
        count: N, the number of points.
        box: (4,) x0 y0 x1 y1 in pixels, the face's last detected box.
        missed: frames since that detection.
        quarters: quarter turns, 0 to 3, by which the face had rolled then.
    """

    count: int
    box: np.ndarray
    missed: int = 0
    quarters: int = 0


class PerFrameTracker(PointTracker):
    """Detects the face and places its landmarks anew on every frame.

    Of several faces it takes the nearest to the last detected box, if its centre has moved by no
    more than the face's size per frame since. While the face is not detected, its points are NaN.
    """

    name = "per-frame"

    def __init__(self, detector: LandmarkDetector, faces: FaceDetector) -> None:
        self._detector = detector
        self._faces = faces

    def start(self, frame: np.ndarray, points: np.ndarray) -> PerFrameState:
        """Return a new state that follows the face of `points`.

        Args:
            frame: (H, W, 3) uint8 RGB.
            points: (N, 2) pixels of `frame`.

        Raises:
            FacetrackError: N is not the detector's number of points, or no point is known.
        """
        points = np.asarray(points, np.float32).reshape(-1, 2)
        count = self._detector.detect(frame, np.empty((0, 4), np.float32)).xy.shape[1]
        if len(points) != count:
            raise FacetrackError(
                f"The per-frame tracker places the {count} points of {self._detector.name}: it "
                f"cannot follow {len(points)} points of another kind. Choose another tracker."
            )
        known = points[np.isfinite(points).all(-1)]
        if not len(known):
            raise FacetrackError(
                "The per-frame tracker needs a face to follow, and no point is known."
            )
        box = np.concatenate([known.min(0), known.max(0)])
        return PerFrameState(count, box, quarters=self._quarters(points))

    def step(self, state: PerFrameState, frames: np.ndarray) -> StepResult:
        """Detect the face in `frames` (K, H, W, 3) uint8 RGB; update `state` in place.

        A point is visible if the face was detected and the point lies inside the frame.
        """
        xy = np.full((len(frames), state.count, 2), np.nan, np.float32)
        confidence = np.zeros((len(frames), state.count), np.float32)
        for k, frame in enumerate(frames):
            box = self._find(state, frame)
            if box is None:
                state.missed += 1
                continue
            state.box, state.missed = box, 0
            landmarks = self._detector.detect(frame, box[None])
            xy[k], confidence[k] = landmarks.xy[0], landmarks.score[0]
            if np.isfinite(xy[k]).all():
                state.quarters = self._quarters(xy[k])
        return StepResult(xy, inside_size(xy, frames.shape[2:0:-1]), confidence)

    def _quarters(self, xy: np.ndarray) -> int:
        """Return the quarter turns by which a face has rolled that is searched for so."""
        if not places_any_roll(self._detector):
            return 0
        return quarter_of(xy, self._detector.scheme)

    def _find(self, state: PerFrameState, frame: np.ndarray) -> np.ndarray | None:
        """Return the box (4,) of the followed face in a frame; None if it is not found.

        The face is looked for at the roll that it had last. A face that rolls further is found at
        45 degrees from there, and so the next roll is known.
        """
        if state.quarters:
            boxes = find_turned(self._faces, frame, (state.quarters,))
        else:
            boxes = self._faces.detect(frame).boxes
        chosen = _same_face(boxes, state)
        return None if chosen is None else boxes[chosen]

    def describe(self) -> dict[str, Any]:
        """Return the record's entry for this tracker: its detectors."""
        return {
            "name": self.name,
            "detector": self._detector.describe(),
            "faces": self._faces.describe(),
        }


def _same_face(boxes: np.ndarray, state: PerFrameState) -> int | None:
    """Return the index of the box (F, 4) of the followed face; None if there is none."""
    if not len(boxes):
        return None
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    distances = np.linalg.norm(centres - (state.box[:2] + state.box[2:]) / 2, axis=-1)
    nearest = int(np.argmin(distances))
    size = float(np.max(state.box[2:] - state.box[:2]))
    return nearest if distances[nearest] <= size * (1 + state.missed) else None
