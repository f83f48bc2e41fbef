"""Stage 1 of a comparison: faces are found once, and every detector places its points there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.comparison.options import CompareOptions
from facetrack.detectors import DetectorOptions, LandmarkDetector, Landmarks, create
from facetrack.detectors.mapped import MappedDetector
from facetrack.errors import FacetrackError
from facetrack.face_detectors import FaceBoxes, FaceDetector
from facetrack.multiface.face_track import PresenceFilter
from facetrack.pipeline.chunking import CHUNK
from facetrack.pipeline.options import Options
from facetrack.pipeline.query_frame import Query
from facetrack.pipeline.runner import Pipeline
from facetrack.trackers import StepResult
from facetrack.tracks import Tracks
from facetrack.video.frame import Frame


class DetectorEnsemble:
    """Several landmark detectors as one, for the search of a query frame: a frame will do as soon
    as one of them places its points there.

    Attributes:
        detectors: by name; all place points in `scheme`, where they share one.
        left_out: sentences about those that cannot be made.
        seconds: to make each.
    """

    name = "panel"

    def __init__(self, inits: Sequence[str], options: DetectorOptions, scheme: str | None) -> None:
        """
        Raises:
            FacetrackError: none can be made, or one cannot place points in `scheme`.
        """
        self.left_out: list[str] = []
        self.seconds: dict[str, float] = {}
        made: dict[str, LandmarkDetector] = {}
        reasons = []
        for name in inits:
            began = time.perf_counter()
            try:
                made[name] = create(name, options)
            except FacetrackError as error:
                # The others can still be compared, and the sentence says how to have this one too.
                reasons.append(error)
                self.left_out.append(f"{name} is left out: {error}")
            self.seconds[name] = time.perf_counter() - began
        if not made:
            raise reasons[0]
        if scheme is None and {d.scheme for d in made.values()} == {"68", "98"}:
            scheme = "68"
        self.detectors = {
            name: detector
            if scheme in (None, detector.scheme)
            else MappedDetector(detector, scheme)
            for name, detector in made.items()
        }
        self.scheme = next(iter(self.detectors.values())).scheme

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        """What the first detector finds that places all points of the first box."""
        for detector in self.detectors.values():
            found = detector.detect(image, boxes)
            if len(boxes) and np.isfinite(found.xy[0]).all():
                break
        return found

    def detect_many(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[Landmarks]:
        """As `detect`, for each image."""
        return [self.detect(*both) for both in zip(images, boxes, strict=True)]

    def describe(self) -> dict[str, Any]:
        """What each says of itself."""
        return {name: detector.describe() for name, detector in self.detectors.items()}


class CachedFaceDetector:
    """A face detector that looks at each frame once, whoever asks for it again soon.

    Attributes:
        seconds: spent looking.
    """

    KEPT = 2 * CHUNK

    def __init__(self, detector: FaceDetector) -> None:
        self.name = detector.name
        self.seconds = 0.0
        self._detector = detector
        # The image is kept with its boxes, so that no other can come to lie where it does.
        self._known: dict[tuple[int, ...], tuple[np.ndarray, FaceBoxes]] = {}

    def detect(self, image: np.ndarray) -> FaceBoxes:
        """Find faces in `image`, (H, W, 3) RGB uint8."""
        key = (image.__array_interface__["data"][0], *image.shape, *image.strides)
        if key not in self._known:
            began = time.perf_counter()
            self._known[key] = (image, self._detector.detect(image))
            self.seconds += time.perf_counter() - began
            if len(self._known) > self.KEPT:
                del self._known[next(iter(self._known))]
        return self._known[key][1]

    def describe(self) -> dict[str, Any]:
        """What the sidecar says of the detector."""
        return self._detector.describe()


@dataclass
class InitialPoints:
    """The points of one detector in the query frame.

    Attributes:
        xy, score: (N, 2) float32 pixels, (N,).
        scheme: their layout.
        seconds: it took.
    """

    xy: np.ndarray
    score: np.ndarray
    scheme: str
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether a point is missing, so that nothing can be tracked."""
        return not bool(np.isfinite(self.xy).all())


class QueryStage(Pipeline):
    """The part of a run that all methods share: the search for the query frame, as a run of
    `facetrack track` does it, and the making of tracks from what a tracker answers."""

    def __init__(self, video: Path, options: CompareOptions) -> None:
        super().__init__(
            video,
            Options(
                init=options.inits[0],
                query_frame=options.query_frame,
                face_detector=options.face_detector,
                redetect="never",
            ),
        )
        chosen = DetectorOptions(device=options.device, precision=options.precision)
        self._panel = DetectorEnsemble(options.inits, chosen, options.scheme)

    @property
    def detector(self) -> LandmarkDetector:
        """The detectors, as one."""
        return self._panel

    @property
    def detectors(self) -> Mapping[str, LandmarkDetector]:
        """The detectors by name."""
        return self._panel.detectors

    @property
    def panel(self) -> DetectorEnsemble:
        """What made them."""
        return self._panel

    @property
    def quick_faces(self) -> FaceDetector:
        """The face detector that looks at most frames."""
        return self.parts.quick_faces

    def place(self) -> tuple[Query, dict[str, InitialPoints]]:
        """Find the query frame, and place every detector's points there.

        Raises:
            FacetrackError: no face, or no such frame.
        """
        query = self.find_query()
        assert query.box is not None
        placed = {}
        for name, detector in self.detectors.items():
            began = time.perf_counter()
            found = detector.detect(query.frame.image, query.box[None])
            seconds = time.perf_counter() - began
            placed[name] = InitialPoints(found.xy[0], found.score[0], detector.scheme, seconds)
        return query, placed

    def tracks(
        self, frames: list[Frame], result: StepResult, presence: PresenceFilter, scheme: str
    ) -> Tracks:
        """The tracks of one method over consecutive frames, as a run of its own makes them."""
        _, known = presence.apply(frames, result)
        return self._tracks(frames, StepResult(*(kind[:, None] for kind in known)), [0], scheme)
