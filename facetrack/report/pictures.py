"""Embed the video's frames as small JPEG images, in a bounded number of bytes."""

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
"""Maximum bytes of all images of a page, as they are embedded (base64)."""
QUALITIES = ((960, 80), (800, 70), (640, 65), (480, 60), (360, 50))
"""Longest side and JPEG quality, finest first. If the last does not fit, frames are left out."""
PROBES = 8
"""Number of frames from which the size of all images is estimated."""
_FILL = 0.9  # margin, because frames between the probes may be larger


@dataclass(frozen=True)
class Pictures:
    """Images of every `stride`-th frame.

    Attributes:
        jpeg: base64 of each image.
        stride: number of frames from one image to the next.
        size: (width, height) of the images in pixels.
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
    """Take images of the frames `first` to `first + count - 1` of a video.

    Args:
        video: the video.
        first: first frame.
        count: number of frames.
        size: (width, height) that the frames must have.
        stride: take every `stride`-th frame; more frames are left out to keep the budget.
        budget: maximum bytes of all images in base64.

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
    images: list[str] = []
    num_read = total = 0
    with reader:
        for frame in reader:
            num_read += 1
            if (frame.index - first) % stride == 0:
                images.append(_encode(frame.image, side, quality))
                total += len(images[-1])
                while total > budget and len(images) > 1:
                    # The estimate was too low: drop every second image to keep the budget.
                    images, stride = images[::2], stride * 2
                    total = sum(map(len, images))
    if num_read != count:
        raise FacetrackError(
            f"{video} has {first + num_read} frames, its landmarks {first + count}."
        )
    scale = _scale(size, side)
    scaled = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    return Pictures(images, stride, scaled, float(reader.info.pixel_aspect))


def _plan(
    reader: VideoReader, first: int, count: int, stride: int, budget: int
) -> tuple[int, int, int]:
    """Choose side, quality and stride such that all images fit, from frames across the video."""
    interval = max(1, count // PROBES)
    sizes = np.zeros(len(QUALITIES))
    probes = 0
    with reader:
        for frame in reader:
            if (frame.index - first) % interval == 0:
                probes += 1
                sizes += [len(_encode(frame.image, *quality)) for quality in QUALITIES]
    if not probes:
        raise FacetrackError(f"{reader.info.path} has no frames to show.")
    sizes /= probes
    pictures = math.ceil(count / stride)
    for (side, quality), size in zip(QUALITIES, sizes, strict=True):
        if size * pictures <= _FILL * budget:
            return side, quality, stride
    return *QUALITIES[-1], stride * math.ceil(sizes[-1] * pictures / (_FILL * budget))


def _encode(image: np.ndarray, side: int, quality: int) -> str:
    """Encode an image (H, W, 3) uint8 RGB as JPEG in base64, no side longer than `side`."""
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
