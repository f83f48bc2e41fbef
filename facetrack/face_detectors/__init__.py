"""Face detectors: they find the boxes that the landmark detectors start from."""

from __future__ import annotations

from facetrack.errors import FacetrackError
from facetrack.face_detectors.base import FaceBoxes, FaceDetector
from facetrack.registry import Registry

__all__ = ["FaceBoxes", "FaceDetector", "available", "create"]

_REGISTRY: Registry[FaceDetector] = Registry(
    "face detector",
    {
        "auto": "facetrack.face_detectors.auto:Auto",
        "hog": "facetrack.face_detectors.dlib_hog:DlibHog",
        "cnn": "facetrack.face_detectors.dlib_cnn:DlibCnn",
        "mtcnn": "facetrack.face_detectors.mtcnn:Mtcnn",
        "yunet": "facetrack.face_detectors.yunet:YuNet",
        "sfd": "facetrack.face_detectors.sfd:Sfd",
        "haar": "facetrack.face_detectors.haar:Haar",
    },
)
available = _REGISTRY.available
WITH_WEIGHTS = ("mtcnn",)
"""Face detectors that take the weights of a file of the user's."""


def create(name: str) -> FaceDetector:
    """Create the face detector called `name`.

    Args:
        name: one of `available`. "mtcnn=FILE" gives it weights of its own, from
            `facetrack train face-detector`.

    Raises:
        FacetrackError: no face detector has that name, or there are no such weights.
    """
    name, equals, weights = name.partition("=")
    if not equals:
        return _REGISTRY.create(name)
    if name in _REGISTRY.available() and name not in WITH_WEIGHTS:
        raise FacetrackError(
            f"The face detector {name} takes no weights; {' and '.join(WITH_WEIGHTS)} does."
        )
    return _REGISTRY.create(name, weights)
