"""List and read image files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from facetrack.errors import FacetrackError
from facetrack.video import avif, ffmpeg
from facetrack.video.decoder import MAX_PIXELS
from facetrack.video.image_names import (
    IMAGE_OVERLAY_SUFFIX,
    IMAGE_SUFFIXES,
    is_image_name,
    is_series_path,
    natural_key,
    series_names,
)
from facetrack.video.video_names import VIDEO_SUFFIXES


def list_images(path: Path) -> list[Path]:
    """Return the image files of a folder or a series in natural order, or the file `path` itself.

    Hidden files, subfolders and facetrack's overlays are left out.

    Raises:
        FacetrackError: the folder cannot be read or has no images.
    """
    try:
        if is_series_path(path):
            names = series_names(path)
        elif os.path.isdir(path):
            names = sorted(filter(is_image_name, os.listdir(path)), key=natural_key)
        else:
            return [path]
    except OSError as error:
        raise FacetrackError(f"{path} cannot be read: {error.strerror or error}.") from error
    folder = path if os.path.isdir(path) else path.parent
    images = [folder / name for name in names if not os.path.isdir(folder / name)]
    if not images and folder is path:
        raise FacetrackError(_explain_no_images(path))
    if not images:
        raise FacetrackError(f"No image matches {path}.")
    return images


def _explain_no_images(folder: Path) -> str:
    names = os.listdir(folder)
    if any(name.endswith(IMAGE_OVERLAY_SUFFIX) for name in names):
        return f"{folder} is a folder without images but overlays of facetrack's."
    sentence = f"{folder} is a folder without images ({', '.join(sorted(IMAGE_SUFFIXES))})."
    if any(os.path.isdir(folder / name) for name in names):
        sentence += f" Its folders are not searched: name them, such as '{folder / '*'}'."
    return sentence


def images_of(video: Path) -> list[Path] | None:
    """Return the image files of a video that is a folder or a series; None for a single file.

    Raises:
        FacetrackError: as `list_images`.
    """
    return list_images(video) if os.path.isdir(video) or is_series_path(video) else None


def is_present(video: Path) -> bool:
    """Return True if a video's file or folder, or an image of its series, exists."""
    if not is_series_path(video):
        return os.path.exists(video)
    try:
        return bool(series_names(video))
    except OSError:
        return False


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
    try:
        with silence_opencv():
            # Decode from memory: on some systems OpenCV cannot open non-ASCII file names.
            image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        # OpenCV's own limits on sides and pixels.
        raise FacetrackError(f"{path} is too large an image, or damaged.") from error
    if image is None:
        hint = ""
        if path.suffix.lower() in VIDEO_SUFFIXES:
            hint = " It may be a video: give it to `facetrack track`."
        elif path.suffix.lower() in (".tif", ".tiff"):
            hint = " TIFF files need whole numbers of 8 or 16 bits a channel."
        raise FacetrackError(f"{path} is not an image that can be read.{hint}")
    rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return avif.upright(rgb, data[: avif.HEAD_BYTES].tobytes())


@contextmanager
def silence_opencv() -> Iterator[None]:
    """Keep OpenCV from printing problems, which the caller reports."""
    level = cv2.utils.logging.getLogLevel()
    try:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _png_size(data: np.ndarray) -> tuple[int, int]:
    """Return (width, height) from the header of a PNG file, or (0, 0) for other files.

    A PNG file of a hundred kilobytes can expand to gigabytes. Other formats compress far less, and
    OpenCV limits their size.
    """
    head = data[:24].tobytes()
    if len(head) < 24 or not head.startswith(b"\x89PNG"):
        return 0, 0
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
