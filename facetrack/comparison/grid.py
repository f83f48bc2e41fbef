"""All methods beside each other in one video: a picture each, with its name above."""

from __future__ import annotations

import math

import cv2
import numpy as np

from facetrack.landmarks import schemes
from facetrack.tracks import Tracks
from facetrack.viz.overlay import draw_landmarks

MOST_WIDTH, MOST_HEIGHT = 1280, 720
"""Of the whole; pictures are never enlarged. Twice the area would cost as much again as a fifth of
tracking one init."""
WIDESCREEN = 16 / 9
BACKGROUND = (24, 24, 24)
TEXT = (240, 240, 240)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


class Grid:
    """Where each method's picture goes.

    Attributes:
        columns, rows: of pictures.
        cell: (width, height) of one picture.
        band: height in pixels of the strip above it, for its name.
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
        across = MOST_WIDTH / self.columns / width
        down = (MOST_HEIGHT / self.rows - self.band) / height
        self._scale = min(1.0, across, down)
        self.cell = max(2, int(width * self._scale)), max(2, int(height * self._scale))
        self._text = min(0.6, *(_fitting(label, self.cell[0] - 12) for label in labels))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the whole; even, as video wants it."""
        width = self.columns * self.cell[0]
        height = self.rows * (self.cell[1] + self.band)
        return width + width % 2, height + height % 2

    def picture(self, image: np.ndarray, tracks: dict[str, Tracks], index: int) -> np.ndarray:
        """One frame.

        Args:
            image: (H, W, 3) uint8 RGB, the video's.
            tracks: by label; frame `index` of them is drawn.
        """
        width, height = self.cell
        small = image
        if self.cell != (image.shape[1], image.shape[0]):
            small = cv2.resize(image, self.cell, interpolation=cv2.INTER_AREA)
        ratio = np.array([width / image.shape[1], height / image.shape[0]])
        whole = np.full((*self.size[::-1], 3), BACKGROUND, np.uint8)
        for i, label in enumerate(self._labels):
            own = tracks[label]
            xy = (own.xy[index] + 0.5) * ratio - 0.5
            scheme = schemes.get(own.scheme)
            drawn = draw_landmarks(small, xy, own.visible[index], own.confidence[index], scheme)
            left, top = i % self.columns * width, i // self.columns * (height + self.band)
            whole[top + self.band : top + self.band + height, left : left + width] = drawn
            at = (left + 6, top + self.band - 10)
            cv2.putText(whole, label, at, _FONT, self._text, TEXT, 1, cv2.LINE_AA)
        return whole


def best_shape(count: int, size: tuple[int, int]) -> tuple[int, int]:
    """(columns, rows) that make the pictures largest on a wide screen."""

    def side(columns: int) -> float:
        rows = math.ceil(count / columns)
        return min(WIDESCREEN / (columns * size[0]), 1 / (rows * size[1]))

    # Of shapes that are equally good the one with fewer empty places.
    columns = max(range(1, count + 1), key=lambda c: (round(side(c), 9), -(-count // c * -c)))
    return columns, math.ceil(count / columns)


def _fitting(label: str, width: int) -> float:
    """The scale at which a label is as wide as that, in pixels."""
    (natural, _), _ = cv2.getTextSize(label, _FONT, 1.0, 1)
    return max(0.2, width / natural)
