"""Detect facial landmarks in images and track them through videos.

A landmark detector places the points on a query frame; a point tracker then follows them through
every frame. `__all__` lists the public interface.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from facetrack.version import __version__ as __version__

if TYPE_CHECKING:
    from facetrack.api.compare import compare
    from facetrack.api.detect import detect
    from facetrack.api.pose import pose
    from facetrack.api.stream import TrackedFrame, stream, stream_async, track_async
    from facetrack.api.track import track
    from facetrack.comparison.results import Comparison
    from facetrack.detectors import DetectorOptions
    from facetrack.errors import FacetrackError
    from facetrack.images.pipeline import ImageFaces, ImageOptions
    from facetrack.images.poses import HeadPoses
    from facetrack.pipeline.options import Options
    from facetrack.trackers.base import TrackerOptions
    from facetrack.tracks import Tracks

# OpenCV reads this limit when it is first imported. Its own default admits images of 3 GB, which a
# file of a few hundred bytes can claim to be.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**27))

__all__ = [
    "Comparison",
    "DetectorOptions",
    "FacetrackError",
    "HeadPoses",
    "ImageFaces",
    "ImageOptions",
    "Options",
    "TrackedFrame",
    "TrackerOptions",
    "Tracks",
    "compare",
    "detect",
    "pose",
    "stream",
    "stream_async",
    "track",
    "track_async",
]

_HOME = {
    "compare": "facetrack.api.compare",
    "detect": "facetrack.api.detect",
    "pose": "facetrack.api.pose",
    "stream": "facetrack.api.stream",
    "stream_async": "facetrack.api.stream",
    "track": "facetrack.api.track",
    "track_async": "facetrack.api.stream",
    "Comparison": "facetrack.comparison.results",
    "DetectorOptions": "facetrack.detectors",
    "FacetrackError": "facetrack.errors",
    "HeadPoses": "facetrack.images.poses",
    "ImageFaces": "facetrack.images.pipeline",
    "ImageOptions": "facetrack.images.pipeline",
    "Options": "facetrack.pipeline.options",
    "TrackedFrame": "facetrack.api.stream",
    "TrackerOptions": "facetrack.trackers.base",
    "Tracks": "facetrack.tracks",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import facetrack` stays fast."""
    if name not in _HOME:
        raise AttributeError(f"module 'facetrack' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
