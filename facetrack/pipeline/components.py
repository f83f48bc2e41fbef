"""Create the parts of a run from its options and models."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from facetrack.multiface.detection import FaceLandmarker
from facetrack.multiface.face_track import RedetectPolicy
from facetrack.multiface.face_tracker import MultiFaceTracker
from facetrack.pipeline.models import Models
from facetrack.pipeline.options import Options

if TYPE_CHECKING:
    from facetrack.video.cuts import CutDetector


def redetects(options: Options) -> bool:
    """Return True if faces are detected while tracking."""
    return options.redetect != "never" and options.points is None


def create_face_landmarker(models: Models) -> FaceLandmarker:
    """Return what detects faces in a frame and places their landmarks."""
    return FaceLandmarker(
        models.detector,
        models.face_detector,
        models.fast_face_detector,
        lambda: models.confidence,
    )


def create_face_tracker(
    models: Models, options: Options, get_landmarker: Callable[[], FaceLandmarker]
) -> MultiFaceTracker:
    """Return a face tracker without faces.

    Args:
        models, options: of the run.
        get_landmarker: returns the face landmarker; called if faces are detected while tracking.
    """
    tracker = models.tracker
    if not redetects(options):
        # Without detections only the tracker can find a face again, also after a cut.
        policy = RedetectPolicy(faces=options.faces, cuts_end=options.points is None)
        return MultiFaceTracker(tracker, None, None, policy)
    every = options.redetect if isinstance(options.redetect, int) else None
    verifier = models.verifier(models.detector.scheme)
    policy = RedetectPolicy(every, options.faces)
    return MultiFaceTracker(tracker, get_landmarker(), verifier, policy)


def create_cut_detector(options: Options) -> CutDetector | None:
    """Return a detector of cuts; None if they are ignored."""
    if options.redetect == "never":
        return None
    from facetrack.video.cuts import CutDetector

    return CutDetector()


def describe_models(models: Models, options: Options) -> dict[str, dict[str, Any]]:
    """Return the record's entries for the models: weights, SHA-256 and licence, by kind."""
    tracker = models.tracker.describe()
    described = {"tracker": tracker}
    for name in ("expressions", "head"):
        if name in tracker:
            described[name] = tracker.pop(name)
    if options.points is None:
        described["detector"] = models.detector.describe()
        if models.confidence is not None:
            described["confidence"] = models.confidence.describe()
    if redetects(options):
        described |= models.describe_verifier()
    return described
