"""Face detectors: where the faces are, before any landmark is placed."""

from __future__ import annotations

from importlib import import_module

from facetrack.errors import FacetrackError
from facetrack.faces.base import FaceBoxes, FaceDetector

__all__ = ["FaceBoxes", "FaceDetector", "available", "create"]

# name: "module:class"; a module is imported when its detector is first made.
_REGISTRY = {
    "auto": "facetrack.faces.auto:Auto",
    "hog": "facetrack.faces.dlib_hog:DlibHog",
    "cnn": "facetrack.faces.dlib_cnn:DlibCnn",
}


def available() -> list[str]:
    """Names of the face detectors."""
    return list(_REGISTRY)


def create(name: str) -> FaceDetector:
    """Make a face detector; its model is loaded when first used.

    Raises:
        FacetrackError: there is none of that name.
    """
    if name not in _REGISTRY:
        raise FacetrackError(f"no face detector '{name}'; choose one of: {', '.join(_REGISTRY)}")
    module, attribute = _REGISTRY[name].split(":")
    detector: FaceDetector = getattr(import_module(module), attribute)()
    return detector
