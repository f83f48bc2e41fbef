"""Find pictures of 16 bits that are nearly black because they hold the values of fewer bits."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from facetrack.video.image_files import silence_opencv
from facetrack.video.image_names import list_first

_NEARLY_BLACK = 2**12
"""Value of 16 bits that 12 bits do not reach, as cameras fill them."""


def dark_peak(image: np.ndarray, path: Path, page: int | None = None) -> int | None:
    """Return the highest value of a picture of 16 bits that is nearly black; None for others.

    Args:
        image: (H, W, 3) uint8, the picture as it was read.
        path: its file.
        page: its page in a TIFF file, from 0; None for a file that is read as one picture.
    """
    if image.max() > _NEARLY_BLACK >> 8:  # some decoders round to 8 bits
        return None
    with silence_opencv():
        try:
            stored = _read_stored(path, page)
        except (cv2.error, OSError):
            return None
    if stored is None or stored.dtype != np.uint16:
        return None
    colours = stored[..., :3] if stored.ndim == 3 else stored
    peak = int(colours.max())
    return peak if 0 < peak < _NEARLY_BLACK else None


def _read_stored(path: Path, page: int | None) -> np.ndarray | None:
    """Return a picture with the values of its file; None if it cannot be read."""
    if page is None:
        return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    _, images = cv2.imreadmulti(str(path), page, 1, flags=cv2.IMREAD_UNCHANGED)
    return images[0] if images else None


class DarkPictures:
    """Takes note of nearly black pictures, for one warning of all."""

    def __init__(self) -> None:
        self._paths: list[str] = []
        self._peak = 0

    def note(self, path: Path, image: np.ndarray) -> None:
        """Look at a picture (H, W, 3) uint8 as it was read from a file."""
        peak = dark_peak(image, path)
        if peak is not None:
            self._paths.append(str(path))
            self._peak = max(self._peak, peak)

    @property
    def warnings(self) -> list[str]:
        """A sentence, if there were any."""
        if not self._paths:
            return []
        each = "Each of " if len(self._paths) > 1 else ""
        return [darkness_warning(each + list_first(self._paths), self._peak)]


def darkness_warning(shown: str, peak: int) -> str:
    """Return a sentence about a nearly black picture, or pictures, with a highest value."""
    return (
        f"{shown} holds 16-bit values up to {peak} only, and is nearly black: scale it to the full "
        "range."
    )
