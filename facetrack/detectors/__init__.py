"""Landmark detectors (stage 1): each places the landmarks of a face in one image."""

from __future__ import annotations

from facetrack.detectors.base import LandmarkDetector, Landmarks
from facetrack.registry import Registry

__all__ = ["LandmarkDetector", "Landmarks", "available", "create"]

_REGISTRY: Registry[LandmarkDetector] = Registry(
    "landmark detector", {"ert": "facetrack.detectors.ert:Ert"}
)
available, create = _REGISTRY.available, _REGISTRY.create
