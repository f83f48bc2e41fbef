"""Landmark detectors (stage 1): they place the landmarks of each face in one image."""

from __future__ import annotations

from facetrack.detectors.base import DetectorOptions, LandmarkDetector, Landmarks
from facetrack.registry import Registry

__all__ = ["DetectorOptions", "LandmarkDetector", "Landmarks", "available", "create"]

_REGISTRY: Registry[LandmarkDetector] = Registry(
    "landmark detector",
    {
        "ert": "facetrack.detectors.ert:Ert",
        "pipnet": "facetrack.detectors.pipnet:PipNet",
        "fan": "facetrack.detectors.fan:Fan",
        "star": "facetrack.detectors.star:Star",
        "heatmap1d": "facetrack.detectors.heatmap1d:Heatmap1d",
        "star+fan": "facetrack.detectors.star_fan:StarFan",
        "cascade": "facetrack.detectors.cascades.coarse_to_fine:CoarseToFine",
        "cfan": "facetrack.detectors.cascades.cfan:Cfan",
        "dan": "facetrack.detectors.cascades.dan:Dan",
        "dcnn": "facetrack.detectors.cascades.dcnn:Dcnn",
        "fifa": "facetrack.detectors.cascades.fifa:Fifa",
        "mdm": "facetrack.detectors.cascades.mdm:Mdm",
        "san": "facetrack.detectors.cascades.san:San",
    },
)
available = _REGISTRY.available


def create(name: str, options: DetectorOptions | None = None) -> LandmarkDetector:
    """Create a landmark detector by name.

    Raises:
        FacetrackError: no detector has this name, or its weights are missing or unusable.
    """
    return _REGISTRY.create(name, options or DetectorOptions())
