"""Face detectors: they find the boxes that the landmark detectors start from."""

from __future__ import annotations

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
available, create = _REGISTRY.available, _REGISTRY.create
