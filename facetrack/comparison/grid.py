"""Draw all methods side by side in one video, each with its name above its image."""

from __future__ import annotations

import math

import cv2
import numpy as np

from facetrack.landmarks import schemes
from facetrack.tracks import Tracks
from facetrack.viz.overlay import draw_landmarks

MAX_WIDTH, MAX_HEIGHT = 1280, 720
"""Maximum size of the whole image in pixels; the video is never enlarged. Doubling the area would
cost a fifth of the time of tracking one init."""
WIDESCREEN = 16 / 9
"""Width / height of the screen for which the grid is arranged."""
BACKGROUND = (24, 24, 24)
TEXT = (240, 240, 240)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


class Grid:
    """The arrangement of the methods' images in a grid.

    Attributes:
        columns, rows: of the grid.
        cell: (width, height) of an image in pixels.
        band: height in pixels of the strip above an image, for the method's name.
    """

    def __init__(self, labels: list[str], size: tuple[int, int]) -> None:
        """
        Args:
            labels: of the methods, in reading order.
            size: (width, height) of the video.
        """
        self._labels = labels
        self.columns, self.rows = best_shape(len(labels), size)
        width, height = size
        self.band = 32
        across = MAX_WIDTH / self.columns / width
        down = (MAX_HEIGHT / self.rows - self.band) / height
        self._scale = min(1.0, across, down)
        self.cell = max(2, int(width * self._scale)), max(2, int(height * self._scale))
        self._text = min(0.6, *(_fitting(label, self.cell[0] - 12) for label in labels))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the whole image in pixels; even, as video encoders require."""
        width = self.columns * self.cell[0]
        height = self.rows * (self.cell[1] + self.band)
        return width + width % 2, height + height % 2

    def picture(self, image: np.ndarray, tracks: dict[str, Tracks], index: int) -> np.ndarray:
        """Draw a frame of all methods.

        Args:
            image: (H, W, 3) uint8 RGB, the video's frame.
            tracks: of each method, by label.
            index: of the frame in the tracks.

        Returns:
            (height, width, 3) uint8 RGB of `size`.
        """
        width, height = self.cell
        small = image
        if self.cell != (image.shape[1], image.shape[0]):
            small = cv2.resize(image, self.cell, interpolation=cv2.INTER_AREA)
        ratio = np.array([width / image.shape[1], height / image.shape[0]])
        canvas = np.full((*self.size[::-1], 3), BACKGROUND, np.uint8)
        for i, label in enumerate(self._labels):
            method_tracks = tracks[label]
            xy = (method_tracks.xy[index] + 0.5) * ratio - 0.5
            scheme = schemes.get(method_tracks.scheme)
            drawn = draw_landmarks(
                small, xy, method_tracks.visible[index], method_tracks.confidence[index], scheme
            )
            left, top = i % self.columns * width, i // self.columns * (height + self.band)
            canvas[top + self.band : top + self.band + height, left : left + width] = drawn
            at = (left + 6, top + self.band - 10)
            cv2.putText(canvas, label, at, _FONT, self._text, TEXT, 1, cv2.LINE_AA)
        return canvas


def best_shape(count: int, size: tuple[int, int]) -> tuple[int, int]:
    """Return (columns, rows) that make the images largest on a wide screen."""

    def side(columns: int) -> float:
        rows = math.ceil(count / columns)
        return min(WIDESCREEN / (columns * size[0]), 1 / (rows * size[1]))

    # Among equally good shapes, prefer fewer empty cells.
    columns = max(range(1, count + 1), key=lambda c: (round(side(c), 9), -(-count // c * -c)))
    return columns, math.ceil(count / columns)


def _fitting(label: str, width: int) -> float:
    """Return the font scale at which a label is `width` pixels wide."""
    (natural, _), _ = cv2.getTextSize(label, _FONT, 1.0, 1)
    return max(0.2, width / natural)
