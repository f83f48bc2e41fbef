"""Stage 1 of a comparison: detect the face once, and its landmarks with every detector."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from facetrack.comparison.options import CompareOptions
from facetrack.detectors import DetectorOptions, LandmarkDetector, Landmarks
from facetrack.detectors.mapped import MappedDetector
from facetrack.errors import FacetrackError
from facetrack.face_detectors import FaceBoxes, FaceDetector
from facetrack.multiface.detection import FaceLandmarker
from facetrack.multiface.face_track import PresenceFilter
from facetrack.orientation.detector import create
from facetrack.orientation.search import places_any_roll, quarter_of
from facetrack.pipeline.assembly import assemble_tracks
from facetrack.pipeline.chunking import CHUNK_FRAMES
from facetrack.pipeline.models import Models
from facetrack.pipeline.options import Options
from facetrack.pipeline.query_frame import Query, QuerySearch
from facetrack.trackers import StepResult
from facetrack.tracks import Tracks
from facetrack.video.frame import Frame
from facetrack.video.reader import VideoInfo
from facetrack.video.span import SpanReader


class DetectorEnsemble:
    """Several landmark detectors as one detector, for the search of the query frame.

    A frame is accepted as soon as one of the detectors finds its landmarks there.

    Attributes:
        detectors: by name; with the layout `scheme` if they share it.
        left_out: sentences about detectors that cannot be created.
        seconds: to create each detector.
    """

    name = "panel"

    def __init__(self, inits: Sequence[str], options: DetectorOptions, scheme: str | None) -> None:
        """
        Raises:
            FacetrackError: no detector can be created, or a detector does not support `scheme`.
        """
        self.left_out: list[str] = []
        self.seconds: dict[str, float] = {}
        created: dict[str, LandmarkDetector] = {}
        reasons = []
        for name in inits:
            start_time = time.perf_counter()
            try:
                created[name] = create(name, options)
            except FacetrackError as error:
                # Compare the other detectors; the sentence explains how to get this one.
                reasons.append(error)
                self.left_out.append(f"{name} is left out: {error}")
            self.seconds[name] = time.perf_counter() - start_time
        if not created:
            raise reasons[0]
        if scheme is None and {d.scheme for d in created.values()} == {"68", "98"}:
            scheme = "68"
        self.detectors = {
            name: detector
            if scheme in (None, detector.scheme)
            else MappedDetector(detector, scheme)
            for name, detector in created.items()
        }
        self.scheme = next(iter(self.detectors.values())).scheme

    @property
    def any_roll(self) -> bool:
        """Whether all detectors handle faces at any roll."""
        return all(places_any_roll(detector) for detector in self.detectors.values())

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        """Return the landmarks of the first detector that finds all points of the first box."""
        for detector in self.detectors.values():
            found = detector.detect(image, boxes)
            if len(boxes) and np.isfinite(found.xy[0]).all():
                break
        return found

    def detect_many(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[Landmarks]:
        """Run `detect` on each image."""
        return [self.detect(*pair) for pair in zip(images, boxes, strict=True)]

    def describe(self) -> dict[str, Any]:
        """Describe each detector."""
        return {name: detector.describe() for name, detector in self.detectors.items()}


class CachedFaceDetector:
    """A face detector that caches the results of recent frames.

    Attributes:
        seconds: spent on detection.
    """

    MAX_CACHED = 2 * CHUNK_FRAMES

    def __init__(self, detector: FaceDetector) -> None:
        self.name = detector.name
        self.seconds = 0.0
        self._detector = detector
        # Keep the image with its boxes, so that no other image can occupy its memory address.
        self._known: dict[tuple[int, ...], tuple[np.ndarray, FaceBoxes]] = {}

    def detect(self, image: np.ndarray) -> FaceBoxes:
        """Detect faces in `image`, (H, W, 3) RGB uint8."""
        key = (image.__array_interface__["data"][0], *image.shape, *image.strides)
        if key not in self._known:
            start_time = time.perf_counter()
            self._known[key] = (image, self._detector.detect(image))
            self.seconds += time.perf_counter() - start_time
            if len(self._known) > self.MAX_CACHED:
                del self._known[next(iter(self._known))]
        return self._known[key][1]

    def describe(self) -> dict[str, Any]:
        """Describe the detector for the record."""
        return self._detector.describe()


@dataclass
class InitialPoints:
    """The landmarks of a detector in the query frame.

    Attributes:
        xy, score: (N, 2) float32 pixels, (N,).
        scheme: their layout.
        seconds: of the detection.
    """

    xy: np.ndarray
    score: np.ndarray
    scheme: str
    seconds: float

    @property
    def failed(self) -> bool:
        """True if a point is missing, so that nothing can be tracked."""
        return not bool(np.isfinite(self.xy).all())


class QueryStage:
    """The query search that all methods share, as in a run of `facetrack track`.

    Attributes:
        video: the video's path.
        reader: reads the video's frames.
        info: properties of the video.
        ensemble: the landmark detectors.
        quarters: quarter turns, 0 to 3, by which the face of the query frame has rolled.
    """

    def __init__(self, video: Path, options: CompareOptions) -> None:
        """
        Raises:
            FacetrackError: the video cannot be read, or no detector can be created.
        """
        search = Options(
            init=options.inits[0],
            query_frame=options.query_frame,
            face_detector=options.face_detector,
            redetect="never",
            fps=options.fps,
        )
        self.video = Path(video)
        self.reader = SpanReader(self.video, search.span, options.fps)
        self.info: VideoInfo = self.reader.info
        chosen = DetectorOptions(device=options.device, precision=options.precision)
        self.quarters = 0
        self.ensemble = DetectorEnsemble(options.inits, chosen, options.scheme)
        self._models = Models(search, detector=self.ensemble)
        self._search = QuerySearch(
            self.reader,
            search,
            lambda: self._face_landmarker,
            lambda: self._models.verifier(self.ensemble.scheme),
        )

    @property
    def detectors(self) -> Mapping[str, LandmarkDetector]:
        """The landmark detectors by name."""
        return self.ensemble.detectors

    @property
    def face_detector(self) -> FaceDetector:
        """The face detector."""
        return self._models.face_detector

    @property
    def fast_face_detector(self) -> FaceDetector:
        """The face detector for most frames."""
        return self._models.fast_face_detector

    @cached_property
    def _face_landmarker(self) -> FaceLandmarker:
        return FaceLandmarker(self.ensemble, self.face_detector, self.fast_face_detector)

    def place(self) -> tuple[Query, dict[str, InitialPoints]]:
        """Find the query frame, and place every detector's landmarks there.

        Raises:
            FacetrackError: no face was found, or there is no such frame.
        """
        query = self._search.find()
        assert query.box is not None
        self.quarters = quarter_of(query.xy, query.scheme)
        initial = {}
        for name, detector in self.detectors.items():
            start_time = time.perf_counter()
            found = detector.detect(query.frame.image, query.box[None])
            seconds = time.perf_counter() - start_time
            initial[name] = InitialPoints(found.xy[0], found.score[0], detector.scheme, seconds)
        return query, initial

    def tracks(
        self, frames: list[Frame], result: StepResult, presence: PresenceFilter, scheme: str
    ) -> Tracks:
        """Return the tracks of one method over consecutive frames, as its own run would.

        Args:
            result: arrays (K, N, ...) for K frames.
            presence: the method's filter of the frames before.
            scheme: the method's landmark layout.
        """
        _, known = presence.apply(frames, result)
        with_face_axis = StepResult(*(values[:, None] for values in known))
        size = (self.info.width, self.info.height)
        return assemble_tracks(frames, with_face_axis, [0], scheme, size, stride=1)
