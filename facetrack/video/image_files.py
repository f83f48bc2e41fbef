"""List and read image files."""

from __future__ import annotations

import os
import re
from pathlib import Path

import cv2
import numpy as np

from facetrack.errors import FacetrackError
from facetrack.video import ffmpeg
from facetrack.video.decoder import MAX_PIXELS

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}


def list_images(path: Path) -> list[Path]:
    """Return the image files of a folder in natural order, or `path` itself if it is a file.

    Raises:
        FacetrackError: the folder cannot be read or has no images.
    """
    if not os.path.isdir(path):
        return [path]
    try:
        names = [
            p
            for p in path.iterdir()
            if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")
        ]
    except OSError as error:
        raise FacetrackError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not names:
        raise FacetrackError(
            f"{path} is a folder without images ({', '.join(sorted(IMAGE_SUFFIXES))})."
        )
    return sorted(names, key=_natural_key)


def _natural_key(path: Path) -> tuple[list[tuple[int, int | str]], str]:
    """Return a sorting key that compares runs of digits as numbers."""
    parts = re.split(r"([0-9]+)", path.name.lower())
    return [(0, int(p)) if p.isdecimal() else (1, p) for p in parts if p], path.name


def read_image(path: Path) -> np.ndarray:
    """Read an image as (H, W, 3) uint8 RGB, rotated by its EXIF orientation, without transparency.

    Raises:
        FacetrackError: the file is missing, not an image or too large.
    """
    ffmpeg.check_file(path)
    data = np.fromfile(path, np.uint8)
    width, height = _png_size(data)
    if width * height > MAX_PIXELS:
        raise FacetrackError(f"{path} is too large an image: {width}x{height} pixels.")
    level = cv2.utils.logging.getLogLevel()
    try:
        # Silence OpenCV: the error below reports the problem.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        # Decode from memory: on some systems OpenCV cannot open non-ASCII file names.
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        # OpenCV's own limits on sides and pixels.
        raise FacetrackError(f"{path} is too large an image, or damaged.") from error
    finally:
        cv2.utils.logging.setLogLevel(level)
    if image is None:
        raise FacetrackError(f"{path} is not an image that can be read.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _png_size(data: np.ndarray) -> tuple[int, int]:
    """Return (width, height) from the header of a PNG file, or (0, 0) for other files.

    A PNG file of a hundred kilobytes can expand to gigabytes. Other formats compress far less, and
    OpenCV limits their size.
    """
    head = data[:24].tobytes()
    if len(head) < 24 or not head.startswith(b"\x89PNG"):
        return 0, 0
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
