"""Face detectors: where the faces are, before any landmark is placed."""

from __future__ import annotations

from facetrack.faces.base import FaceBoxes, FaceDetector
from facetrack.registry import Registry

__all__ = ["FaceBoxes", "FaceDetector", "available", "create"]

_REGISTRY: Registry[FaceDetector] = Registry(
    "face detector",
    {
        "auto": "facetrack.faces.auto:Auto",
        "hog": "facetrack.faces.dlib_hog:DlibHog",
        "cnn": "facetrack.faces.dlib_cnn:DlibCnn",
        "mtcnn": "facetrack.faces.mtcnn:Mtcnn",
        "yunet": "facetrack.faces.yunet:YuNet",
        "sfd": "facetrack.faces.sfd:Sfd",
        "haar": "facetrack.faces.haar:Haar",
    },
)
available, create = _REGISTRY.available, _REGISTRY.create
