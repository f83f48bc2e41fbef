"""The models that a run needs, apart from its video: loaded on first use, shared between videos."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from facetrack import face_detectors
from facetrack.detectors import LandmarkDetector
from facetrack.face_detectors import FaceDetector
from facetrack.orientation import detector as oriented
from facetrack.trackers import PointTracker, factory
from facetrack.trackers.expression.tracker import with_expressions

if TYPE_CHECKING:
    from facetrack.confidence.estimator import ConfidenceEstimator
    from facetrack.identity.descriptors import FaceDescriptor
    from facetrack.identity.shape_model import ShapeModel
    from facetrack.identity.verifier import FaceVerifier
    from facetrack.pipeline.options import Options


class Models:
    """The landmark detector, face detectors, point tracker and face verifier of a run's options.

    Each is created on first use. None of them remembers a video, so videos can be tracked with the
    same models one after another.

    Args:
        options: choose the models.
        detector, face_detector, fast_face_detector, tracker: used instead of those that the options
            choose.
        create_verifier: returns the face verifier for a landmark layout; used instead of the
            default.
    """

    def __init__(
        self,
        options: Options,
        *,
        detector: LandmarkDetector | None = None,
        face_detector: FaceDetector | None = None,
        fast_face_detector: FaceDetector | None = None,
        tracker: PointTracker | None = None,
        create_verifier: Callable[[str], FaceVerifier] | None = None,
    ) -> None:
        self.options = options
        self._detector, self._tracker = detector, tracker
        self._face_detector, self._fast_face_detector = face_detector, fast_face_detector
        self._create_verifier = create_verifier
        self._descriptions: dict[str, Any] = {}

    @property
    def detector(self) -> LandmarkDetector:
        """The landmark detector."""
        if self._detector is None:
            options = self.options
            self._detector = oriented.create(options.init, options.detector_options, options.scheme)
            self._descriptions["detector"] = self._detector.describe()
        return self._detector

    @property
    def face_detector(self) -> FaceDetector:
        """The face detector."""
        if self._face_detector is None:
            self._face_detector = face_detectors.create(self.options.face_detector)
        return self._face_detector

    @property
    def fast_face_detector(self) -> FaceDetector:
        """The face detector for most frames of a search: the fast half of "auto", else the same."""
        if self._fast_face_detector is None:
            self._fast_face_detector = self._create_fast_face_detector()
        return self._fast_face_detector

    @property
    def tracker(self) -> PointTracker:
        """The point tracker, with a landmark network beside it where the options ask for it."""
        if self._tracker is None:
            self._tracker = self._create_tracker()
            self._descriptions["tracker"] = self._tracker.describe()
        return self._tracker

    @cached_property
    def confidence(self) -> ConfidenceEstimator | None:
        """The estimator of which landmarks are visible; None for layouts that it does not know.

        Only the TAPIR tracker uses it: the others serve as baselines.
        """
        if self.options.tracker != "tapir" or self.detector.scheme != "68":
            return None
        from facetrack.confidence.estimator import ConfidenceEstimator

        return ConfidenceEstimator(device=self.options.tracker_options.device)

    def verifier(self, scheme: str) -> FaceVerifier:
        """Return a face verifier for one video whose landmarks have the layout `scheme`."""
        if self._create_verifier is not None:
            return self._create_verifier(scheme)
        from facetrack.identity.verifier import FaceVerifier

        return FaceVerifier(scheme, self._shape_model, self._descriptor)

    def describe_verifier(self) -> dict[str, dict[str, Any]]:
        """Return the record's entries for the models behind face verifiers."""
        from facetrack.identity.shape_model import PART
        from facetrack.weights import resolve

        return {
            "identity": {"name": "dlib", **self._descriptor.provenance()},
            "shape": {"name": PART, **resolve(PART, "auto").describe()},
        }

    @property
    def verifier_models(self) -> dict[str, Any]:
        """The models that all face verifiers share, by name."""
        return {"shapes": self._shape_model, "identities": self._descriptor}

    def unchanged(self) -> bool:
        """Return True if the weights files of the created models are the same as at creation."""
        current: dict[str, Callable[[], dict[str, Any]]] = {
            "detector": lambda: self.detector.describe(),
            "tracker": lambda: self.tracker.describe(),
        }
        try:
            return all(current[kind]() == known for kind, known in self._descriptions.items())
        except OSError:
            return False

    def _create_fast_face_detector(self) -> FaceDetector:
        if self.options.face_detector != "auto":
            return self.face_detector
        from facetrack.face_detectors.auto import quick

        return quick()

    def _create_tracker(self) -> PointTracker:
        options = self.options
        tracker = factory.create(
            options.tracker, options.tracker_options, lambda: (self.detector, self.face_detector)
        )
        if options.guided:
            tracker = with_expressions(tracker, self.detector.scheme, options.tracker_options)
        return tracker

    @cached_property
    def _shape_model(self) -> ShapeModel:
        from facetrack.identity.shape_model import ShapeModel

        return ShapeModel.load()

    @cached_property
    def _descriptor(self) -> FaceDescriptor:
        from facetrack.identity.descriptors import FaceDescriptor

        return FaceDescriptor()


class ModelCache:
    """Keeps the models of the last run for the next run with the same options."""

    def __init__(self) -> None:
        self._models: Models | None = None

    def get(self, options: Options) -> Models:
        """Return the models of the last run, or new ones if options or weights files differ."""
        if not self._fits(options):
            self.clear()  # frees their memory before new models are created
        if self._models is None:
            self._models = Models(options)
        return self._models

    def clear(self) -> None:
        """Drop the models: after an internal error they may be in any state."""
        self._models = None

    def _fits(self, options: Options) -> bool:
        models = self._models
        return models is not None and models.options == options and models.unchanged()
