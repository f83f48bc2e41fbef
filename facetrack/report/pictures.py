"""The video's frames as small pictures, in a bounded number of bytes."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facetrack.errors import FacetrackError
from facetrack.video.reader import VideoReader

BUDGET = 24_000_000
"""Bytes that all pictures of a page may take, as they are embedded (base64)."""
QUALITIES = ((960, 80), (800, 70), (640, 65), (480, 60), (360, 50))
"""Longest side and JPEG quality, finest first; past the last, frames are left out."""
PROBES = 8
_FILL = 0.9  # frames between the probes may be larger than those


@dataclass(frozen=True)
class Pictures:
    """Pictures of every `stride`-th frame.

    Attributes:
        jpeg: base64 of each picture.
        stride: frames from one to the next.
        size: (width, height) of the pictures.
        pixel_aspect: width / height of one pixel of the video, as displayed.
    """

    jpeg: list[str]
    stride: int
    size: tuple[int, int]
    pixel_aspect: float


def take(
    video: Path,
    first: int,
    count: int,
    size: tuple[int, int],
    stride: int = 1,
    budget: int = BUDGET,
) -> Pictures:
    """Pictures of the frames `first` to `first + count - 1` of a video.

    Args:
        size: (width, height) that the frames must have.
        stride: only every so many frames; more are left out where the budget asks for it.

    Raises:
        FacetrackError: the video cannot be read, has fewer frames, or frames of another size.
    """
    reader = VideoReader(video, first=first, last=first + count - 1)
    if (reader.info.width, reader.info.height) != size:
        raise FacetrackError(
            f"{video} is {reader.info.width}x{reader.info.height}, its landmarks are of "
            f"{size[0]}x{size[1]} pixels."
        )
    side, quality, stride = _plan(reader, first, count, stride, budget)
    made: list[str] = []
    seen = total = 0
    with reader:
        for frame in reader:
            seen += 1
            if (frame.index - first) % stride == 0:
                made.append(_encode(frame.image, side, quality))
                total += len(made[-1])
                while total > budget and len(made) > 1:
                    # The probes were simpler than the rest: still the bound holds.
                    made, stride = made[::2], stride * 2
                    total = sum(map(len, made))
    if seen != count:
        raise FacetrackError(f"{video} has {first + seen} frames, its landmarks {first + count}.")
    scale = _scale(size, side)
    scaled = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    return Pictures(made, stride, scaled, float(reader.info.pixel_aspect))


def _plan(
    reader: VideoReader, first: int, count: int, stride: int, budget: int
) -> tuple[int, int, int]:
    """Side, quality and stride with which all pictures fit, by frames from the whole video."""
    apart = max(1, count // PROBES)
    sizes = np.zeros(len(QUALITIES))
    probes = 0
    with reader:
        for frame in reader:
            if (frame.index - first) % apart == 0:
                probes += 1
                sizes += [len(_encode(frame.image, *some)) for some in QUALITIES]
    if not probes:
        raise FacetrackError(f"{reader.info.path} has no frames to show.")
    sizes /= probes
    pictures = math.ceil(count / stride)
    for (side, quality), size in zip(QUALITIES, sizes, strict=True):
        if size * pictures <= _FILL * budget:
            return side, quality, stride
    return *QUALITIES[-1], stride * math.ceil(sizes[-1] * pictures / (_FILL * budget))


def _encode(image: np.ndarray, side: int, quality: int) -> str:
    """Base64 of the (H, W, 3) uint8 RGB image as JPEG, no side longer than `side`."""
    height, width = image.shape[:2]
    scale = _scale((width, height), side)
    if scale < 1:
        smaller = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(
        ".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    )
    return base64.b64encode(data.tobytes()).decode("ascii")


def _scale(size: tuple[int, int], side: int) -> float:
    return min(1.0, side / max(size))
