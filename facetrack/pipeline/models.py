"""What a run is made of, apart from its video: made when needed, kept for the next video."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from facetrack import face_detectors
from facetrack.detectors import LandmarkDetector, mapped
from facetrack.face_detectors import FaceDetector
from facetrack.trackers import PointTracker, factory
from facetrack.trackers.expression.tracker import guided

if TYPE_CHECKING:
    from facetrack.identity.descriptors import FaceDescriptor
    from facetrack.identity.shape_model import ShapeModel
    from facetrack.identity.verifier import FaceVerifier
    from facetrack.pipeline.options import Options


class Models:
    """The landmark detector, the face detectors and the tracker that some options mean.

    Each is made when first asked for. None of them remembers a video, so one after another can be
    tracked with the same.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self._said: dict[str, Any] = {}

    @cached_property
    def detector(self) -> LandmarkDetector:
        """The landmark detector."""
        options = self.options
        made = mapped.create(options.init, options.detector_options, options.scheme)
        self._said["detector"] = made.describe()
        return made

    @cached_property
    def faces(self) -> FaceDetector:
        """The face detector."""
        return face_detectors.create(self.options.face_detector)

    @cached_property
    def quick_faces(self) -> FaceDetector:
        """What looks at most frames of a search: the fast half of "auto", else the chosen one."""
        if self.options.face_detector != "auto":
            return self.faces
        from facetrack.face_detectors.auto import quick

        return quick()

    @cached_property
    def tracker(self) -> PointTracker:
        """The point tracker."""
        options = self.options
        made = factory.create(
            options.tracker, options.tracker_options, lambda: (self.detector, self.faces)
        )
        if options.guided:
            made = guided(made, self.detector.scheme, options.tracker_options)
        self._said["tracker"] = made.describe()
        return made

    def judge(self, scheme: str) -> FaceVerifier:
        """What recognises the people of one video, whose landmarks have the layout `scheme`."""
        from facetrack.identity.verifier import FaceVerifier

        return FaceVerifier(scheme, self._shapes, self._identities)

    def describe_judge(self) -> dict[str, dict[str, Any]]:
        """What the sidecar says of what judges use: weights, their sha256 and licence."""
        from facetrack.identity.shape_model import PART
        from facetrack.weights import resolve

        return {
            "identity": {"name": "dlib", **self._identities.provenance()},
            "shape": {"name": PART, **resolve(PART, "auto").describe()},
        }

    @property
    def judging(self) -> dict[str, Any]:
        """What every judge shares, by name."""
        return {"shapes": self._shapes, "identities": self._identities}

    @cached_property
    def _shapes(self) -> ShapeModel:
        from facetrack.identity.shape_model import ShapeModel

        return ShapeModel.load()

    @cached_property
    def _identities(self) -> FaceDescriptor:
        from facetrack.identity.descriptors import FaceDescriptor

        return FaceDescriptor()

    def unchanged(self) -> bool:
        """Whether the weights files of what has been made are what they were then."""
        now: dict[str, Callable[[], dict[str, Any]]] = {
            "detector": lambda: self.detector.describe(),
            "tracker": lambda: self.tracker.describe(),
        }
        try:
            return all(now[kind]() == said for kind, said in self._said.items())
        except OSError:
            return False


class ModelCache:
    """The parts of the last run, for the next one of the same options."""

    def __init__(self) -> None:
        self._parts: Models | None = None

    def of(self, options: Options) -> Models:
        """The same as last time, or new ones where options or weights files have changed."""
        if not self._fit(options):
            self.drop()  # before others take their memory
        if self._parts is None:
            self._parts = Models(options)
        return self._parts

    def drop(self) -> None:
        """Forget them: after an error of facetrack itself they may be in any state."""
        self._parts = None

    def _fit(self, options: Options) -> bool:
        parts = self._parts
        return parts is not None and parts.options == options and parts.unchanged()
