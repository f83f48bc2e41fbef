"""Show frames in a window while they are tracked."""

from __future__ import annotations

import contextlib
import os
import sys

import cv2
import numpy as np

from facetrack.errors import FacetrackError

_ESCAPE = 27
_CLOSE_KEYS = frozenset((ord("q"), ord("Q"), _ESCAPE))


class Window:
    """A window that shows the latest frame; use as a context manager.

    Args:
        title: of the window.

    Raises:
        FacetrackError: there is no screen, or this OpenCV has no windows.
    """

    def __init__(self, title: str) -> None:
        # Without a display, Qt would end the process.
        is_remote = sys.platform.startswith("linux") and not (
            os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        )
        if is_remote:
            raise FacetrackError(
                "--show needs a screen, and there is none here (DISPLAY is not set): leave it out."
            )
        self._title = title
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error as error:
            raise FacetrackError(
                "--show needs windows, which this OpenCV does not have: install opencv-python "
                "instead of opencv-python-headless."
            ) from error

    def __enter__(self) -> Window:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(cv2.error):
            cv2.destroyWindow(self._title)

    def show(self, image: np.ndarray) -> bool:
        """Show an image (H, W, 3) uint8 RGB; return False once the user closes the window.

        The keys q and Esc close it, too.
        """
        try:
            cv2.imshow(self._title, image[..., ::-1])
            key = cv2.waitKey(1) & 0xFF
            is_open = cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error:
            return False
        return is_open and key not in _CLOSE_KEYS
