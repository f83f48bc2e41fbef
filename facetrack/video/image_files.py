"""Files of still images: which there are in a folder, and what is in one."""

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
    """The image files of a folder in natural order, or the one image that `path` is."""
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
    return sorted(names, key=_natural)


def _natural(path: Path) -> tuple[list[tuple[int, int | str]], str]:
    """Sorting key: runs of digits compare as numbers."""
    parts = re.split(r"([0-9]+)", path.name.lower())
    return [(0, int(p)) if p.isdecimal() else (1, p) for p in parts if p], path.name


def read_image(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB, upright by its EXIF orientation; transparency is dropped.

    Raises FacetrackError, in one sentence, when the file is missing, no image or too large.
    """
    ffmpeg.check_file(path)
    data = np.fromfile(path, np.uint8)
    width, height = _png_size(data)
    if width * height > MAX_PIXELS:
        raise FacetrackError(f"{path} is too large an image: {width}x{height} pixels.")
    level = cv2.utils.logging.getLogLevel()
    try:
        # What is wrong with a file is said once, by us.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        # Decoding from memory rather than by name: OpenCV fails on non-ASCII names on some systems.
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        # OpenCV's own limit, on sides and pixels.
        raise FacetrackError(f"{path} is too large an image, or damaged.") from error
    finally:
        cv2.utils.logging.setLogLevel(level)
    if image is None:
        raise FacetrackError(f"{path} is not an image that can be read.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _png_size(data: np.ndarray) -> tuple[int, int]:
    """(width, height) that the head of a PNG tells; (0, 0) of what is no PNG.

    A PNG of a hundred kilobytes can hold a picture of gigabytes; other kinds of image compress far
    less, and have OpenCV's own limit.
    """
    head = data[:24].tobytes()
    if len(head) < 24 or not head.startswith(b"\x89PNG"):
        return 0, 0
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
