"""Place the landmarks of a frame in which a person has corrected some."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facetrack.corrections.displacement import (
    Estimate,
    correct_landmarks,
    correct_placed,
    fit_mean_face,
    only_corrected,
)
from facetrack.corrections.resolve import FrameEdit
from facetrack.corrections.runs import Anchor
from facetrack.detectors.crops import hog_box
from facetrack.landmarks.geometry import inside_picture, landmark_distance
from facetrack.multiface.clip import FOUND_VISIBLE_SHARE
from facetrack.video.frame import Frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from facetrack.confidence.estimator import ConfidenceEstimator
    from facetrack.detectors import LandmarkDetector
    from facetrack.identity.shape_model import ShapeModel

MAX_DETECTION_DISTANCE = 0.25
"""Mean distance of a network's landmarks from those expected, in sizes of the face, beyond which
they are of something else."""


class AnchorPlacer:
    """Places all landmarks by the corrected ones, the tracks, a network and the shapes of faces.

    Args:
        get_detector: returns the landmark network, or None; called on first use.
        get_shapes: returns the shape model; likewise.
        get_confidence: returns the estimator of which landmarks are visible, or None; likewise.
    """

    def __init__(
        self,
        get_detector: Callable[[], LandmarkDetector | None] = lambda: None,
        get_shapes: Callable[[], ShapeModel | None] = lambda: None,
        get_confidence: Callable[[], ConfidenceEstimator | None] = lambda: None,
    ) -> None:
        self._get_detector, self._get_shapes = get_detector, get_shapes
        self._get_confidence = get_confidence

    def load_models(self, scheme: str) -> None:
        """Load the models for a layout, which otherwise are loaded on first use."""
        self._get_detector()
        if scheme == "68":
            self._get_shapes()
            self._get_confidence()

    def place(
        self,
        frame: Frame,
        row: int,
        tracked: np.ndarray,
        visible: np.ndarray,
        edit: FrameEdit,
        scheme: str,
    ) -> Anchor:
        """Return the anchor of a corrected frame.

        Args:
            frame: the frame.
            row: its row in the tracks.
            tracked: (N, 2) the landmarks as tracked; NaN where unknown.
            visible: (N,) bool, those that the tracker sees.
            edit: the corrected points.
            scheme: name of the layout.
        """
        count = len(tracked)
        target = edit.target(count)
        placed = edit.placement
        if placed is None:
            estimate = self.estimate(frame.image, tracked, target, scheme, not edit.is_start)
        else:
            tracked, visible = placed.xy, placed.visible
            shapes = self._get_shapes() if scheme == "68" else None
            estimate = correct_placed(placed.xy.astype(float), target, shapes)
        by_hand = np.isfinite(target).all(-1)
        seen = visible.copy()
        if placed is None:
            seen = self._visible(frame.image, estimate.xy, visible, scheme)
        seen[by_hand] = True
        seen[list(edit.hidden)] = False
        seen &= inside_picture(estimate.xy, frame.image)
        return Anchor(
            row,
            frame.index,
            estimate.xy.astype(np.float32),
            seen,
            by_hand,
            estimate.covariance,
            estimate.pose,
            edit.is_start,
        )

    def estimate(
        self,
        image: np.ndarray,
        tracked: np.ndarray,
        target: np.ndarray,
        scheme: str,
        use_tracked: bool = True,
    ) -> Estimate:
        """Place all landmarks of an image (H, W, 3).

        Args:
            tracked: (N, 2) the landmarks as tracked; NaN where unknown.
            target: (N, 2) the corrected ones; NaN for all others.
            scheme: name of the layout.
            use_tracked: whether the tracked landmarks are evidence.
        """
        shapes = self._get_shapes() if scheme == "68" else None
        detector = self._get_detector()
        if detector is not None and detector.scheme != scheme:
            detector = None
        if shapes is None and detector is None:
            return only_corrected(tracked, target)
        missing = ~np.isfinite(tracked).all(-1)
        if missing.any():
            use_tracked = use_tracked and not missing.all()
            known = target if missing.all() else np.where(np.isfinite(target), target, tracked)
            tracked = np.where(missing[:, None], fit_mean_face(known, shapes), tracked)
        rough = correct_landmarks(tracked, target, None, shapes, use_tracked or shapes is None)
        detected = None if detector is None else self._detect(detector, image, rough.xy)
        if detected is None:
            return rough
        return correct_landmarks(tracked, target, detected, shapes, use_tracked)

    @staticmethod
    def _detect(
        detector: LandmarkDetector, image: np.ndarray, expected: np.ndarray
    ) -> np.ndarray | None:
        """Return a network's landmarks (N, 2) of the face expected there; None without any."""
        box = hog_box(expected) if len(expected) in (68, 98) else _bounds(expected)
        xy = detector.detect(image, box.astype(np.float32)[None]).xy[0].astype(float)
        everywhere = np.ones(len(expected), bool)
        if not np.isfinite(xy).all():
            return None
        near = landmark_distance(xy, expected, everywhere) <= MAX_DETECTION_DISTANCE
        return xy if near else None

    def _visible(
        self, image: np.ndarray, xy: np.ndarray, visible: np.ndarray, scheme: str
    ) -> np.ndarray:
        """Return which landmarks (N,) the tracker can start from.

        Those that it saw and those that are seen to be visible. Where nothing tells, all of a face
        that it had lost.
        """
        confidence = self._get_confidence() if scheme == "68" and not visible.all() else None
        if confidence is None:
            lost = visible.mean() < FOUND_VISIBLE_SHARE
            return np.ones(len(xy), bool) if lost else visible.copy()
        seen = confidence.estimate(image, xy[None].astype(np.float32)).visible[0] >= 0.5
        return np.asarray(visible | seen)


def _bounds(xy: np.ndarray) -> np.ndarray:
    return np.concatenate([xy.min(0), xy.max(0)])
