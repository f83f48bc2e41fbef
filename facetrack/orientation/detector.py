"""A landmark detector for faces at any roll, around one for upright faces."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from facetrack import detectors
from facetrack.detectors.base import DetectorOptions, LandmarkDetector, Landmarks
from facetrack.detectors.mapped import MappedDetector
from facetrack.identity.shape_model import ShapeModel
from facetrack.ops.image import as_rgb
from facetrack.orientation.placement import (
    CALIBRATIONS,
    SURE,
    RollEstimator,
    TurnedPlacement,
    place_turned,
)
from facetrack.orientation.turning import wrapped

JUDGE, JUDGE_WEIGHTS = "pipnet", "pipnet-s"
"""The bundled detector that finds the roll for detectors whose own answer does not tell it: the
fastest one that does."""
MIN_LOG_ODDS = -4.0
"""Log odds of the best turn below which there is no face: the detector has no estimate."""


class JudgedLandmarks(NamedTuple):
    """Landmarks of F faces, and how far each is to be believed.

    Attributes:
        xy, score: as in `Landmarks`.
        trust: (F,) float32 in [0, 1]: twice the probability of being a face, at most 1; 0 where
            the detector has no estimate.
    """

    xy: np.ndarray
    score: np.ndarray
    trust: np.ndarray


class OrientedDetector:
    """Places landmarks upright first, and in turned crops where that looks implausible.

    Upright faces get exactly the landmarks of the detector inside. Doubtful faces get lower scores;
    faces for which no turn is plausible get NaN and score 0.

    Args:
        detector: places landmarks of upright faces.
        create_judge: creates a calibrated detector of 68 points; called on first use, for detectors
            that cannot judge themselves.

    Attributes:
        any_roll: True.
    """

    any_roll = True

    def __init__(
        self, detector: LandmarkDetector, create_judge: Callable[[], LandmarkDetector]
    ) -> None:
        self.name, self.scheme = detector.name, detector.scheme
        self._detector, self._create_judge = detector, create_judge

    @cached_property
    def _shapes(self) -> ShapeModel:
        return ShapeModel.load()

    @cached_property
    def _own(self) -> RollEstimator | None:
        """Judges the detector's own landmarks; None for weights that are not calibrated."""
        calibration = CALIBRATIONS.get(str(self._detector.describe().get("weights")))
        if calibration is None or self._detector.scheme != "68":
            return None
        return RollEstimator(self._detector, self._shapes, calibration)

    @cached_property
    def _judge(self) -> RollEstimator:
        """Finds the turn: the detector itself if it can, else the bundled judge."""
        if self._own is not None and self._own.can_judge:
            return self._own
        judge = self._create_judge()
        return RollEstimator(judge, self._shapes, CALIBRATIONS[JUDGE_WEIGHTS])

    def detect(self, image: np.ndarray, boxes: np.ndarray) -> Landmarks:
        """Detect landmarks as `LandmarkDetector.detect`, of faces at any roll."""
        return self.detect_many([image], [boxes])[0]

    def detect_many(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[Landmarks]:
        """Detect landmarks as `LandmarkDetector.detect_many`, of faces at any roll."""
        return [Landmarks(found.xy, found.score) for found in self._judge_many(images, boxes)]

    def detect_judged(self, image: np.ndarray, boxes: np.ndarray) -> JudgedLandmarks:
        """Detect landmarks as `detect`, and judge whether they are a face's."""
        return self._judge_many([image], [boxes])[0]

    def _judge_many(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]
    ) -> list[JudgedLandmarks]:
        found = self._detector.detect_many(images, boxes)
        return [
            self._orient(image, np.asarray(image_boxes, float).reshape(-1, 4), marks)
            for image, image_boxes, marks in zip(images, boxes, found, strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        """Describe the detector inside for the record."""
        return self._detector.describe()

    def _orient(self, image: np.ndarray, boxes: np.ndarray, upright: Landmarks) -> JudgedLandmarks:
        """Judge the faces of an image, and replace the landmarks of those that are not upright."""
        xy, score = upright
        trust = np.isfinite(xy).all((1, 2)).astype(np.float32)
        for face, box in enumerate(boxes):
            if not trust[face]:
                continue
            placed = self._place(image, box, xy[face], score[face])
            if placed is None:
                continue
            if xy is upright.xy:
                xy, score = xy.copy(), score.copy()
            xy[face], score[face], trust[face] = placed
        return JudgedLandmarks(xy, score, trust)

    def _place(
        self, image: np.ndarray, box: np.ndarray, xy: np.ndarray, score: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, float] | None:
        """Return better landmarks (N, 2), scores (N,) and the trust in a face.

        Returns:
            None to keep those given, and to believe them.
        """
        own, given = self._own, None
        size = (image.shape[1], image.shape[0])
        if own is not None:
            given = own.rate(xy, score, box, 0.0, size)
            if given.is_settled:
                return None
        image = as_rgb(image)
        judge = self._judge
        if judge is not own or given is None:
            (given,) = judge.place(image, [(box, 0.0)])
        best = given if given.is_settled else judge.orient(image, given)
        if own is None and best.log_odds < SURE:
            # The user's own network may know faces that the judge does not.
            return None
        if own is not None and best.log_odds < MIN_LOG_ODDS:
            return np.full_like(xy, np.nan), np.zeros_like(score), 0.0
        if abs(wrapped(best.roll)) > 1e-6:
            xy, score = self._place_as(image, best)
        # The more doubtful a face is, the less its points are trusted.
        trust = min(1.0, 2 / (1 + math.exp(-best.log_odds)))
        return xy, score * np.float32(trust), trust

    def _place_as(
        self, image: np.ndarray, judged: TurnedPlacement
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return own landmarks (N, 2) and scores (N,) where the judge sees a rolled face."""
        judge = self._judge
        if judge is self._own:
            return judged.xy, judged.score
        box = judge.implied_box(judged, judged.roll)
        ((xy, score),) = place_turned(self._detector, image, [(box, judged.roll)])
        return xy, score


class MappedOrientedDetector(MappedDetector):
    """An oriented detector that selects the points of a layout."""

    def __init__(self, detector: OrientedDetector, scheme: str) -> None:
        super().__init__(detector, scheme)
        self._oriented = detector

    def detect_judged(self, image: np.ndarray, boxes: np.ndarray) -> JudgedLandmarks:
        """Detect landmarks as `OrientedDetector.detect_judged`, in the layout `scheme`."""
        xy, score, trust = self._oriented.detect_judged(image, boxes)
        return JudgedLandmarks(*self._select(Landmarks(xy, score)), trust)


def detect_judged(
    detector: LandmarkDetector, image: np.ndarray, boxes: np.ndarray
) -> JudgedLandmarks:
    """Detect landmarks, and judge whether they are a face's.

    Args:
        detector: places landmarks. One that does not judge them is believed.
        image: (H, W, 3) RGB or (H, W) grey uint8.
        boxes: (F, 4) x0 y0 x1 y1 in pixels (pixel centres).
    """
    if isinstance(detector, OrientedDetector | MappedOrientedDetector):
        return detector.detect_judged(image, boxes)
    xy, score = detector.detect(image, boxes)
    return JudgedLandmarks(xy, score, np.isfinite(xy).all((1, 2)).astype(np.float32))


def create(name: str, options: DetectorOptions, scheme: str | None = None) -> LandmarkDetector:
    """Create a landmark detector by name for faces at any roll, as `detectors.mapped.create`.

    Raises:
        FacetrackError: no detector has this name, its weights are missing or unusable, or its
            layout cannot be converted to `scheme`.
    """

    def create_judge() -> LandmarkDetector:
        chosen = DetectorOptions(JUDGE_WEIGHTS, options.device, precision=options.precision)
        return detectors.create(JUDGE, chosen)

    oriented = OrientedDetector(detectors.create(name, options), create_judge)
    return (
        oriented if scheme in (None, oriented.scheme) else MappedOrientedDetector(oriented, scheme)
    )
