"""Landmark detectors (stage 1): each places the landmarks of a face in one image."""

from __future__ import annotations

from importlib import import_module

from facetrack.detectors.base import LandmarkDetector, Landmarks
from facetrack.errors import FacetrackError

__all__ = ["LandmarkDetector", "Landmarks", "available", "create"]

# name: "module:class"; a module is imported when its detector is first made.
_REGISTRY = {
    "ert": "facetrack.detectors.ert:Ert",
}


def available() -> list[str]:
    """Names of the landmark detectors."""
    return list(_REGISTRY)


def create(name: str) -> LandmarkDetector:
    """Make a landmark detector; its weights are loaded when first used.

    Raises:
        FacetrackError: there is none of that name.
    """
    if name not in _REGISTRY:
        raise FacetrackError(
            f"no landmark detector '{name}'; choose one of: {', '.join(_REGISTRY)}"
        )
    module, attribute = _REGISTRY[name].split(":")
    detector: LandmarkDetector = getattr(import_module(module), attribute)()
    return detector
